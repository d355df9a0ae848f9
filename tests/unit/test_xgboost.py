"""XGBoost: what training knows of the validation rows."""

from __future__ import annotations

from typing import Any

import pytest
from stubs.fits import long_fit

from optimizer.contract.tables import METRIC, context, fold_of, make_table, start, summary
from optimizer.models import xgboost
from optimizer.models.boosting import LOOK_EVERY


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_validation_rows_walk_only_the_trees_that_training_has_not_told_of_to_the_same_bits(
    task: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, data = long_fit(xgboost.FAMILY, task)
    predicted = model.predict(data.x_valid)

    walked: list[Any] = []
    predict = model._booster.inplace_predict
    monkeypatch.setattr(model._booster, "inplace_predict", lambda *given, iteration_range, **more: (
        walked.append(iteration_range), predict(*given, iteration_range=iteration_range, **more))[1])
    assert (model.predict_valid(data.x_valid) == predicted).all()
    ((first, last),) = walked
    assert last == model.best_iteration
    assert 0 < last - first <= 2 * LOOK_EVERY


def test_a_model_from_a_file_and_one_of_few_trees_know_nothing_and_predict_all_the_same(tmp_path: Any) -> None:
    x, y, cardinalities = make_table("regression")
    data = fold_of(x, y, cardinalities, "regression")
    for iterations in (LOOK_EVERY - 1, 400):
        params = start(xgboost.FAMILY, summary("regression"), iterations=iterations)
        model = xgboost.FAMILY.fit(data, params, context(METRIC["regression"]))
        model.save(tmp_path / "model.ubj")
        loaded = xgboost.FAMILY.load(tmp_path / "model.ubj", "regression", 0, 1, cardinalities)
        assert (loaded.predict_valid(data.x_valid) == model.predict_valid(data.x_valid)).all()
