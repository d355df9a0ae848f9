"""A metric says what scikit-learn says, and says something sensible where scikit-learn would only warn."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sk

from optimizer.errors import UserError
from optimizer.metrics import METRICS, default_metric, get_metric

RNG = np.random.default_rng(7)
BINARY = RNG.integers(0, 2, 200).astype(float)
BINARY_P = np.clip(0.3 * BINARY + RNG.uniform(0, 0.7, 200), 0, 1)
BINARY_P2 = np.column_stack([1 - BINARY_P, BINARY_P])
MULTI = RNG.integers(0, 3, 300).astype(float)
MULTI_P = RNG.dirichlet([1, 1, 1], 300) * 0.6 + 0.4 * np.eye(3)[MULTI.astype(int)]
VALUES = RNG.uniform(1, 50, 100)
GUESSES = VALUES + RNG.normal(0, 3, 100)


@pytest.mark.parametrize(("name", "expected"), [
    ("accuracy", sk.accuracy_score(BINARY, BINARY_P > 0.5)),
    ("balanced_accuracy", sk.balanced_accuracy_score(BINARY, BINARY_P > 0.5)),
    ("f1", sk.f1_score(BINARY, BINARY_P > 0.5)),
    ("f1_macro", sk.f1_score(BINARY, BINARY_P > 0.5, average="macro")),
    ("mcc", sk.matthews_corrcoef(BINARY, BINARY_P > 0.5)),
    ("qwk", sk.cohen_kappa_score(BINARY, BINARY_P > 0.5, weights="quadratic")),
    ("roc_auc", sk.roc_auc_score(BINARY, BINARY_P)),
    ("average_precision", sk.average_precision_score(BINARY, BINARY_P)),
    ("log_loss", sk.log_loss(BINARY, BINARY_P)),
    ("brier", sk.brier_score_loss(BINARY, BINARY_P)),
])
def test_a_binary_metric_is_that_of_scikit_learn(name: str, expected: float) -> None:
    assert get_metric(name).score(BINARY, BINARY_P2) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "expected"), [
    ("accuracy", sk.accuracy_score(MULTI, MULTI_P.argmax(1))),
    ("balanced_accuracy", sk.balanced_accuracy_score(MULTI, MULTI_P.argmax(1))),
    ("f1_macro", sk.f1_score(MULTI, MULTI_P.argmax(1), average="macro")),
    ("mcc", sk.matthews_corrcoef(MULTI, MULTI_P.argmax(1))),
    ("qwk", sk.cohen_kappa_score(MULTI, MULTI_P.argmax(1), weights="quadratic")),
    ("roc_auc", sk.roc_auc_score(MULTI, MULTI_P, multi_class="ovr", average="macro")),
    ("average_precision", sk.average_precision_score(MULTI, MULTI_P, average="macro")),
    ("log_loss", sk.log_loss(MULTI, MULTI_P)),
])
def test_a_multiclass_metric_is_that_of_scikit_learn(name: str, expected: float) -> None:
    assert get_metric(name).score(MULTI, MULTI_P) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "expected"), [
    ("rmse", sk.root_mean_squared_error(VALUES, GUESSES)),
    ("mse", sk.mean_squared_error(VALUES, GUESSES)),
    ("rmsle", sk.root_mean_squared_log_error(VALUES, np.maximum(GUESSES, -0.9))),
    ("mae", sk.mean_absolute_error(VALUES, GUESSES)),
    ("medae", sk.median_absolute_error(VALUES, GUESSES)),
    ("mape", sk.mean_absolute_percentage_error(VALUES, GUESSES)),
    ("r2", sk.r2_score(VALUES, GUESSES)),
])
def test_a_regression_metric_is_that_of_scikit_learn(name: str, expected: float) -> None:
    guesses = np.maximum(GUESSES, -0.9) if name == "rmsle" else GUESSES
    assert get_metric(name).score(VALUES, guesses) == pytest.approx(expected, rel=1e-12)


def test_every_metric_that_is_promised_is_there_and_every_row_is_complete() -> None:
    assert set(METRICS) == {
        "accuracy", "balanced_accuracy", "f1", "f1_macro", "mcc", "roc_auc", "average_precision", "log_loss", "brier",
        "qwk", "rmse", "mse", "rmsle", "mae", "medae", "mape", "r2",
    }
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.direction in ("maximize", "minimize")
        assert metric.needs == "values" if metric.tasks == ("regression",) else metric.needs in (
            "labels", "probabilities")
        assert not metric.is_better(metric.worst, 0.5)
    assert [name for name, metric in METRICS.items() if metric.log_target] == ["rmsle"]


def test_the_brier_score_of_more_classes_sums_over_them() -> None:
    certain_and_wrong = np.array([[1.0, 0.0, 0.0]])
    assert get_metric("brier").score(np.array([1.0]), certain_and_wrong) == 2.0


def test_probabilities_kept_in_32_bits_are_scored_without_a_warning() -> None:
    exact = get_metric("log_loss").score(MULTI, MULTI_P)
    assert get_metric("log_loss").score(MULTI, MULTI_P.astype(np.float32)) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1_macro", "mcc", "qwk", "roc_auc",
                                  "average_precision", "log_loss", "brier"])
def test_a_fold_without_one_of_three_classes_still_has_a_score(name: str) -> None:
    rows = MULTI != 2
    assert math.isfinite(get_metric(name).score(MULTI[rows], MULTI_P[rows]))


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "f1_macro", "mcc", "qwk", "log_loss", "brier"])
def test_a_prediction_of_one_class_for_rows_of_one_class_warns_of_nothing(name: str) -> None:
    score = get_metric(name).score(np.zeros(4), np.tile([0.9, 0.1], (4, 1)))
    assert math.isfinite(score)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_ranking_rows_of_one_class_has_no_score(name: str) -> None:
    assert math.isnan(get_metric(name).score(np.zeros(4), np.tile([0.9, 0.1], (4, 1))))


def test_a_prediction_below_minus_one_does_not_end_a_logarithmic_metric() -> None:
    assert math.isfinite(get_metric("rmsle").score(np.array([1.0, 2.0]), np.array([-1.0, -5.0])))


def test_better_follows_the_direction_and_nan_is_never_better() -> None:
    auc, rmse = get_metric("roc_auc"), get_metric("rmse")
    assert auc.is_better(0.9, 0.8)
    assert not auc.is_better(0.8, 0.8)
    assert rmse.is_better(1.0, 2.0)
    assert rmse.is_better(1.0, math.nan)
    assert not rmse.is_better(math.nan, 1.0)
    assert not rmse.is_better(math.nan, math.nan)


@pytest.mark.parametrize(("alias", "name"), [
    ("auc", "roc_auc"), ("AUC", "roc_auc"), ("logloss", "log_loss"), ("log-loss", "log_loss"),
    ("quadratic_weighted_kappa", "qwk"), ("Balanced Accuracy", "balanced_accuracy"), ("f1", "f1"),
])
def test_a_metric_is_found_by_the_names_people_use(alias: str, name: str) -> None:
    assert get_metric(alias).name == name


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        get_metric("acuracy")


def test_a_metric_of_another_task_is_refused_with_those_that_fit() -> None:
    with pytest.raises(UserError, match="'f1' is for binary, and the task is multiclass; for multiclass: accuracy"):
        get_metric("f1").check_task("multiclass")
    get_metric("f1").check_task("binary")


def test_a_prediction_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        get_metric("roc_auc").score(BINARY, BINARY_P)


def test_the_usual_metric_follows_the_submission() -> None:
    assert default_metric("binary", "labels") == "accuracy"
    assert default_metric("binary", "probability") == "roc_auc"
    assert default_metric("multiclass", "probabilities") == "log_loss"
    assert default_metric("multiclass", None) == "accuracy"
    assert default_metric("regression", "values") == "rmse"


def test_the_table_of_metrics_and_the_problem_load_no_numerical_library() -> None:
    code = ("import sys, optimizer.metrics, optimizer.datasets.problem; "
            "print([m for m in ('numpy', 'pandas', 'pyarrow', 'sklearn') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
