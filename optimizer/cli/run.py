"""``optimizer run``, ``init`` and ``stop``."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer import __version__
from optimizer.cli import cli
from optimizer.cli.streams import say
from optimizer.config.init import study_file_for
from optimizer.errors import RunFolderError, UserError, did_you_mean
from optimizer.journal import read

if TYPE_CHECKING:
    from optimizer.config.load import Overrides
    from optimizer.config.resolved import Study
    from optimizer.scheduler.start import Outcome

#: Exit code of a run that was stopped and can be resumed.
EXIT_STOPPED = 3
#: Seconds that `stop` waits: the running trials' grace, and time to write.
_STOP_S = 180.0


@cli.command()
@click.argument("study")
@click.option("--time", "time_", metavar="5m", help="Time per dataset; +1h adds to what it finished with last.")
@click.option("--trials", type=int, help="Trials per dataset instead of a time, in all.")
@click.option("--deadline", metavar="8h", help="End of the whole run: 8h from its first start, or 06:30 on the clock.")
@click.option("--families", metavar="A,B", help="Only these model families.")
@click.option("--seed", type=int, help="Another seed.")
@click.option("--target", help="For a folder: the column to predict.")
@click.option("--metric", help="For a folder: what to optimise.")
@click.option("--fresh", is_flag=True, help="Start anew; the earlier run's folder is kept under another name.")
@click.option("--plain", is_flag=True, help="Plain lines instead of the dashboard.")
@click.option("--debug", is_flag=True, help="Fit in the scheduler's own process, so that a debugger works.")
def run(study: str, *, time_: str | None, trials: int | None, deadline: str | None, families: str | None,
        seed: int | None, target: str | None, metric: str | None, fresh: bool, plain: bool, debug: bool) -> None:
    """Run a study file, or a folder with train.csv; an existing run is resumed."""
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    _take_term_and_hup_for_ctrl_c()
    # Before anything heavy is loaded, so that nobody looks at an empty screen.
    say(f"optimizer {__version__}: reading {study}")
    from optimizer.config.load import Overrides

    path = _study_path(study, {"target": target, "metric": metric},
                       None if time_ is None or time_.startswith("+") else time_)
    adds = time_ is not None and time_.startswith("+")
    overrides = Overrides(time=time_, time_before=_time_before(path.with_suffix("")) if adds else 0.0, trials=trials,
                          deadline=deadline, seed=seed,
                          families=tuple(f.strip() for f in families.split(",")) if families else None)
    outcome = _carry_out(path, overrides, begun, fresh=fresh, plain=plain, debug=debug)
    _say_how_it_ended(outcome, path)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", help="The training table, where the folder does not tell it.")
@click.option("--target", help="The column to predict.")
@click.option("--metric", help="What to optimise.")
@click.option("--id", "id_", help="The column that names the rows.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]), help="What kind of target it is.")
@click.option("--time", "time_", metavar="1h", help="Time per dataset.")
def init(folder: Path, train: str | None, target: str | None, metric: str | None, id_: str | None, task: str | None,
         time_: str | None) -> None:
    """Look at a folder of tables and write studies/<folder>.toml, with what was inferred and why."""
    path = _init(folder, {"train": train, "target": target, "metric": metric, "id": id_, "task": task,
                          "time_per_dataset": time_})
    say(f"wrote {path}\nread it, then: optimizer run {path}")


@cli.command()
@click.argument("run")
def stop(run: str) -> None:
    """Ask a run to stop: what runs is finished or handed back, everything is written."""
    from optimizer.scheduler.lock import holder
    from optimizer.views.results import find_run

    folder = find_run(run)
    pid = holder(folder)
    if pid is None:
        say(f"{folder.name} is not running")
        return
    os.kill(pid, signal.SIGTERM)
    say(f"asked {folder.name} (pid {pid}) to stop; running trials have half a minute to finish")
    until = time.monotonic() + _STOP_S
    while holder(folder) == pid:
        if time.monotonic() > until:
            raise UserError(f"{folder.name} (pid {pid}) has not stopped within {_STOP_S:.0f} s; `kill -9 {pid}` "
                            "ends it, and no told trial is lost by that")
        time.sleep(0.2)
    say(f"stopped; resume with: optimizer run {folder}.toml")


def _take_term_and_hup_for_ctrl_c() -> None:
    """Before the scheduler listens to signals and after it has ended, all three unwind what was begun: exit code 3."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup a hang-up is ignored, and stays so
            signal.signal(number, signal.default_int_handler)


