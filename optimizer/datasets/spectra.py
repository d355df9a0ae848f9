"""Whether the numeric columns of a table are a spectrum: many, in an order, and smooth along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

#: Columns that a spectrum has at least.
_FEWEST = 30
#: Rows that are looked at.
_ROWS = 500
#: Mean squared step from a column to the next, over the variance along the row: white noise has 2, a spectrum 0.01.
_ROUGHEST = 0.1
#: Correlation of neighbouring columns over the rows, of the middling pair.
_LEAST_ALIKE = 0.9


def is_spectrum(x: Floats, cardinalities: Sequence[int]) -> bool:
    """Whether the numeric columns of ``x``, (rows, columns) in the order of the table, are many, whole, and smooth."""
    import numpy as np

    numeric = [i for i, n in enumerate(cardinalities) if not n]
    if len(numeric) < _FEWEST:
        return False
    some = np.asarray(x[:_ROWS], dtype=np.float64)[:, numeric]
    if np.isnan(some).any() or len(some) < 3:
        return False
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = (np.diff(some, axis=1) ** 2).mean(axis=1)
        rough = np.median(steps / some.var(axis=1))
        spread = some.std(axis=0)
        z = (some - some.mean(axis=0)) / spread
        alike = np.nanmedian((z[:, 1:] * z[:, :-1]).mean(axis=0))
    return bool(rough < _ROUGHEST and alike > _LEAST_ALIKE)
