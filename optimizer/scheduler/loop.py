"""The scheduler: one process, one loop.

    backend ──events──> _on_message ──> dispatcher (who runs what) ──> book (what came of it)
       ^                                                                 │            │
       └── commands ── _fill <── budgets (who is next) <─────────────────┘            │
                                                         journal, listeners, recorder <┘

Everything that decides takes values and returns values; this file carries the decisions out.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from optimizer import __version__
from optimizer.backends.base import Backend, WorkerLost
from optimizer.config.resolved import Study
from optimizer.dispatch import Dispatcher, SlotState
from optimizer.gpus import GpuReport
from optimizer.messages import (
    Event,
    JobFailed,
    JobFinished,
    JobRevoked,
    JobStarted,
    RevokeJob,
    StepFinished,
    StopWorker,
    WorkerReady,
)
from optimizer.remembered import of_this_machine
from optimizer.resources import Slot, available_memory_mb
from optimizer.scheduler import board
from optimizer.scheduler.ballast import free_bytes
from optimizer.scheduler.book import Book, Told
from optimizer.scheduler.disk_rest import DiskRest
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.feeder import Feeder
from optimizer.scheduler.layouts import Layouts
from optimizer.scheduler.logs import try_to_trim_logs
from optimizer.scheduler.memory import HELPERS_MB, for_jobs, scarce
from optimizer.scheduler.monitor import Monitor, ProcessLoad
from optimizer.scheduler.past import Past, major_changes
from optimizer.scheduler.politeness import Politeness
from optimizer.scheduler.preparation import DatasetRefused, Preparation, ReadingOn
from optimizer.scheduler.readers import ReaderWatch
from optimizer.scheduler.recording import Recording
from optimizer.scheduler.recovery import Recovery
from optimizer.scheduler.signals import Signals
from optimizer.standstill import Standstill
from optimizer.status import RecentTrial, Status, write_status
from optimizer.study.recording import Recorder

#: Seconds that running jobs are given when the run is asked to stop.
DRAIN_S = 30.0
#: How often measurements are taken and the status is written.
TICK_S = 1.0
#: How often the memory of running jobs is looked at: some fill a gigabyte in a second.
MEMORY_TICK_S = 0.25
#: Free bytes of the disk below which no job starts; room for two trials of each slot, if that is more.
LEAST_FREE_BYTES = 4_000_000
#: Why a run ends when its budgets are used.
FINISHED = "finished"
DEADLINE = "the deadline has come"
AT_ONCE = "stopped at once"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided before the loop starts."""

    study: Study
    folder: Path
    slots: tuple[Slot, ...]
    #: That the run may use.
    cores: tuple[int, ...]
    gpus: GpuReport
    #: Slot name to the card in OpenCL's counting.
    opencl: Mapping[str, tuple[int, int]]
    #: MiB that the run may hold, and that this machine has.
    memory_mb: float
    whole_memory_mb: float
    first_started: float
    started: float
    #: `started` by the clock that counts seconds since boot, sleep included.
    started_boot: float
    deadline: float | None
    #: Whether the deadline is a time of day, which follows the wall clock.
    deadline_is_clock_time: bool = False


