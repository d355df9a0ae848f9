"""What a trial that starts now must not fall behind: the pruner asked about one dataset and family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.curves import kind_of_loss
from optimizer.datasets.problem import Prepared
from optimizer.strategies.base import FitLimits, Pruner
from optimizer.study.searcher import Searcher

#: Rows from which on a trial begins with a fit on this share of the first fold's training rows.
LOOK_FROM_ROWS, LOOK_SHARE = 100_000, 0.1


class Bars:
    """The limits of one dataset and family, by what its searcher has been told."""

    def __init__(self, pruner: Pruner, searcher: Searcher, *, prepared: Prepared) -> None:
        self._pruner = pruner
        self._searcher = searcher
        self._rows = min(prepared.rows, searcher.space.max_rows or prepared.rows)
        self._steps = prepared.steps
        self._maximize = prepared.direction == "maximize"
        #: By kind of loss: of how many complete trials, and the limits inside fits.
        self._known: dict[str, tuple[int, FitLimits]] = {}

    def running_means(self) -> tuple[float | None, ...]:
        """For each step the running mean worse than which a trial is pruned."""
        return self._pruner.limits(self._searcher.history(), maximize=self._maximize, steps=self._steps)

    def inside_fits(self, params: Mapping[str, Any], complete: int) -> FitLimits | None:
        """The losses above which fits with these parameters are cut short; ``None`` where nobody looks.

        Args:
            complete: trials that are complete by now.
        """
        if not self._pruner.looks_inside:
            return None
        kind = kind_of_loss(params)
        known_from, limits = self._known.get(kind, (-1, ()))
        # They take as long as asking does, and change little from one trial to the next.
        if complete > max(known_from, 1.05 * known_from):
            limits = self._pruner.fit_limits(self._searcher.history(kind), steps=self._steps, maximize=self._maximize)
            self._known[kind] = complete, limits
        return limits

    def look(self) -> tuple[float, float | None]:
        """Share of the rows for a first, cheap fit, 0 for none, and the score worse than which a trial is pruned."""
        if not self._pruner.looks_first or self._rows < LOOK_FROM_ROWS:
            return 0.0, None
        return LOOK_SHARE, self._pruner.look_limit(self._searcher.history(), maximize=self._maximize)
