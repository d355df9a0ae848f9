"""When a worker is replaced, asked of values."""

from __future__ import annotations

import pytest

from optimizer import growth
from optimizer.growth import MOST_JOBS, Growth, should_recycle
from optimizer.models.base import FoldCache

ROOM = 8192.0


def test_a_worker_that_keeps_growing_is_replaced_and_says_by_how_much() -> None:
    reason = should_recycle(300.0, [1000.0, 1500.0, 2000.0, 2500.0, 3000.0], ROOM, jobs=9)

    assert reason == "holds 2700 MiB more than at its start and 2000 more than 5 jobs ago"


def test_a_worker_that_has_grown_once_and_stays_there_is_kept() -> None:
    """A card's context, a large table: what the first job needed is needed by the next."""
    assert not should_recycle(300.0, [3000.0, 3010.0, 2990.0, 3020.0, 3000.0], ROOM, jobs=9)


def test_little_growth_is_free() -> None:
    assert not should_recycle(300.0, [400.0, 500.0, 600.0, 700.0, 800.0], ROOM, jobs=9)


def test_a_large_slot_gives_more_freely() -> None:
    grows = [1000.0, 1500.0, 2000.0, 2500.0, 3000.0]

    assert should_recycle(300.0, grows, 4096.0, jobs=9)
    assert not should_recycle(300.0, grows, 65536.0, jobs=9)


def test_a_small_slots_worker_goes_long_before_it_is_killed_for_its_cap() -> None:
    assert should_recycle(200.0, [250.0, 300.0, 350.0, 400.0, 450.0], 600.0, jobs=9)


def test_without_a_cap_half_a_gibibyte_is_free() -> None:
    assert not should_recycle(300.0, [400.0, 500.0, 600.0, 700.0, 812.0], None, jobs=9)
    assert should_recycle(300.0, [400.0, 500.0, 600.0, 700.0, 813.0], None, jobs=9)


def test_a_few_jobs_say_nothing() -> None:
    assert not should_recycle(300.0, [1000.0, 2000.0, 3000.0, 4000.0], ROOM, jobs=4)


def test_a_worker_that_is_larger_than_its_slot_from_the_start_is_not_replaced_for_standing_still() -> None:
    assert not should_recycle(300.0, [300.0] * 5, 200.0, jobs=9)


@pytest.mark.parametrize(("jobs", "replaced"), [(MOST_JOBS - 1, False), (MOST_JOBS, True)])
def test_many_jobs_are_enough_in_any_case(jobs: int, replaced: bool) -> None:
    assert bool(should_recycle(300.0, [300.0] * 5, ROOM, jobs)) == replaced


class Process:
    """Stands in for this process: what it holds, and what it gives back when asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held_mb = 300.0
        self.free_mb = 0.0
        self.asked = 0
        monkeypatch.setattr(growth, "_private_mb", lambda: self.held_mb + self.free_mb)
        monkeypatch.setattr(growth, "_return_free_pages", self._give_back)

    def _give_back(self) -> None:
        self.asked += 1
        self.free_mb = 0.0


def test_a_process_that_leaks_is_replaced_and_its_cache_was_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch)
    watched, cache = Growth(ROOM), FoldCache()
    reasons = []
    for _ in range(10):
        process.held_mb += 500
        reasons.append(watched.after_job(cache))

    assert reasons[:4] == [""] * 4
    assert reasons[4].startswith("holds 2500 MiB more")


def test_what_the_cache_holds_is_no_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch)
    watched, cache = Growth(ROOM), FoldCache()
    for _ in range(10):
        cache.held_bytes += 500 * 2**20
        process.held_mb += 500

        assert not watched.after_job(cache)
    assert not process.asked


def test_memory_that_comes_back_when_asked_for_is_no_leak_and_is_not_asked_for_after_every_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = Process(monkeypatch)
    watched, cache = Growth(ROOM), FoldCache()
    cache.get("fold", lambda: "kept")
    for _ in range(30):
        process.free_mb += 500

        assert not watched.after_job(cache)
    assert 1 <= process.asked <= 2
    assert cache.get("fold", lambda: "made again") == "kept"
