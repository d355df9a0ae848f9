"""An encoded table: what every worker maps into memory, and what is known of it.

The folder of a table, ``data/<fingerprint>/``, holds ``meta.json`` and arrays in NumPy's ``.npy`` format:

==================  =========  ===========================================================================
file                type       what
==================  =========  ===========================================================================
``x.npy``           float32    (rows, columns), C order; NaN is missing; categorical columns hold codes
``y.npy``           float64    (rows,); class codes, or values on the original scale
``weights.npy``     float64    (rows,); only where the person gave weights
``folds.npy``       int16      (repeats, rows); see `Table.split`
``x_test.npy``      float32    (test rows, columns), in the order of the test file
``ids.npy``         str        (submission rows,); ids as written in the sample, in the sample's order
``id_rows.npy``     int64      (submission rows,); the test row of each id
``encoder.json``    JSON       how a new table of the same columns is encoded
==================  =========  ===========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from optimizer.errors import StorageFault
from optimizer.models.base import TableSummary


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the encoded table."""

    name: str
    #: ``numeric``, ``boolean``, ``categorical`` or ``date``.
    kind: str
    #: 0 for a column that is not categorical, else its number of categories.
    cardinality: int = 0
    #: Column of the person's table that it was made of.
    source: str


class SubmissionShape(msgspec.Struct, frozen=True, kw_only=True):
    """What a submission looks like."""

    #: ``labels``, ``probability`` (one column), ``probabilities`` (one column per class) or ``values``.
    kind: str
    #: Header of the id column; ``None`` where the sample has no ids.
    id_column: str | None
    #: Headers of the other columns, in order.
    columns: tuple[str, ...]
    #: For ``probabilities``: the class of each column, as an index into ``TableMeta.classes``.
    class_of_column: tuple[int, ...] = ()


class TableMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an encoded table."""

    fingerprint: str
    #: ``binary``, ``multiclass`` or ``regression``.
    task: str
    target: str
    #: Class labels as the person wrote them, in code order; empty for regression. The last of two is the positive one.
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    features: tuple[Feature, ...]
    rows: int
    test_rows: int
    #: ``stratified``, ``plain``, ``grouped``, ``stratified-grouped`` or ``time``.
    fold_kind: str
    folds: int
    repeats: int
    seed: int
    #: Share of missing cells, 0 to 1.
    missing: float
    weighted: bool
    submission: SubmissionShape | None
    #: Whether the numeric columns are a spectrum, see `optimizer.datasets.spectra`.
    spectral: bool = False
    #: Plain sentences worth telling the person: columns left out, what was inferred and why.
    notices: tuple[str, ...] = ()

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of categories per column, 0 for the others."""
        return tuple(f.cardinality for f in self.features)

    @property
    def steps(self) -> int:
        """Folds over all repeats."""
        return self.folds * self.repeats

    def summary(self, metric: str) -> TableSummary:
        """What a family may know of this table."""
        categorical = [c for c in self.cardinalities if c]
        counts = [c for c in self.class_counts if c]
        return TableSummary(
            task=self.task, metric=metric, rows=self.rows, numeric=len(self.features) - len(categorical),
            categorical=len(categorical), max_cardinality=max(categorical, default=0), missing=self.missing,
            classes=len(self.classes), balance=min(counts) / max(counts) if counts else 1.0, weighted=self.weighted,
            spectral=self.spectral,
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """An encoded table, mapped read-only."""

    meta: TableMeta
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64] | None
    folds: npt.NDArray[np.int16]
    x_test: npt.NDArray[np.float32] | None

    @classmethod
    def open(cls, folder: Path) -> Table:
        """Map the table in this folder; raises `StorageFault` where it is missing or torn."""
        def mapped(name: str) -> Any:
            path = folder / f"{name}.npy"
            return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None

        try:
            meta = read_meta(folder)
            x, y, folds = mapped("x"), mapped("y"), mapped("folds")
            weights, x_test = mapped("weights"), mapped("x_test")
        except (OSError, ValueError) as error:
            raise StorageFault(f"table {folder.name}: {error}") from error
        if x is None or y is None or folds is None:
            raise StorageFault(f"table {folder.name}: incomplete; delete the folder to have it encoded again")
        return cls(meta=meta, x=x, y=y, weights=weights, folds=folds, x_test=x_test)

    def split(self, step: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Row numbers of the training and the validation rows of a step (folds of the first repeat come first).

        With ``time`` folds, row value 0 is the first stretch, which is never validated; fold ``k`` validates
        rows of value ``k + 1`` and trains on all before. Otherwise fold ``k`` validates rows of value ``k``.
        """
        repeat, fold = divmod(step, self.meta.folds)
        values = self.folds[repeat]
        if self.meta.fold_kind == "time":
            return np.flatnonzero(values <= fold), np.flatnonzero(values == fold + 1)
        return np.flatnonzero(values != fold), np.flatnonzero(values == fold)


def read_meta(folder: Path) -> TableMeta:
    """The ``meta.json`` of a table's folder; raises `StorageFault` where it cannot be read."""
    try:
        return msgspec.json.decode((folder / "meta.json").read_bytes(), type=TableMeta)
    except (OSError, msgspec.DecodeError) as error:
        raise StorageFault(f"table {folder.name}: {error}") from error
