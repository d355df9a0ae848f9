"""Who runs what: slots, leases and attempts, as a state machine without clock, process or I/O.

    assign() ──> running or waiting lease ──started()──> running ──finished()──> decided
                        │                                   │
                     revoked()                            lost() ──> to be run again, or given up

A slot has at most one running and one waiting lease. A message counts only under a lease that its slot holds now,
so a worker that was given up and comes back late changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

#: Workers that a trial may take with it: it is retried at most twice.
MAX_FAULTS = 3
#: Attempts of a trial in all; those that ended with their scheduler are nobody's fault, but not for ever.
MAX_ATTEMPTS = 12


@dataclass(kw_only=True)
class Lease:
    """A trial's claim on a slot."""

    number: int
    slot: str
    trial: str
    #: 1 for the first.
    attempt: int
    #: Workers that were lost while they ran this trial.
    faults: int
    dataset: str
    family: str
    #: Seconds that a step is expected to take; 0 while unknown.
    expected_step_s: float = 0.0
    #: Whether a step's limit can end the trial early.
    limits: tuple[float | None, ...] = ()
    #: Slots that are joined for it: so many slot-seconds it takes in a second.
    slots: int = 1
    #: When the first work began; ``None`` while it waits.
    started: float | None = None
    steps: int = 0
    steps_done: int = 0
    last_step_at: float = 0.0
    running_mean: float | None = None
    #: MiB that it reserves.
    reserved_mb: float = 0.0
    #: Most MiB that it was seen to hold.
    peak_mb: float = 0.0

    def expected_left_s(self, now: float) -> float | None:
        """Seconds until the job may end, at the earliest; ``None`` while that is unknown."""
        if self.started is None or not self.expected_step_s:
            return None
        may_end = self.steps_done >= self.steps - 1 or (
            self.steps_done < len(self.limits) and self.limits[self.steps_done] is not None)
        until_step = max(0.0, self.last_step_at + self.expected_step_s - now)
        return until_step if may_end else until_step + self.expected_step_s


@dataclass(kw_only=True)
class SlotState:
    """A slot and what it holds."""

    name: str
    kind: str
    #: ``starting``, ``up``, ``down`` (its worker is gone, another may be started) or ``closed``.
    phase: str = "starting"
    running: Lease | None = None
    waiting: Lease | None = None
    #: Deaths in a row of workers that had no job; a slot whose workers die by themselves is closed. Deaths with a
    #: job are the trial's faults, which have bounds of their own.
    deaths: int = 0

    @property
    def leases(self) -> list[Lease]:
        """The running lease, then the waiting one."""
        return [lease for lease in (self.running, self.waiting) if lease]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """A trial to be run again."""

    trial: str
    dataset: str
    family: str
    attempt: int
    faults: int
    kind: str
    #: MiB that it needs, where an attempt died for want of more; 0 for as much as its family has needed.
    needs_mb: float = 0.0


@dataclass(kw_only=True)
class Lost:
    """What the loss of a worker meant."""

    #: The job that ran; it has cost an attempt.
    ran: Lease | None = None
    #: It has had its last attempt.
    given_up: bool = False
    #: The slot is closed for good with this death.
    closed: bool = False
    #: Another worker is to be started.
    restart: bool = True


