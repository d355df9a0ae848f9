"""Short-lived children are read without waiting, logged, pinned, and end with us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from multiprocessing import connection
from pathlib import Path

import pytest
from stubs.waiting import until

from optimizer.child import Child
from optimizer.process import start_time


@pytest.fixture
def modules(tmp_path: Path) -> dict[str, str]:
    """An environment in which modules of this test can be run by name."""
    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    write("echoes", "import sys\nprint(sys.stdin.read().upper(), end='')\nprint(*sys.argv, file=sys.stderr)\n")
    write("tells", "import json, os\nprint(json.dumps([os.getpid(), sorted(os.sched_getaffinity(0))]))\n")
    write("sleeps", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    write("forks", "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\n"
                   "child.wait()\n")
    write("leaves", "import subprocess\nprint(subprocess.Popen(['sleep', '600']).pid, flush=True)\n")
    write("stays", "import os, time\nos.close(1)\ntime.sleep(600)\n")
    write("answers", "import sys\nfor line in sys.stdin:\n    print(line.upper(), end='', flush=True)\n")
    write("fails", "raise SystemExit(3)\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def everything(child: Child) -> list[bytes]:
    """All its lines, waited for."""
    lines: list[bytes] = []
    while not child.ended:
        connection.wait([child])  # type: ignore[list-item]
        lines += child.lines()
    return lines


def test_what_is_given_goes_in_and_whole_lines_come_out(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("echoes", ["one", "two"], given=b"a\nb\n\nc", log=tmp_path / "log", environment=modules)

    assert everything(child) == [b"A", b"B", b"C"]
    assert child.exit_code() == 0


def test_what_is_told_later_goes_in_too(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("answers", given=b"a\n", more=True, log=tmp_path / "log", environment=modules)
    heard: list[bytes] = []

    for number, word in enumerate((b"b\n", b"c\n"), start=1):
        while len(heard) < number:
            connection.wait([child])  # type: ignore[list-item]
            heard += child.lines()
        child.tell(word)
    child._end_input()

    assert heard + everything(child) == [b"A", b"B", b"C"]
    assert child.exit_code() == 0


def test_telling_one_that_has_died_says_nothing(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("fails", more=True, log=tmp_path / "log", environment=modules)
    everything(child)

    child.tell(b"x" * 100)

    assert child.exit_code() == 3


def test_what_a_library_prints_goes_to_the_log(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("echoes", ["one"], log=tmp_path / "log", environment=modules)
    everything(child)
    child.exit_code()

    assert (tmp_path / "log").read_text().split()[1:] == ["one"]


def test_a_megabyte_is_read_in_pieces(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("echoes", given=b"x" * 50_000, log=tmp_path / "log", environment=modules)

    assert everything(child) == [b"X" * 50_000]
    child.exit_code()


def test_a_child_runs_on_the_cores_it_is_given(tmp_path: Path, modules: dict[str, str]) -> None:
    core = max(os.sched_getaffinity(0))
    child = Child("tells", log=tmp_path / "log", environment=modules, cores=[core])

    _, cores = json.loads(everything(child)[0])

    assert cores == [core]
    child.exit_code()


def test_reading_never_waits(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("sleeps", log=tmp_path / "log", environment=modules)
    lines: list[bytes] = []
    until(lambda: lines.extend(child.lines()) or lines)

    assert child.lines() == []
    assert not child.ended
    child.kill()
    assert start_time(int(lines[0])) is None


def test_how_it_ended_is_told(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("fails", given=b"nobody reads this", log=tmp_path / "log", environment=modules)

    assert everything(child) == []
    assert child.exit_code() == 3


def test_killing_a_child_ends_what_it_started(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("forks", log=tmp_path / "log", environment=modules)
    lines: list[bytes] = []
    until(lambda: lines.extend(child.lines()) or lines)

    child.kill()

    until(lambda: start_time(int(lines[0])) is None)


def test_killing_reaches_what_a_child_that_has_ended_left_behind(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("leaves", log=tmp_path / "log", environment=modules)
    lines: list[bytes] = []
    until(lambda: lines.extend(child.lines()) or lines)
    child._process.wait()

    child.kill()

    until(lambda: start_time(int(lines[0])) is None)


def test_a_child_that_closes_its_output_and_stays_is_killed(tmp_path: Path, modules: dict[str, str]) -> None:
    child = Child("stays", log=tmp_path / "log", environment=modules)
    everything(child)

    assert child.exit_code(timeout_s=0.05) == -signal.SIGKILL
    assert start_time(child._process.pid) is None


class Unkillable:
    """Stands in for a process in uninterruptible sleep: no signal reaches it, and waiting for it ends in vain."""

    returncode = None

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = 2**22 + 1  # more than any process has
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> int:
        self.waited.append(timeout)
        raise subprocess.TimeoutExpired("child", timeout or 0.0)


def test_a_child_that_cannot_be_killed_holds_nobody_up(
    tmp_path: Path, modules: dict[str, str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = Child("sleeps", log=tmp_path / "log", environment=modules)
    process = child._process
    stuck = Unkillable(process)
    monkeypatch.setattr(child, "_process", stuck)

    child.kill()
    code = child.exit_code()

    assert child.ended
    assert code == -signal.SIGKILL
    assert None not in stuck.waited, "no wait is without a limit"
    process.kill()
    process.wait()


def test_a_child_dies_with_its_parent(tmp_path: Path, modules: dict[str, str]) -> None:
    script = ("import sys, time; from pathlib import Path; from optimizer.child import Child\n"
              f"child = Child('sleeps', log=Path({str(tmp_path / 'log')!r}))\n"
              "while not (lines := child.lines()): time.sleep(0.01)\n"
              "print(lines[0].decode(), flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=modules)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    until(lambda: start_time(pid) is None)
