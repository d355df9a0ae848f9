"""What an open page is told by its server, without a network in between."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from stubs.runs import FakeRun

from optimizer.errors import UserError
from optimizer.views.page.server import LivePage


def small(folder: Path) -> FakeRun:
    run = FakeRun(folder)
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.90)
    return run


def test_a_page_that_knows_all_is_told_nothing_but_the_time(tmp_path: Path) -> None:
    run = small(tmp_path)
    live = LivePage(tmp_path)
    first = json.loads(live.changes(-1, -1))
    assert first["anew"]
    assert len(first["rows"]) == 1
    nothing = json.loads(live.changes(first["generation"], first["change"]))
    assert set(nothing) == {"generation", "change", "at", "alive", "there"}
    run.told("a/xgboost/1", 0.91)
    more = json.loads(live.changes(first["generation"], first["change"]))
    assert [row[0] for row in more["rows"]] == ["a/xgboost/1"]
    assert not more["anew"]


def test_a_page_of_another_journal_is_told_everything(tmp_path: Path) -> None:
    small(tmp_path)
    live = LivePage(tmp_path)
    first = json.loads(live.changes(-1, -1))
    (tmp_path / "journal.jsonl").unlink()
    again = FakeRun(tmp_path)
    again.started("b")
    update = json.loads(live.changes(first["generation"], first["change"]))
    assert update["anew"]
    assert update["rows"] == []
    assert json.loads(live.changes(update["generation"], 10**9))["anew"]


def test_a_page_from_before_a_restart_of_the_server_is_told_everything(tmp_path: Path) -> None:
    small(tmp_path)
    first = json.loads(LivePage(tmp_path).changes(-1, -1))
    time.sleep(0.002)
    assert json.loads(LivePage(tmp_path).changes(first["generation"], first["change"]))["anew"]


def test_a_folder_that_is_gone_is_said_and_no_fault(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    small(folder)
    live = LivePage(folder)
    folder.rename(tmp_path / "away")
    update = json.loads(live.changes(-1, -1))
    assert update["there"] is False
    assert len(update["rows"]) == 1
    assert "missing" in live.plots("a/xgboost/0")


def test_an_importance_is_weighed_anew_when_there_is_more_to_weigh(tmp_path: Path) -> None:
    run = small(tmp_path)
    live = LivePage(tmp_path)
    assert "1 scored" in live.importance("a", "xgboost")["missing"]
    assert live.importance("a", "xgboost") is live.importance("a", "xgboost")
    run.told("a/xgboost/1", 0.91)
    live.changes(-1, -1)
    assert "2 scored" in live.importance("a", "xgboost")["missing"]
    assert live.importance("nothing", "of it") == {"missing": "no trial"}


def test_an_unknown_trial_is_answered_so(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(UserError, match="this run has no told trial 'a/xgbost/0'"):
        LivePage(tmp_path).plots("a/xgbost/0")
