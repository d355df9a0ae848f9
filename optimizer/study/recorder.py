"""The recorder: the process that writes ``optuna.db``, so that the scheduler never waits for it.

Its first act is to bring journal and database together by trial id: what the journal has told and the database lacks
is added; what only the database has (the journal was lost) is sent back, to be journaled again. Then it adds each
trial it is sent and says so. At the end of its channel it finishes what it has and exits. A database that is damaged,
deleted or replaced meanwhile ends it; the next start, which follows at once, repairs what is there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import msgspec

from optimizer import journal
from optimizer.errors import StorageFault
from optimizer.records import TrialRecord, split_trial_id
from optimizer.search_space import SearchSpace
from optimizer.study.database import DamagedDatabase, Database, PassingFault, check_file
from optimizer.study.frozen import StudyKey
from optimizer.study.recording import Added, AddTrial, Reconciled, RecorderNotice, RecorderTrouble, Recovered, Reply
from optimizer.study.repair import back_up, open_or_repair, set_aside

#: Seconds between two tries to write to a database that cannot be written.
_RETRY_S = 2.0
#: Seconds that a start waits for a database which another program holds, or whose disk is in trouble.
_PATIENCE_S = 60.0
#: Seconds between two backups, as long as there is something new.
_BACKUP_EVERY_S = 600.0


def reconcile(
    database: Database, journal_path: Path, salvaged: Sequence[tuple[TrialRecord, StudyKey]] = (),
) -> tuple[list[TrialRecord], int, int]:
    """Add to the database what only the journal has, or else the ``salvaged``.

    Returns what the journal lacks, how many were added, and how many of the journal have no search space there yet.

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
    found = {record.trial: key for record, key in salvaged}
    wanted = {**{record.trial: record for record, _ in salvaged}, **told}
    added = unplaced = 0
    for one in wanted.values():
        dataset, family, _ = split_trial_id(one.trial)
        if one.trial in database.known:
            continue
        if one.space in spaces and dataset in directions:
            key = StudyKey(dataset=dataset, family=family, direction=directions[dataset], space=spaces[one.space])
        elif one.trial in found:
            key = found[one.trial]
        else:
            unplaced += 1
            continue
        try:
            added += database.add(one, key)
        except ValueError:
            continue  # as when it was told: Optuna will never take it, and the journal has it
    lacking = database.known - told.keys()
    # Reading every trial takes seconds of a start, and as a rule the journal lacks none.
    return [r for r in database.records() if r.trial in lacking] if lacking else [], added, unplaced


def main() -> None:
    """The process: ``optimizer.study.recorder FOLDER DESCRIPTOR``, run by `optimizer.child`."""
    folder, connection = Path(sys.argv[1]), Connection(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(folder, connection)


def serve(folder: Path, connection: Connection) -> None:
    """Bring journal and database together, then add what comes until the channel ends."""
    def reply(message: Reply) -> None:
        connection.send_bytes(msgspec.json.encode(message))

    def trouble(fault: StorageFault) -> None:
        reply(RecorderTrouble(reason=str(fault)))

    opened = _first_steps(folder, reply)
    if opened is None:
        return
    database, added, unplaced = opened
    backups = _Backups(folder, lambda text: reply(RecorderNotice(text=text)), something_new=added > 0)
    try:
        while True:
            if not connection.poll(backups.wait_s()):
                if not _backed_up(backups, trouble):
                    return
                continue
            try:
                message = msgspec.json.decode(connection.recv_bytes(), type=AddTrial)
            except (EOFError, OSError):
                break
            while True:
                try:
                    backups.something_new |= database.add(message.record, message.key)
                    break
                except DamagedDatabase as damage:
                    # The next start of the recorder, which follows at once, makes it anew.
                    trouble(damage)
                    _make_room(folder / "optuna.db", damage)
                    return
                except StorageFault as fault:
                    trouble(fault)
                    time.sleep(_RETRY_S)
                except ValueError as error:
                    # Optuna will never take this one; the others must not wait behind it.
                    reply(RecorderNotice(text=f"{message.record.trial} is left out of optuna.db: {error}"))
                    break
            reply(Added(trial=message.record.trial))
            if backups.wait_s() == 0 and not _backed_up(backups, trouble):
                return
        if unplaced:
            # Their search spaces were described again in the meantime.
            reconcile(database, folder / "journal.jsonl")
    finally:
        database.close()
    backups.say = lambda text: None  # nobody hears any more
    try:
        # SQLite, which has its pages in memory, may have written on without a look at what became of the others.
        check_file(folder / "optuna.db")
        backups.make()
    except DamagedDatabase:
        opened_anew = open_or_repair(folder)
        reconcile(opened_anew.database, folder / "journal.jsonl", opened_anew.salvaged)
        opened_anew.database.close()


def _backed_up(backups: _Backups, trouble: Callable[[StorageFault], None]) -> bool:
    """Make a backup; false, and said, where that shows the database to be damaged: the next start makes it anew."""
    try:
        backups.make()
    except DamagedDatabase as damage:
        trouble(damage)
        return False
    return True


def _first_steps(folder: Path, reply: Callable[[Reply], None]) -> tuple[Database, int, int] | None:
    """Open, repair where needed, reconcile; ``None`` where the database cannot be used, which is said."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            opened = open_or_repair(folder)
            for text in opened.said:
                reply(RecorderNotice(text=text))
            recovered, added, unplaced = reconcile(opened.database, folder / "journal.jsonl", opened.salvaged)
            break
        except DamagedDatabase as damage:  # it opened, and broke while it was read
            with contextlib.suppress(StorageFault):
                set_aside(folder / "optuna.db", "corrupt")
            fault: StorageFault = damage
        except StorageFault as error:
            fault = error
        if not isinstance(fault, DamagedDatabase | PassingFault) or time.monotonic() >= until:
            reply(RecorderTrouble(reason=str(fault), fatal=True))
            return None
        reply(RecorderTrouble(reason=str(fault)))
        time.sleep(_RETRY_S)
    for record in recovered:
        reply(Recovered(record=record))
    reply(Reconciled(added=added))
    return opened.database, added, unplaced


def _make_room(path: Path, damage: DamagedDatabase) -> None:
    """Whatever took the place of a database that was in use is kept, and is not taken for it by the next start."""
    if "replaced" in damage.found and os.path.lexists(path):
        with contextlib.suppress(StorageFault):  # then the next start finds what is there
            set_aside(path, "found")


class _Backups:
    """When a backup is due, and making it."""

    def __init__(self, folder: Path, say: Callable[[str], None], *, something_new: bool) -> None:
        self.something_new = something_new
        self.say = say
        self._folder = folder
        self._due = time.monotonic() + _BACKUP_EVERY_S
        self._failed = False

    def wait_s(self) -> float | None:
        """Seconds until one is due; ``None`` for never, as long as nothing is new."""
        return max(0.0, self._due - time.monotonic()) if self.something_new else None

    def make(self) -> None:
        """Make one, if there is anything new; a failure is said once, and the earlier ones stay.

        Raises:
            DamagedDatabase: the database is damaged.
        """
        if not self.something_new:
            return
        self._due = time.monotonic() + _BACKUP_EVERY_S
        try:
            back_up(self._folder)
        except DamagedDatabase:
            raise
        except StorageFault as fault:
            if not self._failed:
                self.say(f"no backup of optuna.db could be made: {fault}; the journal has everything")
            self._failed = True
        else:
            self.something_new = self._failed = False


if __name__ == "__main__":
    main()
