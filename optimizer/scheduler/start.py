"""From a checked study to a running scheduler, and from its end to a closed run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from threadpoolctl import threadpool_limits

from optimizer import __version__
from optimizer.backends import make_backend
from optimizer.child import Child
from optimizer.config.resolved import Study
from optimizer.control import forget_control
from optimizer.errors import ResourceError, RunFolderError, StorageFault
from optimizer.gpus import Gpu, GpuReport, chosen, find_gpus
from optimizer.journal import Journal, Record, set_damage_aside
from optimizer.models import load_family
from optimizer.process import process_stat
from optimizer.resources import SlotPlan, amount_of_cores, plan_slots, usable_cores, usable_memory_mb
from optimizer.scheduler.ballast import Ballast
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.folder import make_folder
from optimizer.scheduler.lock import RunLock
from optimizer.scheduler.loop import AT_ONCE, DEADLINE, FINISHED, Plan, Scheduler
from optimizer.scheduler.memory import for_jobs
from optimizer.scheduler.monitor import Monitor
from optimizer.scheduler.past import Past, read_past, remember_number
from optimizer.scheduler.preparation import READERS, Preparation
from optimizer.scheduler.signals import Signals
from optimizer.standstill import Standstill
from optimizer.status import DatasetStatus, Status, write_status
from optimizer.store import Store
from optimizer.study.recording import Reconciled, Recorder, RecorderNotice, RecorderTrouble, Recovered, Reply

#: Seconds that the recorder may take at the end for what it has not written yet.
_FLUSH_S = 120.0
_HURRIED_FLUSH_S = 8.0
#: Recorders that may die at the start before it is given up.
_MOST_DEATHS = 2
#: Seconds that the end waits for a journal that cannot be written.
_PATIENCE_S = 5.0
#: Seconds between two looks at a recorder that is waited for.
_LOOK_S = 5.0
#: Seconds that an OpenCL probe may take; the first on a machine compiles for half a minute.
_PROBE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    #: ``finished`` or ``stopped``.
    state: str
    reason: str
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this machine offers to a study, and the slots made of it."""

    gpus: GpuReport
    cores: tuple[int, ...]
    #: MiB that the run may hold, and that there are.
    memory_mb: float
    whole_memory_mb: float
    plan: SlotPlan
    #: Family to the device that was chosen for it: ``gpu``, ``cpu`` or ``any``.
    devices: Mapping[str, str]
    #: Slot to the card in OpenCL's counting.
    opencl: Mapping[str, tuple[int, int]]
    #: Family to the kinds of slot that it may use.
    kinds: Mapping[str, frozenset[str]]
    notices: tuple[str, ...]


def survey(study: Study, environment: Mapping[str, str], log: Path) -> Machine:
    """Look at the machine and cut it into slots for this study.

    Raises:
        ResourceError: the study asks for what is not here.
    """
    notices: list[str] = []
    devices = {}
    for choice in study.families:
        # A person's own family is never run here, and is for the CPU.
        family = None if choice.file else load_family(choice.name)
        can = ("cpu",) if family is None else family.devices
        device = choice.device or ("cpu" if family is None else family.default_device)
        if device == "gpu" and "gpu" not in can:
            raise ResourceError(f"{choice.name} runs on the CPU only; leave device out of [family.{choice.name}]")
        devices[choice.name] = device if "gpu" in can else "cpu"
    wants_gpu = any(d != "cpu" for d in devices.values()) and study.resources.gpus not in ("none", ())
    report = find_gpus(environment) if wants_gpu else GpuReport(note="no family of this study asks for a GPU")
    gpus = chosen(report, study.resources.gpus)
    if wants_gpu and report.note:
        notices.append(report.note)
    usable, whole_mb = usable_cores(), usable_memory_mb()
    cores = amount_of_cores(study.resources.cores, usable)
    memory_mb = study.resources.memory_mb(whole_mb)
    opencl = _opencl_cards(gpus, [n for n, d in devices.items() if d != "cpu"], devices, notices, log,
                           environment)
    for name, device in devices.items():
        if device == "any" and gpus and not _can_use(name, gpus, opencl):
            devices[name] = "cpu"
    plan = plan_slots(cores=cores, gpus=gpus, devices=devices, memory_mb=for_jobs(memory_mb),
                      threads_per_slot=study.resources.threads_per_slot)
    kinds = {}
    here = {slot.kind for slot in plan.slots}
    for name, device in devices.items():
        wanted = {"gpu", "cpu"} if device == "any" else {device}
        kinds[name] = frozenset(wanted & here)
    by_slot = {slot.name: opencl[slot.gpu.uuid] for slot in plan.slots if slot.gpu and slot.gpu.uuid in opencl}
    return Machine(gpus=msgspec.structs.replace(report, gpus=gpus), cores=cores, memory_mb=memory_mb,
                   whole_memory_mb=whole_mb, plan=plan, devices=devices, opencl=by_slot, kinds=kinds,
                   notices=(*notices, *plan.notices))


