"""Workers as processes of this machine, each an interpreter of its own with one inherited connection."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from optimizer.backends.base import WorkerLost
from optimizer.backoff import pause_s
from optimizer.ending import AT_ONCE, BY_STEPS, LEAVING, Ending, sooner
from optimizer.errors import ProtocolFault
from optimizer.failures import words_of_abort
from optimizer.groups import Groups
from optimizer.messages import Command, Event, StopWorker, WorkerRetiring
from optimizer.resources import Slot, slot_environment
from optimizer.standstill import Standstill
from optimizer.transport import Disconnected, SchedulerEnd, channel
from optimizer.worker import GPU_LOST_CODE, WorkerSettings

#: Seconds that killed processes may take to be gone when the backend closes.
_CLOSE_S = 5.0
#: Seconds between two looks for workers that have ended and whose channel somebody holds open.
_LOOK_EVERY_S = 0.05
#: Want of processes, memory or descriptors, which passes, and says nothing against the slot.
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
#: Seconds after which a worker that could not be started counts as lost, so that the next try is not made at once.
_START_AGAIN_S = 2.0
#: The same after many such tries, each twice as long after the one before.
_START_AGAIN_MOST_S = 60.0
#: Bytes of a log in which an aborted worker's last words are looked for; the stacks of a hundred threads fit.
_LAST_WORDS = 64 * 1024


class _Worker:
    """One process and our end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], end: SchedulerEnd, log: Path, written: int) -> None:
        self.process = process
        self._log = log
        #: Bytes of it that are of workers before this one.
        self._written = written
        #: ``None`` once it has ended.
        self.end: SchedulerEnd | None = end
        #: Why we end it; empty where we do not.
        self.ended_for = ""
        self.ending: Ending | None = None
        #: Why it leaves by itself.
        self.retiring = ""

    def end_it(self, how: tuple[tuple[float, signal.Signals], ...], now: float, reason: str = "") -> None:
        """Have it ended in this way, or in the one that is under way where that is faster."""
        self.ended_for = self.ended_for or reason
        self.ending = sooner(self.ending, Ending(since=now, steps=how))

    def words_of_abort(self) -> str:
        """What a library wrote into the log before it aborted the process."""
        try:
            with self._log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                # Nor of what was printed long ago: the words come last, but for the stacks of all threads.
                own = self._written if self._written <= size else 0  # a log that has grown too long is cut
                stream.seek(max(own, size - _LAST_WORDS))
                return words_of_abort(stream.read().decode(errors="replace"))
        except OSError:
            return ""

    def hang_up(self) -> None:
        """Close our end: nothing more is taken from it."""
        if self.end is not None:
            self.end.close()
            self.end = None


