"""Predicts what is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class NotANumber(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """As a fit that has diverged."""
        import numpy as np

        return Constant(np.full(max(1, data.n_classes), np.nan))


FAMILY = NotANumber("planted_nan")
