"""Evaluation: what is scored, stored, averaged, pruned and refused, told by a family whose predictions are known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables import write_table

from optimizer.errors import NotFiniteFault, StorageFault, WrongDeviceFault
from optimizer.evaluation import evaluate
from optimizer.messages import CrossValidation, Job, JobFinished, StepFinished
from optimizer.metrics import get_metric
from optimizer.models.base import FitContext, FoldCache, FoldData
from optimizer.models.boosting import patience
from optimizer.store import Store, from_stored

TRIAL = "made-up/stub/0"


class StubModel:
    """Predicts what it was told to, of each row."""

    best_iteration: int | None = 5

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], device: str) -> None:
        self._function = function
        self.device = device
        self.asked: list[int] = []

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.asked.append(len(x))
        return self._function(x)

    def save(self, path: Path) -> None:
        path.write_text("stub")


@dataclass
class StubFamily:
    """Fits nothing; the n-th fold gets the n-th function, or the last one."""

    functions: list[Callable[[np.ndarray], np.ndarray]]
    device: str = "cpu"
    name: str = "stub"
    suffix: str = ".stub"
    folds: list[FoldData] = field(default_factory=list)
    contexts: list[FitContext] = field(default_factory=list)
    models: list[StubModel] = field(default_factory=list)

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> StubModel:
        function = self.functions[min(len(self.folds), len(self.functions) - 1)]
        self.folds.append(data)
        self.contexts.append(context)
        self.models.append(StubModel(function, self.device))
        return self.models[-1]


class Run:
    """A store with one table, and evaluations of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root)
        self.steps: list[StepFinished] = []

    def evaluate(
        self, family: StubFamily, metric: str, *, cache: FoldCache | None = None, **workload: Any,
    ) -> JobFinished:
        workload = {"params": {"depth": 3}, **workload}
        job = Job(trial=TRIAL, attempt=1, lease=9, workload=CrossValidation(
            table="t0", family="stub", metric=metric, seed=100, **workload,
        ))
        return evaluate(
            job, store=self.store, family=family, threads=lambda: 1, opencl=(1, 2),  # type: ignore[arg-type]
            cache=cache or FoldCache(), emit=self.steps.append,
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def regression(run: Run, rows: int = 40, **options: Any) -> np.ndarray:
    """A table whose only column is its target; returns the target."""
    y = np.linspace(0.0, 8.0, rows)
    write_table(run.root, y[:, None], y, task="regression", **options)
    return y.astype(np.float64)


def binary(run: Run, rows: int = 40, **options: Any) -> np.ndarray:
    x = np.linspace(0.0, 1.0, rows)
    y = (np.arange(rows) % 3 == 0).astype(np.float64)
    write_table(run.root, x[:, None], y, task="binary", **options)
    return y


def column(x: np.ndarray) -> np.ndarray:
    return x[:, 0].astype(np.float64)


def off_by(error: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: column(x) + error


def as_probability(x: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - column(x), column(x)])


def test_the_score_is_the_mean_over_folds_with_its_standard_error(run: Run) -> None:
    regression(run)
    finished = run.evaluate(StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)]), "mae")
    assert finished.outcome == "complete"
    np.testing.assert_allclose(finished.fold_scores, [1, 2, 3, 6], atol=1e-6)
    assert finished.score == statistics.fmean(finished.fold_scores)
    assert finished.standard_error == pytest.approx(statistics.stdev([1, 2, 3, 6]) / 2)
    assert finished.pooled_score == pytest.approx(3.0, abs=1e-6)
    assert finished.best_iterations == (5, 5, 5, 5)
    assert len(finished.step_seconds) == 4
    assert finished.peak_rss_mb > 10


def test_every_step_is_reported_with_the_running_mean(run: Run) -> None:
    regression(run)
    run.evaluate(StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)]), "mae")
    assert [s.step for s in run.steps] == [0, 1, 2, 3]
    assert {s.lease for s in run.steps} == {9}
    np.testing.assert_allclose([s.running_mean for s in run.steps], [1, 1.5, 2, 3], atol=1e-6)


