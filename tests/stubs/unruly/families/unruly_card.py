"""Says of its card what the parameter ``x`` asks for: that it is full, or that it is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class Failing(Planted):
    """See above."""

    devices = ("cpu", "gpu")

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """As XGBoost says it."""
        raise RuntimeError("std::bad_alloc: cudaErrorMemoryAllocation: out of memory" if params["x"] < 0.5 else
                           "cudaErrorIllegalAddress: an illegal memory access was encountered")


FAMILY = Failing("unruly_card")
