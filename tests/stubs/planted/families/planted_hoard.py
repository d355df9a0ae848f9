"""Allocates without end, and touches what it got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class Hoarding(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """Never returns."""
        hoard = []
        while True:
            hoard.append(b"x" * (64 << 20))


FAMILY = Hoarding("planted_hoard")
