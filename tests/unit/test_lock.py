"""One scheduler per run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.errors import RunFolderError
from optimizer.process import start_time
from optimizer.scheduler.lock import RunLock, holder

HOLDER = """
import sys
from pathlib import Path
from optimizer.scheduler.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
input()
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """Another process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


def test_a_second_scheduler_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first = hold(tmp_path)

    with pytest.raises(RunFolderError) as caught:
        RunLock(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path} is being run by another scheduler (pid {first.pid}); look at it with "
        f"`optimizer watch {tmp_path.name}`, or end it with `optimizer stop {tmp_path.name}`")
    assert holder(tmp_path) == first.pid
    first.communicate()


def test_a_killed_scheduler_leaves_no_lock(tmp_path: Path) -> None:
    first = hold(tmp_path)
    first.kill()
    first.communicate()

    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_the_lock_can_be_taken_again_once_it_is_released(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert holder(tmp_path) == os.getpid()

    lock.release()

    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_holder(tmp_path: Path) -> None:
    started = start_time(os.getpid())
    assert started is not None
    (tmp_path / "run.lock").write_text(json.dumps({"pid": os.getpid(), "start": started - 1}))

    assert holder(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"pid": "x", "start": 1}', '{"pid": 1, "start": null}'])
def test_a_lock_file_that_says_nothing_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.lock").write_text(text)

    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_a_folder_that_was_never_run_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None


def test_a_lock_is_not_inherited_by_what_the_scheduler_starts(tmp_path: Path) -> None:
    """A worker that outlives its scheduler for a moment must not keep the next one out."""
    lock = RunLock(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "print('runs', flush=True); input()"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, close_fds=False)
    assert child.stdout is not None
    assert child.stdout.readline() == b"runs\n"

    lock.release()

    RunLock(tmp_path).release()
    child.communicate(b"\n")
