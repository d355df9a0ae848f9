"""Memory as a budget: what a job reserves, whether it fits beside the others, and who holds too much.

The run's limit is for all its processes: a part is kept for the scheduler and its helpers, and the rest is for jobs. A
slot's share is that rest divided by the slots. A job whose family has needed more than that on this dataset reserves
what was needed, and waits until the others leave it room. Sizes are MiB of private memory: pages of mapped tables are
shared by all workers and count for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: A job may need this much more than the largest of its family so far.
MARGIN = 1.25
#: A job that died of its cap may hold this many times what it held at its death, if the run's limit allows it.
SECOND_CHANCE = 2.0
#: A cap this near to the run's limit cannot be raised.
WHOLE = 0.95
#: Kept for the scheduler, the recorder and the other helpers, of a small limit at most half.
HELPERS_MB = 256.0
#: The machine's free memory, as a share of all, below which no job starts, and below which one is ended.
SCARCE, CRITICAL = 0.03, 0.015


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A running job's memory."""

    slot: str
    held_mb: float
    reserved_mb: float
    #: What it may hold before it is ended.
    cap_mb: float


@dataclass(frozen=True, kw_only=True)
class TooMuch:
    """A job to be ended, and why."""

    job: Holding
    reason: str
    #: Nothing that it did: less memory is allowed than when it was given its own.
    lowered: bool = False


def for_jobs(limit_mb: float) -> float:
    """What of a run's limit is its jobs', and its workers' while they have none."""
    return max(limit_mb - HELPERS_MB, limit_mb / 2)


def reservation(*, peak_mb: float, share_mb: float, limit_mb: float) -> float:
    """What a job reserves, by the largest that its family has held on this dataset (0 while unknown)."""
    return min(limit_mb, max(peak_mb * MARGIN, share_mb))


def fits(wanted_mb: float, reserved_mb: Iterable[float], limit_mb: float) -> bool:
    """Whether a job may start beside those that have reserved this much; alone it always may."""
    others = sum(reserved_mb)
    # A hair of tolerance: shares are quotients and their sum is not quite the limit.
    return not others or others + wanted_mb <= limit_mb * (1 + 1e-9)


def too_much(holdings: Iterable[Holding], limit_mb: float, beyond_mb: float = 0.0) -> list[TooMuch]:
    """Jobs that hold more than they may: each over its own cap, or the greediest where the whole run is over.

    Args:
        beyond_mb: what the run's other processes hold of what is its jobs'. One job may hold what it has reserved all
            the same, as one always may start: it would be ended again and again.
    """
    jobs = list(holdings)
    largest = max((job.reserved_mb for job in jobs), default=0.0)
    limit_mb = max(limit_mb - beyond_mb, min(limit_mb, largest))
    over = [TooMuch(job=job, reason=(
        f"out of memory: held {job.held_mb:.0f} MiB of the {job.cap_mb:.0f} MiB that it may"))
        for job in jobs if job.held_mb > job.cap_mb]
    held = sum(job.held_mb for job in jobs)
    if not over and held > limit_mb:
        greediest = max(jobs, key=lambda job: job.held_mb - job.reserved_mb)
        lowered = sum(job.reserved_mb for job in jobs) > limit_mb * (1 + 1e-9)
        over = [TooMuch(job=greediest, lowered=lowered, reason=(
            f"out of memory: the run held {held:.0f} MiB of its {limit_mb:.0f} MiB, and this job "
            f"{greediest.held_mb:.0f} MiB with {greediest.reserved_mb:.0f} MiB reserved"))]
    return over


def second_chance(*, held_mb: float, cap_mb: float, limit_mb: float) -> float | None:
    """What a job that died of its memory reserves for another attempt; ``None`` where it had all there is."""
    if cap_mb >= WHOLE * limit_mb:
        return None
    return min(limit_mb, max(SECOND_CHANCE * held_mb, cap_mb))


def scarce(available_mb: float, whole_mb: float) -> str:
    """Why no job may start for want of memory on the machine, whoever took it; empty where there is enough."""
    if available_mb >= SCARCE * whole_mb:
        return ""
    return f"this machine has {available_mb:.0f} MiB of memory left of {whole_mb:.0f} MiB"


def to_give_back(available_mb: float, whole_mb: float, held_mb: Mapping[str, float]) -> str | None:
    """The slot whose job is ended for the sake of the machine: the largest, where next to nothing is left."""
    if available_mb >= CRITICAL * whole_mb or not held_mb:
        return None
    return max(held_mb, key=lambda slot: held_mb[slot])
