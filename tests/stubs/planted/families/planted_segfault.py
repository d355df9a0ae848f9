"""Reads where nothing is."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class Segfaulting(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """Takes the process with it."""
        ctypes.string_at(0)
        return super().fit(data, params, context)


FAMILY = Segfaulting("planted_segfault")
