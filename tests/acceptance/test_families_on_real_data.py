"""The first point that every family tries is already a good model of a real table, and a cheap one."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.datasets.prepare import prepare
from optimizer.datasets.problem import Problem
from optimizer.evaluation import evaluate
from optimizer.messages import CrossValidation, Job
from optimizer.models import load_family
from optimizer.models.base import FoldCache
from optimizer.store import Store

#: Those that the search was published for, and their like; the contract tests see others on real tables too.
BOOSTING = ("catboost", "hist_gradient_boosting", "lightgbm", "xgboost")


@pytest.mark.parametrize("family_name", BOOSTING)
def test_the_first_point_is_as_good_as_the_first_points_of_the_published_search(
    tmp_path: Path, shared_datasets: Path, family_name: str,
) -> None:
    table = shared_datasets / "s5e7" / "corrected" / "train_corrected_01.csv"
    problem = Problem(name="s5e7", train=str(table), target="Personality", metric="accuracy")
    dataset = prepare(problem, tmp_path / "data", lambda line: None)
    family = load_family(family_name)
    description = family.describe(dataset.summary)
    job = Job(trial=f"s5e7/{family_name}/0", attempt=1, lease=1, workload=CrossValidation(
        table=dataset.fingerprint, family=family_name, metric=dataset.metric, seed=1,
        params=description.space.complete(description.starts[0]), keep_models_beyond=1.1,
    ))
    finished = evaluate(
        job, store=Store(tmp_path), family=family, threads=lambda: 1, opencl=None, cache=FoldCache(),
        emit=lambda event: None,
    )
    # There, on this table: first trials 0.9717 to 0.9731, and 0.9736 to 0.9737 after hundreds of them.
    assert finished.score > 0.9725
    assert finished.pooled_score == pytest.approx(finished.score, abs=1e-4)
    assert max(n for n in finished.best_iterations if n is not None) < 400
