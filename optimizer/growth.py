"""When a worker has grown so much that a fresh one should take its place."""

from __future__ import annotations

import ctypes
import gc
import os
from collections import deque
from collections.abc import Sequence

from optimizer.models.base import FoldCache
from optimizer.process import resident_and_shared

#: Jobs that are looked back on: growth is what goes on over them, not what the first one needed.
WINDOW = 5
#: Growth that is never minded, in MiB, or as a share of what the slot may hold where that is more.
_FREE_MB = 512.0
_FREE_SHARE = 0.2
#: Of the room above the start, the share that growth may take at most: jobs need the rest.
_ROOM_SHARE = 0.5
#: Jobs after which a worker is replaced in any case; a start costs about as much as one of the shortest.
MOST_JOBS = 10_000
#: Jobs after a suspicion that came to nothing; an emptied cache is work for the next ones.
_PAUSE = 25


def should_recycle(baseline_mb: float, after_mb: Sequence[float], cap_mb: float | None, jobs: int) -> str:
    """Why a worker should be replaced between two jobs; empty where it should not.

    Args:
        baseline_mb: private memory right after its start, libraries loaded.
        after_mb: the same after each of the last jobs, oldest first, without what it keeps on purpose.
        cap_mb: what the slot may hold; ``None`` where nobody says.
        jobs: how many it has done.
    """
    if jobs >= MOST_JOBS:
        return f"has done {jobs} jobs"
    if len(after_mb) < WINDOW:
        return ""
    free = _FREE_MB
    if cap_mb is not None:
        free = min(max(_FREE_MB, _FREE_SHARE * cap_mb), max(0.0, _ROOM_SHARE * (cap_mb - baseline_mb)))
    window = after_mb[-WINDOW:]
    grown = window[-1] - baseline_mb
    if grown <= free or window[-1] - window[0] <= 0.1 * free:
        return ""
    return f"holds {grown:.0f} MiB more than at its start and {window[-1] - window[0]:.0f} more than {WINDOW} jobs ago"


class Growth:
    """Measures this process after each job."""

    def __init__(self, cap_mb: float | None) -> None:
        """The baseline is what is held now."""
        self._cap_mb = cap_mb
        self._baseline_mb = _private_mb()
        self._after_mb: deque[float] = deque(maxlen=WINDOW)
        self._jobs = 0
        #: The job from which on another suspicion is looked into.
        self._suspect_from = 0

    def after_job(self, cache: FoldCache) -> str:
        """Why this process should be replaced; empty where it should not. May empty the cache, to be sure."""
        self._jobs += 1
        self._after_mb.append(_private_mb() - cache.held_bytes / 2**20)
        if not self._decision() or self._jobs < self._suspect_from:
            return ""
        # Sure only without what waits to be collected, what the allocator holds back, and what is kept on purpose.
        for empty in (False, True):
            if empty:
                cache.clear()
            gc.collect()
            _return_free_pages()
            self._after_mb[-1] = _private_mb() - cache.held_bytes / 2**20
            if not self._decision():
                self._suspect_from = self._jobs + _PAUSE
                return ""
        return self._decision()

    def _decision(self) -> str:
        return should_recycle(self._baseline_mb, list(self._after_mb), self._cap_mb, self._jobs)


def _private_mb() -> float:
    resident, shared = resident_and_shared(os.getpid())
    return (resident - shared) / 2**20


def _return_free_pages() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's
        trim(0)
