"""Never prunes."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.strategies.base import DecidedTrial, FitLimits


class NoPruner:
    """Every trial is evaluated on every fold."""

    looks_inside = False

    def limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> tuple[float | None, ...]:
        """No limit at any step."""
        return (None,) * steps

    def fit_limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> FitLimits:
        """None: it does not look into fits."""
        return ()


STRATEGY = NoPruner()
