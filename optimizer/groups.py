"""The process groups that must not outlive us, and the guard that sees to it."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from optimizer import guard
from optimizer.companion import Companion
from optimizer.process import start_time

#: Tells apart those of one process.
_COUNT = itertools.count()


class Groups:
    """What is alive, told to a guard of our own; a guard that is gone is replaced and told everything again."""

    def __init__(self, log: Path) -> None:
        """Nothing starts before the first group is added.

        Args:
            log: what the guard has to say, which should be nothing.
        """
        self._groups: dict[int, int] = {}
        #: For the environment of what shall end with us: all that comes of it has the same, wherever it hides.
        self.mark = {"OPTIMIZER_RUN": f"{os.getpid()}-{start_time(os.getpid())}-{next(_COUNT)}"}
        # Isolated, without site packages, by its path: nothing is loaded but this file.
        self._guard = Companion([sys.executable, "-I", "-S", guard.__file__, "=".join(*self.mark.items())], log,
                                folder=Path("/"))

    @property
    def guard_pid(self) -> int | None:
        """The guard's process, or ``None`` where none runs."""
        return self._guard.pid

    def add(self, leader: int) -> None:
        """From now on this group ends with us."""
        start = start_time(leader)
        if start is None:
            return  # gone already; who started it will see so
        self.look()
        self._groups[leader] = start
        if not self._guard.start(self._all):
            self._guard.tell(_line(leader, start))

    def remove(self, leader: int) -> None:
        """The group is gone."""
        if self._groups.pop(leader, None) is not None:
            self._guard.tell(f"- {leader}\n")

    def look(self) -> None:
        """Start a guard where none lives, not more often than it makes sense; never waits."""
        self._guard.has_gone()
        if self._groups:
            self._guard.start(self._all)

    def close(self) -> None:
        """Have the guard kill what is left, and end."""
        self._guard.close()
        self._groups.clear()

    def _all(self) -> str:
        return "".join(_line(leader, start) for leader, start in self._groups.items())


def _line(leader: int, start: int) -> str:
    return f"+ {leader} {start}\n"
