"""Who may work for the next moment, where a run may not use all of its cores."""

from __future__ import annotations

import pytest

from optimizer.rations import FLOOR, OTHERS_FROM, PERIOD_S, Others, Place, Rations, allowed_cores, resting

PAIR = (("a", 1.0), ("b", 1.0))


def worked(allowed: float, seconds: float, *, wanting: tuple[tuple[str, float], ...] = PAIR,
           scheduler: float = 0.0) -> dict[str, float]:
    """Core-seconds that each group gets while all work whenever they may."""
    rations, got, used = Rations(), dict.fromkeys((name for name, _ in wanting), 0.0), 0.0
    cores = dict(wanting)
    for _ in range(round(seconds / PERIOD_S)):
        awake = rations.awake(allowed=allowed, passed_s=PERIOD_S, used_s=used, wanting=wanting)
        used = scheduler * PERIOD_S
        for name in awake:
            got[name] += cores[name] * PERIOD_S
            used += cores[name] * PERIOD_S
    return got


@pytest.mark.parametrize("allowed", [0.1, 0.4, 0.8, 1.0, 1.6])
def test_in_the_long_run_exactly_the_limit_is_used(allowed: float) -> None:
    assert sum(worked(allowed, 60).values()) == pytest.approx(allowed * 60, rel=0.02, abs=0.2)


def test_what_the_scheduler_uses_is_part_of_the_limit() -> None:
    assert sum(worked(0.8, 60, scheduler=0.2).values()) == pytest.approx(0.6 * 60, rel=0.02)


@pytest.mark.parametrize("allowed", [0.4, 1.0, 1.5])
def test_groups_take_turns_and_get_the_same(allowed: float) -> None:
    got = worked(allowed, 120)
    assert got["a"] == pytest.approx(got["b"], rel=0.1)


def test_a_limit_of_one_core_is_one_group_at_work_and_not_two_by_halves() -> None:
    rations = Rations()
    rations.awake(allowed=1.0, passed_s=PERIOD_S, used_s=0.0, wanting=PAIR)
    for _ in range(20):
        assert len(rations.awake(allowed=1.0, passed_s=PERIOD_S, used_s=PERIOD_S, wanting=PAIR)) == 1


def test_a_group_of_many_cores_works_now_and_then_under_a_limit_of_less_than_one() -> None:
    assert worked(0.5, 120, wanting=(("wide", 8.0),))["wide"] == pytest.approx(60, rel=0.05)


def test_nobody_works_while_nothing_is_allowed() -> None:
    assert worked(0.0, 10) == {"a": 0.0, "b": 0.0}


def test_who_shares_a_core_with_others_comes_last_whoever_is_next() -> None:
    rations = Rations()
    rations.awake(allowed=1.0, passed_s=PERIOD_S, used_s=0.0, wanting=PAIR, beside={"a"})
    for _ in range(200):
        assert rations.awake(allowed=1.0, passed_s=PERIOD_S, used_s=PERIOD_S, wanting=PAIR, beside={"a"}) == {"b"}


def test_idle_minutes_are_not_saved_up() -> None:
    rations = Rations()
    rations.awake(allowed=1.0, passed_s=600.0, used_s=0.0, wanting=())
    assert rations.left_s <= 1.0


def test_a_run_steps_back_for_work_and_not_for_a_hiccup() -> None:
    others = Others()
    others.look(1.0, 0.1)
    assert not others.stepping_back
    for _ in range(10):
        others.look(1.0, 0.25)
    assert others.stepping_back
    assert allowed_cores(limit=float("inf"), cores=2, others=others) == pytest.approx(1.0, abs=0.2)


def test_it_takes_the_cores_back_only_when_the_others_have_left() -> None:
    others = Others(cores=0.9, stepping_back=True)
    others.look(OTHERS_FROM * 0.8, 100.0)
    assert others.stepping_back
    others.look(0.0, 5.0)
    assert not others.stepping_back
    assert allowed_cores(limit=float("inf"), cores=2, others=others) == 2


def test_a_little_is_left_to_the_run_whatever_others_use() -> None:
    assert allowed_cores(limit=float("inf"), cores=4, others=Others(cores=4.0, stepping_back=True)) == 4 * FLOOR
    assert allowed_cores(limit=0.0, cores=4, others=Others(cores=4.0, stepping_back=True)) == 0.0


SLOTS = {"cpu0": Place(kind="cpu", cores=1.0), "cpu1": Place(kind="cpu", cores=1.0),
         "gpu0": Place(kind="gpu", cores=1.0)}


@pytest.mark.parametrize(("allowed", "rest"), [
    (3.0, set()), (2.5, set()), (2.0, {"cpu1"}), (0.4, {"cpu1"}), (0.0, {"cpu1"}),
])
def test_no_more_slots_get_jobs_than_can_use_the_limit_and_one_of_each_kind_does(allowed: float, rest: set[str],
                                                                                 ) -> None:
    assert resting(SLOTS, allowed) == rest


def test_a_slot_without_a_worker_rests_before_one_that_has_one() -> None:
    assert resting({"cpu0": Place(kind="cpu", cores=1.0, up=False), "cpu1": Place(kind="cpu", cores=1.0)}, 0.8) == {
        "cpu0"}