@pytest.mark.parametrize(("params", "iterations"), [({"learning_rate": 0.1}, 5 + patience(0.1)), ({"depth": 3}, 5)])
def test_every_step_tells_about_how_many_iterations_its_fit_took(
    run: Run, params: dict[str, object], iterations: int,
) -> None:
    regression(run)
    run.evaluate(StubFamily([off_by(1)]), "mae", params=params)
    assert {s.iterations for s in run.steps} == {iterations}


def test_a_model_that_knows_its_validation_rows_is_asked_as_one_that_does(run: Run) -> None:
    y = regression(run)
    family = StubFamily([off_by(1)])
    fit = family.fit

    def knowing(data: FoldData, params: Mapping[str, Any], context: FitContext) -> StubModel:
        model = fit(data, params, context)
        model.predict_valid = lambda x: data.y_valid + 2.0  # type: ignore[attr-defined]
        return model

    family.fit = knowing  # type: ignore[method-assign]
    finished = run.evaluate(family, "mae")
    assert finished.score == pytest.approx(2.0)
    np.testing.assert_allclose(run.store.read_predictions(TRIAL, 1).oof[0, :, 0], y + 2.0)
    assert all(model.asked == [] for model in family.models)


def test_each_score_follows_from_the_stored_predictions_bit_for_bit(run: Run) -> None:
    y = binary(run)
    finished = run.evaluate(StubFamily([as_probability]), "log_loss")
    stored = run.store.read_predictions(TRIAL, 1, finished.predictions_sha256).oof
    assert stored.dtype == np.float32
    assert stored.shape == (1, 40, 1)
    fold = np.arange(40) % 4
    metric = get_metric("log_loss")
    again = tuple(metric.score(y[fold == k], from_stored(stored[0, fold == k], "binary")) for k in range(4))
    assert again == finished.fold_scores
    assert metric.score(y, from_stored(stored[0], "binary")) == finished.pooled_score


def test_a_fold_sees_its_rows_weights_seed_and_device(run: Run) -> None:
    y = regression(run, weights=np.arange(40, dtype=np.float64))
    family = StubFamily([off_by(0)])
    run.evaluate(family, "mae")
    data, context = family.folds[1], family.contexts[1]
    assert data.key == ("t0", 0, 1)
    np.testing.assert_array_equal(data.y_valid, y[1::4])
    np.testing.assert_array_equal(data.w_valid, np.arange(40)[1::4])
    np.testing.assert_array_equal(data.x_train[:, 0], np.delete(y, np.s_[1::4]).astype(np.float32))
    assert (context.seed, context.threads, context.device, context.opencl) == (101, 1, "cpu", (1, 2))


def test_test_rows_get_the_mean_of_the_fold_models(run: Run) -> None:
    regression(run, x_test=np.array([[10.0], [20.0]]))
    finished = run.evaluate(StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)]), "mae")
    assert finished.test_predicted
    np.testing.assert_allclose(run.store.read_predictions(TRIAL, 1).test, [[13.0], [23.0]])


def test_a_logarithmic_metric_trains_and_averages_on_the_log_scale(run: Run) -> None:
    y = regression(run, x_test=np.array([[3.0]]))
    family = StubFamily([lambda x: np.log1p(column(x)) + 0.1, lambda x: np.log1p(column(x)) + 0.3], )
    finished = run.evaluate(family, "rmsle")
    np.testing.assert_allclose(family.folds[0].y_valid, np.log1p(y[::4]))
    assert family.folds[0].key[0] != "t0", "data on another scale under the same key would be mixed up in a cache"
    np.testing.assert_allclose(finished.fold_scores, [0.1, 0.3, 0.3, 0.3], atol=1e-6)
    stored = run.store.read_predictions(TRIAL, 1)
    assert stored.test is not None
    assert stored.test[0, 0] == pytest.approx(math.expm1(math.log1p(3.0) + 0.25))
    assert stored.oof[0, 0, 0] == pytest.approx(math.expm1(0.1))


