"""A process of ours that listens as long as we live: told lines, started again where it is gone, never waited for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from optimizer.backoff import pause_s

#: Longest pause between two attempts to start one that does not live.
_LONGEST_PAUSE_S = 60.0
#: Seconds that it may take to end when it is told to.
_END_S = 2.0


class Companion:
    """The process, as far as there is one; the end of its input is its end."""

    def __init__(self, command: Sequence[str], log: Path, *, folder: Path, inherits: Sequence[int] = (),
                 answers: bool = False) -> None:
        """Nothing starts yet.

        Args:
            log: what it has to say in words, which should be nothing.
            folder: where it works.
            inherits: descriptors that it is given.
            answers: whether it speaks; see `heard`.
        """
        self._command = tuple(command)
        self._log = log
        self._folder = folder
        self._inherits = tuple(inherits)
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        #: When another may be started, and how often one was.
        self._start_from = 0.0
        self._starts = 0

    @property
    def pid(self) -> int | None:
        """The process, or ``None`` where there is none."""
        return self._process.pid if self._process is not None else None

    def has_gone(self) -> bool:
        """Whether one that was there has ended; true once."""
        if self._process is None or self._process.poll() is None:
            return False
        self._drop()
        return True

    def start(self, greeting: Callable[[], str]) -> bool:
        """Start one where there is none, not more often than it makes sense; whether one was started now.

        Args:
            greeting: all that it has to know.
        """
        now = time.monotonic()
        if self._process is not None or now < self._start_from:
            return False
        self._starts += 1
        self._start_from = now + pause_s(self._starts, first_s=0.25, most_s=_LONGEST_PAUSE_S)
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stderr=log, cwd=self._folder, pass_fds=self._inherits,
                    stdout=subprocess.PIPE if self._answers else subprocess.DEVNULL, start_new_session=True, bufsize=0,
                )
        except OSError:
            return False  # no process, descriptor or room on the disk now: it is tried again
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
        self.tell(greeting())
        return True

    def tell(self, lines: str) -> None:
        """Send it lines; where it is gone nobody hears them, and the next one is greeted with all there is to know."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin.write(lines.encode()) is None:
                # Somebody has stopped it, and the pipe is full: it does not do its work, and must not stop us.
                self._process.kill()

    def heard(self) -> list[bytes]:
        """Whole lines that it has said since the last call."""
        if self._process is None or self._process.stdout is None:
            return []
        while block := self._process.stdout.read(1 << 16):
            self._rest += block
        *lines, self._rest = self._rest.split(b"\n")
        return lines

    def kill(self) -> None:
        """End it at once; `has_gone` says so."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_END_S)

    def close(self) -> None:
        """End its input and wait a moment for it to end."""
        if self._process is None:
            return
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_S)
        self.kill()
        self._drop()

    def _drop(self) -> None:
        assert self._process is not None  # noqa: S101 - for the type checker
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process, self._rest = None, b""
