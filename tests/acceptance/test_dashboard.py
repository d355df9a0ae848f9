"""The dashboard on a real terminal: what is on the glass, and what is left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from stubs.statuses import status

from optimizer.status import write_status

pyte = pytest.importorskip("pyte")

#: Longest that anything here may take, on a machine that is busy with other tests.
PATIENCE_S = 60.0


class Glass:
    """A terminal with a process on it: what the person sees, interpreted as a terminal would."""

    def __init__(self, command: list[str], columns: int, rows: int, **environment: str) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.fd, self.terminal = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.modes = termios.tcgetattr(self.terminal)
        self.process = subprocess.Popen(
            command, stdin=self.terminal, stdout=self.terminal, stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **environment}, preexec_fn=self._take_terminal,
        )

    def _take_terminal(self) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSCTTY, 0)

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.screen.resize(rows, columns)

    def read(self, timeout_s: float = 0.2) -> None:
        """Take in what was written."""
        while select.select([self.fd], [], [], timeout_s)[0]:
            data = os.read(self.fd, 65536)
            self.written += data
            self._stream.feed(data)

    def until(self, shown: Callable[[str], bool]) -> str:
        """Wait until the screen shows something; returns it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.read()
            if shown(self.text):
                return self.text
        raise AssertionError(f"not shown within {PATIENCE_S} s; on the screen is:\n{self.text}")

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def ended(self) -> int:
        """Wait for the end of the process; returns its exit code."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, "the dashboard does not end"
            self.read(0.05)
        self.read()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        for fd in (self.fd, self.terminal):
            os.close(fd)


def write(folder: Path, **changes: object) -> None:
    """Make a status of now."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    fields: dict[str, object] = {"pid": os.getpid(), "at": now, "started": now - 60, "eta": now + 600}
    write_status(folder / "status.json", msgspec.structs.replace(status(), **{**fields, **changes}))


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Callable[..., Glass]]:
    """Starts dashboards on terminals; ends them."""
    started: list[Glass] = []

    def start(columns: int = 80, rows: int = 24, *options: str, **environment: str) -> Glass:
        command = [sys.executable, "-m", "optimizer.views.dashboard", str(tmp_path / "s5e7"), *options]
        started.append(Glass(command, columns, rows, **environment))
        return started[-1]

    yield start
    for glass in started:
        glass.close()


def was_given_back(glass: Glass) -> None:
    """The terminal is as it was: ordinary screen, cursor, wrapping, modes."""
    tail = glass.written[glass.written.rindex(b"\x1b[?1049l") - 40 :]
    assert b"\x1b[?25h" in tail
    assert b"\x1b[?7h" in tail
    assert termios.tcgetattr(glass.terminal) == glass.modes


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60)])
def test_the_glass_shows_the_run_and_is_given_back(
    tmp_path: Path, watching: Callable[..., Glass], columns: int, rows: int
) -> None:
    write(tmp_path / "s5e7")
    glass = watching(columns, rows)
    text = glass.until(lambda text: "train_corrected_07" in text and "GPU gpu1 at 64" in text)
    assert "about 9 min" in text.splitlines()[0]
    assert glass.screen.cursor.hidden
    assert b"\x1b[?1049h" in glass.written
    os.write(glass.fd, b"q")
    assert glass.ended() == 0
    was_given_back(glass)


