"""``optimizer limit``, ``pause`` and ``resume``: how much of the machine a run may use, while it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from optimizer.cli import cli
from optimizer.cli.streams import say, show
from optimizer.config import values
from optimizer.control import Control, read_control, write_control
from optimizer.errors import UserError
from optimizer.status import Limits, read_status
from optimizer.views.formats import limits_text

#: Seconds that a scheduler may take to obey: it looks each second, and can be busy for a while.
_OBEY_S = 10.0
_OFF = "off"


@cli.command()
@click.argument("run")
@click.option("--cpu", metavar="40%", help="Share or number of the run's cores; `off` for what the study file says.")
@click.option("--memory", metavar="12GB", help="Amount or share of the machine's memory; `off` as above.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def limit(run: str, cpu: str | None, memory: str | None, *, as_json: bool) -> None:
    """Say how much of the machine a run may use from now on; without options, what holds now.

    It holds until the run ends; `cpu_limit`, `memory_limit` and `quiet_hours` in the study file hold for every run.
    """
    folder, before = _running(run)
    options = (("cpu", cpu, _cores), ("memory", memory, values.memory))
    wishes = {name: _wish(name, text, parse) for name, text, parse in options if text is not None}
    if wishes:
        _ask(folder, msgspec.structs.replace(before, **wishes))
    limits = _limits(folder)
    if as_json:
        show(json.dumps(None if limits is None else msgspec.to_builtins(limits)))
    else:
        say(f"{folder.name}: {limits_text(limits)}")


@cli.command()
@click.argument("run")
def pause(run: str) -> None:
    """Have a run stand still: its workers are stopped where they are, and use no core; its deadline still holds."""
    folder, before = _running(run)
    _ask(folder, msgspec.structs.replace(before, paused=True))
    say(f"{folder.name} stands still; it goes on with: optimizer resume {folder.name}")


@cli.command()
@click.argument("run")
def resume(run: str) -> None:
    """Have a paused run go on."""
    folder, before = _running(run)
    if not before.paused:
        say(f"{folder.name} is not paused: {limits_text(_limits(folder))}")
        return
    _ask(folder, msgspec.structs.replace(before, paused=False))
    say(f"{folder.name} goes on: {limits_text(_limits(folder))}")


def _running(run: str) -> tuple[Path, Control]:
    """A run that goes on, and what it was asked so far."""
    from optimizer.scheduler.lock import holder
    from optimizer.views.results import find_run

    folder = find_run(run)
    pid = holder(folder)
    if pid is None:
        raise UserError(f"{folder.name} is not running; what shall hold from its next start on is written in "
                        f"{folder}.toml, under [resources]")
    return folder, read_control(folder, pid)


def _ask(folder: Path, control: Control) -> None:
    """Leave the wish where the scheduler looks, and wait until it was taken up."""
    asked_at = time.time()
    try:
        write_control(folder, control)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from error
    until = time.monotonic() + _OBEY_S
    while time.monotonic() < until:
        time.sleep(0.1)
        status = read_status(folder / "status.json")
        # The second look after the wish is surely later than it.
        if status is not None and status.limits is not None and status.at > asked_at + 1.0:
            return
    raise UserError(f"the scheduler (pid {control.pid}) has not answered within {_OBEY_S:.0f} s; it will obey as soon "
                    f"as it looks: `optimizer status {folder.name}` tells")


def _limits(folder: Path) -> Limits | None:
    status = read_status(folder / "status.json")
    return None if status is None else status.limits


def _cores(text: str) -> float | str:
    return values.cpu_limit(float(text) if text.replace(".", "", 1).isdigit() else text)


def _wish(name: str, text: str, parse: Callable[[str], float | str]) -> float | str | None:
    """What an option asks for; ``None`` for what the study file says."""
    if text == _OFF:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise UserError(f"--{name} {text!r}: {error}, or `off`") from error