@dataclass(kw_only=True)
class Dispatcher:
    """The state of every slot, and of every trial that is under way."""

    slots: dict[str, SlotState]
    retries: list[Retry] = field(default_factory=list)
    #: Workers of a slot that may die in a row before the slot is closed.
    most_deaths: int = 5
    _last_lease: int = 0

    def ready(self, slot: str) -> None:
        """A slot's worker waits for jobs."""
        if self.slots[slot].phase != "closed":
            self.slots[slot].phase = "up"

    def wanting(self, now: float, ahead_s: float) -> list[str]:
        """Slots that need a job: idle ones first, then those whose job may end within ``ahead_s`` seconds."""
        idle, soon = [], []
        for slot in self.slots.values():
            if slot.phase != "up" or slot.waiting:
                continue
            if slot.running is None:
                idle.append(slot.name)
                continue
            left = slot.running.expected_left_s(now)
            if left is not None and left <= ahead_s:
                soon.append(slot.name)
        return idle + soon

    def add_retry(self, retry: Retry) -> None:
        """A trial that was under way when the last scheduler ended."""
        self.retries.append(retry)

    def retry_for(self, kind: str) -> Retry | None:
        """The oldest trial that is to be run again on this kind of slot; it stays until it is `taken`."""
        return next((retry for retry in self.retries if retry.kind == kind), None)

    def taken(self, retry: Retry) -> None:
        """A trial that is run again now."""
        self.retries.remove(retry)

    def assign(
        self, slot: str, *, trial: str, dataset: str, family: str, attempt: int, faults: int,
        expected_step_s: float, limits: Sequence[float | None], reserved_mb: float = 0.0, slots: int = 1,
    ) -> Lease:
        """Give a trial to a slot: it waits until the slot's worker starts it."""
        self._last_lease += 1
        lease = Lease(
            number=self._last_lease, slot=slot, trial=trial, attempt=attempt, faults=faults,
            dataset=dataset, family=family, expected_step_s=expected_step_s, limits=tuple(limits),
            reserved_mb=reserved_mb, slots=slots,
        )
        self.slots[slot].waiting = lease
        return lease

    def started(self, slot: str, number: int, steps: int, now: float) -> Lease | None:
        """The waiting lease becomes the running one; ``None`` for a lease that the slot does not hold."""
        state = self.slots[slot]
        lease = state.waiting
        if lease is None or lease.number != number:
            return None
        state.running, state.waiting = lease, None
        lease.started, lease.last_step_at, lease.steps = now, now, steps
        return lease

    def stepped(self, slot: str, number: int, running_mean: float, seconds: float, now: float) -> Lease | None:
        """A step of the running lease is done; ``None`` for a lease that the slot does not hold."""
        lease = self._current(slot, number)
        if lease is not None:
            lease.steps_done += 1
            lease.last_step_at = now
            lease.expected_step_s = seconds
            lease.running_mean = running_mean
        return lease

    def stood_still(self, slot: str, seconds: float) -> None:
        """The slot's worker was stopped on the run's order: its job began so much later, for all that is counted."""
        lease = self.slots[slot].running
        if lease is not None and lease.started is not None:
            lease.started += seconds
            lease.last_step_at += seconds

    def finished(self, slot: str, number: int) -> Lease | None:
        """A lease has ended, well or badly; ``None`` for a lease that the slot does not hold.

        It is the running one, or the waiting one where a job failed before its first work.
        """
        state = self.slots[slot]
        lease = self._current(slot, number)
        if lease is not None:
            state.running = None
        elif state.running is None and state.waiting is not None and state.waiting.number == number:
            lease, state.waiting = state.waiting, None
        if lease is not None:
            state.deaths = 0
        return lease

    def revoked(self, slot: str, number: int) -> Lease | None:
        """The waiting lease was handed back before it started."""
        state = self.slots[slot]
        lease = state.waiting
        if lease is None or lease.number != number:
            return None
        state.waiting = None
        return lease

    def failed_attempt(self, slot: str, number: int, *, blame: bool) -> tuple[Lease, bool] | None:
        """The running job has failed and its worker lives: run it again, unless that was its last attempt.

        Args:
            blame: whether the attempt counts as the trial's fault, of which it has few.

        Returns:
            The lease and whether it is given up; ``None`` for a lease that the slot does not hold.
        """
        lease = self.finished(slot, number)
        if lease is None:
            return None
        return lease, not self._another_attempt(lease, blame=blame, needs_mb=lease.reserved_mb)

    def lost(self, slot: str, *, retry: bool = True, blame: bool = True, orderly: bool = False, usable: bool = True,
             needs_mb: float = 0.0) -> Lost:
        """A slot's worker is gone. The running job costs an attempt, the waiting one costs nothing.

        Args:
            retry: false where the job would only end the same way again.
            blame: whether the attempt counts as the trial's fault.
            orderly: it ended because it was asked to, or to be replaced.
            usable: false where no other worker can live in the slot.
            needs_mb: what another attempt reserves.
        """
        state = self.slots[slot]
        result = Lost(ran=state.running)
        if state.running is not None:
            result.given_up = not (retry and self._another_attempt(state.running, blame=blame, needs_mb=needs_mb))
        elif not orderly:
            state.deaths += 1
        if state.waiting is not None:
            self.hand_back(state.waiting)
        state.running = state.waiting = None
        result.restart = state.phase != "closed" and state.deaths < self.most_deaths and usable
        result.closed = state.phase != "closed" and not result.restart
        state.phase = "down" if result.restart else "closed"
        return result

    def close(self, slot: str) -> None:
        """A slot that is set aside: no other worker will be started in it."""
        self.slots[slot].phase = "closed"

    @property
    def open_kinds(self) -> set[str]:
        """Kinds of slot that still work."""
        return {slot.kind for slot in self.slots.values() if slot.phase != "closed"}

    @property
    def open_slots(self) -> int:
        """How many slots still work."""
        return sum(slot.phase != "closed" for slot in self.slots.values())

    def stranded(self, kinds: Mapping[str, frozenset[str]]) -> list[Retry]:
        """Take out the trials that no open slot can run again; those that another kind of slot may run move there.

        Args:
            kinds: family to the kinds of slot that it may use.
        """
        stranded, kept = [], []
        for retry in self.retries:
            possible = self.open_kinds & kinds.get(retry.family, frozenset())
            if retry.kind in self.open_kinds:
                kept.append(retry)
            elif possible:
                kept.append(replace(retry, kind=min(possible)))
            else:
                stranded.append(retry)
        self.retries = kept
        return stranded

    def restarting(self, slot: str) -> None:
        """Another worker is being started in a slot that lost its own."""
        self.slots[slot].phase = "starting"

    def turn_into_cpu_slot(self, slot: str, *, closed: bool) -> None:
        """A GPU slot that no family can use as one; closed where another slot has its cores already."""
        self.slots[slot].kind = "cpu"
        if closed:
            self.slots[slot].phase = "closed"
        self.retries = [replace(r, kind="cpu") for r in self.retries]

    def hand_back(self, lease: Lease) -> None:
        """A lease that never started, and whose trial shall be run later by any slot of that kind."""
        self._run_again(lease, lease.attempt, lease.faults, lease.reserved_mb)

    @property
    def under_way(self) -> list[Lease]:
        """Every lease, running and waiting."""
        return [lease for slot in self.slots.values() for lease in slot.leases]

    def reserved_mb(self, apart_from: Collection[str]) -> list[float]:
        """MiB that each other slot's jobs have reserved; of two jobs of a slot only one runs at a time."""
        return [max(lease.reserved_mb for lease in state.leases)
                for state in self.slots.values() if state.leases and state.name not in apart_from]

    def _another_attempt(self, lease: Lease, *, blame: bool, needs_mb: float) -> bool:
        """Have a job run again, if it may; whether it may."""
        faults = lease.faults + blame
        if faults >= MAX_FAULTS or lease.attempt >= MAX_ATTEMPTS:
            return False
        self._run_again(lease, lease.attempt + 1, faults, needs_mb)
        return True

    def _run_again(self, lease: Lease, attempt: int, faults: int, needs_mb: float) -> None:
        self.retries.append(Retry(trial=lease.trial, dataset=lease.dataset, family=lease.family, attempt=attempt,
                                  faults=faults, kind=self.slots[lease.slot].kind, needs_mb=needs_mb))

    def _current(self, slot: str, number: int) -> Lease | None:
        lease = self.slots[slot].running
        return lease if lease is not None and lease.number == number else None
