"""Every error raised on purpose.

    OptimizerError
    ├── UserError                  the person can mend it: one clear message, exit code 2, no traceback
    │   ├── StudyFileError         a key of the study file, with file, line and key
    │   ├── DatasetError           a table on disk, with file and, where known, line and column
    │   ├── RunFolderError         the run's folder: locked by another scheduler, missing, changed
    │   └── ResourceError          what the study asks for is not on this machine
    └── Fault                      something broke while running; counted, retried or reported, never fatal alone
        ├── ProtocolFault          a message that cannot be read
        ├── StorageFault           a file or database that cannot be written or read
        ├── WrongDeviceFault       a fit that asked for a GPU and in truth ran on the CPU
        └── NotFiniteFault         a prediction or score that is not a finite number
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

#: How the list of known words begins in a message.
KNOWN_HERE = "known here: "
#: A message names no more of them.
_LISTED = 40


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word, or lists the known words where none is near."""
    words = sorted(known)
    by_small_letters = {word.lower(): word for word in words}
    near = difflib.get_close_matches(found, words, n=1, cutoff=0.6) or [
        by_small_letters[word] for word in difflib.get_close_matches(found.lower(), by_small_letters, n=1, cutoff=0.6)]
    if near:
        return f"did you mean {cut(near[0])!r}?"
    return f"{KNOWN_HERE}{listed(words, _LISTED)}" if words else ""


def printable(text: str) -> str:
    """Text that may be shown on a terminal: every control character, and whatever else is not seen, as its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(text: str, longest: int = 80) -> str:
    """The beginning of a text that may be of any length."""
    return text if len(text) <= longest else f"{text[:longest - 3]}..."


def quoted(text: object) -> str:
    """A cell, a name or another text of a person's file as a message shows it: on one line, in quotes, and short."""
    return repr(cut(str(text)))


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names out of a file, safe to show, and how many more there are."""
    shown = ", ".join(printable(cut(name)) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


class OptimizerError(Exception):
    """The root of every error raised on purpose."""


class UserError(OptimizerError):
    """Something that the person can mend; the command line shows it as one message and exits with 2."""


class StudyFileError(UserError):
    """One or more mistakes in a study file."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        #: Each ready to print: ``studies/s5e7.toml:12: datasets.metric: found 'acuracy', did you mean 'accuracy'?``
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class DatasetError(UserError):
    """A table that cannot be used as it is."""

    def __init__(
        self, found: str, *, path: Path | str | None = None, line: int | None = None,
        column: str | None = None, hint: str = "",
    ) -> None:
        place = printable(str(path)) if path is not None else ""
        if line is not None:
            place += f":{line}" if place else f"line {line}"
        if column is not None:
            place += f", column {cut(column)!r}" if place else f"column {cut(column)!r}"
        text = f"{place}: {found}" if place else found
        super().__init__(f"{text}\n  {hint}" if hint else text)
        self.found, self.path, self.line, self.column, self.hint = found, path, line, column, hint


class RunFolderError(UserError):
    """A run's folder that cannot be opened, or not in the way that was asked."""


class ResourceError(UserError):
    """The study needs something that this machine does not offer."""


class Fault(OptimizerError):  # noqa: N818 - the word for what breaks while running; errors are the person's
    """Something broke while running; it is counted and reported, and the run goes on."""


class ProtocolFault(Fault):
    """A message that is too large, torn or not one of ours."""


class StorageFault(Fault):
    """A file or database that could not be written or read."""


class WrongDeviceFault(Fault):
    """A fit that asked for a GPU and in truth ran on the CPU."""


class NotFiniteFault(Fault):
    """A prediction or score that is not a finite number, or a metric that a fold leaves undefined."""
