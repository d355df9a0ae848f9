"""Cores and memory of this machine, the slots made of them, and pinning a process to a slot."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from optimizer.errors import ResourceError
from optimizer.gpus import Gpu

#: Every variable by which a numerical library can be told its number of threads.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)
#: Most CPU slots that are made without being asked, and the least memory of each in MiB; beyond, slots get more
#: threads.
MOST_CPU_SLOTS, LEAST_SLOT_MB = 64, 512
#: Most cores that feed one GPU.
MOST_FEEDERS = 4


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A place to run: a set of cores, perhaps one GPU, a memory cap."""

    name: str
    cores: tuple[int, ...]
    #: Threads that a fit may use.
    threads: int
    gpu: Gpu | None = None
    memory_mb: float = math.inf

    @property
    def kind(self) -> str:
        """``gpu`` or ``cpu``."""
        return "gpu" if self.gpu else "cpu"


class SlotPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of a run, and what the person should know of them."""

    slots: tuple[Slot, ...]
    notices: tuple[str, ...] = ()


#: Bytes that no machine has: version 1 of cgroups writes about so many for no limit.
_UNLIMITED = 1 << 60
#: Where the kernel shows cgroups, the machine's memory, and in which cgroups this process is.
_CGROUP, _MEMINFO, _OWN = Path("/sys/fs/cgroup"), Path("/proc/meminfo"), Path("/proc/self/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> tuple[int, ...]:
    """The cores that affinity and the cgroup's quota leave, never `os.cpu_count`."""
    cores = sorted(os.sched_getaffinity(0))
    quota = cpu_quota(_own_cgroups(cgroup, _read(_OWN)))
    return tuple(cores[: max(1, math.floor(quota))] if quota is not None else cores)


def cpu_quota(folders: Sequence[Path]) -> float | None:
    """Tightest ``cpu.max`` of a cgroup and its parents in cores, or ``None`` for no limit."""
    limits = []
    for folder in folders:
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def usable_memory_mb(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO, own: Path = _OWN) -> float:
    """Memory of the machine or, where that is less, of a cgroup that this process is in, in MiB.

    ``memory.high`` counts like ``memory.max``: above it the kernel slows every process of the group down.
    """
    return min([_machine_mb(meminfo.read_text(), "MemTotal"), *(limit for limit, _ in _memory_limits(cgroup, own))])


def available_memory_mb(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO, own: Path = _OWN) -> float:
    """Memory that can still be taken, in MiB: what the machine has left or, where that is less, a cgroup.

    Cached files that nobody has used lately count as free, for the kernel gives them up first. Never below 0.
    """
    left = [limit - used for limit, used in _memory_limits(cgroup, own)]
    # Where it cannot be read now, as for want of descriptors, nothing is known to be scarce.
    return max(0.0, min([_machine_mb(_read(meminfo), "MemAvailable"), *left]))


def _machine_mb(meminfo: str, key: str) -> float:
    lines = meminfo.splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:")), math.inf)


def _memory_limits(cgroup: Path, own: Path) -> list[tuple[float, float]]:
    """Limit and use in MiB of every cgroup with a limit, of version 2 and of version 1, parents included."""
    limits = []
    for folder, files, current, idle in _memory_groups(cgroup, _read(own)):
        set_here = [limit for file in files if (limit := _number(file)) is not None and limit < _UNLIMITED]
        if set_here:  # most have none, and this is asked several times a second
            limits.append((min(set_here) / 2**20, _used(folder, current, idle) / 2**20))
    return limits


