"""Which cut of the cores finishes most trials, decided by values."""

from __future__ import annotations

import pytest

from optimizer.layout import Measured, blocks, choose, gain_of, memory_for, next_width, widths


def a_measurement(family: str = "tree", width: int = 2, single_s: float = 1.0, joined_s: float = 0.6) -> Measured:
    return Measured(family=family, width=width, single_s=single_s, joined_s=joined_s)


@pytest.mark.parametrize(("slots", "expected"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 3, 6)), (7, (1, 7))])
def test_slots_are_joined_without_leaving_any_over(slots: int, expected: tuple[int, ...]) -> None:
    assert widths(slots) == expected


def test_neighbours_are_joined() -> None:
    assert blocks(("a", "b", "c", "d"), 2) == (("a", "b"), ("c", "d"))


def test_two_threads_that_are_less_than_twice_as_fast_lose() -> None:
    choice = choose([a_measurement(joined_s=0.6)], slots=2, at_once=2)

    assert choice.width == 1
    assert choice.reason == "2 joined slots finish 0.83 times the trials of the same slots singly (tree 0.83)"


def test_slots_that_stand_in_each_others_way_are_joined() -> None:
    assert choose([a_measurement(joined_s=0.4)], slots=2, at_once=2).width == 2


def test_a_gain_within_noise_is_none() -> None:
    assert choose([a_measurement(joined_s=0.49)], slots=2, at_once=2).width == 1


def test_where_memory_holds_one_job_only_its_slots_are_joined() -> None:
    choice = choose([a_measurement(joined_s=0.6)], slots=2, at_once=1)

    assert choice.width == 2
    assert choice.reason == ("2 joined slots finish 1.67 times the trials of the same slots singly (tree 0.83); "
                             "there is memory for 1 at once")


def test_every_family_counts_the_same_however_often_it_was_measured() -> None:
    measured = [a_measurement("a", joined_s=0.5), *[a_measurement("b", joined_s=0.25)] * 3]

    assert gain_of(measured, 2) == pytest.approx(2 ** 0.5)


def test_one_odd_measurement_of_three_changes_nothing() -> None:
    assert gain_of([a_measurement(joined_s=x) for x in (0.5, 0.05, 0.5)], 2) == pytest.approx(1.0)


def test_nothing_is_joined_where_nothing_was_measured() -> None:
    assert choose([], slots=2, at_once=1).width == 1


def test_wider_layouts_are_looked_at_while_the_last_one_won() -> None:
    assert next_width([], 4, ["tree"], times=1, at_once=4) == 2
    assert next_width([a_measurement(joined_s=0.6)], 4, ["tree"], times=1, at_once=4) is None
    assert next_width([a_measurement(joined_s=0.4)], 4, ["tree"], times=1, at_once=4) == 4
    assert next_width([a_measurement(joined_s=0.6)], 4, ["tree"], times=1, at_once=1) == 4


def test_a_layout_that_is_far_behind_is_measured_three_times_only() -> None:
    behind = [a_measurement("a", joined_s=0.7)] * 2

    assert next_width(behind, 4, ["a", "b"], times=3, at_once=4) == 2
    assert next_width([*behind, a_measurement("b", joined_s=0.6)], 4, ["a", "b"], times=3, at_once=4) is None
    assert next_width([*behind, a_measurement("b", joined_s=0.5)], 4, ["a", "b"], times=3, at_once=4) == 2
    assert next_width([*behind, *behind], 4, ["a", "b"], times=3, at_once=1) == 2, "memory may speak for it"


def test_one_measurement_that_is_near_does_not_keep_a_layout_that_is_far_behind() -> None:
    behind = [a_measurement("a", joined_s=x) for x in (0.58, 0.72)]

    assert next_width([*behind, a_measurement("b", joined_s=0.547)], 2, ["a", "b"], times=3, at_once=2) == 2
    assert next_width([*behind, *[a_measurement("b", joined_s=x) for x in (0.547, 0.62)]], 2, ["a", "b"], times=3,
                      at_once=2) is None


def test_a_width_is_known_when_every_family_was_measured_often_enough() -> None:
    assert next_width([a_measurement("a")], 2, ["a", "b"], times=1, at_once=2) == 2
    assert next_width([a_measurement("a")], 2, ["a"], times=2, at_once=2) == 2


@pytest.mark.parametrize(("needed", "expected"), [(0.0, 4), (100.0, 4), (250.0, 4), (400.0, 2), (2000.0, 1)])
def test_memory_holds_at_least_one_job(needed: float, expected: int) -> None:
    assert memory_for(1000.0, needed, 4) == expected
