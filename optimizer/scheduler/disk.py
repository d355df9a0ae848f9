"""Keeps what a run leaves on the disk within its limit, and says so; what goes is decided in `quota`.

An eviction is in the journal, durably, before the file goes. A crash in between leaves a file that the next start
removes; the other way round it would leave a told trial without its predictions, and nobody would know why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from optimizer.config.resolved import ResourceLimits
from optimizer.errors import StorageFault
from optimizer.records import TrialRecord
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.past import Past
from optimizer.scheduler.quota import (
    FEW_TRIALS,
    DiskUse,
    Kept,
    is_leftover,
    kept_of,
    protected,
    size_text,
    to_evict,
)
from optimizer.store import Store

#: Bytes of removed leftovers that are worth a sentence.
_WORTH_SAYING = 5_000_000


class DiskKeeper:
    """The account of a run's predictions and models, and who acts on it; only the scheduler has one."""

    def __init__(self, limits: ResourceLimits, store: Store, events: EventLog, *, at_once: int) -> None:
        """``at_once``: slots; each may write two trials before we hear of the first, for the next job is sent ahead.

        Without `take_up` nothing is limited.
        """
        self.use = DiskUse()
        self._limits = limits
        self._store = store
        self._events = events
        self._at_once = 2 * at_once
        self._room = 0.0
        #: Trials whose evicted predictions, and whose dropped models, are still there.
        self._to_remove: list[str] = []
        self._models_to_remove: list[str] = []
        #: Datasets that had trials before this start.
        self._begun: set[str] = set()
        #: Dataset to the bytes that its trials are expected to keep.
        self._expected: dict[str, float] = {}
        self._said: set[str] = set()

    def take_up(self, past: Past) -> None:
        """Count what is there, remove what is of no use, note what is gone; once, before any worker starts."""
        self._begun = {record.dataset for record in past.told.values()}
        try:
            free = self._store.free_bytes()
            files = list(self._store.stored_files())
        except StorageFault as fault:
            self._events.notice(f"the run's folder cannot be looked through, so its disk limit is not held: {fault}")
            return
        removed = 0
        sizes = {}
        for file in files:
            if is_leftover(file, past.told, past.models_dropped, past.numbers):
                removed += self._remove(lambda file=file: self._store.remove(file), file.size)  # type: ignore[misc]
            else:
                sizes[file.kind, file.trial] = file.size
        if removed >= _WORTH_SAYING:
            self._events.notice(f"removed {size_text(removed)} of attempts that were never told and of evicted trials")
        gone = []
        for trial, record in past.told.items():
            size = sizes.get(("predictions", trial))
            if record.predictions == "kept" and size is None:
                gone.append(record)
                past.told[trial] = record = msgspec.structs.replace(record, predictions="evicted")
            self._count(record, size, sizes.get(("models", trial)))
        # A share is one of what is free or ours already, or each start would make it smaller.
        self._room = free + removed + self.use.used
        self.use.limit = self._limits.disk_bytes(self._room)
        self._events.notice(f"predictions and models may take {size_text(self.use.limit)} on the disk (disk_limit = "
                            f'"{self._limits.disk_limit}")'
                            + (f"; they take {size_text(self.use.used)}" if self.use.used else ""))
        if self.use.limit > self._room:
            self._events.notice(f"only {size_text(free)} are free here, less than the disk limit: make room, or lower "
                                "resources.disk_limit so that the least useful predictions go in time")
        if gone:
            self._events.notice(f"the predictions of {len(gone)} told trials are not on the disk any more, and are "
                                f"recorded as evicted; the first is {gone[0].trial}")
            for record in gone:
                self._tell_evicted(record.trial, record.predictions_bytes, "missing")
        self.make_room()

    def announce(self, dataset: str, trial_bytes: int, trials: int | None) -> None:
        """Before a dataset's very first trial: what each one keeps, and how many there is room for.

        Args:
            trials: how many the study asks for; ``None`` where time is what it gives.
        """
        self.expect(dataset, trial_bytes, trials)
        if dataset in self._begun or f"expect {dataset}" in self._said:
            return
        others = sum(self._expected.values()) - self._expected[dataset]
        room = max(0.0, min(self.use.limit, self._room) - self.use.used - others) / max(trial_bytes, 1)
        whole = f"there is room for about {room:,.0f}" if trials is None else (
            f"{trials:,} of them up to {size_text(trials * trial_bytes)}")
        self._events.notice(f"{dataset}: a complete trial keeps up to {size_text(trial_bytes)} of predictions; {whole}")

    def project(self, dataset: str, trial_bytes: int, trials: float, *, said: bool) -> None:
        """Expect as many trials as a budget of time is good for, and say so unless it was said before."""
        self.expect(dataset, trial_bytes, trials)
        if not said:
            megabytes = max(trials * trial_bytes / 1e6, 0.1)
            self._events.notice(f"{dataset}: by its budget about {max(trials, 1.0):,.0f} trials, with up to "
                                f"{megabytes:,.1f} MB of predictions")

    def expect(self, dataset: str, trial_bytes: int, trials: float | None) -> None:
        """Say once per dataset where the limit or the disk will not hold what its trials keep.

        ``trials``: how many the budget is good for; ``None`` while nobody knows.
        """
        self._expected[dataset] = trial_bytes * (FEW_TRIALS if trials is None else trials)
        needed = sum(self.use.models.values()) + sum(self._expected.values())
        bound = min(self.use.limit, self._room)
        if f"expect {dataset}" in self._said or needed <= bound:
            return
        self._said.add(f"expect {dataset}")
        count = "" if trials is None else f"about {max(trials, 1.0):,.0f} trials are expected, "
        others = sum(self._expected.values()) - self._expected[dataset]
        held = f"{max(0.0, bound - others) / max(trial_bytes, 1):,.0f}"
        end = (f"the disk limit of {size_text(bound)} holds about {held} of them, then the least useful go"
               if self.use.limit <= self._room else
               f"the disk has room for about {held} of them: make room, or lower resources.disk_limit")
        self._events.notice(f"{dataset}: each trial keeps {size_text(trial_bytes)} of predictions; {count}{end}")

    def told(self, record: TrialRecord) -> None:
        """Count what a trial has left, after its line in the journal and after models were dropped for it."""
        if record.attempt > 1:
            # A lost attempt may have written its predictions before it was lost.
            keep = record.attempt if record.predictions == "kept" else None
            self._remove(lambda: self._store.drop_predictions(record.trial, but=keep), 0)
            if not record.models_kept:
                self._remove(lambda: self._store.drop_models(record.trial), 0)
        models = None
        if record.models_kept:
            try:
                models = self._store.models_size(record.trial)
            except StorageFault as fault:
                self._events.notice(f"models of {record.trial} cannot be counted: {fault}")
        self._count(record, None, models)
        self.make_room()

    def refuses(self, size: int) -> str:
        """Why the disk would not take predictions of so many bytes now; empty where it would."""
        try:
            self._store.try_to_write(size)
        except StorageFault as fault:
            return str(fault)
        return ""

    def drop_models(self, trials: Iterable[str]) -> None:
        """Delete the models of trials that are no longer among the best of their family."""
        for trial in trials:
            self._events.emit("models_dropped", trial=trial)
            self.use.models_dropped(trial)
            self._models_to_remove.append(trial)
        self._remove_what_went()

    def _count(self, record: TrialRecord, size: int | None, models: int | None) -> None:
        self.use.add(kept_of(record, size), models, record.trial)

    def make_room(self) -> None:
        """Evict what is over the limit; also once a second, for a run that waits for space tells no trial."""
        self._remove_what_went()
        start, low = self.use.marks(self._at_once)
        if self.use.used <= start:
            return
        kept = self.use.predictions
        try:
            exported = self._store.exported()
        except StorageFault as fault:
            # Better over the limit than without what was exported.
            self._say_once("exported", f"what was exported cannot be looked up, so nothing is evicted: {fault}")
            return
        spared = protected(kept.values(), self.use.models, exported)
        going = to_evict(kept.values(), spared, self.use.used, low)
        if going:
            self._evict(going)
        if self.use.used > start:
            self._say_once("too small", f"what is never evicted (the best of each family, what was exported, the kept "
                                        f"models) takes {size_text(self.use.used)} of the disk limit of "
                                        f"{size_text(self.use.limit)}, and what running trials write needs the rest: "
                                        "raise resources.disk_limit to keep more")

    def _evict(self, going: list[Kept]) -> None:
        self._say_once("evict", f"the disk limit of {size_text(self.use.limit)} is near: the predictions of the least "
                                f"useful trials go, first those of {going[0].trial}; their records stay")
        for one in going:
            # One durable line makes all before it durable.
            self._tell_evicted(one.trial, one.size, "quota", durable=one is going[-1])
            self.use.evicted(one.trial)
            self._to_remove.append(one.trial)
        self._remove_what_went()

    def _tell_evicted(self, trial: str, size: int, reason: str, *, durable: bool = True) -> None:
        self._events.emit("predictions_evicted", durable=durable, trial=trial, bytes=size, reason=reason)

    def _remove_what_went(self) -> None:
        """Delete what the journal has as evicted or dropped; while the journal does not have it yet, it waits.

        After a crash in between, those who took its place would not be told, and it would be missed.
        """
        if self._events.settled:
            self._to_remove = self._not_removed(self._to_remove, self._store.drop_predictions)
            self._models_to_remove = self._not_removed(self._models_to_remove, self._store.drop_models)

    def _not_removed(self, trials: list[str], drop: Callable[[str], None]) -> list[str]:
        return [trial for trial in trials
                if not self._remove(lambda trial=trial: drop(trial), 1)]  # type: ignore[misc]

    def _remove(self, act: Callable[[], None], size: int) -> int:
        try:
            act()
        except StorageFault as fault:
            self._say_once("remove", f"a file that is not needed any more stays on the disk: {fault}")
            return 0
        return size

    def _say_once(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._events.notice(text)
