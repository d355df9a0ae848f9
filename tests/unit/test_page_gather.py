"""What the page is told of a run, at once and update by update."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stubs.runs import START, FakeRun

from optimizer.views.page import assets
from optimizer.views.page.gather import Gathered
from optimizer.views.page.rows import COLUMNS


def small(folder: Path) -> FakeRun:
    run = FakeRun(folder)
    run.started("a")
    run.ready("a")
    run.event("job_started", trial="a/xgboost/0", attempt=1, slot="cpu0", gap_s=None)
    run.told("a/xgboost/0", 0.90)
    return run


def row(update: dict[str, Any], place: int = 0) -> dict[str, Any]:
    return dict(zip(COLUMNS, update["rows"][place], strict=True))


def test_a_row_has_the_names_that_conditions_know(tmp_path: Path) -> None:
    small(tmp_path)
    found = Gathered.of(tmp_path).everything()
    assert found["columns"] == list(COLUMNS)
    assert set(found["fields"]) - {"folds"} <= set(COLUMNS), "the page counts folds by itself"
    assert row(found)["trial"] == "a/xgboost/0"
    assert row(found)["score"] == 0.90
    assert row(found)["params"] == {"depth": 6}


def test_a_row_holds_nothing_that_the_page_does_not_read() -> None:
    assert [name for name in COLUMNS if not re.search(rf"\.{name}\b", assets.our_code())] == []


def test_an_update_has_only_the_rows_that_changed(tmp_path: Path) -> None:
    run = small(tmp_path)
    page = Gathered.of(tmp_path)
    first = page.everything()
    assert not page.follow()
    assert page.since(first["change"])["rows"] == []
    run.told("a/lightgbm/0", 0.91)
    assert page.follow()
    update = page.since(first["change"])
    assert [r[0] for r in update["rows"]] == ["a/lightgbm/0"]
    run.event("models_dropped", trial="a/xgboost/0")
    page.follow()
    assert [r[0] for r in page.since(update["change"])["rows"]] == ["a/xgboost/0"]
    assert row(page.since(update["change"]))["models_kept"] is False
    assert len(page.since(0)["rows"]) == 2


def test_a_run_that_was_begun_afresh_is_another_generation(tmp_path: Path) -> None:
    small(tmp_path)
    page = Gathered.of(tmp_path)
    before = page.generation
    (tmp_path / "journal.jsonl").rename(tmp_path / "old.jsonl")
    assert not page.follow(), "gone for a moment: what is known stays"
    assert len(page.since(0)["rows"]) == 1
    again = FakeRun(tmp_path)
    again.started("b")
    again.ready("b")
    page.follow()
    assert page.generation != before
    assert page.everything()["rows"] == []
    assert [d["dataset"] for d in page.everything()["datasets"]] == ["b"]


def test_jobs_know_when_they_began_and_how_they_ended(tmp_path: Path) -> None:
    run = small(tmp_path)
    run.event("job_started", trial="a/xgboost/1", attempt=1, slot="cpu1", gap_s=0.1)
    run.event("job_lost", trial="a/xgboost/1", attempt=1, slot="cpu1", reason="killed", blame=True, seconds=1.0)
    run.event("job_started", trial="a/xgboost/1", attempt=2, slot="cpu0", slots=2, gap_s=None)
    page = Gathered.of(tmp_path)
    assert [[j[1], j[2], j[3], *j[6:8]] for j in page.everything()["jobs"]] == [
        ["cpu0", "a/xgboost/0", 1, "complete", 1], ["cpu1", "a/xgboost/1", 1, "lost", 1],
        ["cpu0", "a/xgboost/1", 2, "running", 2]], "on how many slots, from its beginning on"
    known = page.change
    run.told("a/xgboost/1", 0.8, seconds=0.5)
    page.follow()
    (place, _, trial, attempt, start, end, outcome, _, began_by), = page.since(known)["jobs"]
    assert began_by == 1
    assert (place, trial, attempt, outcome) == (2, "a/xgboost/1", 2, "complete")
    assert end - start == pytest.approx(0.5), "the slot was free when the work ended, not when it was written down"
    run.event("job_started", trial="a/xgboost/2", attempt=1, slot="cpu0", gap_s=0.25)
    page.follow()
    (_, _, _, _, start, *_), = page.since(page.change - 1)["jobs"]
    assert start < run.now, "by the worker's word, not when that came to be written down"
    assert start == pytest.approx(end + 0.25)
    run.now += 3600
    run.told("a/xgboost/2", 0.8, seconds=0.5)
    page.follow()
    (_, _, _, _, start, end, *_), = page.since(page.change - 1)["jobs"]
    assert end - start > 3600, "it stood still in between, and nobody else could have the slot"


def test_what_a_killed_scheduler_left_running_ended_with_it(tmp_path: Path) -> None:
    run = small(tmp_path)
    run.event("job_started", trial="a/xgboost/1", attempt=1, slot="cpu1", gap_s=0.1)
    last = run.now
    run.now += 3600
    run.started("a", resumed=True)
    job = Gathered.of(tmp_path).everything()["jobs"][-1]
    assert job[6] == "lost"
    assert job[5] == last > START
    run.event("job_started", trial="a/xgboost/2", attempt=1, slot="cpu1", gap_s=0.1)
    assert [j[8] for j in Gathered.of(tmp_path).everything()["jobs"]][-2:] == [1, 2], "by the first start, and the next"


def test_numbers_that_json_does_not_know_are_none(tmp_path: Path) -> None:
    run = small(tmp_path)
    run.event("dataset_failed", dataset="b", reason="no such file")
    run.event("layout_chosen", dataset="a", slots=1, threads=2, reason="faster", remembered=False)
    page = Gathered.of(tmp_path)
    text = msgspec.json.encode({**page.everything(), "worst": math.inf}).decode()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_what_was_measured_of_the_cores_is_there_beside_what_was_chosen(tmp_path: Path) -> None:
    run = small(tmp_path)
    run.event("layout_measured", dataset="a", family="xgboost", trial="a/xgboost/0", threads=2, single_s=1.0,
              joined_s=0.6)
    run.event("layout_chosen", dataset="a", slots=1, threads=2, reason="joined is faster", remembered=False)

    found = Gathered.of(tmp_path).everything()

    assert found["layouts_measured"] == [{"dataset": "a", "family": "xgboost", "trial": "a/xgboost/0", "threads": 2,
                                          "single_s": 1.0, "joined_s": 0.6}]
    assert found["layouts"] == [{"dataset": "a", "slots": 1, "threads": 2, "reason": "joined is faster"}]


def test_an_empty_folder_has_an_empty_page(tmp_path: Path) -> None:
    found = Gathered.of(tmp_path).everything()
    assert (found["rows"], found["jobs"], found["datasets"]) == ([], [], [])
    assert found["run"]["state"] == ""


def test_damaged_events_do_not_keep_the_page_from_being_shown(tmp_path: Path) -> None:
    run = small(tmp_path)
    run.event("job_started", trial="a/xgboost/9")
    run.event("trial_told", trial="a/xgboost/9")
    run.event("space_described", dataset="a", family="xgboost", space={"parameters": [
        {"name": "eta", "domain": {"type": "float", "low": 1e-3, "high": 1.0, "log": True}}]})
    found = Gathered.of(tmp_path).everything()
    assert len(found["rows"]) == 1
    assert found["spaces"]["a/xgboost"]["eta"] == {"type": "float", "log": True}
