"""Threads inside a fit against trials side by side: which cut of the CPU slots finishes most trials.

Joined slots run one job with the threads of all of them. That pays where single slots stand in each other's way (in
the memory bus, in a shared cache, in memory itself), and seldom otherwise, for no library is twice as fast on two
threads. What is compared are folds of the same trial, so that the parameters, which matter most, are the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

#: Another layout must finish this many times the trials to be taken: folds of one trial differ, too.
WORTH = 1.05
#: So many measurements decide at once where all of them stayed below this, or where their mean stays below what would
#: be worth it by so many standard errors: more would only cost.
FEW, HOPELESS, SURE = 3, 0.9, 3.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Folds of one trial, on a single slot beside busy ones and on joined slots."""

    family: str
    #: Slots that were joined.
    width: int
    #: Seconds of a fold on joined slots, and of one of as many iterations on the single slot, by the median there.
    joined_s: float
    single_s: float

    @property
    def gain(self) -> float:
        """Trials an hour on joined slots over those on the same slots singly."""
        return self.single_s / self.joined_s / self.width


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How many slots are joined, and why."""

    width: int
    reason: str


def widths(slots: int) -> tuple[int, ...]:
    """Slots that may be joined to one without leaving any over, smallest first."""
    return tuple(width for width in range(1, slots + 1) if slots % width == 0)


def blocks(slots: Sequence[str], width: int) -> tuple[tuple[str, ...], ...]:
    """Neighbouring slots that are joined; the first of each runs the jobs."""
    return tuple(tuple(slots[i : i + width]) for i in range(0, len(slots), width))


def gain_of(measured: Collection[Measured], width: int) -> float | None:
    """Trials an hour on slots joined by so many over those on single ones; ``None`` where nothing was measured.

    Families have equal shares of the time, so each counts the same.
    """
    families: dict[str, list[float]] = {}
    for one in measured:
        if one.width == width:
            families.setdefault(one.family, []).append(one.gain)
    return statistics.geometric_mean([statistics.median(gains) for gains in families.values()]) if families else None


def next_width(measured: Collection[Measured], slots: int, families: Collection[str], times: int,
               at_once: int) -> int | None:
    """The width that is to be measured next; ``None`` where enough is known.

    Wider ones are looked at only while the last one won: what two threads do badly, four do worse.

    Args:
        families: those that run.
        times: trials that are to be measured of each.
        at_once: jobs for which there is memory side by side.
    """
    for width in widths(slots)[1:]:
        gains = [m.gain * min(1.0, at_once * width / slots) / min(1.0, at_once / slots)
                 for m in measured if m.width == width]
        if _are_hopeless(gains):
            return None
        counts = [sum(m.family == family and m.width == width for m in measured) for family in families]
        if min(counts, default=times) < times:
            return width
        if rate_of(gain_of(measured, width), width, slots, at_once) < WORTH * rate_of(1.0, 1, slots, at_once):
            return None
    return None


def _are_hopeless(gains: Sequence[float]) -> bool:
    if len(gains) < FEW:
        return False
    logs = [math.log(gain) for gain in gains]
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    return max(gains) < HOPELESS or statistics.fmean(logs) + SURE * error < math.log(WORTH)


def rate_of(gain: float | None, width: int, slots: int, at_once: int) -> float:
    """Trials an hour, 1 being all slots singly with memory for all."""
    return (gain or 0.0) * min(1.0, at_once * width / slots)


def choose(measured: Collection[Measured], slots: int, at_once: int) -> Choice:
    """The width that finishes most trials, by what was measured."""
    gains = {width: gain for width in widths(slots) if (gain := gain_of(measured, width)) is not None}
    if not gains:
        return Choice(width=1, reason="nothing was measured")
    rates = {width: rate_of(gain, width, slots, at_once) for width, gain in gains.items()}
    single = rate_of(1.0, 1, slots, at_once)
    best = max(rates, key=lambda width: rates[width])
    width = best if rates[best] >= WORTH * single else 1
    return Choice(width=width, reason=_reason(measured, rates, single, width, slots, at_once))


def slot_words(count: int, threads: int) -> str:
    """``2 slots of 1 thread``."""
    return f"{count} slot{'s' * (count > 1)} of {threads} thread{'s' * (threads > 1)}"


def _reason(measured: Collection[Measured], rates: Mapping[int, float], single: float, width: int, slots: int,
            at_once: int) -> str:
    shown = width if width > 1 else max(rates, key=lambda w: rates[w])
    families = sorted({m.family for m in measured if m.width == shown})
    each = ", ".join(f"{f} {gain_of([m for m in measured if m.family == f], shown):.2f}" for f in families)
    memory = f"; there is memory for {at_once} at once" if at_once < slots else ""
    return (f"{shown} joined slots finish {rates[shown] / single:.2f} times the trials of the same slots singly "
            f"({each}){memory}")


def memory_for(limit_mb: float, needed_mb: float, slots: int) -> int:
    """Jobs of this size that memory holds side by side, one at least."""
    return slots if needed_mb <= 0 else max(1, min(slots, math.floor(limit_mb / needed_mb * (1 + 1e-9))))
