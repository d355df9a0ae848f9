"""Children that die with us, and processes that are told apart from their namesakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stubs.waiting import until

from optimizer import process
from optimizer.process import descendants, process_stat, resident_and_shared, start_time


def test_a_process_is_recognised_by_when_it_started() -> None:
    assert start_time(os.getpid()) == start_time(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert start_time(child.pid) is not None
    assert start_time(child.pid) != start_time(1)
    child.communicate(b"\n")


def test_a_process_that_is_gone_has_no_start() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert start_time(child.pid) is None


def test_a_zombie_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert start_time(child.pid) is None
    child.wait()


def test_a_name_with_brackets_and_spaces_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) S (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(odd), "60"])
    until(lambda: Path(f"/proc/{child.pid}/comm").read_text().startswith("a)"))

    assert isinstance(start_time(child.pid), int)
    child.kill()
    child.wait()


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import os, sys, time
from optimizer.process import die_with_parent
die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(600)
''', str(__import__("os").getpid())])
time.sleep(600)
"""


def test_a_child_dies_with_its_parent_even_when_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    until(lambda: start_time(child) is None)
    parent.stdout.close()


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    script = "from optimizer.process import die_with_parent; die_with_parent(1 << 30); print('lives')"

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert (answer.returncode, answer.stdout) == (1, b"")


FAMILY = """
import subprocess, sys, threading
started = []
thread = threading.Thread(target=lambda: started.append(subprocess.Popen(["sh", "-c", "sleep 600 & wait"])))
thread.start()
thread.join()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("tasks_tell", [True, False])
def test_descendants_are_found_whichever_thread_started_them(
    monkeypatch: pytest.MonkeyPatch, tasks_tell: bool,
) -> None:
    if tasks_tell and not process._TASKS_TELL:
        pytest.skip("this kernel's tasks do not tell their children")
    monkeypatch.setattr(process, "_TASKS_TELL", tasks_tell)
    child = subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             start_new_session=True)
    assert child.stdout is not None

    # A child has its parent's name between its fork and its exec.
    until(lambda: {Path(f"/proc/{pid}/comm").read_text().strip() for pid in descendants(child.pid)} == {"sh", "sleep"})
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def test_a_process_that_is_gone_has_no_state_no_memory_and_no_descendants() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert process_stat(child.pid) is None
    assert resident_and_shared(child.pid) == (0, 0)
    assert descendants(child.pid) == []


def test_a_stopped_process_is_seen_as_stopped() -> None:
    child = subprocess.Popen(["sleep", "600"])
    child.send_signal(signal.SIGSTOP)

    until(lambda: (stat := process_stat(child.pid)) is not None and stat.state == "T")
    child.kill()
    child.wait()


def test_what_a_parent_held_is_no_peak_of_ours() -> None:
    held = bytearray(b"x") * (300 << 20)
    said = subprocess.run([sys.executable, "-c", "from optimizer.process import peak_rss_mb; print(peak_rss_mb())"],
                          capture_output=True, text=True, check=True).stdout

    assert 1 < float(said) < len(held) / 2**20 / 2
