"""Never gives back what a fit took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData

_LEAK: list[Any] = []


class Leaking(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """32 MiB more in every fold."""
        _LEAK.append(b"x" * (32 << 20))
        return super().fit(data, params, context)


FAMILY = Leaking("unruly_leak")
