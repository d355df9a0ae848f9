"""A fit looked at while it runs: its validation loss at a few points, and whether that is hopeless.

A model of many small steps (trees, epochs) has come about as far as steps times learning rate say: ten steps of 0.1
are like fifty of 0.02. So losses of different learning rates are compared at the same product, the *progress*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: The parameter that says how far a step goes.
STEP_SIZE = "learning_rate"
#: Folds whose fits are watched: the first two, where a hopeless trial has not been found out yet.
WATCHED_STEPS = 2
#: Progress at which the loss is noted.
CHECKPOINTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)


class FitWatch:
    """Notes the lowest loss so far at each checkpoint; asks the fit to stop where that is above the limit."""

    def __init__(self, learning_rate: float, limits: Sequence[float | None]) -> None:
        """``limits``: by checkpoint, the loss above which the fit is of no use; none, or fewer, for no limit."""
        #: Iterations done at each checkpoint.
        self.steps = [math.ceil(point / learning_rate) for point in CHECKPOINTS]
        self._limits = limits
        self._lowest = math.inf
        #: Losses at the checkpoints that were reached.
        self.curve: list[float] = []
        #: The fit was asked to stop.
        self.cut = False

    def __call__(self, iteration: int, loss: float) -> bool:
        """Called after each iteration, 0 for the first; whether the fit shall stop."""
        self._lowest = min(self._lowest, loss)
        while len(self.curve) < len(self.steps) and iteration + 1 >= self.steps[len(self.curve)]:
            position = len(self.curve)
            self.curve.append(self._lowest)
            limit = self._limits[position] if position < len(self._limits) else None
            # A loss that is no number leaves infinity here, and is for the fold's score to find.
            self.cut = self.cut or (limit is not None and limit < self._lowest < math.inf)
        return self.cut

    def completed_curve(self) -> tuple[float, ...]:
        """The loss at every checkpoint, to seven digits; a fit that ended before one had its lowest loss there.

        Empty where the fit told no loss, or one that is no number.
        """
        losses = self.curve + [self._lowest] * (len(CHECKPOINTS) - len(self.curve))
        return tuple(float(f"{loss:.7g}") for loss in losses) if all(map(math.isfinite, losses)) else ()


def watched(params: Mapping[str, Any], limits: Sequence[float | None]) -> FitWatch | None:
    """A watch for a fit with these parameters; ``None`` where the family does not learn in steps."""
    rate = step_size(params)
    return FitWatch(rate, limits) if rate is not None else None


def step_size(params: Mapping[str, Any]) -> float | None:
    """How far a step of a fit with these parameters goes; ``None`` where the family does not learn in steps."""
    rate = params.get(STEP_SIZE)
    return rate if isinstance(rate, float | int) and rate > 0 else None


def kind_of_loss(params: Mapping[str, Any]) -> str:
    """What the loss of a fit depends on besides the data: only losses of one kind are compared."""
    return "/".join(str(params[name]) for name in ("objective", "class_weight") if name in params)
