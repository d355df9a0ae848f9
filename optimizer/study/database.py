"""``optuna.db``: one Optuna study per dataset and family, holding finished trials only.

Each trial is added whole, in one transaction, with our complete record as an attribute; so a crash leaves neither a
trial in state RUNNING nor half a trial, and any Optuna tool can open the file of a finished run.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from optimizer.errors import StorageFault
from optimizer.records import TrialRecord
from optimizer.search_space import SearchSpace
from optimizer.study.frozen import TRIAL_ATTRIBUTE, StudyKey, frozen_trial, record_of
from optimizer.study.insert import insert_trial

#: What Optuna and SQLAlchemy raise where a file cannot be read or written.
_STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError)
_MAGIC = b"SQLite format 3\x00"
#: Seconds that a writer waits for a reader who holds the file.
_BUSY_TIMEOUT_S = 10
#: What a person can do, by SQLite's code.
_ADVICE = {
    sqlite3.SQLITE_BUSY: "another program has it open for writing: close that program",
    sqlite3.SQLITE_LOCKED: "another program has it open for writing: close that program",
    sqlite3.SQLITE_IOERR: "look at that disk: dmesg tells more",
    sqlite3.SQLITE_FULL: "free some space on that disk",
    sqlite3.SQLITE_READONLY: "make it writable",
}
#: Codes that mean damage.
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL})
_IDS = sqlalchemy.text("SELECT value_json FROM trial_user_attributes WHERE key = :key")
#: Attribute of an Optuna study that carries our search space.
_SPACE_ATTRIBUTE = "space"


class PassingFault(StorageFault):
    """The file cannot be used just now, and may well be in a moment."""


class DamagedDatabase(StorageFault):
    """What is at the path is no sound database, or no longer the one that was opened."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"{path}: {found}; it can be made anew from the journal")
        #: What is wrong, in a few words.
        self.found = found


def check_file(path: Path) -> None:
    """Look at the file before Optuna touches it, for Optuna would make an empty one of a missing one.

    Raises:
        DamagedDatabase: something is there that is not a sound SQLite database.
        StorageFault: it cannot be read now.
    """
    try:
        if not path.exists():
            return
        if not path.is_file():
            raise DamagedDatabase(path, "not a file")
        if path.stat().st_size == 0:
            return
        with path.open("rb") as stream:
            if stream.read(16) != _MAGIC:
                raise DamagedDatabase(path, "not an SQLite database")
        # By URI, for it can say that nothing shall be made. Not read-only: a recorder that was killed inside a
        # transaction leaves a journal beside the file, and the first to look must be able to roll it back.
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    except (sqlite3.Error, OSError) as error:
        raise _fault(path, error) from error
    if verdict != "ok":
        raise DamagedDatabase(path, str(verdict).splitlines()[-1])


