"""What the nemesis does, and when: a timeline made of a seed alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

#: Faults by kind, as parts of 200.
COMPOSITION: dict[str, int] = {
    "kill_worker": 70,  # SIGKILL
    "segv_worker": 31,  # SIGSEGV
    "stop_worker": 8,  # SIGSTOP, SIGCONT later
    "kill_scheduler": 49,  # SIGKILL
    "term_scheduler": 4,
    "stop_scheduler": 3,
    "corrupt_database": 4,  # each of these three kills the scheduler first
    "cut_journal": 4,
    "garbage_in_journal": 4,
    "kill_recorder": 6,
    "stop_recorder": 2,
    "kill_publisher": 5,
    "kill_guard": 5,
    "fill_disk": 5,
}
#: Those that end the scheduler with SIGKILL, and those that end a worker.
SCHEDULER_KILLS = frozenset({"kill_scheduler", "corrupt_database", "cut_journal", "garbage_in_journal"})
WORKER_KILLS = frozenset({"kill_worker", "segv_worker"})


@dataclass(frozen=True)
class Fault:
    """One thing that is done to the run."""

    #: Seconds since the nemesis began.
    at_s: float
    kind: str
    #: 0 to 1: whatever there is to choose is chosen by it.
    draw: float
    #: Seconds, for what is stopped or filled and set right again.
    hold_s: float


def composed(number: int, parts: Mapping[str, int]) -> dict[str, int]:
    """So many faults shared out by these parts; each kind once at least, where the number allows it."""
    whole = sum(parts.values())
    exact = {kind: number * part / whole for kind, part in parts.items()}
    counts = {kind: max(1 if number >= len(parts) else 0, int(share)) for kind, share in exact.items()}
    by_rest = sorted(parts, key=lambda kind: exact[kind] - counts[kind], reverse=True)
    while sum(counts.values()) < number:
        counts[by_rest[0]] += 1
        by_rest = by_rest[1:] + by_rest[:1]
    while sum(counts.values()) > number:
        most = max(counts, key=lambda kind: (counts[kind], parts[kind]))
        counts[most] -= 1
    return counts


def timeline(seed: int, number: int, mean_gap_s: float, *, without: frozenset[str] = frozenset(),
             longest_hold_s: float = 20.0) -> list[Fault]:
    """The faults in their order: kinds shuffled, gaps exponential.

    ``without``: kinds that cannot be done here; their number goes to the others.
    """
    chance = random.Random(seed)
    parts = {kind: part for kind, part in COMPOSITION.items() if kind not in without}
    kinds = [kind for kind, count in composed(number, parts).items() for _ in range(count)]
    chance.shuffle(kinds)
    faults, at = [], 0.0
    for kind in kinds:
        at += chance.expovariate(1.0 / mean_gap_s)
        hold = min(longest_hold_s, 1.0 + chance.expovariate(1.0 / (0.35 * longest_hold_s)))
        faults.append(Fault(at_s=at, kind=kind, draw=chance.random(), hold_s=hold))
    return faults