def _can_use(family: str, gpus: Sequence[Gpu], opencl: Mapping[str, tuple[int, int]]) -> bool:
    if load_family(family).gpu_api == "opencl":
        return all(gpu.uuid in opencl for gpu in gpus)
    return all(gpu.kind == "cuda" for gpu in gpus)


def _opencl_cards(
    gpus: Sequence[Gpu], families: Sequence[str], devices: Mapping[str, str], notices: list[str], log: Path,
    environment: Mapping[str, str],
) -> dict[str, tuple[int, int]]:
    """For families that compute through OpenCL: which of OpenCL's devices is which card, found by a probe."""
    users = [f for f in families if load_family(f).gpu_api == "opencl"]
    cards: dict[str, tuple[int, int]] = {}
    if not users:
        return cards
    for gpu in gpus:
        wanted = {"pci_bus_id": gpu.pci_bus_id, "name": gpu.name if gpu.kind == "opencl" else None}
        # As the worker's will be: hidden cards do not count in OpenCL either.
        seen = {**environment, "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
                "CUDA_VISIBLE_DEVICES": gpu.uuid if gpu.kind == "cuda" else ""}
        child = Child("optimizer.models.opencl", [msgspec.json.encode(wanted).decode()], log=log,
                      environment=seen)
        answer = msgspec.json.decode(child.output(_PROBE_S) or b'{"error": "its OpenCL probe died or hung"}')
        child.exit_code()
        if "error" in answer:
            text = f"{', '.join(users)} cannot use GPU {gpu.index} ({gpu.name}): {answer['error']}"
            if any(devices[f] == "gpu" for f in users):
                raise ResourceError(f"{text}; set device = \"any\" or \"cpu\"")
            notices.append(f"{text}; on CPU slots instead")
        else:
            cards[gpu.uuid] = (answer["platform"], answer["device"])
    return cards


def run(
    study: Study, *, backend: str = "local", narrate: Callable[[Record], str | None],
    listeners: Sequence[Callable[[Record], None]] = (), closing: Callable[[], object] = lambda: None,
    begun: float | None = None,
) -> Outcome:
    """Carry a study out, from where its run folder stands to the end of its budgets.

    Args:
        backend: name in `optimizer.backends`.
        narrate: the line of an event for the run's log, or ``None``.
        listeners: told of every event after it is in the journal; they must not wait for anything.
        closing: called at the end, while the run's folder is still ours.
        begun: when the person's command began, by the clock that counts seconds since boot; ``None`` for now.

    Raises:
        UserError: the study cannot be run as it is; nothing was started.
    """
    folder = study.folder
    make_folder(folder)
    lock = RunLock(folder)
    try:
        # Weighing points is a product of matrices. Threads for it would wait, busily, on cores that are the workers'.
        with threadpool_limits(limits=1, user_api="blas"):
            return _run_locked(study, backend, folder, narrate, listeners, begun)
    finally:
        try:
            closing()
        finally:
            lock.release()


