"""The leaderboard and the summary."""

from __future__ import annotations

from pathlib import Path

import msgspec
from stubs.runs import FakeRun

from optimizer.views import leaderboard
from optimizer.views.formats import NOTHING
from optimizer.views.report import as_text, summarize, write_summary
from optimizer.views.results import RunView


def a_night(folder: Path) -> RunView:
    """A run with two datasets, a failure, a lost job and a stopped family."""
    run = FakeRun(folder)
    run.started("a", "b", "c", slots=2)
    run.ready("a", fingerprint="1")
    run.ready("b", metric="rmse", direction="minimize", test_rows=0, same_as=None)
    run.event("dataset_failed", dataset="c", reason="c.csv:17: 5 fields, 7 expected")
    run.told("a/xgboost/0", 0.93, seconds=30.0, fit_seconds=5.0)
    run.told("a/lightgbm/0", 0.9305, seconds=10.0, fit_seconds=5.0, test_predicted=False)
    run.told("a/lightgbm/1", 0.80, "pruned")
    run.told("a/catboost/0", None, "failed", kind="out_of_memory", reason="std::bad_alloc\nat 0x00")
    run.event("job_lost", trial="b/xgboost/0", attempt=1, slot="cpu0", reason="killed by signal 9")
    run.told("b/xgboost/0", 11.0, standard_error=0.3)
    run.event("family_stopped", family="catboost", dataset=None, reason="3 failures in a row")
    run.event("notice", text="no GPU here")
    run.event("notice", text="no GPU here")
    run.ended("finished", "every dataset has used its time")
    return RunView.open(folder)


def test_the_leaderboard_in_a_pipe_is_whole_and_plain(tmp_path: Path) -> None:
    view = a_night(tmp_path)
    text = leaderboard.text(view, view.leaderboard("a")).replace(NOTHING, "-")
    assert text.splitlines() == [
        "a  accuracy, higher is better",
        "rank  trial         dataset  family              score   pooled  folds  seconds  state                  "
        "within 1 s.e.",
        "   1  a/lightgbm/0  a        lightgbm  0.9305 ± 0.0020  0.93050      5     10.0  complete               yes",
        "   2  a/xgboost/0   a        xgboost   0.9300 ± 0.0020  0.93000      5     30.0  complete               yes",
        "   -  a/lightgbm/1  a        lightgbm          0.80000        -      0     10.0  pruned",
        "   -  a/catboost/0  a        catboost                -        -      0     10.0  failed: out_of_memory",
        "2 complete, 1 pruned, 1 failed; 2 within one standard error of the best",
    ]


def test_the_leaderboard_fits_a_terminal(tmp_path: Path) -> None:
    view = a_night(tmp_path)
    assert all(line.cell_len <= 60 for line in leaderboard.lines(view, view.leaderboard(), 60))


def test_the_leaderboard_as_data_is_one_object_per_trial(tmp_path: Path) -> None:
    view = a_night(tmp_path)
    rows = leaderboard.as_data(view.leaderboard(top=1))
    assert [(r["rank"], r["trial"], r["within_one_standard_error"]) for r in rows] == [
        (1, "a/lightgbm/0", True), (1, "b/xgboost/0", True)]
    assert msgspec.json.decode(msgspec.json.encode(rows)) == rows


def test_the_summary_says_what_was_found_and_what_it_cost(tmp_path: Path) -> None:
    summary = summarize(a_night(tmp_path))
    a, b, c = summary["datasets"]
    assert a["best"]["trial"] == "a/lightgbm/0"
    assert a["within_one_standard_error"] == 2
    assert a["families"]["lightgbm"]["pruned"] == 1
    assert b["submission_note"] == "no test table, so no submission"
    assert c["failed"] == "c.csv:17: 5 fields, 7 expected"
    assert [(f["family"], round(f["share"], 2)) for f in summary["families"]] == [
        ("xgboost", 0.57), ("lightgbm", 0.29), ("catboost", 0.14)]
    assert summary["failures"] == [
        {"kind": "out_of_memory", "count": 1, "example": "std::bad_alloc at 0x00", "trial": "a/catboost/0"}]
    assert summary["jobs_lost"] == {"killed by signal 9": 1}
    assert summary["notices"] == ["no GPU here"]
    # 5 + 5 + 3 x 8 seconds inside fits; two slots for the 13 seconds from the first event to the last.
    assert summary["share_inside_fits"] == 34.0 / 26.0


def test_a_best_trial_that_cannot_be_submitted_is_said(tmp_path: Path) -> None:
    note = summarize(a_night(tmp_path))["datasets"][0]["submission_note"]
    assert note == "the submission is of a/xgboost/0 (0.93000): of the best trial, its test rows were not predicted"


def test_the_pause_between_a_stop_and_the_next_start_is_not_counted(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ended("stopped", "Ctrl-C")
    run.now += 36_000
    run.started("a", resumed=True)
    run.ended()
    summary = summarize(RunView.open(tmp_path))
    assert (summary["seconds"], summary["starts"]) == (2.0, 2)


def test_the_summary_reads_well(tmp_path: Path) -> None:
    view = a_night(tmp_path / "night")
    text = as_text(summarize(view))
    assert text.splitlines()[0] == (
        "night: finished (every dataset has used its time) after 13 s; 3 complete, 1 pruned, 1 failed trials")
    for line in ("c could not be used: c.csv:17: 5 fields, 7 expected",
                 "1 trial failed with out_of_memory, lately a/catboost/0: std::bad_alloc at 0x00",
                 "1 job lost with the worker and run again: killed by signal 9",
                 "  every model by rank:\n    optimizer leaderboard night --top 20\n"):
        assert line in text
    assert "--time +1h" in text
    assert max(map(len, as_text(summarize(view), 80).splitlines()[2:6])) <= 80


def test_a_run_that_counts_trials_goes_on_with_more_trials(tmp_path: Path) -> None:
    view = a_night(tmp_path / "night")
    view.study["trials"] = 120
    assert "night.toml --trials 240\n" in as_text(summarize(view))


def test_on_a_terminal_sentences_break_between_words_and_commands_stay_whole(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "night")
    run.started("a")
    notice = "the metric is accuracy because the target has two classes, and a word-with-hyphens stays in one piece"
    run.event("notice", text=notice)
    run.ended()
    summary = summarize(RunView.open(run.folder))
    text = as_text(summary, 40)
    lines = text.split("notices\n")[1].split("\n\n")[0].split("\n")
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines) == notice
    assert all(line.startswith("    ") for line in lines[1:])
    assert all(f"    {step['command']}" in text.splitlines() for step in summary["next"])
    assert f"  {notice}" in as_text(summary).splitlines(), "in a file it is one line"


def test_an_empty_run_has_a_summary_too(tmp_path: Path) -> None:
    write_summary(RunView.open(tmp_path))
    assert "not started" in (tmp_path / "summary.txt").read_text()
    assert msgspec.json.decode((tmp_path / "summary.json").read_bytes())["datasets"] == []
