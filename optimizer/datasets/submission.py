"""What a submission looks like, taken from the sample, and which test row each of its ids means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.datasets.cells import clean, to_numbers
from optimizer.datasets.encode import read_ids
from optimizer.datasets.lines import NAMED
from optimizer.datasets.problem import Problem
from optimizer.datasets.read import TextTable
from optimizer.datasets.table import SubmissionShape
from optimizer.errors import DatasetError, did_you_mean, listed, printable, quoted
from optimizer.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KINDS = ("labels", "probability", "probabilities", "values")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a submission, and what the person should know of how it was found."""

    shape: SubmissionShape
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Which rows a submission has."""

    #: As written in the sample, in the sample's order; ``None`` where a submission has no ids.
    ids: npt.NDArray[np.str_] | None
    #: The test row of each.
    id_rows: npt.NDArray[np.int64]
    notices: tuple[str, ...] = ()


def shape_of(
    problem: Problem, sample: TextTable | None, id_column: str | None, target: str, task: str,
    classes: Sequence[str], metric: Metric | None,
) -> Shape:
    """The submission's shape: the sample's columns, and what to fill them with.

    Raises `DatasetError` where the sample's columns fit neither the target nor the classes.
    """
    if problem.submission is not None:
        _check_forced(problem.submission, task, problem)
    if sample is None:
        return _without_sample(problem, id_column, target, task, classes, metric)
    has_ids = len(sample.names) > 1
    columns = sample.names[1:] if has_ids else sample.names
    header = sample.names[0] if has_ids else None
    if len(columns) > 1:
        kind, class_of_column = "probabilities", _classes_of(columns, classes, sample, task)
        notices: tuple[str, ...] = ()
        if problem.submission not in (None, kind):
            raise sample.error(f"the sample has {len(columns)} columns to fill, and submission = "
                               f"{problem.submission!r} fills one",
                               hint="leave submission out, or take the sample of that kind")
    else:
        kind, notices = _kind_of_column(problem, sample, columns[0], task, classes, metric)
        class_of_column = ()
    shape = SubmissionShape(kind=kind, id_column=header, columns=columns, class_of_column=class_of_column)
    return Shape(shape=shape, notices=notices)


def rows_of(
    sample: TextTable | None, test: TextTable, id_column: str | None, ids: npt.NDArray[np.str_] | None
) -> Rows:
    """Match the sample's ids with the test rows; ``ids`` are the test table's own.

    Raises `DatasetError` with examples for ids that are doubled, or in one of the tables only.
    """
    import numpy as np

    if ids is not None:
        _refuse_doubled(test, str(id_column), ids)
    in_order = np.arange(test.rows, dtype=np.int64)
    if sample is None:
        return Rows(ids=ids, id_rows=in_order)
    if ids is None or len(sample.names) == 1:
        if sample.rows != test.rows:
            raise sample.error(f"{sample.rows} rows, and the test table has {test.rows}; without a common id column "
                               "they cannot be matched", hint="name the test table's id column with id = ...")
        if len(sample.names) == 1:
            return Rows(ids=None, id_rows=in_order)
        return Rows(ids=read_ids(sample, sample.names[0]), id_rows=in_order, notices=(
            f"the test table has no column {sample.names[0]!r}: the sample's ids are taken in the order of its rows",))
    wanted = read_ids(sample, sample.names[0])
    _refuse_doubled(sample, sample.names[0], wanted)
    order = np.argsort(ids, kind="stable")
    at = np.clip(np.searchsorted(ids, wanted, sorter=order), 0, len(ids) - 1)
    found = ids[order[at]] == wanted
    if not found.all() or len(wanted) != len(ids):
        raise _unmatched(sample, test, wanted, ids, found)
    return Rows(ids=wanted, id_rows=order[at].astype(np.int64))


def _check_forced(kind: str, task: str, problem: Problem) -> None:
    if kind not in KINDS:
        raise DatasetError(f"no submission is called {kind!r}; {did_you_mean(kind, KINDS)}", path=problem.train)
    fitting = {"binary": ("labels", "probability", "probabilities"), "multiclass": ("labels", "probabilities"),
               "regression": ("values",)}[task]
    if kind not in fitting:
        raise DatasetError(f"submission = {kind!r} does not fit a {task} task", path=problem.train,
                           hint=f"one of: {', '.join(fitting)}")


def _without_sample(
    problem: Problem, id_column: str | None, target: str, task: str, classes: Sequence[str], metric: Metric | None
) -> Shape:
    kind = problem.submission
    if kind is None:
        if task == "regression":
            kind = "values"
        elif metric is None or metric.needs == "labels":
            kind = "labels"
        else:
            kind = "probability" if task == "binary" else "probabilities"
    several = kind == "probabilities"
    return Shape(shape=SubmissionShape(
        kind=kind, id_column=id_column, columns=tuple(classes) if several else (target,),
        class_of_column=tuple(range(len(classes))) if several else (),
    ), notices=(f"no sample submission: a submission has {'one column per class' if several else kind}",))


def _kind_of_column(
    problem: Problem, sample: TextTable, column: str, task: str, classes: Sequence[str], metric: Metric | None
) -> tuple[str, tuple[str, ...]]:
    """What goes into the sample's only column, and why if that is not plain."""
    import numpy as np
    import pyarrow.compute as pc

    if problem.submission is not None:
        if problem.submission == "probabilities":
            raise sample.error("submission = 'probabilities' needs one column per class, and the sample has one",
                               hint="leave submission out, or take the sample of that kind")
        return problem.submission, ()
    if task == "regression":
        return "values", ()
    cells = pc.unique(sample.column(column)).to_pylist()
    label_like = set(cells) <= set(classes)
    if task == "multiclass":
        if metric is not None and metric.needs == "probabilities":
            return "labels", (f"{metric.name} judges probabilities, and the sample has one column: labels go there",)
        return "labels", () if label_like else (
            f"the sample's cells, such as {quoted(cells[0])}, are no classes of the training table",)
    judge = metric.name if metric is not None and metric.needs == "probabilities" else None
    if label_like and judge is None:
        return "labels", ()
    said = f"the submission holds the probability of {classes[-1]!r}"
    if label_like:
        return "probability", (f"the sample holds labels, and {judge} judges probabilities: {said}",)
    numbers, wrong = to_numbers(clean(sample.column(column)))
    if wrong is None and bool(((numbers >= 0) & (numbers <= 1)).all()) and not np.isnan(numbers).any():
        return "probability", (f"the sample holds numbers from 0 to 1, not the labels: {said}",)
    return "labels", (f"the sample's cells, such as {quoted(cells[0])}, are no classes of the training table",)


