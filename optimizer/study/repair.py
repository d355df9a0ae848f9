"""What is done about an ``optuna.db`` that is damaged or gone: set aside, taken from a backup, read as far as it goes.

What the journal has told comes from there. This is for what the journal lacks as well.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from optimizer.durable import sync
from optimizer.errors import StorageFault
from optimizer.journal import free_name, stamp
from optimizer.records import TrialRecord
from optimizer.search_space import SearchSpace
from optimizer.study.database import DAMAGE, DamagedDatabase, Database, check_file
from optimizer.study.frozen import StudyKey

#: What SQLite keeps beside a database; apart from it a half-written transaction could not be told any more.
_BESIDE = ("-journal", "-wal", "-shm")
_BACKUP = re.compile(r"optuna-\d{8}-\d{6}\.db(\.\d+)?")
#: Backups that are kept.
_KEPT = 2


@dataclass(kw_only=True)
class Opened:
    """A sound database, and what it took."""

    database: Database
    #: One sentence for each thing that was done.
    said: list[str] = field(default_factory=list)
    #: Records read from a damaged file, each with the study that it belongs to.
    salvaged: list[tuple[TrialRecord, StudyKey]] = field(default_factory=list)


def open_or_repair(folder: Path) -> Opened:
    """Open the run's database; a damaged one is set aside, and a missing one is begun from the newest sound backup.

    Raises:
        StorageFault: it is locked, cannot be read or written, or is of another Optuna's schema.
    """
    path = folder / "optuna.db"
    said, salvaged = [], []
    try:
        if os.path.lexists(path):
            return Opened(database=Database(path))
    except DamagedDatabase as damage:
        aside = set_aside(path, "corrupt")
        salvaged = list(salvage(aside))
        said.append(f"optuna.db was damaged ({damage.found}); it is kept as {aside.name} and made anew")
    backup = restore_backup(folder)
    if backup:
        said.append(f"optuna.db begins from backups/{backup}; the journal adds what came later")
    return Opened(database=Database(path), said=said, salvaged=salvaged)


def set_aside(path: Path, why: str) -> Path:
    """Rename a database with all that belongs to it; returns its new name.

    Raises:
        StorageFault: it could not be renamed.
    """
    aside = free_name(path.with_name(f"{path.name}.{why}-{stamp(time.time())}"))
    try:
        path.rename(aside)
        for suffix in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StorageFault(f"{path} is damaged and cannot be set aside: {error.strerror}; move it away") from error
    return aside


def back_up(folder: Path) -> str:
    """Copy the database as it is at one moment to ``backups/``, and keep the latest few; returns the copy's name.

    Raises:
        DamagedDatabase: what was copied is damaged, and so is the database; the earlier copies are still there.
        StorageFault: the copy could not be made; the earlier ones are still there.
    """
    backups = folder / "backups"
    final = free_name(backups / f"optuna-{stamp(time.time())}.db")
    beside = backups / ".part"
    try:
        backups.mkdir(exist_ok=True)
        beside.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(f"{(folder / 'optuna.db').resolve().as_uri()}?mode=rw", uri=True)) \
                as source, contextlib.closing(sqlite3.connect(beside)) as copy:
            source.backup(copy)
        check_file(beside)
        sync(beside)
        beside.rename(final)
        sync(backups)
        for old in _newest_first(backups)[_KEPT:]:
            old.unlink(missing_ok=True)
    except (sqlite3.Error, OSError, DamagedDatabase) as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, DamagedDatabase) or getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:
            raise DamagedDatabase(folder / "optuna.db", getattr(error, "found", str(error))) from error
        raise StorageFault(f"{final}: {error}") from error
    return final.name


def restore_backup(folder: Path) -> str:
    """Copy the newest sound backup to where the database should be; returns its name, or nothing if there is none."""
    for backup in _newest_first(folder / "backups"):
        beside = folder / f".optuna.db.{os.getpid()}"
        try:
            check_file(backup)
            shutil.copyfile(backup, beside)
            sync(beside)
            beside.rename(folder / "optuna.db")
        except (StorageFault, OSError):
            beside.unlink(missing_ok=True)
            continue  # the journal, or an older one
        return backup.name
    return ""


def salvage(path: Path) -> Iterator[tuple[TrialRecord, StudyKey]]:
    """What of a damaged database can still be read: our records, each with its study; what cannot be is left out."""
    if not path.is_file():
        return
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return
    # A row takes more bytes than this, so no number can be larger.
    most = path.stat().st_size // 16
    with contextlib.closing(connection):
        keys: dict[tuple[str, str, str], StudyKey] = {}
        for name, direction, text in _rows(
            connection, "studies", "study_id", most,
            "SELECT s.study_name, d.direction, a.value_json FROM studies s "
            "JOIN study_directions d ON d.study_id = s.study_id "
            "JOIN study_user_attributes a ON a.study_id = s.study_id AND a.key = 'space' WHERE s.study_id = ?",
        ):
            with contextlib.suppress(ValueError, TypeError):
                dataset, family = name.partition("@")[0].split("/")
                space = msgspec.json.decode(msgspec.json.decode(text, type=str), type=SearchSpace)
                keys[dataset, family, space.hash()] = msgspec.convert(
                    {"dataset": dataset, "family": family, "direction": str(direction).lower(), "space": space},
                    StudyKey)
        # By its own number alone: an index or a second table may be what is broken.
        for (text,) in _rows(
            connection, "trial_user_attributes", "trial_user_attribute_id", most,
            "SELECT value_json FROM trial_user_attributes NOT INDEXED WHERE trial_user_attribute_id = ? "
            "AND key = 'record'",
        ):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                record = msgspec.json.decode(msgspec.json.decode(text, type=str), type=TrialRecord)
                yield record, keys[record.dataset, record.family, record.space]


def _rows(connection: sqlite3.Connection, table: str, key: str, most: int, query: str) -> Iterator[tuple[Any, ...]]:
    """One query per row, for a broken page costs the rows on it only; a row that cannot be read is left out."""
    try:
        last = connection.execute(f"SELECT max({key}) FROM {table}").fetchone()[0] or 0  # noqa: S608 - our own names
    except sqlite3.Error:
        last = most
    for number in range(1, last + 1):
        try:
            yield from connection.execute(query, (number,)).fetchall()
        except sqlite3.Error:
            continue


def _newest_first(backups: Path) -> list[Path]:
    # Of two of one second the later one has a number behind its name.
    return sorted((p for p in backups.glob("optuna-*.db*") if _BACKUP.fullmatch(p.name)), reverse=True)
