"""A sampler that asks what points cost begins where they are known soon, and is plain TPE where it shall be."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from stubs.makers import a_record

from optimizer.records import TrialRecord
from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace, When
from optimizer.strategies import load_sampler
from optimizer.strategies.base import Outlook, Sampler
from optimizer.strategies.parzen import FrugalTPESampler
from optimizer.strategies.samplers.tpe import made
from optimizer.strategies.thrift import ThriftyTPESampler
from optimizer.study.frozen import distributions
from optimizer.study.searcher import Searcher

#: The lower x, the longer a fold takes; the kind has nothing to do with it.
SPACE = SearchSpace((Parameter("x", Float(0.01, 1.0, log=True)), Parameter("depth", Int(1, 8)),
                     Parameter("kind", Categorical(("a", "b")))))
GROUPED = SearchSpace((Parameter("kind", Categorical(("a", "b"))), Parameter("x", Float(0.01, 1.0, log=True)),
                       Parameter("only", Float(0.0, 1.0), When("kind", ("b",)))))


class _Thrift(Sampler):
    """A sampler of so much thrift after the start."""

    def __init__(self, thrift: float) -> None:
        self.thrift = thrift

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> Any:
        return made(ThriftyTPESampler, space, seed, workers, thrift=self.thrift)


def searched(
    sampler: Any, score: Any, count: int, space: SearchSpace = SPACE, seed: int = 1, starts: Sequence[Any] = (),
) -> list[dict[str, Any]]:
    """The points of a search whose folds take 0.1 / x seconds, and more where they are deep."""
    searcher = Searcher(space=space, starts=starts, sampler=sampler, maximize=True, seed=seed, workers=1)
    points = []
    for number in range(count):
        point = searcher.ask(f"cars/tree/{number}")
        assert point is not None
        points.append(point)
        seconds = 0.1 / point["x"] * point.get("depth", 1)
        searcher.tell(a_record(f"cars/tree/{number}", params=point, score=score(point), step_seconds=(seconds,) * 3))
    return points


class _Plain(Sampler):
    """Without any thought of costs."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> Any:
        return made(FrugalTPESampler, space, seed, workers)


@pytest.mark.parametrize("space", [SPACE, GROUPED], ids=["flat", "grouped"])
def test_with_time_for_many_trials_it_is_plain_tpe_after_the_start(space: SearchSpace) -> None:
    def score(point: dict[str, Any]) -> float:
        return -abs(point["x"] - 0.2)

    def asked_after(records: list[TrialRecord], sampler: Sampler, in_time: float) -> list[Any]:
        searcher = Searcher(space=space, starts=(), sampler=sampler, maximize=True, seed=2, workers=1)
        searcher.restore(records)
        return [searcher.ask(f"cars/tree/{number}", Outlook(in_time=in_time)) for number in range(100, 110)]

    records = [a_record(f"cars/tree/{number}", params=point, score=score(point), step_seconds=(0.1 / point["x"],) * 3)
               for number, point in enumerate(searched(_Plain(), score, 20, space))]

    plain = asked_after(records, _Plain(), 1000)
    assert asked_after(records, load_sampler("tpe"), 1000) == plain
    assert asked_after(records, load_sampler("thrifty_tpe"), 1000) != plain
    assert asked_after(records, load_sampler("tpe"), 50) == asked_after(records, load_sampler("thrifty_tpe"), 1000)


def test_where_all_score_alike_it_looks_where_folds_are_short() -> None:
    def late_seconds(thrift: float, seed: int) -> float:
        chance = random.Random(seed)
        # The same first points for all: this is about the later ones.
        first = searched(_Plain(), lambda _: 0.5, 10, seed=seed)
        late = searched(_Thrift(thrift), lambda _: chance.random(), 100, seed=seed, starts=first)[50:]
        return statistics.fmean(0.1 / p["x"] * p["depth"] for p in late)

    plain, thrifty, miserly = (statistics.fmean(late_seconds(thrift, seed) for seed in range(12))
                               for thrift in (0.0, 0.3, 1.0))
    assert miserly < thrifty < 0.6 * plain


@pytest.mark.parametrize("space", [SPACE, GROUPED], ids=["flat", "grouped"])
def test_at_the_start_short_folds_are_likelier(space: SearchSpace) -> None:
    def early_seconds(sampler: Sampler) -> float:
        return statistics.median(0.1 / p["x"] * p.get("depth", 1) for seed in range(12)
                                 for p in searched(sampler, lambda _: 0.5, 10, space, seed)[2:])

    # Not as a matter of course: dear points are drawn, too.
    assert 0.1 * early_seconds(_Plain()) < early_seconds(load_sampler("tpe")) < 0.6 * early_seconds(_Plain())


def test_small_steps_are_held_to_be_dear_before_anything_is_known() -> None:
    space = SearchSpace((Parameter("learning_rate", Float(0.01, 1.0, log=True)),))
    sampler = made(ThriftyTPESampler, space, 1, 1, thrift=0.3)
    sampler._space = distributions(space, {"learning_rate": 0.1})

    first, second = sampler._expected_costs({"learning_rate": np.asarray([0.02, 0.2])})

    assert first - second == pytest.approx(math.log(10))


def test_where_the_dear_ones_are_better_it_finds_them() -> None:
    late = searched(load_sampler("thrifty_tpe"), lambda p: -abs(p["x"] - 0.03), 90)[50:]

    assert statistics.median(p["x"] for p in late) < 0.06


def test_a_fold_that_was_cut_short_says_nothing_of_the_cost() -> None:
    searcher = Searcher(space=SPACE, starts=(), sampler=_Thrift(0.5), maximize=True, seed=1, workers=1)
    point = searcher.ask("cars/tree/0")
    assert point is not None
    searcher.tell(a_record("cars/tree/0", params=point, state="pruned", cut=True, score=0.5, fold_scores=(0.5,),
                           step_seconds=(3.0, 0.1)))
    sampler = searcher._study.sampler

    assert isinstance(sampler, ThriftyTPESampler)
    assert list(sampler._costs.values()) == [pytest.approx(1.0986, abs=1e-3)]


def test_costs_outlive_a_restart() -> None:
    first = Searcher(space=SPACE, starts=(), sampler=_Thrift(0.5), maximize=True, seed=1, workers=1)
    records = []
    for number in range(30):
        point = first.ask(f"cars/tree/{number}")
        assert point is not None
        records.append(a_record(f"cars/tree/{number}", params=point, score=0.5, step_seconds=(0.1 / point["x"],)))
        first.tell(records[-1])
    second = Searcher(space=SPACE, starts=(), sampler=_Thrift(0.5), maximize=True, seed=1, workers=1)

    second.restore(records)

    assert isinstance(second._study.sampler, ThriftyTPESampler)
    assert isinstance(first._study.sampler, ThriftyTPESampler)
    assert sorted(second._study.sampler._costs.values()) == sorted(first._study.sampler._costs.values())
