"""A journal replayed: what a scheduler resumes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from stubs.makers import SPACE, a_record

from optimizer.journal import Journal
from optimizer.scheduler.past import Asked, Past, read_past

PARAMS = {"rate": 0.1, "depth": 3, "bootstrap": "no", "iterations": 100}


class Journals:
    """Writes events one after the other, a second apart."""

    def __init__(self, path: Path) -> None:
        #: The wall clock, which somebody may set.
        self.clock = 99.0
        self.journal = Journal(path, self.tick)

    def tick(self) -> float:
        self.clock += 1.0
        return self.clock

    def __call__(self, event: str, **fields: Any) -> None:
        self.journal.append(event, **fields)

    def asked(self, trial: str) -> None:
        self("trial_asked", trial=trial, params=PARAMS, seed=7, space=SPACE.hash())

    def started(self, trial: str, attempt: int = 1, slot: str = "cpu0") -> None:
        self("job_started", trial=trial, attempt=attempt, slot=slot)

    def lost(self, trial: str, *, blame: bool, seconds: float = 2.0, slot: str = "cpu0") -> None:
        self("job_lost", trial=trial, attempt=1, slot=slot, blame=blame, reason="killed", seconds=seconds)

    def told(self, trial: str, **fields: Any) -> None:
        self("trial_told", **msgspec.to_builtins(a_record(trial, **fields)))

    def past(self) -> Past:
        return read_past(self.journal.path)


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    """The journal of a new run."""
    return Journals(tmp_path / "journal.jsonl")


def test_without_a_journal_there_is_no_past(tmp_path: Path) -> None:
    assert read_past(tmp_path / "journal.jsonl") == Past()


def test_told_trials_are_remembered_until_their_dataset_takes_them(journals: Journals) -> None:
    for trial in ("cars/tree/0", "boats/tree/0", "cars/tree/1", "cars/line/0"):
        journals.told(trial, versions={"numpy": trial})
    past = journals.past()
    assert past.latest_versions == {"numpy": "cars/line/0"}

    taken = past.take_told("cars")

    assert {family: [r.trial for r in records] for family, records in taken.items()} == {
        "tree": ["cars/tree/0", "cars/tree/1"], "line": ["cars/line/0"]}
    assert list(past.told) == ["boats/tree/0"]
    assert past.take_told("cars") == {}


def test_starts_are_counted_and_the_first_is_remembered(journals: Journals) -> None:
    for _ in range(3):
        journals("run_started")

    past = journals.past()

    assert (past.incarnation, past.first_started) == (3, 100.0)


def test_a_told_trial_is_told_once_and_is_not_under_way(journals: Journals) -> None:
    journals.asked("cars/tree/0")
    journals.started("cars/tree/0")
    journals.told("cars/tree/0", score=0.75)

    past = journals.past()

    assert past.told == {"cars/tree/0": a_record("cars/tree/0", score=0.75)}
    assert not past.asked


def test_a_trial_that_was_asked_and_not_told_is_run_again_with_its_point_and_seed(journals: Journals) -> None:
    journals.asked("cars/tree/0")

    assert journals.past().asked == {"cars/tree/0": Asked(params=PARAMS, seed=7, space=SPACE.hash(), attempts=0)}


def test_attempts_count_from_their_start_and_on_their_kind_of_slot(journals: Journals) -> None:
    journals.asked("cars/tree/0")
    journals.started("cars/tree/0", attempt=1)
    journals.started("cars/tree/0", attempt=2, slot="gpu1")

    asked = journals.past().asked["cars/tree/0"]

    assert (asked.attempts, asked.kind) == (2, "gpu")


def test_only_a_worker_that_died_by_itself_is_held_against_a_trial(journals: Journals) -> None:
    journals.asked("cars/tree/0")
    journals.lost("cars/tree/0", blame=True)
    journals.lost("cars/tree/0", blame=False)

    assert journals.past().asked["cars/tree/0"].faults == 1


def test_seconds_of_lost_jobs_stay_used_by_kind_of_slot(journals: Journals) -> None:
    journals.asked("cars/tree/0")
    journals.lost("cars/tree/0", blame=True, seconds=2.0)
    journals.lost("cars/tree/0", blame=False, seconds=3.0)
    journals.lost("cars/tree/0", blame=True, seconds=5.0, slot="gpu0")
    journals.told("cars/tree/0")

    assert dict(journals.past().lost_s) == {("cars", "tree", "cpu"): 5.0, ("cars", "tree", "gpu"): 5.0}


@pytest.mark.parametrize("jump", [8 * 3600.0, -8 * 3600.0])
def test_a_clock_that_was_set_while_a_job_ran_does_not_eat_the_budget(journals: Journals, jump: float) -> None:
    journals("run_started")
    journals.asked("cars/tree/0")
    journals.started("cars/tree/0")
    journals.clock += jump
    journals("notice", text="an hour at most is believed of what passed")
    journals("run_started")

    assert 0.0 <= journals.past().lost_s["cars", "tree", "cpu"] <= 3601.0


def test_the_night_between_two_starts_is_not_charged(journals: Journals) -> None:
    journals("run_started")
    journals.asked("cars/tree/0")
    journals.started("cars/tree/0")
    journals("step_finished", trial="cars/tree/0")
    journals.clock += 3600.0
    journals("run_started")

    assert journals.past().lost_s["cars", "tree", "cpu"] == 1.0


def test_a_pause_is_not_charged_to_the_jobs_that_stood_still(journals: Journals) -> None:
    journals("run_started")
    journals.asked("cars/tree/0")
    journals.started("cars/tree/0")
    journals("limits_changed", cores=0, memory_mb=1000, because="paused")
    journals.clock += 1800.0
    journals("notice", text="still here")
    journals("limits_changed", cores=None, memory_mb=1000, because="")
    journals("notice", text="and on")
    journals("run_started")

    assert journals.past().lost_s["cars", "tree", "cpu"] == 2.0


def test_evicted_predictions_are_evicted_in_the_past_too(journals: Journals) -> None:
    journals.told("cars/tree/4")
    journals("predictions_evicted", trial="cars/tree/4", bytes=10, reason="quota")
    journals("predictions_evicted", trial="cars/tree/5", bytes=10, reason="quota")

    assert {t: r.predictions for t, r in journals.past().told.items()} == {"cars/tree/4": "evicted"}


def test_a_number_is_never_used_twice(journals: Journals) -> None:
    """Not even that of a trial which was asked last and of which nothing else is known."""
    journals.told("cars/tree/4")
    journals.asked("cars/tree/7")
    journals.asked("cars/forest/2")
    journals.asked("cars/forest/1")

    assert journals.past().numbers == {("cars", "tree"): 7, ("cars", "forest"): 2}


def test_the_latest_word_on_a_dataset_counts(journals: Journals) -> None:
    journals("dataset_ready", dataset="cars", fingerprint="old")
    journals("dataset_ready", dataset="cars", fingerprint="new")

    assert journals.past().datasets["cars"]["fingerprint"] == "new"


def test_every_space_that_was_searched_is_known_by_its_hash(journals: Journals) -> None:
    narrowed = SPACE.narrowed("tree", {"depth": 4})
    part = msgspec.structs.replace(SPACE, max_rows=500)
    for space in (SPACE, narrowed, part):
        journals("space_described", dataset="cars", family="tree", hash=space.hash(), starts=[],
                 space=msgspec.to_builtins(space))

    assert journals.past().spaces == {space.hash(): space for space in (SPACE, narrowed, part)}


def test_dropped_models_are_known_to_be_gone(journals: Journals) -> None:
    journals("models_dropped", trial="cars/tree/0")

    assert journals.past().models_dropped == {"cars/tree/0"}


def test_a_torn_last_line_changes_nothing(journals: Journals) -> None:
    journals.asked("cars/tree/0")
    journals.told("cars/tree/0")
    path = journals.journal.path
    path.write_bytes(path.read_bytes()[:-20])

    past = journals.past()

    assert set(past.asked) == {"cars/tree/0"}
    assert not past.told
