"""Holds the children that prepare datasets to the run's limits, as workers are held: too much memory, or a hang."""

from __future__ import annotations

import math
from typing import Protocol

from optimizer.scheduler.memory import CRITICAL
from optimizer.scheduler.monitor import Monitor
from optimizer.scheduler.preparation import READERS, Preparation
from optimizer.scheduler.watchdog import IDLE_S, Limits, Look, Watchdog
from optimizer.standstill import Standstill

#: However long a table takes to be read, it is read while it uses the CPU or says how far it is.
_PATIENT = Limits(fold_s=math.inf, trial_s=math.inf)
#: A child that holds less than this share of the machine is not why its memory is at an end.
_MUCH = 0.1
#: Seconds until a table is tried again that takes more memory than the run may hold for now.
PUT_OFF_S = 60.0
_DOING = dict(zip(READERS, ("reading it", "asking the families for their search spaces"), strict=True))


class Sizes(Protocol):
    """MiB that the study file lets the run hold, and that the machine has."""

    @property
    def memory_mb(self) -> float:
        """That the run may hold."""
        ...

    @property
    def whole_memory_mb(self) -> float:
        """That there are."""
        ...


class ReaderWatch:
    """Looks at them from outside, and has `Preparation` end one that harms the run."""

    def __init__(self, preparation: Preparation, monitor: Monitor, standstill: Standstill) -> None:
        self._preparation = preparation
        self._monitor = monitor
        self._standstill = standstill
        self._watchdog = Watchdog()
        #: By reader, how long it had been stopped by the run at the last look.
        self._stood_s: dict[str, float] = {}

    def watch_memory(self, limit_mb: float, sizes: Sizes, available_mb: float) -> None:
        """End one that holds more than the whole run may, or all that the machine has left. Several times a second.

        Args:
            limit_mb: MiB that the run may hold now, which a person may have lowered for a while.
            available_mb: MiB that are free on the machine.
        """
        for name, pid in self._preparation.pids().items():
            held_mb = self._monitor.private_mb(pid)
            took = f"{_DOING[name]} took {held_mb:.0f} MiB of memory, and the whole run may hold"
            if held_mb > sizes.memory_mb:
                self._preparation.refuse(f"{took} {sizes.memory_mb:.0f} MiB; set memory_limit in [resources] higher"
                                         + (", or leave out rows or columns" if name == READERS[0] else ""))
            elif held_mb > limit_mb:
                self._preparation.put_off(f"waits: {took} {limit_mb:.0f} MiB for now", PUT_OFF_S)
            elif available_mb < CRITICAL * sizes.whole_memory_mb and held_mb > _MUCH * sizes.whole_memory_mb:
                self._preparation.fail(f"this machine had {available_mb:.0f} MiB of memory left, and {_DOING[name]} "
                                       f"took {held_mb:.0f} MiB")

    def look(self, now: float) -> None:
        """End one that has neither said nor computed anything for `IDLE_S`. Once a second.

        Args:
            now: monotonic seconds.
        """
        hung = self._watchdog.look(now, {name: self._look(name, pid, now)
                                         for name, pid in self._preparation.pids().items()})
        for one in hung:
            self._preparation.fail(f"{_DOING[one.slot]} hung: nothing came of it and it used no CPU time for "
                                   f"{IDLE_S:.0f} s")

    def _look(self, name: str, pid: int, now: float) -> Look:
        stood_s = self._standstill.seconds(self._standstill.positions[name])
        before, self._stood_s[name] = self._stood_s.get(name, stood_s), stood_s
        # By its pid: the next dataset is another process.
        load = self._monitor.worker(pid, now)
        return Look(lease=pid, steps_done=self._preparation.heard, cpu_s=load.cpu_s, waited_s=load.waited_s,
                    gpu_busy=False, limits=_PATIENT, stood_s=stood_s - before)
