"""Submission files: what a trial predicted of the test table, in the shape of the person's sample.

What is written is what was scored: labels are chosen after averaging, from the stored probabilities, by the rule of
`optimizer.metrics` (the first class of the highest probability). Files appear whole or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from optimizer.errors import StorageFault, UserError
from optimizer.records import TrialRecord
from optimizer.store import submission_name
from optimizer.views.results import RunView, is_submittable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from optimizer.datasets.table import SubmissionShape, TableMeta

    Floats = npt.NDArray[np.floating[Any]]

#: What a person can do where predictions are gone.
_OTHERS = ("`optimizer export` writes the best that have theirs, `optimizer predict` needs kept models only, and a "
           "higher resources.disk_limit keeps more from now on")
_WHO_IS_PREDICTED = "that is done for the best when a trial is told, and for others where it costs next to nothing"
#: Trials passed over that are named.
_NAMED = 3
#: Header of the first column where a new table's rows have no ids.
_ROW = "row"


def best_path(run: Path, dataset: str) -> Path:
    """Where a dataset's best submission so far lies."""
    return _in_scores(run, f"best-{dataset}.csv")


def improvement_path(run: Path, record: TrialRecord) -> Path:
    """Where the submission of one trial lies: ``scores/subm-<score>-<time>-<family>-<dataset>.csv``.

    The time is when the trial was told (UTC), so that the same trial always has the same file.
    """
    return _in_scores(run, submission_name(record))


def _in_scores(run: Path, name: str) -> Path:
    # The study file's names are safe, but a run's folder may have been handed over, with a journal that says anything.
    if "/" in name or "\0" in name:
        raise StorageFault(f"{name!r} would lie outside {run / 'scores'}; the journal has been tampered with")
    return run / "scores" / name


def submission_rows(
    stored: Floats, meta: TableMeta, shape: SubmissionShape, ids: Sequence[str] | None,
) -> Iterable[list[str]]:
    """The submission's rows as text, the header first.

    Args:
        stored: predictions (rows, k) as the store keeps them, in the order of ``ids``.
        meta: of the table, for its task and its classes as the person wrote them.
        shape: what the columns are.
        ids: as the sample has them; ``None`` for a submission without an id column.
    """
    columns = _columns(stored, meta, shape)
    header = list(shape.columns)
    # Ids and labels are text that came from the person's own files and must go back letter by letter, or the
    # submission would be refused. So a cell that a spreadsheet would take for a formula (=, +, -, @) is not defused.
    if shape.id_column is not None and ids is not None:
        header, columns = [shape.id_column, *header], [ids, *columns]
    yield header
    for row in zip(*columns, strict=True):
        yield list(row)


def _columns(stored: Floats, meta: TableMeta, shape: SubmissionShape) -> list[Sequence[str]]:
    from optimizer.store import from_stored

    prediction = from_stored(stored, meta.task)
    if shape.kind == "values":
        return [_numbers(prediction)]
    if shape.kind == "probability":
        return [_numbers(prediction[:, -1])]
    if shape.kind == "probabilities":
        return [_numbers(prediction[:, code]) for code in shape.class_of_column]
    if shape.kind == "labels":
        return [[meta.classes[code] for code in prediction.argmax(axis=1).tolist()]]
    raise StorageFault(f"table {meta.fingerprint}: a submission of kind {shape.kind!r} is not known here")


def _numbers(column: Floats) -> list[str]:
    # repr is the shortest text that reads back as the same number.
    return [repr(value) for value in column.tolist()]


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table in one step; raises `StorageFault`, and the file is as it was, where that fails."""
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        text.flush()
        text.detach()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file in one step; raises `StorageFault`, and the target is as it was, where that fails."""
    with replacing(target) as file, source.open("rb") as original:
        shutil.copyfileobj(original, file)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path`` when the block ends well: a reader never sees half of it.

    Raises:
        StorageFault: it could not be written; the file at ``path`` is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, UnicodeError) as error:
        raise StorageFault(f"{path}: {error}") from error


def write_submission(run: Path, record: TrialRecord, path: Path) -> None:
    """Write the submission of a told trial from its stored predictions.

    Raises:
        UserError: the trial cannot be submitted; the message says why.
        StorageFault: its predictions or its table cannot be read, or the file cannot be written.
    """
    import numpy as np

    from optimizer.datasets.table import read_meta
    from optimizer.store import Store

    refusal = why_not_submittable(record)
    if refusal:
        hint = f"; {_OTHERS}" if record.predictions == "evicted" else ""
        raise UserError(f"{record.trial} cannot be submitted: {refusal}{hint}")
    store = Store(run)
    folder = store.table_folder(record.table)
    meta = read_meta(folder)
    if meta.submission is None:
        raise UserError(f"{record.trial} cannot be submitted: {record.dataset} has no test table")
    test = store.read_predictions(record.trial, record.attempt, record.predictions_sha256).test
    if test is None:
        raise StorageFault(f"predictions of {record.trial}: the test rows are missing, and the record says otherwise")
    try:
        order = np.load(folder / "id_rows.npy", allow_pickle=False)
        ids = _load_ids(folder)
        rows = submission_rows(test[order], meta, meta.submission, ids)
        write_csv(path, rows)
    except (OSError, ValueError, IndexError) as error:
        raise StorageFault(f"submission of {record.trial}: {error}") from error


