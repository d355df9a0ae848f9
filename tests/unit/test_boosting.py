"""What families of boosted trees have in common, by values."""

from __future__ import annotations

import pytest

from optimizer.models.boosting import deep, row_weight
from tests.stubs.makers import a_summary


@pytest.mark.parametrize("times", [1.0, 2.0])
def test_a_row_of_two_classes_or_of_a_value_weighs_what_it_always_did(times: float) -> None:
    assert row_weight(0, times) == row_weight(2, times) == 1.0


def test_a_row_of_many_classes_weighs_what_its_second_derivative_is_beside_a_quarter() -> None:
    assert row_weight(26) == pytest.approx((1 / 26) * (25 / 26) / 0.25)
    assert row_weight(26, times=2.0) == pytest.approx(2 * row_weight(26))
    assert row_weight(26, times=26 / 25) == pytest.approx(4 / 26)


def test_a_row_never_weighs_more_than_one_of_two_classes() -> None:
    assert row_weight(3, times=2.0) == 1.0


@pytest.mark.parametrize(("rows", "depth"), [(0, 0), (50, 0), (80, 0), (640, 3), (5_000, 6), (20_000, 8)])
def test_the_more_rows_the_deeper_a_tree_whose_leaves_hold_as_many(rows: int, depth: int) -> None:
    assert deep(a_summary(rows=rows), 80) == depth
