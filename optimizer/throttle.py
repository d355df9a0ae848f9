"""The governor's other end: what the scheduler tells it, and what it does when the governor is gone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from optimizer.companion import Companion
from optimizer.process import signal_group, start_time
from optimizer.standstill import Standstill

#: At work it speaks each second; one that is silent for longer hangs, and whom it has stopped with it.
_SILENT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A process group that is stopped and let go on as a whole."""

    leader: int
    #: Where its seconds are counted.
    position: int
    #: Cores that it uses when it works.
    cores: float


class Governing(msgspec.Struct, frozen=True, kw_only=True):
    """What the governor says of itself."""

    #: Cores that the run may use now.
    allowed: float
    #: Cores that others use.
    others: float
    stepping_back: bool


class Throttle:
    """Keeps a governor alive and told; without one nobody is stopped."""

    def __init__(self, standstill: Standstill, cores: Sequence[int], log: Path, *, steps_back: bool) -> None:
        """Nothing starts before it is needed: a limit below all cores, or others to step back for.

        Args:
            cores: those that the run may use.
            log: what the governor has to say in words, which should be nothing.
            steps_back: whether others who work on these cores go first.
        """
        self._cores = len(cores)
        self._steps_back = steps_back
        self._limit = float("inf")
        #: Name to group, and when its leader was started.
        self._told: dict[str, tuple[Target, int]] = {}
        self._governor = Companion(
            [sys.executable, "-P", "-m", "optimizer.governor", str(os.getpid()), str(standstill.descriptor),
             ",".join(map(str, cores)), str(int(steps_back))],
            log, folder=log.parent, inherits=(standstill.descriptor,), answers=True)
        self._state: Governing | None = None
        #: When it was heard last.
        self._heard_at = 0.0

    def limit(self, cores: float) -> None:
        """From now on the run uses so many cores: infinite for all, 0 for none."""
        if cores != self._limit:
            self._limit = cores
            # A sleeping governor had nothing to say until now.
            self._heard_at = time.monotonic()
            self._governor.tell(f"limit {cores}\n")

    def look(self, targets: Mapping[str, Target]) -> Governing | None:
        """Tell what is new, start a governor where one is wanted and none lives; what it does, as far as it said.

        Args:
            targets: by name, the groups that may be stopped now; others go on.
        """
        for name in [n for n in self._told if self._told[n][0] != targets.get(n)]:
            del self._told[name]
            self._governor.tell(f"- {name}\n")
        for name, target in targets.items():
            start = start_time(target.leader) if name not in self._told else None
            if start is not None:
                self._told[name] = target, start
                self._governor.tell(_line(name, target, start))
        # Heard first: it may be we who have stood still for so long.
        for line in self._governor.heard():
            self._heard_at = time.monotonic()
            self._state = msgspec.json.decode(line, type=Governing)
        if self._hangs():
            self._governor.kill()
        if self._governor.has_gone():
            self._let_all_go_on()
        if (self._steps_back or self._limit < self._cores) and self._governor.start(self._all):
            self._heard_at = time.monotonic()
        return self._state

    def close(self) -> None:
        """Let everybody go on, and end the governor."""
        if self._governor.pid is not None:
            self._governor.close()
            self._let_all_go_on()

    def _hangs(self) -> bool:
        # Once nothing limits it any more it says so at once; until then some may still be stopped.
        at_work = self._limit < self._cores or (self._state is not None and self._state.allowed < self._cores)
        return at_work and time.monotonic() > self._heard_at + _SILENT_S

    def _let_all_go_on(self) -> None:
        """Whom a governor that is gone has left stopped."""
        self._state = None
        for target, start in self._told.values():
            signal_group(target.leader, start, signal.SIGCONT)

    def _all(self) -> str:
        return f"limit {self._limit}\n" + "".join(_line(n, t, start) for n, (t, start) in self._told.items())


def _line(name: str, target: Target, start: int) -> str:
    return f"+ {name} {target.position} {target.leader} {start} {target.cores}\n"
