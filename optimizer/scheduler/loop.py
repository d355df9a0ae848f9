"""The scheduler: one process, one loop.

    backend ──events──> _on_event ──> dispatcher (who runs what) ──> ledger (what came of it)
                                          │                              │
       ┌── commands ── _fill <── budgets (who is next) <─────────────────┘
       v                 │
    workers           searcher (which point)          journal ──> listeners, recorder

Everything that decides takes values and returns values; this file carries the decisions out. A trial is on the
disk's journal before it is dispatched, and told only when its predictions and its record are on the disk.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from optimizer import __version__, budgets
from optimizer.backends.base import Backend, WorkerLost
from optimizer.config.resolved import Study
from optimizer.dispatch import Dispatcher, Lease, Retry, SlotState
from optimizer.gpus import GpuReport
from optimizer.journal import Journal, Record
from optimizer.messages import (
    CrossValidation,
    Event,
    Job,
    JobFailed,
    JobFinished,
    JobRevoked,
    JobStarted,
    RevokeJob,
    RunJob,
    StepFinished,
    WorkerReady,
)
from optimizer.records import TrialRecord, trial_id
from optimizer.resources import Slot
from optimizer.scheduler import board
from optimizer.scheduler.ledger import DatasetLedger, FamilyLedger
from optimizer.scheduler.monitor import Monitor, ProcessLoad, over_cap
from optimizer.scheduler.past import Past
from optimizer.scheduler.preparation import DatasetReady, DatasetRefused, Preparation, ReadingOn
from optimizer.scheduler.signals import Signals
from optimizer.status import RecentTrial, Status, write_status
from optimizer.store import Store
from optimizer.strategies import load_pruner, load_sampler
from optimizer.study.database import StudyKey
from optimizer.study.recorder import Added, Recorder, RecorderTrouble
from optimizer.study.searcher import Searcher, trial_seed

#: A next job is sent when the running one may end within this, or within twice the time that asking takes.
AHEAD_S = 0.25
#: Trials in a row that fail before their family is stopped on a dataset.
MOST_FAILURES = 5
#: Seconds that running jobs are given when the run is asked to stop.
DRAIN_S = 30.0
#: How often measurements are taken and the status is written.
TICK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided before the loop starts."""

    study: Study
    folder: Path
    slots: tuple[Slot, ...]
    gpus: GpuReport
    #: Family name to the kinds of slot that it may use, and whether a GPU is required.
    kinds: Mapping[str, frozenset[str]]
    gpu_required: frozenset[str]
    #: Slot name to the card in OpenCL's counting.
    opencl: Mapping[str, tuple[int, int]]
    first_started: float
    started: float
    deadline: float | None
    #: A line for the log of an event, or ``None`` for one that is not worth a line.
    narrate: Callable[[Record], str | None]
    listeners: Sequence[Callable[[Record], None]] = ()


@dataclass
class _Trial:
    """A trial that is under way."""

    params: dict[str, object]
    seed: int
    space: str
    key: StudyKey
    device: str = "cpu"


@dataclass
class _Search:
    """One dataset and family: where points come from, and how they are recorded."""

    searcher: Searcher
    key: StudyKey
    space_hash: str
    next_number: int


