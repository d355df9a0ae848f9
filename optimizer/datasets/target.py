"""The column to predict: which task it makes, its classes, and its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.datasets.cells import MISSING, MISSING_AMONG_NUMBERS, clean, to_numbers
from optimizer.datasets.columns import in_order
from optimizer.datasets.problem import Problem
from optimizer.datasets.read import TextTable
from optimizer.errors import DatasetError, did_you_mean, quoted
from optimizer.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TASKS = ("binary", "multiclass", "regression")

_NOTHING_TO_LEARN = "there is nothing to learn; is this the right column? Name another with target = ..."
#: Whole numbers are classes if there are at most so many of them, each on at least so many rows on average.
_MOST_NUMBER_CLASSES = 20
_ROWS_PER_CLASS = 10


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task and why it is that one."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """The column to predict, encoded. Rows without a target are gone from the table it was read of."""

    task: Task
    #: float64, (rows,): class codes, or values on the original scale.
    y: npt.NDArray[np.float64]
    #: As the person wrote them, in code order; empty for regression.
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    notices: tuple[str, ...]


def read_target(table: TextTable, problem: Problem, name: str, metric: Metric | None) -> Target:
    """Read and check the target of the training table.

    Class labels are taken exactly as written, spaces and ``NA`` included; only an empty cell is a missing label.
    For regression the usual markers are missing too. Raises `DatasetError` for whatever makes a trial useless.
    """
    task = infer_task(table, name, problem, metric)
    if metric is not None:
        metric.check_task(task.name)
    notices = _without_target(table, problem, name, task)
    if task.name == "regression":
        return _regression(table, problem, name, task, metric, notices)
    return _classification(table, problem, name, task, notices)


def infer_task(table: TextTable, name: str, problem: Problem, metric: Metric | None) -> Task:
    """The task that this target makes; what the person says goes first, then the metric, then the cells."""
    import pyarrow.compute as pc

    cells = table.column(name)
    classes = [text for text in pc.unique(cells).to_pylist() if text is not None and text.strip()]
    if problem.task is not None:
        return _given_task(problem.task, classes, table, name)
    by_classes = "binary" if len(classes) <= 2 else "multiclass"
    if metric is not None:
        if metric.tasks == ("regression",):
            return Task(name="regression", why=f"{metric.name} judges values")
        return Task(name=by_classes, why=f"{metric.name} judges classes, and {name!r} has {len(classes)} of them")
    numbers, wrong = to_numbers(clean(cells))
    if wrong is not None:
        return Task(name=by_classes, why=f"{name!r} holds {len(classes)} different words")
    distinct = {float(text) for text in classes if text.strip() not in MISSING}
    if len(distinct) <= 2:
        return Task(name="binary", why=f"{name!r} holds {len(distinct)} different numbers")
    if any(not number.is_integer() for number in distinct):
        return Task(name="regression", why=f"{name!r} holds numbers with decimals")
    if len(distinct) <= min(_MOST_NUMBER_CLASSES, len(numbers) / _ROWS_PER_CLASS):
        return Task(name="multiclass", why=f"{name!r} holds {len(distinct)} different whole numbers")
    return Task(name="regression", why=f"{name!r} holds {len(distinct)} different whole numbers")


def _given_task(task: str, classes: Sequence[str], table: TextTable, name: str) -> Task:
    if task not in TASKS:
        raise DatasetError(f"no task is called {task!r}; {did_you_mean(task, TASKS)}", path=table.path)
    if (task == "binary" and len(classes) > 2) or (task == "multiclass" and len(classes) == 2):
        fitting = "multiclass" if task == "binary" else "binary"
        raise table.error(f"the task is said to be {task}, and there are {len(classes)} classes", column=name,
                          hint=f'set task = "{fitting}", or leave it out')
    return Task(name=task, why="as the study file says")


def _without_target(table: TextTable, problem: Problem, name: str, task: Task) -> list[str]:
    """Refuse or drop the rows without a target, as the person wants."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = table.column(name)
    if task.name == "regression":
        missing = pc.is_null(clean(cells))
    else:
        missing = pc.or_kleene(pc.is_null(cells), pc.equal(pc.utf8_trim_whitespace(cells), pa.scalar("")))
        missing = pc.fill_null(missing, True)
    mask = np.asarray(missing.to_numpy(), bool)
    rows = np.flatnonzero(mask)
    if not len(rows):
        return []
    said = f"{len(rows)} {'row has' if len(rows) == 1 else 'rows have'} no target"
    if problem.missing_target == "error" or len(rows) == len(mask):
        hint = "is this the right column? Name another with target = ..." if len(rows) == len(mask) else \
            'fill them in, or leave such rows out with missing_target = "drop"'
        raise table.error(f"{said}: {table.where(rows.tolist())}", row=int(rows[0]), column=name, hint=hint)
    notice = f"{said} and {'is' if len(rows) == 1 else 'are'} left out: {table.where(rows.tolist())}"
    table.keep(~mask)
    return [notice]


