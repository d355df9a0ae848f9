"""Joins CPU slots where that finishes more trials: measures it on folds of real trials, chooses, and carries it out.

A slot that is joined to another lends it its cores and runs nothing itself; its worker waits. The other's worker
moves to the cores of both between two folds, so that no process is started or ended.

A measurement waits for a trial that will outlast what its neighbours run. They get no other job, what was sent to them
ahead is taken back, and when they are idle its next folds use their cores, too. What the neighbours idle meanwhile is
charged to its family.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from optimizer.backends.base import Backend
from optimizer.dispatch import Dispatcher, Lease
from optimizer.layout import Choice, Measured, blocks, choose, memory_for, next_width, slot_words, widths
from optimizer.messages import RevokeJob, SetShare
from optimizer.remembered import Remembered, shape_of
from optimizer.resources import Slot
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.ledger import FamilyLedger
from optimizer.scheduler.memory import MARGIN

#: Trials of each family that are measured at each width, of all families together at the least, and tries that may
#: fail for one that counts.
TIMES, TOGETHER, TRIES = 3, 6, 4
#: Most of a dataset's slot-seconds that neighbours may idle for it, and how many may pass before it is given up.
SHARE, PATIENCE = 0.015, 0.25
#: Decided trials of a family before it is measured: its first ones load, map and bin.
SEASONED = 2


@dataclass(kw_only=True)
class _Try:
    """A measurement under way."""

    dataset: str
    family: str
    width: int
    trial: str
    leader: str
    others: tuple[str, ...]
    #: Since when each of the others idles.
    idle_since: dict[str, float] = field(default_factory=dict)
    joined: bool = False
    #: Seconds and iterations of the fold that was joined; 0 before.
    joined_s: float = 0.0
    iterations: int = 0


@dataclass(kw_only=True)
class _Known:
    """What is known of a dataset's layouts."""

    measured: list[Measured] = field(default_factory=list)
    tries: Counter[tuple[str, int]] = field(default_factory=Counter)
    #: Slot-seconds that neighbours have idled.
    cost_s: float = 0.0
    choice: Choice | None = None


