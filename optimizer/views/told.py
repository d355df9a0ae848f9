"""What a run's journal tells, taken in event by event."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from optimizer.errors import ProtocolFault
from optimizer.journal import Record
from optimizer.records import TrialRecord, split_trial_id


class DatasetView(msgspec.Struct, kw_only=True):
    """One dataset of a run: the event ``dataset_ready``, and what became of it."""

    dataset: str
    fingerprint: str = ""
    task: str = ""
    metric: str = ""
    #: ``maximize`` or ``minimize``; empty for a dataset that could not be read.
    direction: str = ""
    #: Column that is predicted.
    target: str = ""
    rows: int = 0
    test_rows: int = 0
    columns: int = 0
    classes: tuple[str, ...] = ()
    #: The dataset read earlier that has the same content.
    same_as: str | None = None
    notices: tuple[str, ...] = ()
    folds: int = 0
    repeats: int = 1
    seed: int = 0
    #: The problem as resolved from the study file; paths absolute.
    problem: dict[str, Any] = {}
    #: Why it could not be read; empty for a dataset that could.
    failed: str = ""
    #: Why no more jobs of it start; empty while they do.
    finished: str = ""
    used_s: float = 0.0
    #: Models that the budget was still good for, where it ended as the best had not changed for long.
    spared: int = 0

    def is_better(self, a: float, b: float) -> bool:
        """Whether score ``a`` beats ``b`` in this dataset's direction."""
        return a > b if self.direction == "maximize" else a < b


@dataclass(kw_only=True)
class Incarnation:
    """One start of the run until its end: a run that was resumed has several."""

    number: int
    pid: int
    version: str
    started: float
    #: Time of its last event so far.
    ended: float
    slots: int
    study: dict[str, Any]
    #: ``finished`` or ``stopped``; empty while it runs, or where it was killed.
    state: str = ""
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long it ran, as far as the journal tells."""
        return max(0.0, self.ended - self.started)


@dataclass(frozen=True, kw_only=True)
class FamilyStop:
    """A family that takes no more jobs, on one dataset or (``None``) on all, or that moved to other slots."""

    family: str
    dataset: str | None
    reason: str
    moved: bool = False


#: Words that many trials have in common.
_COMMON = ("state", "space", "metric", "slot", "device", "table", "predictions")


@dataclass
class Told:
    """Everything read so far; what many trials have in common is held once."""

    offset: int = 0
    inode: int = -1
    #: The journal's first bytes, by which it is told from another.
    head: bytes = b""
    incarnations: list[Incarnation] = field(default_factory=list)
    datasets: dict[str, DatasetView] = field(default_factory=dict)
    trials: dict[str, TrialRecord] = field(default_factory=dict)
    of_dataset: dict[str, dict[str, TrialRecord]] = field(default_factory=dict)
    stops: list[FamilyStop] = field(default_factory=list)
    jobs_lost: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    _versions: dict[tuple[tuple[str, str], ...], dict[str, str]] = field(default_factory=dict)

    def take_in(self, record: Record) -> None:
        """Apply the next event; one that cannot be understood is noted and passed over."""
        at = record.get("t")
        if self.incarnations and isinstance(at, int | float) and record.get("event") != "run_started":
            self.incarnations[-1].ended = float(at)
        reader = _READERS.get(str(record.get("event")))
        if reader is None:
            return
        try:
            reader(self, record)
        except (msgspec.ValidationError, ProtocolFault, LookupError, TypeError, ValueError) as error:
            # An event of another version, or a damaged one: the rest of the run is still worth showing.
            self.unreadable.append(f"event {record.get('event')!r} at {record.get('t')}: {error}")

    def trial(self, record: Record) -> TrialRecord:
        """The trial of an event ``trial_told``."""
        trial = msgspec.convert({**record, **{name: sys.intern(word) for name in _COMMON
                                              if type(word := record.get(name)) is str}}, TrialRecord)
        return msgspec.structs.replace(
            trial, at=trial.at or float(record["t"]),
            versions=self._versions.setdefault(tuple(trial.versions.items()), trial.versions))


def _run_started(told: Told, record: Record) -> None:
    at = float(record["t"])
    told.incarnations.append(Incarnation(
        number=int(record["incarnation"]), pid=int(record["pid"]), version=str(record["version"]), started=at,
        ended=at, slots=len(record.get("slots", ())), study=dict(record.get("study", {})),
    ))
    # A resumed run may go on with datasets that had failed or used their time.
    for dataset in told.datasets.values():
        dataset.finished = ""


def _dataset_ready(told: Told, record: Record) -> None:
    view = msgspec.convert(record, DatasetView)
    view.finished = ""
    told.datasets[view.dataset] = view


def _dataset_failed(told: Told, record: Record) -> None:
    name = str(record["dataset"])
    told.datasets.setdefault(name, DatasetView(dataset=name)).failed = str(record["reason"])


def _dataset_finished(told: Told, record: Record) -> None:
    view = told.datasets[str(record["dataset"])]
    view.finished, view.used_s = str(record["reason"]) or "finished", float(record["used_s"])
    view.spared = int(record.get("spared", 0))


def _trial_asked(told: Told, record: Record) -> None:
    """A family that is asked again, as after a restart, is stopped no more."""
    dataset, family, _ = split_trial_id(str(record["trial"]))
    told.stops[:] = [s for s in told.stops if s.moved or s.family != family or s.dataset not in (dataset, None)]


def _trial_told(told: Told, record: Record) -> None:
    trial = told.trial(record)
    told.trials[trial.trial] = trial
    told.of_dataset.setdefault(trial.dataset, {})[trial.trial] = trial


def _models_dropped(told: Told, record: Record) -> None:
    dataset = split_trial_id(str(record["trial"]))[0]
    trial = msgspec.structs.replace(told.trials[record["trial"]], models_kept=False)
    told.trials[trial.trial] = told.of_dataset[dataset][trial.trial] = trial


def _predictions_evicted(told: Told, record: Record) -> None:
    dataset = split_trial_id(str(record["trial"]))[0]
    trial = msgspec.structs.replace(told.trials[record["trial"]], predictions="evicted")
    told.trials[trial.trial] = told.of_dataset[dataset][trial.trial] = trial


def _family_stopped(told: Told, record: Record) -> None:
    stop = FamilyStop(family=str(record["family"]), dataset=record.get("dataset"), reason=str(record["reason"]),
                      moved=record["event"] == "family_moved")
    # Each start of the run says it anew.
    told.stops[:] = [s for s in told.stops if (s.family, s.dataset, s.moved) != (stop.family, stop.dataset, stop.moved)]
    told.stops.append(stop)


def _job_lost(told: Told, record: Record) -> None:
    told.jobs_lost[str(record["reason"])] += 1


def _notice(told: Told, record: Record) -> None:
    told.notices.append(str(record["text"]))


def _run_ended(told: Told, record: Record) -> None:
    told.incarnations[-1].state = str(record["state"])
    told.incarnations[-1].reason = str(record.get("reason", ""))


_READERS: dict[str, Callable[[Told, Record], None]] = {
    "run_started": _run_started,
    "dataset_ready": _dataset_ready,
    "dataset_failed": _dataset_failed,
    "dataset_finished": _dataset_finished,
    "trial_asked": _trial_asked,
    "trial_told": _trial_told,
    "models_dropped": _models_dropped,
    "predictions_evicted": _predictions_evicted,
    "family_stopped": _family_stopped,
    "family_moved": _family_stopped,
    "job_lost": _job_lost,
    "notice": _notice,
    "run_ended": _run_ended,
}
