"""What a person says of a dataset, and what is known once it is prepared.

Read by the study file's reader and by the scheduler, so nothing here may load NumPy, pandas or pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from optimizer.models.base import TableSummary

OnMistake = Literal["error", "drop"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset of a study: its files, and what cannot or shall not be inferred. Paths are absolute."""

    name: str
    #: The table with the target.
    train: str
    #: The table to predict.
    test: str | None = None
    #: The file whose shape a submission takes.
    sample_submission: str | None = None
    target: str | None = None
    #: Column that names a row; never a feature.
    id: str | None = None
    #: Name in `optimizer.metrics`; ``None`` takes the usual one of the task.
    metric: str | None = None
    #: ``binary``, ``multiclass`` or ``regression``.
    task: str | None = None
    #: Of two classes the one whose probability is submitted; ``None`` takes the last in order.
    positive: str | None = None
    #: Column of row weights, for fitting; scores are unweighted.
    weights: str | None = None
    #: Column whose equal values never fall into two folds; not a feature.
    groups: str | None = None
    #: Column that orders the rows; folds then train on the past and validate on what follows.
    time: str | None = None
    folds: int = 5
    repeats: int = 1
    seed: int = 42
    #: What to do with rows that have the wrong number of fields.
    bad_rows: OnMistake = "error"
    #: What to do with rows that have no target.
    missing_target: OnMistake = "error"
    #: Texts that mean a missing value in a feature, beside the usual ones.
    missing: tuple[str, ...] = ()
    #: Columns that are not to be features.
    drop: tuple[str, ...] = ()
    #: Columns taken as categories, whatever they look like.
    categorical: tuple[str, ...] = ()
    #: Columns that must be numbers; a cell that is none is an error.
    numeric: tuple[str, ...] = ()
    #: Of CSV files.
    delimiter: str = ","
    #: ``labels``, ``probability``, ``probabilities`` or ``values``; ``None`` follows the sample.
    submission: str | None = None


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded dataset, ready for trials; its table lies under the fingerprint."""

    dataset: str
    #: The same for the same content and the same problem, whatever the files and the dataset are called.
    fingerprint: str
    metric: str
    direction: str
    task: str
    target: str
    #: In code order; empty for regression.
    classes: tuple[str, ...]
    rows: int
    test_rows: int
    #: Encoded feature columns.
    columns: int
    folds: int
    repeats: int
    seed: int
    weighted: bool
    notices: tuple[str, ...]
    #: Whether the table was already there.
    reused: bool
    #: On disk.
    table_bytes: int
    submission_kind: str | None
    summary: TableSummary
    #: What the fingerprint is made of, by name; compare with `differences` to say what changed.
    parts: dict[str, str]

    @property
    def steps(self) -> int:
        """Folds over all repeats."""
        return self.folds * self.repeats


#: How `Prepared.parts` are called when they differ.
_PART_NAMES = {
    "train": "the content of the training table",
    "test": "the content of the test table",
    "sample_submission": "the content of the sample submission",
    "encoding": "the way this version of optimizer encodes a table",
}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What differs between two `Prepared.parts`, one phrase each; empty where the tables are the same."""
    changed = [name for name in {**before, **now} if before.get(name, "") != now.get(name, "")]
    return tuple(
        f"{_PART_NAMES[name]} changed" if name in _PART_NAMES
        else f"{name}: was {before.get(name) or 'not set'}, is {now.get(name) or 'not set'}"
        for name in changed
    )
