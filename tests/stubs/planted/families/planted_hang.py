"""Hangs in C: no CPU, and no other thread of the process gets a turn."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class Hanging(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """Never returns; `PyDLL` keeps the interpreter's lock, as a bug in a library's own locks would."""
        while True:
            ctypes.PyDLL(None).sleep(10**6)


FAMILY = Hanging("planted_hang")
