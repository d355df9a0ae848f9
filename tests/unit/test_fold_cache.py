"""What is kept between fits is bounded in number and in bytes."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.models.base import FoldCache


def zeros(cache: FoldCache, key: object, count: int) -> bool:
    """Ask for bytes under a key; whether they had to be made."""
    made = []

    def make() -> np.ndarray:
        made.append(True)
        return np.zeros(count, np.uint8)

    cache.get(key, make)
    return bool(made)


def test_what_was_kept_is_not_made_again() -> None:
    cache = FoldCache()

    assert zeros(cache, "a", 10)
    assert not zeros(cache, "a", 10)
    assert cache.held_bytes == 10


def test_what_was_used_least_recently_goes_first() -> None:
    cache = FoldCache(max_entries=2)
    for key in ("a", "b", "a", "c"):
        zeros(cache, key, 10)

    assert not zeros(cache, "a", 10)
    assert zeros(cache, "b", 10)
    assert cache.held_bytes == 20


def test_bytes_are_bounded_too() -> None:
    cache = FoldCache(max_bytes=100)
    for key in ("a", "b", "c"):
        zeros(cache, key, 40)

    assert cache.held_bytes == 80
    assert not zeros(cache, "c", 40)
    assert zeros(cache, "a", 40)


def test_what_does_not_fit_at_all_is_made_each_time_and_not_kept() -> None:
    cache = FoldCache(max_bytes=100)

    assert zeros(cache, "a", 101)
    assert zeros(cache, "a", 101)
    assert cache.held_bytes == 0


def test_a_cleared_cache_holds_nothing() -> None:
    cache = FoldCache()
    zeros(cache, "a", 10)

    cache.clear()

    assert cache.held_bytes == 0
    assert zeros(cache, "a", 10)


def test_a_failing_maker_leaves_the_cache_as_it_was() -> None:
    cache = FoldCache()
    zeros(cache, "a", 10)

    def fail() -> None:
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        cache.get("b", fail)
    assert cache.held_bytes == 10
    assert not zeros(cache, "a", 10)


@pytest.mark.parametrize(("library", "cell"), [("xgboost", 2), ("lightgbm", 2), ("catboost", 4)])
def test_the_data_of_each_library_has_a_size(library: str, cell: int) -> None:
    x, y = np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32), np.arange(1000.0) % 2

    def make() -> object:
        if library == "xgboost":
            import xgboost

            return xgboost.QuantileDMatrix(x, y)
        if library == "lightgbm":
            import lightgbm

            return lightgbm.Dataset(x, y, params={"verbosity": -1}).construct()
        import catboost

        return catboost.Pool(x, y)

    cache = FoldCache()
    cache.get("fold", lambda: (make(), make()))

    assert cache.held_bytes == 2 * (cell * 7 + 12) * 1000
