"""What a run has left on the disk, read with nothing of the product: journal, database, processes.

Every format is read as `docs/reference/journal.md` describes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_PREFIX = b'{"crc":"'
_BEHIND = len(_PREFIX) + 8


def whole_record(line: bytes) -> Record | None:
    """The record of a whole journal line, or ``None`` for a torn or altered one."""
    if not line.endswith(b"\n") or not line.startswith(_PREFIX) or line[_BEHIND : _BEHIND + 2] != b'",':
        return None
    body = b"{" + line[_BEHIND + 2 : -1]
    if b"%08x" % zlib.crc32(body) != line[len(_PREFIX) : _BEHIND]:
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "event" in record else None


def journal_lines(folder: Path) -> Iterator[bytes]:
    """Every line of a run's journal, whole or not; none where there is no journal."""
    with contextlib.suppress(FileNotFoundError), (folder / "journal.jsonl").open("rb") as stream:
        yield from stream


def told_now(folder: Path) -> Counter[str]:
    """How often each trial is told at this moment; cheap enough for a run that is alive."""
    told: Counter[str] = Counter()
    for line in journal_lines(folder):
        if b'"event":"trial_told"' in line:
            record = whole_record(line)
            if record is not None:
                told[record["trial"]] += 1
    return told


@dataclass
class Journal:
    """A journal, sorted by what its events are about."""

    records: list[Record] = field(default_factory=list)
    #: Lines that are torn or altered.
    damaged: int = 0

    def of(self, event: str) -> list[Record]:
        """The events of one name, in their order."""
        return [r for r in self.records if r["event"] == event]


def read_journal(folder: Path) -> Journal:
    """Every whole line, and how many are not."""
    journal = Journal()
    for line in journal_lines(folder):
        record = whole_record(line)
        if record is None:
            journal.damaged += 1
        else:
            journal.records.append(record)
    return journal


@dataclass(frozen=True)
class StoredTrial:
    """A trial as it stands in ``optuna.db``."""

    #: Our id, ``None`` for one without it.
    trial: str | None
    #: As Optuna calls it: ``COMPLETE``, ``PRUNED``, ``FAIL``, ``RUNNING``, ``WAITING``.
    state: str
    study: str
    value: float | None
    record: Record | None


@dataclass(frozen=True)
class Database:
    """What ``optuna.db`` says."""

    #: ``ok``, or what SQLite finds wrong.
    integrity: str
    trials: tuple[StoredTrial, ...] = ()


def copied_database(folder: Path, into: Path) -> Path:
    """A copy of the database with what lies beside it: looking at the real one would roll back a hot journal."""
    for name in ("optuna.db", "optuna.db-journal", "optuna.db-wal", "optuna.db-shm"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, into / name)
    return into / "optuna.db"


def integrity(folder: Path) -> str:
    """``ok``, ``missing``, or the first fault that ``PRAGMA integrity_check`` finds in a copy of the database."""
    with tempfile.TemporaryDirectory() as beside:
        copy = copied_database(folder, Path(beside))
        if not copy.exists():
            return "missing"
        return _integrity(copy)


def read_database(folder: Path) -> Database:
    """Check a copy of the database and read every trial in it."""
    with tempfile.TemporaryDirectory() as beside:
        copy = copied_database(folder, Path(beside))
        if not copy.exists():
            return Database("missing")
        verdict = _integrity(copy)
        if verdict != "ok":
            return Database(verdict)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            return Database(verdict, tuple(_trials(connection)))


def _integrity(path: Path) -> str:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)


def _trials(connection: sqlite3.Connection) -> Iterator[StoredTrial]:
    attributes: dict[int, dict[str, Any]] = {}
    for trial, key, text in connection.execute("SELECT trial_id, key, value_json FROM trial_user_attributes"):
        attributes.setdefault(trial, {})[key] = json.loads(text)
    values = dict(connection.execute("SELECT trial_id, value FROM trial_values WHERE objective = 0"))
    names = dict(connection.execute("SELECT study_id, study_name FROM studies"))
    for number, state, study in connection.execute("SELECT trial_id, state, study_id FROM trials"):
        mine = attributes.get(number, {})
        record = mine.get("record")
        yield StoredTrial(trial=mine.get("trial"), state=state, study=names[study], value=values.get(number),
                          record=json.loads(record) if isinstance(record, str) else record)


@dataclass(frozen=True)
class Process:
    """One process of a run; its number alone may be given to another."""

    pid: int
    #: Clock ticks since boot.
    started: int
    parent: int
    #: One letter: ``R``, ``S``, ``D``, ``T``, ``Z``.
    state: str
    arguments: tuple[str, ...]

    @property
    def role(self) -> str:
        """What it does in the run; empty for what is none of the product's."""
        words = set(self.arguments)
        for role, module in ROLES.items():
            if module in words:
                return role
        if any(w.endswith("/optimizer/guard.py") for w in words):
            return "guard"  # run by its path, so that it starts at once
        if any(w == "optimizer" or w.endswith("/optimizer") for w in self.arguments[:6]):
            return "command"
        return "other" if any(w.startswith("optimizer.") for w in words) else ""


#: Role to the module on its command line.
ROLES = {
    "worker": "optimizer.worker", "recorder": "optimizer.study.recorder", "publisher": "optimizer.views.publisher",
    "dashboard": "optimizer.views.dashboard", "reader": "optimizer.datasets.prepare",
    "describer": "optimizer.models.describe",
}


def process(pid: int) -> Process | None:
    """A process as it is now, or ``None`` where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    arguments = tuple(os.fsdecode(a) for a in command.split(b"\0") if a)
    return Process(pid=pid, started=int(stat[19]), parent=int(stat[1]), state=stat[0].decode(), arguments=arguments)


def ticks_since_boot() -> int:
    """Now, as `Process.started` counts."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def processes() -> list[Process]:
    """Every process of this machine."""
    found = (process(int(e.name)) for e in Path("/proc").iterdir() if e.name.isdigit())
    return [p for p in found if p is not None]


def processes_of(folder: Path) -> list[Process]:
    """Processes of the product with this run's folder on their command lines; who asks, and its parents, apart."""
    everyone = {p.pid: p for p in processes()}
    mine, pid = set(), os.getpid()
    while pid in everyone:
        mine.add(pid)
        pid = everyone[pid].parent
    place = str(folder)
    return [p for p in everyone.values() if p.pid not in mine and p.role
            and any(place in a for a in p.arguments)]


def children_of(parent: int, among: list[Process] | None = None) -> list[Process]:
    """All descendants of a process, zombies included."""
    everyone = among if among is not None else processes()
    found: list[Process] = []
    parents = {parent}
    while parents:
        generation = [p for p in everyone if p.parent in parents]
        found += generation
        parents = {p.pid for p in generation}
    return found


def scheduler_of(folder: Path) -> int | None:
    """The pid in ``run.lock``, if that process still is the one that wrote it."""
    try:
        entry = json.loads((folder / "run.lock").read_bytes())
        one = process(int(entry["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return one.pid if one is not None and one.started == entry["start"] and one.state != "Z" else None
