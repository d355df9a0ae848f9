"""Jobs evaluated in the scheduler's own process, one at a time, for a debugger (``optimizer run --debug``)."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

from optimizer.backends.base import WorkerLost
from optimizer.messages import Command, Event, JobRevoked, JobStarted, RevokeJob, RunJob, WorkerReady
from optimizer.resources import Slot
from optimizer.standstill import Standstill
from optimizer.worker import failed


class InlineBackend:
    """The backend of one process: a job runs inside `receive`."""

    def __init__(self, *, folder: Path, families: Sequence[str], standstill: Standstill | None = None) -> None:
        """``standstill`` is for workers that can be stopped."""
        self._folder = folder
        self._slots: dict[str, Slot] = {}
        self._jobs: deque[tuple[str, RunJob]] = deque()
        self._received: deque[tuple[str, Event | WorkerLost]] = deque()

    def start(self, slot: Slot, opencl: tuple[int, int] | None = None, reach: tuple[int, ...] = ()) -> None:
        """Nothing starts; the slot is ready at once. Nothing is pinned either."""
        self._slots[slot.name] = slot
        ready = WorkerReady(pid=os.getpid(), cores=slot.cores, threads=slot.threads, versions={})
        self._received.append((slot.name, ready))

    def send(self, slot: str, command: Command) -> None:
        """Queue a job, or take one back."""
        if slot not in self._slots:
            return
        if isinstance(command, RunJob):
            self._jobs.append((slot, command))
        elif isinstance(command, RevokeJob):
            for entry in [e for e in self._jobs if e[1].job.lease == command.lease]:
                self._jobs.remove(entry)
                self._received.append((slot, JobRevoked(lease=command.lease)))

    def receive(self, timeout_s: float, others: Sequence[Any] = ()) -> list[tuple[str, Event | WorkerLost]]:
        """Run the next job to its end, then say what happened."""
        if not self._received and self._jobs:
            self._run(*self._jobs.popleft())
        elif not self._received and others:
            connection.wait(list(others), timeout_s)
        received = list(self._received)
        self._received.clear()
        return received

    def kill(self, slot: str, reason: str) -> None:
        """Drop the slot's queued jobs; nothing runs between two calls."""
        if self._slots.pop(slot, None) is None:
            return
        self._jobs = deque(e for e in self._jobs if e[0] != slot)
        self._received.append((slot, WorkerLost(reason=reason)))

    def end(self, slot: str, reason: str) -> None:
        """As `kill`: nothing can hang between two calls."""
        self.kill(slot, reason)

    def pid(self, slot: str) -> int | None:
        """This very process."""
        return os.getpid() if slot in self._slots else None

    def close(self, grace_s: float = 0.0) -> None:
        """Drop what is queued."""
        self._jobs.clear()
        self._slots.clear()

    def _run(self, slot: str, command: RunJob) -> None:
        from optimizer.evaluation import evaluate, open_table
        from optimizer.models import load_family
        from optimizer.models.base import FoldCache
        from optimizer.store import Store

        job, begun = command.job, time.monotonic()
        store, cache = Store(self._folder), FoldCache()
        try:
            steps = open_table(store, job.workload.table, cache).meta.steps
            self._received.append((slot, JobStarted(lease=job.lease, steps=steps)))
            finished = evaluate(
                job, store=store, family=load_family(job.workload.family),
                threads=lambda: self._slots[slot].threads, opencl=None, cache=cache,
                emit=lambda event: self._received.append((slot, event)),
            )
            self._received.append((slot, finished))
        except Exception as error:
            if sys.gettrace() is not None:  # a debugger wants to see it where it happened
                raise
            self._received.append((slot, failed(job, error, time.monotonic() - begun)))


BACKEND = InlineBackend
