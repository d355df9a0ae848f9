"""The state of a run, as viewers read it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from optimizer.status import MachineStatus, Status, read_status, write_status

NOW = 1_795_328_000.0

STATUS = Status(run="s5e7", state="running", pid=1, version="0.1", at=NOW, first_started=NOW, started=NOW,
                machine=MachineStatus(cores=2, cpu=0.5, memory_mb=1000.0, memory_used_mb=10.0))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_status(tmp_path / "status.json", STATUS)

    assert read_status(tmp_path / "status.json") == STATUS


def test_a_reader_never_meets_a_second_file_or_half_of_one(tmp_path: Path) -> None:
    for _ in range(3):
        write_status(tmp_path / "status.json", STATUS)

    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_no_file_or_an_unreadable_one_is_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path / "status.json") is None
    (tmp_path / "status.json").write_text('{"run": ')
    assert read_status(tmp_path / "status.json") is None


def test_a_directory_in_its_place_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()

    write_status(tmp_path / "status.json", STATUS)

    assert read_status(tmp_path / "status.json") == STATUS
    assert len(list(tmp_path.glob("status.json.found-*"))) == 1


def test_of_one_that_cannot_be_written_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_status(tmp_path / "status.json", STATUS)

    def broken(path: Path, target: Path) -> Path:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write_status(tmp_path / "status.json", STATUS)

    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]
    assert read_status(tmp_path / "status.json") == STATUS
