"""Who validates what: the same folds for every family and trial, made once and stored with the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.datasets.cells import clean, date_format_of, to_dates, to_numbers
from optimizer.datasets.encode import distinct_codes
from optimizer.datasets.problem import Problem
from optimizer.datasets.read import TextTable
from optimizer.errors import DatasetError, quoted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.int16]


def fold_kind(problem: Problem, task: str) -> str:
    """``stratified``, ``plain``, ``grouped``, ``stratified-grouped`` or ``time``, as the problem asks.

    Raises `DatasetError` for wishes that exclude each other.
    """
    if problem.folds < 2:
        raise DatasetError(f"folds = {problem.folds}: cross-validation needs at least 2", path=problem.train,
                           hint="set folds = 5")
    if problem.repeats < 1:
        raise DatasetError(f"repeats = {problem.repeats}: at least 1", path=problem.train, hint="set repeats = 1")
    if problem.time is not None:
        if problem.groups is not None:
            raise DatasetError("time and groups are both given", path=problem.train,
                               hint="folds follow one of them; leave the other out")
        if problem.repeats > 1:
            raise DatasetError(f"repeats = {problem.repeats} with time-ordered folds", path=problem.train,
                               hint="time has one order; set repeats = 1")
        return "time"
    if problem.groups is not None:
        return "grouped" if task == "regression" else "stratified-grouped"
    return "plain" if task == "regression" else "stratified"


def make_folds(
    kind: str, problem: Problem, y: npt.NDArray[np.float64], groups: npt.NDArray[np.int32] | None,
    time: npt.NDArray[np.float64] | None,
) -> Rows:
    """Fold numbers, int16 of shape (repeats, rows), in the meaning of `optimizer.datasets.table.Table.split`.

    The first repeat is split with the person's seed itself, so that ``stratified`` is scikit-learn's
    ``StratifiedKFold(folds, shuffle=True, random_state=seed)`` and published results can be compared.
    Raises `DatasetError` where a fold would stay empty or miss a class.
    """
    import numpy as np

    if len(y) < 2 * problem.folds:
        raise DatasetError(f"{len(y)} rows are too few for {problem.folds} folds", path=problem.train,
                           hint="lower folds: every fold validates at least 2 rows")
    if time is not None:
        return _time_folds(problem, time)[None, :]
    seeds = [problem.seed, *(_derived(problem.seed, repeat) for repeat in range(1, problem.repeats))]
    return np.stack([_shuffled(kind, problem, seed, y, groups) for seed in seeds])


def check_classes(kind: str, problem: Problem, y: npt.NDArray[np.float64], folds: Rows, classes: tuple[str, ...]) -> \
        tuple[str, ...]:
    """Notices about classes that a fold does not validate.

    Raises `DatasetError` where a fold would train without a class, or judge two classes by rows of one.
    """
    import numpy as np

    notices, codes = [], y.astype(np.int64)
    for repeat, numbers in enumerate(folds):
        for fold in range(problem.folds):
            train, valid = (numbers <= fold, numbers == fold + 1) if kind == "time" else \
                (numbers != fold, numbers == fold)
            lacking, unseen = (
                [classes[k] for k in np.flatnonzero(np.bincount(codes[part], minlength=len(classes)) == 0)]
                for part in (train, valid))
            if lacking or (unseen and len(classes) == 2):
                part, label = ("train", lacking[0]) if lacking else ("validate", unseen[0])
                raise DatasetError(f"fold {fold + 1} would {part} without a row of class {quoted(label)}",
                                   path=problem.train, hint="lower folds, or choose other folds")
            if unseen:
                notices.append(f"fold {fold + 1} of repeat {repeat + 1} validates no row of "
                               f"{', '.join(map(quoted, unseen[:12]))}")
    return tuple(notices)


def read_groups(table: TextTable, name: str) -> npt.NDArray[np.int32]:
    """Group numbers by row; raises `DatasetError` for a row without a group."""
    import numpy as np

    codes, _ = distinct_codes(clean(table.column(name)))
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise table.error(f"{_rows(len(missing))} no group: {table.where(missing.tolist())}",
                          row=int(missing[0]), column=name, hint="fill them in, or remove these rows from the file")
    return codes


def read_time(table: TextTable, name: str) -> npt.NDArray[np.float64]:
    """A number by row that orders the rows in time; raises `DatasetError` for a row without a time."""
    import numpy as np

    text = clean(table.column(name))
    values, wrong = to_numbers(text)
    if wrong is not None:
        codes, distinct = distinct_codes(text)
        found = date_format_of(distinct)
        strange = np.flatnonzero(wrong)
        if found is None and 2 * len(strange) < len(values):
            raise table.error(f"{_rows(len(strange))} a time that is no number, the first is "
                              f"{quoted(text[int(strange[0])].as_py())}: {table.where(strange.tolist())}",
                              row=int(strange[0]), column=name, hint="mend these cells, or remove their rows")
        if found is None:
            raise table.error("is neither numbers nor dates, so the rows have no order", column=name, hint=(
                "name another column with time = ..., or write its dates alike, as in 2026-01-31"))
        stamps = to_dates(distinct, found[0]).astype("int64").to_numpy().astype(np.float64)
        values = np.append(stamps, np.nan)[codes]
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        raise table.error(f"{_rows(len(missing))} no time: {table.where(missing.tolist())}",
                          row=int(missing[0]), column=name, hint="fill them in, or remove these rows from the file")
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise table.error(f"{_rows(len(infinite))} an infinite time, the first is "
                          f"{quoted(table.column(name)[int(infinite[0])].as_py())}",
                          row=int(infinite[0]), column=name, hint="mend these cells, or remove their rows")
    return values


def read_weights(table: TextTable, name: str) -> npt.NDArray[np.float64]:
    """Row weights; raises `DatasetError` for one that is missing, negative, infinite or no number, or if all are 0."""
    import numpy as np

    weights, _ = to_numbers(clean(table.column(name)))
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        cell = table.column(name)[int(bad[0])].as_py()
        raise table.error(f"a weight is a number of at least 0, and {len(bad)} "
                          f"{'is' if len(bad) == 1 else 'are'} not, the first is {quoted(cell)}: "
                          f"{table.where(bad.tolist())}", row=int(bad[0]), column=name,
                          hint="mend these cells, or leave weights out")
    if not weights.any():
        raise table.error("every weight is 0", column=name, hint="leave weights out, or name another column")
    return weights


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count} rows have"


def _shuffled(
    kind: str, problem: Problem, seed: int, y: npt.NDArray[np.float64], groups: npt.NDArray[np.int32] | None
) -> Rows:
    import numpy as np
    from sklearn import model_selection

    splitter = {
        "stratified": model_selection.StratifiedKFold, "plain": model_selection.KFold,
        "grouped": model_selection.GroupKFold, "stratified-grouped": model_selection.StratifiedGroupKFold,
    }[kind](n_splits=problem.folds, shuffle=True, random_state=seed)
    if groups is not None and len(np.unique(groups)) < problem.folds:
        raise DatasetError(f"{len(np.unique(groups))} groups are too few for {problem.folds} folds",
                           path=problem.train, column=problem.groups, hint="lower folds")
    numbers = np.zeros(len(y), np.int16)
    for fold, (_, valid) in enumerate(splitter.split(y[:, None], y, groups)):
        if not len(valid):
            raise DatasetError(f"fold {fold + 1} would validate no row, for the groups are too unequal",
                               path=problem.train, column=problem.groups, hint="lower folds")
        numbers[valid] = fold
    return numbers


def _time_folds(problem: Problem, time: npt.NDArray[np.float64]) -> Rows:
    """Stretches 0 to ``folds`` of scikit-learn's `TimeSeriesSplit`; rows of one moment stay in one stretch."""
    import numpy as np
    from sklearn.model_selection import TimeSeriesSplit

    order = np.argsort(time, kind="stable")
    sorted_time = time[order]
    in_order = np.zeros(len(time), np.int16)
    for fold, (_, valid) in enumerate(TimeSeriesSplit(n_splits=problem.folds).split(order)):
        # The stretch begins with the first row of its first moment, so no moment is torn apart.
        start = int(np.searchsorted(sorted_time, sorted_time[valid[0]], side="left"))
        in_order[start:] = fold + 1
    if len(np.unique(in_order)) <= problem.folds:
        raise DatasetError(f"too few different moments for {problem.folds} time-ordered folds",
                           path=problem.train, column=problem.time, hint="lower folds")
    numbers = np.empty_like(in_order)
    numbers[order] = in_order
    return numbers


def _derived(seed: int, repeat: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence([seed % 2**32, repeat]).generate_state(1)[0])
