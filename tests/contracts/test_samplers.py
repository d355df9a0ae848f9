"""What every sampler promises, asked of each one found in the folder."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest
from stubs.makers import SPACE, a_record, a_summary

from optimizer.models import family_names, load_family
from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace, When
from optimizer.strategies import load_sampler, sampler_names
from optimizer.study.searcher import Searcher

SPACES = {
    "conditional": SPACE,
    "flat": SearchSpace((Parameter("x", Float(0.0, 1.0)), Parameter("n", Int(1, 100, log=True)))),
    "choices of several types": SearchSpace((Parameter("c", Categorical((None, True, 1.5, "a", 3))),
                                             Parameter("x", Float(1e-9, 1e9, log=True)))),
    "a condition on a condition": SearchSpace((
        Parameter("a", Categorical(("on", "off"))),
        Parameter("b", Categorical(("on", "off")), When("a", ("on",))),
        Parameter("c", Float(0.0, 1.0), When("b", ("on",))))),
    "a single point": SearchSpace((Parameter("x", Float(0.5, 0.5)), Parameter("n", Int(3, 3)))),
}
#: Samplers that enumerate: they end.
ENUMERATING = {name for name in sampler_names() if load_sampler(name).points(SPACE, lambda count: []) is not None}


def points(sampler: str, space: SearchSpace, count: int, *, seed: int = 5, tell: bool = True) -> list[dict[str, Any]]:
    """The first so many points of a search in which every trial is told before the next is asked."""
    searcher = Searcher(space=space, starts=(), sampler=load_sampler(sampler), maximize=True, seed=seed, workers=2)
    asked = []
    for number in range(count):
        point = searcher.ask(f"cars/tree/{number}")
        if point is None:
            break
        asked.append(point)
        if tell:
            score = len(msgspec.json.encode(point)) % 7 / 7
            searcher.tell(a_record(f"cars/tree/{number}", params=point, score=score))
    return asked


def key(point: dict[str, Any]) -> bytes:
    return msgspec.json.encode(point, order="sorted")


def test_there_are_samplers() -> None:
    assert {"tpe", "random", "qmc", "grid", "coarse_to_fine"} <= set(sampler_names())
    assert {"grid", "coarse_to_fine"} == ENUMERATING


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", sampler_names())
def test_every_point_lies_in_the_space_and_keeps_its_conditions(sampler: str, space: str) -> None:
    for point in points(sampler, SPACES[space], 30):
        assert SPACES[space].contains({k: v for k, v in point.items() if k not in SPACES[space].fixed}), point


@pytest.mark.parametrize("sampler", sampler_names())
def test_every_point_of_a_family_can_be_sent_and_comes_back_the_same(sampler: str) -> None:
    for name in family_names():
        family, summary = load_family(name), a_summary(categorical=1, max_cardinality=5)
        if summary.task not in family.tasks:
            continue
        space = family.describe(summary).space
        for point in points(sampler, space, 12):
            assert msgspec.json.decode(msgspec.json.encode(point)) == point
            assert space.contains(space.restricted(point))


@pytest.mark.parametrize("sampler", sampler_names())
def test_the_same_seed_and_results_give_the_same_points(sampler: str) -> None:
    assert points(sampler, SPACE, 25) == points(sampler, SPACE, 25)


@pytest.mark.parametrize("sampler", sorted(set(sampler_names()) - ENUMERATING))
def test_another_seed_gives_other_points(sampler: str) -> None:
    assert points(sampler, SPACE, 10, seed=1) != points(sampler, SPACE, 10, seed=2)


@pytest.mark.parametrize("sampler", sampler_names())
def test_points_differ_even_while_no_result_is_known(sampler: str) -> None:
    """As many workers ask at once as there are slots."""
    asked = points(sampler, SPACE, 16, tell=False)

    assert len({key(point) for point in asked}) == 16


@pytest.mark.parametrize("sampler", sorted(set(sampler_names()) - ENUMERATING))
def test_all_of_the_space_is_looked_at(sampler: str) -> None:
    asked = points(sampler, SPACES["flat"], 60)

    tenths = {int(point["x"] * 10) for point in asked}
    assert len(tenths) >= 6
    assert min(point["n"] for point in asked) < 10 < max(point["n"] for point in asked)


# Grids.

GRIDS = ("grid",)

@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", GRIDS)
def test_a_grid_never_repeats_and_ends(sampler: str, space: str) -> None:
    size = SPACES[space].grid_size()

    asked = points(sampler, SPACES[space], size + 1)

    assert len(asked) == len({key(point) for point in asked}) == size


@pytest.mark.parametrize("sampler", GRIDS)
def test_a_grid_that_is_resumed_asks_the_rest_in_the_same_order(sampler: str) -> None:
    whole = points(sampler, SPACE, 45)
    told = [a_record(f"cars/tree/{number}", params=point) for number, point in enumerate(whole[:20])]
    resumed = Searcher(space=SPACE, starts=(), sampler=load_sampler(sampler), maximize=True, seed=9, workers=2)

    resumed.restore(told)
    rest = [resumed.ask(f"cars/tree/{number}") for number in range(20, 45)]

    assert rest == whole[20:]


@pytest.mark.parametrize("sampler", GRIDS)
def test_a_grid_that_ends_early_has_seen_all_corners(sampler: str) -> None:
    """A walk in order would stay at the first value of the first parameter for a third of the night."""
    size = SPACE.grid_size()

    asked = points(sampler, SPACE, size // 3)

    for name in ("rate", "depth", "bootstrap"):
        assert len({point[name] for point in asked}) == 3


@pytest.mark.parametrize("sampler", GRIDS)
def test_a_grid_too_large_to_shuffle_is_walked_without_being_held(sampler: str) -> None:
    space = SearchSpace(tuple(Parameter(f"p{i}", Float(0.0, 1.0)) for i in range(40)))
    walk = load_sampler(sampler).points(space, lambda count: [])
    assert walk is not None

    first = list(itertools.islice(walk, 100))

    assert len({key(point) for point in first}) == 100


# From coarse to fine.

BOWL = SearchSpace((Parameter("x", Float(0.0, 1.0)), Parameter("rate", Float(1e-4, 1.0, log=True)),
                    Parameter("n", Int(1, 200)), Parameter("kind", Categorical(("a", "b", "c"))),
                    Parameter("heat", Float(0.0, 4.0), When("kind", ("b",)))))


def depth(point: dict[str, Any]) -> float:
    """How far from the lowest place of a bowl, which is between the points of the coarse grid."""
    away = (point["x"] - 0.31) ** 2 + (math.log10(point["rate"]) / 4 + 0.4) ** 2 + ((point["n"] - 140) / 200) ** 2
    return away + (0.0 if point["kind"] == "b" else 0.5) + ((point.get("heat", 0.0) - 1.2) / 4) ** 2


def searched(count: int, told: int = 0) -> list[dict[str, Any]]:
    """A search of the bowl; after ``told`` trials it is begun anew from what was told."""
    asked: list[dict[str, Any]] = []
    records: list[Any] = []
    searcher = None
    for number in range(count):
        if searcher is None or number == told:
            searcher = Searcher(space=BOWL, starts=(), sampler=load_sampler("coarse_to_fine"), maximize=False, seed=1,
                                workers=2)
            searcher.restore(records)
        point = searcher.ask(f"cars/tree/{number}")
        if point is None:
            break
        asked.append(point)
        records.append(a_record(f"cars/tree/{number}", params=point, score=depth(point)))
        searcher.tell(records[-1])
    return asked


def test_ever_finer_grids_come_near_to_what_no_coarse_grid_has() -> None:
    asked = searched(1000)
    coarse = min(depth(point) for point in asked[:30])
    assert min(depth(point) for point in asked[:150]) < 0.2 * coarse
    assert min(depth(point) for point in asked) < 0.002


def test_from_coarse_to_fine_never_repeats_and_goes_on_as_long_as_there_is_time() -> None:
    asked = searched(2000)
    assert len({key(point) for point in asked}) == len(asked) == 2000


def test_from_coarse_to_fine_ends_where_there_is_nothing_new() -> None:
    space = SearchSpace((Parameter("n", Int(1, 20)), Parameter("kind", Categorical(("a", "b")))))
    asked = points("coarse_to_fine", space, 100)
    assert len({key(point) for point in asked}) == len(asked) == 40


def test_from_coarse_to_fine_goes_on_after_a_restart() -> None:
    asked = searched(200, told=60)
    assert len({key(point) for point in asked}) == len(asked) > 100
    assert min(depth(point) for point in asked) < 0.01
