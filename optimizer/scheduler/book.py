"""The book of a run: every dataset and family with its search, every trial from asked to told.

A trial is in the journal before anybody runs it, and it is told when its predictions and its record are on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec

from optimizer.budgets import DatasetUse
from optimizer.config.resolved import Study
from optimizer.datasets.problem import Prepared
from optimizer.dispatch import Lease, Retry
from optimizer.messages import CrossValidation, JobFinished
from optimizer.models.base import SpaceDescription
from optimizer.records import TrialRecord, trial_id
from optimizer.resources import Slot
from optimizer.scheduler.bars import Bars
from optimizer.scheduler.disk import DiskKeeper
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.ledger import DatasetLedger, FamilyLedger
from optimizer.scheduler.past import Past, changes_since, kind_of
from optimizer.scheduler.preparation import DatasetReady
from optimizer.scheduler.settling import Settling
from optimizer.store import Store, predictions_size
from optimizer.strategies import load_pruner, load_sampler
from optimizer.strategies.base import Outlook
from optimizer.study.frozen import StudyKey
from optimizer.study.searcher import Searcher, trial_seed

#: Trials in a row that fail before their family is stopped on a dataset.
MOST_FAILURES = 5
#: The same for trials of a family that has never worked here and takes its workers with it, or their memory, or their
#: time: each has cost several workers.
MOST_CRASHES = 2
_CRASHES = frozenset({"worker_lost", "out_of_memory", "gpu_lost", "gpu_out_of_memory", "time_limit"})


@dataclass(kw_only=True)
class UnderWay:
    """A trial that was asked and is not told."""

    params: dict[str, Any]
    seed: int
    #: Hash of the search space that it was asked from.
    space: str
    key: StudyKey
    #: ``cpu`` or ``gpu``: where its latest attempt was sent.
    device: str = "cpu"


@dataclass(kw_only=True)
class Search:
    """One dataset and family: where points come from, and where they are recorded."""

    searcher: Searcher
    bars: Bars
    key: StudyKey
    space: str
    next_number: int


@dataclass(frozen=True, kw_only=True)
class Told:
    """A trial that was told just now."""

    record: TrialRecord
    key: StudyKey
    was_best: bool


class Book:
    """What is known of the search. It speaks to no process; the loop does."""

    def __init__(
        self, study: Study, *, kinds: Mapping[str, frozenset[str]], gpu_required: frozenset[str], slots: int,
        events: EventLog, store: Store, past: Past,
    ) -> None:
        """``kinds``: those of slot that each family may use; ``gpu_required``: the families that want no CPU slot."""
        self.ledgers: dict[str, DatasetLedger] = {}
        #: Why a dataset failed, or what else is to be said of it.
        self.notes: dict[str, str] = {}
        self.family_notes: dict[str, str] = {}
        self._said: set[str] = set()
        self.kinds = dict(kinds)
        self._study = study
        self._gpu_required = gpu_required
        #: Family to the datasets on which it was asked to use the GPU and in truth used the CPU.
        self._fell_back: dict[str, set[str]] = {}
        #: Families that have trained on a GPU in this run: where they fall back, it is the table's doing.
        self._on_gpu: set[str] = set()
        #: Family to why it is stopped on every dataset, those still to come included.
        self._stopped: dict[str, str] = {}
        self._slots = slots
        self._events = events
        #: What the run's predictions and models take on the disk.
        self.disk = DiskKeeper(study.resources, store, events, at_once=slots)
        self._past = past
        self._pruner = load_pruner(study.pruner)
        self._settling = Settling(study.stop)
        self._shares = {family.name: family.share for family in study.families}
        self._searches: dict[tuple[str, str], Search] = {}
        self._under_way: dict[str, UnderWay] = {}

    @property
    def told(self) -> int:
        """Trials told over all starts of the run."""
        return sum(f.complete + f.pruned + f.failed for ledger in self.ledgers.values()
                   for f in ledger.families.values())

    @property
    def wants_gpus(self) -> bool:
        """Whether any family can still use a GPU."""
        return any("gpu" in kinds for kinds in self.kinds.values())

    @property
    def trial_bytes(self) -> int:
        """Bytes of the predictions of one trial, of the dataset with the largest."""
        return max((_trial_bytes(ledger.prepared) for ledger in self.ledgers.values()), default=0)

    def has_time(self, dataset: str) -> bool:
        """Whether a dataset's time, where it has one, is not used up."""
        return self.ledgers[dataset].budget_s is None or not self.ledgers[dataset].use({}, 0).spent

    # Datasets.

    def add_dataset(self, ready: DatasetReady) -> list[Retry]:
        """Take in a prepared dataset with what is known from before; returns its trials that are to be run again."""
        prepared = ready.prepared
        name = prepared.dataset
        changed = changes_since(self._past.datasets.get(name), prepared)
        if changed:
            self.refuse_dataset(name, changed)
            return []
        twin = next((other.prepared.dataset for other in self.ledgers.values()
                     if other.prepared.fingerprint == prepared.fingerprint), None)
        if twin is not None:
            self.notes[name] = f"same content as {twin}"
        else:
            self.notes.pop(name, None)
        self._events.emit("dataset_ready", durable=True, same_as=twin,
                          problem=msgspec.to_builtins(next(p for p in self._study.datasets if p.name == name)),
                          trial_bytes=_trial_bytes(prepared), **msgspec.to_builtins(prepared))
        for notice in prepared.notices:
            # What eight versions of a table have in common is said once.
            if notice not in self._said:
                self._said.add(notice)
                self._events.notice(f"{name}: {notice}")
        time_s = self._study.time_per_dataset_s
        self.ledgers[name] = DatasetLedger(
            prepared=prepared, budget_trials=self._study.trials,
            budget_s=None if time_s is None else time_s * self._slots,
            families={f: FamilyLedger(name=f, kinds=self._kinds_here(f, name), steps=prepared.steps,
                                      share=self._shares.get(f)) for f in ready.spaces},
            adaptive=self._study.shares == "adaptive")
        self.disk.announce(name, _trial_bytes(prepared), self._study.trials)
        told = self._past.take_told(name)
        ledger = self.ledgers[name]
        self._remember_families_of_old(ledger, told)
        retries = []
        for family, described in ready.spaces.items():
            retries += self._add_search(ledger, family, described, told.get(family, []))
            if family in self._stopped:
                self.close_family(name, family, self._stopped[family])
        self._settling.restore(chain.from_iterable(told.values()), maximize=ledger.maximize)
        self._end_what_has_settled(ledger)
        for family, reason in ready.refused.items():
            ledger.families[family] = FamilyLedger(name=family, kinds=frozenset(), steps=prepared.steps)
            self.close_family(name, family, reason)
        return retries

    def refuse_dataset(self, name: str, reason: str) -> None:
        """A dataset that cannot be used; the others go on."""
        self.notes[name] = reason
        self._events.emit("dataset_failed", dataset=name, reason=reason)

    def finish_dataset(self, ledger: DatasetLedger, open_kinds: Iterable[str]) -> None:
        """Mark a dataset without running jobs as finished, if nothing more may start on it."""
        use = ledger.use({}, 0)
        exhausted = all(f.closed for f in ledger.families.values())
        reachable = any(f.kinds & set(open_kinds) and not f.closed for f in ledger.families.values())
        open_families = [f for f in use.families.values() if not f.closed and f.kinds & set(open_kinds)]
        first_round = any(f.begun == 0 for f in open_families)
        used_up = use.spent if ledger.budget_trials is not None else (
            not first_round and not any(use.has_room_for(f) for f in open_families))
        if not ledger.finished and (used_up or exhausted or ledger.settled or not reachable):
            ledger.finished = True
            reason = "no family is left" if exhausted else "budget used" if used_up else "no slot is left"
            self._events.emit("dataset_finished", dataset=ledger.prepared.dataset, used_s=round(use.used_s, 1),
                              trials=sum(f.complete + f.pruned + f.failed for f in ledger.families.values()),
                              reason=ledger.settled or reason, spared=ledger.spared_models())

    def uses(self, leases: Iterable[Lease], retries: Iterable[Retry], slots: Mapping[str, Slot],
             now: float) -> list[DatasetUse]:
        """What the budgets see: told seconds, and for each job under way what it has used or is expected to.

        Finished datasets too: what a family had more or less of there is made good on the others.
        """
        charged: dict[str, dict[str, dict[str, float]]] = {}
        jobs: dict[str, int] = {}
        for lease in leases:
            elapsed = (now - lease.started) * lease.slots if lease.started is not None else 0.0
            expected = self.ledgers[lease.dataset].families[lease.family].typical_s
            family = charged.setdefault(lease.dataset, {}).setdefault(lease.family, {})
            kind = slots[lease.slot].kind
            family[kind] = family.get(kind, 0.0) + max(elapsed, expected)
            jobs[lease.dataset] = jobs.get(lease.dataset, 0) + 1
        for retry in retries:
            jobs[retry.dataset] = jobs.get(retry.dataset, 0) + 1
        return [ledger.use(charged.get(p.name, {}), jobs.get(p.name, 0)) for p in self._study.datasets
                if (ledger := self.ledgers.get(p.name)) is not None]

    # Trials, from asked to told.

    def ask(self, dataset: str, family: str, outlook: Outlook | None = None) -> str | None:
        """A new trial, in the journal before anybody runs it; ``None`` where the family cannot give one any more."""
        search = self._searches[dataset, family]
        trial = trial_id(dataset, family, search.next_number)
        try:
            params = search.searcher.ask(trial, outlook)
        except (ValueError, RuntimeError, ArithmeticError) as error:
            # What the sampler cannot do for one family must not end the run of the others.
            self.close_family(dataset, family, f"its sampler failed: {type(error).__name__}: {error}")
            return None
        if params is None:
            self.close_family(dataset, family, "its sampler has no further point")
            return None
        search.next_number += 1
        seed = trial_seed(self._study.seed, trial)
        self.ledgers[dataset].families[family].begun += 1
        self._under_way[trial] = UnderWay(params=params, seed=seed, space=search.space, key=search.key)
        self._events.emit("trial_asked", durable=True, trial=trial, params=params, seed=seed, space=search.space)
        return trial

    def limits(self, dataset: str, family: str) -> tuple[float | None, ...]:
        """The running means below which a trial that starts now is pruned."""
        return self._searches[dataset, family].bars.running_means()

    def workload(self, lease: Lease, slot_kind: str) -> CrossValidation:
        """What a worker is told of a trial."""
        ledger = self.ledgers[lease.dataset]
        trial = self._under_way[lease.trial]
        fell_back = lease.dataset in self._fell_back.get(lease.family, ())
        trial.device = "gpu" if slot_kind == "gpu" and not fell_back else "cpu"
        bars = self._searches[lease.dataset, lease.family].bars
        look, look_limit = bars.look()
        return CrossValidation(
            table=ledger.prepared.fingerprint, family=lease.family, metric=ledger.prepared.metric,
            params=trial.params, seed=trial.seed, device=trial.device, max_rows=trial.key.space.max_rows or None,
            device_required=lease.family in self._gpu_required, limits=lease.limits,
            fit_limits=bars.inside_fits(trial.params, ledger.families[lease.family].complete), look=look,
            look_limit=look_limit, predict_test_beyond=ledger.predict_test_beyond(),
            keep_models_beyond=ledger.keep_models_beyond(lease.family),
        )

    def device_of(self, trial: str) -> str:
        """Where the latest attempt of a trial under way was sent: ``cpu`` or ``gpu``."""
        return self._under_way[trial].device

    def finished(self, lease: Lease, slot: Slot, versions: Mapping[str, str], message: JobFinished) -> Told:
        """A worker has decided a trial."""
        trial = self._under_way[lease.trial]
        if message.device == "gpu":
            self._on_gpu.add(lease.family)
        elif trial.device == "gpu":
            self._move_to_cpu(lease.family, lease.dataset)
        fields = msgspec.structs.asdict(message)
        for name in ("lease", "outcome"):
            del fields[name]
        return self._tell(lease, slot, versions, state=message.outcome,
                          predictions="kept" if message.predictions_sha256 else "none", **fields)

    def failed(self, lease: Lease | Retry, slot: Slot, versions: Mapping[str, str], *, kind: str, reason: str,
               seconds: float, quarantined: bool = False) -> Told:
        """A trial has failed for good."""
        told = self._tell(lease, slot, versions, state="failed", kind=kind, reason=reason, seconds=seconds,
                          quarantined=quarantined, device=self._under_way[lease.trial].device)
        family = self.ledgers[lease.dataset].families[lease.family]
        if kind == "wrong_device" and lease.family not in self._on_gpu:
            self._stopped[lease.family] = reason
            for dataset in self.ledgers:
                self.close_family(dataset, lease.family, reason)
        elif kind == "wrong_device":
            self.close_family(lease.dataset, lease.family, reason)
        elif family.failed_in_a_row >= (
                MOST_CRASHES if kind in _CRASHES and not family.complete + family.pruned else MOST_FAILURES):
            self.close_family(lease.dataset, lease.family,
                              f"{family.failed_in_a_row} trials failed in a row, the last with: {reason}")
        return told

    def close_family(self, dataset: str, family: str, reason: str) -> None:
        """No more trials of this family on this dataset."""
        entry = self.ledgers[dataset].families[family]
        if not entry.closed:
            entry.closed = reason
            self.family_notes[family] = reason
            self._events.emit("family_stopped", family=family, dataset=dataset, reason=reason)

    def _tell(self, lease: Lease | Retry, slot: Slot, versions: Mapping[str, str], **fields: Any) -> Told:
        """From the durable line in the journal on, the trial is told; everything after it can be made good."""
        ledger = self.ledgers[lease.dataset]
        trial = self._under_way[lease.trial]
        record = msgspec.convert(
            {"trial": lease.trial, "attempt": lease.attempt, "params": trial.params, "space": trial.space,
             "seed": trial.seed, "max_rows": trial.key.space.max_rows or None, "metric": ledger.prepared.metric,
             "table": ledger.prepared.fingerprint, "slot": slot.name, "versions": dict(versions), "at": time.time(),
             **({"slots": lease.slots, "peak_private_mb": round(lease.peak_mb, 1)} if isinstance(lease, Lease) else {}),
             **fields}, TrialRecord)
        previous = ledger.best.score if ledger.best else None
        self._events.emit("trial_told", durable=True, **msgspec.to_builtins(record))
        del self._under_way[record.trial]
        search = self._searches[lease.dataset, lease.family]
        if trial.space == search.space:
            search.searcher.tell(record)
        was_best = ledger.tell(record, kind=slot.kind)
        self._settling.tell(record, maximize=ledger.maximize)
        self._end_what_has_settled(ledger)
        self._project_size(ledger)
        if was_best:
            self._events.emit("best_improved", dataset=lease.dataset, trial=record.trial, score=record.score,
                              previous=previous)
        if record.models_kept:
            self.disk.drop_models(ledger.keep_models(record))
        self.disk.told(record)
        return Told(record=record, key=trial.key, was_best=was_best)

    def _end_what_has_settled(self, ledger: DatasetLedger) -> None:
        """Start no more trials where the best have not changed for as long as the person says."""
        name = ledger.prepared.dataset
        for family in ledger.families:
            if reason := self._settling.family(name, family):
                self.close_family(name, family, reason)
        ledger.settled = ledger.settled or self._settling.dataset(name)
        for each in self.ledgers.values():
            each.settled = each.settled or self._settling.run()

    def _project_size(self, ledger: DatasetLedger) -> None:
        """Say once, when every family has had a trial, how many trials the budget is good for and what they take."""
        trials = None if ledger.projected else ledger.projected_trials()
        if trials is None:
            return
        ledger.projected = True
        # Of a resumed run it was said at the first start.
        said = ledger.decided > len(ledger.families)
        self.disk.project(ledger.prepared.dataset, _trial_bytes(ledger.prepared), trials, said=said)

    # Families and their searches.

    def _move_to_cpu(self, family: str, dataset: str) -> None:
        """A family asked for a GPU and in truth used the CPU: by its table, or because it cannot here at all."""
        fell_back = self._fell_back.setdefault(family, set())
        if dataset in fell_back:
            return
        fell_back.add(dataset)
        # Two tables in a row and never a GPU: it is not the tables.
        at_all = family not in self._on_gpu and len(fell_back) >= min(2, len(self._study.datasets))
        if at_all:
            fell_back.update(p.name for p in self._study.datasets)
        if "cpu" in self.kinds[family]:
            for name, ledger in self.ledgers.items():
                if name in fell_back:
                    ledger.families[family].kinds = frozenset({"cpu"})
            if at_all:
                self.kinds[family] = frozenset({"cpu"})
        reason = "it was asked to use the GPU and in truth trained on the CPU"
        self.family_notes[family] = f"on the CPU{'' if at_all else f' on {dataset}'}: {reason}"
        self._events.emit("family_moved", family=family, dataset=None if at_all else dataset, reason=reason)

    def _kinds_here(self, family: str, dataset: str) -> frozenset[str]:
        if dataset in self._fell_back.get(family, ()) and "cpu" in self.kinds[family]:
            return frozenset({"cpu"})
        return self.kinds[family]

    def set_slots(self, slots: int) -> None:
        """The number of slots that work has changed; a time on all slots means so many slot-seconds."""
        self._slots = slots
        for ledger in self.ledgers.values():
            if self._study.time_per_dataset_s is not None:
                ledger.budget_s = self._study.time_per_dataset_s * slots

    def _remember_families_of_old(self, ledger: DatasetLedger, told: Mapping[str, Sequence[TrialRecord]]) -> None:
        """Families that the study no longer names: what they used is used, and their best is still a best."""
        for family in sorted(told.keys() - self.kinds.keys()):
            ledger.families[family] = FamilyLedger(
                name=family, kinds=frozenset(), steps=ledger.prepared.steps, closed="not in this study",
                begun=len(told[family]))
            for record in told[family]:
                ledger.tell(record, kind=kind_of(record.slot))

    def _add_search(self, ledger: DatasetLedger, family: str, described: SpaceDescription,
                    told: Sequence[TrialRecord]) -> list[Retry]:
        name, space = ledger.prepared.dataset, described.space
        self._events.emit("space_described", dataset=name, family=family, hash=space.hash(),
                          space=msgspec.to_builtins(space), starts=described.starts)
        next_number = self._past.numbers.get((name, family), -1) + 1
        searcher = Searcher(
            space=space, starts=described.starts, sampler=load_sampler(self._study.sampler),
            maximize=ledger.maximize, workers=self._slots,
            # Not the study's seed alone: a resumed search must not draw the same start again.
            seed=trial_seed(self._study.seed, trial_id(name, family, next_number)),
        )
        searcher.restore(told)
        key = StudyKey(dataset=name, family=family, space=space,
                       direction="maximize" if ledger.maximize else "minimize")
        bars = Bars(self._pruner, searcher, prepared=ledger.prepared)
        self._searches[name, family] = Search(searcher=searcher, bars=bars, key=key, space=space.hash(),
                                              next_number=next_number)
        entry = ledger.families[family]
        entry.begun = len(told)
        for record in told:
            ledger.tell(record, kind=kind_of(record.slot))
            if record.models_kept and record.trial not in self._past.models_dropped:
                self.disk.drop_models(ledger.keep_models(record))
        for (dataset, one, kind), seconds in self._past.lost_s.items():
            if (dataset, one) == (name, family):
                entry.charge(kind, seconds)
        return self._taken_up(entry, searcher, key)

    def _taken_up(self, entry: FamilyLedger, searcher: Searcher, key: StudyKey) -> list[Retry]:
        """Trials that were under way when the last scheduler ended."""
        retries = []
        for trial, asked in self._past.asked.items():
            if trial.rpartition("/")[0] != f"{key.dataset}/{key.family}":
                continue
            space = self._past.spaces.get(asked.space, key.space)
            self._under_way[trial] = UnderWay(params=asked.params, seed=asked.seed, space=asked.space,
                                              key=msgspec.structs.replace(key, space=space))
            if asked.space == key.space.hash():
                searcher.resume(trial, asked.params)
            entry.begun += 1
            kind = asked.kind if asked.kind in entry.kinds else min(entry.kinds)
            retries.append(Retry(trial=trial, dataset=key.dataset, family=key.family, kind=kind,
                                 attempt=asked.attempts + 1, faults=asked.faults))
        return retries


def _trial_bytes(prepared: Prepared) -> int:
    """Bytes that the predictions of one complete trial take."""
    return predictions_size(task=prepared.task, classes=len(prepared.classes), rows=prepared.rows,
                            test_rows=prepared.test_rows, repeats=prepared.repeats)
