"""Pauses before something that failed is tried again."""

from __future__ import annotations

from optimizer.backoff import pause_s


def test_a_pause_doubles_up_to_its_bound_however_often_it_failed() -> None:
    assert [pause_s(n, first_s=2.0, most_s=15.0) for n in (1, 2, 3, 4, 5, 5000)] == [2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
