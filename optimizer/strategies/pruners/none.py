"""Never prunes."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.strategies.base import DecidedTrial, Pruner


class NoPruner(Pruner):
    """Every trial is evaluated on every fold."""

    def limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> tuple[float | None, ...]:
        """No limit at any step."""
        return (None,) * steps


STRATEGY = NoPruner()