@dataclass
class Scheduler:
    """Runs one study until its budgets are used, its deadline has come, or somebody stops it."""

    plan: Plan
    backend: Backend
    journal: Journal
    recorder: Recorder
    preparation: Preparation
    monitor: Monitor
    signals: Signals
    past: Past
    _ledgers: dict[str, DatasetLedger] = field(default_factory=dict)
    _searches: dict[tuple[str, str], _Search] = field(default_factory=dict)
    _under_way: dict[str, _Trial] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)
    _family_notes: dict[str, str] = field(default_factory=dict)
    _recent: deque[RecentTrial] = field(default_factory=lambda: deque(maxlen=50))
    _log: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    _loads: dict[str, ProcessLoad] = field(default_factory=dict)
    _killed: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)
    _ask_s: float = 0.02
    _next_tick: float = 0.0
    _draining_until: float | None = None
    _ending: str = ""

    def __post_init__(self) -> None:
        self._slots = {slot.name: slot for slot in self.plan.slots}
        self._dispatcher = Dispatcher(slots={s.name: SlotState(name=s.name, kind=s.kind) for s in self.plan.slots})
        self._store = Store(self.plan.folder)
        self._pruner = load_pruner(self.plan.study.pruner)
        self._kinds = dict(self.plan.kinds)
        self._device_moved: set[str] = set()
        self._problems = {p.name: p for p in self.plan.study.datasets}

    # The loop.

    def announce(self, snapshot: Record, notices: Sequence[str]) -> None:
        """Journal the start, and what the person should know before it."""
        self.emit("run_started", durable=True, **snapshot)
        for notice in notices:
            self.emit("notice", text=notice)

    def run(self) -> str:
        """Go on until there is nothing left to do; returns why it ended."""
        for slot in self.plan.slots:
            self.backend.start(slot, self.plan.opencl.get(slot.name))
        self._tick(time.monotonic(), force=True)
        while not self._ending:
            now = time.monotonic()
            timeout = max(0.0, min(self._next_tick - now, self._until_prefetch(now)))
            waitables = [*self.preparation.waitables(), self.recorder.connection, self.signals]
            for slot, message in self.backend.receive(timeout, waitables):
                self._on_message(slot, message)
            self._advance_preparation()
            self._hear_recorder()
            self._obey_signals()
            self._fill()
            self._tick(time.monotonic())
            self._look_for_the_end()
        return self._ending

    def _until_prefetch(self, now: float) -> float:
        """Seconds until a running job comes close enough to its end for the next one to be sent."""
        if self._draining_until is not None:
            return math.inf
        left = [lease.expected_left_s(now) for slot in self._dispatcher.slots.values()
                if slot.waiting is None and (lease := slot.running) is not None]
        return min((max(0.0, x - self._ahead_s) + 0.001 for x in left if x is not None and x > self._ahead_s),
                   default=math.inf)

    @property
    def _ahead_s(self) -> float:
        return max(AHEAD_S, 2 * self._ask_s)

    def _look_for_the_end(self) -> None:
        now = time.time()
        busy = bool(self._dispatcher.under_way)
        if self.plan.deadline is not None and now >= self.plan.deadline:
            self._ending = "the deadline has come"
        elif self._draining_until is not None:
            if not busy or time.monotonic() >= self._draining_until:
                self._ending = self._ending or "stopped"
        elif all(slot.phase == "closed" for slot in self._dispatcher.slots.values()):
            self._ending = "no slot is left: the workers of each died again and again; see logs/"
        elif not busy and not self.preparation.left and not self._dispatcher.retries:
            for ledger in self._ledgers.values():
                self._finish_dataset_if_done(ledger)
            if all(ledger.finished for ledger in self._ledgers.values()):
                self._ending = "finished" if self._ledgers else "no dataset could be used"

    # Work for the slots.

    def _fill(self) -> None:
        if self._draining_until is not None:
            return
        for slot in self._dispatcher.wanting(time.monotonic(), self._ahead_s):
            kind = self._slots[slot].kind
            retry = self._dispatcher.retry_for(kind)
            if retry is not None:
                self._send(slot, retry.trial, retry.dataset, retry.family, retry.attempt, retry.faults)
                continue
            while (pair := budgets.next_pair(self._uses(), kind)) is not None:
                begun = time.monotonic()
                trial = self._ask(*pair)
                if trial is not None:
                    self._ask_s = 0.8 * self._ask_s + 0.2 * (time.monotonic() - begun)
                    self._send(slot, trial, *pair, 1, 0)
                    break

    def _uses(self) -> list[budgets.DatasetUse]:
        """What the budgets see: told seconds, and for each job under way what it has used or is expected to."""
        now = time.monotonic()
        charged: dict[str, dict[str, dict[str, float]]] = {}
        jobs: dict[str, int] = {}
        for lease in self._dispatcher.under_way:
            elapsed = now - lease.started if lease.started is not None else 0.0
            expected = self._ledgers[lease.dataset].families[lease.family].typical_s
            family = charged.setdefault(lease.dataset, {}).setdefault(lease.family, {})
            kind = self._slots[lease.slot].kind
            family[kind] = family.get(kind, 0.0) + max(elapsed, expected)
            jobs[lease.dataset] = jobs.get(lease.dataset, 0) + 1
        for retry in self._dispatcher.retries:
            jobs[retry.dataset] = jobs.get(retry.dataset, 0) + 1
        return [ledger.use(charged.get(name, {}), jobs.get(name, 0))
                for name in self._problems if (ledger := self._ledgers.get(name)) is not None and not ledger.finished]

    def _ask(self, dataset: str, family: str) -> str | None:
        """A new trial, on the journal before anybody runs it; ``None`` where the search space is exhausted."""
        search = self._searches[dataset, family]
        trial = trial_id(dataset, family, search.next_number)
        params = search.searcher.ask(trial)
        if params is None:
            self._close_family(dataset, family, "every point of its search space was asked")
            return None
        search.next_number += 1
        seed = trial_seed(self.plan.study.seed, trial)
        self._ledgers[dataset].families[family].begun += 1
        self._under_way[trial] = _Trial(params=params, seed=seed, space=search.space_hash, key=search.key)
        self.emit("trial_asked", durable=True, trial=trial, params=params, seed=seed, space=search.space_hash)
        return trial

    def _send(self, slot: str, trial: str, dataset: str, family: str, attempt: int, faults: int) -> None:
        ledger = self._ledgers[dataset]
        under_way = self._under_way[trial]
        searcher = self._searches[dataset, family].searcher
        limits = self._pruner.limits(searcher.history(), steps=ledger.families[family].steps,
                                     maximize=ledger.maximize)
        lease = self._dispatcher.assign(
            slot, trial=trial, dataset=dataset, family=family, attempt=attempt, faults=faults,
            expected_step_s=ledger.families[family].typical_step_s, limits=limits,
        )
        on_gpu = self._slots[slot].kind == "gpu" and family not in self._device_moved
        under_way.device = "gpu" if on_gpu else "cpu"
        self.backend.send(slot, RunJob(job=Job(
            trial=trial, attempt=attempt, lease=lease.number, workload=CrossValidation(
                table=ledger.prepared.fingerprint, family=family, metric=ledger.prepared.metric,
                params=under_way.params, seed=under_way.seed, device=under_way.device,
                device_required=family in self.plan.gpu_required, limits=limits,
                predict_test_from=ledger.predict_test_from(), keep_models_from=ledger.keep_models_from(family),
            ))))

    # What workers say.

    def _on_message(self, slot: str, message: Event | WorkerLost) -> None:
        now = time.monotonic()
        if isinstance(message, WorkerReady):
            self._dispatcher.ready(slot)
            self._versions.update(message.versions)
            self.emit("worker_ready", slot=slot, pid=message.pid, cores=message.cores, threads=message.threads,
                       pools=message.pools)
        elif isinstance(message, JobStarted):
            lease = self._dispatcher.started(slot, message.lease, message.steps, now)
            if lease is not None:
                self.emit("job_started", trial=lease.trial, attempt=lease.attempt, slot=slot, gap_s=message.gap_s)
        elif isinstance(message, StepFinished):
            lease = self._dispatcher.stepped(slot, message.lease, message.running_mean, message.seconds, now)
            if lease is not None:
                self.emit("step_finished", trial=lease.trial, attempt=lease.attempt, step=message.step,
                           score=message.score, running_mean=message.running_mean, seconds=message.seconds)
        elif isinstance(message, JobFinished):
            lease = self._dispatcher.finished(slot, message.lease)
            if lease is not None:
                self._on_finished(slot, lease, message)
        elif isinstance(message, JobFailed):
            lease = self._dispatcher.finished(slot, message.lease)
            if lease is not None:
                self._on_failed(slot, lease, message.kind, message.reason, message.seconds, message.traceback)
        elif isinstance(message, JobRevoked):
            lease = self._dispatcher.revoked(slot, message.lease)
            if lease is not None:
                self._dispatcher.hand_back(lease)
        else:
            self._on_lost(slot, message, now)

    def _on_finished(self, slot: str, lease: Lease, message: JobFinished) -> None:
        trial = self._under_way[lease.trial]
        if trial.device == "gpu" and message.device == "cpu":
            self._move_to_cpu(lease.family)
        self._tell(lease, slot, self._record(
            lease, trial, slot, state="pruned" if message.outcome == "pruned" else "complete",
            score=message.score, standard_error=message.standard_error, fold_scores=message.fold_scores,
            pooled_score=message.pooled_score, best_iterations=message.best_iterations,
            step_seconds=message.step_seconds, seconds=message.seconds, fit_seconds=message.fit_seconds,
            cpu_seconds=message.cpu_seconds, peak_rss_mb=message.peak_rss_mb, device=message.device,
            predictions="kept" if message.predictions_sha256 else "none",
            predictions_sha256=message.predictions_sha256, predictions_bytes=message.predictions_bytes,
            test_predicted=message.test_predicted, models_kept=message.models_kept,
        ))

    def _on_failed(self, slot: str, lease: Lease, kind: str, reason: str, seconds: float, traceback: str = "") -> None:
        trial = self._under_way[lease.trial]
        self._tell(lease, slot, self._record(lease, trial, slot, state="failed", kind=kind, reason=reason,
                                             seconds=seconds, device=trial.device))
        if traceback:
            self._append_log_file(f"{lease.trial}:\n{traceback}")
        family = self._ledgers[lease.dataset].families[lease.family]
        if kind == "wrong_device":
            for dataset in self._ledgers:
                self._close_family(dataset, lease.family, reason)
        elif family.failed_in_a_row >= MOST_FAILURES and not family.closed:
            self._close_family(lease.dataset, lease.family,
                               f"{family.failed_in_a_row} trials failed in a row, the last with: {reason}")

    def _on_lost(self, slot: str, message: WorkerLost, now: float) -> None:
        ordered = self._killed.pop(slot, "")
        running = self._dispatcher.slots[slot].running
        lost = self._dispatcher.lost(slot)
        self.emit("worker_lost", slot=slot, reason=message.reason)
        if running is not None:
            seconds = now - running.started if running.started is not None else 0.0
            self.emit("job_lost", durable=True, trial=running.trial, attempt=running.attempt, slot=slot,
                       reason=message.reason, blame=True, seconds=round(seconds, 3))
            family = self._ledgers[running.dataset].families[running.family]
            if ordered == "out_of_memory" or lost.given_up:
                self._dispatcher.retries = [r for r in self._dispatcher.retries if r.trial != running.trial]
                self._on_failed(slot, running, ordered or "worker_lost",
                                f"attempt {running.attempt}: {message.reason}", seconds)
            else:
                family.charge(self._slots[slot].kind, seconds)
        if lost.closed:
            self.emit("notice", text=f"slot {slot} is closed: its workers died {self._dispatcher.most_deaths} times "
                                      f"in a row; see logs/worker-{slot}.log")
        elif self._draining_until is None:
            self._dispatcher.slots[slot].phase = "starting"
            self.backend.start(self._slots[slot], self.plan.opencl.get(slot))

    # Telling.

    def _record(self, lease: Lease, trial: _Trial, slot: str, **fields: object) -> TrialRecord:
        prepared = self._ledgers[lease.dataset].prepared
        return msgspec.convert(
            {"trial": lease.trial, "attempt": lease.attempt, "params": trial.params, "space": trial.space,
             "seed": trial.seed, "metric": prepared.metric, "table": prepared.fingerprint, "slot": slot,
             "versions": self._versions, "at": time.time(), **fields}, TrialRecord)

    def _tell(self, lease: Lease, slot: str, record: TrialRecord) -> None:
        """From here on the trial is told: its predictions were on the disk before, its record is now."""
        ledger = self._ledgers[lease.dataset]
        previous = ledger.best.score if ledger.best else None
        self.emit("trial_told", durable=True, **msgspec.to_builtins(record))
        trial = self._under_way.pop(record.trial)
        search = self._searches[lease.dataset, lease.family]
        if trial.space == search.space_hash:
            search.searcher.tell(record)
        self.recorder.add(record, trial.key)
        was_best = ledger.tell(record, kind=self._slots[slot].kind)
        self._recent.append(board.recent_line(record, was_best))
        if was_best:
            self.emit("best_improved", dataset=lease.dataset, trial=record.trial, score=record.score,
                       previous=previous)
        if record.models_kept:
            for dropped in ledger.keep_models(record):
                self._store.drop_models(dropped)
                self.emit("models_dropped", trial=dropped)

    def emit(self, event: str, *, durable: bool = False, **fields: object) -> None:
        """Journal an event, then tell whoever listens."""
        record = self.journal.append(event, durable=durable, **fields)
        line = self.plan.narrate(record)
        if line is not None:
            self._log.append(line)
            self._append_log_file(line)
        for listener in self.plan.listeners:
            listener(record)

    def _append_log_file(self, text: str) -> None:
        with (self.plan.folder / "logs" / "run.log").open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")

    # Datasets and families.

    def _advance_preparation(self) -> None:
        for outcome in self.preparation.advance():
            if isinstance(outcome, ReadingOn):
                self._notes[outcome.dataset] = outcome.doing
                self._next_tick = 0.0
            elif isinstance(outcome, DatasetRefused):
                self._notes[outcome.dataset] = outcome.reason
                self.emit("dataset_failed", dataset=outcome.dataset, reason=outcome.reason)
            else:
                self._notes.pop(outcome.prepared.dataset, None)
                self._add_dataset(outcome)

    def _add_dataset(self, ready: DatasetReady) -> None:
        prepared = ready.prepared
        name, study = prepared.dataset, self.plan.study
        changed = changes_since(self.past.datasets.get(name), prepared)
        if changed:
            self._notes[name] = changed
            self.emit("dataset_failed", dataset=name, reason=changed)
            return
        twin = next((o.prepared.dataset for o in self._ledgers.values()
                     if o.prepared.fingerprint == prepared.fingerprint), None)
        if twin is not None:
            self._notes[name] = f"same content as {twin}"
        slots = len(self.plan.slots)
        self.emit("dataset_ready", same_as=twin, problem=msgspec.to_builtins(self._problems[name]),
                   **msgspec.to_builtins(prepared))
        steps = prepared.folds * prepared.repeats
        ledger = DatasetLedger(
            prepared=prepared, budget_trials=study.trials,
            budget_s=None if study.time_per_dataset_s is None else study.time_per_dataset_s * slots,
            families={f: FamilyLedger(name=f, kinds=self._kinds[f], steps=steps) for f in ready.spaces},
        )
        self._ledgers[name] = ledger
        for family, description in ready.spaces.items():
            self._add_search(ledger, family, description.space, description.starts)

    def _add_search(self, ledger: DatasetLedger, family: str, space, starts) -> None:  # type: ignore[no-untyped-def]
        """Make the search of one family on one dataset, with what is known from before."""
        name, study = ledger.prepared.dataset, self.plan.study
        space_hash = space.hash()
        self.emit("space_described", dataset=name, family=family, hash=space_hash,
                   space=msgspec.to_builtins(space), starts=starts)
        told = [r for r in self.past.told.values() if (r.dataset, r.family) == (name, family)]
        next_number = self.past.numbers.get((name, family), -1) + 1
        searcher = Searcher(
            space=space, starts=starts, sampler=load_sampler(study.sampler), maximize=ledger.maximize,
            seed=trial_seed(study.seed, trial_id(name, family, next_number)), workers=len(self.plan.slots),
        )
        searcher.restore(told)
        key = StudyKey(dataset=name, family=family, space=space,
                       direction="maximize" if ledger.maximize else "minimize")
        self._searches[name, family] = _Search(searcher, key, space_hash, next_number)
        for record in told:
            ledger.tell(record, kind="gpu" if record.slot.startswith("gpu") else "cpu")
            if record.models_kept and record.trial not in self.past.models_dropped:
                ledger.keep_models(record)
        entry = ledger.families[family]
        entry.begun = len(told)
        for (dataset, one, kind), seconds in self.past.lost_s.items():
            if (dataset, one) == (name, family):
                entry.charge(kind, seconds)
        self._resume_trials(name, family, searcher, key)

    def _resume_trials(self, dataset: str, family: str, searcher: Searcher, key: StudyKey) -> None:
        """Trials that were under way when the last scheduler ended are run again."""
        for trial, asked in self.past.asked.items():
            if trial.rpartition("/")[0] != f"{dataset}/{family}":
                continue
            space = self.past.spaces.get(asked.space, key.space)
            self._under_way[trial] = _Trial(params=asked.params, seed=asked.seed, space=asked.space,
                                            key=msgspec.structs.replace(key, space=space))
            if asked.space == self._searches[dataset, family].space_hash:
                searcher.resume(trial, asked.params)
            self._ledgers[dataset].families[family].begun += 1
            kind = asked.kind if asked.kind in self._kinds[family] else next(iter(sorted(self._kinds[family])))
            self._dispatcher.add_retry(Retry(trial=trial, dataset=dataset, family=family, attempt=asked.attempts + 1,
                                             faults=asked.faults, kind=kind))

    def _finish_dataset_if_done(self, ledger: DatasetLedger) -> None:
        use = ledger.use({}, 0)
        exhausted = all(f.closed for f in ledger.families.values())
        reachable = any(slot.phase != "closed" and slot.kind in f.kinds and not f.closed
                        for slot in self._dispatcher.slots.values() for f in ledger.families.values())
        if not ledger.finished and (use.spent or exhausted or not reachable):
            ledger.finished = True
            reason = "budget used" if use.spent else "no family is left" if exhausted else "no slot is left"
            self.emit("dataset_finished", dataset=ledger.prepared.dataset, used_s=round(use.used_s, 1), reason=reason)

    def _close_family(self, dataset: str, family: str, reason: str) -> None:
        entry = self._ledgers[dataset].families[family]
        if not entry.closed:
            entry.closed = reason
            self._family_notes[family] = reason
            self.emit("family_stopped", family=family, dataset=dataset, reason=reason)

    def _move_to_cpu(self, family: str) -> None:
        if family in self._device_moved:
            return
        self._device_moved.add(family)
        if any(slot.kind == "cpu" for slot in self.plan.slots):
            self._kinds[family] = frozenset({"cpu"})
            for ledger in self._ledgers.values():
                if family in ledger.families:
                    ledger.families[family].kinds = self._kinds[family]
        reason = "it was asked to use the GPU and in truth trained on the CPU"
        self._family_notes[family] = f"on CPU slots: {reason}"
        self.emit("family_moved", family=family, reason=reason)

    # Time, memory, signals, status.

    def _tick(self, now: float, *, force: bool = False) -> None:
        if now < self._next_tick and not force:
            return
        self._next_tick = now + TICK_S
        pids = {name: self.backend.pid(name) for name in self._slots}
        self._loads = {name: self.monitor.worker(pid, now) for name, pid in pids.items() if pid is not None}
        for slot, held in over_cap(self._loads, {n: s.memory_mb for n, s in self._slots.items()}):
            self._killed[slot] = "out_of_memory"
            self.backend.kill(slot, f"out of memory: {held:.0f} MiB held, {self._slots[slot].memory_mb:.0f} MiB allowed")
        for ledger in self._ledgers.values():
            if not any(lease.dataset == ledger.prepared.dataset for lease in self._dispatcher.under_way):
                self._finish_dataset_if_done(ledger)
        self.write_status("stopping" if self._draining_until is not None else "running")

    def write_status(self, state: str) -> None:
        """Put the present state where viewers look."""
        now, wall = time.monotonic(), time.time()
        active = {lease.dataset for lease in self._dispatcher.under_way}
        elapsed: dict[str, float] = {}
        for lease in self._dispatcher.under_way:
            if lease.started is not None:
                elapsed[lease.dataset] = elapsed.get(lease.dataset, 0.0) + now - lease.started
        failed = sum(1 for p in self._problems if p in self._notes and p not in self._ledgers)
        missing = len(self._problems) - len(self._ledgers) - failed
        progress, left = board.progress_and_left_s(list(self._ledgers.values()), missing, len(self.plan.slots))
        ends = [t for t in (None if left is None else wall + left, self.plan.deadline) if t is not None]
        write_status(self.plan.folder / "status.json", Status(
            run=self.plan.study.name, state="preparing" if state == "running" and not self._ledgers else state,
            pid=self.signals.pid, version=__version__, at=wall, first_started=self.plan.first_started,
            started=self.plan.started, deadline=self.plan.deadline, eta=min(ends) if ends else None,
            progress=1.0 if state == "finished" else progress,
            machine=self.monitor.machine(len(self.plan.gpus.gpus)),
            datasets=board.dataset_lines(list(self._problems.values()), self._ledgers, self._notes,
                                         self.preparation.reading, active, elapsed),
            families=board.family_lines([f.name for f in self.plan.study.families], self._ledgers, self._family_notes),
            slots=board.slot_lines(self.plan.slots, self._dispatcher.slots,
                                   {n: self.backend.pid(n) for n in self._slots}, self._loads,
                                   {n: self.monitor.gpu(s.gpu.uuid) if s.gpu else None for n, s in self._slots.items()},
                                   wall - now),
            recent=tuple(self._recent), log=tuple(self._log), recorder_lag=self.recorder.lag,
        ))

    def _hear_recorder(self) -> None:
        while self.recorder.connection.poll(0):
            reply = self.recorder.receive()
            if isinstance(reply, RecorderTrouble):
                self.emit("notice", text=f"optuna.db cannot be written ({reply.reason}); tried again, the journal has all")
            elif reply is None:
                self.emit("notice", text="the recorder of optuna.db is gone; started again")
                self.recorder = self.recorder.restarted()
            elif not isinstance(reply, Added):
                continue

    def _obey_signals(self) -> None:
        count = self.signals.taken()
        if not count:
            return
        if self._draining_until is not None or count > 1:
            self._ending = "stopped at once"
            return
        self._draining_until = time.monotonic() + DRAIN_S
        self.emit("notice", text=f"stopping: running trials have {DRAIN_S:.0f} s to finish; once more stops at once")
        for slot in self._dispatcher.slots.values():
            if slot.waiting is not None:
                self.backend.send(slot.name, RevokeJob(lease=slot.waiting.number))

    def close(self) -> None:
        """End the workers; what was under way is run again when the run is resumed."""
        now = time.monotonic()
        for lease in self._dispatcher.under_way:
            if lease.started is not None:
                self.emit("job_lost", trial=lease.trial, attempt=lease.attempt, slot=lease.slot, blame=False,
                           reason=self._ending or "the scheduler ended", seconds=round(now - lease.started, 3))
        self.preparation.close()
        self.backend.close(grace_s=0.0 if self._dispatcher.under_way else 5.0)
        self.monitor.close()


def changes_since(before: Mapping[str, object] | None, now: object) -> str:
    """Why a dataset cannot go on with what it has, or nothing where it can."""
    from optimizer.datasets.problem import Prepared, differences

    assert isinstance(now, Prepared)
    if before is None:
        return ""
    parts = before.get("parts", {})
    assert isinstance(parts, dict)
    changed = list(differences(parts, now.parts))
    for key in ("metric", "task", "target", "folds", "repeats", "seed"):
        was, is_now = before.get(key), getattr(now, key)
        if was != is_now and not any(c.startswith(f"{key}:") for c in changed):
            changed.append(f"{key}: was {was}, is {is_now}")
    if not changed:
        return ""
    return (f"its trials cannot be compared with the earlier ones any more ({'; '.join(changed)}); put it back, "
            "give the dataset another name, or start anew with --fresh")
