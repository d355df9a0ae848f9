"""A claim about a family, and how it is judged."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from optimizer.contract.tables import made_up_fold, summary
from optimizer.models.base import Family, FoldData, StepsAside, TableSummary


class Broken(Exception):  # noqa: N818 - what a judge says, not what goes wrong here
    """A claim that does not hold: what was found, and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


class NotAsked(Exception):  # noqa: N818 - no error either
    """Why a claim says nothing of this family."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The family that is judged, on one task."""

    family: Family
    task: str
    #: Empty, for what is written.
    folder: Path

    @property
    def table(self) -> TableSummary:
        """What is known of the made-up table."""
        return summary(self.task)

    @property
    def fold(self) -> FoldData:
        """A fold of the made-up table: 300 training rows and 100 to validate."""
        return made_up_fold(self.task)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One promise of a family; raises `Broken` where it is not kept."""

    #: Short, for lists: ``same-seed``.
    name: str
    #: What is promised, as a sentence that begins with the family: ``predicts the same bits with the same seed``.
    text: str
    #: What a person does about it.
    advice: str
    check: Callable[[Subject], None]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a claim on a task."""

    claim: str
    text: str
    task: str
    passed: bool
    #: Why it says nothing here; empty where it was judged.
    note: str = ""
    found: str = ""
    expected: str = ""
    advice: str = ""
    #: File and line of the person's code that raised, where it did.
    place: str = ""
    seconds: float = 0.0


def judge(claim: Claim, family: Family, task: str, file: str = "") -> Verdict:
    """Whether the claim holds; whatever the family raises or prints is caught.

    ``file``: the person's, to say where in it an error was raised.
    """
    begun = time.perf_counter()

    def verdict(*, passed: bool, **more: str) -> Verdict:
        return Verdict(claim=claim.name, text=claim.text, task=task, passed=passed,
                       seconds=round(time.perf_counter() - begun, 3), **more)

    try:
        with tempfile.TemporaryDirectory() as folder:
            claim.check(Subject(family=family, task=task, folder=Path(folder)))
    except NotAsked as reason:
        return verdict(passed=True, note=str(reason))
    except StepsAside as reason:
        return verdict(passed=True, note=f"steps aside: {reason}")
    except Broken as broken:
        return verdict(passed=False, found=broken.found, expected=broken.expected, advice=claim.advice)
    except Exception as error:  # whatever a person's own family raises
        return verdict(passed=False, found=in_a_line(error), expected="no error", advice=claim.advice,
                       place=place_of(error, file))
    return verdict(passed=True)


def in_a_line(error: Exception) -> str:
    """An error's kind and words, without its line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def place_of(error: Exception, file: str) -> str:
    """The last line of this file that an error came through; empty where it came through none, or there is no file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if file and frame.filename == file]
    if file and isinstance(error, SyntaxError) and error.filename == file:
        lines = [error.lineno]
    return f"{Path(file).name}:{lines[-1]}" if lines else ""


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What is printed meanwhile, by Python and by C code, as the list's only entry at the end."""
    said: list[str] = []
    with tempfile.TemporaryFile() as stream:
        python = io.TextIOWrapper(stream, encoding="utf-8", write_through=True)
        kept = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
            # Python's own streams may lead elsewhere, and keep back what they are given.
            with contextlib.redirect_stdout(python), contextlib.redirect_stderr(python):
                yield said
        finally:
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)
        stream.seek(0)
        said.append(stream.read().decode(errors="replace"))
        python.detach()
