"""The guard kills what a scheduler left behind, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stubs.waiting import until

from optimizer import guard
from optimizer.groups import Groups
from optimizer.process import start_time


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes, each the leader of a group of its own."""
    started = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


# What it decides.


def test_it_knows_what_it_is_told() -> None:
    told: dict[int, int] = {}
    for line in (b"+ 10 500", b"+ 11 600", b"- 10", b"- 12", b"", b"nonsense"):
        guard.told(told, line)

    assert told == {11: 600}


def test_a_number_that_was_given_to_another_is_spared() -> None:
    starts = {10: 500, 11: 999}

    assert guard.to_kill({10: 500, 11: 600, 12: 700}, starts.get) == [10, 12]


def test_a_leader_is_recognised_as_the_scheduler_recognises_it() -> None:
    assert guard.leader_start(os.getpid()) == start_time(os.getpid())
    assert guard.leader_start(2**22 + 1) is None


# What it does.


def run_guard(lines: str) -> subprocess.Popen[bytes]:
    """A guard that was told these lines."""
    process = subprocess.Popen([sys.executable, "-I", "-S", guard.__file__], stdin=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    process.stdin.write(lines.encode())
    return process


def test_at_the_end_of_its_input_it_kills_what_it_was_told_and_ends(sleepers: list[subprocess.Popen[bytes]]) -> None:
    theirs, other = sleepers
    process = run_guard(f"+ {theirs.pid} {start_time(theirs.pid)}\n+ {other.pid} 1\n")

    process.communicate()

    assert process.returncode == 0
    assert theirs.wait() == -signal.SIGKILL
    assert other.poll() is None, "it was started at another time than that"


def test_what_was_taken_back_is_spared(sleepers: list[subprocess.Popen[bytes]]) -> None:
    pid = sleepers[0].pid
    process = run_guard(f"+ {pid} {start_time(pid)}\n- {pid}\n")

    process.communicate()

    assert sleepers[0].poll() is None


def test_it_is_deaf_to_what_a_terminal_sends(sleepers: list[subprocess.Popen[bytes]]) -> None:
    pid = sleepers[0].pid
    process = run_guard(f"+ {pid} {start_time(pid)}\n")
    # TTOU is the last that it turns off; others may have been off before.
    until(lambda: int(next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
                           if line.startswith("SigIgn")).split()[1], 16) & (1 << signal.SIGTTOU - 1))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        process.send_signal(number)
    process.communicate()

    assert process.returncode == 0
    assert sleepers[0].wait() == -signal.SIGKILL


# The scheduler's side.


def test_no_guard_runs_before_there_is_something_to_guard(tmp_path: Path) -> None:
    living = Groups(tmp_path / "guard.log")
    living.look()

    assert living.guard_pid is None
    living.close()


def test_closing_ends_what_is_left_and_the_guard(tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]) -> None:
    living = Groups(tmp_path / "guard.log")
    living.add(sleepers[0].pid)
    living.add(sleepers[1].pid)
    living.remove(sleepers[1].pid)
    pid = living.guard_pid
    assert pid is not None
    assert os.getsid(pid) == pid

    living.close()

    assert sleepers[0].wait() == -signal.SIGKILL
    assert sleepers[1].poll() is None
    assert start_time(pid) is None
    assert (tmp_path / "guard.log").read_text() == ""


def test_what_has_the_run_s_mark_ends_too_wherever_it_hides(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]],
) -> None:
    script = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3, start_new_session=True).pid)"
    living, others = Groups(tmp_path / "guard.log"), Groups(tmp_path / "other.log")
    hidden, other = (int(subprocess.check_output([sys.executable, "-c", script], env={**os.environ, **groups.mark}))
                     for groups in (living, others))
    living.add(sleepers[0].pid)

    living.close()

    assert sleepers[0].wait() == -signal.SIGKILL
    until(lambda: start_time(hidden) is None)
    assert start_time(other) is not None, "of others of the same process"
    os.kill(other, signal.SIGKILL)


def test_a_guard_that_was_killed_is_replaced_and_told_everything_again(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch,
) -> None:
    living = Groups(tmp_path / "guard.log")
    living.add(sleepers[0].pid)
    first = living.guard_pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    until(lambda: living.look() or living.guard_pid not in (first, None))
    living.close()

    assert sleepers[0].wait() == -signal.SIGKILL


def test_a_guard_that_cannot_live_is_not_tried_again_and_again(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    living = Groups(tmp_path / "guard.log")
    living.add(sleepers[0].pid)
    first = living._guard._process
    assert first is not None
    until(lambda: first.poll() is not None)

    for _ in range(100):
        living.look()

    assert living._guard._starts <= 2
    living.close()


def test_a_guard_that_somebody_stopped_does_not_stop_us(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]],
) -> None:
    living = Groups(tmp_path / "guard.log")
    living.add(sleepers[0].pid)
    pid = living.guard_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    for _ in range(20_000):  # more than a pipe holds
        living.add(sleepers[1].pid)
        living.remove(sleepers[1].pid)

    until(lambda: living.look() or living.guard_pid not in (pid, None))
    living.close()
    assert sleepers[0].wait() == -signal.SIGKILL