def test_something_is_on_the_glass_before_there_is_a_status(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    glass = watching()
    glass.until(lambda text: "s5e7" in text and "wait" in text)
    write(tmp_path / "s5e7")
    glass.until(lambda text: "train_corrected_07" in text)


def test_a_resize_repaints_the_whole_screen(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching(80, 24)
    glass.until(lambda text: "train_corrected_07" in text)
    glass.resize(200, 60)
    text = glass.until(lambda text: "Slots and running tasks" in text and text.count("╯") == 6)
    assert all(len(line) == 200 for line in text.splitlines())
    glass.resize(40, 10)
    glass.until(lambda text: "Slots" not in text and "s5e7" in text)


def test_ctrl_c_leaves_a_watch(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching()
    glass.until(lambda text: "train_corrected_07" in text)
    os.write(glass.fd, b"\x03")
    assert glass.ended() == 0
    was_given_back(glass)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(
    tmp_path: Path, watching: Callable[..., Glass], number: int
) -> None:
    write(tmp_path / "s5e7")
    glass = watching()
    glass.until(lambda text: "train_corrected_07" in text)
    glass.process.send_signal(number)
    assert glass.ended() == 0
    was_given_back(glass)


def test_ctrl_z_gives_the_terminal_back_until_it_is_continued(
    tmp_path: Path, watching: Callable[..., Glass]
) -> None:
    write(tmp_path / "s5e7")
    glass = watching()
    glass.until(lambda text: "train_corrected_07" in text)
    os.write(glass.fd, b"\x1a")
    state = Path(f"/proc/{glass.process.pid}/stat")
    end = time.monotonic() + PATIENCE_S
    while state.read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end, "it does not stop"
        time.sleep(0.05)
    glass.read()
    was_given_back(glass)
    before = len(glass.written)
    glass.process.send_signal(signal.SIGCONT)
    glass.until(lambda _: b"\x1b[?1049h" in glass.written[before:] and b"train_corrected_07" in glass.written[before:])


def test_ctrl_c_is_the_parents_business_in_a_run(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching(80, 24, "--parent", str(os.getpid()))
    glass.until(lambda text: "train_corrected_07" in text)
    os.write(glass.fd, b"\x03q")
    write(tmp_path / "s5e7", run="still-here")
    glass.until(lambda text: "still-here" in text)
    write(tmp_path / "s5e7", state="finished")
    assert glass.ended() == 0
    was_given_back(glass)


def test_it_ends_with_the_process_that_carries_the_run_out(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching(80, 24, "--parent", "1")
    assert glass.ended() == 0
    was_given_back(glass)


def test_what_an_earlier_start_left_behind_is_not_taken_for_the_end(
    tmp_path: Path, watching: Callable[..., Glass]
) -> None:
    write(tmp_path / "s5e7", pid=1, state="stopped", at=time.time() - 3600)
    glass = watching(80, 24, "--parent", str(os.getpid()))
    glass.until(lambda text: "starting" in text)
    write(tmp_path / "s5e7")
    glass.until(lambda text: "train_corrected_07" in text)


def test_a_watch_tells_when_the_scheduler_was_killed_and_goes_on_when_it_is_back(
    tmp_path: Path, watching: Callable[..., Glass]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write(tmp_path / "s5e7", pid=gone.pid)
    glass = watching(160, 24)
    text = glass.until(lambda text: "not running" in text)
    assert f"the run is not running; resume it with: optimizer run {tmp_path}/s5e7.toml" in text
    write(tmp_path / "s5e7")
    glass.until(lambda text: "not running" not in text)


def test_a_watch_of_a_finished_run_leaves_its_last_screen(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7", state="finished", progress=1.0)
    glass = watching()
    assert glass.ended() == 0
    was_given_back(glass)
    last = glass.written[glass.written.rindex(b"\x1b[?1049l") :].decode()
    assert "train_corrected_07" in last
    assert "finished" in last


def test_a_terminal_that_stops_reading_does_not_keep_it_from_ending(
    tmp_path: Path, watching: Callable[..., Glass]
) -> None:
    write(tmp_path / "s5e7")
    glass = watching(200, 60)
    glass.until(lambda text: "train_corrected_07" in text)
    for i in range(40):  # frames that differ everywhere, and nobody reads them
        glass.process.send_signal(signal.SIGWINCH)
        write(tmp_path / "s5e7", run=f"run-{i}")
        time.sleep(0.05)
    glass.process.send_signal(signal.SIGTERM)
    glass.process.wait(PATIENCE_S)
    assert glass.process.returncode == 0


def test_a_terminal_that_is_gone_ends_it(tmp_path: Path) -> None:
    write(tmp_path / "s5e7")
    glass = Glass([sys.executable, "-m", "optimizer.views.dashboard", str(tmp_path / "s5e7")], 80, 24)
    try:
        glass.until(lambda text: "train_corrected_07" in text)
    finally:
        os.close(glass.fd)
        glass.process.wait(PATIENCE_S)
        os.close(glass.terminal)
    assert glass.process.stderr is not None
    assert glass.process.stderr.read() == b""
    glass.process.stderr.close()


def test_no_color_means_no_color(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching(80, 24, NO_COLOR="1")
    glass.until(lambda text: "train_corrected_07" in text)
    colours = {cell.fg for row in glass.screen.buffer.values() for cell in row.values()}
    assert colours == {"default"}


def test_a_terminal_without_utf_8_gets_letters_that_it_has(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching(200, 60, PYTHONIOENCODING="ascii")
    text = glass.until(lambda text: "train_corrected_07" in text)
    assert text.isascii()
    assert "+- Datasets ---" in text


def test_in_a_pipe_it_prints_lines(tmp_path: Path) -> None:
    from stubs.runs import FakeRun

    run = FakeRun(tmp_path)
    run.started("a")
    run.event("best_improved", dataset="a", trial="a/xgboost/0", score=0.97, previous=None)
    run.ended("finished")
    done = subprocess.run([sys.executable, "-m", "optimizer.views.dashboard", str(tmp_path)], capture_output=True,
                          timeout=PATIENCE_S, check=True)
    lines = done.stdout.decode().splitlines()
    assert [line.split("  ")[1].split()[0] for line in lines] == ["run", "a:", "run"]
    assert all(line.isprintable() for line in lines)
    assert done.stderr == b""


def test_it_loads_no_numerical_library_and_stays_small(tmp_path: Path, watching: Callable[..., Glass]) -> None:
    write(tmp_path / "s5e7")
    glass = watching(200, 60)
    glass.until(lambda text: "train_corrected_07" in text)
    maps = Path(f"/proc/{glass.process.pid}/maps").read_text()
    assert "numpy" not in maps
    sizes = Path(f"/proc/{glass.process.pid}/smaps_rollup").read_text().splitlines()
    pss_kb = next(int(line.split()[1]) for line in sizes if line.startswith("Pss:"))
    assert pss_kb < 100 * 1024
