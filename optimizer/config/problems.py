"""The datasets of a study file as problems: defaults filled in, patterns matched, files found, names given."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from optimizer.config import values
from optimizer.config.mistakes import Mistakes, shown, shown_path, written_key
from optimizer.config.names import as_name, is_utf8, stem
from optimizer.config.place import Key
from optimizer.config.schema import DatasetEntry, DatasetKeys, StudyFile
from optimizer.datasets.problem import Problem
from optimizer.errors import UserError
from optimizer.metrics import get_metric

#: A dataset of the file with its position there.
Entry = tuple[int, DatasetEntry]

#: Endings of tables that are looked for beside a training table.
_ENDINGS = (".csv", ".csv.gz", ".parquet")
#: Folders in a pattern; each costs a level of recursion.
_MAX_FOLDERS = 64
#: Parts of a pattern with a ``*`` or the like; each multiplies what is looked through, up to all there is, and more
#: where links lead back.
_MAX_OPEN = 3
#: File names that say nothing of the dataset; the folder's name does.
_BARE_NAMES = ("train", "data")
#: Columns that cannot be the target too.
_OTHER_ROLES = ("id", "weights", "groups", "time")


def resolve_datasets(
    entries: Sequence[Entry], file: StudyFile, folder: Path, mistakes: Mistakes,
) -> tuple[Problem, ...]:
    """A problem per training table, in the order of the file; a pattern's matches are sorted by name.

    Args:
        entries: with their positions in the file; those with mistakes may be left out.
        file: holds the defaults.
        folder: what paths are relative to.
    """
    if file.time is not None and _is_duration(file.time):
        mistakes.add(("time",), f"found {shown(file.time)}, expected the name of a column; "
                     "a dataset's budget is time_per_dataset")
    problems: list[Problem] = []
    owners: dict[str, tuple[str, Key]] = {}
    for position, entry in entries:
        said = _Said(entry, position, file)
        for problem in _problems(said, folder, mistakes):
            # Names become folders, and there are file systems that take capitals for small letters.
            taken = owners.get(problem.name.lower())
            if taken is None:
                owners[problem.name.lower()] = (problem.name, ("datasets", position))
            else:
                how = "is taken by" if taken[0] == problem.name else f"differs only in case from {taken[0]!r} of"
                mistakes.add(said.place("name"), f"the name {problem.name!r} {how} {written_key(taken[1])}; "
                             "give each its own name")
            problems.append(problem)
    return tuple(problems)


class _Said:
    """What the file says of one dataset: by itself, or at its top for every dataset."""

    def __init__(self, entry: DatasetEntry, position: int, file: StudyFile) -> None:
        self.entry, self._position, self.file = entry, position, file

    def get(self, key: str) -> Any:
        """The value of a key of `DatasetKeys`."""
        return getattr(self._source(key), key)

    def place(self, key: str) -> Key:
        """Where that value stands."""
        return (key,) if self._source(key) is self.file else ("datasets", self._position, key)

    def _source(self, key: str) -> DatasetKeys:
        by_default = key in self.file.model_fields_set and key not in self.entry.model_fields_set
        return self.file if by_default else self.entry


def _problems(said: _Said, folder: Path, mistakes: Mistakes) -> Iterator[Problem]:
    entry = said.entry
    trains = _tables(entry.train, folder)
    if not trains:
        mistakes.add(said.place("train"), _not_found(entry.train, folder))
    if entry.name is not None and len(trains) > 1:
        mistakes.add(said.place("name"), f"the pattern {shown(entry.train)} matches {len(trains)} files, which cannot "
                     "all be called so; leave name out, or name one file")
        return
    _check_columns(said, mistakes)
    _check_delimiter(said, mistakes)
    metric = _metric(said, mistakes)
    shared = {
        "metric": metric, "folds": said.file.folds, "repeats": said.file.repeats, "seed": said.file.seed,
        **{key: said.get(key) for key in DatasetKeys.model_fields
           if key not in ("metric", "test", "sample_submission")},
    }
    for train in trains:
        test = _file(said, "test", train, folder, mistakes)
        sample = _file(said, "sample_submission", train, folder, mistakes)
        if sample is not None and test is None and said.get("sample_submission") and os.path.isfile(sample):
            mistakes.add(said.place("sample_submission"), 'a sample is given, and no test table; name that with '
                         'test = "..."')
        for key, path in (("train", train), ("test", test), ("sample_submission", sample)):
            if path is not None and not is_utf8(path):
                mistakes.add(said.place(key), f"the name of {shown_path(path)} is not UTF-8; rename it")
        name = entry.name or default_name(train)
        yield Problem(name=name, train=train, test=test, sample_submission=sample, **shared)


def default_name(train: str) -> str:
    """What a dataset is called after its training table."""
    name = stem(os.path.basename(train))
    return as_name(os.path.basename(os.path.dirname(train)) if name.lower() in _BARE_NAMES else name)


def _tables(pattern: str, folder: Path) -> list[str]:
    """Absolute paths of the files that a path or a pattern names; a file that is called like a pattern is itself."""
    path = absolute_path(pattern, folder)
    if os.path.isfile(path):
        return [path]
    if not pattern.isprintable() or _too_wide(pattern):
        return []
    matches = glob.glob(absolute_path(pattern, Path(glob.escape(str(folder)))))
    return sorted(os.path.normpath(match) for match in matches if os.path.isfile(match))


def _file(said: _Said, key: str, train: str, folder: Path, mistakes: Mistakes) -> str | None:
    given = said.get(key)
    if given is False:
        return None
    if given is None:
        return None if said.get("test") is False else _beside(train, key)
    path = absolute_path(given, folder)
    if not os.path.isfile(path):
        mistakes.add(said.place(key), _not_found(given, folder))
    return path


def _beside(train: str, role: str) -> str | None:
    """The file of this role beside a table that is called ``train``, as competitions hand them out."""
    folder, name = os.path.split(train)
    if stem(name) != "train":
        return None
    own = name[len("train"):]
    candidates = (os.path.join(folder, role + ending) for ending in (own, *_ENDINGS))
    return next((path for path in candidates if os.path.isfile(path)), None)


def absolute_path(path: str, folder: Path) -> str:
    """The path of a study file that lies in ``folder``; ``~`` is the person's home."""
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def _too_wide(pattern: str) -> bool:
    parts = pattern.split("/")
    return len(parts) > _MAX_FOLDERS or sum(map(glob.has_magic, parts)) > _MAX_OPEN


