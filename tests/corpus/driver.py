"""Meets bad input as a person's command does, in this process, and checks what holds for every answer."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest import mock

from optimizer.cli import main
from optimizer.cli.run import load
from optimizer.datasets.prepare import prepare
from optimizer.errors import UserError
from tests.corpus.case import DROPPED, REFUSED, SAID, STUDY, Case

#: Longest line of a message; a path of this length may stand in it twice.
_LONGEST = 1000


@dataclass(frozen=True)
class Answer:
    """What became of a case."""

    answer: str
    message: str


def meet(case: Case, folder: Path) -> Answer:
    """Write the case below the folder, run it, and check what holds for all: see `check_message`."""
    case.write(folder)
    before = snapshot(folder)
    with _inside(folder):
        answer = _run() if case.answer == REFUSED else _prepare(folder)
    after = snapshot(folder)
    own = STUDY.removesuffix(".toml")
    strange = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
               and name != own and not name.startswith(f"{own}/")}
    assert not strange, f"written outside the run's folder: {sorted(strange)}"
    if answer.answer != SAID:
        check_message(answer.message)
    return answer


def check_message(message: str) -> None:
    """One message, safe to print and short: no traceback, no control character, no line without end."""
    assert "Traceback" not in message, message
    assert all(c.isprintable() or c == "\n" for c in message), repr(message)
    lines = message.split("\n")
    assert all(len(line) <= _LONGEST for line in lines), f"{max(map(len, lines))} letters in a line: {message[:2000]}"


def snapshot(folder: Path) -> dict[str, str]:
    """Every name below the folder with what it is: a digest for files, without opening anything else."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            mode = path.lstat().st_mode
            found[str(path.relative_to(folder))] = (
                hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode)
                else os.readlink(path) if stat.S_ISLNK(mode) else str(mode))
    return found


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _run() -> Answer:
    """``optimizer run studies/broken.toml``; a start would be a mistake of the test's or the product's."""
    # Files, for the command writes past the streams' buffers.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        code = _main(out, err)
        greeting, said = (_read(stream) for stream in (out, err))
    assert code == 2, f"exit code {code}: {said}"
    assert greeting.count("\n") <= 1, f"more than the greeting on standard output: {greeting}"
    assert said.startswith("error: "), said
    assert said.count("error: ") == 1, said
    return Answer(REFUSED, said.removeprefix("error: "))


def _read(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read().removesuffix("\n")


def _main(out: IO[str], err: IO[str]) -> object:
    with mock.patch.object(sys, "argv", ["optimizer", "run", STUDY]), \
            mock.patch("optimizer.cli.run._screen", side_effect=AssertionError("the run was started")), \
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            return end.code


def _prepare(folder: Path) -> Answer:
    """What the reader of datasets does with the study's only dataset."""
    study = load(Path(STUDY))
    (problem,) = study.datasets
    try:
        prepared = prepare(problem, study.folder / "data", lambda line: None)
    except UserError as error:
        return Answer(DROPPED, str(error))
    return Answer(SAID, "\n".join(prepared.notices))
