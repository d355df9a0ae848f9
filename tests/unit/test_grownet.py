"""GrowNet: its gradients are those of its loss, each step of the paper lowers it, and scikit-learn's rules are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from optimizer.models.grownet import GrowNetClassifier, GrowNetRegressor

SMALL = {"learners": 4, "units": 6, "random_state": 0}


def a_table(rows: int = 200) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Three columns, and a value that is not linear in them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3))
    return x, np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]


# A row of weight 0 changes which rows share a batch, so that it is not quite as if it were not there.
BATCHES = {"check_sample_weight_equivalence_on_dense_data": "minibatches are drawn of all rows"}


@parametrize_with_checks(
    [GrowNetRegressor(learners=6, units=16, adam_rate=0.02, epochs=8, learning_rate=1.0),
     GrowNetClassifier(learners=6, units=16, adam_rate=0.02, epochs=8, learning_rate=1.0)],
    expected_failed_checks=lambda estimator: BATCHES)
def test_scikit_learn_s_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", [GrowNetRegressor, GrowNetClassifier])
def test_the_gradients_of_the_corrective_step_are_those_of_the_loss(kind: Any) -> None:
    x, y = a_table(30)
    y = y if kind is GrowNetRegressor else np.digitize(y, [-0.5, 0.5])
    model = kind(**SMALL, alpha=0.0).fit(x, y)
    truth, ones = model._truth(y), np.ones(len(x))
    arrays = [model.counts_, *(a for learner in model.learners_ for a in learner.values())]
    rng = np.random.default_rng(1)

    for array, slopes in zip(arrays, model._slopes(x, truth, ones), strict=True):
        assert slopes.shape == array.shape
        for _ in range(3):
            place = tuple(int(rng.integers(size)) for size in array.shape)
            before, step = array[place], 1e-6
            losses = []
            for moved in (before + step, before - step):
                array[place] = moved
                losses.append(model._loss(x, truth, None))
            array[place] = before
            assert slopes[place] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=2e-6)


def test_each_learner_sees_the_features_of_the_one_before_it() -> None:
    x, y = a_table()
    model = GrowNetRegressor(**SMALL).fit(x, y)

    assert [learner["w1"].shape[0] for learner in model.learners_] == [3, 3 + 6, 3 + 6, 3 + 6]


@pytest.mark.parametrize("kind", [GrowNetRegressor, GrowNetClassifier])
def test_the_corrective_step_lowers_the_loss(kind: Any) -> None:
    x, y = a_table()
    y = y if kind is GrowNetRegressor else (y > 0).astype(int)

    plain, corrected = (kind(**SMALL, corrective_epochs=epochs).fit(x, y) for epochs in (0, 3))

    assert corrected._loss(x, corrected._truth(y), None) < plain._loss(x, plain._truth(y), None)


def test_more_learners_lower_the_loss_until_validation_says_otherwise() -> None:
    x, y = a_table(400)
    told: list[tuple[int, float]] = []

    model = GrowNetRegressor(learners=40, units=6, adam_rate=0.02, epochs=10, random_state=0).fit(
        x[:200], y[:200], validation=(x[200:], y[200:], None),
        on_iteration=lambda number, loss: told.append((number, loss)) is not None)

    losses = [loss for _, loss in told]
    assert min(losses) < 0.5 * losses[0]
    assert model.n_iter_ == losses.index(min(losses)) + 1 == len(model.learners_)
    assert len(told) <= model.n_iter_ + 4, "it ended when nothing better had come for a while"


def test_whoever_listens_can_end_it() -> None:
    x, y = a_table()
    model = GrowNetRegressor(**SMALL).fit(x, y, validation=(x, y, None), on_iteration=lambda number, _: number == 1)

    assert model.n_iter_ <= 2
