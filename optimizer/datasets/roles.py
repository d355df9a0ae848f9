"""Which column is the target and which names the rows, with the reason where nobody said it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from optimizer.datasets.problem import Problem
from optimizer.datasets.read import read_header
from optimizer.errors import DatasetError, did_you_mean, quoted

#: The reason for what a person said.
GIVEN = "as given"

#: What a target is called where nothing else tells, in order.
_TARGET_NAMES = ("target", "label", "labels", "class", "y", "outcome", "response")


class Inferred(msgspec.Struct, frozen=True):
    """A value and, as a sentence without its full stop, why it is that one."""

    value: str | None
    why: str


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """What the columns are for."""

    target: Inferred
    #: Its value is ``None`` where rows have no names.
    id: Inferred


def read_roles(problem: Problem) -> Roles:
    """`infer_roles` with the headers of the problem's files."""
    test, sample = (None if path is None else read_header(Path(path), problem.delimiter)
                    for path in (problem.test, problem.sample_submission))
    return infer_roles(problem, read_header(Path(problem.train), problem.delimiter), test, sample)


def infer_roles(
    problem: Problem, train: Sequence[str], test: Sequence[str] | None, sample: Sequence[str] | None
) -> Roles:
    """Target and id from the headers of the tables.

    Raises `DatasetError` for a name that no column has, and where nothing tells the target.
    """
    columns = set(train)
    for key in ("target", "id", "weights", "groups", "time"):
        name = getattr(problem, key)
        if name is not None and name not in columns and not (key == "id" and test is not None and name in test):
            raise _no_such_column(problem, key, name, train)
    for key in ("drop", "categorical", "numeric"):
        for name in getattr(problem, key):
            if name not in columns:
                raise _no_such_column(problem, key, name, train)
    identifier = _infer_id(problem, train, test, sample)
    return Roles(target=_infer_target(problem, train, test, sample, identifier.value), id=identifier)


def _infer_id(
    problem: Problem, train: Sequence[str], test: Sequence[str] | None, sample: Sequence[str] | None
) -> Inferred:
    if problem.id is not None:
        return Inferred(problem.id, GIVEN)
    if sample is not None and len(sample) > 1 and (test is None or sample[0] in test):
        return Inferred(sample[0], "the first column of the sample submission")
    if test is not None and sample is None and test[0] in train and _is_called_id(test[0]):
        return Inferred(test[0], "the first column of the test table, by its name")
    return Inferred(None, "no column is known to name the rows")


def _infer_target(
    problem: Problem, train: Sequence[str], test: Sequence[str] | None, sample: Sequence[str] | None,
    identifier: str | None,
) -> Inferred:
    if problem.target is not None:
        return Inferred(problem.target, GIVEN)
    said = {problem.weights, problem.groups, problem.time, identifier}
    if sample is not None:
        columns = [name for name in sample[1:] or sample if name in train and name not in (test or ())]
        if len(columns) == 1:
            return Inferred(columns[0], "the column that the sample submission asks for")
    if test is not None:
        there = {*test, *said}
        lacking = [name for name in train if name not in there]
        if len(lacking) == 1:
            return Inferred(lacking[0], "the only column of the training table that the test table lacks")
        raise DatasetError(
            "the target cannot be told: the test table lacks "
            + (", ".join(map(quoted, lacking[:8])) if lacking else "no column of the training table"),
            path=problem.train, hint="name it: target = \"...\" in the study file, or --target on the command line")
    for wanted in _TARGET_NAMES:
        for name in train:
            if name.strip().lower() == wanted:
                return Inferred(name, "by its name")
    raise DatasetError(
        f"the target cannot be told from one table; its columns are {', '.join(map(quoted, train[:12]))}"
        + (f" and {len(train) - 12} more" if len(train) > 12 else ""),
        path=problem.train, hint="name it: target = \"...\" in the study file, or --target on the command line")


def _no_such_column(problem: Problem, key: str, name: str, train: Sequence[str]) -> DatasetError:
    return DatasetError(f"{key} is {quoted(name)}, and the table has no such column; {did_you_mean(name, train)}",
                        path=problem.train)


def _is_called_id(name: str) -> bool:
    lowered = name.strip().lower()
    return lowered == "id" or lowered.endswith(("_id", " id", "-id")) or name.endswith(("Id", "ID"))