def test_values_of_a_logarithmic_metric_are_never_negative(run: Run) -> None:
    regression(run, x_test=np.array([[3.0]]))
    run.evaluate(StubFamily([lambda x: np.full(len(x), -2.0)]), "rmsle")
    stored = run.store.read_predictions(TRIAL, 1)
    assert stored.oof.min() == 0.0
    assert stored.test is not None
    assert stored.test[0, 0] == 0.0


def test_repeats_keep_their_own_predictions_and_pool_to_their_mean(run: Run) -> None:
    regression(run, repeats=2)
    finished = run.evaluate(StubFamily([off_by(1)] * 4 + [off_by(3)]), "mae")
    assert len(finished.fold_scores) == 8
    assert finished.pooled_score == pytest.approx(2.0, abs=1e-6)
    oof = run.store.read_predictions(TRIAL, 1).oof
    assert oof.shape == (2, 40, 1)
    np.testing.assert_allclose(oof[1] - oof[0], 2.0, atol=1e-6)


def test_time_ordered_folds_export_the_last_window_and_leave_the_first_rows_unpredicted(run: Run) -> None:
    regression(run, folds=4, fold_kind="time", x_test=np.array([[10.0]]))
    family = StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)])
    finished = run.evaluate(family, "mae")
    assert [len(f.y_train) for f in family.folds] == [8, 16, 24, 32]
    stored = run.store.read_predictions(TRIAL, 1)
    assert np.isnan(stored.oof[0, :8]).all()
    assert np.isfinite(stored.oof[0, 8:]).all()
    np.testing.assert_allclose(stored.test, [[16.0]])
    assert finished.pooled_score == pytest.approx(3.0, abs=1e-6)
    assert run.store.model_info(TRIAL).exported_steps == (3,)


class TestPruning:
    def test_a_running_mean_worse_than_the_limit_ends_the_trial(self, run: Run) -> None:
        regression(run)
        finished = run.evaluate(StubFamily([off_by(1), off_by(3)]), "mae", limits=(1.5, 1.9))
        assert finished.outcome == "pruned"
        assert finished.score == pytest.approx(2.0, abs=1e-6)
        assert len(run.steps) == 2
        assert (finished.predictions_sha256, finished.pooled_score, finished.models_kept) == (None, None, False)
        with pytest.raises(StorageFault):
            run.store.read_predictions(TRIAL, 1)

    def test_limits_follow_the_direction_of_the_metric(self, run: Run) -> None:
        binary(run)
        assert run.evaluate(StubFamily([as_probability]), "roc_auc", limits=(0.99,)).outcome == "pruned"
        assert run.evaluate(StubFamily([as_probability]), "roc_auc", limits=(0.01,)).outcome == "complete"

    def test_a_mean_as_good_as_the_limit_goes_on(self, run: Run) -> None:
        binary(run)
        right = StubFamily([lambda x: np.tile([1.0, 0.0], (len(x), 1))])
        first = run.evaluate(right, "accuracy").fold_scores[0]
        assert run.evaluate(right, "accuracy", limits=(first, None)).outcome == "complete"

    def test_nothing_is_pruned_after_the_last_fold(self, run: Run) -> None:
        regression(run)
        finished = run.evaluate(StubFamily([off_by(1)]), "mae", limits=(None, None, None, 0.5))
        assert finished.outcome == "complete"


