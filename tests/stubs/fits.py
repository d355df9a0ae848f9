"""Fits of shipped families that go on for some time after their best iteration."""

from __future__ import annotations

from typing import Any

from optimizer.contract.tables import METRIC, context, fold_of, make_table, start, summary
from optimizer.models.base import Family, FoldData
from optimizer.models.boosting import LOOK_EVERY


def long_fit(family: Family, task: str) -> tuple[Any, FoldData]:
    """A model whose training was looked at more than once before its best iteration, and its fold."""
    x, y, cardinalities = make_table(task, rows=2000)
    data, params = fold_of(x, y, cardinalities, task), start(family, summary(task), iterations=400)
    model = family.fit(data, params, context(METRIC[task]))
    assert model.best_iteration is not None
    assert 2 * LOOK_EVERY < model.best_iteration < 350, "the latest trees are none of the model's"
    return model, data
