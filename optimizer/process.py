"""What a child process of ours does first, and how another process is recognised, measured and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
#: Of a run that lets others go first, and of its workers, for which nobody waits: a core that is fought for is shared
#: about nine to one, and seventy to one.
NICE, NICE_WORKER = 10, 19
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Whether this kernel tells the children of a task; most do.
_TASKS_TELL = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; exit now if it has ended already.

    The kernel watches the parent's *thread* that started us, so children are started from main threads only.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def step_back(nice: int = NICE) -> None:
    """Let the work of others on this machine go first, for this process and all that it starts.

    I/O follows the niceness by itself (ionice(1)); among sessions it counts for nothing where the kernel groups
    processes by them, see `step_back_as_session`.
    """
    with contextlib.suppress(OSError):  # a limit of the person's, or a kernel without it
        os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))


def step_back_as_session() -> None:
    """Give this process's own session the niceness that it inherited; only for one that leads a session of its own.

    Linux shares a core among sessions before it looks at the niceness of their processes (autogroup, sched(7)).
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if nice > 0 and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write(str(nice))


@dataclass(frozen=True)
class ProcessStat:
    """A process as the kernel tells of it."""

    #: ``R``, ``S``, ``D``, ``T`` or ``Z``.
    state: str
    #: When it was started, in clock ticks since boot.
    start: int
    #: CPU time of it and of its ended children, in clock ticks.
    ticks: int
    #: CPU time of it alone.
    own_ticks: int


def process_stat(pid: int) -> ProcessStat | None:
    """State, start and CPU time of a process; ``None`` where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    # Idle counts as sleeping, being traced as stopped, being taken away as ended.
    state = {"I": "S", "t": "T", "X": "Z", "x": "Z"}.get(fields[0].decode(), fields[0].decode())
    own, children = (sum(map(int, part)) for part in (fields[11:13], fields[13:15]))
    return ProcessStat(state, int(fields[19]), own + children, own)


def waited_s(pid: int) -> float:
    """Seconds that a process's main thread was ready and others had its core; 0 where the kernel does not count them.

    The second number of ``/proc/PID/schedstat`` (sched-stats, Documentation/scheduler of the kernel).
    """
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as stream:
            return int(stream.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def start_time(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; ``None`` where there is none (a zombie counts as none)."""
    stat = process_stat(pid)
    return None if stat is None or stat.state == "Z" else stat.start


def signal_group(leader: int, start: int, number: signal.Signals) -> bool:
    """Send a signal to a process group whose leader was started then; false where that one is gone, or not ours."""
    stat = process_stat(leader)
    if stat is None or stat.start != start:
        return False
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def descendants(pid: int) -> list[int]:
    """Every process that a process and its descendants have started, and that lives."""
    children = _children_of_task if _TASKS_TELL else _children_by_parent()
    found: list[int] = []
    left = [pid]
    while left:
        new = children(left.pop())
        found += new
        left += new
    return found


def _children_of_task(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as stream:
                found += map(int, stream.read().split())
    except OSError:
        pass  # it, or the thread, has ended meanwhile
    return found


def _children_by_parent() -> Callable[[int], list[int]]:
    """For kernels whose tasks do not tell their children: one walk over all processes."""
    by_parent: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    parent = int(stream.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            by_parent.setdefault(parent, []).append(int(name))
    return lambda pid: by_parent.get(pid, [])


def peak_rss_mb() -> float:
    """The most resident memory that this process has held since it began or the peak was set back, in MiB.

    Not by getrusage(2), which on Linux counts what the parent held when it started us.
    """
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_and_shared(pid: int) -> tuple[int, int]:
    """Bytes of a process that are in memory, and how many of them are pages of files; zeros where there is none."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as stream:
            fields = stream.read().split()
    except OSError:
        return 0, 0
    return int(fields[1]) * _PAGE, int(fields[2]) * _PAGE
