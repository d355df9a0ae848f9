"""A search space as a value: narrowed, hashed, asked and enumerated."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs.makers import SPACE, a_summary

from optimizer.errors import UserError
from optimizer.models import family_names, load_family
from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace, When, grid_values, widened

# Narrowing.


def domain_of(space: SearchSpace, name: str) -> object:
    return next(p.domain for p in space.parameters if p.name == name)


def test_a_single_value_fixes_a_parameter() -> None:
    space = SPACE.narrowed("tree", {"depth": 5})

    assert "depth" not in {p.name for p in space.parameters}
    assert space.fixed == {"iterations": 100, "depth": 5}


def test_a_list_gives_the_choices_and_says_each_once() -> None:
    space = SPACE.narrowed("tree", {"depth": [3, 5, 3], "bootstrap": ["no"]})

    assert domain_of(space, "depth") == Categorical((3, 5))
    assert domain_of(space, "bootstrap") == Categorical(("no",))


def test_a_range_keeps_what_it_does_not_name() -> None:
    space = SPACE.narrowed("tree", {"rate": {"high": 0.5}, "depth": {"low": 1, "high": 12, "log": True}})

    assert domain_of(space, "rate") == Float(0.01, 0.5, log=True)
    assert domain_of(space, "depth") == Int(1, 12, log=True)


def test_a_condition_outlives_the_narrowing_of_its_parameter() -> None:
    space = SPACE.narrowed("tree", {"temperature": {"high": 1.0}})

    assert next(p.when for p in space.parameters if p.name == "temperature") == When("bootstrap", ("bayesian",))


def test_a_fixed_value_takes_another_of_its_kind() -> None:
    assert SPACE.narrowed("tree", {"iterations": 50}).fixed == {"iterations": 50}


@pytest.mark.parametrize(("overrides", "message"), [
    ({"dept": 3}, "tree has no parameter 'dept'; did you mean 'depth'?"),
    ({"depth": "deep"}, "tree.depth: found 'deep', expected a whole number"),
    ({"depth": 2.5}, "tree.depth: found 2.5, expected a whole number"),
    ({"depth": True}, "tree.depth: found True, expected a whole number"),
    ({"depth": [3, "x"]}, "tree.depth: found 'x', expected a whole number"),
    ({"depth": []}, "tree.depth: an empty list leaves nothing to choose from; give at least one value"),
    ({"depth": {"low": 2.5}}, "tree.depth.low: found 2.5, expected a whole number"),
    ({"depth": {"low": 9}}, "tree.depth: low 9 is above high 8; swap them"),
    ({"depth": {"from": 1}}, "tree.depth: a range has low, high and log; found 'from'"),
    ({"rate": math.nan}, "tree.rate: found nan, expected a number"),
    ({"rate": math.inf}, "tree.rate: found inf, expected a number"),
    ({"rate": {"high": math.inf}}, "tree.rate.high: found inf, expected a number"),
    ({"rate": {"low": "x"}}, "tree.rate.low: found 'x', expected a number"),
    ({"rate": {"low": 0}}, "tree.rate: a logarithmic range starts above 0; low is 0"),
    ({"rate": {"log": "yes"}}, "tree.rate.log: found 'yes', expected true or false"),
    ({"bootstrap": "maybe"}, "tree.bootstrap: found 'maybe', expected one of ['bayesian', 'bernoulli', 'no']"),
    ({"bootstrap": {"low": 1}},
     "tree.bootstrap is a choice among ['bayesian', 'bernoulli', 'no']; give one value or a list of them"),
    ({"iterations": [10, 20]}, "tree.iterations is not searched, it is 100; give one value"),
    ({"iterations": {"low": 10}}, "tree.iterations is not searched, it is 100; give one value"),
    ({"iterations": "many"}, "tree.iterations: found 'many', expected a value like 100"),
    ({"iterations": True}, "tree.iterations: found True, expected a value like 100"),
])
def test_what_does_not_fit_is_said_and_mended(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        SPACE.narrowed("tree", overrides)

    assert str(caught.value) == message


# Identity.


def changed_spaces() -> dict[str, SearchSpace]:
    first, *rest = SPACE.parameters
    return {
        "a bound": SPACE.narrowed("tree", {"rate": {"high": 0.5}}),
        "a scale": SPACE.narrowed("tree", {"rate": {"log": False}}),
        "a choice": SPACE.narrowed("tree", {"bootstrap": ["no", "bernoulli"]}),
        "fits on a part of the rows": msgspec.structs.replace(SPACE, max_rows=500),
        "a fixed value": SPACE.narrowed("tree", {"iterations": 200}),
        "a condition": SearchSpace((*SPACE.parameters[:-1], Parameter("temperature", Float(0.0, 2.0))), SPACE.fixed),
        "a name": SearchSpace((Parameter("eta", first.domain), *rest), SPACE.fixed),
        "a kind": SearchSpace((first, Parameter("depth", Float(2.0, 8.0)), *rest[1:]), SPACE.fixed),
    }


@pytest.mark.parametrize("what", changed_spaces())
def test_the_hash_changes_with(what: str) -> None:
    hashes = {SPACE.hash(), changed_spaces()[what].hash()}

    assert len(hashes) == 2
    assert all(len(h) == 16 for h in hashes)


def test_the_hash_is_the_same_in_every_process_and_order_of_fixed_values() -> None:
    one = SearchSpace((), {"a": 1, "b": 2})

    assert one.hash() == SearchSpace((), {"b": 2, "a": 1}).hash() == "4dba4e6cc711d241"


@pytest.mark.parametrize("family", family_names())
def test_a_familys_space_is_the_same_after_a_journey(family: str) -> None:
    space = load_family(family).describe(a_summary(categorical=2, max_cardinality=9)).space

    there = msgspec.json.decode(msgspec.json.encode(space), type=SearchSpace)

    assert there == space
    assert there.hash() == msgspec.json.decode(msgspec.json.encode(there), type=SearchSpace).hash()


@pytest.mark.parametrize(("rows", "deepest"), [(2, 4), (60, 4), (195, 5), (569, 6), (1280, 8), (100_000, 8)])
def test_catboosts_trees_are_shallower_where_a_leaf_would_have_few_rows(rows: int, deepest: int) -> None:
    described = load_family("catboost").describe(a_summary(rows=rows))

    assert domain_of(described.space, "depth") == Int(3, deepest)
    assert all(3 <= start["depth"] <= deepest for start in described.starts)


# Points.

INSIDE = {"rate": 0.1, "depth": 3, "bootstrap": "no"}


def test_a_point_is_inside_with_exactly_the_parameters_that_exist() -> None:
    assert SPACE.contains(INSIDE)
    assert SPACE.contains({**INSIDE, "bootstrap": "bayesian", "temperature": 1})


@pytest.mark.parametrize("point", [
    {**INSIDE, "temperature": 1.0},
    {**INSIDE, "bootstrap": "bayesian"},
    {**INSIDE, "rate": 2.0},
    {**INSIDE, "rate": math.nan},
    {**INSIDE, "depth": 3.0},
    {**INSIDE, "depth": True},
    {**INSIDE, "bootstrap": "maybe"},
    {**INSIDE, "iterations": 100},
    {"rate": 0.1},
    {},
])
def test_anything_else_is_outside(point: dict[str, Any]) -> None:
    assert not SPACE.contains(point)


def test_a_choice_is_told_from_its_lookalike() -> None:
    space = SearchSpace((Parameter("flag", Categorical((True, "1"))),))

    assert space.contains({"flag": True})
    assert not space.contains({"flag": 1})


def test_restricted_leaves_out_what_does_not_exist_here() -> None:
    told = SPACE.complete({**INSIDE, "temperature": 1.0, "old": 3})

    assert SPACE.restricted(told) == INSIDE


def test_a_condition_may_ask_for_a_fixed_value() -> None:
    on = SPACE.narrowed("tree", {"bootstrap": "bayesian"})
    off = SPACE.narrowed("tree", {"bootstrap": "no"})

    assert on.contains({"rate": 0.1, "depth": 3, "temperature": 0.5})
    assert off.contains({"rate": 0.1, "depth": 3})
    assert not off.contains({"rate": 0.1, "depth": 3, "temperature": 0.5})


# Enumeration, over any space.

numbers = st.floats(1e-6, 1e6)
domains = st.one_of(
    st.builds(lambda a, b, log: Float(min(a, b), max(a, b), log), numbers, numbers, st.booleans()),
    st.builds(lambda a, b, log: Int(min(a, b), max(a, b), log), st.integers(1, 50), st.integers(1, 50), st.booleans()),
    st.lists(st.sampled_from(["a", "b", 1, 2.5, None]), min_size=1, max_size=3, unique=True).map(
        lambda choices: Categorical(tuple(choices))),
)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Up to four parameters; any may depend on an earlier one, or on a fixed value."""
    parameters: list[Parameter] = []
    fixed = draw(st.dictionaries(st.sampled_from(["f", "g"]), st.sampled_from([1, 2]), max_size=1))
    for position in range(draw(st.integers(0, 4))):
        when = None
        earlier: dict[str, tuple[Any, ...]] = {p.name: grid_values(p.domain, 3) for p in parameters}
        earlier |= dict.fromkeys(fixed, (1, 2))
        if earlier and draw(st.booleans()):
            name = draw(st.sampled_from(sorted(earlier)))
            values = draw(st.lists(st.sampled_from(earlier[name]), min_size=1, max_size=2, unique=True))
            when = When(name, tuple(values))
        parameters.append(Parameter(f"p{position}", draw(domains), when))
    return SearchSpace(tuple(parameters), fixed)


