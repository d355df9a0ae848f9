"""Memory is shared out: what a job reserves, when it fits, who holds too much, and who gets a second chance."""

from __future__ import annotations

import pytest

from optimizer.scheduler.memory import (
    Holding,
    fits,
    for_jobs,
    reservation,
    scarce,
    second_chance,
    to_give_back,
    too_much,
)


def a_holding(slot: str, held: float, *, reserved: float = 1000.0, cap: float = 1000.0) -> Holding:
    return Holding(slot=slot, held_mb=held, reserved_mb=reserved, cap_mb=cap)


@pytest.mark.parametrize(("peak", "reserved"), [(0.0, 1000.0), (100.0, 1000.0), (1200.0, 1500.0), (9000.0, 4000.0)])
def test_a_job_reserves_its_share_or_what_its_family_has_needed(peak: float, reserved: float) -> None:
    assert reservation(peak_mb=peak, share_mb=1000.0, limit_mb=4000.0) == reserved


def test_four_shares_fit_and_a_large_job_waits_for_two_of_them() -> None:
    assert fits(1000.0, [1000.0, 1000.0, 1000.0], 4000.0)
    assert not fits(2000.0, [1000.0, 1000.0, 1000.0], 4000.0)
    assert fits(2000.0, [1000.0, 1000.0], 4000.0)


def test_a_third_of_the_limit_fits_three_times() -> None:
    third = 100.0 / 3

    assert fits(third, [third, third], 100.0)


def test_a_job_that_is_alone_always_fits() -> None:
    assert fits(9000.0, [], 4000.0)


def test_a_job_over_its_cap_is_ended_alone() -> None:
    over = too_much([a_holding("cpu0", 900.0), a_holding("cpu1", 1100.0)], 4000.0)

    assert [one.job.slot for one in over] == ["cpu1"]
    assert "held 1100 MiB of the 1000 MiB" in over[0].reason


def test_where_only_the_sum_is_too_much_the_greediest_goes() -> None:
    jobs = [a_holding("cpu0", 900.0, reserved=100.0, cap=1000.0), a_holding("cpu1", 950.0, reserved=800.0)]

    assert [one.job.slot for one in too_much(jobs, 1800.0)] == ["cpu0"]
    assert too_much(jobs, 1900.0) == []


def test_where_nobody_works_nobody_is_ended_however_much_the_helpers_hold() -> None:
    assert too_much([], 1000.0, beyond_mb=3000.0) == []


def test_what_the_helpers_hold_is_not_the_jobs_but_one_of_them_may_stay() -> None:
    jobs = [a_holding("cpu0", 900.0), a_holding("cpu1", 600.0)]
    assert too_much(jobs, 2000.0, beyond_mb=400.0) == []

    (over,) = too_much(jobs, 2000.0, beyond_mb=600.0)
    assert (over.job.slot, over.lowered) == ("cpu0", True), "the job is not to blame"
    assert too_much(jobs[1:], 2000.0, beyond_mb=5000.0) == []
    assert too_much(jobs[1:], 500.0), "a limit that was lowered holds for a job that is alone, too"


def test_a_second_chance_has_twice_the_room_if_the_limit_has_it() -> None:
    assert second_chance(held_mb=1000.0, cap_mb=1000.0, limit_mb=4000.0) == 2000.0
    assert second_chance(held_mb=3000.0, cap_mb=3000.0, limit_mb=4000.0) == 4000.0


def test_who_had_everything_gets_no_second_chance() -> None:
    assert second_chance(held_mb=4000.0, cap_mb=4000.0, limit_mb=4000.0) is None


def test_a_machine_that_is_nearly_full_gets_no_new_job_and_then_one_back() -> None:
    held = {"cpu0": 10.0, "cpu1": 500.0}

    assert scarce(500.0, 10_000.0) == ""
    assert "200 MiB of memory left" in scarce(200.0, 10_000.0)
    assert to_give_back(200.0, 10_000.0, held) is None
    assert to_give_back(100.0, 10_000.0, held) == "cpu1"
    assert to_give_back(100.0, 10_000.0, {}) is None


@pytest.mark.parametrize(("limit", "left"), [(2000.0, 1744.0), (512.0, 256.0), (300.0, 150.0)])
def test_a_part_of_the_limit_is_kept_for_the_helpers_and_half_at_most(limit: float, left: float) -> None:
    assert for_jobs(limit) == left
