"""A tiny process that outlives the scheduler by a moment, to end what its workers have started.

The kernel ends a worker with its scheduler, but nothing that the worker started, and while C code holds the
interpreter the worker cannot do it either. So this one is told on standard input which process groups live,
``+ GROUP START`` and ``- GROUP``, and at the end of its input kills those that are left; and, since a library may start
something in a session of its own, whoever has the run's mark in its environment (the first argument).

Run by its path, without site packages, so that it starts in milliseconds and nothing in it can go wrong with
theirs. It is deaf to every signal that a terminal or a person sends to a whole session.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

#: Seconds in which those with the mark are ended.
_MARKED_S = 1.5
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
            signal.SIGPIPE, signal.SIGALRM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def told(groups: dict[int, int], line: bytes) -> None:
    """Take one line into account: group to the start of its leader in clock ticks since boot."""
    words = line.split()
    if len(words) == 3 and words[0] == b"+":
        groups[int(words[1])] = int(words[2])
    elif len(words) == 2 and words[0] == b"-":
        groups.pop(int(words[1]), None)


def to_kill(groups: Mapping[int, int], start_of: Callable[[int], int | None]) -> list[int]:
    """The groups that are still those that were told of.

    A leader that is gone may have left others in its group, and while it has the kernel gives its number to nobody;
    a leader that started at another time is a stranger, and so is its group.
    """
    return [group for group, start in groups.items() if start_of(group) in (None, start)]


def leader_start(pid: int) -> int | None:
    """When a process was started; ``None`` where there is none. One that ended and was not waited for still counts."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[19])
    except OSError:
        return None


def end_marked(mark: bytes, seconds: float) -> None:
    """Kill every process that has this in its environment, and what these start meanwhile, for so long at most."""
    until = time.monotonic() + seconds
    while (found := [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _kill(pid, mark)]) and (
            time.monotonic() < until):
        time.sleep(0.01 * len(found[:5]))


def _kill(pid: int, mark: bytes) -> bool:
    """Kill it if it has the mark; whether it had."""
    if pid == os.getpid() or not _has(pid, mark):
        return False
    try:
        # Held while it is looked at once more: its number may be another's by now.
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if _has(pid, mark):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            return True
        return False
    except OSError:
        return False
    finally:
        os.close(process)


def _has(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return mark in stream.read().split(b"\0")
    except OSError:
        return False  # gone, or somebody else's


def main() -> None:
    """Read until the scheduler is gone, however it went, then kill what it left behind."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    rest = b""
    while block := os.read(0, 1 << 16):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            told(groups, line)
    for group in to_kill(groups, leader_start):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended with its worker
        except PermissionError as error:
            sys.stderr.write(f"process group {group} is not ours to kill: {error}\n")
    if len(sys.argv) > 1:
        end_marked(os.fsencode(sys.argv[1]), _MARKED_S)


if __name__ == "__main__":
    main()
