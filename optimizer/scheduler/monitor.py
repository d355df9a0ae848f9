"""What the run and the machine use, measured once a second."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from optimizer.child import Child
from optimizer.gpus import GpuLoad
from optimizer.process import ProcessStat, descendants, process_stat, resident_and_shared, waited_s
from optimizer.status import MachineStatus

#: Seconds after which a card's figures say nothing of it any more.
GPU_OLD_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, with what it started."""

    #: Cores in use; 1.0 is one core.
    cpu: float = 0.0
    rss_mb: float = 0.0
    #: CPU seconds of the worker and of all that it started, those that have ended included; never falls.
    cpu_s: float = 0.0
    #: Seconds that the worker was ready to go on and others had its core; never falls.
    waited_s: float = 0.0


@dataclass
class _Seen:
    """A worker at the last look."""

    #: Tells it from another process under the same number.
    start: int
    at: float
    #: CPU ticks of the processes that lived then.
    ticks: int
    #: Ticks so far: what the tree has gained between the looks, so that a process that vanishes takes nothing away.
    total: int
    tree: tuple[int, ...]


class Monitor:
    """Keeps the counters between two measurements."""

    def __init__(self, gpu_child: Child | None) -> None:
        self._gpu_child = gpu_child
        self._gpus: dict[str, GpuLoad] = {}
        self._gpus_at = 0.0
        self._seen: dict[int, _Seen] = {}
        #: As they were at the look before the last, and at the last.
        self._oom_kills = (_oom_kills(), _oom_kills())
        psutil.cpu_percent()

    def gpu(self, uuid: str) -> GpuLoad | None:
        """The latest figures of a card; ``None`` without NVML, before the first, and where they are old."""
        if self._gpu_child is not None:
            for line in self._gpu_child.lines():
                self._gpus = {g.uuid: g for g in msgspec.json.decode(line, type=list[GpuLoad])}
                self._gpus_at = time.monotonic()
        return self._gpus.get(uuid) if time.monotonic() - self._gpus_at < GPU_OLD_S else None

    def worker(self, pid: int, now: float) -> ProcessLoad:
        """Cores in use since the last call, and memory, of a process and its descendants; zeros for one that is gone.

        Args:
            now: monotonic seconds.
        """
        own = process_stat(pid)
        if own is None:
            self._seen.pop(pid, None)
            return ProcessLoad()
        tree = (pid, *descendants(pid))
        ticks = _ticks([own, *(s for p in tree[1:] if (s := process_stat(p)) is not None)])
        before = self._seen.get(pid)
        if before is None or before.start != own.start:
            # The first look says nothing of the cores in use now.
            before = _Seen(start=own.start, at=now, ticks=ticks, total=ticks, tree=tree)
        gained = max(0, ticks - before.ticks)
        self._seen[pid] = _Seen(start=own.start, at=now, ticks=ticks, total=before.total + gained, tree=tree)
        resident, _ = _memory(tree)
        return ProcessLoad(
            cpu=gained / _TICKS / (now - before.at) if now > before.at else 0.0,
            rss_mb=resident / 2**20, cpu_s=(before.total + gained) / _TICKS, waited_s=waited_s(pid),
        )

    def private_mb(self, pid: int) -> float:
        """Memory in MiB that a worker and what it started hold alone; 0 for one that is gone.

        Cheap: one small file for each process, 16 microseconds measured, so that 64 workers four times a second
        cost 4 ms of a second. Descendants are those that the last `worker` saw.
        """
        seen = self._seen.get(pid)
        resident, shared = _memory(seen.tree if seen is not None else (pid,))
        return (resident - shared) / 2**20

    def helpers_mb(self, workers: Collection[int | None]) -> float:
        """Memory in MiB that the whole run holds alone, this process and all below it, without these workers."""
        theirs = {pid for worker in workers if worker is not None
                  for pid in (self._seen[worker].tree if worker in self._seen else (worker,))}
        own = os.getpid()
        resident, shared = _memory(tuple(pid for pid in (own, *descendants(own)) if pid not in theirs))
        return (resident - shared) / 2**20

    def oom_kill_was_new(self) -> bool:
        """Whether the kernel has just ended a process for want of memory that was not asked about yet; counts it.

        In a container the count may be the host's, so this alone blames nobody.
        """
        if _oom_kills() <= self._oom_kills[0]:
            return False
        self._oom_kills = (self._oom_kills[0] + 1, self._oom_kills[1])
        return True

    def look_at_oom_kills(self) -> None:
        """Once a second: what was counted before the last look is no news any more."""
        self._oom_kills = (max(self._oom_kills), _oom_kills())

    def machine(self, gpus: int) -> MachineStatus:
        """The whole machine."""
        memory = psutil.virtual_memory()
        cores = psutil.cpu_count() or 1
        return MachineStatus(
            cores=cores, cpu=psutil.cpu_percent() / 100 * cores, memory_mb=memory.total / 2**20,
            memory_used_mb=(memory.total - memory.available) / 2**20, gpus=gpus,
        )

    def close(self) -> None:
        """End the child that watches the cards."""
        if self._gpu_child is not None:
            self._gpu_child.kill()


def _oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How often the kernel has ended a process for want of memory, of the machine or of a cgroup, since its start."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _ticks(stats: list[ProcessStat]) -> int:
    return sum(s.ticks for s in stats)


def _memory(tree: tuple[int, ...]) -> tuple[int, int]:
    """Resident bytes of some processes, and how many of them are shared pages."""
    sizes = [resident_and_shared(pid) for pid in tree]
    return sum(resident for resident, _ in sizes), sum(shared for _, shared in sizes)