def _run_locked(
    study: Study, backend: str, folder: Path, narrate: Callable[[Record], str | None],
    listeners: Sequence[Callable[[Record], None]], begun: float | None,
) -> Outcome:
    # The person's clock runs from the command: loading, looking at the machine and bringing files together count.
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    started_boot = now if begun is None else begun
    started = time.time() - (now - started_boot)
    _write_first_status(study, folder)
    with contextlib.suppress(OSError):  # it is for another pid, as a rule
        forget_control(folder)
    machine = survey(study, os.environ, folder / "logs" / "preparation.log")
    preparation = Preparation(study.datasets, study.families, folder, machine.cores)
    try:
        # The first dataset is read while the database is looked through.
        preparation.begin()
        return _run_prepared(study, backend, folder, machine, preparation, narrate, listeners, started, started_boot)
    finally:
        preparation.close()


def _run_prepared(
    study: Study, backend: str, folder: Path, machine: Machine, preparation: Preparation,
    narrate: Callable[[Record], str | None], listeners: Sequence[Callable[[Record], None]], started: float,
    started_boot: float,
) -> Outcome:
    notices = _mended(folder / "journal.jsonl")
    # Opened first: where it cannot be, no process has to be ended.
    journal = Journal(folder / "journal.jsonl", time.time)
    recorder = Recorder(folder)
    signals = events = None
    try:
        past = read_past(journal.path)
        recorder, said = _reconcile(recorder, journal, past)
        notices += said
        signals = Signals()
        events = EventLog(journal, folder / "logs" / "run.log", narrate, listeners, Ballast(folder))
        plan = _plan(study, machine, past.first_started or started, started, started_boot)
        book = Book(
            study, kinds=machine.kinds, slots=len(plan.slots), events=events, store=Store(folder), past=past,
            gpu_required=frozenset(n for n, d in machine.devices.items() if d == "gpu"),
        )
        standstill = Standstill.of([*(slot.name for slot in plan.slots), *READERS])
        scheduler = Scheduler(
            plan, standstill=standstill, book=book, events=events, recorder=recorder, signals=signals, past=past,
            backend=make_backend(backend, folder=folder, families=[f.name for f in study.families],
                                 standstill=standstill),
            preparation=preparation,
            monitor=Monitor(_gpu_watcher(machine, folder)),
        )
        events.emit("run_started", durable=True, began=round(started, 3), **study_snapshot(study, machine, past))
        for notice in (*machine.notices, *notices):
            events.notice(notice)
        book.disk.take_up(past)
        try:
            reason = scheduler.run()
        finally:
            scheduler.close()
            recorder = scheduler.recording.recorder
        state = "finished" if reason == FINISHED else "stopped"
        events.emit("run_ended", durable=True, state=state, reason=reason, trials=book.told)
        with contextlib.suppress(OSError):  # as below
            scheduler.write_status(state)
        # From here on a signal ends us as it ends any program: whatever is not in optuna.db yet is in the journal.
        signals.close()
        if not _everything_recorded(recorder, hurried=reason in (AT_ONCE, DEADLINE)):
            events.notice("optuna.db lacks the latest trials; the next start adds them from the journal")
        lost = events.close(_PATIENCE_S)
        if lost:
            raise StorageFault(lost)
        with contextlib.suppress(OSError):  # viewers see an old state; the journal says how it ended
            scheduler.write_status(state)
        return Outcome(state=state, reason=reason, folder=folder)
    except BaseException:
        recorder.kill()
        if events is not None:
            events.close(0.0)
        raise
    finally:
        journal.close()
        if signals is not None:
            signals.close()


def _plan(study: Study, machine: Machine, first_started: float, started: float, started_boot: float) -> Plan:
    return Plan(
        study=study, folder=study.folder, slots=machine.plan.slots, cores=machine.cores, gpus=machine.gpus,
        opencl=machine.opencl,
        memory_mb=machine.memory_mb, whole_memory_mb=machine.whole_memory_mb,
        first_started=first_started, started=started, started_boot=started_boot,
        deadline=study.deadline_at(first_started, started),
        deadline_is_clock_time=not isinstance(study.deadline, float),
    )


def _everything_recorded(recorder: Recorder, *, hurried: bool) -> bool:
    """End the recorder when it has written what was told; whether it has."""
    if recorder.finish(_HURRIED_FLUSH_S if hurried else _FLUSH_S):
        return True
    try:
        # Gone or damaged at the very end: a fresh one repairs that, as it would at the next start.
        return not hurried and recorder.restarted().finish(_FLUSH_S)
    except OSError:
        return False  # none can be started now


