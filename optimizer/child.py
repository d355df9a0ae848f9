"""Short-lived children: ``python -m optimizer.child PARENT CORES MODULE ARGUMENTS...`` runs a module that dies with us.

JSON goes in on standard input, JSON lines come out on standard output, and what a library prints goes to a log.
"""

from __future__ import annotations

import contextlib
import math
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from pathlib import Path

#: Seconds that a child may take to leave after the end of its output, and to be gone after SIGKILL.
_LEAVE_S = 10.0
_GONE_S = 5.0


class Child:
    """One short-lived process, read without ever waiting for it."""

    def __init__(
        self, module: str, arguments: Sequence[str] = (), *, given: bytes = b"", more: bool = False, log: Path,
        environment: Mapping[str, str] | None = None, cores: Sequence[int] | None = None,
    ) -> None:
        """Start it; only from a main thread, since the kernel watches the thread that starts it.

        ``more``: whether `tell` gives it more to read; else its input ends with what is ``given``.
        """
        settings = "" if cores is None else ",".join(map(str, cores))
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "optimizer.child", str(os.getpid()), settings, module, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, start_new_session=True,
                env=None if environment is None else dict(environment), cwd=log.parent,
            )
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        self._in = self._process.stdin
        self.tell(given)
        if not more:
            self._end_input()
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._rest = b""
        #: Whether its output has ended.
        self.ended = False

    @property
    def pid(self) -> int:
        """Its process, which leads a group of its own."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor of its output, to wait for."""
        return self._out.fileno()

    def tell(self, given: bytes) -> None:
        """Give it more to read, if it was started for that."""
        with contextlib.suppress(BrokenPipeError):  # it has died; its exit code says so
            self._in.write(given)
            self._in.flush()

    def _end_input(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # as above: what it did not take is tried once more
            self._in.close()

    def lines(self) -> list[bytes]:
        """Whole lines that have come since the last call."""
        while not self.ended:
            block = self._out.read(1 << 16)
            if block is None:
                break
            self.ended = not block
            self._rest += block
        *whole, self._rest = self._rest.split(b"\n")
        if self.ended and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        return [line for line in whole if line.strip()]

    def output(self, timeout_s: float | None = None) -> bytes:
        """All that it prints until its end, waited for; nothing of one that takes longer, which is killed."""
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        printed = b""
        while not self.ended:
            left = until - time.monotonic()
            if left <= 0:
                self.kill()
                return b""
            connection.wait([self.fileno()], None if timeout_s is None else left)
            printed += b"".join(self.lines())
        return printed

    def exit_code(self, timeout_s: float = _LEAVE_S) -> int:
        """How it ended; call this after `ended`. One that closes its output and stays is killed after the timeout."""
        self._end_input()
        self._out.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)  # one that stands still on the run's order would be waited for
        try:
            return self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode if self._process.returncode is not None else -signal.SIGKILL

    def kill(self, timeout_s: float = _GONE_S) -> None:
        """End it, with what it started; one that waits for a device that does not answer is left to the kernel."""
        with contextlib.suppress(ProcessLookupError):
            # The group outlives its leader, so this reaches what a child that has ended left behind.
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout_s)
        self.ended = True
        self._end_input()
        self._out.close()


def main() -> None:
    """The process: bind it to its parent's life and to its cores, then run the module."""
    from optimizer.process import die_with_parent, step_back_as_session

    parent, cores, module, *arguments = sys.argv[1:]
    die_with_parent(int(parent))
    step_back_as_session()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cores:
        os.sched_setaffinity(0, {int(c) for c in cores.split(",")})
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
