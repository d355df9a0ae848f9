"""A disk limit that is much too small: held all the time, by the least useful, and over a kill."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from optimizer.records import TrialRecord
from optimizer.store import Store, submission_name
from optimizer.views.results import RunView
from tests.acceptance.studies import (
    database_trials,
    events,
    leaderboard,
    optimizer,
    start,
    told_counts,
    write_study,
)

LIMIT = 400_000
#: Small models, so that there is room for predictions beside them and for what running trials write.
EXTRA = """
[resources]
disk_limit = "0.4MB"
[family.xgboost.space]
iterations = 4
max_depth = 2
[family.lightgbm.space]
iterations = 4
num_leaves = 4
"""


def files(folder: Path) -> dict[str, int]:
    """Path to bytes of each prediction and model; what goes while it looks is left out."""
    found = {}
    for kind in ("predictions", "models"):
        for place, _, names in os.walk(folder / kind):
            for name in names:
                path = os.path.join(place, name)
                with suppress(FileNotFoundError):
                    found[path] = os.stat(path).st_size
    return found


def held(folder: Path) -> int:
    """Bytes of predictions and models at one moment: looked at until two looks in a row agree.

    One look takes a while, and would count what goes during it together with what comes in its place.
    """
    before, now = None, files(folder)
    while now != before:
        before, now = now, files(folder)
    return sum(now.values())


def complete(folder: Path) -> dict[str, TrialRecord]:
    return {t.trial: t for t in RunView.open(folder).trials() if t.state == "complete"}


def test_the_disk_limit_is_held_by_evicting_the_least_useful_also_over_a_kill(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 60\nfolds = 3\nfamilies = ["xgboost", "lightgbm"]\npruner = "none"',
                        kinds=("binary", "regression"), extra=EXTRA)
    run = start(study)
    run.until(lambda records: sum(r["event"] == "predictions_evicted" for r in records) >= 5)
    run.kill()
    folder = run.folder
    before = {r["trial"] for r in events(folder, "predictions_evicted")}
    place = folder / "predictions" / "binary" / "xgboost"
    ours = [place / "0-9.npz", place / "1-1.npz.part", place / f"{sorted(before)[0].split('/')[2]}-7.npz"]
    theirs = [place / "notes.txt", place / "99999-1.npz", place / "1-1.npz.backup"]
    for path in (*ours, *theirs):
        path.write_bytes(b"x" * 10)

    run = start(study)
    most = 0
    while run.process.poll() is None:
        most = max(most, held(folder))
        time.sleep(0.05)

    assert run.wait() == 0, study.with_suffix(".out").read_text()[-2000:]
    said = [r["text"] for r in events(folder, "notice")]
    assert [text for text in said if text.startswith("what is never evicted")] == [], "too small a limit to be held"
    assert 0 < most <= LIMIT + 30, f"{most} bytes were held at a time"
    assert [path.name for path in ours if path.exists()] == []
    assert [path.name for path in theirs if not path.exists()] == []
    evicted = [r["trial"] for r in events(folder, "predictions_evicted")]
    assert {r["reason"] for r in events(folder, "predictions_evicted")} == {"quota"}
    assert len(evicted) == len(set(evicted)) > len(before)
    records = complete(folder)
    assert set(told_counts(folder).values()) == {1}
    assert {t: n for t, n in database_trials(folder).items() if not t.startswith("state:")} == told_counts(folder)
    store = Store(folder)
    for trial, record in records.items():
        assert record.predictions == ("evicted" if trial in evicted else "kept")
        file = folder / "predictions" / Path(trial).parent / f"{trial.rpartition('/')[2]}-{record.attempt}.npz"
        assert file.exists() == (trial not in evicted), trial
        if trial not in evicted:
            store.read_predictions(trial, record.attempt, record.predictions_sha256)
    view = RunView.open(folder)
    for dataset in ("binary", "regression"):
        ranked = view.ranked(dataset)
        best = {record.family: record for record in reversed(ranked)}
        assert set(best) == {"xgboost", "lightgbm"}
        assert [t.trial for t in best.values() if t.predictions != "kept"] == []
        gone = [t.trial in evicted for t in ranked]
        assert sum(gone[: len(gone) // 2]) < sum(gone[len(gone) // 2 :]), "the lower half goes first"
    exported = {path.name for path in (folder / "scores").glob("subm-*.csv")}
    assert exported
    assert [t for t in evicted if submission_name(records[t]) in exported] == []
    assert all(r.trial not in evicted for r in records.values() if r.models_kept)

    board = leaderboard(study, "--top", 200)
    assert {row["trial"] for row in board if row["predictions"] == "evicted"} == set(evicted)
    text = optimizer("leaderboard", study, "--top", 200, cwd=tmp_path).stdout
    assert text.count("complete, evicted") == len(evicted)
    done = optimizer("export", study, "--top", 60, cwd=tmp_path)
    assert done.returncode == 0
    for dataset in ("binary", "regression"):
        over = [(rank, t) for rank, t in enumerate(view.ranked(dataset), start=1)
                if t.trial in evicted or not t.test_predicted]
        assert any(t.trial in evicted for _, t in over)
        for rank, t in over[:3]:
            why = "evicted to keep the disk limit" if t.test_predicted else "its test rows were not predicted"
            said = next(line for line in done.stderr.splitlines() if f"{t.trial} (rank {rank}) is passed over" in line)
            assert why in said, "the best of them are named"


def test_a_limit_that_will_not_hold_what_is_expected_is_said_before_the_first_trial(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 4\nfolds = 2\nfamilies = ["lightgbm"]', extra=EXTRA.replace("0.4MB", "8GB"))
    assert optimizer("run", study, cwd=tmp_path).returncode == 0
    study.write_text(study.read_text().replace("8GB", "0.01MB").replace("trials = 4", "trials = 8"))
    assert optimizer("run", study, cwd=tmp_path).returncode == 0

    notices = [r["text"] for r in events(study.with_suffix(""), "notice")]
    limits = [text for text in notices if "may take" in text]
    assert limits[0] == 'predictions and models may take 8.0 GB on the disk (disk_limit = "8GB")'
    assert 'may take 10.0 kB on the disk (disk_limit = "0.01MB"); they take ' in limits[1]
    assert any(text.startswith("binary: each trial keeps 2.3 kB of predictions; about 8 trials are expected, the disk "
                               "limit of 10.0 kB holds about 4 of them, ") for text in notices), notices
    assert any(text.startswith("what is never evicted") for text in notices)
