"""The process that lives in a slot: pins itself, loads its libraries, and evaluates until told to stop.

Started by a backend as ``python -m optimizer.worker SETTINGS`` with thread counts and ``CUDA_VISIBLE_DEVICES`` in
its environment and one inherited connection. Two belts end it with its scheduler: the kernel's parent-death signal,
and the end-of-file on the connection, which a thread of its own waits for.

The imports at the top are light on purpose: nothing that starts threads may be loaded before `_pin`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import signal
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from optimizer.process import NICE, NICE_WORKER, die_with_parent, step_back, step_back_as_session
from optimizer.standstill import follow, working_time

if TYPE_CHECKING:
    from optimizer.messages import Event, Job, JobFailed
    from optimizer.transport import WorkerEnd

#: Exit code after an error of CUDA or OpenCL: only the end of a process heals its card.
GPU_LOST_CODE = 86
#: Share of the slot's memory that data kept between fits may take.
_CACHE_SHARE = 0.25
#: Longest traceback that is sent, in characters; its end says most.
_TRACEBACK_LENGTH = 6000


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told at its start, as JSON on its command line."""

    #: Inherited descriptor of its end of the channel.
    descriptor: int
    parent: int
    slot: str
    cores: tuple[int, ...]
    #: Those that it may be given when slots are joined, its own included.
    reach: tuple[int, ...]
    threads: int
    #: The run's folder, where the store is.
    root: str
    #: File that standard output and error go to.
    log: str
    #: Families whose libraries are loaded before the worker says that it is ready.
    families: tuple[str, ...]
    #: ``(platform, device)`` of the slot's card in OpenCL's counting.
    opencl: tuple[int, int] | None = None
    #: What the slot may hold, in MiB; ``None`` where nobody says.
    memory_mb: float | None = None
    #: Inherited descriptor of the run's `Standstill`, and the slot's position in it.
    standstill: tuple[int, int] | None = None


def main() -> None:
    """Run one worker until its channel ends or it is told to stop."""
    settings = msgspec.json.decode(sys.argv[1].encode(), type=WorkerSettings)
    _pin(settings)
    from optimizer.transport import WorkerEnd

    if settings.standstill is not None:
        follow(*settings.standstill)
    worker = Worker(settings, WorkerEnd.of_descriptor(settings.descriptor))
    code = worker.run()
    sys.stdout.flush()
    # Straight out: libraries' own exit handlers have been seen to hang, and everything is on disk.
    os._exit(code)


