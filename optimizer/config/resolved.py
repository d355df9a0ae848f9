"""What a study file says, resolved and checked: the value that the rest of the system works with."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optimizer.config import values
from optimizer.datasets.problem import Problem


@dataclass(frozen=True, kw_only=True)
class FamilyChoice:
    """One model family of a study, and what the person wants of it."""

    name: str
    #: ``gpu``, ``cpu``, ``any``, or ``None`` for the family's own default.
    device: str | None = None
    #: Parameter to value, choices or range; see `optimizer.search_space.SearchSpace.narrowed`.
    space: Mapping[str, Any] = field(default_factory=dict)
    #: Absolute path of the person's file that defines it; ``None`` for one that ships.
    file: str | None = None
    #: Of a dataset's budget, 0 to 1; ``None`` for an even part of what the others leave.
    share: float | None = None
    #: Of each fold's training rows, how many it is fitted on at most; ``None`` for all of them.
    max_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class StopRules:
    """In how many decided trials the best few scores must have changed for a search to go on; ``None`` for ever."""

    #: How many are the best few.
    best: int = 5
    family: int | None = None
    dataset: int | None = None
    run: int | None = None


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """What of this machine the run may use."""

    #: ``all``, or indices (in PCI order) and UUIDs; an empty tuple for none.
    gpus: str | tuple[int | str, ...]
    #: A number, or a per cent such as ``50%``.
    cores: int | str
    #: Cores to keep busy: a number, or a per cent of `cores`; see `values.cpu_cores`.
    cpu_limit: float | str = "100%"
    #: Hours of the local clock such as ``08:00-18:00``, and the limit in them; 0 for none.
    quiet_hours: tuple[str, ...] = ()
    quiet_cpu_limit: float | str = 0
    #: An amount such as ``12GB``, or a per cent; ``None`` leaves the person a part. See `memory_mb`.
    memory_limit: str | None = None
    #: ``None`` leaves it to the plan of slots.
    threads_per_slot: int | None
    #: An amount such as ``20GB``, or a per cent of what is free at the start; see `disk_bytes`.
    disk_limit: str = "50%"
    #: ``low`` lets others go first; ``normal`` does not.
    priority: str = "low"
    #: Whether workers stop while others compute on the run's cores; ``None`` as the machine allows it.
    step_back: bool | None = None
    #: Seconds that one fold, and a whole trial, may take; ``None`` leaves it to what was learned.
    fold_time_limit_s: float | None = None
    trial_time_limit_s: float | None = None

    def memory_mb(self, whole_mb: float) -> float:
        """MiB that the run may take of ``whole_mb``."""
        if self.memory_limit is None:
            return values.default_memory_mb(whole_mb)
        return values.memory_mb(self.memory_limit, whole_mb)

    def cpu_cores(self, cores: int) -> float:
        """Cores that the run may keep busy at any hour, of so many that it has."""
        return values.cpu_cores(self.cpu_limit, cores)

    def quiet_cores(self, at: datetime.time, cores: int) -> tuple[float, str]:
        """The same in quiet hours, and which they are; all of them and nothing at other times of day."""
        for hours in self.quiet_hours:
            if values.is_within(at, hours):
                return values.cpu_cores(self.quiet_cpu_limit, cores), hours
        return float(cores), ""

    def disk_bytes(self, free: float) -> int:
        """Bytes that predictions and models may take, where so many are free or theirs already."""
        return values.disk_bytes(self.disk_limit, free)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study file, resolved: names are known, files exist, paths are absolute, defaults are filled in."""

    name: str
    #: The study file.
    path: Path
    datasets: tuple[Problem, ...]
    #: Slot-time per dataset, in seconds; ``None`` where the budget is counted in trials.
    time_per_dataset_s: float | None
    #: Finished and pruned trials per dataset over all families; ``None`` where the budget is time.
    trials: int | None
    #: Seconds since the run's first start, or a local clock time.
    deadline: float | datetime.time | None
    folds: int
    repeats: int
    seed: int
    families: tuple[FamilyChoice, ...]
    sampler: str
    pruner: str
    resources: ResourceLimits
    stop: StopRules = StopRules()
    #: ``even`` or ``adaptive``.
    shares: str = "even"

    @property
    def folder(self) -> Path:
        """The run's folder, beside the study file."""
        return self.path.with_suffix("")

    def deadline_at(self, first_started: float, started: float) -> float | None:
        """When the run must end, in UTC seconds.

        A duration counts from the run's first start. A clock time is the next one after this start, so that a
        run that is resumed the day after has until the next morning.
        """
        if self.deadline is None:
            return None
        if isinstance(self.deadline, float):
            return first_started + self.deadline
        now = datetime.datetime.fromtimestamp(started)
        end = datetime.datetime.combine(now.date(), self.deadline.replace(tzinfo=None))
        if end.timestamp() <= started:
            end += datetime.timedelta(days=1)
        return end.timestamp()
