"""A tiny process that outlives the scheduler by a moment, to end what its workers have started.

The kernel ends a worker with its scheduler, but nothing that the worker started, and while C code holds the
interpreter the worker cannot do it either. So this one is told on standard input which process groups live,
``+ GROUP START`` and ``- GROUP``, and at the end of its input kills those that are left.

Run by its path, without site packages, so that it starts in milliseconds and nothing in it can go wrong with
theirs. It is deaf to every signal that a terminal or a person sends to a whole session.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping

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


if __name__ == "__main__":
    main()