class TestCostlyTestRows:
    @pytest.fixture(autouse=True)
    def _every_prediction_is_costly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("optimizer.evaluation._COSTLY", -1.0)

    def test_are_predicted_for_a_score_that_is_good_enough(self, run: Run) -> None:
        regression(run, x_test=np.array([[10.0]]))
        family = StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)])
        finished = run.evaluate(family, "mae", predict_test_beyond=3.1, keep_models_beyond=0.0)
        assert finished.test_predicted
        assert [m.asked.count(1) for m in family.models] == [1, 1, 1, 1]
        np.testing.assert_allclose(run.store.read_predictions(TRIAL, 1).test, [[13.0]])

    def test_are_left_out_for_a_worse_score(self, run: Run) -> None:
        regression(run, x_test=np.array([[10.0]]))
        family = StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)])
        finished = run.evaluate(family, "mae", predict_test_beyond=2.9, keep_models_beyond=2.9)
        assert not finished.test_predicted
        assert [m.asked.count(1) for m in family.models] == [1, 0, 0, 0], "only the first fold measures the cost"
        assert run.store.read_predictions(TRIAL, 1).test is None

    @pytest.mark.parametrize(("beyond", "predicted"), [(3.0, False), (None, True)], ids=["as good", "sure"])
    def test_are_left_out_at_once_where_an_earlier_trial_showed_what_they_cost(
        self, run: Run, beyond: float | None, predicted: bool,
    ) -> None:
        regression(run, x_test=np.array([[10.0]]))
        off = [off_by(1), off_by(2), off_by(3), off_by(6)]
        cache = FoldCache()
        run.evaluate(StubFamily(off), "mae", cache=cache, predict_test_beyond=0.0, keep_models_beyond=0.0)
        later, other = StubFamily(off), StubFamily(off, name="another")
        for family in (later, other):
            finished = run.evaluate(family, "mae", cache=cache, predict_test_beyond=beyond, keep_models_beyond=3.0)
            assert finished.test_predicted == predicted
        assert [m.asked.count(1) for m in later.models] == [int(predicted)] * 4
        assert [m.asked.count(1) for m in other.models] == [1, *[int(predicted)] * 3]

    def test_are_predicted_where_the_models_are_kept(self, run: Run) -> None:
        regression(run, x_test=np.array([[10.0]]))
        family = StubFamily([off_by(1), off_by(2), off_by(3), off_by(6)])
        assert run.evaluate(family, "mae", predict_test_beyond=0.0, keep_models_beyond=3.1).test_predicted

    def test_are_not_predicted_of_a_pruned_trial(self, run: Run) -> None:
        regression(run, x_test=np.array([[10.0]]))
        family = StubFamily([off_by(1), off_by(2)])
        assert run.evaluate(family, "mae", limits=(None, 0.5, 0.5, 0.5)).outcome == "pruned"
        assert [m.asked.count(1) for m in family.models] == [0, 0]

    def test_are_always_predicted_where_no_score_is_asked_for(self, run: Run) -> None:
        regression(run, x_test=np.array([[10.0]]))
        assert run.evaluate(StubFamily([off_by(1)]), "mae").test_predicted


class TestModels:
    def test_are_kept_for_a_score_that_is_good_enough(self, run: Run) -> None:
        regression(run)
        assert run.evaluate(StubFamily([off_by(1)]), "mae", keep_models_beyond=1.5).models_kept
        assert sorted(p.name for p in run.store.model_folder(TRIAL).iterdir()) == [
            "fold-0.stub", "fold-1.stub", "fold-2.stub", "fold-3.stub", "model.json"]

    @pytest.mark.parametrize("beyond", [0.5, 1.0])
    def test_are_not_kept_for_a_worse_score_or_one_as_good(self, run: Run, beyond: float) -> None:
        regression(run)
        assert not run.evaluate(StubFamily([off_by(1)]), "mae", keep_models_beyond=beyond).models_kept
        assert not run.store.model_folder(TRIAL).exists()