def _load_ids(folder: Path) -> list[str] | None:
    import numpy as np

    path = folder / "ids.npy"
    return [str(i) for i in np.load(path, allow_pickle=False).tolist()] if path.exists() else None


def why_not_submittable(record: TrialRecord) -> str:
    """Why no submission can be written of this trial; empty where one can."""
    if is_submittable(record):
        return ""
    if record.state != "complete":
        return f"the trial was {record.state}" if record.state == "pruned" else "the trial failed"
    if not record.test_predicted:
        return "its test rows were not predicted"
    return "its predictions were evicted to keep the disk limit"


def passed_over(run: Path, *, top: int, dataset: str | None = None) -> list[str]:
    """Sentences about those of the best ``top`` trials that `export` passes over and writes others in their place.

    The first few are named, of more only the number is said.
    """
    view = RunView.open(run)
    sentences = []
    for name in [dataset] if dataset is not None else view.datasets:
        ranked = view.ranked(name)
        if not any(map(is_submittable, ranked)):
            continue  # there is no test table, or nothing that could take their place
        over = [(rank, r) for rank, r in enumerate(ranked[:top], start=1) if not is_submittable(r)]
        sentences += [f"{r.trial} (rank {rank}) is passed over: {why_not_submittable(r)}; "
                      f"{_OTHERS if r.predictions == 'evicted' else _WHO_IS_PREDICTED}"
                      for rank, r in over[:_NAMED]]
        if len(over) > _NAMED:
            sentences.append(f"{len(over) - _NAMED} more of the best {top} of {name} are passed over for the same")
    return sentences


def write_new_predictions(
    run: Path, record: TrialRecord, stored: Floats, ids: Iterable[object] | None, path: Path,
) -> None:
    """Write what kept models say of a new table, in the shape of the study's submissions.

    A new table with exactly the ids of the study's own test table is written in the sample's order, so that the file
    is the submission again; any other in its own order. Where the study has no test table, the shape is the plainest
    of the task.

    Args:
        run: the run's folder.
        record: the trial whose models predicted.
        stored: (rows, k) as the store keeps predictions, in the order of the new table.
        ids: of the new table, as written there; ``None`` where it has none.
        path: the file to write.
    """
    import numpy as np

    from optimizer.datasets.table import read_meta
    from optimizer.store import Store

    folder = Store(run).table_folder(record.table)
    meta = read_meta(folder)
    shape = meta.submission or _plainest_shape(meta, record.metric)
    if ids is None and shape.id_column is not None:
        shape, ids = msgspec.structs.replace(shape, id_column=_ROW), range(len(stored))
    written = None if ids is None else [str(i) for i in ids]
    if written is not None and (known := _load_ids(folder)) is not None:
        place = {text: row for row, text in enumerate(written)}
        if len(place) == len(written) == len(known) and place.keys() == set(known):
            stored, written = stored[np.array([place[text] for text in known])], known
    write_csv(path, submission_rows(stored, meta, shape, written))


def _plainest_shape(meta: TableMeta, metric: str) -> SubmissionShape:
    """What the metric judges: values, labels or probabilities."""
    from optimizer.datasets.table import SubmissionShape
    from optimizer.metrics import get_metric

    kind = get_metric(metric).needs
    if kind == "probabilities" and meta.task == "multiclass":
        return SubmissionShape(kind=kind, id_column="id", columns=meta.classes,
                               class_of_column=tuple(range(len(meta.classes))))
    return SubmissionShape(kind="probability" if kind == "probabilities" else kind, id_column="id",
                           columns=(meta.target,))


def export(run: Path, *, top: int, dataset: str | None = None) -> list[Path]:
    """Write the submissions of the best ``top`` trials of each dataset into ``scores/`` and return their paths.

    Trials without test predictions are passed over; a dataset without a test table has none.

    Raises:
        UserError: nothing at all can be exported, or the run has no such dataset.
        StorageFault: a file cannot be read or written.
    """
    view = RunView.open(run)
    there = (run / "scores").resolve()
    if not there.is_relative_to(run.resolve()):
        raise UserError(f"{run / 'scores'} is a link to {there}, outside of the run's folder, where nothing is "
                        "written; replace it by a folder")
    paths = []
    for name in [dataset] if dataset is not None else view.datasets:
        view.leaderboard(name, top=0)  # refuses an unknown name
        for record in view.ranked(name, where=is_submittable)[:top]:
            path = improvement_path(run, record)
            if not path.exists():
                write_submission(run, record, path)
            paths.append(path)
    if not paths:
        raise UserError(f"run {view.name!r} has nothing to export yet: no complete trial with test predictions")
    return paths