@functools.lru_cache(maxsize=8)
def _memory_groups(cgroup: Path, own: str) -> tuple[tuple[Path, tuple[Path, ...], str, str], ...]:
    """Folder, files with limits, file with the use and name of what is cached, for each cgroup of this process."""
    second = [(folder, (folder / "memory.max", folder / "memory.high"), "memory.current", "inactive_file")
              for folder in _own_cgroups(cgroup, own)]
    first = [(folder, (folder / "memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
             for folder in _own_cgroups(cgroup / "memory", own, "memory")]
    return (*second, *first)


def _used(folder: Path, current: str, idle: str) -> int:
    """Bytes in use of a cgroup without the cached files that it would give up first."""
    words = (line.split() for line in _read(folder / "memory.stat").splitlines())
    cached = next((int(pair[1]) for pair in words if len(pair) == 2 and pair[0] == idle), 0)
    return max(0, (_number(folder / current) or 0) - cached)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def plan_slots(
    *, cores: Sequence[int], gpus: Sequence[Gpu], devices: Mapping[str, str], threads_per_slot: int | None,
    memory_mb: float,
) -> SlotPlan:
    """Cut cores and GPUs into slots.

    One slot per GPU with its feeder cores, the remaining cores in CPU slots. One core stays a CPU slot as long as
    any family needs one, even if GPUs must then share a feeder core: a GPU left idle costs more than a shared feeder.

    Args:
        devices: family name to ``gpu``, ``cpu`` or ``any``.

    Raises:
        ResourceError: a family could get no slot.
    """
    if not cores:
        raise ResourceError("no core is left to run on; raise resources.cores")
    for family, device in devices.items():
        if device == "gpu" and not gpus:
            raise ResourceError(
                f"{family} has device = \"gpu\" and there is no GPU on offer; set [family.{family}] device = \"any\" "
                "or \"cpu\", or see what `optimizer doctor` finds")
    wants_gpu = any(d in ("gpu", "any") for d in devices.values())
    needs_cpu = any(d == "cpu" for d in devices.values())
    may_use_cpu = any(d in ("cpu", "any") for d in devices.values())
    used_gpus = list(gpus) if wants_gpu else []
    notices = []
    if used_gpus and needs_cpu and len(cores) == 1:
        notices.append("1 core only: the GPUs and the CPU slot share it")
    keep = 1 if needs_cpu and len(cores) > 1 else 0
    slots: list[Slot] = []
    left = list(cores)
    if used_gpus:
        share = len(cores) // (len(used_gpus) + (1 if may_use_cpu else 0))
        feeders = max(1, min(MOST_FEEDERS, share))
        pool = list(cores) if not may_use_cpu else left[: max(1, min(feeders * len(used_gpus), len(cores) - keep))]
        if len(pool) < len(used_gpus):
            notices.append(f"{len(used_gpus)} GPUs share {len(pool)} feeder core{'s' if len(pool) > 1 else ''}; "
                           f"{len(used_gpus) + keep} cores would give each its own")
        for position, gpu in enumerate(used_gpus):
            own = tuple(pool[position :: len(used_gpus)]) or (pool[position % len(pool)],)
            slots.append(Slot(name=f"gpu{gpu.index}", cores=own, threads=len(own), gpu=gpu))
        left = [c for c in left if c not in pool] or (list(cores) if needs_cpu else [])
    if may_use_cpu and left:
        if threads_per_slot is not None and threads_per_slot > len(left):
            notices.append(f"threads_per_slot is {threads_per_slot}, and {len(left)} cores are left for CPU slots: "
                           f"one slot of {len(left)}")
        if threads_per_slot is None:
            count = max(1, min(len(left), MOST_CPU_SLOTS, int(memory_mb // LEAST_SLOT_MB) - len(slots)))
        else:
            count = max(1, len(left) // threads_per_slot)
        for i in range(count):
            own = tuple(left[i * len(left) // count : (i + 1) * len(left) // count])
            slots.append(Slot(name=f"cpu{i}", cores=own, threads=min(threads_per_slot or len(own), len(own))))
    names = [s.name for s in slots]
    slots = [msgspec.structs.replace(s, name=f"{s.name}.{i}") if names.count(s.name) > 1 else s
             for i, s in enumerate(slots)]
    cap = memory_mb / len(slots)
    return SlotPlan(slots=tuple(msgspec.structs.replace(s, memory_mb=cap) for s in slots), notices=tuple(notices))


def slot_environment(slot: Slot, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a slot's worker; it must be set before any numerical library is loaded."""
    environment = dict(base)
    environment.update(dict.fromkeys(THREAD_VARIABLES, str(slot.threads)))
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    # Empty means no GPU; unset would mean all of them.
    environment["CUDA_VISIBLE_DEVICES"] = slot.gpu.uuid if slot.gpu and slot.gpu.kind == "cuda" else ""
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def amount_of_cores(wanted: int | str, cores: Sequence[int]) -> tuple[int, ...]:
    """The first of these cores, by a number or a per cent such as ``50%`` (rounded, at least one)."""
    count = wanted if isinstance(wanted, int) else max(1, round(len(cores) * float(wanted.rstrip("%")) / 100))
    if count > len(cores):
        raise ResourceError(f"resources.cores asks for {count}; affinity and cgroup leave {len(cores)} here")
    return tuple(cores[:count])


def _own_cgroups(root: Path, own: str, controller: str = "") -> list[Path]:
    """The cgroup of a process and its parents up to the root, by ``/proc/PID/cgroup``; of version 1 by a controller.

    In a container the path may be one of the host's, which is not here; then the root is the container's own.
    """
    parts = [line.split(":", 2) for line in own.splitlines()]
    place = next((p[2] for p in parts if len(p) == 3 and controller in p[1].split(",")), "/")
    path = root / place.strip().lstrip("/")
    folders = [path, *path.parents]
    return [f for f in folders if f == root or root in f.parents]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
