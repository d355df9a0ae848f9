"""Which predictions go when the disk limit nears, and which never."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from stubs.makers import a_record

from optimizer.scheduler.quota import (
    MOST_AT_ONCE,
    DiskUse,
    Kept,
    is_leftover,
    kept_of,
    protected,
    size_text,
    to_evict,
)
from optimizer.store import StoredFile


def kept(trial: str, merit: float, size: int = 10, *, test: bool = True) -> Kept:
    dataset, family, _ = trial.split("/")
    return Kept(trial=trial, dataset=dataset, family=family, merit=merit, size=size,
                submission=f"subm-{trial}.csv" if test else "")


def names(chosen: list[Kept]) -> list[str]:
    return [one.trial for one in chosen]


def test_the_worst_of_a_dataset_goes_first_and_only_as_many_as_are_needed() -> None:
    trials = [kept(f"cars/tree/{i}", merit) for i, merit in enumerate((0.5, 0.9, 0.1, 0.3))]

    assert names(to_evict(trials, set(), used=40, low=20)) == ["cars/tree/2", "cars/tree/3"]
    assert to_evict(trials, set(), used=40, low=40) == []


def test_of_equals_the_one_told_last_goes_first() -> None:
    trials = [kept(f"cars/tree/{i}", 0.5) for i in range(3)]

    assert names(to_evict(trials, set(), used=30, low=15)) == ["cars/tree/2", "cars/tree/1"]


def test_a_dataset_of_huge_predictions_pays_first() -> None:
    trials = [kept(f"huge/tree/{i}", i, 1000) for i in range(3)] + [kept(f"small/tree/{i}", i, 10) for i in range(50)]

    assert names(to_evict(trials, set(), used=3500, low=1500)) == ["huge/tree/0", "huge/tree/1"]


def test_what_is_spared_is_never_chosen_though_the_limit_is_not_held() -> None:
    trials = [kept(f"cars/tree/{i}", i) for i in range(4)]

    assert names(to_evict(trials, {"cars/tree/0", "cars/tree/1"}, used=40, low=0)) == ["cars/tree/2", "cars/tree/3"]


def test_the_best_of_each_family_the_models_and_the_exported_are_spared() -> None:
    trials = [kept("cars/tree/0", 0.5), kept("cars/tree/1", 0.9, test=False), kept("cars/tree/2", 0.6),
              kept("cars/tree/3", 0.6), kept("cars/bush/0", 0.1), kept("boats/tree/0", 0.0), kept("boats/tree/1", -1.0)]

    assert protected(trials, {"cars/tree/0"}, {"subm-boats/tree/1.csv"}) == {
        "cars/tree/1", "cars/tree/2", "cars/bush/0", "boats/tree/0", "cars/tree/0", "boats/tree/1"}


def test_what_was_once_the_best_is_spared_for_its_submission_may_be_written_just_now() -> None:
    trials = [kept("cars/tree/0", 0.5), kept("cars/tree/1", 0.4), kept("cars/tree/2", 0.6)]

    assert protected(trials, (), ()) == {"cars/tree/0", "cars/tree/2"}


@given(st.lists(st.tuples(st.sampled_from(["a/x", "a/y", "b/x"]), st.floats(-1, 1), st.integers(1, 1000)), max_size=60),
       st.floats(0, 1))
def test_a_better_trial_never_goes_before_a_worse_one_of_its_dataset(
    given_trials: list[tuple[str, float, int]], share: float,
) -> None:
    trials = [kept(f"{pair}/{i}", merit, size) for i, (pair, merit, size) in enumerate(given_trials)]
    spared = protected(trials, (), ())
    used = sum(one.size for one in trials)
    gone = to_evict(trials, spared, used, share * used)

    left = [one for one in trials if one not in gone and one.trial not in spared]
    assert not {one.trial for one in gone} & spared
    assert not left or used - sum(one.size for one in gone) <= share * used
    for one in gone:
        assert all(other.merit >= one.merit for other in left if other.dataset == one.dataset)


def test_a_pass_takes_no_longer_than_the_loop_can_wait() -> None:
    trials = [kept(f"cars/tree/{i}", i) for i in range(2 * MOST_AT_ONCE)]

    assert len(to_evict(trials, set(), used=20 * MOST_AT_ONCE, low=0)) == MOST_AT_ONCE


def test_a_smaller_error_is_more_useful_and_a_trial_without_a_score_least() -> None:
    def merit(score: float | None, metric: str) -> float:
        one = kept_of(a_record(score=score, metric=metric, predictions="kept", predictions_bytes=5))
        assert one is not None
        assert one.size == 5
        return one.merit

    assert merit(0.1, "rmse") > merit(0.2, "rmse")
    assert merit(0.2, "accuracy") > merit(0.1, "accuracy")
    assert merit(math.nan, "accuracy") == merit(None, "rmse") == -math.inf
    assert kept_of(a_record(predictions="none")) is None
    assert kept_of(a_record(predictions="evicted")) is None


def test_the_account_follows_what_is_told_evicted_and_dropped() -> None:
    use = DiskUse(limit=1000)
    use.add(kept("cars/tree/0", 0.5, 100), 50, "cars/tree/0")
    use.add(kept("cars/tree/1", 0.5, 10), None, "cars/tree/1")
    use.add(None, None, "cars/tree/2")
    assert (use.used, use.largest) == (160, 150)

    use.evicted("cars/tree/1")
    use.evicted("cars/tree/1")
    use.models_dropped("cars/tree/0")
    use.models_dropped("cars/tree/9")
    assert use.used == 100


def test_room_is_left_for_what_running_trials_write() -> None:
    assert DiskUse(limit=1000).marks(2) == (950, 850)
    assert DiskUse(limit=1000, largest=100).marks(2) == (800, 700)
    assert DiskUse(limit=1000, largest=900).marks(8) == (500, 400)
    assert DiskUse().marks(8)[0] == math.inf, "no limit is known yet"


def a_file(
    trial: str = "cars/tree/3", *, attempt: int | None = 1, half: bool = False, models: bool = False,
) -> StoredFile:
    return StoredFile(kind="models" if models else "predictions", trial=trial, attempt=attempt, half=half, size=1,
                      path=Path("/nowhere"))


def test_a_leftover_is_what_no_told_trial_needs_and_the_journal_knows_of() -> None:
    told = {"cars/tree/3": a_record("cars/tree/3", predictions="kept", models_kept=True),
            "cars/tree/4": a_record("cars/tree/4", predictions="evicted"),
            "cars/tree/5": a_record("cars/tree/5", predictions="kept", models_kept=True)}
    numbers = {("cars", "tree"): 6}

    def leftover(file: StoredFile) -> bool:
        return is_leftover(file, told, {"cars/tree/5"}, numbers)

    assert not leftover(a_file())
    assert not leftover(a_file(models=True, attempt=None))
    assert leftover(a_file(attempt=2)), "another attempt was told"
    assert leftover(a_file(half=True))
    assert leftover(a_file("cars/tree/4")), "evicted"
    assert leftover(a_file("cars/tree/4", models=True, attempt=None)), "its models were not kept"
    assert leftover(a_file("cars/tree/5", models=True, attempt=None)), "dropped"
    assert leftover(a_file("cars/tree/6")), "asked and never told"
    assert not leftover(a_file("cars/tree/7")), "the journal has never heard of it"
    assert not leftover(a_file("boats/tree/0", half=True))


def test_sizes_are_shown_in_a_unit_that_fits() -> None:
    assert [size_text(size) for size in (0, 2345, 300_000, 12_345_678, 2.5e9)] == [
        "0.0 kB", "2.3 kB", "0.3 MB", "12.3 MB", "2.5 GB"]
