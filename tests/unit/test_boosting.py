"""What families of boosted trees have in common, by values."""

from __future__ import annotations

import pytest

from optimizer.models.boosting import row_weight


@pytest.mark.parametrize("times", [1.0, 2.0])
def test_a_row_of_two_classes_or_of_a_value_weighs_what_it_always_did(times: float) -> None:
    assert row_weight(0, times) == row_weight(2, times) == 1.0


def test_a_row_of_many_classes_weighs_what_its_second_derivative_is_beside_a_quarter() -> None:
    assert row_weight(26) == pytest.approx((1 / 26) * (25 / 26) / 0.25)
    assert row_weight(26, times=2.0) == pytest.approx(2 * row_weight(26))
    assert row_weight(26, times=26 / 25) == pytest.approx(4 / 26)


def test_a_row_never_weighs_more_than_one_of_two_classes() -> None:
    assert row_weight(3, times=2.0) == 1.0