class Scheduler:
    """Runs one study until its budgets are used, its deadline has come, or somebody stops it."""

    def __init__(
        self, plan: Plan, *, backend: Backend, book: Book, events: EventLog, recorder: Recorder,
        preparation: Preparation, monitor: Monitor, signals: Signals, past: Past, standstill: Standstill,
    ) -> None:
        self.recording = Recording(recorder, events)
        self._plan = plan
        self._backend = backend
        self._book = book
        self._events = events
        self._preparation = preparation
        self._readers = ReaderWatch(preparation, monitor, standstill)
        self._monitor = monitor
        self._signals = signals
        self._versions_before = past.latest_versions
        self._slots = {slot.name: slot for slot in plan.slots}
        self._dispatcher = Dispatcher(slots={s.name: SlotState(name=s.name, kind=s.kind) for s in plan.slots})
        self._recent: deque[RecentTrial] = deque(maxlen=50)
        self._loads: dict[str, ProcessLoad] = {}
        self._versions: dict[str, str] = {}
        memory_mb = for_jobs(plan.memory_mb)
        self._recovery = Recovery(
            slots=self._slots, limits=plan.study.resources, memory_mb=memory_mb, dispatcher=self._dispatcher, book=book,
            backend=backend, events=events, monitor=monitor, start=self._start, told=self._told,
            is_short_of_disk=lambda: bool(self._storage_trouble()), versions=self._versions)
        self._layouts = Layouts(
            slots=self._slots, dispatcher=self._dispatcher, book=book, backend=backend, events=events,
            memory_mb=memory_mb, fixed=plan.study.resources.threads_per_slot is not None,
            remembered=of_this_machine(os.environ, plan.memory_mb), left_s=self._until_deadline)
        self._feeder = Feeder(slots=self._slots, memory_mb=memory_mb, planned_mb=memory_mb,
                              dispatcher=self._dispatcher, book=book, backend=backend, events=events,
                              recovery=self._recovery, layouts=self._layouts)
        self._politeness = Politeness(
            limits=plan.study.resources, slots=self._slots, cores=plan.cores, whole_mb=plan.whole_memory_mb,
            folder=plan.folder, standstill=standstill, events=events)
        #: Why no job is started for a while; empty where jobs are.
        self._held_back = ""
        self._said_held_back = False
        self._disk_rest = DiskRest()
        self._status_failed = False
        self._next_tick = self._next_memory_tick = 0.0
        self._draining_until: float | None = None
        self._ending = ""

    def run(self) -> str:
        """Go on until there is nothing left to do; returns why it ended."""
        for slot in self._plan.slots:
            self._start(slot.name)
        while not self._ending:
            self._tick(time.monotonic())
            now = time.monotonic()
            ahead = math.inf if self._draining_until is not None else self._feeder.until_next(now)
            timeout = max(0.0, min(self._next_tick - now, self._next_memory_tick - now, ahead, self._until_deadline()))
            waitables = [*self._preparation.waitables(), self._signals, *self.recording.waitables()]
            for name, message in self._backend.receive(timeout, waitables):
                self._on_message(name, message)
            self._advance_preparation()
            self.recording.hear()
            self._obey_signals()
            if self._draining_until is None and not self._held_back and self.recording.keeps_up:
                self._feeder.fill(time.monotonic())
            self._look_for_the_end()
        return self._ending

    def close(self) -> None:
        """End the workers; what was under way is run again when the run is resumed."""
        now = time.monotonic()
        for lease in self._dispatcher.under_way:
            if lease.started is not None:
                self._events.emit("job_lost", trial=lease.trial, attempt=lease.attempt, slot=lease.slot, blame=False,
                                  reason=self._ending or "the scheduler ended",
                                  seconds=round((now - lease.started) * lease.slots, 3))
        self._preparation.close()
        self._politeness.close()
        # One that runs a job, or still loads its libraries, would not hear us in time; nothing of it is lost.
        hurried = self._dispatcher.under_way or self._ending in (AT_ONCE, DEADLINE)
        self._backend.close(grace_s=0.0 if hurried else 5.0)
        self._monitor.close()
        try_to_trim_logs(self._plan.folder / "logs", self._events.note)  # a library can print a lot since the last tick

    def _look_for_the_end(self) -> None:
        if self._ending:
            return
        busy = bool(self._dispatcher.under_way)
        if self._until_deadline() <= 0:
            self._ending = DEADLINE
        elif self._draining_until is not None:
            if not busy or time.monotonic() >= self._draining_until:
                self._ending = "stopped"
        elif not self._dispatcher.open_kinds:
            self._ending = "no slot is left: the workers or the GPU of each failed again and again; see logs/"
        elif not busy and not self._preparation.left and not self._dispatcher.retries:
            self._finish_datasets()
            if all(ledger.finished for ledger in self._book.ledgers.values()):
                self._ending = FINISHED if self._book.ledgers else "no dataset could be used"

    def _start(self, slot: str) -> None:
        self._backend.start(self._slots[slot], self._plan.opencl.get(slot), self._layouts.reach(slot))

    def _until_deadline(self) -> float:
        """Seconds that are left to the run; a clock that is set meanwhile moves only a limit that is a clock time."""
        plan = self._plan
        if plan.deadline is None:
            return math.inf
        if plan.deadline_is_clock_time:
            return plan.deadline - time.time()
        # Unlike the monotonic clock this one goes on while a laptop is closed.
        return plan.deadline - plan.started - (time.clock_gettime(time.CLOCK_BOOTTIME) - plan.started_boot)

    # What workers say.

    def _on_message(self, slot: str, message: Event | WorkerLost) -> None:
        now = time.monotonic()
        if isinstance(message, WorkerLost):
            self._layouts.ended(slot)
            self._recovery.worker_lost(slot, message, now, draining=self._draining_until is not None)
        elif self._recovery.is_ending(slot):
            return
        elif isinstance(message, WorkerReady):
            self._dispatcher.ready(slot)
            self._layouts.worker_ready(slot)
            self._recovery.worker_ready(slot, now)
            if not self._versions:
                for change in major_changes(self._versions_before, message.versions):
                    self._events.notice(f"{change}: new trials are not quite comparable with the earlier ones")
            self._versions.update(message.versions)
            self._events.emit("worker_ready", slot=slot, pid=message.pid, cores=message.cores,
                              threads=message.threads, pools=message.pools)
        elif isinstance(message, JobStarted):
            lease = self._dispatcher.started(slot, message.lease, message.steps, now)
            if lease is not None:
                self._events.emit("job_started", trial=lease.trial, attempt=lease.attempt, slot=slot,
                                  slots=lease.slots, gap_s=message.gap_s)
        elif isinstance(message, StepFinished):
            lease = self._dispatcher.stepped(slot, message.lease, message.running_mean, message.seconds, now)
            if lease is not None:
                self._events.emit("step_finished", trial=lease.trial, attempt=lease.attempt, step=message.step,
                                  score=message.score, running_mean=message.running_mean, seconds=message.seconds,
                                  threads=message.threads)
                self._layouts.stepped(lease, message.seconds, message.threads, message.iterations)
        elif isinstance(message, JobFinished):
            lease = self._dispatcher.finished(slot, message.lease)
            self._disk_rest.accepted()
            if lease is not None:
                self._layouts.ended(slot)
                self._told(self._book.finished(lease, self._slots[slot], self._versions, message))
                if not self._book.wants_gpus and any(slot.gpu for slot in self._slots.values()):
                    self._give_up_gpus()
        elif isinstance(message, JobFailed):
            if message.kind == "storage":
                # Before it is counted against its trial: where the folder itself is gone, the run is over.
                self._events.check_folder()
            if message.disk:
                self._disk_rest.refused(message.reason, now)
            self._layouts.ended(slot)
            self._recovery.job_failed(slot, message, now)
            if message.kind == "storage":
                self._hold_back(self._reason_to_wait(available_memory_mb()))
        elif isinstance(message, JobRevoked):
            lease = self._dispatcher.revoked(slot, message.lease)
            if lease is not None:
                self._dispatcher.hand_back(lease)

    def _give_up_gpus(self) -> None:
        """Where no family can use a GPU after all, their slots' cores become CPU slots, each core in one slot only."""
        taken = {core for slot in self._slots.values() if slot.kind == "cpu" for core in slot.cores}
        for name, slot in self._slots.items():
            if slot.kind != "gpu":
                continue
            self._slots[name] = msgspec.structs.replace(slot, gpu=None)
            self._dispatcher.turn_into_cpu_slot(name, closed=bool(taken & set(slot.cores)))
            taken |= set(slot.cores)
            if self._dispatcher.slots[name].phase == "closed":
                self._backend.send(name, StopWorker())
        self._book.set_slots(self._dispatcher.open_slots)

    def _told(self, told: Told) -> None:
        self.recording.recorder.add(told.record, told.key)
        self._recent.append(board.recent_line(told.record, told.was_best))

    # What others say.

    def _advance_preparation(self) -> None:
        for outcome in self._preparation.advance(start=not self._held_back):
            if isinstance(outcome, ReadingOn):
                self._book.notes[outcome.dataset] = outcome.doing
            elif isinstance(outcome, DatasetRefused):
                self._book.refuse_dataset(outcome.dataset, outcome.reason)
            else:
                for retry in self._book.add_dataset(outcome):
                    self._recovery.take_up(retry)
                self._recovery.fail_stranded()

    def _obey_signals(self) -> None:
        count = self._signals.taken()
        if not count:
            return
        if self._draining_until is not None or count > 1 or self._politeness.pause:
            self._ending = AT_ONCE  # what stands still would not finish
            return
        self._draining_until = time.monotonic() + DRAIN_S
        self._events.notice(f"stopping: running trials have {DRAIN_S:.0f} s to finish; once more stops at once")
        for state in self._dispatcher.slots.values():
            if state.waiting is not None:
                self._backend.send(state.name, RevokeJob(lease=state.waiting.number))

    # Once a second.

    def _tick(self, now: float) -> None:
        if now >= self._next_memory_tick:
            self._next_memory_tick = now + MEMORY_TICK_S
            available_mb = available_memory_mb()
            self._recovery.watch_memory(now, available_mb, self._plan.whole_memory_mb)
            self._readers.watch_memory(self._politeness.terms.memory_mb, self._plan, available_mb)
            self._hold_back(self._reason_to_wait(available_mb))
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_S
        self._events.retry()
        if self._held_back:
            self._book.disk.make_room()
        pids = {name: self._backend.pid(name) for name in self._slots}
        self._loads = {name: self._monitor.worker(pid, now) for name, pid in pids.items() if pid is not None}
        self._recovery.watch(now, self._loads, self._keep_terms(pids))
        self._readers.look(now)
        try_to_trim_logs(self._plan.folder / "logs", self._events.note)
        self._finish_datasets()
        try:
            self.write_status("stopping" if self._draining_until is not None else "running")
        except OSError as error:
            # Viewers see an old state; the run itself does not need the file.
            self._events.met_a_full_disk(error)
            if not self._status_failed:
                self._events.notice(f"status.json cannot be written: {error}")
            self._status_failed = True

    def _keep_terms(self, pids: Mapping[str, int | None]) -> dict[str, float]:
        """See to what the run may use now; seconds that each slot's worker was stopped for that since the last look."""
        workers = {name: (pid, self._layouts.joined(name)) for name, pid in pids.items()
                   if pid is not None and not self._recovery.is_ending(name)}
        stood_s = self._politeness.look(workers, self._preparation.pids(), self._dispatcher.slots)
        for name, seconds in stood_s.items():
            for part in (self._dispatcher, self._layouts, self._recovery):
                part.stood_still(name, seconds)
        for holder in (self._feeder, self._recovery, self._layouts):
            holder.memory_mb = for_jobs(self._politeness.terms.memory_mb)
        self._recovery.beyond_mb = max(0.0, self._monitor.helpers_mb(pids.values()) - HELPERS_MB)
        self._feeder.resting, self._layouts.quiet = self._politeness.resting, self._politeness.share >= 1
        return stood_s

    def _reason_to_wait(self, available_mb: float) -> str:
        """Why no job may start now; empty where jobs may."""
        return (self._politeness.pause or self._storage_trouble()
                or scarce(available_mb, self._plan.whole_memory_mb))

    def _storage_trouble(self) -> str:
        """Why results could not be stored now; empty where they can."""
        if self._events.trouble:
            return self._events.trouble
        free = free_bytes(self._plan.folder)
        needed = max(LEAST_FREE_BYTES, self._book.trial_bytes * 2 * len(self._slots))
        if free is not None and free < needed:
            return (f"the disk of {self._plan.folder} has {free / 1e6:.0f} MB left, and {needed / 1e6:.0f} MB are "
                    "wanted; it goes on when there is room")
        return self._disk_rest.trouble(time.monotonic(), lambda: self._book.disk.refuses(self._book.trial_bytes))

    def _hold_back(self, reason: str) -> None:
        """Start no jobs while something is amiss, and say so once."""
        # Of its own trouble the journal speaks itself, and what comes to light behind it is said then.
        if reason and not self._said_held_back and not self._events.trouble:
            self._events.notice(f"no job is started: {reason}")
            self._said_held_back = True
        elif self._held_back and not reason:
            self._events.notice("jobs are started again")
            self._said_held_back = False
        self._held_back = reason

    def _finish_datasets(self) -> None:
        active = {lease.dataset for lease in self._dispatcher.under_way}
        active |= {retry.dataset for retry in self._dispatcher.retries}
        for name, ledger in self._book.ledgers.items():
            if name not in active:
                self._book.finish_dataset(ledger, self._dispatcher.open_kinds)

    def write_status(self, state: str) -> None:
        """Put the present state where viewers look."""
        now, wall = time.monotonic(), time.time()
        plan, book = self._plan, self._book
        elapsed = board.under_way_s(self._dispatcher.under_way, now)
        refused = sum(1 for p in plan.study.datasets if p.name in book.notes and p.name not in book.ledgers
                      and p.name not in self._preparation.reading)
        missing = len(plan.study.datasets) - len(book.ledgers) - refused
        progress, left = board.progress_and_left_s(list(book.ledgers.values()), missing, len(plan.slots))
        end = board.expected_end(wall, left, self._politeness.share, plan.deadline)
        write_status(plan.folder / "status.json", Status(
            run=plan.study.name, state="preparing" if state == "running" and not book.ledgers else state,
            pid=self._signals.pid, version=__version__, at=wall, first_started=plan.first_started,
            started=plan.started, deadline=plan.deadline, eta=end,
            progress=1.0 if state == FINISHED else progress,
            machine=self._monitor.machine(len(plan.gpus.gpus)), limits=self._politeness.status(),
            datasets=board.dataset_lines(plan.study.datasets, book.ledgers, book.notes, self._preparation.reading,
                                         elapsed),
            families=board.family_lines([f.name for f in plan.study.families], book.ledgers, book.family_notes),
            slots=board.slot_lines(
                plan.slots, self._dispatcher.slots, {n: self._layouts.lent_to(n) for n in self._slots},
                {n: self._backend.pid(n) for n in self._slots}, self._loads,
                {n: self._monitor.gpu(s.gpu.uuid) if s.gpu else None for n, s in self._slots.items()}, wall - now),
            recent=tuple(self._recent), log=tuple(self._events.lines), recorder_lag=self.recording.recorder.lag,
            trouble=self._held_back,
        ))
