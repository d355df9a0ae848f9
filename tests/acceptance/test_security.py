"""Who may look and who may write: ports, file modes, links, names that came from elsewhere."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import psutil
import pytest

from optimizer.journal import encode_line
from tests.acceptance.studies import Started, command, events, optimizer, start, write_study

STUDY = "trials = 3\nfolds = 2\nfamilies = ['lightgbm']"
ONE_CORE = "[resources]\ncores = 1"


def tree(run: Started) -> list[psutil.Process]:
    """Every process of a run."""
    first = psutil.Process(run.process.pid)
    return [first, *first.children(recursive=True)]


def test_no_process_of_a_run_listens_on_any_port(tmp_path: Path) -> None:
    run = start(write_study(tmp_path, "trials = 40\nfolds = 3", extra=ONE_CORE))
    run.until(lambda records: any(r["event"] == "trial_told" for r in records))
    processes = tree(run)
    names = " ".join(" ".join(p.cmdline()) for p in processes)
    for part in ("optimizer.worker", "optimizer.views.publisher", "optimizer.views.dashboard"):
        assert part in names
    for process in processes:
        assert process.net_connections(kind="inet") == [], process.cmdline()
        listening = [c for c in process.net_connections(kind="unix") if c.laddr]
        assert not listening, "nor on a socket that has a name"
    run.process.terminate()
    assert run.wait(60) == 3


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_nobody_else_may_write_what_a_run_leaves_and_the_persons_own_mask_holds(tmp_path: Path, mask: int) -> None:
    study = write_study(tmp_path, STUDY, extra=ONE_CORE)
    done = subprocess.run(command("run", study), cwd=tmp_path, umask=mask, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    folder = study.with_suffix("")
    allowed = 0o777 & ~(mask | 0o022)
    found = [folder, *folder.rglob("*")]
    assert {"optuna.db", "journal.jsonl", "status.json", "run.log", "best-binary.csv"} <= {p.name for p in found}
    wrong = {str(p): oct(stat.S_IMODE(p.stat().st_mode)) for p in found if p.stat().st_mode & 0o777 & ~allowed}
    assert not wrong


def test_a_link_in_the_runs_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = write_study(tmp_path, STUDY, extra=ONE_CORE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    study.with_suffix("").mkdir()
    (study.with_suffix("") / "predictions").symlink_to(elsewhere)
    done = optimizer("run", study, cwd=tmp_path)
    assert done.returncode == 2
    assert f"predictions is a link to {elsewhere}" in done.stderr
    assert not list(elsewhere.iterdir())
    assert [p.name for p in study.with_suffix("").iterdir()] == ["predictions"]


def test_a_runs_folder_that_is_a_link_is_followed(tmp_path: Path) -> None:
    study = write_study(tmp_path, STUDY, extra=ONE_CORE)
    (tmp_path / "big-disk").mkdir()
    study.with_suffix("").symlink_to(tmp_path / "big-disk")
    assert optimizer("run", study, cwd=tmp_path).returncode == 0
    assert (tmp_path / "big-disk" / "scores" / "best-binary.csv").is_file()


def test_a_journal_from_elsewhere_writes_nothing_outside_its_run(tmp_path: Path) -> None:
    """Somebody hands over a run's folder, whose journal names a dataset so that its submission would lie above it."""
    study = write_study(tmp_path, STUDY, extra=ONE_CORE)
    assert optimizer("run", study, cwd=tmp_path).returncode == 0
    folder = study.with_suffix("")
    told = events(folder, "trial_told")[0]
    journal = (folder / "journal.jsonl").read_bytes()
    before = set(tmp_path.rglob("*"))
    for name in ("../../../../evil", "..", "/tmp/evil", "a/../../../evil"):
        lines = [{**r, "dataset": name} for r in events(folder, "dataset_ready")]
        lines.append({**told, "trial": f"{name}/lightgbm/0", "score": 9.0})
        (folder / "journal.jsonl").write_bytes(journal + b"".join(map(encode_line, lines)))
        for words in (("export", "--top", "9"), ("leaderboard",), ("leaderboard", "--csv"), ("status",)):
            done = optimizer(words[0], study, *words[1:], cwd=tmp_path)
            assert "Traceback" not in done.stderr
        assert {p for p in tmp_path.rglob("*") if p.parent != folder / "scores"} <= before
        assert not Path("/tmp/evil").exists()
        assert not [p for p in tmp_path.parent.iterdir() if "evil" in p.name]


def test_a_study_file_cannot_name_a_dataset_out_of_its_folder(tmp_path: Path) -> None:
    study = write_study(tmp_path, STUDY, extra=ONE_CORE)
    for name in ("../evil", "/tmp/evil", "..", "a/b", "a\\u0000b", "[red]a[/red]"):
        study.write_text(study.read_text().split("[[datasets]]")[0] +
                         f'[[datasets]]\nname = "{name}"\ntrain = "../data/binary/train.csv"\n')
        done = optimizer("run", study, cwd=tmp_path)
        assert done.returncode == 2, done.stdout
        assert "Traceback" not in done.stderr
        assert os.listdir(study.parent) == ["small.toml"]
