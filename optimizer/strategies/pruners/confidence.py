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

import numpy as np
import numpy.typing as npt

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
        means = sign * np.asarray(
            [t.running_means for t in history if t.complete and len(t.running_means) == steps])
        if len(means) < STARTUP:
            return (None,) * steps
        return (*(sign * _bars(means[:, -1], means[:, :-1])).tolist(), None)

    def look_limit(self, history: Sequence[DecidedTrial], *, maximize: bool) -> float | None:
        """The same of the first fit on a part of the rows, whose score is further from the final one."""
        sign = 1.0 if maximize else -1.0
        known = sign * np.asarray(
            [(t.running_means[-1], t.look) for t in history if t.complete and t.look is not None])
        if len(known) < STARTUP:
            return None
        return float(sign * _bars(known[:, 0], known[:, 1:])[0])


def _bars(finals: npt.NDArray[np.float64], early: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By column the early score that ends at the one to be reached only with more luck than `Z` spreads.

    More is better; ``finals`` (trials,), ``early`` (trials, times).
    """
    target = np.sort(finals)[-RANK]
    still_to_come = finals[:, np.newaxis] - early
    # The spread is itself an estimate from few trials: widen it as for a prediction interval.
    spread = still_to_come.std(axis=0, ddof=1) * math.sqrt(1 + 1 / len(finals))
    bars: npt.NDArray[np.float64] = target - still_to_come.mean(axis=0) - Z * spread
    return bars


STRATEGY = ConfidencePruner()