def _classes_of(columns: Sequence[str], classes: Sequence[str], sample: TextTable, task: str) -> tuple[int, ...]:
    """The class that each column's header names, exactly or behind a prefix that all have, such as ``Status_``."""
    if task == "regression":
        raise sample.error(f"the sample has {len(columns)} columns to fill ({listed(columns, NAMED)}), and only "
                           "one target can be predicted", hint="leave sample_submission out, or give it one column")
    prefix, suffix = _common_start(columns), _common_start([name[::-1] for name in columns])
    candidates = (list(columns), *(
        [name[start: len(name) - end] for name in columns]
        for start in range(prefix, -1, -1) for end in range(suffix + 1) if start or end
    ))
    for fold_case in (False, True):
        codes = {_case(label, fold_case): code for code, label in enumerate(classes)}
        for names in candidates:
            found = [codes.get(_case(name, fold_case), -1) for name in names]
            if -1 not in found and len(set(found)) == len(classes):
                return tuple(found)
    strange = [name for name in columns if name not in classes] or list(columns)
    raise sample.error(
        f"the sample's columns {', '.join(map(quoted, strange[:NAMED]))} do not name the {len(classes)} classes "
        f"{', '.join(map(quoted, classes[:NAMED]))}", hint="each class needs one column, called like the class")


def _common_start(texts: Sequence[str]) -> int:
    """How many first letters all of them share."""
    return next((at for at, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1),
                min(map(len, texts)))


def _case(text: str, fold: bool) -> str:
    return text.strip().casefold() if fold else text


def _refuse_doubled(table: TextTable, column: str, ids: npt.NDArray[np.str_]) -> None:
    import numpy as np

    distinct, counts = np.unique(ids, return_counts=True)
    if len(distinct) < len(ids):
        doubled = distinct[counts > 1]
        rows = np.flatnonzero(ids == doubled[0])
        raise table.error(f"{len(doubled)} ids are there more than once, such as {quoted(doubled[0])} in "
                          f"{table.where(rows.tolist())}", row=int(rows[1]), column=column,
                          hint="an id names one row; is this the right id column?")


def _unmatched(
    sample: TextTable, test: TextTable, wanted: npt.NDArray[np.str_], ids: npt.NDArray[np.str_],
    found: npt.NDArray[np.bool_],
) -> DatasetError:
    import numpy as np

    strange, unused = wanted[~found], ids[~np.isin(ids, wanted)]
    called = printable(test.path.name)
    parts = [f"{len(some)} ids {text} (such as {', '.join(map(quoted, some[:3]))})" for some, text in (
        (strange, f"are not in {called}"), (unused, f"of {called} are not in the sample"),
    ) if len(some)]
    return sample.error("; ".join(parts), column=sample.names[0], hint=(
        "do the two files belong together? Without sample_submission every test row is predicted"))
