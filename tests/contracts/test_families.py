"""What every family promises: each claim, on every task that it is for, and what is asked of the families that ship."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from optimizer.contract.claim import Claim, judge
from optimizer.contract.claims import CLAIMS
from optimizer.contract.tables import context, fold_of, make_table, summary
from optimizer.contract.tables import start as start_of
from optimizer.errors import UserError
from optimizer.models import family_names, load_family
from optimizer.models.base import Family, FoldCache, TableSummary


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every family on the tables that it is for; on tasks, see `conftest`."""
    if {"family", "table"} <= set(metafunc.fixturenames):
        families = [load_family(name) for name in family_names()]
        pairs = [(family, table) for family in families for table in SUMMARIES if table.task in family.tasks]
        metafunc.parametrize(("family", "table"), pairs, ids=[
            f"{family.name}-{table.task}-{table.metric}-{table.rows}" for family, table in pairs])


def start(family: Family, task: str, metric: str | None = None, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A complete point, short enough for a test; of ``changes`` those that the family has."""
    return start_of(family, summary(task, metric), number, **changes)


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


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.name for claim in CLAIMS])
def test_every_claim_holds(family: Family, task: str, claim: Claim) -> None:
    verdict = judge(claim, family, task)

    assert verdict.passed, f"{family.name} {verdict.text}: found {verdict.found}, expected {verdict.expected}"


class TestTheSearchSpace:
    def test_contains_every_start(self, family: Family, table: TableSummary) -> None:
        description = family.describe(table)
        assert 2 <= len(description.starts) <= 4
        for point in description.starts:
            assert description.space.contains(point), point

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


def test_an_unknown_family_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'xgboost'"):
        load_family("xgbost")
