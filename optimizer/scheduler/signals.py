"""Signals as something to wait for: handlers only count and write a byte."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from types import FrameType


class Signals:
    """INT, TERM and HUP ask the run to stop; a HUP that is ignored already (nohup) stays ignored.

    A HUP never counts as the second signal: a window that closes may send two, one by its shell and one by the kernel.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._count = 0
        self._any = False
        self._before = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._on_signal)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._reader.fileno()

    def taken(self) -> int:
        """How many signals came since the last call."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(64):
                pass
        count, self._count = self._count, 0
        return count

    def close(self) -> None:
        """Put back what was there before."""
        while self._before:
            signal.signal(*self._before.popitem())
        self._reader.close()
        self._writer.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += not (self._any and number == signal.SIGHUP)
        self._any = True
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"x")
