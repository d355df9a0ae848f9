"""A run as its journal tells it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stubs.runs import FakeRun

from optimizer.errors import RunFolderError, UserError
from optimizer.views import leaderboard
from optimizer.views.results import RunView, find_run


def two_datasets(folder: Path) -> FakeRun:
    run = FakeRun(folder)
    run.started("a", "b")
    run.ready("b", metric="rmse", direction="minimize")
    run.ready("a")
    run.told("a/xgboost/0", 0.90)
    run.told("a/lightgbm/0", 0.93)
    run.told("a/xgboost/1", 0.9315, standard_error=0.002)
    run.told("a/catboost/0", 0.80, "pruned", fold_scores=[0.8, 0.8])
    run.told("a/catboost/1", None, "failed", kind="out_of_memory", reason="no memory")
    run.told("b/xgboost/0", 12.0)
    run.told("b/xgboost/1", 11.0)
    return run


def test_the_best_follows_the_metrics_direction(tmp_path: Path) -> None:
    two_datasets(tmp_path)
    view = RunView.open(tmp_path)
    assert list(view.datasets) == ["a", "b"], "in the study file's order"
    assert view.best("a").trial == "a/xgboost/1"
    assert view.best("b").trial == "b/xgboost/1"
    assert view.best("none of ours") is None


def test_of_equal_scores_the_one_told_first_is_best(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.9)
    run.told("a/catboost/0", 0.9)
    assert RunView.open(tmp_path).best("a").trial == "a/xgboost/0"


def test_models_within_one_standard_error_include_the_best(tmp_path: Path) -> None:
    two_datasets(tmp_path)
    view = RunView.open(tmp_path)
    assert [t.trial for t in view.within_one_standard_error("a")] == ["a/xgboost/1", "a/lightgbm/0"]


def test_without_a_standard_error_only_equals_of_the_best_are_near(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.9, standard_error=None)
    run.told("a/xgboost/1", 0.8999, standard_error=None)
    assert [t.trial for t in RunView.open(tmp_path).within_one_standard_error("a")] == ["a/xgboost/0"]


def test_the_board_ranks_complete_trials_and_lists_the_others_below(tmp_path: Path) -> None:
    two_datasets(tmp_path)
    view = RunView.open(tmp_path)
    board = view.leaderboard("a")
    assert [(r.rank, r.record.trial) for r in board] == [
        (1, "a/xgboost/1"), (2, "a/lightgbm/0"), (3, "a/xgboost/0"), (None, "a/catboost/0"), (None, "a/catboost/1")]
    assert [r.rank for r in view.leaderboard("a", family="lightgbm")] == [2]
    assert [r.record.trial for r in view.leaderboard(top=1)] == ["a/xgboost/1", "b/xgboost/1"]


def test_a_wrong_dataset_or_family_is_answered_with_the_nearest(tmp_path: Path) -> None:
    two_datasets(tmp_path)
    view = RunView.open(tmp_path)
    with pytest.raises(UserError, match="did you mean 'lightgbm'"):
        view.leaderboard(family="lihgtgbm")
    with pytest.raises(UserError, match="no dataset 'c'"):
        view.leaderboard("c")
    with pytest.raises(UserError, match="did you mean 'a/xgboost/1'"):
        view.trial("a/xgbost/1")


def test_following_reads_only_what_is_new(tmp_path: Path) -> None:
    run = two_datasets(tmp_path)
    view = RunView.open(tmp_path)
    assert view.follow() == []
    run.told("a/lightgbm/1", 0.99)
    assert [r["event"] for r in view.follow()] == ["trial_told"]
    assert view.best("a").trial == "a/lightgbm/1"


def test_a_half_written_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    run = two_datasets(tmp_path)
    view = RunView.open(tmp_path)
    path = tmp_path / "journal.jsonl"
    before = path.read_bytes()
    run.told("a/lightgbm/1", 0.99)
    after = path.read_bytes()
    path.write_bytes(after[: len(before) + 40])
    assert view.follow() == []
    path.write_bytes(after)
    assert len(view.follow()) == 1


def test_a_journal_in_the_place_of_a_shorter_one_is_read_anew_whatever_number_its_file_has(tmp_path: Path) -> None:
    first, second = FakeRun(tmp_path / "run"), FakeRun(tmp_path / "other")
    first.started("a")
    view = RunView.open(tmp_path / "run")
    second.now += 60
    second.started("b")
    for number in range(9):
        second.told(f"b/xgboost/{number}", 0.9)
    # The same file with other content, as a file system may give the number of a deleted file to the next.
    path = tmp_path / "run" / "journal.jsonl"
    path.write_bytes((tmp_path / "other" / "journal.jsonl").read_bytes())

    view.follow()

    assert view.renewals == 1
    assert [trial.trial for trial in view.trials()] == [f"b/xgboost/{number}" for number in range(9)]


def test_a_journal_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    two_datasets(tmp_path / "run")
    view = RunView.open(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "old")
    fresh = FakeRun(tmp_path / "run")
    fresh.started("c")
    view.follow()
    assert view.trials() == []
    assert view.study["datasets"] == ["c"]


def test_a_told_trial_counts_once_however_often_it_is_written(tmp_path: Path) -> None:
    run = two_datasets(tmp_path)
    run.told("b/xgboost/1", 11.0, predictions="evicted")
    view = RunView.open(tmp_path)
    assert view.counts("b") == {"complete": 2, "pruned": 0, "failed": 0}
    assert view.best("b").predictions == "evicted"
    assert view.best("b", submittable=True).trial == "b/xgboost/0"


def test_evicted_predictions_are_shown_as_such_and_the_next_best_is_submitted(tmp_path: Path) -> None:
    run = two_datasets(tmp_path)
    best = RunView.open(tmp_path).best("a", submittable=True)
    run.event("predictions_evicted", trial=best.trial, bytes=10, reason="quota")
    view = RunView.open(tmp_path)
    assert view.trial(best.trial).predictions == "evicted"
    assert view.best("a").trial == best.trial
    assert view.best("a", submittable=True).trial != best.trial
    assert "complete, evicted" in leaderboard.text(view, view.leaderboard("a"))
    assert "predictions of 1 evicted to keep the disk limit" in leaderboard.text(view, view.leaderboard("a"))


def test_dropped_models_are_not_offered_for_prediction(tmp_path: Path) -> None:
    run = two_datasets(tmp_path)
    run.event("models_dropped", trial="a/xgboost/1")
    view = RunView.open(tmp_path)
    assert view.model(dataset="a").trial == "a/lightgbm/0"
    with pytest.raises(UserError, match="not kept; kept are: a/lightgbm/0"):
        view.model("a/xgboost/1")
    with pytest.raises(UserError, match="several datasets; name a model: "):
        view.model()


def test_an_event_that_cannot_be_understood_is_noted_and_passed_over(tmp_path: Path) -> None:
    run = two_datasets(tmp_path)
    run.event("trial_told", trial="no id", state="complete")
    run.event("dataset_finished", dataset="unknown", used_s=1.0, reason="")
    run.event("something_of_a_later_version", colour="blue")
    run.told("a/lightgbm/1", 0.99)
    view = RunView.open(tmp_path)
    assert view.best("a").score == 0.99
    assert len(view.unreadable) == 2


def test_the_state_is_that_of_the_latest_start(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    assert RunView.open(tmp_path).state == ""
    run.started("a")
    assert RunView.open(tmp_path).state == "unfinished"
    run.ended("stopped", "Ctrl-C")
    assert RunView.open(tmp_path).state == "stopped"
    run.started("a", resumed=True)
    assert RunView.open(tmp_path).state == "unfinished"
    assert [i.seconds for i in RunView.open(tmp_path).incarnations] == [1.0, 0.0]


@pytest.mark.parametrize("typed", ["studies/s5e7.toml", "studies/s5e7", "studies/s5e7/", "s5e7", "data/s5e7"])
def test_a_run_is_found_by_its_file_its_folder_and_its_name(tmp_path: Path, typed: str) -> None:
    FakeRun(tmp_path / "studies" / "s5e7")
    (tmp_path / "studies" / "s5e7.toml").touch()
    (tmp_path / "data" / "s5e7").mkdir(parents=True)
    assert find_run(typed, tmp_path).samefile(tmp_path / "studies" / "s5e7")


def test_a_run_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    FakeRun(tmp_path / "studies" / "s5e7")
    (tmp_path / "studies" / "titanic.toml").touch()
    with pytest.raises(RunFolderError, match="did you mean 's5e7'"):
        find_run("s5e8", tmp_path)
    with pytest.raises(RunFolderError, match=r"has not been run yet; start it with: optimizer run .*titanic\.toml"):
        find_run("titanic", tmp_path)


def test_the_view_is_light() -> None:
    """The command line opens a run to say one sentence; that must not cost the start of a numerical library."""
    code = ("import sys, optimizer.views.results; "
            "print([m for m in ('numpy', 'rich', 'optuna', 'sqlalchemy', 'pandas') if m in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