@given(spaces(), st.integers(1, 4))
def test_enumeration_gives_points_of_the_space_without_repeats(space: SearchSpace, levels: int) -> None:
    points = list(space.enumerated(levels))

    assert all(space.contains(point) for point in points)
    assert len({msgspec.json.encode(point, order="sorted") for point in points}) == len(points) >= 1


@given(spaces(), st.integers(1, 4))
def test_the_size_of_a_grid_is_known_without_walking_it(space: SearchSpace, levels: int) -> None:
    assert space.grid_size(levels) == len(list(space.enumerated(levels)))


@given(spaces())
def test_a_point_stays_itself_when_completed_and_restricted_again(space: SearchSpace) -> None:
    for point in space.enumerated(2):
        assert space.restricted(space.complete(point)) == point


@settings(max_examples=50)
@given(domains, st.integers(2, 6))
def test_grid_values_span_their_domain_in_order(domain: Float | Int | Categorical, levels: int) -> None:
    values = grid_values(domain, levels)

    if isinstance(domain, Categorical):
        assert values == domain.choices
    else:
        assert (values[0], values[-1]) == (domain.low, domain.high)
        assert list(values) == sorted(set(values))
        assert len(values) <= levels


def test_a_grid_of_millions_with_conditions_is_counted_at_once() -> None:
    many = tuple(Parameter(f"p{i}", Float(0.0, 1.0)) for i in range(30))

    assert SearchSpace((*SPACE.parameters, *many)).grid_size() == 3 * 3 * (3 + 1 + 1) * 3**30


