"""Conditions on trials as a person types them, and trials side by side."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from stubs.makers import a_record

from optimizer.errors import UserError
from optimizer.records import TrialRecord
from optimizer.views.compare import compared, rows
from optimizer.views.filters import conditions, in_order
from optimizer.views.formats import NOTHING

TRIALS = [
    a_record("cars/tree/0", score=0.97, params={"depth": 6, "rate": 0.1, "kind": "gini"}, seconds=3.0),
    a_record("cars/tree/1", score=0.95, params={"depth": 3, "rate": 0.02, "kind": "entropy"}, seconds=1.0),
    a_record("boats/forest/0", score=None, state="failed", params={"trees": 100}, reason="out of Memory", seconds=2.0),
]


@dataclass
class Row:
    record: TrialRecord


@pytest.mark.parametrize(("words", "kept"), [
    ((), [0, 1, 2]), (("score > 0.96",), [0]), (("score>=0.95", "depth<6"), [1]), (("family = tree",), [0, 1]),
    (("kind != gini",), [1]), (("depth = 6.0",), [0]), (("reason ~ memory",), [2]), (("state=failed",), [2]),
    (("trees > 5",), [2]), (("trial ~ tree/1",), [1]), (("seconds <= 2",), [1, 2]),
])
def test_a_condition_keeps_the_trials_of_which_it_holds(words: tuple[str, ...], kept: list[int]) -> None:
    holds = conditions(words, TRIALS)
    assert [i for i, trial in enumerate(TRIALS) if holds(trial)] == kept


@pytest.mark.parametrize(("word", "said"), [
    ("score", "no condition"), ("dept > 3", "did you mean 'depth'"), ("scor > 1", "did you mean 'score'"),
    ("score > good", "> compares numbers; found 'good'"), ("", "no condition"),
])
def test_what_is_no_condition_is_answered_with_what_would_be(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        conditions([word], TRIALS)


def test_trials_without_the_parameter_come_last_whatever_the_order() -> None:
    board = [Row(trial) for trial in TRIALS]
    up = in_order(board, "depth", TRIALS, reverse=False)
    down = in_order(board, "depth", TRIALS, reverse=True)
    assert [row.record.trial for row in up] == ["cars/tree/1", "cars/tree/0", "boats/forest/0"]
    assert [row.record.trial for row in down] == ["cars/tree/0", "cars/tree/1", "boats/forest/0"]


def test_trials_are_compared_fold_by_fold_and_by_the_parameters_that_differ() -> None:
    one = a_record("cars/tree/0", score=0.5, fold_scores=(0.4, 0.6), params={"depth": 6, "rate": 0.1})
    other = a_record("cars/tree/1", score=0.6, fold_scores=(0.5, 0.7), params={"depth": 6, "rate": 0.2, "kind": "a"})

    found = compared([one, other], maximize=True)

    assert found["trials"][0]["difference"] is None
    assert found["trials"][1]["difference"] == {
        "mean": pytest.approx(0.1), "standard_error": pytest.approx(0.0, abs=1e-9), "folds": 2}
    assert found["differing"] == ["rate", "kind"]
    table = {row[0]: row[1:] for row in rows(found)}
    assert table[""] == ["cars/tree/0", "cars/tree/1"]
    assert table["rate"] == ["0.1", "0.2"]
    assert table["kind"][1] == "a"
    assert "depth" not in table


def test_a_pruned_trial_is_compared_on_the_folds_that_it_has() -> None:
    one = a_record("cars/tree/0", score=0.5, fold_scores=(0.4, 0.6))
    pruned = a_record("cars/tree/1", state="pruned", score=0.1, fold_scores=(0.1,))
    (_, other) = compared([one, pruned], maximize=True)["trials"]
    assert other["difference"] == {"mean": pytest.approx(-0.3), "standard_error": None, "folds": 1}


def test_trials_of_different_datasets_are_not_compared() -> None:
    with pytest.raises(UserError, match="different datasets cannot be compared"):
        compared([TRIALS[0], TRIALS[2]], maximize=True)


def test_what_trials_were_fitted_on_is_compared_where_it_was_a_part_of_the_rows() -> None:
    whole, part = a_record("cars/tree/0"), a_record("cars/svm/0", max_rows=20_000)

    table = {row[0]: row[1:] for row in rows(compared([whole, part], maximize=True))}

    assert table["fitted on at most, rows"] == [NOTHING, "20,000"]
    assert "fitted on at most, rows" not in {row[0] for row in rows(compared([whole, whole], maximize=True))}
