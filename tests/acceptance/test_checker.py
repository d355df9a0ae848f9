"""The checker that judges the nemesis's victims finds every lie that is planted in a sound run's folder."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.studies import optimizer, write_study
from tests.chaos import checker
from tests.chaos.evidence import journal_lines, ticks_since_boot, whole_record
from tests.chaos.nemesis import Nemesis


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that has finished."""
    root = tmp_path_factory.mktemp("sound")
    study = write_study(root, "trials = 3\nfolds = 2\npruner = 'none'")
    done = optimizer("run", study, "--families", "lightgbm", cwd=root)
    assert done.returncode == 0, done.stderr
    return study.with_suffix("")


def broken(folder: Path) -> set[str]:
    """Names of the claims that do not hold."""
    return {claim.name for claim in checker.check(folder) if not claim.holds}


def test_a_sound_run_keeps_every_promise(sound: Path) -> None:
    assert broken(sound) == set()


def line_of(body: dict[str, Any]) -> bytes:
    """A whole journal line."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return b'{"crc":"%08x",' % zlib.crc32(text) + text[1:] + b"\n"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """Put other whole lines in the place of each line of the journal."""
    lines = b""
    for line in journal_lines(folder):
        record = whole_record(line)
        assert record is not None
        lines += b"".join(map(line_of, change(record)))
    (folder / "journal.jsonl").write_bytes(lines)


def alter(event: str, **fields: Any) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Every such event says something else."""
    return lambda r: [{**r, **fields} if r["event"] == event else r]


def sql(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "optuna.db")) as connection, connection:
        connection.execute(statement)


def without_last_told(folder: Path) -> None:
    left = [r for r in map(whole_record, journal_lines(folder)) if r and r["event"] == "trial_told"][-1]["trial"]
    rewrite(folder, lambda r: [] if r["event"] == "trial_told" and r["trial"] == left else [r])


def torn_page(folder: Path) -> None:
    with (folder / "optuna.db").open("r+b") as stream:
        stream.seek(3 * 4096)
        stream.write(b"\xa5" * 8192)


def predictions(folder: Path) -> Path:
    return next((folder / "predictions").rglob("*.npz"))


STORED = "optuna.db holds each told trial once, and no other"
PREDICTED = "predictions of each are there as told, or recorded as evicted"
LIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a trial is told twice": (
        lambda f: rewrite(f, lambda r: [r, r] if r["event"] == "trial_told" else [r]),
        "each told trial is in the journal once"),
    "a number is used twice": (
        lambda f: rewrite(f, lambda r: [r, r] if r["event"] == "trial_asked" else [r]), "each number is used once"),
    "the database lacks a trial": (
        lambda f: sql(f, "DELETE FROM trial_user_attributes WHERE trial_id = 1 AND key = 'trial'"), STORED),
    "the journal lacks a trial": (without_last_told, STORED),
    "a trial is left running": (
        lambda f: sql(f, "UPDATE trials SET state = 'RUNNING' WHERE trial_id = 1"),
        "no trial is left RUNNING or WAITING"),
    "the two say different things": (lambda f: rewrite(f, alter("trial_told", seconds=1.5)), "both say the same of it"),
    "a score is another": (lambda f: rewrite(f, alter("trial_told", score=0.5)), "each score follows from its folds"),
    "predictions are gone": (lambda f: predictions(f).unlink(), PREDICTED),
    "predictions are others": (lambda f: predictions(f).write_bytes(b"PK"), PREDICTED),
    "too many workers were lost": (
        lambda f: rewrite(f, lambda r: [r, *[{**r, "event": "job_lost", "blame": True}] * 4]
                          if r["event"] == "job_started" else [r]), "no bound of attempts is broken"),
    "attempts do not count up": (
        lambda f: rewrite(f, lambda r: [r, r] if r["event"] == "job_started" else [r]),
        "no bound of attempts is broken"),
    "an asked trial is never told": (
        lambda f: rewrite(f, lambda r: [r, {**r, "trial": "binary/lightgbm/99"}]
                          if r["event"] == "trial_asked" else [r]), "each asked trial is told"),
    "the best submission is short": (
        lambda f: (f / "scores" / "best-binary.csv").write_text("id,diagnosis\n1000,benign\n"),
        "the best submission of each dataset is there and valid"),
    "the database is damaged": (torn_page, "PRAGMA integrity_check"),
}


@pytest.mark.parametrize("lie", LIES)
def test_the_checker_finds_that(lie: str, sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(sound, folder)
    plant, claim = LIES[lie]
    plant(folder)
    assert claim in broken(folder)


def test_what_is_no_longer_told_is_seen(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(sound, folder)
    grows = checker.OnlyGrows(folder)
    assert grows.look().holds
    without_last_told(folder)
    assert not grows.look().holds
    assert len(grows.lost) == 1


def test_an_orphan_is_who_began_before_the_kill_and_not_who_belongs_to_the_next_scheduler(tmp_path: Path) -> None:
    nemesis = Nemesis(tmp_path / "small.toml", [])
    # Like one of the run's own: a module's name and the run's folder among its words.
    like_ours = [sys.executable, "-c", "input()", "optimizer.views.dashboard", str(nemesis.folder)]
    before = ticks_since_boot() - 1
    with subprocess.Popen(like_ours, stdin=subprocess.PIPE) as child:
        try:
            nemesis._count_orphans([], before)
            assert nemesis.report.orphans == []
            nemesis._count_orphans([], ticks_since_boot())
            assert f"dashboard {child.pid}" in "".join(nemesis.report.orphans)
        finally:
            child.kill()


def test_the_checker_shares_no_code_with_what_it_checks() -> None:
    for path in Path(checker.__file__).parent.glob("*.py"):
        assert "import optimizer" not in path.read_text()
        assert "from optimizer" not in path.read_text()
