"""Between folds as `confidence`; inside a fit it gives up where the loss so far foretells a score that cannot matter.

For each watched fold and checkpoint a line through the complete trials says which final score follows from which loss
at that point, and the scatter about it how far that can be off. A fit is cut short where even the upper end of the
prediction interval of its loss stays behind the third best final score. Where losses foretell little the scatter is
wide and nothing is cut. Learning curves of the same model family are an old guide to its end (Domhan et al. 2015); a
line in place of a model of curves needs ten trials and no assumption about their shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from optimizer.curves import CHECKPOINTS, WATCHED_STEPS
from optimizer.strategies.base import DecidedTrial, FitLimits
from optimizer.strategies.pruners.confidence import ConfidencePruner, Z

#: Complete trials before a fit is cut short.
STARTUP = 10
#: The final score to be reached is the one of this rank; losses foretell it less well than scores of folds do.
RANK = 3
#: Of more, only the latest are fitted: where the search is now.
LATEST = 200


class RacingPruner(ConfidencePruner):
    """Gives up on what cannot be expected to matter, inside fits too."""

    looks_inside = True

    def fit_limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> FitLimits:
        """The loss whose most hopeful prediction is the third best final score."""
        sign = 1.0 if maximize else -1.0
        # The last step has no limit: a trial that got there is complete.
        watched = min(steps - 1, WATCHED_STEPS)
        complete = [t for t in history if t.complete and len(t.running_means) == steps and len(t.curves) >= watched]
        if len(complete) < STARTUP:
            return ()
        scores = [sign * t.running_means[-1] for t in complete]
        target = sorted(scores, reverse=True)[RANK - 1]
        latest, their_scores = complete[-LATEST:], scores[-LATEST:]
        return tuple(
            tuple(highest_hopeful([t.curves[step][point] for t in latest], their_scores, target)
                  for point in range(len(CHECKPOINTS)))
            for step in range(watched))


def highest_hopeful(losses: Sequence[float], scores: Sequence[float], target: float) -> float | None:
    """The loss at which the upper end of the prediction interval of the score falls to the target.

    Scores are better the higher they are. ``None`` where no loss is hopeless: the line does not fall, or not by more
    than its own uncertainty.
    """
    count, mean, middle = len(losses), fmean(losses), fmean(scores)
    spread = sum((x - mean) ** 2 for x in losses)
    if not math.isfinite(spread) or spread <= 0:
        return None
    slope = sum((x - mean) * (y - middle) for x, y in zip(losses, scores, strict=True)) / spread
    left = sum((y - middle - slope * (x - mean)) ** 2 for x, y in zip(losses, scores, strict=True))
    scatter = math.sqrt(left / (count - 2))
    if slope >= 0 or -slope <= Z * scatter / math.sqrt(spread):
        return None

    def hope(distance: float) -> float:
        return middle + slope * distance + Z * scatter * math.sqrt(1 + 1 / count + distance**2 / spread) - target

    # It falls everywhere, for the line falls faster than the interval widens; so there is one root.
    low, high = -1.0, 1.0
    unit = math.sqrt(spread / count)
    while hope(low * unit) < 0 and low > -1e6:
        low *= 2
    while hope(high * unit) > 0 and high < 1e6:
        high *= 2
    for _ in range(60):
        between = (low + high) / 2
        low, high = (between, high) if hope(between * unit) > 0 else (low, between)
    return float(f"{mean + high * unit:.7g}")


STRATEGY = RacingPruner()