def test_numbers_outside_a_familys_own_range_are_said_so() -> None:
    own = SearchSpace((Parameter("rate", Float(0.02, 0.3, log=True)), Parameter("depth", Int(3, 10)),
                       Parameter("kind", Categorical(("a", "b")))))
    assert widened("tree", own, {"rate": 7, "kind": "a"}) == (
        "tree.rate: 7, outside the 0.02 to 0.3 in which tree searches by itself; taken as given",)
    assert widened("tree", own, {"depth": (2, 4, 12)}) == (
        "tree.depth: 2 and 12, outside the 3 to 10 in which tree searches by itself; taken as given",)
    assert widened("tree", own, {"rate": {"low": 0.001, "log": True}, "depth": {"high": 8}}) == (
        "tree.rate: 0.001, outside the 0.02 to 0.3 in which tree searches by itself; taken as given",)


@given(seed=st.integers(0, 10_000))
def test_a_point_drawn_at_random_is_one_of_the_space(seed: int) -> None:
    assert SPACE.contains(SPACE.random_point(random.Random(seed)))


def test_a_space_without_real_numbers_has_so_many_points_as_it_can_list() -> None:
    space = SearchSpace((Parameter("kind", Categorical(("a", "b"))), Parameter("n", Int(3, 7)),
                         Parameter("m", Int(1, 4, log=True), When("kind", ("b",)))))

    listed = [tuple(point.items()) for point in space.all_points()]

    assert space.size() == len(listed) == len(set(listed)) == 5 + 5 * 4
    assert SPACE.size() == math.inf
    assert SearchSpace((Parameter("x", Float(0.5, 0.5)),)).size() == 1
