"""Signals, terminals and streams: whatever becomes of the person's side, the run ends as it should."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.studies import (
    Started,
    command,
    events,
    optimizer,
    processes_of,
    told_counts,
    wait_until,
    write_study,
)

#: One worker, and fits that are over in no time.
SHORT = "trials = 4\nfolds = 2\nfamilies = ['lightgbm']"
QUICK = "[resources]\ncores = 1\n[family.lightgbm.space]\niterations = 20"
#: Fits of seconds, one after the other.
LONG = "trials = 60\nfolds = 2\nfamilies = ['catboost']\npruner = 'none'"
SLOW = "[resources]\ncores = 1\n[family.catboost.space]\niterations = 400\nlearning_rate = 0.02"


def study_of(root: Path, text: str, extra: str) -> Path:
    """A study file in a folder of its own."""
    root.mkdir()
    return write_study(root, text, extra=extra)


def begin(study: Path, *words: str, **options: Any) -> Started:
    """Start a run that ignores no signal, whatever the tests themselves were started under."""
    before = options.pop("before", lambda: None)

    def prepare() -> None:
        for number in (signal.SIGHUP, signal.SIGINT):  # a shell's background job ignores the latter
            signal.signal(number, signal.SIG_DFL)
        before()

    # Rich takes a test's COLUMNS for the terminal's.
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
             "start_new_session": True, **options}
    process = subprocess.Popen([*words, *command("run", study)], cwd=study.parent.parent, preexec_fn=prepare,
                               env={**environment, "TERM": "xterm-256color"}, **given)
    return Started(process, study.with_suffix(""))


class Terminal:
    """A terminal with a run on it."""

    def __init__(self, study: Path) -> None:
        self.fd, ours = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        self.run = begin(study, stdin=ours, stdout=ours, stderr=ours,
                         before=lambda: fcntl.ioctl(ours, termios.TIOCSCTTY, 0))
        os.close(ours)

    def close(self) -> None:
        """As a person closes a window."""
        os.close(self.fd)


def one_told(run: Started) -> None:
    """Wait until a trial is told and another runs."""
    run.until(lambda records: bool(records) and records[-1]["event"] in ("job_started", "step_finished")
              and any(r["event"] == "trial_told" for r in records))


def how_it_ended(run: Started) -> tuple[str, str]:
    """State and reason, from the journal."""
    ended = events(run.folder, "run_ended")[-1]
    return ended["state"], ended["reason"]


def test_a_closed_terminal_drains_the_run_and_nohup_lets_it_finish(tmp_path: Path) -> None:
    hung_up = begin(study_of(tmp_path / "a", LONG, SLOW))
    window = Terminal(study_of(tmp_path / "b", LONG, SLOW))
    kept = begin(study_of(tmp_path / "c", LONG.replace("60", "3"), SLOW), "nohup")
    for run in (hung_up, window.run, kept):
        one_told(run)
    hung_up.process.send_signal(signal.SIGHUP)
    kept.process.send_signal(signal.SIGHUP)
    window.close()

    assert [run.wait(60) for run in (hung_up, window.run, kept)] == [3, 3, 0]
    for run in (hung_up, window.run):
        assert how_it_ended(run) == ("stopped", "stopped")
        assert not events(run.folder, "job_lost"), "what ran was finished"
        assert set(told_counts(run.folder)) == {r["trial"] for r in events(run.folder, "job_started")}
    assert how_it_ended(kept)[0] == "finished"
    assert sum(told_counts(kept.folder).values()) == 3
    assert not any(processes_of(run.folder) for run in (hung_up, window.run, kept))


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    terminal = Terminal(study_of(tmp_path / "a", LONG, SLOW.replace("400", "4000").replace("0.02", "0.0201")))
    run = terminal.run
    run.until(lambda records: any(r["event"] == "job_started" for r in records))
    os.write(terminal.fd, b"\x03")
    run.until(lambda records: any(r["event"] == "notice" and "stopping" in r["text"] for r in records))
    os.write(terminal.fd, b"\x03")

    assert run.wait(60) == 3
    assert how_it_ended(run) == ("stopped", "stopped at once")
    assert [r["reason"] for r in events(run.folder, "job_lost")] == ["stopped at once"]
    assert not processes_of(run.folder)
    terminal.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_scheduler_listens_is_a_stop_too(tmp_path: Path, number: signal.Signals) -> None:
    run = begin(study_of(tmp_path / "a", LONG, SLOW), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.process.stdout is not None
    assert b"reading" in run.process.stdout.readline()
    run.process.send_signal(number)
    said = run.process.stdout.read()
    run.process.stdout.close()
    assert run.wait(60) == 3, said
    assert b"Traceback" not in said
    assert b"the same command goes on" in said
    assert not processes_of(run.folder)


def closed_streams() -> None:
    """As ``<&- >&- 2>&-``."""
    for fd in (0, 1, 2):
        os.close(fd)


def test_a_run_needs_nobody_to_take_its_output(tmp_path: Path) -> None:
    def study(name: str) -> Path:
        return study_of(tmp_path / name, SHORT, QUICK)

    runs = {"closed streams": begin(study("closed"), before=closed_streams)}
    with Path("/dev/full").open("wb") as full:
        runs["full disk"] = begin(study("full"), stdout=full, stderr=full)
    runs["left pipe"] = begin(study("pipe"), stdout=subprocess.PIPE)
    pipe = runs["left pipe"].process.stdout
    assert pipe is not None
    assert b"reading" in pipe.readline()
    pipe.close()
    unread, dark = Terminal(study("unread")), Terminal(study("dark"))
    runs["terminal that nobody reads"] = unread.run
    runs["killed dashboard"] = dark.run
    kill_dashboard(dark.run)

    try:
        ended = {name: run.wait(120) for name, run in runs.items()}
        assert ended == dict.fromkeys(runs, 0)
        for name, run in runs.items():
            assert sum(told_counts(run.folder).values()) == 4, name
            assert (run.folder / "summary.txt").is_file(), name
            assert not processes_of(run.folder), name
            # Nothing that was printed has found its way into a file that was opened in a stream's place.
            lines = (run.folder / "journal.jsonl").read_bytes().splitlines()
            assert all(line.startswith(b'{"crc":"') for line in lines), name
    finally:
        unread.close()
        dark.close()


def kill_dashboard(run: Started) -> None:
    """SIGKILL to the screen's process."""
    def screens() -> list[int]:
        return [pid for pid in processes_of(run.folder)
                if b"optimizer.views.dashboard" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    assert wait_until(lambda: bool(screens()), 60)
    os.kill(screens()[0], signal.SIGKILL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study file of a run that has ended."""
    root = tmp_path_factory.mktemp("finished")
    study = write_study(root, SHORT.replace("4", "1"), extra=QUICK)
    assert optimizer("run", study, cwd=root).returncode == 0
    return study


def into(out: Any, *arguments: object, study: Path, before: Callable[[], None] | None = None) -> tuple[int, str]:
    """Exit code and standard error of a command whose output goes there."""
    done = subprocess.run(command(*arguments), cwd=study.parent.parent, stdout=out, stderr=subprocess.PIPE,
                          text=True, check=False, preexec_fn=before)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("leaderboard", "--json"), ("status",), ("export",)], ids=lambda w: w[0])
def test_a_command_whose_reader_has_left_is_content_and_one_on_a_full_disk_says_so(
    finished: Path, words: tuple[str, ...],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert into(writer, words[0], finished, *words[1:], study=finished) == (0, "")
    os.close(writer)
    with Path("/dev/full").open("wb") as full:
        code, said = into(full, words[0], finished, *words[1:], study=finished)
    assert code == 1
    assert said == "error: standard output cannot be written: No space left on device\n"


def test_a_mistake_has_its_exit_code_even_where_it_cannot_be_said(finished: Path) -> None:
    for before in (None, closed_streams):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([sys.executable, "-m", "optimizer", "leaderboard", "nothing"], stdout=full,
                                  stderr=full, cwd=finished.parent.parent, check=False, preexec_fn=before)
        assert done.returncode == 2
