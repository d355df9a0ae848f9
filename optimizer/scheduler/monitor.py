"""What the run and the machine use, measured once a second."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import psutil

from optimizer.child import Child
from optimizer.gpus import GpuLoad
from optimizer.status import MachineStatus


class ProcessLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, with what it started."""

    #: Cores in use; 1.0 is one core.
    cpu: float = 0.0
    rss_mb: float = 0.0
    #: Without file pages that are mapped, which the workers share.
    private_mb: float = 0.0


class Monitor:
    """Keeps the counters between two measurements."""

    def __init__(self, gpu_child: Child | None) -> None:
        self._gpu_child = gpu_child
        self._gpus: dict[str, GpuLoad] = {}
        self._processes: dict[int, psutil.Process] = {}
        self._cpu_seconds: dict[int, tuple[float, float]] = {}
        psutil.cpu_percent()

    def gpu(self, uuid: str) -> GpuLoad | None:
        """The latest figures of a card; ``None`` before the first or without NVML."""
        if self._gpu_child is not None:
            for line in self._gpu_child.lines():
                self._gpus = {g.uuid: g for g in msgspec.json.decode(line, type=list[GpuLoad])}
        return self._gpus.get(uuid)

    def worker(self, pid: int, now: float) -> ProcessLoad:
        """Cores in use since the last call, and resident memory; zeros for a process that is gone.

        Args:
            now: monotonic seconds.
        """
        try:
            process = self._processes.setdefault(pid, psutil.Process(pid))
            with process.oneshot():
                times = process.cpu_times()
                memory = process.memory_info()
        except psutil.Error:
            self._processes.pop(pid, None)
            return ProcessLoad()
        seconds = times.user + times.system + times.children_user + times.children_system
        before, at = self._cpu_seconds.get(pid, (seconds, now))
        self._cpu_seconds[pid] = (seconds, now)
        return ProcessLoad(cpu=max(0.0, seconds - before) / (now - at) if now > at else 0.0,
                           rss_mb=memory.rss / 2**20, private_mb=(memory.rss - memory.shared) / 2**20)

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


def over_cap(loads: Mapping[str, ProcessLoad], caps: Mapping[str, float]) -> list[tuple[str, float]]:
    """Slots whose worker holds more memory than the slot may, with the MiB that it holds."""
    return [(slot, load.private_mb) for slot, load in loads.items() if load.private_mb > caps[slot]]
