"""``optuna.db`` holds finished trials only, each whole, and any Optuna tool can read it."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState
from stubs.makers import SPACE, a_record

from optimizer.errors import StorageFault
from optimizer.records import TrialRecord
from optimizer.study import database as database_module
from optimizer.study.database import Database, check_file
from optimizer.study.frozen import StudyKey, frozen_trial
from optimizer.study.insert import insert_trial

KEY = StudyKey(dataset="cars", family="tree", direction="maximize", space=SPACE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database will be."""
    return tmp_path / "optuna.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """A new database."""
    database = Database(path)
    yield database
    database.close()


def as_optuna_sees_it(path: Path, name: str = "cars/tree") -> optuna.Study:
    """The study, opened as anybody's tool would."""
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def test_a_told_trial_is_a_finished_optuna_trial(path: Path, database: Database) -> None:
    record = a_record("cars/tree/4", score=0.5, fold_scores=(0.25, 0.75))

    assert database.add(record, KEY)

    (trial,) = as_optuna_sees_it(path).trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert trial.params == {"rate": 0.1, "depth": 3, "bootstrap": "no"}
    assert trial.intermediate_values == {0: 0.25, 1: 0.5}
    assert trial.user_attrs["trial"] == "cars/tree/4"
    assert trial.duration is not None
    assert trial.duration.total_seconds() == 2.0


@pytest.mark.parametrize("record", [
    a_record(fold_scores=(0.25, 0.75)),
    a_record(params={"rate": 0.1, "depth": 3, "bootstrap": "bayesian", "temperature": 1.5, "iterations": 100}),
    a_record(state="pruned", score=0.25, fold_scores=(0.25,)),
    a_record(state="pruned", score=None, fold_scores=(), cut=True),
    a_record(state="failed", score=None, reason="it \"broke\" \u2603", kind="error"),
    a_record(state="failed", score=None, kind="out_of_memory", peak_private_mb=512.0),
], ids=["complete", "conditional", "pruned", "cut short", "failed", "out of memory"])
def test_the_rows_of_a_trial_are_those_that_optuna_itself_writes(record: TrialRecord, tmp_path: Path) -> None:
    def rows(path: Path) -> dict[str, list[Any]]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - names of its own
                    for name in tables}

    ours = Database(tmp_path / "ours.db")
    others = [a_record(f"cars/tree/{n}") for n in (1, 2)]
    for one in (*others, record):
        assert ours.add(one, KEY)
    ours.close()
    theirs = Database(tmp_path / "theirs.db")
    study, _ = theirs._study(KEY)
    for one in (*others, record):
        theirs._storage.create_new_trial(study, template_trial=frozen_trial(one, SPACE))
    theirs.close()

    assert rows(tmp_path / "ours.db") == rows(tmp_path / "theirs.db")


def test_pruned_and_failed_trials_are_finished_too(path: Path, database: Database) -> None:
    database.add(a_record("cars/tree/0", state="pruned", score=0.25, fold_scores=(0.25,)), KEY)
    database.add(a_record("cars/tree/1", state="failed", score=None, reason="broken"), KEY)

    states = [(trial.state, trial.value) for trial in as_optuna_sees_it(path).trials]

    assert states == [(TrialState.PRUNED, 0.25), (TrialState.FAIL, None)]


def test_the_best_is_by_the_studys_own_direction(path: Path, database: Database) -> None:
    key = StudyKey(dataset="cars", family="tree", direction="minimize", space=SPACE)
    for number, score in enumerate((0.5, 0.2, 0.9)):
        database.add(a_record(f"cars/tree/{number}", score=score), key)

    assert as_optuna_sees_it(path).best_value == 0.2


def test_our_record_comes_back_whole(database: Database) -> None:
    records = [a_record("cars/tree/0", versions={"a": "1"}, best_iterations=(3, None)),
               a_record("cars/tree/1", state="failed", score=None, kind="error", reason="broken")]
    for record in records:
        database.add(record, KEY)

    assert list(database.records()) == records


def test_a_trial_is_added_once(path: Path, database: Database) -> None:
    assert database.add(a_record(), KEY)
    assert not database.add(a_record(), KEY)
    again = Database(path)
    assert not again.add(a_record(), KEY)
    again.close()

    assert len(as_optuna_sees_it(path).trials) == 1


def test_a_changed_space_is_a_study_of_its_own(path: Path, database: Database) -> None:
    narrowed = SPACE.narrowed("tree", {"depth": 4})
    changed = StudyKey(dataset="cars", family="tree", direction="maximize", space=narrowed)

    database.add(a_record("cars/tree/0"), KEY)
    database.add(a_record("cars/tree/1", space=narrowed.hash()), changed)
    database.add(a_record("cars/tree/2"), KEY)

    assert optuna.get_all_study_names(f"sqlite:///{path}") == ["cars/tree", f"cars/tree@{narrowed.hash()}"]
    assert len(as_optuna_sees_it(path).trials) == 2


