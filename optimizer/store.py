"""Where encoded tables, predictions and models live: files in a run's folder, addressed by fingerprint and trial.

====================================================  ====================================================
path                                                  what
====================================================  ====================================================
``data/<fingerprint>/``                               an encoded table, see `optimizer.datasets.table`
``predictions/<dataset>/<family>/<n>-<attempt>.npz``  what a trial predicted
``models/<dataset>/<family>/<n>/``                    its fold models, ``fold-<step><suffix>``, and ``model.json``
``scores/subm-<score>-<time>-<family>-<dataset>.csv``  the submission of a trial, written by the views
====================================================  ====================================================

A predictions file is an uncompressed ``.npz`` without pickles, and holds probabilities and values, never labels:

=========  =======================  ==========================================================================
array      shape                    what
=========  =======================  ==========================================================================
``oof``    (repeats, rows, k)       out-of-fold: each row as predicted by the model that did not see it; NaN
                                    for rows that time-ordered folds never validate
``test``   (test rows, k)           mean of the scored fold models; missing where it was not predicted
=========  =======================  ==========================================================================

``k`` is 1 for two classes (probability of the last one) and for regression (on the original scale), and the number
of classes otherwise. Probabilities are float32, values float64. What is stored is what was scored: a prediction is
first cast (`to_stored`) and scored afterwards (`from_stored`), so that every score follows from the file.

Files appear whole or not at all: written beside, fsynced, renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec

from optimizer.durable import sync
from optimizer.errors import StorageFault
from optimizer.records import TrialRecord, split_trial_id, trial_id

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from optimizer.models.base import FittedModel

    Floats = npt.NDArray[np.floating[Any]]


#: Names of what is stored, whole and half written: number, attempt, and what tells them apart.
_PREDICTIONS = re.compile(r"(\d+)-(\d+)\.npz(\.part)?", re.ASCII)
_MODELS = re.compile(r"(\.)?(\d+)(?(1)-(\d+))", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """Predictions or models as they lie on the disk, of whatever trial."""

    kind: Literal["predictions", "models"]
    trial: str
    #: ``None`` for whole models, which stand for every attempt.
    attempt: int | None
    #: Whether it is what a write that never ended has left.
    half: bool
    size: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one trial predicted, as it is stored."""

    oof: Floats
    #: ``None`` where the table has no test rows or they were not predicted.
    test: Floats | None


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``model.json``: what is needed to predict with kept fold models."""

    trial: str
    attempt: int
    family: str
    #: With the dot, of the fold models' files.
    suffix: str
    #: Fingerprint of the table that they were fitted on; its encoder encodes new rows.
    table: str
    metric: str
    #: ``binary``, ``multiclass`` or ``regression``.
    task: str
    #: In code order; empty for regression.
    classes: tuple[str, ...]
    #: Per column: 0 for a numeric one, else its number of categories.
    cardinalities: tuple[int, ...]
    #: Whether the models predict ``log1p`` of the target.
    log_target: bool
    #: Steps whose models are averaged for rows without a fold, in the order of averaging.
    exported_steps: tuple[int, ...]
    best_iterations: tuple[int | None, ...]
    score: float
    params: dict[str, Any]


class Store:
    """The files of one run.

    Any process may read. One worker writes the predictions and models of one trial; only the scheduler drops them.

    Raises:
        StorageFault: from every method, where a file cannot be written, or read as what it should be.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def table_folder(self, fingerprint: str) -> Path:
        """Folder of an encoded table, there or not."""
        if not fingerprint.isalnum():
            raise StorageFault(f"{fingerprint!r} is no fingerprint of a table")
        return self._root / "data" / fingerprint

    def write_predictions(self, trial: str, attempt: int, oof: Floats, test: Floats | None) -> tuple[str, int]:
        """Store the predictions of a trial; returns the file's SHA-256 and its size in bytes.

        ``oof`` and ``test`` as `to_stored` returns them.
        """
        import numpy as np

        def write(file: BinaryIO) -> None:
            if test is None:
                np.savez(file, oof=oof)
            else:
                np.savez(file, oof=oof, test=test)

        path = self._predictions(trial, attempt)
        _write_whole(path, self._root, write)
        with _faults(f"predictions of {trial}"), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size

    def read_predictions(self, trial: str, attempt: int, sha256: str | None = None) -> Predictions:
        """The predictions of a trial; with ``sha256`` only if the file still is what was told."""
        import numpy as np

        path = self._predictions(trial, attempt)
        with _faults(f"predictions of {trial}"), path.open("rb") as file:
            if sha256 is not None and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise StorageFault(f"predictions of {trial}: {path} is not the file that was told")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return Predictions(oof=arrays["oof"], test=arrays.get("test"))

    def drop_predictions(self, trial: str, *, but: int | None = None) -> None:
        """Delete the predictions of every attempt of a trial, ``but`` those of one; none is no error."""
        folder = self._trial_path("predictions", trial)
        with _faults(f"predictions of {trial}"):
            for path in folder.parent.glob(f"{folder.name}-*.npz"):
                if but is None or path.name != f"{folder.name}-{but}.npz":
                    path.unlink(missing_ok=True)

    def write_models(self, trial: str, models: Iterable[FittedModel], info: ModelInfo) -> None:
        """Store the fold models of a trial, in the order of steps, over those of an earlier attempt."""
        folder = self.model_folder(trial)
        beside = folder.with_name(f".{folder.name}-{info.attempt}")
        with _faults(f"models of {trial}"):
            shutil.rmtree(beside, ignore_errors=True)
            _make(beside, self._root)
            try:
                for step, model in enumerate(models):
                    _save(model, beside / f"fold-{step}{info.suffix}")
                (beside / "model.json").write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=2))
                for path in (*beside.iterdir(), beside):
                    sync(path)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
            if folder.exists():
                shutil.rmtree(folder)
            beside.rename(folder)
            sync(folder.parent)

    def model_info(self, trial: str) -> ModelInfo:
        """The ``model.json`` of a trial whose models are kept."""
        path = self.model_folder(trial) / "model.json"
        with _faults(f"models of {trial}"):
            return msgspec.json.decode(path.read_bytes(), type=ModelInfo)

    def model_folder(self, trial: str) -> Path:
        """Folder of a trial's fold models, there or not."""
        return self._trial_path("models", trial)

    def drop_models(self, trial: str) -> None:
        """Delete the models of a trial; none is no error."""
        folder = self.model_folder(trial)
        with _faults(f"models of {trial}"):
            if folder.exists():
                shutil.rmtree(folder)

    def models_size(self, trial: str) -> int | None:
        """Bytes that the kept models of a trial take; ``None`` where there are none."""
        folder = self.model_folder(trial)
        with _faults(f"models of {trial}"):
            return _folder_size(folder) if folder.is_dir() else None

    def try_to_write(self, size: int) -> None:
        """Write so many bytes beside the predictions and take them away; raises `StorageFault` where that fails."""
        with _faults("predictions"):
            refusal = _refusal(self._root / "predictions", size)
            if refusal is not None:
                raise refusal

    def free_bytes(self) -> int:
        """Bytes that are free where the run's folder lies."""
        with _faults(str(self._root)):
            return shutil.disk_usage(self._root).free

    def stored_files(self) -> Iterator[StoredFile]:
        """Everything under ``predictions/`` and ``models/`` that is named as we name it; links are never followed."""
        for kind in ("predictions", "models"):
            with _faults(kind):
                for family in _folders(self._root / kind, levels=2):
                    with os.scandir(family) as entries:
                        for entry in entries:
                            if (file := _stored(kind, family, entry)) is not None:
                                yield file

    def remove(self, file: StoredFile) -> None:
        """Delete what `stored_files` has found."""
        with _faults(f"{file.kind} of {file.trial}"):
            if file.path.is_dir():
                shutil.rmtree(file.path)
            else:
                file.path.unlink(missing_ok=True)

    def exported(self) -> set[str]:
        """Names of the submissions in ``scores/``; see `submission_name`."""
        with _faults("scores"):
            return {name for name in os.listdir(self._root / "scores") if name.startswith("subm-")}

    def _predictions(self, trial: str, attempt: int) -> Path:
        return self._trial_path("predictions", trial).with_name(f"{split_trial_id(trial)[2]}-{attempt}.npz")

    def _trial_path(self, kind: str, trial: str) -> Path:
        dataset, family, number = split_trial_id(trial)
        if {dataset, family} & {"", ".", ".."}:
            raise StorageFault(f"{trial!r} would lie outside the run's folder")
        return self._root / kind / dataset / family / str(number)


