"""Out-of-fold plots and importances as plain, bounded values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from stubs.runs import FakeRun

from optimizer.records import TrialRecord
from optimizer.store import Store, to_stored
from optimizer.views.page import outoffold
from optimizer.views.page.importance import FEWEST, importance
from optimizer.views.page.outoffold import plots, plots_of
from optimizer.views.results import RunView

RANDOM = np.random.default_rng(0)


def test_two_classes_have_a_curve_of_the_last_and_the_area_that_scikit_learn_finds() -> None:
    from sklearn.metrics import roc_auc_score

    y = RANDOM.integers(0, 2, 3000)
    p = np.clip(0.5 + 0.3 * (y - 0.5) + RANDOM.normal(0, 0.2, 3000), 0.01, 0.99)
    stored = to_stored(np.column_stack([1 - p, p]), "binary")
    found = plots(y.astype(float), stored, "binary", ("no", "yes"))
    curve, = found["curves"]
    assert curve["label"] == found["positive"] == "yes"
    assert curve["roc"]["auc"] == pytest.approx(roc_auc_score(y, stored[:, 0]))
    assert (curve["roc"]["x"][0], curve["roc"]["y"][-1]) == (0.0, 1.0)
    assert sum(map(sum, found["confusion"]["counts"])) == 3000
    assert sum(found["calibration"][0]["rows"]) == 3000


def test_many_classes_stay_within_bounds() -> None:
    classes = tuple(f"c{k}" for k in range(60))
    y = RANDOM.integers(0, 60, 5000)
    p = RANDOM.dirichlet(np.ones(60), 5000)
    found = plots(y.astype(float), to_stored(p, "multiclass"), "multiclass", classes)
    assert len(found["curves"]) == outoffold.CURVE_CLASSES
    assert len(found["confusion"]["labels"]) == outoffold.MATRIX_CLASSES
    assert found["confusion"]["labels"][-1] == "37 others"
    assert sum(map(sum, found["confusion"]["counts"])) == 5000
    assert len(json.dumps(found)) < 120_000


def test_numbers_have_points_the_largest_misses_among_them() -> None:
    y = RANDOM.normal(size=20_000)
    guess = y + RANDOM.normal(0, 0.1, 20_000)
    guess[777] += 50
    found = plots(y, to_stored(guess, "regression"), "regression", ())
    off = np.array(found["points"]["predicted"]) - np.array(found["points"]["truth"])
    assert off.max() > 49
    assert len(off) <= outoffold.CLOUD_POINTS + 50
    assert sum(found["residuals"]["counts"]) == 20_000


def test_rows_that_were_never_validated_are_left_out() -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0])
    stored = np.array([[np.nan], [np.nan], [0.2], [0.9]], np.float32)
    assert plots(y, stored, "binary", ("a", "b"))["rows"] == 2
    assert "missing" in plots(y, np.full((4, 1), np.nan), "binary", ("a", "b"))


def test_predictions_that_are_not_there_are_named_and_no_fault(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.9)
    run.told("a/xgboost/1", 0.8, "pruned")
    run.told("a/xgboost/2", 0.8)
    run.event("predictions_evicted", trial="a/xgboost/2", bytes=1, reason="quota")
    view, store = RunView.open(tmp_path), Store(tmp_path)
    reasons = [plots_of(store, view.trial(f"a/xgboost/{n}"))["missing"] for n in range(3)]
    assert "cannot be read" in reasons[0]
    assert "pruned" in reasons[1]
    assert "evicted" in reasons[2]


def trial(number: int, score: float, **params: object) -> TrialRecord:
    return TrialRecord(trial=f"a/x/{number}", state="complete", attempt=1, params=params, space="s", seed=0, metric="m",
                       score=score, fold_scores=(score,), table="t")


def test_the_parameter_that_makes_the_score_is_the_important_one() -> None:
    found = importance([trial(n, (n % 17) / 17, depth=n % 17, noise=(n * 7919) % 101, kind="ab"[n % 2],
                              **({"rare": n % 3} if n % 2 else {})) for n in range(200)])
    assert found["parameters"][0]["name"] == "depth"
    assert found["parameters"][0]["share"] > 0.9
    assert found["explained"] > 0.8
    assert {p["name"] for p in found["parameters"]} == {"depth", "noise", "kind", "rare"}


def test_nothing_is_said_of_importance_without_enough_to_say_it_from() -> None:
    assert "needed" in importance([trial(n, n, depth=n) for n in range(FEWEST - 1)])["missing"]
    assert "two values" in importance([trial(n, n, depth=3) for n in range(FEWEST)])["missing"]
    assert "same" in importance([trial(n, 1.0, depth=n) for n in range(FEWEST)])["missing"]
