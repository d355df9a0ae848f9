"""A run as plain lines."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

from stubs.runs import FakeRun

from optimizer.journal import read
from optimizer.views.lines import Narrator, follow


def told(folder: Path, **options: float) -> list[str]:
    narrator = Narrator(zone=datetime.UTC, **options)
    return [line for record in read(folder / "journal.jsonl") if (line := narrator.line(record)) is not None]


def test_every_event_worth_reading_is_one_line(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "s5e7")
    run.started("a", "b", slots=4)
    run.ready("a")
    run.ready("b", same_as="a")
    run.event("notice", text="GPU drivers are not there; running on cores")
    run.event("trial_asked", trial="a/xgboost/0", params={}, seed=1, space="abc")
    run.told("a/xgboost/0", 0.97)
    run.event("best_improved", dataset="a", trial="a/xgboost/0", score=0.97, previous=None)
    run.event("job_lost", trial="a/catboost/0", attempt=1, slot="cpu1", reason="killed by signal 9")
    run.told("a/lightgbm/0", None, "failed", reason="boom")
    run.event("best_improved", dataset="a", trial="a/catboost/0", score=0.98, previous=0.97)
    run.event("family_stopped", family="lightgbm", dataset=None, reason="no OpenCL device")
    run.event("dataset_finished", dataset="a", used_s=60.0, reason="its time is used")
    run.ended("finished")
    assert told(tmp_path / "s5e7") == [
        "2026-11-22 06:13:21  run s5e7 started: 2 datasets, xgboost, lightgbm, catboost, 4 slots",
        "2026-11-22 06:13:22  dataset a ready: 1,000 rows, 7 columns, binary, accuracy",
        "2026-11-22 06:13:23  dataset b ready: 1,000 rows, 7 columns, binary, accuracy; same content as a",
        "2026-11-22 06:13:24  notice: GPU drivers are not there; running on cores",
        "2026-11-22 06:13:27  a: new best 0.97000 by a/xgboost/0",
        "2026-11-22 06:13:28  job of a/catboost/0 lost on slot cpu1 (attempt 1): killed by signal 9",
        "2026-11-22 06:13:29  trial a/lightgbm/0 failed: boom",
        "2026-11-22 06:13:30  a: new best 0.98000 by a/catboost/0, was 0.97000",
        "2026-11-22 06:13:31  family lightgbm stopped: no OpenCL device",
        "2026-11-22 06:13:32  dataset a finished after 2 trials: its time is used",
        "2026-11-22 06:13:33  run finished with 2 trials",
    ]


def test_a_best_that_is_better_by_a_hair_is_not_said_to_be_what_it_was(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.event("best_improved", dataset="a", trial="a/xgboost/0", score=0.9700012, previous=0.9700011)
    assert told(tmp_path)[-1].endswith("  a: new best 0.97000 by a/xgboost/0, better by less than is shown")


def test_a_quiet_run_still_says_how_far_it_is(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    for i in range(25):
        run.told(f"a/xgboost/{i}", 0.9)
    progress = [line for line in told(tmp_path, progress_every_s=10.0) if "so far" in line]
    assert [line.split("  ")[1] for line in progress] == [
        "so far 10 trials, 10 trials of them on a", "so far 20 trials, 20 trials of them on a"]


def test_a_line_has_no_control_characters(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.event("notice", text="a\x1b[31m\nb\r\x07")
    (line,) = told(tmp_path)
    assert line.isprintable()


def test_following_prints_the_latest_start_and_ends_with_it(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.event("notice", text="of the first start")
    run.ended("stopped", "Ctrl-C")
    run.started("a", resumed=True)
    run.told("a/xgboost/0", 0.9)
    run.ended("finished")
    out = io.StringIO()
    assert follow(tmp_path, None, out) == 0
    texts = [line.split("  ", 1)[1] for line in out.getvalue().splitlines()]
    assert [t.split()[:3] for t in texts] == [["run", tmp_path.name, "resumed:"], ["run", "finished", "with"]]


class Full(io.StringIO):
    """Output to a full disk."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_costs_lines_and_not_the_process(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ended()
    assert follow(tmp_path, None, Full()) == 0