class LocalBackend:
    """The backend of one machine."""

    def __init__(
        self, *, folder: Path, families: Sequence[str], standstill: Standstill | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._families = tuple(families)
        self._standstill = standstill
        self._clock = clock
        self._workers: dict[str, _Worker] = {}
        #: Every channel that is open, by its slot.
        self._selector = selectors.DefaultSelector()
        #: When ended workers were looked for last.
        self._looked = 0.0
        #: Slots whose worker could not be started: when that is said, and what.
        self._not_started: dict[str, tuple[float, WorkerLost]] = {}
        #: How often in a row that was tried.
        self._failures: dict[str, int] = {}
        self._groups = Groups(folder / "logs" / "guard.log")
        #: Processes that SIGKILL did not end; the guard keeps them in mind, and we what is left of them.
        self._abandoned: list[subprocess.Popen[bytes]] = []

    def start(self, slot: Slot, opencl: tuple[int, int] | None = None, reach: tuple[int, ...] = ()) -> None:
        """Start ``python -m optimizer.worker`` with its slot's environment; pinning is the worker's first act."""
        try:
            self._start(slot, opencl, reach or slot.cores)
        except OSError as error:
            # Too many processes, descriptors or too little memory now; in a while it may go.
            failures = self._failures[slot.name] = self._failures.get(slot.name, 0) + 1
            wait_s = pause_s(failures, first_s=_START_AGAIN_S, most_s=_START_AGAIN_MOST_S)
            lost = WorkerLost(reason=f"could not be started: {error}", orderly=error.errno in _PASSING)
            self._not_started[slot.name] = self._clock() + wait_s, lost
        else:
            self._failures.pop(slot.name, None)

    def _start(self, slot: Slot, opencl: tuple[int, int] | None, reach: tuple[int, ...]) -> None:
        logs = self._folder / "logs"
        log = logs / f"worker-{slot.name}.log"
        written = log.stat().st_size if log.exists() else 0
        end, theirs = channel()
        position = None if self._standstill is None else self._standstill.positions.get(slot.name)
        inherited = [theirs.fileno()]
        if self._standstill is not None and position is not None:
            inherited.append(self._standstill.descriptor)
        settings = WorkerSettings(
            descriptor=theirs.fileno(), parent=os.getpid(), slot=slot.name, cores=slot.cores, reach=reach,
            threads=slot.threads, root=str(self._folder), log=str(log), families=self._families, opencl=opencl,
            memory_mb=slot.memory_mb if math.isfinite(slot.memory_mb) else None,
            standstill=None if position is None else (inherited[1], position),
        )
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "optimizer.worker", msgspec.json.encode(settings).decode()],
                env=slot_environment(slot, os.environ) | self._groups.mark, cwd=logs, pass_fds=inherited,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )
        except OSError:
            end.close()
            raise
        finally:
            theirs.close()
        self._workers[slot.name] = _Worker(process, end, log, written)
        self._selector.register(end.connection, selectors.EVENT_READ, slot.name)
        self._groups.add(process.pid)

    def send(self, slot: str, command: Command) -> None:
        """Send a command; a worker that is gone is found by `receive`."""
        worker = self._workers.get(slot)
        if worker is not None and worker.end is not None:
            with contextlib.suppress(Disconnected):
                worker.end.send(command)

    def receive(self, timeout_s: float, others: Sequence[Any] = ()) -> list[tuple[str, Event | WorkerLost]]:
        """Wait on every channel at once; a death is seen by end-of-file or by its exit code, whichever is first."""
        self._take_steps()
        now = self._clock()
        timeout_s = min([timeout_s, *(w.ending.wait_s(now) for w in self._workers.values() if w.ending is not None),
                         *(max(0.0, due - now) for due, _ in self._not_started.values())])
        received: list[tuple[str, Event | WorkerLost]] = []
        for slot in self._ready(timeout_s, others):
            received += [(slot, message) for message in self._drained(self._workers[slot])]
        self._take_steps()
        if self._may_have_lost_one():
            received += self._losses()
        for slot, (due, lost) in list(self._not_started.items()):
            if self._clock() >= due:
                del self._not_started[slot]
                received.append((slot, lost))
        self._groups.look()
        self._bury_late_ones()
        return received

    def _ready(self, timeout_s: float, others: Sequence[Any]) -> list[str]:
        """Slots whose worker has said something, or all that has come by then.

        Workers stay registered from their start to their end: to register 64 of them anew for every message costs more
        than to read it.
        """
        registered = []
        try:
            for other in others:
                registered.append(self._selector.register(other, selectors.EVENT_READ))  # noqa: PERF401 - one may fail
            return [key.data for key, _ in self._selector.select(max(0.0, timeout_s)) if key.data is not None]
        finally:
            for key in registered:
                self._selector.unregister(key.fileobj)

    def _hang_up(self, worker: _Worker) -> None:
        """Take nothing more from a worker."""
        if worker.end is not None:
            self._selector.unregister(worker.end.connection)
            worker.hang_up()

    def _may_have_lost_one(self) -> bool:
        """Whether it is time to look for workers that have ended: now where one has hung up, else now and then."""
        now = time.monotonic()
        due = now >= self._looked + _LOOK_EVERY_S or any(
            worker.end is None or worker.ending is not None for worker in self._workers.values())
        if due:
            self._looked = now
        return due

    def _losses(self) -> list[tuple[str, Event | WorkerLost]]:
        received: list[tuple[str, Event | WorkerLost]] = []
        for slot, worker in list(self._workers.items()):
            # A child of the worker can hold its end open, so end-of-file alone would miss a death.
            if _has_ended(worker.process):
                received += [(slot, message) for message in self._drained(worker)]
                received.append((slot, self._buried(slot)))
            elif worker.ending is not None and worker.ending.is_hopeless(self._clock()):
                received.append((slot, self._given_up(slot)))
        return received

    def kill(self, slot: str, reason: str) -> None:
        """SIGKILL to the worker's process group."""
        self._end(slot, AT_ONCE, reason)

    def end(self, slot: str, reason: str) -> None:
        """SIGUSR1, SIGTERM, SIGKILL, inside `receive`."""
        self._end(slot, BY_STEPS, reason)

    def pid(self, slot: str) -> int | None:
        """The worker's process id."""
        worker = self._workers.get(slot)
        return worker.process.pid if worker else None

    def close(self, grace_s: float = 0.0) -> None:
        """Ask all to stop, wait together, then kill what is left; a process that cannot be killed is left behind."""
        for slot in self._workers:
            self.send(slot, StopWorker())
        processes = [worker.process for worker in self._workers.values()]
        _wait_for(processes, grace_s)
        for process in processes:
            _signal_group(process.pid, signal.SIGKILL)
        _wait_for(processes, _CLOSE_S)
        for slot, worker in list(self._workers.items()):
            if _has_ended(worker.process):
                self._buried(slot)
            else:
                self._given_up(slot)
        self._selector.close()
        self._groups.close()

    def _end(self, slot: str, how: tuple[tuple[float, signal.Signals], ...], reason: str) -> None:
        worker = self._workers.get(slot)
        if worker is not None:
            worker.end_it(how, self._clock(), reason)
            self._take_steps()

    def _take_steps(self) -> None:
        """Send the signals that have come due."""
        now = self._clock()
        for worker in self._workers.values():
            if worker.ending is None:
                continue
            signals, worker.ending = worker.ending.due(now)
            for number in signals:
                if number == signal.SIGUSR1:
                    # To the worker alone: what it started would die of it, and the stacks would tell of that.
                    os.kill(worker.process.pid, number)
                else:
                    _signal_group(worker.process.pid, number)

    def _drained(self, worker: _Worker) -> list[Event]:
        """Everything that a channel holds now, to its end if it has one."""
        received: list[Event] = []
        while worker.end is not None and worker.end.ready():
            try:
                message = worker.end.receive()
            except Disconnected:
                self._hang_up(worker)
                worker.end_it(LEAVING, self._clock())
            except ProtocolFault as fault:
                self._hang_up(worker)
                worker.end_it(AT_ONCE, self._clock(), f"sent bytes that are no message ({fault})")
            else:
                if isinstance(message, WorkerRetiring):
                    worker.retiring = message.reason
                else:
                    received.append(message)
        return received

    def _buried(self, slot: str) -> WorkerLost:
        """Take what has ended away, with its process group, and say why it ended."""
        worker = self._workers.pop(slot)
        # Before its number is free: the group outlives its leader, so this reaches what a dead worker has started.
        _signal_group(worker.process.pid, signal.SIGKILL)
        code = worker.process.wait()
        self._groups.remove(worker.process.pid)
        self._hang_up(worker)
        if worker.ended_for:
            return WorkerLost(reason=worker.ended_for)
        if worker.ending is not None and worker.ending.killed is not None and code == -signal.SIGKILL:
            return WorkerLost(reason="closed its channel")
        if code == 0 and worker.retiring:
            return WorkerLost(reason=f"made room for a fresh one: {worker.retiring}", orderly=True)
        if code == GPU_LOST_CODE:
            return WorkerLost(reason=f"exit code {code}, after an error of its GPU", orderly=True)
        return WorkerLost(reason=_how_it_ended(code), words=worker.words_of_abort() if code == -signal.SIGABRT else "")

    def _given_up(self, slot: str) -> WorkerLost:
        worker = self._workers.pop(slot)
        self._hang_up(worker)
        self._abandoned.append(worker.process)
        reason = worker.ended_for or "closed its channel"
        return WorkerLost(reason=f"{reason}; process {worker.process.pid} cannot be killed", abandoned=True)

    def _bury_late_ones(self) -> None:
        for process in [p for p in self._abandoned if _has_ended(p)]:
            self._abandoned.remove(process)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            self._groups.remove(process.pid)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether only its exit code is left of it, which stays: until it is taken nobody else gets its number."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _wait_for(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not all(map(_has_ended, processes)) and time.monotonic() < until:
        time.sleep(0.01)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _how_it_ended(code: int) -> str:
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        return f"killed by {names.get(-code, f'signal {-code}')}"
    return f"exit code {code}"


BACKEND = LocalBackend
