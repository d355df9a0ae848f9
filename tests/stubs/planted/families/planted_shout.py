"""Prints a gigabyte in every trial, past every stream of Python, and is well otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class Shouting(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """Prints in the first fold."""
        if data.key[1:] == (0, 0):
            block = (b"x" * 127 + b"\n") * (1 << 13)
            for _ in range(1024):
                os.write(1, block)
        return super().fit(data, params, context)


FAMILY = Shouting("planted_shout")
