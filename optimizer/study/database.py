"""``optuna.db``: one Optuna study per dataset and family, holding finished trials only.

Each trial is added whole, in one transaction, with our complete record as an attribute; so a crash leaves neither a
trial in state RUNNING nor half a trial, and any Optuna tool can open the file of a finished run.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from optimizer.errors import StorageFault
from optimizer.records import TrialRecord
from optimizer.search_space import SearchSpace
from optimizer.study.frozen import TRIAL_ATTRIBUTE, frozen_trial, record_of

#: What Optuna and SQLAlchemy raise where a file cannot be read or written.
_STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, OSError)
_MAGIC = b"SQLite format 3\x00"
#: Seconds that a writer waits for a reader who holds the file.
_BUSY_TIMEOUT_S = 30
#: Attribute of an Optuna study that carries our search space.
_SPACE_ATTRIBUTE = "space"


class StudyKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial's Optuna study is called and how it is made."""

    dataset: str
    family: str
    direction: Literal["maximize", "minimize"]
    space: SearchSpace


def check_file(path: Path) -> None:
    """Look at the file before Optuna touches it, for Optuna would make an empty one of a missing one.

    Raises:
        StorageFault: something is there that is not a sound SQLite database.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise StorageFault(f"{path} is not a file; move it away")
    if path.stat().st_size == 0:
        return
    with path.open("rb") as stream:
        if stream.read(16) != _MAGIC:
            raise StorageFault(f"{path} is not an SQLite database; move it away, the journal can rebuild it")
    try:
        # By URI, for it can say that nothing shall be made. Not read-only: a recorder that was killed inside a
        # transaction leaves a journal beside the file, and the first to look must be able to roll it back.
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise StorageFault(f"{path}: {error}; move it away, the journal can rebuild it") from error
    if verdict != "ok":
        raise StorageFault(f"{path}: {verdict}; move it away, the journal can rebuild it")


class Database:
    """The one writer of ``optuna.db``."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises `StorageFault` for one that is damaged, or of another Optuna's schema."""
        check_file(path)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
        # Optuna fills in the schema version by str.format, so braces in a path must be doubled.
        escaped = url.replace("{", "{{").replace("}", "}}")
        self._studies: dict[str, tuple[optuna.Study, SearchSpace]] = {}
        #: Ids of the trials that are in the file.
        self.known: set[str] = set()
        try:
            self._storage = RDBStorage(escaped, engine_kwargs={"connect_args": {"timeout": _BUSY_TIMEOUT_S}})
            sqlalchemy.event.listen(self._storage.engine, "connect", _safest)
            self._storage.engine.dispose()  # connections made before the listener go
            for summary in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
                self.known |= _trials_of(optuna.load_study(study_name=summary.study_name, storage=self._storage))
        except RuntimeError as error:  # a schema that is not this Optuna's
            raise StorageFault(f"{path}: {error}") from error
        except _STORAGE_ERRORS as error:
            raise StorageFault(f"{path}: {error.__cause__ or error}") from error
        #: An error may have come after the commit, so that the next trial is looked for before it is added.
        self._doubtful = False

    def add(self, record: TrialRecord, key: StudyKey) -> bool:
        """Add a told trial; ``False`` where it is there already.

        Raises:
            StorageFault: the file could not be written; nothing of the trial is in it.
        """
        if record.trial in self.known:
            return False
        try:
            study, space = self._study(key)
            if self._doubtful:
                self.known |= _trials_of(study)
                self._doubtful = False
                if record.trial in self.known:
                    return False
            study.add_trial(frozen_trial(record, space))
        except _STORAGE_ERRORS as error:
            self._doubtful = True
            raise StorageFault(f"optuna.db: {error.__cause__ or error}") from error
        self.known.add(record.trial)
        return True

    def records(self) -> Iterator[TrialRecord]:
        """Our records of every trial in the file."""
        for summary in optuna.get_all_study_summaries(self._storage, include_best_trial=False):
            study = optuna.load_study(study_name=summary.study_name, storage=self._storage)
            for trial in study.get_trials(deepcopy=False):
                record = record_of(trial)
                if record is not None:
                    yield record

    def close(self) -> None:
        """Close every connection."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _study(self, key: StudyKey) -> tuple[optuna.Study, SearchSpace]:
        """The study of a key; a space that changed since the first is a study of its own, with its hash in its name."""
        name = f"{key.dataset}/{key.family}"
        for candidate in (name, f"{name}@{key.space.hash()}"):
            if candidate not in self._studies:
                self._studies[candidate] = self._open(candidate, key)
            study, space = self._studies[candidate]
            if space.hash() == key.space.hash():
                return study, space
        raise StorageFault(f"optuna.db: study {name} holds another search space than its name says")

    def _open(self, name: str, key: StudyKey) -> tuple[optuna.Study, SearchSpace]:
        study = optuna.create_study(storage=self._storage, study_name=name, direction=key.direction,
                                    load_if_exists=True)
        stored = study.user_attrs.get(_SPACE_ATTRIBUTE)
        if stored is None:
            study.set_user_attr(_SPACE_ATTRIBUTE, msgspec.json.encode(key.space).decode())
            return study, key.space
        return study, msgspec.json.decode(stored, type=SearchSpace)


def _trials_of(study: optuna.Study) -> set[str]:
    trials = study.get_trials(deepcopy=False)
    return {t.user_attrs[TRIAL_ATTRIBUTE] for t in trials if TRIAL_ATTRIBUTE in t.user_attrs}


def _safest(connection: Any, _record: object) -> None:
    """One writer gains nothing from a write-ahead log; EXTRA also survives a power cut right after the commit."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=DELETE")
    cursor.execute("PRAGMA synchronous=EXTRA")
    cursor.close()
