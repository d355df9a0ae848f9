"""What the journal keeps of a run: the events that other modules read back, as typed values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from optimizer.errors import ProtocolFault

TrialState = Literal["complete", "pruned", "failed"]


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The complete record of a decided trial: the event ``trial_told``, and an attribute of the Optuna trial."""

    #: ``<dataset>/<family>/<n>``
    trial: str
    state: TrialState
    attempt: int
    params: dict[str, Any]
    #: Hash of the search space that the point was asked from.
    space: str
    seed: int
    metric: str
    #: Of each fold's training rows, how many its fits were made on at most; ``None`` for all of them.
    max_rows: int | None = None
    #: Mean over the evaluated folds; ``None`` for a failed trial, and for one whose first fit was cut short.
    score: float | None = None
    standard_error: float | None = None
    fold_scores: tuple[float, ...] = ()
    pooled_score: float | None = None
    #: The last fit was cut short as hopeless, so that its fold has no score.
    cut: bool = False
    #: Validation losses of a complete trial, by watched fold and checkpoint of `optimizer.curves`.
    curves: tuple[tuple[float, ...], ...] = ()
    #: Of the first, cheap fit on a part of the rows; ``None`` where there was none.
    look_score: float | None = None
    best_iterations: tuple[int | None, ...] = ()
    step_seconds: tuple[float, ...] = ()
    seconds: float = 0.0
    fit_seconds: float = 0.0
    cpu_seconds: float = 0.0
    #: Of these, inside fits.
    fit_cpu_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    #: Most private memory that the worker was seen to hold, MiB; 0 for a job too short to be seen.
    peak_private_mb: float = 0.0
    slot: str = ""
    #: Slots that were joined for it.
    slots: int = 1
    device: str = ""
    #: Fingerprint of the encoded table.
    table: str
    #: Library name to version.
    versions: dict[str, str] = {}
    #: ``kept``, ``evicted`` or ``none``.
    predictions: str = "none"
    predictions_sha256: str | None = None
    predictions_bytes: int = 0
    test_predicted: bool = False
    models_kept: bool = False
    #: For a failed trial: ``error``, ``wrong_device``, ``not_finite``, ``out_of_memory``,
    #: ``gpu_out_of_memory``, ``storage``, ``time_limit``, ``worker_lost``.
    kind: str = ""
    reason: str = ""
    #: It took its workers with it to the last attempt, or their time: the point is not asked again.
    quarantined: bool = False
    #: When it was told, UTC seconds.
    at: float = 0.0

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return split_trial_id(self.trial)[0]

    @property
    def family(self) -> str:
        """Name of the family."""
        return split_trial_id(self.trial)[1]


def trial_id(dataset: str, family: str, number: int) -> str:
    """``<dataset>/<family>/<n>``."""
    return f"{dataset}/{family}/{number}"


def split_trial_id(trial: str) -> tuple[str, str, int]:
    """Dataset, family and number of a trial's id; raises `ProtocolFault` for anything else."""
    parts = trial.split("/")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit()):
        raise ProtocolFault(f"{trial!r} is not a trial; expected <dataset>/<family>/<number>")
    return parts[0], parts[1], int(parts[2])
