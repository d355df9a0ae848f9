"""The watchdog sees a hang from outside, and takes nothing for one that is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.scheduler.watchdog import IDLE_S, LEAST_FOLD_S, READY_S, Hung, Limits, Look, Watchdog, limits_of

AT_WORK = Look(lease=1, steps_done=0, cpu_s=0.0, gpu_busy=False, limits=Limits(fold_s=1000.0, trial_s=5000.0))


def watched(seconds: int, look: Look = AT_WORK, *, cpu: float = 0.0, watchdog: Watchdog | None = None,
            step_s: int | None = None, start: int = 0) -> list[Hung]:
    """One look a second: a job that uses this many cores and ends a fold every ``step_s`` seconds."""
    dog = watchdog or Watchdog()
    hung: list[Hung] = []
    for now in range(start, start + seconds + 1):
        steps = look.steps_done + (now // step_s if step_s else 0)
        hung += dog.look(float(now), {"cpu0": replace(look, cpu_s=look.cpu_s + cpu * now, steps_done=steps)})
    return hung


def test_a_job_that_uses_the_processor_is_left_alone() -> None:
    assert watched(900, cpu=0.9) == []


def test_no_progress_and_no_processor_time_is_a_hang() -> None:
    [hung] = watched(int(IDLE_S) + 2)

    assert hung.slot == "cpu0"
    assert not hung.too_slow
    assert "no progress" in hung.reason


def test_a_hang_is_named_once() -> None:
    assert len(watched(int(IDLE_S) * 3)) == 1


def test_a_busy_card_is_work() -> None:
    assert watched(900, replace(AT_WORK, gpu_busy=True)) == []


def test_folds_that_end_are_progress_even_where_the_clock_of_the_processor_cannot_be_read() -> None:
    assert watched(900, step_s=30) == []


def test_a_spinning_fold_is_too_slow_and_not_worth_another_attempt() -> None:
    [hung] = watched(40, replace(AT_WORK, limits=Limits(fold_s=30.0, trial_s=5000.0)), cpu=1.0)

    assert hung.too_slow
    assert hung.reason.startswith("time limit: fold 0")


def test_a_fold_that_did_nothing_for_its_whole_limit_hung_and_may_be_tried_again() -> None:
    [hung] = watched(40, replace(AT_WORK, limits=Limits(fold_s=30.0, trial_s=5000.0)), cpu=0.1)

    assert not hung.too_slow
    assert hung.reason.startswith("hung: fold 0")


def test_a_trial_has_a_limit_of_its_own() -> None:
    [hung] = watched(130, replace(AT_WORK, limits=Limits(fold_s=50.0, trial_s=100.0)), cpu=1.0, step_s=40)

    assert "the trial took longer than its limit of 100 s" in hung.reason


def test_each_fold_has_the_whole_limit() -> None:
    assert watched(900, replace(AT_WORK, limits=Limits(fold_s=50.0, trial_s=5000.0)), cpu=1.0, step_s=40) == []


def test_the_next_job_starts_at_nought() -> None:
    dog = Watchdog()

    assert watched(50, watchdog=dog) == []
    assert watched(50, replace(AT_WORK, lease=2), watchdog=dog, start=51) == []


def test_time_in_which_nobody_looked_is_not_counted() -> None:
    """The machine slept, or the scheduler was stopped: its workers are not to blame."""
    dog = Watchdog()

    assert dog.look(0.0, {"cpu0": AT_WORK}) == []
    assert dog.look(8 * 3600.0, {"cpu0": AT_WORK}) == []


def test_a_slot_that_is_left_out_for_a_while_is_not_counted() -> None:
    dog = Watchdog()

    assert watched(50, watchdog=dog) == []
    for now in range(51, 300):
        assert dog.look(float(now), {}) == []
    assert watched(50, watchdog=dog, start=300) == []


def test_a_worker_that_never_says_that_it_is_ready_hangs() -> None:
    loading = replace(AT_WORK, lease=None)

    assert watched(int(READY_S) - 1, loading, cpu=1.0) == []
    [hung] = watched(int(READY_S) + 2, loading, cpu=1.0)
    assert "not ready" in hung.reason


@pytest.mark.parametrize(("seen", "longest", "fold_s"), [
    (0, 0.0, 3600.0), (5, 400.0, 4000.0), (20, 1.0, LEAST_FOLD_S), (100, 60.0, 600.0),
])
def test_limits_are_learned_from_the_folds_of_the_family(seen: int, longest: float, fold_s: float) -> None:
    limits = limits_of(fold_limit_s=None, trial_limit_s=None, longest_step_s=longest, steps_seen=seen, steps=5)

    assert limits == Limits(fold_s=fold_s, trial_s=5 * fold_s)


def test_what_the_person_says_goes_before_what_was_learned() -> None:
    limits = limits_of(fold_limit_s=8.0, trial_limit_s=20.0, longest_step_s=100.0, steps_seen=100, steps=5)

    assert limits == Limits(fold_s=8.0, trial_s=20.0)


@pytest.mark.parametrize("lag", [0.0, 0.05, 0.1, 0.3])
def test_hours_of_standing_still_are_no_hang_however_late_each_second_of_them_is_told(lag: float) -> None:
    dog, told, hung = Watchdog(), 0.0, []
    for now in range(8 * 3600):
        # Who stops it counts now and then, so that a look sees a little less or more than has passed.
        stood = max(0.0, now - lag * (now % 3) / 2)
        hung += dog.look(float(now), {"cpu0": replace(AT_WORK, stood_s=stood - told)})
        told = stood

    assert hung == []


def test_a_hang_after_a_pause_is_seen_as_soon_as_any_other() -> None:
    dog = Watchdog()
    for now in range(600):
        assert not dog.look(float(now), {"cpu0": replace(AT_WORK, stood_s=1.0)})

    assert len(watched(int(IDLE_S) + 3, watchdog=dog, start=600)) == 1


@pytest.mark.parametrize(("waits", "hangs"), [(0.0, 1), (0.9, 0)])
def test_seconds_in_which_others_had_its_core_are_not_its_own(waits: float, hangs: int) -> None:
    dog, hung = Watchdog(), []
    for now in range(200):
        hung += dog.look(float(now), {"cpu0": replace(
            AT_WORK, limits=Limits(fold_s=30.0, trial_s=5000.0), cpu_s=(1 - waits) * now, waited_s=waits * now)})

    assert len(hung) == hangs


def test_a_fold_that_shared_its_core_is_too_slow_when_its_own_seconds_are_used_up() -> None:
    dog, hung = Watchdog(), []
    for now in range(100):
        hung += dog.look(float(now), {"cpu0": replace(
            AT_WORK, limits=Limits(fold_s=30.0, trial_s=5000.0), cpu_s=0.5 * now, waited_s=0.5 * now)})

    assert [one.too_slow for one in hung] == [True]


def test_what_a_job_does_beside_its_folds_is_named() -> None:
    [hung] = watched(int(IDLE_S) + 2, replace(AT_WORK, doing="predicting the test rows"))

    assert hung.reason.startswith("hung: predicting the test rows made no progress")