def _fault(path: Path, error: BaseException) -> StorageFault:
    """A storage error as what it means for us: damage, which is repaired, or a trouble that may pass."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, sqlite3.Error):
        cause = getattr(cause, "orig", None) or cause.__cause__
    text = str(cause or error.__cause__ or error)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in DAMAGE or "no such table" in text:
        return DamagedDatabase(path, text)
    advice = _ADVICE.get(code, "see that it and its folder can be written to")
    return PassingFault(f"{path}: {text}; {advice}") if code in _PASSING else StorageFault(f"{path}: {text}; {advice}")


class Database:
    """The one writer of ``optuna.db``."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises `StorageFault` as `check_file`, and for another Optuna's schema."""
        check_file(path)
        self._path = path
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
        # Optuna fills in the schema version by str.format, so braces in a path must be doubled.
        escaped = url.replace("{", "{{").replace("}", "}}")
        #: Optuna's number of each study, and our search space. Not its `Study`: that would keep every trial in memory.
        self._studies: dict[str, tuple[int, SearchSpace]] = {}
        try:
            self._storage = RDBStorage(escaped, engine_kwargs={"connect_args": {"timeout": _BUSY_TIMEOUT_S}})
            sqlalchemy.event.listen(self._storage.engine, "connect", _safest)
            self._storage.engine.dispose()  # connections made before the listener go
            #: Ids of the trials that are in the file.
            self.known = self._ids()
            self._identity = _identity(path)
        except RuntimeError as error:  # a schema that is not this Optuna's
            raise StorageFault(f"{path}: {error} Or move the file away, then it is made anew from the journal; what "
                               "only the file holds is not in the new one") from error
        except _STORAGE_ERRORS as error:
            raise _fault(path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            # It passed for sound, and yet holds what no Optuna has written.
            raise DamagedDatabase(path, f"{type(error).__name__}: {error}") from error
        #: An error may have come after the commit, so that the next trial is looked for before it is added.
        self._doubtful = False

    def add(self, record: TrialRecord, key: StudyKey) -> bool:
        """Add a told trial; ``False`` where it is there already.

        Raises:
            DamagedDatabase: the file is damaged, or no longer at its path.
            StorageFault: the file could not be written; nothing of the trial is in it.
        """
        if record.trial in self.known:
            return False
        try:
            # SQLite would go on writing into a file that has no name any more.
            if _identity(self._path) != self._identity:
                raise DamagedDatabase(self._path, "deleted or replaced while it was in use")
            study, space = self._study(key)
            if self._doubtful:
                self.known |= self._ids()
                self._doubtful = False
                if record.trial in self.known:
                    return False
            insert_trial(self._storage.engine, study, frozen_trial(record, space))
        except _STORAGE_ERRORS as error:
            self._doubtful = True
            raise _fault(self._path, error) from error
        self.known.add(record.trial)
        return True

    def records(self) -> Iterator[TrialRecord]:
        """Our records of every trial in the file."""
        for summary in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
            study = self._storage.get_study_id_from_name(summary.study_name)
            for trial in self._storage.get_all_trials(study, deepcopy=False):
                record = record_of(trial)
                if record is not None:
                    yield record

    def close(self) -> None:
        """Close every connection."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _ids(self) -> set[str]:
        """The ids of the trials in the file; by Optuna's tables, for its own reading of 6,000 trials takes seconds."""
        with self._storage.engine.connect() as connection:
            texts = [text for (text,) in connection.execute(_IDS, {"key": TRIAL_ATTRIBUTE})]
        try:
            return {trial for text in texts if isinstance(trial := json.loads(text), str)}
        except ValueError as error:
            raise DamagedDatabase(self._path, f"the id of a trial is no JSON: {error}") from error

    def _study(self, key: StudyKey) -> tuple[int, SearchSpace]:
        """The study of a key; a space that changed since the first is a study of its own, with its hash in its name."""
        name = f"{key.dataset}/{key.family}"
        for candidate in (name, f"{name}@{key.space.hash()}"):
            if candidate not in self._studies:
                self._studies[candidate] = self._open(candidate, key)
            study, space = self._studies[candidate]
            if space.hash() == key.space.hash():
                return study, space
        raise StorageFault(f"optuna.db: study {name} holds another search space than its name says")

    def _open(self, name: str, key: StudyKey) -> tuple[int, SearchSpace]:
        study = optuna.create_study(storage=self._storage, study_name=name, direction=key.direction,
                                    load_if_exists=True)
        number = self._storage.get_study_id_from_name(name)
        stored = study.user_attrs.get(_SPACE_ATTRIBUTE)
        if stored is None:
            study.set_user_attr(_SPACE_ATTRIBUTE, msgspec.json.encode(key.space).decode())
            return number, key.space
        return number, msgspec.json.decode(stored, type=SearchSpace)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino


def _safest(connection: Any, _record: object) -> None:
    """One writer gains nothing from a write-ahead log; EXTRA also survives a power cut right after the commit."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=DELETE")
    cursor.execute("PRAGMA synchronous=EXTRA")
    cursor.close()
