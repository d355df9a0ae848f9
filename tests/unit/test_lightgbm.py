"""LightGBM: what is kept of a training, and which of its models is the best."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from stubs.fits import long_fit

from optimizer.contract.tables import METRIC, context, fold_of, make_table, start, summary
from optimizer.metrics import get_metric
from optimizer.models import lightgbm
from optimizer.models.base import FoldCache
from optimizer.models.boosting import LOOK_EVERY


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
def test_the_model_is_the_best_that_training_saw_where_some_iterations_find_no_split(task: str) -> None:
    x, y, cardinalities = make_table(task, rows=2000)
    # Few rows and columns at a time: many an iteration finds nothing worth a tree, and a later one does.
    params = start(lightgbm.FAMILY, summary(task), iterations=300, bagging_fraction=0.3, feature_fraction=0.4,
                   extra_trees=True, min_gain_to_split=6.0)
    data = fold_of(x, y, cardinalities, task)
    losses: list[float] = []
    model = lightgbm.FAMILY.fit(data, params, context(METRIC[task], on_iteration=lambda _, loss: losses.append(loss)))
    assert model.best_iteration is not None
    assert model.best_iteration < losses.index(min(losses)) + 1, "some iterations left no tree"
    y_valid = data.y_valid.astype(np.float32)  # as the library keeps it
    score = get_metric(METRIC[task]).score(y_valid, model.predict(data.x_valid))
    assert score == pytest.approx(min(losses), rel=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_fit_on_rows_that_are_in_bins_already_takes_none_out_of_the_table(task: str) -> None:
    x, y, _ = make_table(task)
    data, params, cache = fold_of(x[:, [0, 2]], y, (0, 0), task), start(lightgbm.FAMILY, summary(task)), FoldCache()
    first = lightgbm.FAMILY.fit(data, params, context(METRIC[task], cache=cache))
    gone = dataclasses.replace(data, x=None)  # type: ignore[arg-type]
    again = lightgbm.FAMILY.fit(gone, params, context(METRIC[task], cache=cache))
    assert (first.predict(x[:, [0, 2]]) == again.predict(x[:, [0, 2]])).all()


@pytest.mark.parametrize("let_go", [False, True], ids=["kept", "let go"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_validation_rows_walk_only_the_trees_that_training_has_not_told_of(
    task: str, let_go: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    if let_go:
        monkeypatch.setattr(lightgbm, "_MOST_BYTES_OF_TRAINING", 0)
    model, data = long_fit(lightgbm.FAMILY, task)
    predicted = model.predict(data.x_valid)

    walked: list[int] = []
    predict = model._booster.predict
    monkeypatch.setattr(model._booster, "predict", lambda *given, num_iteration, **more: (
        walked.append(num_iteration), predict(*given, num_iteration=num_iteration, **more))[1])
    np.testing.assert_allclose(model.predict_valid(data.x_valid), predicted, rtol=1e-9, atol=1e-12)
    assert sum(walked) <= 2 * LOOK_EVERY


def test_a_look_at_the_best_model_itself_leaves_no_tree_to_walk() -> None:
    raw = np.array([-0.5, 3.0])
    silent: Any = SimpleNamespace(num_model_per_iteration=lambda: 1)  # it cannot predict
    model = lightgbm.LightGBMModel(silent, task="binary", device="cpu", threads=1, best=7, known=(7, raw))
    assert (model.predict_valid(np.zeros((2, 1))) == model._from_raw(raw)).all()


def test_probabilities_that_end_at_one_and_at_nothing_stay_there() -> None:
    watch = lightgbm._Watch(None, "multiclass")
    watch.best = 20
    watch._look(np.array([[1.0, 0.0, 0.0]]), None)  # type: ignore[arg-type]
    known = watch.known.until(21)
    assert known is not None
    model = lightgbm.LightGBMModel(None, task="multiclass", device="cpu", threads=1, best=21)  # type: ignore[arg-type]
    assert model._from_raw(known[1] + np.array([[-3.0, 2.0, 1.0]])).tolist() == [[1.0, 0.0, 0.0]]
