"""A run on a disk that fills up, and on one whose files are taken away: it waits, says so, and loses nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer.journal import Record
from tests.acceptance.studies import (
    Started,
    database_trials,
    events,
    optimizer,
    processes_of,
    start,
    told_counts,
    wait_until,
    write_study,
)

SLOW = "[family.lightgbm.space]\niterations = 300\nlearning_rate = 0.05"
SHORT = "[family.lightgbm.space]\niterations = 5"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MiB; skipped where it may not be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "small", place], capture_output=True,
                             text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def told_at_least(number: int):  # type: ignore[no-untyped-def]
    """A condition on the journal."""
    return lambda records: sum(r["event"] == "trial_told" for r in records) >= number


def assert_nothing_lost(folder: Path, number: int) -> None:
    """Every told trial once in journal and database, with its predictions."""
    told, database = told_counts(folder), database_trials(folder)
    assert set(told.values()) == {1}
    assert sum(told.values()) == number
    assert {t: n for t, n in database.items() if not t.startswith("state:")} == told
    assert database["state:RUNNING"] == 0
    for record in events(folder, "trial_told"):
        if record["predictions"] == "kept":
            dataset, family, trial = record["trial"].split("/")
            assert (folder / "predictions" / dataset / family / f"{trial}-{record['attempt']}.npz").is_file()


def notices(folder: Path) -> str:
    """Everything that the person was told."""
    return "\n".join(r["text"] for r in events(folder, "notice"))


def fill(place: Path) -> Path:
    """Take all that is free."""
    path = place / "filler"
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * (64 << 10))
        except OSError:
            pass
    return path


def run_with(study: Path) -> Started:
    """Start it, and wait until it has told a few trials."""
    run = start(study, "--families", "lightgbm")
    run.until(told_at_least(2))
    return run


def test_a_full_disk_pauses_the_run_and_with_space_again_it_finishes(disk: Path) -> None:
    study = write_study(disk, "trials = 50\nfolds = 3\npruner = 'none'", extra=SLOW)
    run = run_with(study)

    filler = fill(disk)
    held = "no job is started|disk is full|disk is nearly full"
    assert wait_until(lambda: re.search(held, (run.folder / "status.json").read_text()) is not None, 60)
    time.sleep(3)
    before = len(events(run.folder, "job_started"))
    time.sleep(3)
    assert run.process.poll() is None
    assert len(events(run.folder, "job_started")) == before, "nothing starts on a full disk"
    filler.unlink()

    assert run.wait() == 0, study.with_suffix(".out").read_text()
    assert "disk" in notices(run.folder)
    failed = [r["trial"] for r in events(run.folder, "trial_told") if r["state"] == "failed"]
    assert not failed
    assert_nothing_lost(run.folder, 50)
    assert not processes_of(run.folder)
    assert not (run.folder / ".ballast").exists()


def test_too_little_space_is_refused_at_the_start_with_figures(disk: Path) -> None:
    study = write_study(disk, "trials = 2\nfolds = 2")
    with (disk / "filler").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 120 << 20)

    done = optimizer("run", study, cwd=disk)

    assert done.returncode == 2
    assert "MiB are free on its disk, and a run needs 72 MiB to start" in done.stderr


def test_a_folder_that_is_read_only_for_a_while_pauses_the_run(disk: Path) -> None:
    study = write_study(disk, "trials = 12\nfolds = 3\npruner = 'none'", extra=SLOW)
    run = run_with(study)
    remounted = subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True, text=True, check=False)
    if remounted.returncode:
        run.kill()
        pytest.skip(f"a file system in use cannot be made read-only here: {remounted.stderr.strip()}")
    time.sleep(4)
    assert run.process.poll() is None
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert run.wait() == 0
    assert_nothing_lost(run.folder, 12)


def test_a_journal_that_is_taken_away_is_put_back(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 5000\nfolds = 3\npruner = 'none'", extra=SLOW)
    run = run_with(study)
    path = run.folder / "journal.jsonl"
    for number, what in enumerate(("deleted", "a directory", "another file")):
        before = told_counts(run.folder)
        path.unlink()
        if what == "a directory":
            path.mkdir()
        elif what == "another file":
            path.write_text("somebody's notes\n")
        said = "was deleted" if what == "deleted" else "was replaced"

        assert wait_until(lambda before=before: path.is_file() and set(before) < set(told_counts(run.folder)), 60), what  # type: ignore[misc]
        # Trials that waited in memory are written before the line that says why.
        assert wait_until(lambda said=said, number=number: notices(run.folder).count(said) == max(1, number)), what  # type: ignore[misc]
    run.process.send_signal(signal.SIGTERM)

    assert run.wait() == 3, study.with_suffix(".out").read_text()
    assert_nothing_lost(run.folder, len(told_counts(run.folder)))
    assert len(list(run.folder.glob("journal.jsonl.found-*"))) == 2


def recorded(path: Path) -> int:
    """Trials in a database, asked without making one; -1 where it is none."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute("SELECT COUNT(*) FROM trials").fetchone()[0])
    except sqlite3.Error:
        return -1


