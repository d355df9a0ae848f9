"""The recorder: the process that writes ``optuna.db``, so that the scheduler never waits for it.

Its first act is to bring journal and database together by trial id: what the journal has told and the database lacks
is added; what only the database has (the journal was lost) is sent back, to be journaled again. Then it adds each
trial it is sent and says so. At the end of its channel it finishes what it has and exits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Literal

import msgspec

from optimizer import journal
from optimizer.errors import StorageFault
from optimizer.process import die_with_parent
from optimizer.records import TrialRecord, split_trial_id
from optimizer.search_space import SearchSpace
from optimizer.study.database import Database, StudyKey

#: Trials that are on their way to the process at once; the others wait here, so that sending never waits.
_AT_ONCE = 16
#: Seconds between two tries to write to a database that cannot be written.
_RETRY_S = 2.0


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


Reply = Added | Recovered | Reconciled | RecorderTrouble


class Recorder:
    """The scheduler's end."""

    def __init__(self, folder: Path) -> None:
        """Start the process for a run's folder; only from the main thread."""
        self._folder = folder
        self.connection, theirs = Pipe(duplex=True)
        with (folder / "logs" / "recorder.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "optimizer.study.recorder", str(folder), str(theirs.fileno()),
                 str(os.getpid())],
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        theirs.close()
        self.pid = self._process.pid
        #: Told trials that are not in the database yet, those on their way first.
        self._pending: dict[str, AddTrial] = {}
        self._on_their_way = 0
        self._reconciled = False

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
        if isinstance(reply, Added):
            self._pending.pop(reply.trial, None)
            self._on_their_way -= 1
            self._send()
        elif isinstance(reply, Reconciled):
            self._reconciled = True
            self._send()
        return reply

    def _send(self) -> None:
        """Send on, as long as the process keeps up: a slow database must never hold up who tells it."""
        if not self._reconciled:
            return
        for message in list(self._pending.values())[self._on_their_way : _AT_ONCE]:
            with contextlib.suppress(OSError):  # gone: `receive` says so, and the next one reads the journal
                self.connection.send_bytes(msgspec.json.encode(message))
            self._on_their_way += 1

    def finish(self, timeout_s: float) -> bool:
        """Wait until everything is written, then end the process; whether all was written in time."""
        until = time.monotonic() + timeout_s
        while (self._pending or not self._reconciled) and self.connection.poll(max(0.0, until - time.monotonic())):
            if self.receive() is None:
                break
        self.connection.close()
        try:
            self._process.wait(timeout=min(10.0, timeout_s))
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        return not self._pending

    def restarted(self) -> Recorder:
        """A new process in place of one that is gone; it finds in the journal what is still to be added."""
        self.kill()
        successor = Recorder(self._folder)
        successor._pending = self._pending  # those that it finds in the journal are answered all the same
        return successor

    def kill(self) -> None:
        """End the process at once; what it has not written, the next start adds from the journal."""
        self._process.kill()
        self._process.wait()
        self.connection.close()


def reconcile(database: Database, journal_path: Path) -> tuple[list[TrialRecord], int]:
    """Add to the database what only the journal has; return what only the database has, and how many were added.

    Raises:
        StorageFault: the database could not be written.
    """
    told: dict[str, TrialRecord] = {}
    spaces: dict[str, SearchSpace] = {}
    directions: dict[str, Literal["maximize", "minimize"]] = {}
    for record in journal.read(journal_path):
        if record["event"] == "trial_told":
            one = msgspec.convert(record, TrialRecord)
            told[one.trial] = one
        elif record["event"] == "space_described":
            spaces[record["hash"]] = msgspec.convert(record["space"], SearchSpace)
        elif record["event"] == "dataset_ready":
            directions[record["dataset"]] = record["direction"]
    added = 0
    for one in told.values():
        dataset, family, _ = split_trial_id(one.trial)
        if one.trial in database.known or one.space not in spaces or dataset not in directions:
            continue
        key = StudyKey(dataset=dataset, family=family, direction=directions[dataset], space=spaces[one.space])
        try:
            added += database.add(one, key)
        except ValueError:
            continue  # as when it was told: Optuna will never take it, and the journal has it
    return [r for r in database.records() if r.trial not in told], added


def main() -> None:
    """The process: ``python -m optimizer.study.recorder FOLDER DESCRIPTOR PARENT``."""
    folder, connection = Path(sys.argv[1]), Connection(int(sys.argv[2]))
    die_with_parent(int(sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def reply(message: Reply) -> None:
        connection.send_bytes(msgspec.json.encode(message))

    try:
        database = Database(folder / "optuna.db")
        recovered, added = reconcile(database, folder / "journal.jsonl")
    except StorageFault as fault:
        reply(RecorderTrouble(reason=str(fault), fatal=True))
        return
    for record in recovered:
        reply(Recovered(record=record))
    reply(Reconciled(added=added))
    while True:
        try:
            message = msgspec.json.decode(connection.recv_bytes(), type=AddTrial)
        except (EOFError, OSError):
            break
        while True:
            try:
                database.add(message.record, message.key)
                break
            except StorageFault as fault:
                reply(RecorderTrouble(reason=str(fault)))
                time.sleep(_RETRY_S)
            except ValueError as error:
                # Optuna will never take this one; the others must not wait behind it.
                reply(RecorderTrouble(reason=f"{message.record.trial} is left out of optuna.db: {error}"))
                break
        reply(Added(trial=message.record.trial))
    database.close()


if __name__ == "__main__":
    main()
