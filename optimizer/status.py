"""The latest state of a run as a value: what the scheduler writes to ``status.json`` and viewers read."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from optimizer.durable import replace_bytes


class DatasetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset's line."""

    name: str
    #: ``waiting``, ``reading``, ``ready``, ``running``, ``finished`` or ``failed``.
    state: str
    metric: str = ""
    #: ``maximize`` or ``minimize``.
    direction: str = ""
    rows: int = 0
    columns: int = 0
    best_score: float | None = None
    best_error: float | None = None
    best_trial: str | None = None
    #: Models whose score is within one standard error of the best, the best included.
    within_error: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    #: Slot-seconds used and to be used; without a time budget the latter is ``None``.
    used_s: float = 0.0
    budget_s: float | None = None
    #: Trials to be decided, where the budget is counted in trials.
    budget_trials: int | None = None
    #: Why it failed, or which dataset holds the same content.
    note: str = ""


class FamilyShare(msgspec.Struct, frozen=True, kw_only=True):
    """One family's share of the run's resource-seconds."""

    name: str
    seconds: float
    #: 0 to 1.
    share: float
    complete: int
    pruned: int
    failed: int
    best_score: float | None = None
    #: Empty while it runs; else why it stopped or moved.
    note: str = ""


class SlotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One slot, what it has and what runs in it."""

    name: str
    cores: tuple[int, ...]
    gpu: str | None = None
    #: ``starting``, ``idle``, ``busy``, ``lent`` (its cores work for another slot), ``down`` or ``closed``.
    state: str
    pid: int | None = None
    #: Cores in use now, as measured; 1.0 is one core.
    cpu: float = 0.0
    rss_mb: float = 0.0
    #: 0 to 1; ``None`` where the card does not tell.
    gpu_load: float | None = None
    gpu_memory_mb: float | None = None
    trial: str | None = None
    attempt: int = 1
    step: int = 0
    steps: int = 0
    #: When the job started, UTC seconds.
    since: float | None = None
    #: Mean of the folds done so far.
    running_mean: float | None = None


class RecentTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that was decided lately."""

    trial: str
    #: ``complete``, ``pruned`` or ``failed``.
    state: str
    score: float | None
    seconds: float
    at: float
    was_best: bool = False
    reason: str = ""


class MachineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole machine, as measured."""

    cores: int
    #: Cores in use by anything, 0 to ``cores``.
    cpu: float
    memory_mb: float
    memory_used_mb: float
    gpus: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What of the machine the run may use now."""

    #: Cores, of those that the run has.
    cores: float
    of_cores: int
    memory_mb: float
    #: Where the limit of the cores comes from; empty where there is none.
    because: str = ""
    #: Cores that others use, and whether the run steps back for them.
    others: float = 0.0
    stepping_back: bool = False


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a screen shows."""

    run: str
    #: ``preparing``, ``running``, ``stopping``, ``finished`` or ``stopped``.
    state: str
    pid: int
    version: str
    #: When this was written, when the run first started, when this incarnation did: UTC seconds.
    at: float
    first_started: float
    started: float
    #: The person's limit for the whole run, UTC seconds.
    deadline: float | None = None
    #: When the run will end by what is known now.
    eta: float | None = None
    #: 0 to 1, by the budgets.
    progress: float = 0.0
    machine: MachineStatus
    #: ``None`` before the first look.
    limits: Limits | None = None
    datasets: tuple[DatasetStatus, ...] = ()
    families: tuple[FamilyShare, ...] = ()
    slots: tuple[SlotStatus, ...] = ()
    recent: tuple[RecentTrial, ...] = ()
    #: Last lines of the run's log, oldest first.
    log: tuple[str, ...] = ()
    #: Finished trials that the recorder has yet to write to ``optuna.db``.
    recorder_lag: int = 0
    #: Empty while all is well; else why nothing new is started, and what to do about it.
    trouble: str = ""


def write_status(path: Path, status: Status) -> None:
    """Replace the file in one step, so that a reader never sees half of it; a directory in its place is moved aside.

    Raises:
        OSError: it could not be written; the old one is still there.
    """
    content = msgspec.json.encode(status)
    try:
        replace_bytes(path, content)
    except IsADirectoryError:
        path.rename(path.with_name(f"{path.name}.found-{time.time():.0f}"))
        replace_bytes(path, content)


def read_status(path: Path) -> Status | None:
    """The latest status, or ``None`` where there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return None
