"""What is done about a worker that dies, hangs, holds too much or loses its GPU, and about the trial it had."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from optimizer.backends.base import Backend, WorkerLost
from optimizer.config.resolved import ResourceLimits
from optimizer.dispatch import MAX_ATTEMPTS, MAX_FAULTS, Dispatcher, Lease, Retry
from optimizer.failures import is_of_gpu_memory
from optimizer.messages import JobFailed
from optimizer.resources import Slot
from optimizer.scheduler.book import Book, Told
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.memory import Holding, second_chance, to_give_back, too_much
from optimizer.scheduler.monitor import Monitor, ProcessLoad
from optimizer.scheduler.watchdog import Hung, Limits, Look, Watchdog, limits_of

#: A GPU that loses its workers this often within this many seconds is set aside.
GPU_FAULTS, GPU_FAULTS_S = 3, 600.0
#: Seconds that a GPU is given to free the memory of a worker that ran out of it.
GPU_MEMORY_S = 30.0
#: Seconds in which no job starts beside others after one was ended for memory that others took.
GIVEN_BACK_S = 30.0
#: Kinds of failure that take a worker with them or its time: a point that ends so for good is quarantined.
QUARANTINED = frozenset({"worker_lost", "time_limit"})
#: A GPU is free again where less than this share of its memory is taken.
GPU_FREE = 0.25


@dataclass(frozen=True, kw_only=True)
class _Ending:
    """Why we ended a worker, and what follows for its trial."""

    kind: str
    #: Another attempt could end otherwise.
    retry: bool = True
    #: It counts as the trial's fault.
    blame: bool = True
    #: Nothing was wrong with the worker.
    orderly: bool = False
    needs_mb: float = 0.0
    held_mb: float = 0.0


@dataclass(kw_only=True)
class Recovery:
    """Ends workers that do harm, and decides what becomes of jobs that were lost or failed."""

    #: Slot name to slot: the run's own, which changes where GPUs are given up.
    slots: dict[str, Slot]
    limits: ResourceLimits
    #: MiB that the run's jobs may hold together.
    memory_mb: float
    dispatcher: Dispatcher
    book: Book
    backend: Backend
    events: EventLog
    monitor: Monitor
    #: Starts a worker in a slot.
    start: Callable[[str], None]
    #: Passes on a trial that was told.
    told: Callable[[Told], None]
    #: Whether the disk is the reason why a file cannot be written.
    is_short_of_disk: Callable[[], bool]
    #: Library versions, for the records of trials that fail.
    versions: Mapping[str, str]
    #: MiB by which the run's other processes hold more than what is kept for them, as while a large table is read.
    beyond_mb: float = 0.0
    _watchdog: Watchdog = field(default_factory=Watchdog)
    _endings: dict[str, _Ending] = field(default_factory=dict)
    #: Card to the times at which it has lost a worker.
    _gpu_faults: dict[str, list[float]] = field(default_factory=dict)
    #: Trials whose abort was counted against a card.
    _aborted: set[str] = field(default_factory=set)
    #: Slots of which it was said that no worker can be started.
    _without: set[str] = field(default_factory=set)
    #: Slots without a worker, with the family on a dataset that took it with it, and when.
    _down: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    #: When a job was last ended for memory that others took.
    _given_back: float = -math.inf
    #: Slot to the time until which it waits for its card's memory.
    _gpu_waits: dict[str, float] = field(default_factory=dict)

    # What is looked for.

    def watch(self, now: float, loads: Mapping[str, ProcessLoad], stood_s: Mapping[str, float]) -> None:
        """End the workers that hang. Called once a second.

        Args:
            stood_s: seconds since the last call that the run had each slot's worker stopped.
        """
        self.monitor.look_at_oom_kills()
        looks = {name: look for name in loads if (look := self._look(name, loads[name], stood_s.get(name, 0.0)))}
        for hung in self._watchdog.look(now, looks):
            self._end_hung(hung)

    def watch_memory(self, now: float, available_mb: float, whole_mb: float) -> None:
        """End the jobs that hold too much. Called several times a second."""
        held: dict[str, float] = {}
        holdings = []
        for name, state in self.dispatcher.slots.items():
            lease, pid = state.running, self.backend.pid(name)
            if lease is None or pid is None or name in self._endings:
                continue
            held[name] = self.monitor.private_mb(pid)
            lease.peak_mb = max(lease.peak_mb, held[name])
            holdings.append(Holding(slot=name, held_mb=held[name], reserved_mb=lease.reserved_mb,
                                    cap_mb=self._cap_mb(name, lease)))
        for over in too_much(holdings, self.memory_mb, self.beyond_mb):
            job = over.job
            if over.lowered:
                self._given_back = now
                self._endings[job.slot] = _Ending(kind="out_of_memory", blame=False)
            else:
                chance = second_chance(held_mb=job.held_mb, cap_mb=job.cap_mb, limit_mb=self.memory_mb)
                self._endings[job.slot] = _Ending(kind="out_of_memory", retry=chance is not None,
                                                  held_mb=job.held_mb, needs_mb=chance or 0.0)
            self.backend.kill(job.slot, over.reason)
            held.pop(job.slot)
        # What a worker that is being ended holds takes a moment to be free.
        freeing = any(ending.kind == "out_of_memory" for ending in self._endings.values())
        slot = None if freeing else to_give_back(available_mb, whole_mb, held)
        if slot is not None:
            self._given_back = now
            self._endings[slot] = _Ending(kind="out_of_memory", blame=False)
            self.backend.kill(slot, f"given back to the machine, which had {available_mb:.0f} MiB of memory left")

    def is_short_of_memory(self, now: float) -> bool:
        """Whether a job was ended a moment ago for memory that others took: in its place another would be, too."""
        return now < self._given_back + GIVEN_BACK_S

    def stood_still(self, slot: str, seconds: float) -> None:
        """The slot's worker was stopped on the run's order: nobody is charged for that."""
        if slot in self._down:
            dataset, family, since = self._down[slot]
            self._down[slot] = dataset, family, since + seconds

    def holds_back(self, slot: str, now: float) -> bool:
        """Whether a slot waits for its card's memory to be freed."""
        until = self._gpu_waits.get(slot)
        if until is None:
            return False
        gpu = self.slots[slot].gpu
        load = self.monitor.gpu(gpu.uuid) if gpu else None
        free = load is not None and load.memory_mb is not None and gpu is not None and (
            load.memory_mb < GPU_FREE * gpu.memory_mb)
        if now < until and not free:
            return True
        del self._gpu_waits[slot]
        return False

    def _look(self, name: str, load: ProcessLoad, stood_s: float) -> Look | None:
        state = self.dispatcher.slots[name]
        # A worker that was stopped while it was idle never starts the job that it was given then.
        if name in self._endings or not (state.leases or state.phase == "starting"):
            return None
        if state.running is None and state.waiting is not None:
            # By another number than once it runs: its time counts from its start.
            return Look(lease=-state.waiting.number, steps_done=0, cpu_s=load.cpu_s, waited_s=load.waited_s,
                        gpu_busy=False, limits=Limits(fold_s=math.inf, trial_s=math.inf), stood_s=stood_s)
        lease = state.running
        gpu = self.slots[name].gpu
        card = self.monitor.gpu(gpu.uuid) if gpu else None
        family = self.book.ledgers[lease.dataset].families[lease.family] if lease else None
        limits = limits_of(
            fold_limit_s=self.limits.fold_time_limit_s, trial_limit_s=self.limits.trial_time_limit_s,
            longest_step_s=family.longest_step_s if family else 0.0, steps_seen=family.steps_seen if family else 0,
            steps=lease.steps if lease else 1)
        doing = ""
        if lease is not None and 0 < lease.steps <= lease.steps_done:
            # The models of all folds predict the test rows now, each as long as a fold may take.
            doing, limits = "predicting the test rows", replace(limits, fold_s=limits.fold_s * lease.steps)
        return Look(
            lease=lease.number if lease else None, steps_done=lease.steps_done if lease else 0, cpu_s=load.cpu_s,
            waited_s=load.waited_s, gpu_busy=bool(card and card.load), stood_s=stood_s, limits=limits, doing=doing)

    def _end_hung(self, hung: Hung) -> None:
        self._endings[hung.slot] = _Ending(kind="time_limit" if hung.too_slow else "worker_lost",
                                           retry=not hung.too_slow)
        state = self.dispatcher.slots[hung.slot]
        lease = state.running or state.waiting
        self.events.notice(f"{lease.trial if lease else 'the worker'} in {hung.slot} is ended: {hung.reason}; where it "
                           f"stood is in logs/worker-{hung.slot}.log")
        self.backend.end(hung.slot, hung.reason)

    def _cap_mb(self, slot: str, lease: Lease) -> float:
        return max(self.slots[slot].memory_mb * lease.slots, lease.reserved_mb)

    # What has happened.

    def is_ending(self, slot: str) -> bool:
        """Whether its worker is being ended: what it still says comes too late and is refused."""
        return slot in self._endings

    def worker_ready(self, slot: str, now: float) -> None:
        """The time that the slot was without a worker counts as used by who took the last one with it."""
        self._without.discard(slot)
        dataset, family, since = self._down.pop(slot, ("", "", now))
        if dataset:
            self.book.ledgers[dataset].families[family].charge(self.slots[slot].kind, now - since)

    def worker_lost(self, slot: str, message: WorkerLost, now: float, *, draining: bool) -> None:
        """Its job is run again or given up; another worker is started, or the slot is closed."""
        running = self.dispatcher.slots[slot].running
        ending = self._endings.pop(slot, None) or self._unasked(slot, message, running, now)
        # Another attempt of what may fail again must not make a run longer than was said.
        retry = ending.retry and (not ending.blame or running is None or self.book.has_time(running.dataset))
        lost = self.dispatcher.lost(
            slot, retry=retry, blame=ending.blame, orderly=message.orderly or ending.orderly,
            usable=not message.abandoned,
            needs_mb=ending.needs_mb or (running.reserved_mb if running else 0.0))
        self.events.emit("worker_lost", slot=slot, reason=message.reason)
        if message.reason.startswith("could not be started") and slot not in self._without:
            self._without.add(slot)
            self.events.notice(f"the worker of {slot} {message.reason}; it is tried again in a while")
        ran = lost.ran
        if ran is not None and ran.started is not None:
            ran.peak_mb = max(ran.peak_mb, ending.held_mb)
            self._down[slot] = (ran.dataset, ran.family, now)
            reason = f"{message.reason}: {message.words}" if message.words else message.reason
            self._attempt_lost(ran, slot, reason, now - ran.started, kind=ending.kind, blame=ending.blame,
                               given_up=lost.given_up)
        if lost.closed:
            why = ("its worker cannot be ended, it waits inside the kernel" if message.abandoned else
                   f"its workers died {self.dispatcher.most_deaths} times in a row; see logs/worker-{slot}.log")
            self.events.notice(f"slot {slot} is closed: {why}")
            self._slot_closed()
        elif not lost.restart:
            self.fail_stranded()
        elif not draining:
            self.dispatcher.restarting(slot)
            self.start(slot)

    def _unasked(self, slot: str, message: WorkerLost, running: Lease | None, now: float) -> _Ending:
        """What lies behind the end of a worker that nobody here has ended."""
        if running is not None and message.reason == "killed by SIGKILL" and self.monitor.oom_kill_was_new():
            # The kernel's choice under want of memory: the sampler shall avoid its like, as of those that we end.
            return _Ending(kind="out_of_memory", held_mb=running.peak_mb)
        if running is not None and message.reason == "killed by SIGABRT" and (
                self.slots[slot].gpu is not None and self.book.device_of(running.trial) == "gpu"):
            # Some errors of CUDA abort the process instead of being raised.
            if is_of_gpu_memory(message.words):
                # Its end has freed what it held itself; a second attempt begins when the others' is free, too.
                self._gpu_waits[slot] = now + GPU_MEMORY_S
                return _Ending(kind="gpu_out_of_memory", retry=not running.faults)
            if running.trial not in self._aborted:
                # Once: a trial's own fault aborts each attempt.
                self._aborted.add(running.trial)
                self._count_gpu_fault(slot, message.words or message.reason, now)
                return _Ending(kind="gpu_lost")
        return _Ending(kind="worker_lost")

    def job_failed(self, slot: str, message: JobFailed, now: float) -> None:
        """An exception ended a job: most would come again; some are the machine's doing and get another attempt."""
        # A table that cannot be read is found out before the job has started.
        held = next((x for x in self.dispatcher.slots[slot].leases if x.number == message.lease), None)
        if held is not None and message.kind in ("gpu_lost", "gpu_out_of_memory", "storage"):
            self.events.note(f"{held.trial}:\n{message.traceback}")
            if message.kind == "gpu_lost":
                self._gpu_lost(slot, message.reason, now)
            else:
                self._once_more(slot, held, message, now)
            return
        lease = self.dispatcher.finished(slot, message.lease)
        if lease is not None:
            self.events.note(f"{lease.trial}:\n{message.traceback}")
            self.give_up(lease, slot, message.kind, message.reason, message.seconds)

    def give_up(self, lease: Lease | Retry, slot: str, kind: str, reason: str, seconds: float = 0.0, *,
                quarantined: bool = False) -> None:
        """A trial has failed for good."""
        self.told(self.book.failed(lease, self.slots[slot], self.versions, kind=kind, reason=reason, seconds=seconds,
                                   quarantined=quarantined))

    def take_up(self, retry: Retry) -> None:
        """A trial that was under way when the last scheduler ended."""
        if retry.attempt > MAX_ATTEMPTS or retry.faults >= MAX_FAULTS:
            self.give_up(retry, next(iter(self.slots)), "worker_lost",
                         f"it was under way at {retry.attempt - 1} ends of workers and schedulers")
        else:
            self.dispatcher.add_retry(retry)

    def fail_stranded(self) -> None:
        """Trials that are to be run again, and that no slot is left for."""
        for retry in self.dispatcher.stranded(self.book.kinds):
            self.give_up(retry, next(iter(self.slots)), "worker_lost", f"no {retry.kind} slot is left to run it again")

    def _attempt_lost(self, ran: Lease, slot: str, reason: str, took_s: float, *, kind: str, blame: bool,
                      given_up: bool) -> None:
        seconds = round(took_s, 3)
        # The seconds of a trial that is given up are in its own record.
        self.events.emit("job_lost", durable=True, trial=ran.trial, attempt=ran.attempt, slot=slot, reason=reason,
                         blame=blame, seconds=0.0 if given_up else seconds * ran.slots)
        if given_up:
            self.give_up(ran, slot, kind, f"attempt {ran.attempt}: {reason}", seconds, quarantined=kind in QUARANTINED)
        else:
            self.book.ledgers[ran.dataset].families[ran.family].charge(self.slots[slot].kind, seconds * ran.slots)

    def _once_more(self, slot: str, held: Lease, message: JobFailed, now: float) -> None:
        on_gpu = message.kind == "gpu_out_of_memory"
        blame = on_gpu or not (message.disk or self.is_short_of_disk())
        if on_gpu and held.faults:
            # It had its second attempt, on a card that was free.
            lease = self.dispatcher.finished(slot, message.lease)
            outcome = None if lease is None else (lease, True)
        else:
            outcome = self.dispatcher.failed_attempt(slot, message.lease, blame=blame)
        if outcome is None:
            return
        self._attempt_lost(outcome[0], slot, message.reason, message.seconds, kind=message.kind, blame=blame,
                           given_up=outcome[1])
        if on_gpu:
            # Only the end of its process frees all that it held on the card.
            self._gpu_waits[slot] = now + GPU_MEMORY_S
            self._endings[slot] = _Ending(kind="worker_lost", orderly=True)
            self.backend.kill(slot, "ended to free its GPU's memory")

    def _gpu_lost(self, slot: str, reason: str, now: float) -> None:
        """After such an error every later call of the process would fail too; its job is lost with it."""
        self._endings[slot] = _Ending(kind="gpu_lost")
        self.backend.kill(slot, f"GPU error: {reason}")
        self._count_gpu_fault(slot, reason, now)

    def _count_gpu_fault(self, slot: str, reason: str, now: float) -> None:
        """Set the slot's card aside when it has lost its workers too often."""
        gpu = self.slots[slot].gpu
        if gpu is None:
            return
        faults = [t for t in self._gpu_faults.get(gpu.uuid, []) if now - t < GPU_FAULTS_S] + [now]
        self._gpu_faults[gpu.uuid] = faults
        if len(faults) >= GPU_FAULTS:
            self.events.notice(f"GPU {gpu.index} ({gpu.name}) is set aside: {len(faults)} errors within "
                               f"{GPU_FAULTS_S / 60:.0f} minutes, the last: {reason}")
            for name, other in self.slots.items():
                if other.gpu is not None and other.gpu.uuid == gpu.uuid:
                    self.dispatcher.close(name)
                    if name != slot:  # that one's worker is gone or going already
                        self._endings.setdefault(name, _Ending(kind="worker_lost", blame=False))
                        self.backend.kill(name, "its GPU is set aside")
            self._slot_closed()

    def _slot_closed(self) -> None:
        self.book.set_slots(self.dispatcher.open_slots)
        self.fail_stranded()