class TestTheDevice:
    def test_a_required_gpu_that_was_not_used_ends_the_trial_after_its_first_fit(self, run: Run) -> None:
        regression(run)
        family = StubFamily([off_by(1)])
        with pytest.raises(WrongDeviceFault, match="stub"):
            run.evaluate(family, "mae", device="gpu", device_required=True)
        assert len(family.models) == 1

    def test_an_optional_gpu_that_was_not_used_is_recorded_as_cpu(self, run: Run) -> None:
        regression(run)
        assert run.evaluate(StubFamily([off_by(1)]), "mae", device="gpu").device == "cpu"

    def test_a_gpu_that_was_used_is_recorded(self, run: Run) -> None:
        regression(run)
        finished = run.evaluate(StubFamily([off_by(1)], device="gpu"), "mae", device="gpu", device_required=True)
        assert finished.device == "gpu"

    def test_a_trial_that_ends_with_its_first_look_is_recorded_where_that_look_was_fitted(self, run: Run) -> None:
        regression(run)
        for device in ("gpu", "cpu"):
            family = StubFamily([off_by(4)], device=device)
            finished = run.evaluate(family, "mae", device="gpu", look=0.2, look_limit=3.9)
            assert (finished.outcome, finished.device) == ("pruned", device)


class TestNotFinite:
    def test_a_prediction_that_is_no_number_is_a_fault_that_names_the_fold(self, run: Run) -> None:
        regression(run)
        with pytest.raises(NotFiniteFault, match="fold 1: 10 of 10 predictions"):
            run.evaluate(StubFamily([off_by(1), lambda x: column(x) * np.nan]), "mae")

    def test_a_value_too_large_to_be_turned_back_is_a_fault(self, run: Run) -> None:
        regression(run)
        with pytest.raises(NotFiniteFault, match="fold 0"):
            run.evaluate(StubFamily([lambda x: np.full(len(x), 1e4)]), "rmsle")

    def test_a_metric_that_is_undefined_on_a_fold_is_a_fault_that_says_what_to_do(self, run: Run) -> None:
        y = np.zeros(40)
        y[::4] = 1.0
        write_table(run.root, np.linspace(0, 1, 40)[:, None], y, task="binary")
        with pytest.raises(NotFiniteFault, match=r"roc_auc is nan on fold 0 .*fewer folds"):
            run.evaluate(StubFamily([as_probability]), "roc_auc")

    def test_nothing_is_stored(self, run: Run) -> None:
        regression(run, x_test=np.array([[np.nan]]))
        with pytest.raises(NotFiniteFault, match="test rows"):
            run.evaluate(StubFamily([off_by(1)]), "mae")
        assert not (run.root / "predictions").exists()
        assert not (run.root / "models").exists()


# Fits that are watched.


class Learning(StubFamily):
    """Tells of a loss that falls by a tenth with each of thirty iterations, from where the n-th fold begins."""

    begins: tuple[float, ...] = (1.0,)

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> StubModel:
        loss = self.begins[min(len(self.folds), len(self.begins) - 1)]
        for iteration in range(30):
            loss *= 0.9
            if context.on_iteration is not None and context.on_iteration(iteration, loss):
                break
        return super().fit(data, params, context)


def test_a_fit_that_is_hopeless_inside_prunes_its_trial_and_its_fold_has_no_score(run: Run) -> None:
    regression(run)
    family = Learning([off_by(1)])
    family.begins = (1.0, 5.0)

    finished = run.evaluate(family, "mae", params={"learning_rate": 0.1}, fit_limits=((None, 0.5), (None, 0.5)))

    assert (finished.outcome, finished.cut) == ("pruned", True)
    assert len(family.folds) == 2
    assert finished.fold_scores == (pytest.approx(1.0),)
    assert len(finished.step_seconds) == 2
    assert [step.step for step in run.steps] == [0]
    assert family.models[1].asked == [], "nothing is predicted by a model half made"
    assert finished.curves == ()


def test_a_trial_whose_first_fit_is_hopeless_has_no_score_at_all(run: Run) -> None:
    regression(run)

    finished = run.evaluate(Learning([off_by(1)]), "mae", params={"learning_rate": 0.1}, fit_limits=((0.0,),))

    assert (finished.outcome, finished.cut, finished.score, finished.fold_scores) == ("pruned", True, None, ())
    assert finished.predictions_sha256 is None