def _not_found(given: str, folder: Path) -> str:
    """Says what was looked for, and the nearest name that is there."""
    path = absolute_path(given, folder)
    if address := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", given):
        following = f"write the path without {address[0]}" if address[1].lower() == "file" else \
            "download it, and name the file"
        return f"found the URL {shown_path(given)}, expected a file on this machine; {following}"
    if os.path.isdir(path):
        return f"found the folder {shown_path(given)}, expected a file in it"
    if os.path.islink(path) and not os.path.exists(path):
        return f"found the link {shown_path(given)}, which leads nowhere; replace it by the file"
    if os.path.exists(path):
        return f"found the pipe or device {shown_path(given)}, expected a regular file; copy what it gives into one"
    if _too_wide(given):
        return (f"no file {shown_path(given)}; a pattern has at most {_MAX_FOLDERS} folders, and a * in {_MAX_OPEN} of "
                "them")
    if glob.has_magic(given):
        return f"no file matches {shown_path(given)} (from {shown_path(folder)}); mend the pattern, or its path"
    around = os.path.dirname(path)
    if not os.path.isdir(around):
        return f"no file {shown_path(given)}: there is no folder {shown_path(around)}; mend the path"
    try:
        names = os.listdir(around)
    except OSError:  # a folder that may be entered but not read has no hint to give
        names = []
    near = difflib.get_close_matches(os.path.basename(path), names, n=1)
    hint = f"did you mean {shown(near[0])}?" if near else "mend the path, which is relative to the study file"
    return f"no file {shown_path(given)} (from {shown_path(folder)}); {hint}"


def _metric(said: _Said, mistakes: Mistakes) -> str | None:
    """The metric by its own name, where one is given."""
    if said.get("metric") is None:
        return None
    try:
        metric = get_metric(said.get("metric"))
        if said.get("task") is not None:
            metric.check_task(said.get("task"))
    except UserError as error:
        mistakes.add(said.place("metric"), str(error))
        return None
    return metric.name


def _check_columns(said: _Said, mistakes: Mistakes) -> None:
    """One column cannot be two things."""
    target = said.get("target")
    if target is not None:
        for key in _OTHER_ROLES:
            if said.get(key) == target:
                mistakes.add(said.place(key), f"{shown(target)} is the target already; name another column")
        if target in said.get("drop"):
            mistakes.add(said.place("drop"), f"{shown(target)} is the target; it cannot be left out")
    for column in sorted(set(said.get("categorical")) & set(said.get("numeric"))):
        mistakes.add(said.place("numeric"), f"{shown(column)} is listed under categorical too; choose one of the two")


def _check_delimiter(said: _Said, mistakes: Mistakes) -> None:
    """A delimiter can stand in no number and no word."""
    delimiter = said.get("delimiter")
    wrong = "a quote" if delimiter == '"' else "the end of a line" if delimiter in "\r\n" else \
        "a control character" if delimiter != "\t" and (delimiter < " " or delimiter == "\x7f") else \
        "beyond ASCII" if not delimiter.isascii() else "a letter or digit" if delimiter.isalnum() else ""
    if wrong:
        mistakes.add(said.place("delimiter"), f'found {shown(delimiter)}, which is {wrong}; expected one such as ",", '
                     '";", "\\t" or "|"')


def _is_duration(text: str) -> bool:
    try:
        values.duration(text)
    except ValueError:
        return False
    return True
