"""What every family in the folder promises, checked on small made-up tables and at random points of its own space."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from optimizer.errors import UserError
from optimizer.models import family_names, load_family
from optimizer.models.base import Family, FitContext, FoldCache, FoldData, TableSummary
from optimizer.search_space import Categorical, Int, SearchSpace

METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}


#: Values of what families fix, short enough for a test.
SHORT = {"iterations": 60, "epochs": 60, "n_estimators": 40, "learners": 15}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every family on the tables that it is for; on tasks, see `conftest`."""
    if {"family", "table"} <= set(metafunc.fixturenames):
        families = [load_family(name) for name in family_names()]
        pairs = [(family, table) for family in families for table in SUMMARIES if table.task in family.tasks]
        metafunc.parametrize(("family", "table"), pairs, ids=[
            f"{family.name}-{table.task}-{table.metric}-{table.rows}" for family, table in pairs])


def make_table(task: str, rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Three numeric columns (one with gaps), a constant one, and two categorical ones that matter."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 3))
    small, large = rng.integers(0, 3, rows), rng.integers(0, 40, rows)
    signal = numeric[:, 0] + 0.5 * numeric[:, 1] ** 2 + (small == 1) + 0.8 * (large % 4 == 0)
    noisy = signal + 0.3 * rng.normal(size=rows)
    numeric[rng.random(rows) < 0.2, 1] = np.nan
    x = np.column_stack([numeric, np.ones(rows), small, large]).astype(np.float32)
    x[rng.random(rows) < 0.1, 4] = np.nan
    if task == "regression":
        y = noisy
    elif task == "binary":
        y = (noisy > np.quantile(noisy, 0.75)).astype(np.float64)
    else:
        y = np.digitize(noisy, np.quantile(noisy, [0.4, 0.8])).astype(np.float64)
    return x, y, (0, 0, 0, 0, 3, 40)


def fold_of(
    x: np.ndarray, y: np.ndarray, cardinalities: tuple[int, ...], task: str, *,
    weights: np.ndarray | None = None, classes: int | None = None, name: str = "made-up",
) -> FoldData:
    cut = len(y) * 3 // 4
    return FoldData(
        key=(name, 0, 0), x=x, train=slice(cut), valid=slice(cut, None),
        y_train=y[:cut], w_train=None if weights is None else weights[:cut],
        y_valid=y[cut:], w_valid=None if weights is None else weights[cut:],
        cardinalities=cardinalities, task=task,
        n_classes=classes if classes is not None else 0 if task == "regression" else int(y.max()) + 1,
    )


def made_up_fold(task: str, **options: Any) -> FoldData:
    return fold_of(*make_table(task), task, **options)


def context(
    metric: str, *, seed: int = 7, cache: FoldCache | None = None, threads: int = 1, **options: Any,
) -> FitContext:
    return FitContext(threads=threads, device="cpu", seed=seed, metric=metric, cache=cache or FoldCache(), **options)


def summary(task: str, metric: str | None = None, **changes: Any) -> TableSummary:
    known = {
        "task": task, "metric": metric or METRIC[task], "rows": 400, "numeric": 4, "categorical": 2,
        "max_cardinality": 40, "missing": 0.05, "classes": {"binary": 2, "multiclass": 3, "regression": 0}[task],
        "balance": 1 / 3, "weighted": False,
    }
    return TableSummary(**{**known, **changes})


def start(family: Family, task: str, metric: str | None = None, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A complete point, short enough for a test; of ``changes`` those that the family has, and ``bogus``."""
    description = family.describe(summary(task, metric))
    point = description.space.complete(description.starts[number % len(description.starts)])
    shorter = {name: steps for name, steps in SHORT.items() if name in description.space.fixed}
    return point | shorter | {name: value for name, value in changes.items() if name in point or name == "bogus"}


def shortened(space: SearchSpace, point: dict[str, Any], steps: int) -> dict[str, Any]:
    """A complete point with so many iterations, epochs or trees."""
    return {**space.complete(point), **{name: steps for name in SHORT if name in space.fixed}}


def random_point(space: SearchSpace, rng: random.Random) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for parameter in space.parameters:
        if not space.exists(parameter, point):
            continue
        domain = parameter.domain
        if isinstance(domain, Categorical):
            point[parameter.name] = rng.choice(domain.choices)
            continue
        value = (math.exp(rng.uniform(math.log(domain.low), math.log(domain.high))) if domain.log
                 else rng.uniform(domain.low, domain.high))
        point[parameter.name] = round(value) if isinstance(domain, Int) else min(max(value, domain.low), domain.high)
    return point


def a_task(family: Family) -> str:
    """The first that the family is for."""
    return next(task for task in METRIC if task in family.tasks)


def needs_task(family: Family, task: str) -> None:
    """Skip where the family is not for it."""
    if task not in family.tasks:
        pytest.skip(f"{family.name} is not for {task}")


def needs(family: Family, ability: str) -> None:
    """Skip where the family says that it cannot."""
    if not getattr(family, ability):
        pytest.skip(f"{family.name} is no family that {ability}")


def needs_objective(family: Family) -> None:
    """Skip where an absolute error cannot be minimised."""
    needs_task(family, "regression")
    if "objective" not in start(family, "regression", "mae"):
        pytest.skip(f"{family.name} minimises the squared error only")


SUMMARIES = (
    summary("binary"), summary("binary", "f1", balance=0.02), summary("multiclass", "qwk"), summary("regression"),
    summary("regression", "mae"), summary("binary", rows=20, numeric=1, categorical=0, max_cardinality=0),
    summary("regression", "mape", rows=2_000_000, numeric=400, categorical=0, max_cardinality=0),
    summary("binary", "roc_auc", rows=60, numeric=0, categorical=1, max_cardinality=2),
    summary("regression", rows=190, numeric=650, categorical=0, max_cardinality=0, missing=0.0, spectral=True),
    summary("multiclass", rows=300, numeric=200, categorical=0, max_cardinality=0, missing=0.0, spectral=True),
)


class TestTheSearchSpace:
    def test_contains_every_start(self, family: Family, table: TableSummary) -> None:
        description = family.describe(table)
        assert 2 <= len(description.starts) <= 4
        for point in description.starts:
            assert description.space.contains(point), point

    def test_survives_the_way_to_the_scheduler(self, family: Family, table: TableSummary) -> None:
        space = family.describe(table).space
        back = msgspec.json.decode(msgspec.json.encode(space), type=SearchSpace)
        assert back == space
        assert back.hash() == space.hash()
        assert not {p.name for p in space.parameters} & set(space.fixed)

    def test_has_parameters_of_categories_only_where_there_are_any(self, family: Family, table: TableSummary) -> None:
        with_them = {p.name for p in family.describe(msgspec.structs.replace(table, categorical=3)).space.parameters}
        without = {p.name for p in family.describe(msgspec.structs.replace(table, categorical=0)).space.parameters}
        assert without < with_them


def test_the_space_offers_class_weights_only_where_they_can_help(family: Family) -> None:
    needs_task(family, "binary")
    needs(family, "weighs")

    def offered(metric: str, balance: float) -> bool:
        space = family.describe(summary("binary", metric, balance=balance)).space
        return "class_weight" in {p.name for p in space.parameters}

    assert offered("f1", 0.1)
    assert offered("balanced_accuracy", 0.1)
    assert not offered("f1", 0.9)
    assert not offered("log_loss", 0.1)
    assert not offered("accuracy", 0.1)


class TestAFit:
    def test_predicts_better_than_the_mean(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        for number in range(len(family.describe(summary(task)).starts)):
            model = family.fit(data, start(family, task, number=number), context(METRIC[task]))
            predicted = model.predict(data.x_valid)
            if task == "regression":
                assert np.mean((predicted - data.y_valid) ** 2) < 0.6 * np.var(data.y_valid)
            else:
                indicators = np.eye(data.n_classes)
                prior = indicators[data.y_train.astype(int)].mean(axis=0)
                truth = indicators[data.y_valid.astype(int)]
                assert ((predicted - truth) ** 2).sum() < 0.9 * ((prior - truth) ** 2).sum()

    def test_has_the_promised_shape_and_type(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        model = family.fit(data, start(family, task), context(METRIC[task]))
        predicted = model.predict(data.x_valid)
        assert predicted.dtype == np.float64
        if task == "regression":
            assert predicted.shape == (100,)
        else:
            assert predicted.shape == (100, data.n_classes)
            np.testing.assert_allclose(predicted.sum(axis=1), 1.0, atol=1e-6)
        assert model.device == "cpu"
        assert model.best_iteration is None or 1 <= model.best_iteration <= 60

    def test_is_the_same_bit_for_bit_with_the_same_seed(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        for number in range(3):
            params = start(family, task, number=number)
            first, second = (family.fit(data, params, context(METRIC[task])).predict(data.x_valid) for _ in range(2))
            np.testing.assert_array_equal(first, second)

    def test_is_the_same_bit_for_bit_however_many_threads_there_are(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        for number in range(3):
            params = start(family, task, number=number)
            one, two, three = (family.fit(data, params, context(METRIC[task], threads=threads)).predict(data.x_valid)
                               for threads in (1, 2, 3))
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(one, three)

    def test_is_the_same_whatever_the_cache_holds(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        space, rng = family.describe(summary(task)).space, random.Random(3)
        points = [shortened(space, random_point(space, rng), 15) for _ in range(4)]
        shared = FoldCache()
        for point in (*points, *points):
            warm = family.fit(data, point, context(METRIC[task], cache=shared)).predict(data.x_valid)
            cold = family.fit(data, point, context(METRIC[task])).predict(data.x_valid)
            np.testing.assert_array_equal(warm, cold)

    def test_saved_and_loaded_predicts_the_same_bits(self, family: Family, task: str, tmp_path: Path) -> None:
        data = made_up_fold(task)
        unseen = data.x_valid.copy()
        unseen[:20, 5] = 39
        unseen[20:40] = np.nan
        model = family.fit(data, start(family, task), context(METRIC[task]))
        path = tmp_path / f"fold-0{family.suffix}"
        model.save(path)
        loaded = family.load(path, task, data.n_classes, 1, data.cardinalities)
        for rows in (data.x_valid, unseen, data.x_valid[:1]):
            np.testing.assert_array_equal(loaded.predict(rows), model.predict(rows))
        assert loaded.best_iteration == model.best_iteration, "trees after the best iteration were kept"

    def test_accepts_arrays_that_cannot_be_written_to(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        for array in (data.x, data.y_train, data.y_valid):
            array.flags.writeable = False
        model = family.fit(data, start(family, task), context(METRIC[task]))
        assert np.isfinite(model.predict(data.x_valid)).all()

    def test_prints_nothing_and_leaves_no_file(
        self, family: Family, task: str, capfd: pytest.CaptureFixture[str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        data = made_up_fold(task)
        model = family.fit(data, start(family, task, learning_rate=0.3), context(METRIC[task]))
        model.predict(data.x_valid)
        assert capfd.readouterr() == ("", "")
        assert os.listdir(tmp_path) == []

    def test_survives_random_points_of_its_space(self, family: Family, task: str) -> None:
        data = made_up_fold(task)
        metric = {"binary": "f1", "multiclass": "qwk", "regression": "mape"}[task]
        space, rng = family.describe(summary(task, metric)).space, random.Random(11)
        for _ in range(8):
            point = random_point(space, rng)
            assert space.contains(point)
            model = family.fit(data, shortened(space, point, 10), context(metric))
            assert np.isfinite(model.predict(data.x_valid)).all()

    def test_ends_when_the_listener_says_so(self, family: Family, task: str) -> None:
        needs(family, "listens")
        heard: list[tuple[int, float]] = []

        def listen(iteration: int, loss: float) -> bool:
            heard.append((iteration, loss))
            return iteration == 4

        data = made_up_fold(task)
        model = family.fit(data, start(family, task), context(METRIC[task], on_iteration=listen))
        assert [i for i, _ in heard] == [0, 1, 2, 3, 4]
        assert heard[4][1] < heard[0][1]
        assert model.best_iteration is not None
        assert model.best_iteration <= 5
        assert np.isfinite(model.predict(data.x_valid)).all()

    def test_follows_the_weights_of_the_rows(self, family: Family, task: str) -> None:
        needs(family, "weighs")
        x, y, cardinalities = make_table(task)
        high = y > np.median(y) if task == "regression" else y == y.max()
        weights = np.where(high, 20.0, 1.0)
        params = start(family, task)
        plain = family.fit(fold_of(x, y, cardinalities, task), params, context(METRIC[task])).predict(x)
        weighted = family.fit(
            fold_of(x, y, cardinalities, task, weights=weights), params, context(METRIC[task]),
        ).predict(x)
        if task == "regression":
            assert weighted.mean() > plain.mean() + 0.02
        else:
            assert weighted[:, -1].mean() > plain[:, -1].mean() + 0.05


TABLES = {
    "one column": lambda x: (x[:, :1], (0,)),
    "one categorical column": lambda x: (np.nan_to_num(x[:, 4:5]), (3,)),
    "a column without a value": lambda x: (np.column_stack([x[:, 0], np.full(len(x), np.nan)]), (0, 0)),
    "more columns than rows": lambda x: (np.repeat(x[:, :3], 150, axis=1), (0,) * 450),
    "a category that is always missing": lambda x: (np.column_stack([x[:, 0], np.full(len(x), np.nan)]), (0, 5)),
}


@pytest.mark.parametrize("shape", TABLES)
def test_odd_tables_are_survived(family: Family, task: str, shape: str) -> None:
    x, y, _ = make_table(task, rows=120)
    odd, cardinalities = TABLES[shape](x)
    data = fold_of(np.ascontiguousarray(odd, np.float32), y, cardinalities, task)
    model = family.fit(data, start(family, task, iterations=8), context(METRIC[task]))
    assert np.isfinite(model.predict(data.x_valid)).all()


def test_values_and_categories_that_the_training_rows_lack_are_survived(family: Family, task: str) -> None:
    x, y, cardinalities = make_table(task)
    cut = len(y) * 3 // 4
    x[:cut, 5] = np.minimum(x[:cut, 5], 20)
    x[cut:, 5] = 39
    x[cut:, 0] = np.nan
    data = fold_of(x, y, cardinalities, task)
    model = family.fit(data, start(family, task, iterations=8), context(METRIC[task]))
    assert np.isfinite(model.predict(data.x_valid)).all()


def test_a_class_that_the_training_rows_lack_is_survived(family: Family, capfd: pytest.CaptureFixture[str]) -> None:
    needs_task(family, "multiclass")
    x, y, cardinalities = make_table("multiclass")
    cut = len(y) * 3 // 4
    y[:cut][y[:cut] == 1] = 0
    data = fold_of(x, y, cardinalities, "multiclass", classes=3)
    model = family.fit(data, start(family, "multiclass", iterations=8), context("log_loss"))
    predicted = model.predict(data.x_valid)
    assert predicted.shape == (100, 3)
    assert np.isfinite(predicted).all()
    assert capfd.readouterr() == ("", "")


def test_balanced_class_weights_find_more_of_a_rare_class(family: Family) -> None:
    needs_task(family, "binary")
    needs(family, "weighs")
    x, _, cardinalities = make_table("binary", rows=800)
    signal = x[:, 0] + np.random.default_rng(1).normal(size=800)
    data = fold_of(x, (signal > np.quantile(signal, 0.9)).astype(float), cardinalities, "binary")
    cache = FoldCache()

    def predicted(class_weight: str) -> np.ndarray:
        params = start(family, "binary", "f1", class_weight=class_weight)
        return family.fit(data, params, context("f1", cache=cache)).predict(data.x_valid)

    plain, balanced = predicted("none"), predicted("balanced")
    assert (balanced[:, 1] > 0.5).sum() > 1.5 * (plain[:, 1] > 0.5).sum()


def test_an_absolute_error_is_not_moved_by_a_few_huge_values(family: Family) -> None:
    needs_objective(family)
    x, y, cardinalities = make_table("regression")
    y = y.copy()
    y[::20] += 300.0
    data = fold_of(x, y, cardinalities, "regression")

    def middle(objective: str) -> float:
        params = start(family, "regression", "mae", objective=objective)
        return float(np.median(family.fit(data, params, context("mae")).predict(data.x_valid)))

    squared, absolute = middle("squared"), middle("absolute")
    assert absolute < squared - 2
    assert abs(absolute - np.median(y)) < 1.5


def test_the_relative_error_listens_to_small_values(family: Family) -> None:
    needs_objective(family)
    x, _, cardinalities = make_table("regression")
    y = np.where(np.arange(400) % 5 < 2, 1.0, 100.0)
    data = fold_of(x[:, :1], y, cardinalities[:1], "regression")
    params = start(family, "regression", "mape", objective="absolute", iterations=200, learning_rate=0.3)
    relative = family.fit(data, params, context("mape")).predict(data.x_valid)
    plain = family.fit(data, params, context("mae")).predict(data.x_valid)
    assert np.median(relative) < 50 < np.median(plain)


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_regression_does_not_depend_on_the_unit_of_the_target(family: Family, scale: float) -> None:
    needs_task(family, "regression")
    x, y, cardinalities = make_table("regression")
    params = start(family, "regression")
    params |= {name: 0.5 for name in ("gamma", "reg_alpha", "min_gain_to_split", "lambda_l1") if name in params}
    plain = family.fit(fold_of(x, y, cardinalities, "regression"), params, context("rmse")).predict(x)
    scaled = family.fit(fold_of(x, y * scale, cardinalities, "regression"), params, context("rmse")).predict(x)
    assert np.mean((scaled / scale - plain) ** 2) < 0.02 * np.var(plain)


def test_a_parameter_that_the_library_does_not_know_is_an_error(family: Family) -> None:
    task = a_task(family)
    with pytest.raises(Exception, match="bogus"):
        family.fit(made_up_fold(task), start(family, task, bogus=1), context(METRIC[task]))


def test_describing_loads_no_model_library(family: Family) -> None:
    import subprocess
    import sys

    code = (f"import sys; from optimizer.models import load_family; load_family({family.name!r}); "
            f"sys.exit({family.module!r} in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_family_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'xgboost'"):
        load_family("xgbost")


COUNT_THREADS = """
import importlib, os, sys
import numpy as np
from optimizer.models import load_family
from optimizer.models.base import FitContext, FoldCache, FoldData, TableSummary

family, task = load_family(sys.argv[1]), sys.argv[2]
importlib.import_module(family.module)
x = np.random.default_rng(0).normal(size=(4000, 5)).astype(np.float32)
y = (x[:, 0] > 0).astype(np.float64)
data = FoldData(key=("t", 0, 0), x=x, train=slice(None), valid=slice(None), y_train=y, w_train=None, y_valid=y,
                w_valid=None, cardinalities=(0,) * 5, task=task, n_classes=0 if task == "regression" else 2)
summary = TableSummary(task=task, metric="accuracy", rows=4000, numeric=5, categorical=0, max_cardinality=0,
                       missing=0.0, classes=2, balance=1.0, weighted=False)
seen = []

def count(*_):
    seen.append(len(os.listdir("/proc/self/task")))
    return False

count()
description = family.describe(summary)
params = description.space.complete(description.starts[0])
params |= {name: 5 for name in ("iterations", "epochs", "n_estimators", "learners") if name in description.space.fixed}
for threads in (1, 2):
    model = family.fit(data, params, FitContext(threads=threads, device="cpu", seed=0, metric="accuracy",
                                                cache=FoldCache(), on_iteration=count))
    count()
    model.predict(x)
    count()
    print(max(seen) - seen[0])
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted through /proc")
def test_a_fit_starts_no_more_threads_than_it_was_given(family: Family) -> None:
    import subprocess
    import sys

    child = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS, family.name, a_task(family)], capture_output=True, text=True, check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "8"},
    )
    one, two = map(int, child.stdout.split())
    assert one <= 1
    # A pool of joblib's brings three threads that hand out work and compute nothing.
    assert two <= 2 + (3 if family.library == "scikit-learn" else 0)