def test_a_complete_trial_tells_the_losses_of_its_first_two_folds(run: Run) -> None:
    regression(run)

    finished = run.evaluate(Learning([off_by(1)]), "mae", params={"learning_rate": 0.1}, fit_limits=())

    assert (finished.outcome, finished.cut) == ("complete", False)
    assert len(finished.curves) == 2
    assert finished.curves[0][:2] == (pytest.approx(0.9**5), pytest.approx(0.9**10))


def test_losses_that_nobody_tells_are_no_curve(run: Run) -> None:
    regression(run)

    assert run.evaluate(StubFamily([off_by(1)]), "mae", params={"learning_rate": 0.1}, fit_limits=()).curves == ()
    assert run.evaluate(Learning([off_by(1)]), "mae", params={"learning_rate": 0.1}).curves == ()


# A first look.


def test_a_first_look_is_a_fit_of_the_first_fold_on_a_part_of_its_rows(run: Run) -> None:
    regression(run)
    family = StubFamily([off_by(4), off_by(1)])

    finished = run.evaluate(family, "mae", look=0.2)

    look, first = family.folds[:2]
    assert len(look.y_train) == round(0.2 * len(first.y_train))
    assert set(look.y_train) <= set(first.y_train)
    assert list(look.y_valid) == list(first.y_valid)
    assert look.key != first.key, "what is cached of it is not the fold's"
    assert finished.look_score == pytest.approx(4.0)
    assert finished.fold_scores == pytest.approx([1.0] * 4), "the look counts for nothing"


def test_a_look_that_is_hopeless_is_the_end_of_the_trial(run: Run) -> None:
    regression(run)
    family = StubFamily([off_by(4)])

    finished = run.evaluate(family, "mae", look=0.2, look_limit=3.9)

    assert (finished.outcome, finished.score, finished.fold_scores, finished.look_score) == (
        "pruned", None, (), pytest.approx(4.0))
    assert len(family.folds) == 1
    assert not run.steps
    assert run.evaluate(StubFamily([off_by(4)]), "mae", look=0.2, look_limit=4.1).outcome == "complete"


def test_every_trial_looks_at_the_same_rows(run: Run) -> None:
    regression(run)
    one, other = StubFamily([off_by(1)]), StubFamily([off_by(1)])
    run.evaluate(one, "mae", look=0.3)
    run.evaluate(other, "mae", look=0.3, params={"depth": 9})
    assert list(one.folds[0].y_train) == list(other.folds[0].y_train)


# Fits on a part of the rows.


def test_a_trial_is_fitted_on_so_many_rows_of_each_fold_and_scored_on_all_validation_rows(run: Run) -> None:
    regression(run, x_test=np.array([[10.0]]))
    whole, part = StubFamily([off_by(1)]), StubFamily([off_by(1)])
    run.evaluate(whole, "mae")
    finished = run.evaluate(part, "mae", max_rows=12)

    assert finished.outcome == "complete"
    assert len(run.store.read_predictions(TRIAL, 1).oof[0]) == 40
    for all_rows, drawn in zip(whole.folds, part.folds, strict=True):
        assert len(drawn.y_train) == 12
        assert set(drawn.y_train) < set(all_rows.y_train)
        assert list(drawn.y_valid) == list(all_rows.y_valid)
        assert drawn.key != all_rows.key, "what is cached of one is not the other's"


def test_a_look_of_a_trial_on_a_part_of_the_rows_is_a_part_of_that_part(run: Run) -> None:
    regression(run)
    family = StubFamily([off_by(1)])
    run.evaluate(family, "mae", max_rows=20, look=0.2)

    look, first = family.folds[:2]
    assert len(look.y_train) == 4
    assert set(look.y_train) < set(first.y_train)
