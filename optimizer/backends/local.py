"""Workers as processes of this machine, each an interpreter of its own with one inherited connection."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

import msgspec

from optimizer.backends.base import WorkerLost
from optimizer.errors import ProtocolFault
from optimizer.messages import Command, Event, StopWorker
from optimizer.resources import Slot, slot_environment
from optimizer.transport import Disconnected, SchedulerEnd, channel
from optimizer.worker import WorkerSettings


class _Worker:
    """One process and our end of its channel."""

    def __init__(self, process: subprocess.Popen[bytes], end: SchedulerEnd) -> None:
        self.process = process
        self.end = end
        #: Why we killed it; empty where we did not.
        self.killed_for = ""


class LocalBackend:
    """The backend of one machine."""

    def __init__(self, *, folder: Path, families: Sequence[str]) -> None:
        self._folder = folder
        self._families = tuple(families)
        self._workers: dict[str, _Worker] = {}

    def start(self, slot: Slot, opencl: tuple[int, int] | None = None) -> None:
        """Start ``python -m optimizer.worker`` with its slot's environment; pinning is the worker's first act."""
        logs = self._folder / "logs"
        end, theirs = channel()
        settings = WorkerSettings(
            descriptor=theirs.fileno(), parent=os.getpid(), slot=slot.name, cores=slot.cores, threads=slot.threads,
            root=str(self._folder), log=str(logs / f"worker-{slot.name}.log"), families=self._families, opencl=opencl,
        )
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "optimizer.worker", msgspec.json.encode(settings).decode()],
                env=slot_environment(slot, os.environ), cwd=logs, pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL, start_new_session=True,
            )
        finally:
            theirs.close()
        self._workers[slot.name] = _Worker(process, end)

    def send(self, slot: str, command: Command) -> None:
        """Send a command; a worker that is gone is found by `receive`."""
        worker = self._workers.get(slot)
        if worker is not None:
            with contextlib.suppress(Disconnected):
                worker.end.send(command)

    def receive(self, timeout_s: float, others: Sequence[Any] = ()) -> list[tuple[str, Event | WorkerLost]]:
        """Wait on every channel at once; a death is seen by end-of-file or by its exit code, whichever is first."""
        by_connection = {w.end.connection: slot for slot, w in self._workers.items()}
        ready = connection.wait([*by_connection, *others], timeout_s)
        received: list[tuple[str, Event | WorkerLost]] = []
        for item in ready:
            slot = by_connection.get(item)  # type: ignore[call-overload]
            if slot is not None:
                received += [(slot, message) for message in self._drained(slot)]
        for slot, worker in list(self._workers.items()):
            # A child of the worker can hold its end open, so end-of-file alone would miss a death.
            if worker.process.poll() is not None:
                received += [(slot, message) for message in self._drained(slot)]
                if slot in self._workers:
                    received.append((slot, self._buried(slot)))
        return received

    def kill(self, slot: str, reason: str) -> None:
        """SIGKILL to the worker's process group."""
        worker = self._workers.get(slot)
        if worker is not None:
            worker.killed_for = worker.killed_for or reason
            _kill_group(worker.process)

    def pid(self, slot: str) -> int | None:
        """The worker's process id."""
        worker = self._workers.get(slot)
        return worker.process.pid if worker else None

    def close(self, grace_s: float = 0.0) -> None:
        """Ask all to stop, wait together, then kill what is left."""
        for slot in self._workers:
            self.send(slot, StopWorker())
        until = time.monotonic() + grace_s
        for worker in self._workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=max(0.0, until - time.monotonic()))
        for worker in self._workers.values():
            _kill_group(worker.process)
        for slot in list(self._workers):
            self._buried(slot)

    def _drained(self, slot: str) -> list[Event | WorkerLost]:
        """Everything that a channel holds now, to its end if it has one."""
        worker = self._workers[slot]
        received: list[Event | WorkerLost] = []
        while worker.end.ready():
            try:
                received.append(worker.end.receive())
            except Disconnected:
                return [*received, self._buried(slot)]
            except ProtocolFault as fault:
                worker.killed_for = worker.killed_for or f"sent bytes that are no message ({fault})"
                return [*received, self._buried(slot)]
        return received

    def _buried(self, slot: str) -> WorkerLost:
        """Make sure that the process group is gone, and say why."""
        worker = self._workers.pop(slot)
        try:
            # An end-of-file comes a little before the exit.
            code = worker.process.wait(timeout=0.0 if worker.killed_for else 0.5)
        except subprocess.TimeoutExpired:
            code = None
        _kill_group(worker.process)
        worker.process.wait()
        worker.end.close()
        return WorkerLost(reason=worker.killed_for or _how_it_ended(code))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        # The group outlives its leader, so this reaches what a dead worker has started.
        os.killpg(process.pid, signal.SIGKILL)


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "closed its channel"
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        return f"killed by {names.get(-code, f'signal {-code}')}"
    return f"exit code {code}"


BACKEND = LocalBackend