def submission_name(record: TrialRecord) -> str:
    """File name of a trial's submission. The time is when the trial was told (UTC), so the name is always the same."""
    told = time.strftime("%Y%m%d-%H%M%S", time.gmtime(record.at))
    score = "none" if record.score is None else f"{record.score:.6f}"
    return f"subm-{score}-{told}-{record.family}-{record.dataset}.csv"


def predictions_size(*, task: str, classes: int, rows: int, test_rows: int, repeats: int) -> int:
    """Bytes that the predictions of one trial take on disk, up to a few hundred of headers."""
    width = classes if task == "multiclass" else 1
    return (rows * repeats + test_rows) * width * (8 if task == "regression" else 4)


def to_stored(prediction: Floats, task: str) -> Floats:
    """A prediction as it is stored, (rows, k): float64 values, or float32 probabilities, of two classes the last.

    ``prediction`` is (rows,) for regression and (rows, classes) otherwise.
    """
    import numpy as np

    if task == "regression":
        return prediction.astype(np.float64)[:, None]
    return np.asarray(prediction[:, 1:] if task == "binary" else prediction, np.float32)


def from_stored(stored: Floats, task: str) -> Floats:
    """A stored prediction (rows, k) as `Metric.score` takes it, in float64."""
    import numpy as np

    wide = stored.astype(np.float64)
    if task == "regression":
        return wide[:, 0]
    return np.column_stack([1.0 - wide[:, 0], wide[:, 0]]) if task == "binary" else wide