def study_file(text: str) -> Path:
    """The study file that is meant by a file, a name or a run's folder; what was typed where it is none of them."""
    path = Path(text)
    if path.is_dir():
        folder = Path(os.path.abspath(path))  # links are left as they are: the run's folder may be one
        beside = folder.parent / f"{folder.name}.toml"
        return beside if beside.is_file() else path
    named = Path("studies") / f"{path.name}.toml"
    return named if path.suffix != ".toml" and not path.exists() and named.is_file() else path


def _study_path(study: str, given: dict[str, str | None], time_: str | None) -> Path:
    """The same, and a folder of tables has one, written now where it is not there."""
    path = study_file(study)
    if path.is_dir():
        folder, path = path, study_file_for(path, Path("studies"))
        if not path.is_file():
            written = _init(folder, {**given, "time_per_dataset": time_})
            say(f"wrote {written}")
            return written
        if not _reads_from(path, folder):
            raise UserError(f"{path} is there already, and its tables are not in {folder}; run it as `optimizer run "
                            f"{path}`, or rename the folder")
        say(f"{path} is there already and is used as it is")
    elif path.suffix != ".toml":
        if path.is_file():
            raise UserError(f"{path} is a table; run the folder that it is in: a folder with one table alone is a "
                            "dataset, as is one with train.csv")
        known = [p.stem for p in Path("studies").glob("*.toml")] + [p.name for p in Path().iterdir() if p.is_dir()]
        raise UserError(f"there is no file or folder {study}; {did_you_mean(path.name, known)}")
    if any(given.values()):
        raise UserError(f"--target and --metric are for a new folder; {path} is there, write them into it")
    return path


def _reads_from(file: Path, folder: Path) -> bool:
    """Whether a study has a table of this folder; of a broken one the loader will speak."""
    try:
        datasets = tomllib.loads(file.read_text(encoding="utf-8"))["datasets"]
        trains = [file.parent / Path(d["train"]).expanduser() for d in datasets]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # the last for a home that is nobody's
        return True
    return any(train.resolve().is_relative_to(folder.resolve()) for train in trains)


def _time_before(folder: Path) -> float:
    """Seconds per dataset that a run finished with last: what ``--time +1h`` adds to.

    A start that did not finish does not count, so that the same command after a crash means the same again.
    """
    started = finished = 0.0
    for record in read(folder / "journal.jsonl"):
        if record["event"] == "run_started":
            started = record["study"]["time_per_dataset_s"] or 0.0
        elif record["event"] == "run_ended" and record["state"] == "finished":
            finished = started
    return finished


def _init(folder: Path, given: dict[str, str | None]) -> Path:
    from optimizer.config.init import init_study

    return init_study(folder, Path("studies"), {k: v for k, v in given.items() if v is not None})


def load(path: Path, overrides: Overrides | None = None) -> Study:
    """The study in this file, with the names of the plug-ins that are here."""
    from optimizer.config.load import load_study
    from optimizer.config.names import KnownNames
    from optimizer.models import declare, shipped_names
    from optimizer.strategies import pruner_names, sampler_names

    known = KnownNames(families=shipped_names(), samplers=sampler_names(), pruners=pruner_names())
    study = load_study(path, known, overrides)
    declare({family.name: family.file for family in study.families if family.file is not None})
    return study


