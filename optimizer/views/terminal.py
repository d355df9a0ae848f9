"""The person's terminal, taken over for a full screen and given back as it was.

Writing never blocks: a terminal that stops reading (Ctrl-S, a stalled connection) costs frames, not the process.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import select
import signal
import termios
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

#: Alternate screen, no cursor, no wrapping at the last column, cleared.
_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J\x1b[H"
#: The reverse, harmless where it was done already.
_LEAVE = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
#: How long giving back waits for a terminal that does not read.
_PATIENCE_S = 0.5


class TerminalGone(Exception):  # noqa: N818 - it is an ending, not an error
    """Nobody is at the other end any more."""


class Terminal:
    """A full screen on a terminal; a context manager that gives the terminal back in every case.

    Frames are lines of text with colour codes. Only lines that changed are written, and a frame is left out while
    the one before has not gone out.
    """

    def __init__(self, fd: int, encoding: str = "utf-8") -> None:
        """Take nothing yet; ``fd`` is an open descriptor of the terminal."""
        #: As `codecs` names it.
        self.encoding = codecs.lookup(encoding).name
        # A description of our own: non-blocking mode would else be shared with everyone who has this terminal open.
        try:
            self.fd = os.open(os.ttyname(fd), os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # no name for it in this mount namespace
            self.fd = os.dup(fd)
        self._shown: list[bytes] = []
        self._pending = b""
        self._modes: list[Any] | None = None
        self._entered = False

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.give_back()
        os.close(self.fd)

    @property
    def is_ours(self) -> bool:
        """Whether this process is in the terminal's foreground; in the background it must not draw."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:  # not our controlling terminal: nothing says that it is another's turn
            return True

    @property
    def is_stalled(self) -> bool:
        """Whether written bytes wait for the terminal to read them."""
        return bool(self._pending)

    def size(self) -> tuple[int, int]:
        """Cells and lines; 80 by 24 where the terminal does not know."""
        try:
            columns, rows = os.get_terminal_size(self.fd)
        except OSError:
            return 80, 24
        return (columns or 80), (rows or 24)

    def take(self) -> None:
        """Change to the alternate screen, and let typed keys arrive at once and unseen."""
        if self._entered:
            return
        self._entered = True
        with contextlib.suppress(termios.error):
            self._modes = termios.tcgetattr(self.fd)
            modes = termios.tcgetattr(self.fd)
            # Ctrl-C still makes a signal: ISIG stays.
            modes[3] &= ~(termios.ECHO | termios.ICANON)
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd, termios.TCSANOW, modes)
        self._shown = []
        self._send(_ENTER)

    def give_back(self) -> None:
        """Leave the alternate screen and restore the modes; returns soon even where the terminal does not read."""
        if not self._entered:
            return
        self._entered = False
        # A frame that was cut in the middle of a colour code is ended by the reset in `_LEAVE`; CAN ends the code.
        self._pending = (b"\x18" if self._pending else b"") + _LEAVE
        with contextlib.suppress(termios.error):
            termios.tcflow(self.fd, termios.TCOON)  # undo a Ctrl-S, or the code would wait behind it
        patience = time.monotonic() + _PATIENCE_S
        with contextlib.suppress(TerminalGone):
            while self.flush() and time.monotonic() < patience:
                select.select([], [self.fd], [], 0.05)
        if self._modes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fd, termios.TCSANOW, self._modes)

    def repaint(self) -> None:
        """Write the next frame whole: after a resize nothing on the screen can be trusted."""
        self._shown = []

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines; raises `TerminalGone` where nobody is there."""
        if self.flush():
            return
        frame = [line.encode(self.encoding, "replace") for line in lines]
        out = [] if self._shown else [b"\x1b[0m\x1b[2J"]
        for row in range(max(len(frame), len(self._shown))):
            new = frame[row] if row < len(frame) else b""
            if row >= len(self._shown) or self._shown[row] != new:
                # Erased first, not afterwards: behind a full line the cursor still stands on its last cell.
                out.append(b"\x1b[%d;1H\x1b[0m\x1b[2K%s" % (row + 1, new))
        self._shown = frame
        self._send(b"".join(out))

    def flush(self) -> bool:
        """Write on what waits; whether something still does. Raises `TerminalGone` where nobody is there."""
        while self._pending:
            try:
                done = os.write(self.fd, self._pending[:4096])
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in (errno.EIO, errno.EPIPE, errno.ENXIO, errno.EBADF):
                    raise TerminalGone from error
                raise
            self._pending = self._pending[done:]
        return False

    def keys(self) -> bytes:
        """What was typed since; raises `TerminalGone` at the end of input."""
        try:
            typed = os.read(self.fd, 1024)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise TerminalGone from error
        if not typed:
            raise TerminalGone
        return typed

    def _send(self, data: bytes) -> None:
        self._pending += data
        self.flush()


@contextlib.contextmanager
def kept(fd: int) -> Iterator[None]:
    """Give the terminal its modes, cursor and screen back when the block ends, whatever a child did to it.

    For the parent of a dashboard, which may be killed: put the dashboard's whole life into the block. A descriptor
    that is no terminal is left alone.
    """
    try:
        modes = termios.tcgetattr(fd)
    except termios.error:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):
            if termios.tcgetattr(fd) != modes:
                # The child did not come to giving it back. Output of a background job would stop us here.
                before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
                termios.tcsetattr(fd, termios.TCSANOW, modes)
                _, writable, _ = select.select([], [fd], [], _PATIENCE_S)
                if writable:
                    os.write(fd, _LEAVE)
                signal.signal(signal.SIGTTOU, before)