def _folders(root: Path, levels: int) -> Iterator[Path]:
    """The folders so many levels below; a root that is missing has none."""
    if not levels:
        yield root
    elif root.exists():
        with os.scandir(root) as entries:
            below = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for folder in below:
            yield from _folders(folder, levels - 1)


def _stored(kind: Literal["predictions", "models"], family: Path, entry: os.DirEntry[str]) -> StoredFile | None:
    """What a name stands for; ``None`` for a file that is not ours."""
    if kind == "predictions":
        found = _PREDICTIONS.fullmatch(entry.name)
        if found is None or not entry.is_file(follow_symlinks=False):
            return None
        number, half, size = found[1], bool(found[3]), entry.stat().st_size
        attempt: int | None = int(found[2])
    else:
        found = _MODELS.fullmatch(entry.name)
        if found is None or not entry.is_dir(follow_symlinks=False):
            return None
        number, attempt, half = found[2], int(found[3]) if found[3] else None, bool(found[1])
        size = _folder_size(Path(entry))
    trial = trial_id(family.parent.name, family.name, int(number))
    return StoredFile(kind=kind, trial=trial, attempt=attempt, half=half, size=size, path=Path(entry))


def _folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _refusal(folder: Path, size: int) -> OSError | None:
    """What the system says against a new file of so many bytes in this folder; ``None`` where it takes it."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        try:
            with probe.open("wb") as file:
                file.write(os.urandom(size))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return error
    return None


def _save(model: FittedModel, path: Path) -> None:
    """Each library has an error of its own for a disk that is full."""
    try:
        model.save(path)
    except Exception as error:
        # The libraries hide what the system said: it says it again, of a file of ours.
        raise StorageFault(f"{path}: {error}") from _refusal(path.parent, 1 << 16) or error


@contextmanager
def _faults(about: str) -> Iterator[None]:
    """Turn what the operating system and the readers raise into a `StorageFault` that says what it was about."""
    try:
        yield
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise StorageFault(f"{about}: {error}") from error


def _make(folder: Path, root: Path) -> None:
    """Make a folder with those above it, but not the root: a run that was moved away must not begin once more."""
    for part in (*reversed(folder.relative_to(root).parents[:-1]), folder.relative_to(root)):
        (root / part).mkdir(exist_ok=True)


def _write_whole(path: Path, root: Path, write: Callable[[BinaryIO], None]) -> None:
    beside = path.with_name(path.name + ".part")
    with _faults(str(path)):
        _make(path.parent, root)
        try:
            with beside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            # The disk may be full, and half a file is of no use to anyone.
            beside.unlink(missing_ok=True)
            raise
        sync(path.parent)
