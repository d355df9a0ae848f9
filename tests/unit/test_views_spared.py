"""What pruning and settling spared, by evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from stubs.runs import FakeRun

from optimizer.views.report import as_text, summarize
from optimizer.views.results import RunView
from optimizer.views.spared import EVIDENCE, spared, totals


def test_folds_that_were_not_run_are_counted_by_what_ended_the_trial(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.9, step_seconds=[2.0] * 5)
    run.told("a/xgboost/1", 0.8, "pruned", fold_scores=[0.8, 0.8], step_seconds=[1.0, 3.0], seconds=4.0)
    run.told("a/xgboost/2", 0.8, "pruned", fold_scores=[0.8], step_seconds=[1.0, 0.2], cut=True, seconds=1.2)
    run.told("a/xgboost/3", None, "pruned", look_score=0.5, seconds=0.1)
    run.event("family_stopped", family="xgboost", dataset="a", reason="its best have not changed")
    view = RunView.open(tmp_path)
    found = spared(view.trials(), view.datasets, view.stops)
    by_evidence = {row["evidence"]: row for row in found["rows"]}
    assert set(by_evidence) == set(EVIDENCE)
    assert (by_evidence["folds"]["folds"], by_evidence["folds"]["seconds"]) == (3, pytest.approx(6.0))
    assert (by_evidence["fit"]["folds"], by_evidence["fit"]["seconds"]) == (4, pytest.approx(4.0))
    assert (by_evidence["look"]["folds"], by_evidence["look"]["seconds"]) == (5, pytest.approx(10.0)), \
        "without a fold of its own, at what the family's folds take"
    assert [s["family"] for s in found["stops"]] == ["xgboost"]
    assert totals(found) == {"trials": {"folds": 1, "fit": 1, "look": 1}, "folds": 12, "seconds": pytest.approx(20.0),
                             "not_begun": 0}
    assert ("4 models tested; 12 folds and about 20 s spared, as trials were hopeless: 1 after a fold, 1 inside a fit, "
            "1 after a first look") in as_text(summarize(view))


def test_a_point_that_was_evaluated_twice_is_counted_once_as_a_repetition(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a")
    for number, depth in enumerate((3, 4, 3)):
        run.told(f"a/xgboost/{number}", 0.9, params={"depth": depth})
    view = RunView.open(tmp_path)
    assert spared(view.trials(), view.datasets, view.stops)["repeated"] == 1


def test_models_that_were_not_begun_are_counted_where_the_best_had_settled(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a", "b")
    for dataset in ("a", "b"):
        run.ready(dataset)
        run.told(f"{dataset}/xgboost/0", 0.9)
    run.event("dataset_finished", dataset="a", used_s=10.0, trials=1, reason="its best have not changed", spared=40)
    run.event("dataset_finished", dataset="b", used_s=10.0, trials=1, reason="budget used")
    view = RunView.open(tmp_path)

    found = spared(view.trials(), view.datasets, view.stops)

    assert [(d["dataset"], d["spared"]) for d in found["finished"]] == [("a", 40), ("b", 0)]
    assert totals(found)["not_begun"] == 40
    assert "about 40 models not begun, as the best had not changed for long" in as_text(summarize(view))
