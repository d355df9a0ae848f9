"""Which of a fold's training rows a fit is made on, where it is not made on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from optimizer.datasets.table import Table

    Rows = npt.NDArray[np.intp]


def subsample(table: Table, step: int, train: Rows, count: int) -> Rows:
    """So many of a step's training rows, in their order and the same for whoever asks; all where there are no more.

    Classes keep their proportions and have a row each, if there is room for them; of rows that are ordered by time,
    every stretch of the past keeps its proportion too, so that neither the latest nor the earliest are lost.
    """
    if count >= len(train):
        return train
    stratum = _strata(table, step, train)
    sizes = np.bincount(stratum)
    chance = np.random.default_rng(table.meta.seed)
    drawn = [chance.choice(np.flatnonzero(stratum == number), size=share, replace=False)
             for number, share in enumerate(proportional(sizes, count)) if share]
    rows: Rows = train[np.sort(np.concatenate(drawn))]
    return rows


def proportional(sizes: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """A count divided in proportion to these sizes, whole, with at least 1 for each that has any and for all of whom
    there is room."""
    if not sizes.sum():
        return np.zeros_like(sizes)
    exact = sizes * (count / sizes.sum())
    shares: npt.NDArray[np.intp] = np.floor(exact).astype(np.intp)
    if np.count_nonzero(sizes) <= count:
        shares = np.maximum(shares, np.minimum(sizes, 1))
    # What is left goes to those that lack most of their exact share; what is too much, those give that can best.
    while (left := count - int(shares.sum())) > 0:
        able = np.flatnonzero(shares < sizes)
        shares[able[np.argsort((shares - exact)[able], kind="stable")[:left]]] += 1
    while (over := int(shares.sum()) - count) > 0:
        able = np.flatnonzero(shares > 1)
        shares[able[np.argsort((exact - shares)[able], kind="stable")[:over]]] -= 1
    return shares


def _strata(table: Table, step: int, train: Rows) -> Rows:
    """A number for each row: its class, its stretch of time, both, or 0 where it has neither."""
    classes = max(1, len(table.meta.classes))
    stratum = table.y[train].astype(np.intp) if table.meta.classes else np.zeros(len(train), np.intp)
    if table.meta.fold_kind == "time":
        repeat, _ = divmod(step, table.meta.folds)
        stratum = stratum + classes * table.folds[repeat][train].astype(np.intp)
    return stratum