def _write_first_status(study: Study, folder: Path) -> None:
    """What viewers see until the loop runs, in place of what an earlier start has left."""
    now = time.time()
    with contextlib.suppress(OSError):  # the loop says so when it still cannot be written then
        write_status(folder / "status.json", Status(
            run=study.name, state="preparing", pid=os.getpid(), version=__version__, at=now, first_started=now,
            started=now, machine=Monitor(None).machine(0),
            datasets=tuple(DatasetStatus(name=p.name, state="waiting") for p in study.datasets)))


def _mended(journal: Path) -> list[str]:
    """Take altered lines out of an earlier start's journal; returns what is to be said of it."""
    try:
        damaged, aside = set_damage_aside(journal, time.time())
    except StorageFault as fault:
        return [f"the journal has altered lines, which are left out; they could not be set aside: {fault}"]
    if not damaged:
        return []
    return [f"{damaged} altered line{'s' if damaged > 1 else ''} of the journal {'are' if damaged > 1 else 'is'} left "
            f"out; the file as it was is kept as {aside}"]


def study_snapshot(study: Study, machine: Machine, past: Past) -> Record:
    """What ``run_started`` tells of the study and the slots."""
    return {
        "incarnation": past.incarnation + 1, "pid": os.getpid(), "version": __version__,
        "resumed": past.incarnation > 0,
        "study": {
            "name": study.name, "datasets": [p.name for p in study.datasets],
            "families": [f.name for f in study.families], "folds": study.folds, "repeats": study.repeats,
            "seed": study.seed, "sampler": study.sampler, "pruner": study.pruner,
            "time_per_dataset_s": study.time_per_dataset_s, "trials": study.trials,
            "deadline": None if study.deadline is None else str(study.deadline),
            "stop": dataclasses.asdict(study.stop),
            "shares": {f.name: f.share for f in study.families if f.share is not None},
            "max_rows": {f.name: f.max_rows for f in study.families if f.max_rows is not None},
        },
        "slots": [{"name": s.name, "cores": s.cores, "threads": s.threads,
                   "gpu": s.gpu.uuid if s.gpu else None, "memory_mb": round(s.memory_mb)}
                  for s in machine.plan.slots],
    }


def _reconcile(recorder: Recorder, journal: Journal, past: Past) -> tuple[Recorder, list[str]]:
    """Wait until journal and database hold the same trials; take over what only the database had.

    Returns the recorder, which is another one where the first died of something, and what is to be said.
    """
    said: list[str] = []
    recovered, died = 0, 0
    while True:
        reply = _reply_of(recorder)
        if reply is None and died < _MOST_DEATHS:
            died += 1
            recorder = recorder.restarted()
            continue
        if reply is None or (isinstance(reply, RecorderTrouble) and reply.fatal):
            reason = reply.reason if reply is not None else "the recorder ended; see logs/recorder.log"
            recorder.kill()
            raise RunFolderError(reason)
        if isinstance(reply, Recovered):
            journal.append("trial_told", durable=True, **msgspec.to_builtins(reply.record))
            past.told[reply.record.trial] = reply.record
            past.asked.pop(reply.record.trial, None)
            remember_number(past, reply.record.trial)
            recovered += 1
        elif isinstance(reply, RecorderNotice):
            said.append(reply.text)
        elif isinstance(reply, Reconciled):
            if recovered:
                said.append(f"{recovered} told trial{'s' if recovered > 1 else ''} that the journal lacked came back "
                            "from optuna.db")
            return recorder, said


def _reply_of(recorder: Recorder) -> Reply | None:
    """The next reply; ``None`` where the process is gone, or was stopped by somebody, and then it is ended."""
    while not recorder.connection.poll(_LOOK_S):
        stat = process_stat(recorder.pid)
        if stat is not None and stat.state in ("T", "t"):
            recorder.kill()
            return None
    return recorder.receive()


def _gpu_watcher(machine: Machine, folder: Path) -> Child | None:
    if not any(g.kind == "cuda" for g in machine.gpus.gpus):
        return None
    return Child("optimizer.gpus", ["--watch"], log=folder / "logs" / "gpus.log")