def test_a_database_that_is_taken_away_or_held_is_made_good(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 5000\nfolds = 3\npruner = 'none'", extra=SLOW)
    run = run_with(study)
    path = run.folder / "optuna.db"
    for what in ("deleted", "a directory", "garbage", "held"):
        before = len(told_counts(run.folder))
        if what == "held":
            holder = sqlite3.connect(path, isolation_level=None, timeout=30)
            holder.execute("BEGIN EXCLUSIVE")
            time.sleep(10)
            holder.execute("ROLLBACK")
            holder.close()
        elif what == "garbage":
            with path.open("r+b") as stream:
                stream.write(b"garbage! " * 4000)
        else:
            path.unlink()
            if what == "a directory":
                path.mkdir()
        assert wait_until(lambda before=before: recorded(path) > before, 60), what  # type: ignore[misc]
    run.process.send_signal(signal.SIGTERM)

    assert run.wait() == 3, study.with_suffix(".out").read_text()
    assert_nothing_lost(run.folder, len(told_counts(run.folder)))


def test_a_run_whose_folder_is_moved_away_ends_with_one_line(tmp_path: Path) -> None:
    # Short trials, many of which fail before the scheduler's next look at its folder.
    study = write_study(tmp_path, "trials = 5000\nfolds = 2\npruner = 'none'", extra=SHORT)
    run = run_with(study)
    elsewhere = tmp_path / "elsewhere"
    run.folder.rename(elsewhere)

    code = run.wait(60)

    printed = study.with_suffix(".out").read_text()
    assert code == 1, printed
    assert "was moved away or deleted while the run was going on" in printed
    assert "Traceback" not in printed
    assert not [name for name in ("journal.jsonl", "optuna.db", "predictions", "models", "run.lock")
                if (run.folder / name).exists()]

    if run.folder.exists():
        shutil.rmtree(run.folder)
    elsewhere.rename(run.folder)
    before = told_counts(run.folder)
    done = optimizer("run", study, "--families", "lightgbm", "--trials", len(before) + 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(before) <= set(told_counts(run.folder))


def test_altered_lines_are_set_aside_and_their_trials_come_back(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 4\nfolds = 2")
    assert optimizer("run", study, "--families", "lightgbm", cwd=tmp_path).returncode == 0
    folder = study.with_suffix("")
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)

    def altered(event: str) -> list[int]:
        return [i for i, line in enumerate(lines) if f'"event":"{event}"'.encode() in line]

    for number in (altered("trial_told")[1], *altered("space_described"), *altered("dataset_ready")):
        lines[number] = b"\0" + lines[number][1:]
    path.write_bytes(b"".join(lines))
    whole = path.read_bytes()

    done = optimizer("run", study, "--families", "lightgbm", "--trials", 6, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert_nothing_lost(folder, 6)
    (kept,) = folder.glob("journal.jsonl.damaged-*")
    assert kept.read_bytes() == whole
    said: list[Record] = events(folder, "notice")
    assert any("3 altered lines" in r["text"] and kept.name in r["text"] for r in said)
    assert any("1 told trial that the journal lacked came back" in r["text"] for r in said)
