"""The process groups that must not outlive us, and the guard that sees to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from optimizer import guard
from optimizer.backoff import pause_s
from optimizer.process import start_time

#: The interpreter that we run in.
_PYTHON = sys.executable
#: Longest pause between two attempts to start a guard that does not live.
_LONGEST_PAUSE_S = 60.0
#: Seconds that a guard may take to end when it is told to.
_END_S = 2.0


class Groups:
    """What is alive, told to a guard of our own; a guard that is gone is replaced and told everything again."""

    def __init__(self, log: Path) -> None:
        """Nothing starts before the first group is added.

        Args:
            log: what the guard has to say, which should be nothing.
        """
        self._log = log
        self._groups: dict[int, int] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        #: When another may be started, and how often one was.
        self._start_from = 0.0
        self._starts = 0

    @property
    def guard_pid(self) -> int | None:
        """The guard's process, or ``None`` where none runs."""
        return self._guard.pid if self._guard is not None else None

    def add(self, leader: int) -> None:
        """From now on this group ends with us."""
        start = start_time(leader)
        if start is None:
            return  # gone already; who started it will see so
        self._groups[leader] = start
        self.look()
        self._tell(f"+ {leader} {start}\n")

    def remove(self, leader: int) -> None:
        """The group is gone."""
        if self._groups.pop(leader, None) is not None:
            self._tell(f"- {leader}\n")

    def look(self) -> None:
        """Start a guard where none lives, not more often than it makes sense; never waits."""
        if self._guard is not None and self._guard.poll() is None:
            return
        self._drop()
        now = time.monotonic()
        if not self._groups or now < self._start_from:
            return
        self._starts += 1
        self._start_from = now + pause_s(self._starts, first_s=0.25, most_s=_LONGEST_PAUSE_S)
        try:
            with self._log.open("ab") as log:
                self._guard = subprocess.Popen(
                    # Isolated, without site packages, by its path: nothing is loaded but this file.
                    [_PYTHON, "-I", "-S", guard.__file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                    stderr=log, cwd="/", start_new_session=True, bufsize=0,
                )
        except OSError:
            return  # no process, descriptor or room on the disk now; what it guards against is rare, and we try again
        assert self._guard.stdin is not None  # noqa: S101 - for the type checker
        os.set_blocking(self._guard.stdin.fileno(), False)
        for leader, start in self._groups.items():
            self._tell(f"+ {leader} {start}\n")

    def close(self) -> None:
        """Have the guard kill what is left, and end."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None  # noqa: S101 - for the type checker
        self._guard.stdin.close()
        try:
            self._guard.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(timeout=_END_S)
        self._guard = None
        self._groups.clear()

    def _tell(self, line: str) -> None:
        if self._guard is None or self._guard.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # gone: the next look starts another, which hears everything
            if self._guard.stdin.write(line.encode()) is None:
                # Somebody has stopped it, and the pipe is full: it guards nothing, and must not stop us.
                self._guard.kill()

    def _drop(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard = None
