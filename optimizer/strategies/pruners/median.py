"""Prunes a trial whose running mean is worse than the median of the running means at the same fold.

The field's usual rule (Golovin et al. 2017, section 3.2.2), but on running means at the same fold rather than on
the best value so far, which one lucky first fold would shield for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from optimizer.strategies.base import DecidedTrial, Pruner

#: Complete trials before anything is pruned.
STARTUP = 5


class MedianPruner(Pruner):
    """The better half goes on."""

    def limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> tuple[float | None, ...]:
        """The median at each step over every trial that got there, pruned ones included.

        Were pruned trials left out, each pruning would raise the bar for the next.
        """
        if sum(t.complete for t in history) < STARTUP:
            return (None,) * steps
        bars: list[float | None] = []
        for step in range(steps - 1):
            there = [t.running_means[step] for t in history if len(t.running_means) > step]
            bars.append(median(there) if len(there) >= STARTUP else None)
        return (*bars, None)


STRATEGY = MedianPruner()
