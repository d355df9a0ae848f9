"""Loads, checks, encodes and folds a dataset once, and keeps it by fingerprint.

``python -m optimizer.datasets.prepare DATA_ROOT`` does it in a child, so that a large file never blocks the scheduler.
Problems come as lines of JSON on standard input. Of each go out lines of JSON, ``{"progress": ...}`` any number of
times and then one ``{"prepared": ...}`` or ``{"error": ..., "kind": ...}``, with ``"next": true`` if it takes another:
most of what a small table takes is the loading of libraries, and after a large one or a fault of its own it ends.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from optimizer.datasets.columns import LeftOut, decide
from optimizer.datasets.encode import Encoder, Encoding, Loss, check_columns, encode_table, read_ids
from optimizer.datasets.folder import open_or_none, write_folder
from optimizer.datasets.folds import check_classes, fold_kind, make_folds, read_groups, read_time, read_weights
from optimizer.datasets.problem import Prepared, Problem
from optimizer.datasets.progress import Progress
from optimizer.datasets.read import TextTable, read_table
from optimizer.datasets.roles import Roles, read_roles
from optimizer.datasets.spectra import is_spectrum
from optimizer.datasets.submission import Shape, rows_of, shape_of
from optimizer.datasets.table import TableMeta
from optimizer.datasets.target import Target, read_target
from optimizer.errors import DatasetError, UserError, listed, quoted
from optimizer.metrics import default_metric, get_metric
from optimizer.process import peak_rss_mb

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Changes whenever the same files would be encoded to other numbers; part of every fingerprint.
ENCODING_VERSION = 1

#: MiB that a reader has held at most when it takes another table: what libraries keep would count as that one's.
_SLIGHT_MB = 400

#: A notice names no more columns than these.
_NAMED_COLUMNS = 12
#: A share of cells below which it is not worth saying that a test column holds something new.
_WORTH_SAYING = 0.01


@dataclass(frozen=True, kw_only=True)
class _Resolved:
    """A problem with everything inferred, and its tables read."""

    problem: Problem
    roles: Roles
    target_column: str
    train: TextTable
    test: TextTable | None
    sample: TextTable | None
    target: Target
    shape: Shape | None
    metric: str
    fold_kind: str


def prepare(problem: Problem, data_root: Path, report: Callable[[str], None]) -> Prepared:
    """Encode a dataset under ``data_root``, or find it there from before.

    ``report`` is called with a line every few seconds of work. Raises `DatasetError` or another `UserError` with
    the place and the next step where the dataset cannot be used as it is.
    """
    progress = Progress(report)
    resolved = _resolve(problem, progress)
    parts = _parts(resolved)
    fingerprint = hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:16]
    meta, reused = open_or_none(data_root / fingerprint), True
    if meta is None:
        reused = False
        meta = write_folder(data_root, fingerprint, lambda folder: _encode(resolved, fingerprint, folder, progress))
    metric = get_metric(resolved.metric)
    return Prepared(
        dataset=problem.name, fingerprint=fingerprint, metric=metric.name, direction=metric.direction,
        task=meta.task, target=meta.target, classes=meta.classes, rows=meta.rows, test_rows=meta.test_rows,
        columns=len(meta.features), folds=meta.folds, repeats=meta.repeats, seed=meta.seed, weighted=meta.weighted,
        notices=(*_inferred(resolved), *meta.notices), reused=reused,
        table_bytes=sum(file.stat().st_size for file in (data_root / fingerprint).iterdir()),
        submission_kind=meta.submission.kind if meta.submission is not None else None,
        summary=meta.summary(metric.name), parts=parts,
    )


def _inferred(resolved: _Resolved) -> list[str]:
    """What was settled for the person, and why: not part of the table, which others may share."""
    problem, roles = resolved.problem, resolved.roles
    notices = []
    if problem.target is None:
        notices.append(f"target is {quoted(resolved.target_column)}: {roles.target.why}")
    if problem.id is None and roles.id.value is not None:
        notices.append(f"id is {roles.id.value!r}: {roles.id.why}")
    if problem.task is None:
        notices.append(f"task is {resolved.target.task.name}: {resolved.target.task.why}")
    if problem.metric is None:
        notices.append(f"metric is {resolved.metric}: the usual one for this task")
    return [*notices, *(resolved.shape.notices if resolved.shape is not None else ())]


def _resolve(problem: Problem, progress: Progress) -> _Resolved:
    """Read the tables and settle what the problem leaves open."""
    if problem.sample_submission is not None and problem.test is None:
        raise DatasetError("a sample submission is given, and no test table", path=problem.sample_submission,
                           hint='name the table to predict: test = "..."')
    metric = None if problem.metric is None else get_metric(problem.metric)
    roles = read_roles(problem)
    name = str(roles.target.value)
    _refuse_double_use(problem, name, roles.id.value)
    train = read_table(Path(problem.train), delimiter=problem.delimiter, on_bad_rows=problem.bad_rows,
                       progress=progress)
    used = {"target": name, "weights": problem.weights, "groups": problem.groups, "time": problem.time}
    for key, column in used.items():
        if column is not None and column not in train.names:
            raise DatasetError(f"{key}: its cells are lists, structs or bytes, which are no plain values",
                               path=problem.train, column=column, hint="write the column as text or numbers")
    if len(train.names) < 2:
        raise DatasetError("the table has one column, and a target alone cannot be learned", path=problem.train,
                           hint="put the columns to learn from beside it; is the delimiter right?")
    target = read_target(train, problem, name, metric)
    # A row left out of these two would be a row without a prediction: they are read strictly in any case.
    test, sample = (None if path is None else read_table(Path(path), delimiter=problem.delimiter, progress=progress)
                    for path in (problem.test, problem.sample_submission))
    shape = None if test is None else shape_of(
        problem, sample, roles.id.value, name, target.task.name, target.classes, metric)
    kind = None if shape is None else shape.shape.kind
    return _Resolved(
        problem=problem, roles=roles, target_column=name, train=train, test=test, sample=sample, target=target,
        shape=shape, metric=default_metric(target.task.name, kind) if metric is None else metric.name,
        fold_kind=fold_kind(problem, target.task.name),
    )


def _refuse_double_use(problem: Problem, target: str, identifier: str | None) -> None:
    uses = {"id": identifier, "weights": problem.weights, "groups": problem.groups, "time": problem.time}
    for key, column in uses.items():
        if column == target:
            raise DatasetError(f"{target!r} is the target and cannot also be {key}", path=problem.train,
                               hint=f"name another column, or leave {key} out")
    for column in problem.categorical:
        if column in problem.numeric:
            raise DatasetError(f"{column!r} is in both categorical and numeric", path=problem.train,
                               hint="take it out of one of them")


def _parts(resolved: _Resolved) -> dict[str, str]:
    """What the encoded table depends on, by name: contents by digest, the rest as settled, not as written."""
    problem, shape = resolved.problem, resolved.shape
    lists = {key: ", ".join(sorted(getattr(problem, key))) for key in ("missing", "drop", "categorical", "numeric")}
    parts = {
        "encoding": str(ENCODING_VERSION),
        "train": resolved.train.digest,
        "test": resolved.test.digest if resolved.test is not None else "",
        "sample_submission": resolved.sample.digest if resolved.sample is not None else "",
        "target": resolved.target_column, "task": resolved.target.task.name,
        "positive": resolved.target.classes[-1] if resolved.target.task.name == "binary" else "",
        "id": resolved.roles.id.value or "", "submission": shape.shape.kind if shape is not None else "",
        "weights": problem.weights or "", "groups": problem.groups or "", "time": problem.time or "",
        "folds": str(problem.folds), "repeats": str(problem.repeats), "seed": str(problem.seed),
        "bad_rows": problem.bad_rows, "missing_target": problem.missing_target,
        "delimiter": "" if problem.delimiter == "," else repr(problem.delimiter), **lists,
    }
    return {key: value for key, value in parts.items() if value}


def _encode(resolved: _Resolved, fingerprint: str, folder: Path, progress: Progress) -> TableMeta:
    """Write every file of the table but ``meta.json``, which is returned."""
    import numpy as np

    problem, train, test, target = resolved.problem, resolved.train, resolved.test, resolved.target
    notices = [*train.notices, *target.notices]
    weights, folds, fold_notices = _fold(resolved)
    columns, column_notices = _choose_columns(resolved, progress)
    encoder = Encoder(version=ENCODING_VERSION, delimiter=problem.delimiter, id=resolved.roles.id.value,
                      missing=problem.missing, columns=tuple(columns))
    features = encoder.features
    if not features:
        raise DatasetError("no column is left that a model could learn from", path=problem.train,
                           hint="; ".join([*column_notices, "give the table a column that tells rows apart"]))
    x = _matrix(folder / "x.npy", train.rows, len(features))
    _, missing = encode_table(encoder, train, x, progress)
    x.flush()
    np.save(folder / "y.npy", target.y)
    np.save(folder / "folds.npy", folds)
    if weights is not None:
        np.save(folder / "weights.npy", weights)
    (folder / "encoder.json").write_bytes(msgspec.json.encode(encoder))
    spectral = is_spectrum(x, [f.cardinality for f in features])
    if spectral:
        notices.append("its numeric columns are many, in an order and smooth, like a spectrum: families that need like "
                       "scales search scatter correction, smoothing and derivatives too")
    test_notices = [] if test is None else _encode_test(resolved, encoder, test, folder, progress)
    return TableMeta(
        fingerprint=fingerprint, task=target.task.name, target=resolved.target_column, classes=target.classes,
        class_counts=target.class_counts, features=features, rows=train.rows,
        test_rows=0 if test is None else test.rows, fold_kind=resolved.fold_kind, folds=problem.folds,
        repeats=problem.repeats, seed=problem.seed, missing=missing / x.size, weighted=weights is not None,
        spectral=spectral,
        submission=None if resolved.shape is None else resolved.shape.shape,
        notices=(*notices, *fold_notices, *column_notices, *test_notices),
    )


def _fold(resolved: _Resolved) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.int16], tuple[str, ...]]:
    problem, train, y = resolved.problem, resolved.train, resolved.target.y
    weights = None if problem.weights is None else read_weights(train, problem.weights)
    groups = None if problem.groups is None else read_groups(train, problem.groups)
    time = None if problem.time is None else read_time(train, problem.time)
    folds = make_folds(resolved.fold_kind, problem, y, groups, time)
    classes = resolved.target.classes
    return weights, folds, check_classes(resolved.fold_kind, problem, y, folds, classes) if classes else ()


def _choose_columns(resolved: _Resolved, progress: Progress) -> tuple[list[Encoding], list[str]]:
    """What each column is that becomes a feature, and what the person should know about the columns."""
    problem, train = resolved.problem, resolved.train
    notices: list[str] = []
    apart = {resolved.target_column, resolved.roles.id.value, problem.weights, problem.groups, *problem.drop}
    in_test = None if resolved.test is None else set(resolved.test.names)
    if in_test is not None and problem.time is not None and problem.time not in in_test:
        apart.add(problem.time)
        notices.append(f"column {problem.time!r} orders the folds and is no feature, for the test table lacks it")
    names = [name for name in train.names if name not in apart]
    if resolved.test is not None:
        check_columns(resolved.test.names, names, resolved.test.path)
        notices += _unused(resolved.train, resolved.test, resolved.target_column)
    chosen: list[Encoding] = []
    left_out: dict[str, list[str]] = {}
    for number, name in enumerate(names):
        progress.say(f"{train.path.name}: column {number + 1} of {len(names)} looked at")
        forced = "numeric" if name in problem.numeric else "categorical" if name in problem.categorical else None
        decision = decide(train, name, problem.missing, forced)
        notices += decision.notices
        if isinstance(decision.outcome, LeftOut):
            train.release(name)
            left_out.setdefault(decision.outcome.reason, []).append(name)
        else:
            chosen.append(decision.outcome)
    for reason, columns in left_out.items():
        notices.append(f"left out, {reason}: {listed(columns, _NAMED_COLUMNS)}")
    return chosen, notices


def _unused(train: TextTable, test: TextTable, target: str) -> list[str]:
    extra = sorted(set(test.names) - set(train.names))
    notices = []
    if extra:
        notices.append(f"the test table has columns that training lacks; they are not used: {listed(extra)}")
    if target in test.names:
        notices.append(f"the test table has a column {quoted(target)}, like the target; it is not used")
    return notices


def _encode_test(
    resolved: _Resolved, encoder: Encoder, test: TextTable, folder: Path, progress: Progress
) -> list[str]:
    """Write the test rows and the ids of the submission, and say what in them is new to the encoder."""
    import numpy as np

    id_column = resolved.roles.id.value
    ids = read_ids(test, id_column) if id_column is not None and id_column in test.names else None
    rows = rows_of(resolved.sample, test, id_column, ids)
    if rows.ids is not None:
        np.save(folder / "ids.npy", rows.ids)
    np.save(folder / "id_rows.npy", rows.id_rows)
    x = _matrix(folder / "x_test.npy", test.rows, len(encoder.features))
    losses, _ = encode_table(encoder, test, x, progress)
    x.flush()
    return [*rows.notices, *_loss_notices(losses, test.rows)]


def _loss_notices(losses: Sequence[Loss], rows: int) -> list[str]:
    return [
        f"column {quoted(loss.column)}: {loss.cells} test rows ({loss.cells / rows:.1%}) hold what training has not, "
        f"such as {quoted(loss.example)}; it counts as missing"
        for loss in losses if loss.cells >= _WORTH_SAYING * rows
    ]


def _matrix(path: Path, rows: int, columns: int) -> np.memmap[tuple[int, int], np.dtype[np.float32]]:
    """A new matrix on disk, so that a table larger than memory can be filled column by column."""
    import numpy as np

    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, columns))


def main() -> int:
    """The child: see the module's own words; returns 0, or why the last dataset cannot be used: 2 or 1 by its kind."""
    code, goes_on = 0, True
    while goes_on and (line := sys.stdin.buffer.readline()):
        code, answer = _answer(line)
        goes_on = code != 1 and peak_rss_mb() < _SLIGHT_MB
        _say(**answer, next=goes_on)
    return code


def _say(**message: object) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


def _answer(line: bytes) -> tuple[int, dict[str, object]]:
    """What came of one problem, and the exit code for it."""
    try:
        problem = msgspec.json.decode(line, type=Problem)
        prepared = prepare(problem, Path(sys.argv[1]), lambda line: _say(progress=line))
    except UserError as error:
        return 2, {"error": str(error), "kind": "user"}
    except Exception as error:  # the door of a process: everything else becomes one line for the parent
        traceback.print_exc()
        return 1, {"error": f"{type(error).__name__}: {error}", "kind": "fault"}
    return 0, {"prepared": prepared}


if __name__ == "__main__":
    sys.exit(main())
