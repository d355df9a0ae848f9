"""What the journal says of a run's earlier incarnations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from optimizer import journal
from optimizer.datasets.problem import Prepared, differences
from optimizer.records import TrialRecord, split_trial_id
from optimizer.search_space import SearchSpace

#: Longest time between two events that is believed: beyond, the clock was set or the machine slept.
_LONGEST_GAP_S = 3600.0


@dataclass(kw_only=True)
class Asked:
    """A trial that was asked and, as far as the journal goes, not told."""

    params: dict[str, Any]
    seed: int
    #: Hash of the search space that it was asked from.
    space: str
    #: Attempts that were started.
    attempts: int = 0
    #: Workers that were lost while they ran it.
    faults: int = 0
    kind: str = "cpu"


@dataclass(kw_only=True)
class Past:
    """The state that a scheduler resumes from."""

    #: How often the run was started before.
    incarnation: int = 0
    first_started: float | None = None
    #: Told trials, in the order in which they were told.
    told: dict[str, TrialRecord] = field(default_factory=dict)
    #: Trials that were under way.
    asked: dict[str, Asked] = field(default_factory=dict)
    #: Largest trial number ever used, by dataset and family; a number is never used twice.
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    #: The latest ``dataset_ready`` of each dataset.
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    spaces: dict[str, SearchSpace] = field(default_factory=dict)
    #: Slot-seconds of jobs that were lost, by dataset, family and kind of slot.
    lost_s: dict[tuple[str, str, str], float] = field(default_factory=lambda: defaultdict(float))
    #: Jobs that the journal saw start and not end: trial to slot and `heard_s` at their start.
    open_jobs: dict[str, tuple[str, float]] = field(default_factory=dict)
    #: Time of the latest event, and the seconds that lie between all of them, as far as they are to be believed.
    last_t: float = 0.0
    heard_s: float = 0.0
    #: The run was asked to stand still: what passes is nobody's.
    stands_still: bool = False
    #: Trials whose fold models were kept at first and then dropped.
    models_dropped: set[str] = field(default_factory=set)

    @property
    def latest_versions(self) -> Mapping[str, str]:
        """Versions of the libraries at the latest told trial that has any."""
        return next((record.versions for record in reversed(self.told.values()) if record.versions), {})

    def take_told(self, dataset: str) -> dict[str, list[TrialRecord]]:
        """The told trials of a dataset by family; remembered no longer, for whoever takes them keeps what it needs."""
        taken: dict[str, list[TrialRecord]] = defaultdict(list)
        for record in [record for record in self.told.values() if record.dataset == dataset]:
            taken[record.family].append(self.told.pop(record.trial))
        return dict(taken)


def read_past(path: Path) -> Past:
    """Replay a journal; an empty or missing one gives an empty past."""
    past = Past()
    for record in journal.read(path):
        _replay(past, record)
    _charge_open_jobs(past)
    for trial in past.told:
        past.asked.pop(trial, None)
    return past


def _charge_open_jobs(past: Past) -> None:
    """Jobs that ended with their scheduler have used their slots all the same, up to the last that was heard."""
    for trial, (slot, started) in past.open_jobs.items():
        _charge(past, trial, slot, past.heard_s - started)
    past.open_jobs.clear()


def _charge(past: Past, trial: str, slot: str, seconds: float) -> None:
    dataset, family, _ = split_trial_id(trial)
    past.lost_s[dataset, family, kind_of(slot)] += seconds


def kind_of(slot: str) -> str:
    """The kind of a slot, by its name: a run may be resumed on another machine, where the slot is no more."""
    return "gpu" if slot.startswith("gpu") else "cpu"


def major_changes(latest: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Libraries whose major version is another than at the latest told trial, one phrase each.

    Trials before and after are then not quite the same kind; each record says which versions it had.
    """
    return [f"{name} was {latest[name]} and is {version}" for name, version in now.items()
            if name in latest and latest[name].split(".")[0] != version.split(".")[0]]


def _replay(past: Past, record: dict[str, Any]) -> None:
    event = record["event"]
    if event == "run_started":
        # What passed while no scheduler ran is nobody's.
        _charge_open_jobs(past)
        past.last_t = record["t"]
        past.stands_still = False
    if not past.stands_still:
        past.heard_s += min(max(0.0, record["t"] - (past.last_t or record["t"])), _LONGEST_GAP_S)
    past.last_t = record["t"]
    if event in ("job_lost", "trial_told"):
        past.open_jobs.pop(record["trial"], None)
    if event == "run_started":
        past.incarnation += 1
        # The command began before its first event; a journal of an older version does not say when.
        past.first_started = past.first_started or record.get("began", record["t"])
    elif event == "dataset_ready":
        past.datasets[record["dataset"]] = record
    elif event == "space_described":
        past.spaces[record["hash"]] = msgspec.convert(record["space"], SearchSpace)
    elif event == "trial_asked":
        remember_number(past, record["trial"])
        past.asked[record["trial"]] = Asked(params=record["params"], seed=record["seed"], space=record["space"])
    elif event == "job_started" and record["trial"] in past.asked:
        asked = past.asked[record["trial"]]
        asked.attempts = record["attempt"]
        asked.kind = kind_of(record["slot"])
        past.open_jobs[record["trial"]] = (record["slot"], past.heard_s)
    elif event == "job_lost":
        if record["trial"] in past.asked:
            past.asked[record["trial"]].faults += record["blame"]
        _charge(past, record["trial"], record["slot"], record["seconds"])
    elif event == "limits_changed":
        past.stands_still = record["cores"] == 0
    elif event == "slot_lent":
        _charge(past, record["trial"], record["slot"], record["seconds"])
    elif event == "trial_told":
        remember_number(past, record["trial"])
        past.told[record["trial"]] = msgspec.convert(record, TrialRecord)
    elif event == "models_dropped":
        past.models_dropped.add(record["trial"])
    elif event == "predictions_evicted" and record["trial"] in past.told:
        past.told[record["trial"]] = msgspec.structs.replace(past.told[record["trial"]], predictions="evicted")


def remember_number(past: Past, trial: str) -> None:
    """Note that this trial's number is used."""
    dataset, family, number = split_trial_id(trial)
    past.numbers[dataset, family] = max(past.numbers.get((dataset, family), -1), number)


def changes_since(before: Mapping[str, Any] | None, now: Prepared) -> str:
    """Why a dataset cannot go on with what it has, or nothing where it can."""
    if before is None:
        return ""
    changed = list(differences(before.get("parts", {}), now.parts))
    for key in ("metric", "task", "target", "folds", "repeats", "seed"):
        was, is_now = before.get(key), getattr(now, key)
        if was != is_now and not any(c.startswith(f"{key}:") for c in changed):
            changed.append(f"{key}: was {was}, is {is_now}")
    if not changed:
        return ""
    return (f"its trials could not be compared with the earlier ones ({'; '.join(changed)}); put it back, "
            "give the dataset another name, or start anew with --fresh")
