"""``optimizer check-family``: a person's own family held to what every family promises."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from optimizer.cli import EXIT_MENDABLE, cli
from optimizer.cli.streams import say, show
from optimizer.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from optimizer.contract.claim import Verdict


@cli.command("check-family")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What the study file calls it; by default the file's name without .py.")
@click.option("--limit", metavar="60s", default="60s", help="Time that each claim may take (60s).")
@click.option("--json", "as_json", is_flag=True, help="For machines: every claim on every task.")
def check_family(file: Path, *, name: str | None, limit: str, as_json: bool) -> None:
    """Hold a family of your own to what every family promises, claim by claim."""
    from optimizer.config import values
    from optimizer.config.names import FAMILY_RULE, is_family_name
    from optimizer.contract.judging import judged
    from optimizer.models import shipped_names

    name = name or file.stem
    if not file.is_file():
        beside = [path.name for path in file.parent.glob("*.py")]
        raise UserError(f"{file}: there is no such file; {did_you_mean(file.name, beside)}" if beside else
                        f"{file}: there is no such file; expected a Python file that defines FAMILY")
    if file.suffix != ".py":
        raise UserError(f"{file}: not a Python file; its name ends in .py")
    if not is_family_name(name):
        raise UserError(f"{file}: found {name!r}; {FAMILY_RULE}; say --name")
    if name in shipped_names():
        raise UserError(f"{file}: {name!r} is a family that ships; call your own otherwise, in the file and with "
                        "--name")
    try:
        limit_s = values.duration(limit)
    except ValueError as error:
        raise UserError(f"--limit: found {limit!r}, {error}") from None
    with tempfile.TemporaryDirectory(prefix="optimizer-check-") as folder:
        verdicts = judged(Path(os.path.abspath(file)), name, Path(folder), limit_s=limit_s, begin=_begin)
    if as_json:
        show(json.dumps({"file": str(file), "family": name, "verdicts": msgspec.to_builtins(verdicts)}))
    else:
        for line in lines(verdicts):
            show(line)
    if not all(verdict.passed for verdict in verdicts):
        sys.exit(EXIT_MENDABLE)


def _begin(claim: str, task: str) -> None:
    # Where somebody watches: some claims take a while.
    if sys.stderr.isatty():
        say(f"\r\033[K{claim} {task}", err=True)


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each claim, and below a broken one what was found, what was expected, and what to do."""
    text, broken = [], 0
    for claim in dict.fromkeys(verdict.claim for verdict in verdicts):
        own = [verdict for verdict in verdicts if verdict.claim == claim]
        wrong = [verdict for verdict in own if not verdict.passed]
        broken += bool(wrong)
        notes = {verdict.note for verdict in own if verdict.note}
        note = f" ({'; '.join(sorted(notes))})" if notes and len(notes) == len({v.note for v in own}) else ""
        text.append(f"{'FAILED' if wrong else 'passed'}  {claim:34}{own[0].text}{note}")
        for verdict in wrong:
            where = f"{verdict.place}: " if verdict.place else ""
            text += [f"        {verdict.task + ': ' if verdict.task else ''}found {where}{verdict.found}",
                     f"        expected {verdict.expected}"]
        text += [f"        to mend it: {advice}" for advice in dict.fromkeys(v.advice for v in wrong)]
    count = len({verdict.claim for verdict in verdicts})
    tasks = sorted({verdict.task for verdict in verdicts if verdict.task})
    return [*text, f"{count} claims on {', '.join(tasks) or 'no task'}: "
                   + (f"{broken} failed" if broken else "all hold")]
