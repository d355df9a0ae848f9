"""Logs that libraries fill are cut, and their writers go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from optimizer.scheduler.logs import trim_log, trim_logs


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "worker-cpu0.log"
    log.write_bytes(b"x" * 100)

    assert trim_log(log, keep_bytes=10, cap_bytes=100) == 0
    assert log.read_bytes() == b"x" * 100
    assert [p.name for p in tmp_path.iterdir()] == ["worker-cpu0.log"]


def test_a_log_that_is_not_there_is_not_too_long(tmp_path: Path) -> None:
    assert trim_log(tmp_path / "worker-cpu0.log", keep_bytes=10, cap_bytes=100) == 0


def test_of_a_long_log_the_end_is_kept_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "worker-cpu0.log"
    log.write_bytes(b"a" * 1000 + b"the end")

    assert trim_log(log, keep_bytes=7, cap_bytes=100) == 1000
    assert log.read_bytes() == b""
    assert (tmp_path / "worker-cpu0.log.1").read_text().splitlines() == ["[1000 bytes before this were cut away]",
                                                                       "the end"]


def test_more_is_cut_again_and_no_third_file_appears(tmp_path: Path) -> None:
    log = tmp_path / "worker-cpu0.log"
    for text in ("first", "second"):
        log.write_text("x" * 200 + text)
        trim_log(log, keep_bytes=len(text), cap_bytes=100)

    assert (tmp_path / "worker-cpu0.log.1").read_text().endswith("\nsecond")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["worker-cpu0.log", "worker-cpu0.log.1"]


def test_who_writes_a_log_goes_on_at_its_new_end(tmp_path: Path) -> None:
    log = tmp_path / "worker-cpu0.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"x" * 1000)

    trim_log(log, keep_bytes=1, cap_bytes=100)
    os.write(descriptor, b"and on")
    os.close(descriptor)

    assert log.read_bytes() == b"and on"


def test_a_log_is_cut_even_where_there_is_no_room_to_keep_its_end(tmp_path: Path) -> None:
    log = tmp_path / "worker-cpu0.log"
    log.write_bytes(b"x" * 1000)
    (tmp_path / "worker-cpu0.log.1.part").mkdir()  # what cannot be opened for writing, as on a full disk

    assert trim_log(log, keep_bytes=10, cap_bytes=100) == 1000
    assert log.stat().st_size == 0
    assert not (tmp_path / "worker-cpu0.log.1").exists()


@pytest.mark.parametrize(("name", "size"), [
    ("worker-cpu0.log", 0), ("preparation.log", 0), ("recorder.log", 0), ("run.log", 1000), ("notes.txt", 1000),
])
def test_logs_of_children_are_cut_and_the_runs_own_is_whole(tmp_path: Path, name: str, size: int) -> None:
    (tmp_path / name).write_bytes(b"x" * 1000)

    trim_logs(tmp_path, keep_bytes=10, cap_bytes=100)

    assert (tmp_path / name).stat().st_size == size