@dataclass(kw_only=True)
class Layouts:
    """Which slots are joined now; the present dataset decides."""

    #: Slot name to slot: the run's own, which changes where GPUs are given up.
    slots: dict[str, Slot]
    dispatcher: Dispatcher
    book: Book
    backend: Backend
    events: EventLog
    memory_mb: float
    #: The person has said how many threads a slot has.
    fixed: bool
    remembered: Remembered
    #: Seconds that are left to the run.
    left_s: Callable[[], float] = lambda: math.inf
    clock: Callable[[], float] = time.monotonic
    #: Slots that are joined now.
    width: int = 1
    #: Nobody else has the cores and no limit holds: what is measured now says something.
    quiet: bool = True
    _dataset: str = ""
    _known: dict[str, _Known] = field(default_factory=dict)
    _try: _Try | None = None
    #: Slot to its trial and, of its folds on the slot's own cores, the seconds for each iteration.
    _folds: dict[str, tuple[str, list[float]]] = field(default_factory=dict)
    #: Slot to the one that it lends its cores to, or will when it is idle.
    _lent: dict[str, str] = field(default_factory=dict)
    _joinable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        own = [s for s in self.slots.values() if s.gpu is None]
        cores = [core for slot in own for core in slot.cores]
        # Slots of one size, each with cores of its own.
        if not self.fixed and len({s.threads for s in own}) == 1 and len(set(cores)) == len(cores):
            self._joinable = tuple(s.name for s in own)

    def lent_to(self, slot: str) -> str:
        """The slot that this one lends its cores to, and gets no job for that; empty where it works itself."""
        return self._lent.get(slot, "")

    def joined(self, slot: str) -> int:
        """Slots whose cores a job that starts here uses."""
        return self.width if slot in self._joinable else 1

    def reach(self, slot: str) -> tuple[int, ...]:
        """Cores that a slot's worker may ever be given."""
        names = self._joinable if slot in self._joinable else (slot,)
        return tuple(core for name in names for core in self.slots[name].cores)

    def left_for_each(self, slots: int) -> float:
        """Slot-seconds that the run has left on so many slots for each dataset that is not finished."""
        unfinished = sum(not ledger.finished for ledger in self.book.ledgers.values())
        return self.left_s() * slots / max(1, unfinished)

    def advance(self) -> None:
        """Do what is next; called before jobs are given out."""
        if len(self._joinable) < 2:
            return
        if any(self.dispatcher.slots[name].phase == "closed" for name in self._joinable):
            self._give_up()
            return
        leases = [s.running for s in self.dispatcher.slots.values() if s.running is not None]
        if not leases:
            return
        dataset = Counter(lease.dataset for lease in leases).most_common(1)[0][0]
        if dataset != self._dataset:
            self._end_try()
            self._dataset = dataset
            self._take_up(dataset)
        known = self._known[dataset]
        if not self.quiet:
            self._end_try()
        elif self._try is not None:
            self._go_on(self._try)
        elif known.choice is None:
            self._look_for_one(dataset, known)

    def stepped(self, lease: Lease, seconds: float, threads: int, iterations: int) -> None:
        """A fold is done, by so many threads and in about so many iterations."""
        if not self._joinable or self.slots[lease.slot].gpu is not None:
            return
        current, own = self._try, self.slots[lease.slot].threads
        if current is not None and lease.trial == current.trial and current.joined:
            # The fold during which the cores were joined began before that, and is neither.
            if threads == own * current.width:
                current.joined_s, current.iterations = seconds, iterations
                # One is enough: what the neighbours idle is dear, and it is measured several times.
                self._end_try()
        elif threads == own:
            trial, folds = self._folds.get(lease.slot, ("", []))
            self._folds[lease.slot] = lease.trial, [*(folds if trial == lease.trial else ()), seconds / iterations]

    def ended(self, slot: str) -> None:
        """A job has ended in a slot, in whatever way."""
        if self._try is not None and slot == self._try.leader:
            self._end_try()

    def stood_still(self, slot: str, seconds: float) -> None:
        """A slot's worker was stopped on the run's order; who waits for it idles no longer for that."""
        if self._try is not None and slot == self._try.leader:
            self._try.idle_since = {name: since + seconds for name, since in self._try.idle_since.items()}

    def worker_ready(self, slot: str) -> None:
        """A fresh worker has its own slot's cores only."""
        if self.width > 1 and slot in self._joinable and not self.lent_to(slot):
            self._share(slot, self._block_of(slot))

    # One dataset after the other.

    def _take_up(self, dataset: str) -> None:
        known = self._known.setdefault(dataset, _Known())
        if known.choice is None:
            found = self.remembered.layout(self._shape(dataset), len(self._joinable))
            if found is not None:
                day = time.strftime("%Y-%m-%d", time.localtime(found.at))
                self._chosen(dataset, known, remembered=True, choice=Choice(
                    width=found.width, reason=f"as measured for tables of this shape on {day}"
                    + (f": {found.reason}" if found.reason else "")))
        self._set_width(known.choice.width if known.choice else 1)

    def _look_for_one(self, dataset: str, known: _Known) -> None:
        families = self._families(dataset)
        slots = len(self._joinable)
        at_once = self._at_once(dataset)
        if any(ledger.complete + ledger.pruned < SEASONED for ledger in families.values()):
            return
        times = max(TIMES, math.ceil(TOGETHER / max(1, len(families))))
        able = [name for name in families if all(
            known.tries[name, width] < times * TRIES for width in widths(slots)[1:])]
        width = next_width(known.measured, slots, able, times, at_once)
        ledger = self.book.ledgers[dataset]
        budget_s = ledger.whole_s(self.left_for_each(len(self._joinable)))
        if width is None or not able or (budget_s is not None and (
                known.cost_s >= SHARE * budget_s or ledger.used_s >= PATIENCE * budget_s)):
            self._chosen(dataset, known, choose(known.measured, slots, at_once))
            return
        if budget_s is None:
            return
        wanted = {name for name in able
                  if sum(m.family == name and m.width == width for m in known.measured) < times}
        for block in blocks(self._joinable, width):
            for leader in block:
                lease = self.dispatcher.slots[leader].running
                if lease is None or lease.family not in wanted or lease.dataset != dataset:
                    continue
                others = tuple(name for name in block if name != leader)
                # Half a fold until the cores are joined, and one of the joined.
                cost_s = 1.5 * lease.expected_step_s * len(others)
                if self._outlasts(lease, others) and known.cost_s + cost_s <= SHARE * budget_s:
                    known.tries[lease.family, width] += 1
                    self._try = _Try(dataset=dataset, family=lease.family, width=width, trial=lease.trial,
                                     leader=leader, others=others)
                    self._lent.update(dict.fromkeys(others, leader))
                    for ahead in (self.dispatcher.slots[name].waiting for name in others):
                        if ahead is not None:
                            self.backend.send(ahead.slot, RevokeJob(lease=ahead.number))
                    return

    def _outlasts(self, lease: Lease, others: tuple[str, ...]) -> bool:
        """Whether a trial has folds behind it beside busy neighbours, and two before it when these are idle."""
        left_s = (lease.steps - lease.steps_done) * lease.expected_step_s
        others_s = 0.0
        for state in (self.dispatcher.slots[name] for name in others):
            if state.running is None:
                return False
            others_s = max(others_s, (state.running.steps - state.running.steps_done) * state.running.expected_step_s)
        return lease.steps_done >= 1 and left_s - others_s >= 2 * lease.expected_step_s > 0

    def _go_on(self, current: _Try) -> None:
        now = self.clock()
        for name in current.others:
            if not self.dispatcher.slots[name].leases:
                current.idle_since.setdefault(name, now)
        if not current.joined and len(current.idle_since) == len(current.others):
            current.joined = True
            # Once: it goes on with the next fold before it could hear from us.
            self._share(current.leader, (current.leader, *current.others), once=True)

    def _end_try(self) -> None:
        """Count what was measured, and give the neighbours their cores back."""
        current, self._try = self._try, None
        if current is None:
            return
        known, now = self._known[current.dataset], self.clock()
        for name in current.others:
            self._lent.pop(name, None)
            seconds = now - current.idle_since.get(name, now)
            if seconds > 0:
                known.cost_s += seconds
                self.book.ledgers[current.dataset].families[current.family].charge("cpu", seconds)
                self.events.emit("slot_lent", slot=name, to=current.leader, trial=current.trial,
                                 seconds=round(seconds, 3))
        if current.joined and not current.joined_s:
            self._share(current.leader, (current.leader,))
        trial, each_s = self._folds.get(current.leader, ("", []))
        if trial == current.trial and current.joined_s:
            # Where a fit ends early, some folds have many times the iterations of others.
            found = Measured(family=current.family, width=current.width, joined_s=current.joined_s,
                             single_s=statistics.median(each_s) * current.iterations)
            known.measured.append(found)
            self.events.emit("layout_measured", dataset=current.dataset, family=found.family, trial=current.trial,
                             threads=self.slots[current.leader].threads * found.width,
                             single_s=round(found.single_s, 4), joined_s=round(found.joined_s, 4))

    def _chosen(self, dataset: str, known: _Known, choice: Choice, *, remembered: bool = False) -> None:
        known.choice = choice
        slots, threads = len(self._joinable), self.slots[self._joinable[0]].threads
        self.events.emit("layout_chosen", dataset=dataset, slots=slots // choice.width, threads=threads * choice.width,
                         reason=choice.reason, remembered=remembered)
        if known.measured or remembered:
            self.events.notice(f"{dataset}: {slot_words(slots // choice.width, threads * choice.width)}: "
                               f"{choice.reason}")
        if known.measured and not remembered:
            with contextlib.suppress(OSError):  # the next run measures again
                self.remembered.keep(self._shape(dataset), slots, choice.width, choice.reason)
        if dataset == self._dataset:
            self._set_width(choice.width)

    # Carrying it out.

    def _set_width(self, width: int) -> None:
        if width == self.width:
            return
        self.width = width
        self._lent = {name: block[0] for block in blocks(self._joinable, width) for name in block[1:]}
        for name in self._joinable:
            if not self.lent_to(name):
                self._share(name, self._block_of(name))

    def _give_up(self) -> None:
        """Slots are lost or have become others: each works for itself from now on."""
        self._end_try()
        self._set_width(1)
        self._lent.clear()
        self._joinable = ()

    def _share(self, slot: str, block: tuple[str, ...], *, once: bool = False) -> None:
        cores = tuple(core for name in block for core in self.slots[name].cores)
        self.backend.send(slot, SetShare(cores=cores, threads=self.slots[slot].threads * len(block), once=once))

    def _block_of(self, slot: str) -> tuple[str, ...]:
        return next(block for block in blocks(self._joinable, self.width) if slot in block)

    # What is known.

    def _families(self, dataset: str) -> dict[str, FamilyLedger]:
        return {name: ledger for name, ledger in self.book.ledgers[dataset].families.items()
                if not ledger.closed and "cpu" in ledger.kinds}

    def _at_once(self, dataset: str) -> int:
        needed = max((f.peak_mb * MARGIN for f in self._families(dataset).values()), default=0.0)
        return memory_for(self.memory_mb, needed, len(self._joinable))

    def _shape(self, dataset: str) -> str:
        prepared = self.book.ledgers[dataset].prepared
        return shape_of(rows=prepared.rows, columns=prepared.columns, task=prepared.task,
                        classes=len(prepared.classes), folds=prepared.folds, families=sorted(self._families(dataset)),
                        threads=self.slots[self._joinable[0]].threads)