def _pin(settings: WorkerSettings) -> None:
    try:
        log = os.open(settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a disk in trouble: nobody hears what a library prints, and the worker lives
        log = os.open(os.devnull, os.O_WRONLY)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    os.sched_setaffinity(0, settings.reach)
    if os.getpriority(os.PRIO_PROCESS, 0) >= NICE:  # the run lets others go first, and its workers above all
        step_back(NICE_WORKER)
    step_back_as_session()
    die_with_parent(settings.parent)
    # The terminal's Ctrl-C is the scheduler's affair; TERM must kill at once, even inside C code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.enable(all_threads=True)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    with contextlib.suppress(OSError):
        # If memory runs out, the kernel shall take a worker, never the scheduler. Needs no privilege to raise.
        Path("/proc/self/oom_score_adj").write_text("500")


class Worker:
    """Takes jobs from its channel one after the other; every failure becomes an event."""

    def __init__(self, settings: WorkerSettings, end: WorkerEnd) -> None:
        self._settings = settings
        self._end = end
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._last_end: float | None = None
        #: Cores and threads of the slot, those to compute with from the next fold on, those that are in use now.
        self._own = self._next_share = self._share = (settings.cores, settings.threads)
        #: The next share is for one fold only.
        self._once = False
        #: Fingerprint of the table that the cache holds data of.
        self._table = ""

    def run(self) -> int:
        """Say that it is ready, then evaluate until told to stop or no longer fit to go on; returns the exit code."""
        from optimizer.growth import Growth
        from optimizer.messages import JobFailed, WorkerReady, WorkerRetiring
        from optimizer.models.base import FoldCache

        # Libraries count the cores that they see once. CatBoost then takes no more threads; libgomp has a larger team
        # sleep at every barrier, and LightGBM took six to eleven times as long on two cores as on one.
        versions = self._load_libraries()
        _move_threads(self._settings.cores)
        cap_mb = self._settings.memory_mb
        self._cache = FoldCache(max_bytes=math.inf if cap_mb is None else _CACHE_SHARE * cap_mb * 2**20)
        growth = Growth(cap_mb)
        threading.Thread(target=self._listen, name="commands", daemon=True).start()
        self._end.send(WorkerReady(
            pid=os.getpid(), cores=tuple(sorted(os.sched_getaffinity(0))), threads=self._settings.threads,
            versions=versions, pools=_thread_pools(),
        ))
        while (job := self._next_job()) is not None:
            event = self._evaluated(job)
            self._end.send(event)
            self._last_end = working_time()
            if isinstance(event, JobFailed) and event.kind == "gpu_lost":
                self._hand_back()
                return GPU_LOST_CODE
            reason = growth.after_job(self._cache)
            if reason:
                self._hand_back()
                self._end.send(WorkerRetiring(reason=reason))
                return 0
        return 0

    def _hand_back(self) -> None:
        """Take no more jobs; one that comes now is given to another when the scheduler sees us gone."""
        from optimizer.messages import JobRevoked

        with self._changed:
            self._stopping = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for job in waiting:
            self._end.send(JobRevoked(lease=job.lease))

    def _load_libraries(self) -> dict[str, str]:
        import traceback
        from importlib.metadata import version

        from optimizer.models import load_family, load_library

        versions = {"python": sys.version.split()[0], **{name: version(name) for name in ("numpy", "scikit-learn")}}
        for name in self._settings.families:
            try:
                family = load_family(name)
                load_library(family)
                versions[family.library] = version(family.library)
            except Exception:
                # That family's jobs will fail with this, one by one, until it is stopped; the others can run.
                traceback.print_exc()
        return versions

    def _next_job(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._waiting)
            return None if self._stopping else self._waiting.popleft()

    def _evaluated(self, job: Job) -> Event:
        from optimizer.evaluation import evaluate, open_table
        from optimizer.messages import JobStarted
        from optimizer.models import load_family
        from optimizer.store import Store

        begun = working_time()
        gap = None if self._last_end is None else begun - self._last_end
        store = Store(Path(self._settings.root))
        if job.workload.table != self._table:
            # What was kept of another table is not asked for again soon, and a large one is large here too.
            self._cache.clear()
            self._table = job.workload.table
        try:
            steps = open_table(store, job.workload.table, self._cache).meta.steps
            self._end.send(JobStarted(lease=job.lease, steps=steps, gap_s=gap))
            return evaluate(
                job, store=store, family=load_family(job.workload.family), threads=self._threads_now,
                opencl=self._settings.opencl, cache=self._cache, emit=self._end.send,
            )
        except Exception as error:
            self._cache.clear()
            return failed(job, error, working_time() - begun)

    def _threads_now(self) -> int:
        """Move to the cores that were ordered last, with every thread, and say how many threads may compute there."""
        with self._changed:
            cores, threads = share = self._next_share
            if self._once:
                self._next_share, self._once = self._own, False
        if share != self._share:
            _move_threads(cores)
            _allow_openmp(threads)
            self._share = share
        return threads

    def _listen(self) -> None:
        """Take commands while the main thread evaluates; the end of the channel is the end of the process group."""
        from optimizer.errors import ProtocolFault
        from optimizer.messages import JobRevoked, RevokeJob, RunJob, SetShare
        from optimizer.transport import Disconnected

        while True:
            try:
                command = self._end.receive()
            except (Disconnected, ProtocolFault):
                os.killpg(0, signal.SIGKILL)
            revoked: list[Job] = []
            with self._changed:
                if isinstance(command, RunJob):
                    self._waiting.append(command.job)
                elif isinstance(command, SetShare):
                    self._next_share, self._once = (command.cores, command.threads), command.once
                elif isinstance(command, RevokeJob):
                    revoked = [job for job in self._waiting if job.lease == command.lease]
                else:
                    self._stopping = True
                    revoked = list(self._waiting)
                for job in revoked:
                    self._waiting.remove(job)
                self._changed.notify()
            with contextlib.suppress(Disconnected):
                for job in revoked:
                    self._end.send(JobRevoked(lease=job.lease))


def _move_threads(cores: tuple[int, ...]) -> None:
    """Move every thread of this process to these cores."""
    for thread in os.listdir("/proc/self/task"):
        # Libraries end threads of theirs at any time, and a core may have been taken from us meanwhile.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(thread), cores)


def _allow_openmp(threads: int) -> None:
    """Let OpenMP's loops of this thread have so many: XGBoost takes no more, whatever a fit says."""
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().limit(limits=threads, user_api="openmp")


def failed(job: Job, error: Exception, seconds: float) -> JobFailed:
    """What a worker says of an exception that ended a job."""
    import traceback

    from optimizer.failures import is_of_the_disk, kind_of
    from optimizer.messages import JobFailed

    kind = kind_of(error, job.workload.device)
    text = "".join(traceback.format_exception(error))
    reason = f"{type(error).__name__}: {error}".splitlines()[0][:500]
    return JobFailed(lease=job.lease, kind=kind, reason=reason, traceback=text[-_TRACEBACK_LENGTH:], seconds=seconds,
                     disk=kind == "storage" and is_of_the_disk(error))


def _thread_pools() -> dict[str, int]:
    from threadpoolctl import threadpool_info

    return {f"{Path(pool['filepath']).name}": pool["num_threads"] for pool in threadpool_info()}


if __name__ == "__main__":
    main()
