"""The governor's other end: what the scheduler tells it, and what it does when the governor is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from optimizer.backoff import pause_s
from optimizer.process import signal_group, start_time
from optimizer.standstill import Standstill

#: Longest pause between two attempts to start a governor that does not live.
_LONGEST_PAUSE_S = 60.0
#: Seconds that it may take to end when it is told to.
_END_S = 2.0
#: At work it speaks each second; one that is silent for longer hangs, and whom it has stopped with it.
_SILENT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A process group that is stopped and let go on as a whole."""

    leader: int
    #: Where its seconds are counted.
    position: int
    #: Cores that it uses when it works.
    cores: float


class Governing(msgspec.Struct, frozen=True, kw_only=True):
    """What the governor says of itself."""

    #: Cores that the run may use now.
    allowed: float
    #: Cores that others use.
    others: float
    stepping_back: bool


class Throttle:
    """Keeps a governor alive and told; without one nobody is stopped."""

    def __init__(self, standstill: Standstill, cores: Sequence[int], log: Path, *, steps_back: bool) -> None:
        """Nothing starts before it is needed: a limit below all cores, or others to step back for.

        Args:
            cores: those that the run may use.
            log: what the governor has to say in words, which should be nothing.
            steps_back: whether others who work on these cores go first.
        """
        self._standstill = standstill
        self._cores = tuple(cores)
        self._log = log
        self._steps_back = steps_back
        self._limit = float("inf")
        #: Name to group, and when its leader was started.
        self._told: dict[str, tuple[Target, int]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._start_from = 0.0
        self._starts = 0
        self._state: Governing | None = None
        #: When it was heard last.
        self._heard_at = 0.0

    def limit(self, cores: float) -> None:
        """From now on the run uses so many cores: infinite for all, 0 for none."""
        if cores != self._limit:
            self._limit = cores
            # A sleeping governor had nothing to say until now.
            self._heard_at = time.monotonic()
            self._tell(f"limit {cores}\n")

    def look(self, targets: Mapping[str, Target]) -> Governing | None:
        """Tell what is new, start a governor where one is wanted and none lives; what it does, as far as it said.

        Args:
            targets: by name, the groups that may be stopped now; others go on.
        """
        for name in [n for n in self._told if self._told[n][0] != targets.get(n)]:
            del self._told[name]
            self._tell(f"- {name}\n")
        for name, target in targets.items():
            start = start_time(target.leader) if name not in self._told else None
            if start is not None:
                self._told[name] = target, start
                self._tell(_line(name, target, start))
        if self._process is not None and self._hangs():
            self._process.kill()
            self._process.wait()
        if self._process is not None and self._process.poll() is not None:
            self._bury()
        if self._process is None and (self._steps_back or self._limit < len(self._cores)):
            self._start()
        return self._heard()

    def close(self) -> None:
        """Let everybody go on, and end the governor."""
        if self._process is None:
            return
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._process.kill()
        self._process.wait()
        self._bury()

    def _hangs(self) -> bool:
        at_work = self._limit < len(self._cores) or (self._state is not None and self._state.stepping_back)
        return at_work and time.monotonic() > self._heard_at + _SILENT_S

    def _start(self) -> None:
        now = time.monotonic()
        if now < self._start_from:
            return
        self._starts += 1
        self._start_from = now + pause_s(self._starts, first_s=0.25, most_s=_LONGEST_PAUSE_S)
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "optimizer.governor", str(os.getpid()),
                     str(self._standstill.descriptor), ",".join(map(str, self._cores)), str(int(self._steps_back))],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self._log.parent,
                    pass_fds=(self._standstill.descriptor,), start_new_session=True, bufsize=0,
                )
        except OSError:
            return  # no process, descriptor or room on the disk now: it is tried again, and nobody is stopped
        self._heard_at = now
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101 - as above
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        self._tell(f"limit {self._limit}\n" + "".join(_line(n, t, start) for n, (t, start) in self._told.items()))

    def _bury(self) -> None:
        """Whom a dead governor has left stopped goes on."""
        assert self._process is not None  # noqa: S101 - for the type checker
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process, self._rest, self._state = None, b"", None
        for target, start in self._told.values():
            signal_group(target.leader, start, signal.SIGCONT)

    def _tell(self, text: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # gone: the next look starts another, which hears everything
            if self._process.stdin.write(text.encode()) is None:
                # Somebody has stopped it, and the pipe is full: it holds nobody, and must not stop us.
                self._process.kill()

    def _heard(self) -> Governing | None:
        if self._process is not None and self._process.stdout is not None:
            while block := self._process.stdout.read(1 << 16):
                *lines, self._rest = (self._rest + block).split(b"\n")
                if lines:
                    self._heard_at = time.monotonic()
                    self._state = msgspec.json.decode(lines[-1], type=Governing)
        return self._state


def _line(name: str, target: Target, start: int) -> str:
    return f"+ {name} {target.position} {target.leader} {start} {target.cores}\n"
