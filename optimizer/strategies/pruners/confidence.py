"""Prunes a trial that would need more luck than any has had to end among the best two.

The folds are the same for every trial, so what a running mean lacks to the final mean was measured on each complete
trial: its mean tells how much easier the folds done so far are than all of them, its spread how far a running mean
can be off. A trial is pruned where its running mean, corrected by the first and raised by `Z` times the second, still
stays behind the second best final score. This is the confidence bound of racing algorithms (Maron and Moore 1994)
with a paired estimate of the spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from optimizer.strategies.base import DecidedTrial, Pruner

#: Complete trials before anything is pruned.
STARTUP = 4
#: Standard deviations of benefit of the doubt.
Z = 2.0
#: The final score to be reached is the one of this rank: a single lucky best would be too high a bar.
RANK = 2


class ConfidencePruner(Pruner):
    """Gives up on what cannot be expected to matter."""

    looks_first = True

    def limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> tuple[float | None, ...]:
        """The lowest running mean (highest, where less is better) that may still end among the best two."""
        sign = 1.0 if maximize else -1.0
        complete = [[sign * m for m in t.running_means] for t in history
                    if t.complete and len(t.running_means) == steps]
        if len(complete) < STARTUP:
            return (None,) * steps
        finals = [means[-1] for means in complete]
        return (*(sign * _bar(finals, [means[step] for means in complete]) for step in range(steps - 1)), None)

    def look_limit(self, history: Sequence[DecidedTrial], *, maximize: bool) -> float | None:
        """The same of the first fit on a part of the rows, whose score is further from the final one."""
        sign = 1.0 if maximize else -1.0
        complete = [(sign * t.running_means[-1], sign * t.look) for t in history if t.complete and t.look is not None]
        if len(complete) < STARTUP:
            return None
        return sign * _bar([final for final, _ in complete], [look for _, look in complete])


def _bar(finals: Sequence[float], early: Sequence[float]) -> float:
    """The early score that ends at the one to be reached only with more luck than `Z` spreads; more is better."""
    target = sorted(finals, reverse=True)[RANK - 1]
    still_to_come = [final - score for final, score in zip(finals, early, strict=True)]
    # The spread is itself an estimate from few trials: widen it as for a prediction interval.
    spread = stdev(still_to_come) * math.sqrt(1 + 1 / len(finals))
    return target - fmean(still_to_come) - Z * spread


STRATEGY = ConfidencePruner()
