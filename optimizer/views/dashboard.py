"""The live dashboard: ``python -m optimizer.views.dashboard RUN_FOLDER [--parent PID]``.

A process of its own, so that a terminal that stalls never stops a run. It reads ``status.json`` once a second and
draws it on the alternate screen; where standard output is no terminal, it follows the journal and prints lines.

Started by ``optimizer run`` it is given ``--parent``: Ctrl-C is then the parent's business, and the dashboard ends with
the parent or with the run. Without, it is ``optimizer watch``: q or Ctrl-C leaves, and says when the run was killed.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.process import start_time
from optimizer.views.formats import clean
from optimizer.views.terminal import Terminal, TerminalGone

if TYPE_CHECKING:
    from optimizer.status import Status
    from optimizer.views.paint import Painter

_ENDED = ("finished", "stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Show a run until it ends or the person leaves; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m optimizer.views.dashboard")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int, help="the process that started this one, and carries the run out")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        # The terminal sends Ctrl-C to parent and child alike; the parent decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        from optimizer.views.lines import follow

        return follow(options.folder, options.parent)
    with Terminal(sys.stdout.fileno(), sys.stdout.encoding) as terminal:
        try:
            dashboard = _Dashboard(options.folder, options.parent, terminal)
            last = dashboard.run()
        except TerminalGone:
            return 0
    if last and options.parent is None:
        # What was on the alternate screen is gone with it; leave the end of the run in the scroll-back.
        sys.stdout.write("\n".join(last) + "\n")
    return 0


class _Dashboard:
    """The loop: wait, read, draw."""

    def __init__(self, folder: Path, parent: int | None, terminal: Terminal) -> None:
        self._folder, self._parent, self._terminal = folder, parent, terminal
        self._name = folder.resolve().name
        self._started = time.time()
        self._painter: Painter | None = None
        self._status: Status | None = None
        self._written_ns = 0
        self._signals: set[int] = set()
        self._wake = self._catch_signals()
        # Something to look at before the screen's libraries are loaded.
        if terminal.is_ours:
            terminal.take()
            terminal.draw(["", f"  {clean(self._name)}", "  starting …"])

    def run(self) -> list[str]:
        """Draw until the end; returns the lines to leave on the ordinary screen."""
        while True:
            self._read()
            if self._is_over():
                width, height = self._terminal.size()
                # It stays in the scroll-back, with the prompt below it.
                return self._frame(width, max(1, height - 2))
            if self._terminal.is_ours:
                self._terminal.take()
                self._terminal.draw(self._frame(*self._terminal.size()))
            if not self._wait():
                return []

    def _wait(self) -> bool:
        """Sleep until the clock's next second, a signal or a key; whether to go on."""
        until_next_second = 1.0 - time.time() % 1.0
        end = time.monotonic() + until_next_second
        while (left := end - time.monotonic()) > 0 and not self._signals:
            fd = self._terminal.fd
            # Reading in the background would stop this process.
            readable = [self._wake, fd] if self._parent is None and self._terminal.is_ours else [self._wake]
            ready, writable, _ = select.select(readable, [fd] if self._terminal.is_stalled else [], [], left)
            if self._wake in ready:
                os.read(self._wake, 4096)
            if writable:
                self._terminal.flush()
            if fd in ready and self._terminal.keys() in (b"q", b"Q", b"\x04"):
                return False
        return self._heed_signals()

    def _heed_signals(self) -> bool:
        caught, self._signals = self._signals, set()
        if caught & {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}:
            return False
        if signal.SIGTSTP in caught:
            self._terminal.give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
        if caught & {signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP}:
            self._terminal.repaint()
        return True

    def _catch_signals(self) -> int:
        """Handlers that note the signal; returns the descriptor that becomes readable then."""
        receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        caught = [signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT]
        if self._parent is None:
            caught.append(signal.SIGINT)
        for number in caught:
            signal.signal(number, lambda number, _: self._signals.add(number))
        # A frame that was begun in the foreground may end in the background; that must not stop us.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return receiver

    def _read(self) -> None:
        """Take the latest status, where there is a new one."""
        from optimizer.status import read_status

        path = self._folder / "status.json"
        try:
            written_ns = path.stat().st_mtime_ns
        except OSError:
            return
        if written_ns != self._written_ns:
            status = read_status(path)
            if status is not None and self._is_of_this_run(status):
                self._status, self._written_ns = status, written_ns

    def _is_of_this_run(self, status: Status) -> bool:
        """Whether it is not what an earlier start of the run left behind."""
        return self._parent is None or status.pid == self._parent or status.at >= self._started

    def _is_over(self) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            return True
        return self._status is not None and self._status.state in _ENDED

    def _frame(self, width: int, height: int) -> list[str]:
        from optimizer.views import screen
        from optimizer.views.paint import Painter

        lines = screen.lines(
            self._status, width=width, height=height, now=time.time(), title=self._name, note=self._note(),
        )
        if self._painter is None:
            self._painter = Painter(self._terminal.encoding)
        return self._painter.paint(lines)

    def _note(self) -> str:
        if self._parent is not None:
            return ""
        again = f"optimizer run {self._folder.parent / self._folder.name}.toml"
        if self._status is None:
            return "no status of this run yet; waiting for it to start"
        if self._status.state not in _ENDED and not _is_alive(self._status.pid):
            return f"the run is not running; resume it with: {again}"
        return ""


def _is_alive(pid: int) -> bool:
    if Path("/proc/self").exists():
        return start_time(pid) is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main())
