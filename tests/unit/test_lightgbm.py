"""LightGBM: what is kept of a training, and what it knew of the validation rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from optimizer.contract.tables import METRIC, context, fold_of, make_table, start, summary
from optimizer.models import lightgbm
from optimizer.models.base import FoldCache


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_model_that_lets_its_training_go_predicts_the_same_bits(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, cardinalities = make_table(task)
    data, params = fold_of(x, y, cardinalities, task), start(lightgbm.FAMILY, summary(task))
    kept = lightgbm.FAMILY.fit(data, params, context(METRIC[task]))
    monkeypatch.setattr(lightgbm, "_MOST_BYTES_OF_TRAINING", 0)
    let_go = lightgbm.FAMILY.fit(data, params, context(METRIC[task]))
    assert (kept.predict(x) == let_go.predict(x)).all()
    assert kept.best_iteration == let_go.best_iteration


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_training_knows_what_the_best_trees_predict_of_plain_rows_and_is_not_trusted_with_gaps(task: str) -> None:
    x, y, _ = make_table(task, rows=2000)
    params = start(lightgbm.FAMILY, summary(task), iterations=400)
    data = fold_of(x[:, [0, 2]], y, (0, 0), task)
    model = lightgbm.FAMILY.fit(data, params, context(METRIC[task]))
    assert model.best_iteration is not None
    assert model.best_iteration < 350, "the latest trees are none of the model's"
    assert model.predicted_valid is not None
    np.testing.assert_allclose(model.predicted_valid, model.predict(data.x_valid), rtol=1e-9, atol=1e-12)
    for columns, cardinalities in (([0, 1], (0, 0)), ([0, 5], (0, 40))):
        odd = dataclasses.replace(data, x=x[:, columns], cardinalities=cardinalities, key=("odd", 0, 0))
        assert lightgbm.FAMILY.fit(odd, params, context(METRIC[task])).predicted_valid is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_fit_on_rows_that_are_in_bins_already_takes_none_out_of_the_table(task: str) -> None:
    x, y, _ = make_table(task)
    data, params, cache = fold_of(x[:, [0, 2]], y, (0, 0), task), start(lightgbm.FAMILY, summary(task)), FoldCache()
    first = lightgbm.FAMILY.fit(data, params, context(METRIC[task], cache=cache))
    gone = dataclasses.replace(data, x=None)  # type: ignore[arg-type]
    again = lightgbm.FAMILY.fit(gone, params, context(METRIC[task], cache=cache))
    assert (first.predict(x[:, [0, 2]]) == again.predict(x[:, [0, 2]])).all()
    assert (first.predicted_valid == again.predicted_valid).all()
