"""Seconds that workers were stopped by the run's own order, so that they count against nobody.

One number per slot, in memory that the governor writes and that scheduler and workers map. A worker reads its own
before and after a piece of work; the difference is not the work's.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Mapping, Sequence

_SECONDS = struct.Struct("d")


class Standstill:
    """The numbers of a run, by the position of their slot."""

    def __init__(self, descriptor: int, positions: Mapping[str, int] | None = None) -> None:
        """Map what is behind a descriptor, this process's own or an inherited one; raises `OSError`."""
        self.descriptor = descriptor
        #: Of each slot; empty in processes that are told theirs.
        self.positions = dict(positions or {})
        self._memory = mmap.mmap(descriptor, 0)

    @classmethod
    def of(cls, slots: Sequence[str]) -> Standstill:
        """Fresh memory without a name, which ends with the last process that has it; all numbers are 0."""
        descriptor = os.memfd_create("standstill")
        os.ftruncate(descriptor, max(1, len(slots)) * _SECONDS.size)
        return cls(descriptor, {name: i for i, name in enumerate(slots)})

    def seconds(self, position: int) -> float:
        """How long the worker in this slot, and those before it, were stopped in all."""
        return float(_SECONDS.unpack_from(self._memory, position * _SECONDS.size)[0])

    def add(self, position: int, seconds: float) -> None:
        """Count on; for the governor alone, before it lets the worker go on."""
        _SECONDS.pack_into(self._memory, position * _SECONDS.size, self.seconds(position) + seconds)


class _WorkingClock:
    """A clock that stands still while its process is stopped by the run's order."""

    def __init__(self) -> None:
        self._standstill: Standstill | None = None
        self._position = 0

    def follow(self, descriptor: int, position: int) -> None:
        """From now on leave out what is counted at this position of an inherited `Standstill`."""
        self._standstill, self._position = Standstill(descriptor), position

    def working_time(self) -> float:
        """Seconds of which only differences count, without those in which this process was stopped."""
        stopped = 0.0 if self._standstill is None else self._standstill.seconds(self._position)
        return time.perf_counter() - stopped


#: A property of the process, as its clock is: a worker follows its slot's number, all others just the time.
_clock = _WorkingClock()
follow, working_time = _clock.follow, _clock.working_time