def _regression(
    table: TextTable, problem: Problem, name: str, task: Task, metric: Metric | None, notices: list[str]
) -> Target:
    import numpy as np

    if problem.positive is not None:
        raise DatasetError("positive names a class, and the task is regression", path=table.path, column=name,
                           hint="leave positive out, or say which task it is")
    y, wrong = to_numbers(clean(table.column(name)))
    for rows, what, hint in (
        (np.flatnonzero(wrong) if wrong is not None else np.array([], int), "no numbers",
         "mend these cells or drop their rows; for classes choose a metric or a task of classes"),
        (np.flatnonzero(np.isinf(y)), "infinite", "mend these cells, or drop their rows from the file"),
        (np.flatnonzero(y <= -1) if metric is not None and metric.log_target else np.array([], int),
         "-1 or less, of which a logarithmic metric cannot be computed", "choose another metric, such as rmse"),
    ):
        if len(rows):
            cell = table.column(name)[int(rows[0])].as_py()
            raise table.error(f"{len(rows)} of {len(y)} targets are {what}, the first is {quoted(cell)}",
                              row=int(rows[0]), column=name, hint=hint)
    if len(np.unique(y)) < 2:
        raise table.error("every row has the same target", column=name, hint=_NOTHING_TO_LEARN)
    if metric is not None and metric.name == "mape" and (y == 0).any():
        notices.append(f"{int((y == 0).sum())} targets are 0, and mape divides by the target")
    return Target(task=task, y=y, classes=(), class_counts=(), notices=tuple(notices))


def _classification(table: TextTable, problem: Problem, name: str, task: Task, notices: list[str]) -> Target:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = table.column(name)
    classes = _ordered(in_order(pc.unique(cells).to_pylist()), problem.positive, table, name)
    y = pc.index_in(cells, value_set=pa.array(classes, pa.string())).to_numpy().astype(np.float64)
    counts = np.bincount(y.astype(np.int64), minlength=len(classes))
    if len(classes) < 2:
        raise table.error(f"every row has the same target, {quoted(classes[0])}", column=name, hint=_NOTHING_TO_LEARN)
    if len(classes) > 0.5 * len(y) and len(classes) > _MOST_NUMBER_CLASSES:
        raise table.error(f"{len(classes)} different classes on {len(y)} rows", column=name, hint=(
            "is this the right target? For numbers set task = \"regression\""))
    rare = [f"{quoted(label)} ({count})" for label, count in zip(classes, counts, strict=True) if count < problem.folds]
    if rare and problem.time is None:
        shown = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
        fewest = int(counts.min())
        hint = f"set folds = {fewest}, or " if fewest >= 2 else ""
        if 2 * len(rare) > len(classes) > 2:
            hint = f"is this the right target, and a task of classes? If so, {hint}"
        raise table.error(f"with {problem.folds} folds a class needs {problem.folds} rows, and these have fewer: "
                          f"{shown}", column=name, hint=f"{hint}merge or remove such classes in the file")
    return Target(task=task, y=y, classes=classes, class_counts=tuple(map(int, counts)),
                  notices=(*notices, *_label_notices(classes, counts.tolist())))


def _ordered(
    classes: tuple[str, ...], positive: str | None, table: TextTable, name: str
) -> tuple[str, ...]:
    if positive is None:
        return classes
    if positive not in classes:
        raise table.error(f"positive is {quoted(positive)}, and no row has that class", column=name,
                          hint=did_you_mean(positive, classes))
    if len(classes) != 2:
        raise table.error(f"positive names one of two classes, and there are {len(classes)}", column=name,
                          hint="leave positive out")
    return (*(label for label in classes if label != positive), positive)


def _label_notices(classes: Sequence[str], counts: Sequence[int]) -> list[str]:
    notices = [
        f"the label {quoted(label)} ({count} rows) is taken as a class of its own; if it means that the target is "
        "missing, empty those cells" for label, count in zip(classes, counts, strict=True)
        if label.strip() in (*MISSING, *MISSING_AMONG_NUMBERS)
    ]
    notices += [
        f"the label {quoted(label)} begins like a formula, and submissions hold it as it is; open none in a spreadsheet"
        for label in classes if label.startswith(("=", "@"))]
    alike: dict[str, list[str]] = {}
    for label in classes:
        alike.setdefault(label.strip().casefold(), []).append(label)
    notices += [f"these labels differ only in spaces or capitals, and are taken as different classes: "
                f"{', '.join(map(quoted, labels[:12]))}" for labels in alike.values() if len(labels) > 1]
    return notices