def test_datasets_and_families_do_not_mix(path: Path, database: Database) -> None:
    for dataset, family in (("cars", "tree"), ("cars", "forest"), ("boats", "tree")):
        database.add(a_record(f"{dataset}/{family}/0"),
                     StudyKey(dataset=dataset, family=family, direction="maximize", space=SPACE))

    assert sorted(optuna.get_all_study_names(f"sqlite:///{path}")) == ["boats/tree", "cars/forest", "cars/tree"]


# Errors.


def test_an_error_after_the_commit_does_not_double_the_trial(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def committed_then_broken(engine: sqlalchemy.Engine, study: int, trial: FrozenTrial) -> None:
        insert_trial(engine, study, trial)
        raise sqlalchemy.exc.OperationalError("COMMIT", {}, OSError("the disk was gone for a moment"))

    monkeypatch.setattr(database_module, "insert_trial", committed_then_broken)
    with pytest.raises(StorageFault, match="the disk was gone for a moment"):
        database.add(a_record(), KEY)
    monkeypatch.undo()

    assert not database.add(a_record(), KEY)
    assert len(as_optuna_sees_it(path).trials) == 1


def test_what_was_added_is_not_kept_in_memory(database: Database) -> None:
    def trials_in_memory() -> int:
        gc.collect()
        return sum(isinstance(thing, FrozenTrial) for thing in gc.get_objects())

    before = trials_in_memory()
    for number in range(20):
        database.add(a_record(f"cars/tree/{number}"), KEY)

    assert trials_in_memory() - before < 5


def test_a_file_that_somebody_holds_is_a_fault_and_the_next_try_succeeds(
    path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "_BUSY_TIMEOUT_S", 0)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # Optuna tries for a few seconds
    database = Database(path)
    database.add(a_record("cars/tree/0"), KEY)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StorageFault, match=r"optuna\.db: .*database is locked"):
        database.add(a_record("cars/tree/1"), KEY)
    holder.execute("ROLLBACK")
    holder.close()

    assert database.add(a_record("cars/tree/1"), KEY)
    assert len(as_optuna_sees_it(path).trials) == 2
    database.close()


# Files.


@pytest.mark.parametrize("name", [
    "{}.db", "{0}.db", "a?b.db", "a%41b.db", "with space.db", "a#b.db", "a&b=c.db", "ä.db", "a'b.db", 'a"b.db',
    "a:b@c.db",
])
def test_a_path_may_hold_what_means_something_elsewhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "studies {x} ?y %41 z"
    folder.mkdir()

    for expected in (True, False):
        database = Database(folder / name)
        assert database.add(a_record(), KEY) is expected
        database.close()

    assert [p.name for p in folder.iterdir()] == [name]
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize("content", [b"not a database at all, but long enough", b"short", b"\x00" * 100])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(StorageFault) as caught:
        Database(path)

    assert str(caught.value) == f"{path}: not an SQLite database; it can be made anew from the journal"
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused(path: Path) -> None:
    database = Database(path)
    for number in range(20):
        database.add(a_record(f"cars/tree/{number}"), KEY)
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:40960] = b"\xff" * (40960 - 4096)
    path.write_bytes(content)

    with pytest.raises(StorageFault, match="it can be made anew from the journal"):
        Database(path)


def test_a_file_of_another_optunas_schema_is_refused(path: Path) -> None:
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.commit()
    connection.close()

    with pytest.raises(StorageFault, match=r"optuna\.db: .*Please try updating optuna"):
        Database(path)


def test_a_file_in_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="unable to open database file"):
        Database(tmp_path / "none" / "optuna.db")


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StorageFault, match="not a file; it can be made anew"):
        check_file(path)


def test_looking_for_a_missing_file_makes_none(path: Path) -> None:
    check_file(path)

    assert not path.exists()


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()

    database = Database(path)

    assert database.add(a_record(), KEY)
    database.close()


KILLED_INSIDE_A_TRANSACTION = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("CREATE TABLE half (text)")
for _ in range(500):
    connection.execute("INSERT INTO half VALUES (?)", ("x" * 2000,))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_that_was_killed_inside_a_transaction_is_rolled_back(path: Path) -> None:
    """What the killed process leaves beside the file must not keep the next start out."""
    before = Database(path)
    before.add(a_record("cars/tree/0"), KEY)
    before.close()
    subprocess.run([sys.executable, "-c", KILLED_INSIDE_A_TRANSACTION, str(path)], check=False)
    assert path.with_name("optuna.db-journal").exists()

    after = Database(path)

    assert after.known == {"cars/tree/0"}
    assert after.add(a_record("cars/tree/1"), KEY)
    after.close()
    assert sorted(os.listdir(path.parent)) == ["optuna.db"]


def test_trials_that_somebody_else_added_are_left_alone(path: Path, database: Database) -> None:
    database.add(a_record(), KEY)
    as_optuna_sees_it(path).add_trial(optuna.create_trial(value=1.0))

    again = Database(path)

    assert again.known == {a_record().trial}
    assert list(again.records()) == [a_record()]
    again.close()
