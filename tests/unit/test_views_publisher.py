"""Submissions and summary kept up to date."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from stubs.runs import FakeRun

from optimizer.views.publisher import DONE, FINISH, TOLD, Publication, Publisher, serve


def begun(folder: Path) -> FakeRun:
    run = FakeRun(folder)
    run.table()
    run.started("a")
    run.ready("a")
    return run


def tell(run: FakeRun, trial: str, score: float, probability: float, **changes: object) -> None:
    run.told(trial, score, **{**run.predicted(trial, [[probability]] * 4), **changes})


def best(run: FakeRun) -> str:
    return (run.folder / "scores" / "best-a.csv").read_text().splitlines()[1]


def publish(folder: Path) -> None:
    """As a process that starts anew would."""
    assert Publication(folder).catch_up(last=True) == []


def files(run: FakeRun) -> list[str]:
    return sorted(p.name[:13] for p in (run.folder / "scores").iterdir())


def test_a_better_trial_replaces_the_best_submission_and_a_worse_one_does_not(tmp_path: Path) -> None:
    run = begun(tmp_path)
    publication = Publication(tmp_path)
    tell(run, "a/xgboost/0", 0.90, 0.0)
    assert publication.catch_up() == []
    assert best(run) == "9,Extrovert"
    tell(run, "a/xgboost/1", 0.95, 1.0)
    publication.catch_up()
    assert best(run) == "9,Introvert"
    tell(run, "a/xgboost/2", 0.80, 0.0)
    publication.catch_up()
    assert best(run) == "9,Introvert"
    assert files(run) == ["best-a.csv", "subm-0.900000", "subm-0.950000"]


def test_a_best_trial_without_test_predictions_leaves_the_submission_to_the_next_best(tmp_path: Path) -> None:
    run = begun(tmp_path)
    tell(run, "a/xgboost/0", 0.90, 0.0)
    tell(run, "a/xgboost/1", 0.95, 1.0, test_predicted=False)
    publish(tmp_path)
    assert best(run) == "9,Extrovert"
    summary = msgspec.json.decode((tmp_path / "summary.json").read_bytes())["datasets"][0]
    assert summary["best"]["trial"] == "a/xgboost/1"
    assert summary["submission_trial"] == "a/xgboost/0"
    assert summary["submission"] == "scores/best-a.csv"


def test_publishing_again_after_a_crash_mends_what_is_missing_and_changes_nothing_else(tmp_path: Path) -> None:
    run = begun(tmp_path)
    tell(run, "a/xgboost/0", 0.90, 0.0)
    publish(tmp_path)
    (tmp_path / "scores" / "best-a.csv").write_text("torn")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "scores").glob("subm-*")}
    publish(tmp_path)
    assert best(run) == "9,Extrovert"
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "scores").glob("subm-*")} == before


def test_a_failure_to_write_is_told_and_tried_again(tmp_path: Path) -> None:
    run = begun(tmp_path)
    tell(run, "a/xgboost/0", 0.90, 0.0)
    (tmp_path / "scores").write_text("a file where the folder should be")
    publication = Publication(tmp_path)
    assert "scores" in publication.catch_up()[0]
    assert "scores" in publication.catch_up()[0]
    (tmp_path / "scores").unlink()
    assert publication.catch_up() == []
    assert best(run) == "9,Extrovert"


def test_a_folder_that_was_moved_away_is_not_made_anew(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    tell(run, "a/xgboost/0", 0.90, 0.0)
    publication = Publication(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "elsewhere")

    assert publication.catch_up(last=True) == ["the run's folder is gone"]
    assert not Publisher(tmp_path / "run").finish(timeout_s=10.0)
    assert not (tmp_path / "run").exists()


def test_one_bad_dataset_does_not_keep_the_others_from_being_published(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.ready("0", fingerprint="missing")
    run.told("0/xgboost/0", 0.99, table="missing", **run.predicted("0/xgboost/0", [[0.5]] * 4))
    tell(run, "a/xgboost/0", 0.90, 0.0)
    troubles = Publication(tmp_path).catch_up()
    assert [t.split(":")[0] for t in troubles] == ["0"]
    assert best(run) == "9,Extrovert"
    assert (tmp_path / "summary.txt").exists()


def test_a_dataset_without_test_table_has_no_submission_and_a_summary(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a", test_rows=0)
    run.told("a/xgboost/0", 0.9, test_predicted=False)
    publish(tmp_path)
    assert not (tmp_path / "scores").exists()
    assert "no test table" in (tmp_path / "summary.txt").read_text()


def test_the_process_answers_finish_when_all_is_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    ours, theirs = Pipe()
    server = Thread(target=serve, args=(tmp_path, theirs))
    server.start()
    tell(run, "a/xgboost/0", 0.90, 1.0)
    for message in (TOLD, b"what is this", b"", FINISH):
        ours.send_bytes(message)
    assert ours.poll(60)
    assert ours.recv_bytes() == DONE
    server.join(60)
    assert not server.is_alive()
    assert best(run) == "9,Introvert"


@pytest.mark.parametrize("last_words", [b"", b"\x00\x00\x00\x04to", b"\xff" * 64])
def test_the_process_ends_when_its_parent_is_gone_or_talks_nonsense(tmp_path: Path, last_words: bytes) -> None:
    begun(tmp_path)
    ours, theirs = Pipe()
    os.write(ours.fileno(), last_words)
    ours.close()
    serve(tmp_path, theirs)
    theirs.close()


def test_a_publisher_that_was_killed_is_made_up_for_at_the_end(tmp_path: Path) -> None:
    run = begun(tmp_path)
    publisher = Publisher(tmp_path)
    os.kill(publisher.pid, signal.SIGKILL)
    tell(run, "a/xgboost/0", 0.90, 1.0)
    for _ in range(3):
        publisher.on_event({"t": time.time(), "event": "trial_told"})
    assert publisher.finish()
    assert best(run) == "9,Introvert"
    assert not Path(f"/proc/{publisher.pid}").exists()
