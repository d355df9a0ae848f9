"""What a run knows of its trials: bests, thresholds, seconds."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stubs.makers import a_prepared, a_record

from optimizer.scheduler.ledger import ENOUGH_TO_JUDGE, KEEP_MODELS, SURE_OF_TEST, DatasetLedger, FamilyLedger


def a_ledger(direction: str = "maximize", **fields: Any) -> DatasetLedger:
    families = {name: FamilyLedger(name=name, kinds=frozenset({"cpu"}), steps=2) for name in ("tree", "forest")}
    given: dict[str, Any] = {"budget_s": 100.0, "budget_trials": None}
    return DatasetLedger(prepared=a_prepared(direction=direction), families=families, **{**given, **fields})


def tell(ledger: DatasetLedger, *scores: float, family: str = "tree", **fields: Any) -> list[bool]:
    return [ledger.tell(a_record(f"cars/{family}/{i}", score=score, **fields), kind="cpu")
            for i, score in enumerate(scores)]


@pytest.mark.parametrize(("direction", "bests"), [("maximize", [True, True, False, False, True]),
                                                  ("minimize", [True, False, True, False, False])])
def test_a_best_is_strictly_better_than_all_before(direction: str, bests: list[bool]) -> None:
    assert tell(a_ledger(direction), 0.5, 0.6, 0.4, 0.5, 0.7) == bests


def test_a_pruned_or_failed_trial_is_never_the_best() -> None:
    ledger = a_ledger()

    tell(ledger, 0.9, state="pruned")
    ledger.tell(a_record(score=None, state="failed"), kind="cpu")

    assert ledger.best is None
    assert not ledger.scores
    tree = ledger.families["tree"]
    assert (tree.complete, tree.pruned, tree.failed) == (0, 1, 1)


def test_complete_and_pruned_trials_are_decided_failed_ones_are_not() -> None:
    ledger = a_ledger()

    tell(ledger, 0.5, 0.6)
    tell(ledger, 0.4, family="forest", state="pruned")
    ledger.tell(a_record(score=None, state="failed"), kind="cpu")

    assert ledger.decided == 3


def test_time_and_recent_trials_tell_how_many_to_expect() -> None:
    ledger = a_ledger(budget_s=120.0)
    assert ledger.trials_in_time("tree", math.inf) == math.inf, "nobody knows what one takes"

    tell(ledger, 0.5, 0.6, seconds=2.0)
    assert ledger.trials_in_time("tree", math.inf) == 30, "half of its time is the other family's"
    assert ledger.trials_in_time("tree", 20.0) == 6, "the run ends sooner: four seconds are used, twenty are left"
    assert ledger.trials_in_time("forest", math.inf) == math.inf

    ledger.families["forest"].closed = "it only failed"
    assert ledger.trials_in_time("tree", math.inf) == 60


def test_where_trials_are_counted_time_does_not_limit_them() -> None:
    ledger = a_ledger(budget_s=None, budget_trials=10)
    tell(ledger, 0.5, 0.6, seconds=2.0)

    assert ledger.trials_in_time("tree", 20.0) == math.inf


def test_every_job_is_charged_even_a_failed_one() -> None:
    ledger = a_ledger()

    ledger.tell(a_record(seconds=3.0), kind="cpu")
    ledger.tell(a_record(score=None, state="failed", seconds=4.0), kind="gpu")

    assert ledger.families["tree"].seconds == {"cpu": 3.0, "gpu": 4.0}


def test_failures_in_a_row_start_anew_after_a_success() -> None:
    ledger = a_ledger()
    family = ledger.families["tree"]

    for _ in range(3):
        ledger.tell(a_record(score=None, state="failed"), kind="cpu")
    assert family.failed_in_a_row == 3
    tell(ledger, 0.5)

    assert family.failed_in_a_row == 0
    assert family.failed == 3


def test_a_typical_length_is_taken_of_the_latest_trials_that_had_steps() -> None:
    ledger = a_ledger()
    family = ledger.families["tree"]
    assert (family.typical_s, family.typical_step_s) == (0.0, 0.0)

    for seconds in (100.0, *[2.0] * 20):
        ledger.tell(a_record(seconds=seconds, step_seconds=(seconds / 2, seconds / 2)), kind="cpu")
    ledger.tell(a_record(score=None, state="failed", seconds=900.0, step_seconds=()), kind="cpu")

    assert (family.typical_s, family.typical_step_s) == (2.0, 1.0)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_of_each_family_the_best_few_keep_their_models(direction: str) -> None:
    ledger = a_ledger(direction)
    scores = list(range(10))
    random.Random(3).shuffle(scores)
    kept: set[str] = set()

    for score in scores:
        record = a_record(f"cars/tree/{score}", score=float(score), models_kept=True)
        kept.add(record.trial)
        kept -= set(ledger.keep_models(record))

    best = sorted(scores, reverse=direction == "maximize")[:KEEP_MODELS]
    assert kept == {f"cars/tree/{score}" for score in best}
    assert ledger.keep_models_beyond("tree") == best[-1]
    assert ledger.keep_models_beyond("forest") is None


def test_while_a_family_has_few_models_any_is_kept() -> None:
    ledger = a_ledger()

    for score in range(KEEP_MODELS - 1):
        assert ledger.keep_models(a_record(f"cars/tree/{score}", score=float(score))) == []

    assert ledger.keep_models_beyond("tree") is None


def test_of_equal_models_the_first_are_kept() -> None:
    ledger = a_ledger()
    for number in range(KEEP_MODELS):
        ledger.keep_models(a_record(f"cars/tree/{number}", score=1.0))

    assert ledger.keep_models(a_record("cars/tree/99", score=1.0)) == ["cars/tree/99"]


@pytest.mark.parametrize(("direction", "expected"), [("maximize", 270.0), ("minimize", 29.0)])
def test_the_test_rows_are_predicted_for_the_top_tenth(direction: str, expected: float) -> None:
    ledger = a_ledger(direction)

    tell(ledger, *[float(i) for i in range(300)])

    assert ledger.predict_test_beyond() == expected


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@given(scores=st.lists(st.integers(0, 200).map(float), min_size=1, max_size=60))
def test_the_test_rows_of_the_best_twenty_were_predicted_whatever_the_order(
    direction: str, scores: list[float],
) -> None:
    ledger = a_ledger(direction)
    predicted = []
    for score in scores:
        bar = ledger.predict_test_beyond()
        if bar is None or ledger.better(score, bar):
            predicted.append(score)
        tell(ledger, score)

    best = sorted(scores, reverse=direction == "maximize")[:SURE_OF_TEST]
    assert not Counter(best) - Counter(predicted)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@given(scores=st.lists(st.floats(-10, 10), min_size=1, max_size=30), error=st.floats(0, 5))
def test_models_within_one_standard_error_are_counted(direction: str, scores: list[float], error: float) -> None:
    ledger = a_ledger(direction)
    tell(ledger, *scores, standard_error=error)
    best = max(scores) if direction == "maximize" else min(scores)

    near = [s for s in scores if (s >= best - error if direction == "maximize" else s <= best + error)]

    assert ledger.within_error() == len(near) >= 1


def test_without_a_best_nothing_is_near_it() -> None:
    assert a_ledger().within_error() == 0


def test_the_budgets_see_told_seconds_and_those_under_way() -> None:
    ledger = a_ledger(budget_trials=9)
    tell(ledger, 0.5, seconds=2.0)
    ledger.families["tree"].begun = 2
    ledger.families["forest"].closed = "no point left"

    use = ledger.use({"tree": {"cpu": 5.0, "gpu": 1.0}}, 1)

    assert (use.name, use.budget_s, use.budget_trials, use.decided, use.under_way) == ("cars", 100.0, 9, 1, 1)
    assert use.families["tree"].seconds == {"cpu": 7.0, "gpu": 1.0}
    assert use.families["tree"].begun == 2
    assert use.families["forest"].closed
    assert ledger.families["tree"].seconds == {"cpu": 2.0}


def test_folds_are_timed_by_kind_of_slot_once_there_are_three_trials() -> None:
    ledger = a_ledger()
    ledger.families["tree"].kinds = frozenset({"cpu", "gpu"})
    for seconds in (1.0, 2.0, 9.0):
        ledger.tell(a_record(step_seconds=(seconds, seconds)), kind="cpu")
    for _ in range(2):
        ledger.tell(a_record(step_seconds=(0.5, 0.5)), kind="gpu")
    ledger.tell(a_record(score=None, state="failed", step_seconds=()), kind="gpu")

    assert ledger.use({}, 0).families["tree"].fold_s == {"cpu": 2.0}
    ledger.tell(a_record(step_seconds=(0.5, 0.5)), kind="gpu")
    assert ledger.use({}, 0).families["tree"].fold_s == {"cpu": 2.0, "gpu": 0.5}


def test_a_trial_on_joined_slots_has_used_all_of_them() -> None:
    ledger = a_ledger()

    ledger.tell(a_record(seconds=3.0, slots=2), kind="cpu")

    assert ledger.use({}, 0).used_s == 6.0
    assert ledger.families["tree"].typical_s == 6.0


# What a family promises.


def test_a_family_promises_half_for_every_two_standard_errors_that_its_best_lacks() -> None:
    ledger = a_ledger(adaptive=True)
    tell(ledger, *(0.9,) * ENOUGH_TO_JUDGE, standard_error=0.01)
    tell(ledger, *(0.86,) * ENOUGH_TO_JUDGE, family="forest", standard_error=0.05)

    uses = ledger.use({}, 0).families

    assert uses["tree"].promise == 1.0
    assert uses["forest"].promise == pytest.approx(0.25)


def test_a_family_with_few_trials_promises_all_and_without_the_wish_nobody_asks() -> None:
    ledger = a_ledger(adaptive=True)
    tell(ledger, *(0.9,) * ENOUGH_TO_JUDGE, standard_error=0.01)
    tell(ledger, *(0.1,) * (ENOUGH_TO_JUDGE - 1), family="forest")

    assert ledger.use({}, 0).families["forest"].promise == 1.0
    assert a_ledger().use({}, 0).families["forest"].promise is None


@pytest.mark.parametrize(("trials", "seconds", "spared"), [(50, None, 40), (8, None, 0), (None, 100.0, 90)])
def test_models_are_spared_where_the_best_has_settled_before_the_budget_was_used(
    trials: int | None, seconds: float | None, spared: int,
) -> None:
    ledger = a_ledger()
    tell(ledger, *[0.5] * 10)
    ledger.budget_trials, ledger.budget_s = trials, seconds
    ledger.families["tree"].seconds = {"cpu": 10.0}
    assert ledger.spared_models() == 0

    ledger.settled = "its best have not changed"

    assert ledger.spared_models() == spared
