"""The scheduler's end of the recorder: told trials go to the process that writes ``optuna.db``, and none is forgotten.

Apart from that process, so that the scheduler loads neither SQLAlchemy nor Optuna's tables.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import deque
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import BinaryIO

import msgspec

from optimizer.records import TrialRecord
from optimizer.study.frozen import StudyKey

#: Trials that are on their way to the process at once; the others wait here, so that sending never waits.
_AT_ONCE = 16
#: Their bytes, unless it is one alone: far less than a channel takes without waiting for the other side.
_AT_ONCE_BYTES = 64 * 1024
#: Seconds after which one that answers nothing, not even that it cannot write, hangs or was stopped.
_SILENT_S = 60.0


class AddTrial(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Scheduler to recorder: this trial was told."""

    record: TrialRecord
    key: StudyKey


class Added(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Recorder to scheduler: the trial is in the database."""

    trial: str


class Recovered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Recorder to scheduler: the database has a trial that the journal lacks."""

    record: TrialRecord


class Reconciled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Recorder to scheduler: journal and database hold the same trials now."""

    added: int


class RecorderTrouble(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Recorder to scheduler: the database could not be written; it is tried again. Or, if fatal, cannot be used."""

    reason: str
    fatal: bool = False


class RecorderNotice(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Recorder to scheduler: something that the person should know of the database, as a sentence."""

    text: str


Reply = Added | Recovered | Reconciled | RecorderTrouble | RecorderNotice


class Recorder:
    """The scheduler's end."""

    def __init__(self, folder: Path) -> None:
        """Start the process for a run's folder; only from the main thread."""
        self._folder = folder
        #: Told trials that are not in the database yet, those on their way first.
        self._pending: dict[str, AddTrial] = {}
        #: Bytes of each message that is on its way and not answered.
        self._on_their_way: deque[int] = deque()
        self._reconciled = False
        #: When it was heard last, or began to have something to answer.
        self._heard_at = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        self.connection, theirs = Pipe(duplex=True)
        try:
            with theirs, _log(self._folder / "logs" / "recorder.log") as log:
                self._process = subprocess.Popen(
                    # By way of `child`, which binds it to our life before anything that takes long is loaded.
                    [sys.executable, "-P", "-m", "optimizer.child", str(os.getpid()), "", "optimizer.study.recorder",
                     str(self._folder), str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )
        except OSError:
            self.connection.close()
            raise
        self.pid = self._process.pid

    @property
    def hangs(self) -> bool:
        """Whether it has not answered for long what it was told."""
        return bool(self._on_their_way) and time.monotonic() - self._heard_at > _SILENT_S

    @property
    def lag(self) -> int:
        """Told trials that are not in the database yet."""
        return len(self._pending)

    def add(self, record: TrialRecord, key: StudyKey) -> None:
        """Have a told trial added."""
        self._pending[record.trial] = AddTrial(record=record, key=key)
        self._send()

    def receive(self) -> Reply | None:
        """The next reply, waited for; ``None`` when the process is gone."""
        try:
            reply: Reply = msgspec.json.decode(self.connection.recv_bytes(), type=Reply)
        except (EOFError, OSError):
            return None
        self._heard_at = time.monotonic()
        if isinstance(reply, Added):
            self._pending.pop(reply.trial, None)
            self._on_their_way.popleft()
            self._send()
        elif isinstance(reply, Reconciled):
            self._reconciled = True
            self._send()
        return reply

    def _send(self) -> None:
        """Send on, as long as the process keeps up: a slow database must never hold up who tells it."""
        if not self._reconciled:
            return
        for message in list(self._pending.values())[len(self._on_their_way) : _AT_ONCE]:
            data = msgspec.json.encode(message)
            if self._on_their_way and sum(self._on_their_way) + len(data) > _AT_ONCE_BYTES:
                return  # a channel that is full would hold us until somebody reads it
            if not self._on_their_way:
                self._heard_at = time.monotonic()
            try:
                self.connection.send_bytes(data)
            except OSError:
                # Gone, or half a message is on its way: the next one reads the journal. `receive` says so.
                self._process.kill()
                return
            self._on_their_way.append(len(data))

    def finish(self, timeout_s: float) -> bool:
        """Wait until everything is written, then end the process; whether all was written in time."""
        until = time.monotonic() + timeout_s
        while (self._pending or not self._reconciled) and not self.connection.closed:
            if not self.connection.poll(max(0.0, until - time.monotonic())) or self.receive() is None:
                break
        self.connection.close()
        try:
            self._process.wait(timeout=min(10.0, timeout_s))
        except subprocess.TimeoutExpired:
            self.kill()
        return not self._pending

    def restarted(self) -> Recorder:
        """A new process in place of one that is gone; it finds in the journal what is still to be added.

        Raises:
            OSError: none could be started; the old one is gone all the same, and may be asked once more.
        """
        self.kill()
        successor = type(self)(self._folder)
        successor._pending = self._pending  # those that it finds in the journal are answered all the same
        return successor

    def kill(self) -> None:
        """End the process at once; what it has not written, the next start adds from the journal."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it can do no harm there
            self._process.wait(timeout=5.0)
        self.connection.close()


def _log(path: Path) -> BinaryIO:
    """The recorder's log; where it cannot be opened nobody hears what a library prints, and the run goes on."""
    try:
        return path.open("ab")
    except OSError:
        return open(os.devnull, "ab")
