"""Gives jobs to slots: what waits to be run again first, then whatever the budgets say is next.

A next job is sent when the running one is about to end, and never before the memory that it is expected to need is
there beside what the others have reserved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from optimizer import budgets
from optimizer.backends.base import Backend
from optimizer.dispatch import Dispatcher, Retry
from optimizer.messages import Job, RunJob
from optimizer.resources import Slot
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.layouts import Layouts
from optimizer.scheduler.memory import fits, reservation
from optimizer.scheduler.recovery import Recovery
from optimizer.strategies.base import Outlook

#: A next job is sent when the running one may end within this, or within twice the time that asking takes.
AHEAD_S = 0.25


@dataclass(kw_only=True)
class Feeder:
    """Keeps slots in work."""

    #: Slot name to slot: the run's own, which changes where GPUs are given up.
    slots: dict[str, Slot]
    #: MiB that the run's jobs may hold together, and that they might when its slots were made.
    memory_mb: float
    planned_mb: float
    dispatcher: Dispatcher
    book: Book
    backend: Backend
    events: EventLog
    recovery: Recovery
    layouts: Layouts
    #: Slots that get no new trial, as fewer use what the run may.
    resting: frozenset[str] = frozenset()
    #: Seconds that asking for a point takes, lately.
    ask_s: float = 0.02

    def fill(self, now: float) -> None:
        """Give a job to every slot that wants one, as far as there is work and memory."""
        self.layouts.advance()
        wanting = [slot for slot in self.dispatcher.wanting(now, self._ahead_s) if not (
            slot in self.resting or self.recovery.is_ending(slot) or self.recovery.holds_back(slot, now)
            or self.layouts.lent_to(slot))]
        for position, slot in enumerate(wanting):
            if not self.events.settled:
                return  # what was just asked is not on the disk yet, and nobody may run it
            if self.dispatcher.under_way and self.recovery.is_short_of_memory(now):
                return
            kind = self.slots[slot].kind
            retry = self.dispatcher.retry_for(kind)
            if retry is None:
                if not self._in_the_way_of_another(kind):
                    self._start_new(slot, kind, wanted=len(wanting) - position)
            elif self._fits(slot, retry.dataset, retry.family, retry.needs_mb):
                self.dispatcher.taken(retry)
                self._send(slot, retry)
            # Else it waits until the others leave it room; a job that started before it would keep that room.

    def until_next(self, now: float) -> float:
        """Seconds until a running job comes close enough to its end for the next one to be sent."""
        left = [state.running.expected_left_s(now) for state in self.dispatcher.slots.values()
                if state.running is not None and state.waiting is None]
        return min((x - self._ahead_s + 0.001 for x in left if x is not None and x > self._ahead_s), default=math.inf)

    @property
    def _ahead_s(self) -> float:
        return max(AHEAD_S, 2 * self.ask_s)

    def _start_new(self, slot: str, kind: str, wanted: int) -> None:
        open_kinds = self.dispatcher.open_kinds
        while (pair := budgets.next_pair(self._uses(), kind, open_kinds)) is not None and self._fits(slot, *pair):
            begun = time.monotonic()
            trial = self.book.ask(*pair, self._outlook(*pair, wanted))
            if trial is None:
                continue  # that family can give none any more; another one may
            self.ask_s = 0.8 * self.ask_s + 0.2 * (time.monotonic() - begun)
            new = Retry(trial=trial, dataset=pair[0], family=pair[1], attempt=1, faults=0, kind=kind)
            if self.events.settled:
                self._send(slot, new)
            else:
                # Its number is not on the disk yet, and after a crash would be given away a second time.
                self.dispatcher.add_retry(new)
            return

    def _outlook(self, dataset: str, family: str, wanted: int) -> Outlook:
        ledger = self.book.ledgers[dataset]
        return Outlook(
            wanted=wanted, trial_s=ledger.families[family].typical_s or math.inf,
            in_time=ledger.trials_in_time(family, self.layouts.left_for_each(len(self.slots))))

    def _send(self, slot: str, what: Retry) -> None:
        lease = self.dispatcher.assign(
            slot, trial=what.trial, dataset=what.dataset, family=what.family, attempt=what.attempt, faults=what.faults,
            expected_step_s=self.book.ledgers[what.dataset].families[what.family].typical_step_s,
            limits=self.book.limits(what.dataset, what.family),
            reserved_mb=self._reservation(slot, what.dataset, what.family, what.needs_mb),
            slots=self.layouts.joined(slot),
        )
        workload = self.book.workload(lease, self.slots[slot].kind)
        self.backend.send(slot, RunJob(job=Job(trial=what.trial, attempt=what.attempt, lease=lease.number,
                                               workload=workload)))

    def _uses(self) -> list[budgets.DatasetUse]:
        return self.book.uses(self.dispatcher.under_way, self.dispatcher.retries, self.slots, time.monotonic())

    def _fits(self, slot: str, dataset: str, family: str, needs_mb: float = 0.0,
              emptied: Iterable[str] = ()) -> bool:
        """Whether the memory that a job is expected to need is there beside what the other slots have reserved.

        Args:
            emptied: slots that count as if they held nothing.
        """
        return fits(self._reservation(slot, dataset, family, needs_mb), self.dispatcher.reserved_mb({slot, *emptied}),
                    self.memory_mb)

    def _in_the_way_of_another(self, kind: str) -> bool:
        """Whether slots of this kind hold the memory that a trial to be run again on another kind waits for.

        Slots of its own kind wait with it; those of the others would go on beside it for ever.
        """
        for other in self.dispatcher.open_kinds - {kind}:
            retry = self.dispatcher.retry_for(other)
            if retry is None:
                continue
            theirs = [state.name for state in self.dispatcher.slots.values() if state.kind == other]
            if not self._fits(theirs[0], retry.dataset, retry.family, retry.needs_mb, emptied=theirs):
                return True
        return False

    def _reservation(self, slot: str, dataset: str, family: str, needs_mb: float) -> float:
        share_mb = self.slots[slot].memory_mb * self.layouts.joined(slot) * self.memory_mb / self.planned_mb
        return min(self.memory_mb, max(needs_mb, reservation(
            peak_mb=self.book.ledgers[dataset].families[family].peak_mb, share_mb=share_mb, limit_mb=self.memory_mb)))