def _carry_out(path: Path, overrides: Overrides, begun: float, *, fresh: bool, plain: bool, debug: bool) -> Outcome:
    study = load(path, overrides)
    from optimizer.process import step_back
    from optimizer.scheduler.folder import make_folder, set_aside
    from optimizer.scheduler.lock import holder

    pid = holder(study.folder)
    if pid is not None:
        raise RunFolderError(f"{study.name} is being run already (pid {pid}); look at it with `optimizer watch "
                             f"{study.name}`, or end it with `optimizer stop {study.name}`")
    if fresh and study.folder.exists():
        say(f"the earlier run is kept as {set_aside(study.folder)}")
    make_folder(study.folder)
    if study.resources.priority == "low":
        step_back()
    _check_narrowing(study)
    with _screen(study.folder, plain=plain or debug):
        # Loaded only now, with the screen up: Optuna alone takes most of a second.
        from optimizer.scheduler.start import run as run_study
        from optimizer.views.lines import Narrator
        from optimizer.views.publisher import Publisher

        # Writes submissions and the summary in a process of its own, woken by what is told.
        publisher = Publisher(study.folder)
        return run_study(study, backend="inline" if debug else "local", closing=publisher.finish,
                         narrate=Narrator(progress_every_s=math.inf).line, listeners=[publisher.on_event],
                         begun=begun)


def _check_narrowing(study: Study) -> None:
    """Refuse what ``[family.<name>.space]`` says of parameters that are not there, before any worker starts."""
    from optimizer.config.load import read_text
    from optimizer.config.mistakes import Mistakes
    from optimizer.scheduler.preparation import check_narrowing

    mistakes = Mistakes(str(study.path), read_text(study.path), {})
    for key, text in check_narrowing(study.families, study.folder):
        mistakes.add(key, text)
    mistakes.raise_if_any()


@contextlib.contextmanager
def _screen(folder: Path, *, plain: bool) -> Iterator[None]:
    """The dashboard, or plain lines, in a process of its own: a terminal that stalls never stops the run."""
    from optimizer.views.terminal import kept

    environment = {**os.environ, "TERM": "dumb"} if plain else None
    # Whatever ends the dashboard, the terminal is given back as it was.
    with kept(sys.stdout.fileno()), _ended_in_time(subprocess.Popen(
        [sys.executable, "-P", "-m", "optimizer.views.dashboard", str(folder), "--parent", str(os.getpid())],
        env=environment,
    )):
        yield


@contextlib.contextmanager
def _ended_in_time(screen: subprocess.Popen[bytes]) -> Iterator[None]:
    """It ends by itself when it sees the run's end; one that hangs on a terminal that nobody reads is ended."""
    try:
        yield
    finally:
        try:
            screen.wait(timeout=3)
        except subprocess.TimeoutExpired:
            screen.terminate()
            try:
                screen.wait(timeout=5)
            except subprocess.TimeoutExpired:
                screen.kill()
                screen.wait()


def _say_how_it_ended(outcome: Outcome, path: Path) -> None:
    from optimizer.scheduler.loop import DEADLINE
    from optimizer.views import report
    from optimizer.views.results import RunView

    view = RunView.open(outcome.folder)
    refused = {name: d.failed for name, d in view.datasets.items() if d.failed}
    if outcome.reason == "no dataset could be used":
        raise UserError("\n".join(f"{name} could not be used: {reason}" for name, reason in refused.items()))
    if not any(view.counts().get(state) for state in ("complete", "pruned")):
        failed = next((t.reason for t in reversed(view.trials()) if t.state == "failed"), "")
        if failed:
            raise UserError(f"every trial failed, the last with: {failed}; see {outcome.folder}/logs/run.log")
    say(report.as_text(report.summarize(view), max(80, shutil.get_terminal_size((200, 40)).columns)))
    for name, reason in refused.items():
        say(f"{name} could not be used: {reason}", err=True)
    if outcome.reason == DEADLINE:
        say(f"{DEADLINE}; to go on, give it a later one: optimizer run {path} --deadline ...")
        return
    if outcome.state == "stopped":
        say(f"{outcome.reason}; resume with: optimizer run {path}", err=True)
        sys.exit(EXIT_STOPPED)
    say(f"finished; to go on: optimizer run {path} {report.more(view)}")
