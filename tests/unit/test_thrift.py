"""A sampler that weighs what a point costs looks where as much is known sooner, and is plain TPE otherwise."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest
from stubs.makers import a_record

from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace, When
from optimizer.strategies import load_sampler
from optimizer.strategies.base import Sampler
from optimizer.strategies.samplers.tpe import made
from optimizer.strategies.thrift import ThriftyTPESampler
from optimizer.study.searcher import Searcher

#: The lower x, the longer a fold takes; the kind has nothing to do with it.
SPACE = SearchSpace((Parameter("x", Float(0.01, 1.0, log=True)), Parameter("depth", Int(1, 8)),
                     Parameter("kind", Categorical(("a", "b")))))
GROUPED = SearchSpace((Parameter("kind", Categorical(("a", "b"))), Parameter("x", Float(0.01, 1.0, log=True)),
                       Parameter("only", Float(0.0, 1.0), When("kind", ("b",)))))


class _Thrift(Sampler):
    """A sampler of so much thrift."""

    def __init__(self, thrift: float) -> None:
        self.thrift = thrift

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> Any:
        return made(ThriftyTPESampler, space, seed, workers, thrift=self.thrift)


def searched(
    sampler: Any, score: Any, count: int, space: SearchSpace = SPACE, seed: int = 1,
) -> list[dict[str, Any]]:
    """The points of a search whose folds take 0.1 / x seconds, and more where they are deep."""
    searcher = Searcher(space=space, starts=(), sampler=sampler, maximize=True, seed=seed, workers=1)
    points = []
    for number in range(count):
        point = searcher.ask(f"cars/tree/{number}")
        assert point is not None
        points.append(point)
        seconds = 0.1 / point["x"] * point.get("depth", 1)
        searcher.tell(a_record(f"cars/tree/{number}", params=point, score=score(point), step_seconds=(seconds,) * 3))
    return points


@pytest.mark.parametrize("space", [SPACE, GROUPED], ids=["flat", "grouped"])
def test_without_thrift_it_is_plain_tpe(space: SearchSpace) -> None:
    def score(point: dict[str, Any]) -> float:
        return -abs(point["x"] - 0.2)

    assert searched(_Thrift(0.0), score, 50, space) == searched(load_sampler("tpe"), score, 50, space)


def test_where_all_score_alike_it_looks_where_folds_are_short() -> None:
    def late_seconds(thrift: float, seed: int) -> float:
        chance = random.Random(seed)
        late = searched(_Thrift(thrift), lambda _: chance.random(), 100, seed=seed)[50:]
        return statistics.fmean(0.1 / p["x"] * p["depth"] for p in late)

    plain, thrifty, miserly = (statistics.fmean(late_seconds(thrift, seed) for seed in range(5))
                               for thrift in (0.0, 0.3, 1.0))
    assert miserly < thrifty < 0.6 * plain


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
