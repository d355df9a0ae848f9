"""The recorder: a process of its own that brings journal and database together and keeps them so."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import optuna
import pytest
from optuna.trial import TrialState
from stubs.makers import SPACE, a_record
from stubs.waiting import until

from optimizer.journal import Journal
from optimizer.process import start_time
from optimizer.records import TrialRecord
from optimizer.study.database import Database
from optimizer.study.frozen import StudyKey
from optimizer.study.recording import Added, Reconciled, Recorder, RecorderNotice, RecorderTrouble, Recovered, Reply

KEY = StudyKey(dataset="cars", family="tree", direction="maximize", space=SPACE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder."""
    (tmp_path / "logs").mkdir()
    return tmp_path


@pytest.fixture
def recorder(folder: Path) -> Iterator[Recorder]:
    """A recorder that has found nothing to reconcile."""
    recorder = Recorder(folder)
    assert recorder.receive() == Reconciled(added=0)
    yield recorder
    recorder.kill()


def some_records(*numbers: int) -> list[TrialRecord]:
    return [a_record(f"cars/tree/{number}", score=number / 100) for number in numbers]


def told(folder: Path, records: Sequence[TrialRecord]) -> None:
    """A journal in which these trials were told."""
    journal = Journal(folder / "journal.jsonl", lambda: 0.0)
    journal.append("dataset_ready", dataset="cars", direction="maximize")
    journal.append("space_described", dataset="cars", family="tree", space=msgspec.to_builtins(SPACE),
                   hash=SPACE.hash(), starts=[])
    for record in records:
        journal.append("trial_told", **msgspec.to_builtins(record))
    journal.close()


def replies(recorder: Recorder) -> list[Reply]:
    """What it says up to the moment when journal and database hold the same trials."""
    said: list[Reply] = []
    while not said or not isinstance(said[-1], Reconciled):
        reply = recorder.receive()
        assert reply is not None
        said.append(reply)
    return said


def trials_in(folder: Path) -> list[str]:
    """Our ids of what Optuna finds in the file."""
    study = optuna.load_study(study_name="cars/tree", storage=f"sqlite:///{folder / 'optuna.db'}")
    assert not [t for t in study.trials if not t.state.is_finished()]
    return [str(trial.user_attrs["trial"]) for trial in study.trials]


# The usual way.


def test_every_told_trial_is_added_and_said_so(folder: Path, recorder: Recorder) -> None:
    for record in some_records(0, 1, 2):
        recorder.add(record, KEY)
    assert recorder.lag == 3

    assert [recorder.receive() for _ in range(3)] == [Added(trial=f"cars/tree/{n}") for n in range(3)]

    assert recorder.lag == 0
    assert trials_in(folder) == ["cars/tree/0", "cars/tree/1", "cars/tree/2"]


def test_at_the_end_it_writes_what_it_has_and_exits(folder: Path, recorder: Recorder) -> None:
    for record in some_records(*range(20)):
        recorder.add(record, KEY)

    assert recorder.finish(timeout_s=60.0)

    assert len(trials_in(folder)) == 20
    assert start_time(recorder.pid) is None


def test_optuna_finds_no_running_trial(folder: Path, recorder: Recorder) -> None:
    recorder.add(a_record("cars/tree/0", state="failed", score=None), KEY)
    recorder.add(a_record("cars/tree/1", state="pruned"), KEY)
    recorder.finish(timeout_s=60.0)

    study = optuna.load_study(study_name="cars/tree", storage=f"sqlite:///{folder / 'optuna.db'}")

    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.PRUNED]


def test_long_records_are_sent_as_far_as_a_stopped_recorder_holds_nobody(folder: Path, recorder: Recorder) -> None:
    os.kill(recorder.pid, signal.SIGSTOP)
    long = tuple(1 / (number + 3) for number in range(1000))
    for number in range(30):  # a megabyte, of which a channel takes a fifth
        recorder.add(a_record(f"cars/tree/{number}", fold_scores=long, step_seconds=long, score=0.5), KEY)

    assert recorder.lag == 30
    os.kill(recorder.pid, signal.SIGCONT)
    assert recorder.finish(timeout_s=60.0)
    assert len(trials_in(folder)) == 30


def test_one_that_answers_nothing_for_long_hangs(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.study.recording._SILENT_S", 0.2)
    time.sleep(0.3)
    assert not recorder.hangs, "it has nothing to answer"
    os.kill(recorder.pid, signal.SIGSTOP)
    recorder.add(some_records(0)[0], KEY)
    assert not recorder.hangs
    until(lambda: recorder.hangs)

    os.kill(recorder.pid, signal.SIGCONT)
    assert recorder.receive() == Added(trial="cars/tree/0")
    assert not recorder.hangs


# Journal and database brought together.


def test_what_only_the_journal_has_is_added(folder: Path) -> None:
    told(folder, some_records(0, 1, 2))
    database = Database(folder / "optuna.db")
    database.add(some_records(1)[0], KEY)
    database.close()

    recorder = Recorder(folder)

    assert replies(recorder) == [Reconciled(added=2)]
    recorder.finish(60.0)
    assert sorted(trials_in(folder)) == ["cars/tree/0", "cars/tree/1", "cars/tree/2"]


def test_the_journal_alone_rebuilds_the_database(folder: Path) -> None:
    told(folder, some_records(*range(10)))
    first = Recorder(folder)
    replies(first)
    first.finish(60.0)
    (folder / "optuna.db").unlink()
    shutil.rmtree(folder / "backups")

    second = Recorder(folder)

    assert replies(second) == [Reconciled(added=10)]
    second.finish(60.0)
    assert len(trials_in(folder)) == 10


def test_the_database_alone_gives_back_every_record(folder: Path, recorder: Recorder) -> None:
    for record in some_records(0, 1):
        recorder.add(record, KEY)
    recorder.finish(60.0)

    second = Recorder(folder)

    assert replies(second) == [*(Recovered(record=record) for record in some_records(0, 1)), Reconciled(added=0)]
    second.finish(60.0)


def test_an_altered_line_of_the_journal_is_made_good_from_the_database(folder: Path, recorder: Recorder) -> None:
    told(folder, some_records(0, 1))
    for record in some_records(0, 1):
        recorder.add(record, KEY)
    recorder.finish(60.0)
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"trial":"cars/tree/0"', b'"trial":"cars/tree/X"'))

    second = Recorder(folder)

    assert replies(second) == [Recovered(record=some_records(0)[0]), Reconciled(added=0)]
    second.finish(60.0)


# Crashes.


@pytest.mark.parametrize("added_before", [0, 7])
def test_killed_in_the_middle_each_told_trial_is_there_exactly_once(folder: Path, added_before: int) -> None:
    records = some_records(*range(20))
    told(folder, [])
    journal = Journal(folder / "journal.jsonl", lambda: 0.0)
    first = Recorder(folder)
    replies(first)
    for record in records:
        journal.append("trial_told", durable=True, **msgspec.to_builtins(record))
        first.add(record, KEY)
    for _ in range(added_before):
        first.receive()
    os.kill(first.pid, signal.SIGKILL)
    while first.receive() is not None:
        pass

    second = first.restarted()
    replies(second)
    second.finish(60.0)

    assert sorted(trials_in(folder)) == sorted(record.trial for record in records)
    journal.close()


def test_a_trial_for_a_recorder_that_is_gone_waits_for_the_next(folder: Path, recorder: Recorder) -> None:
    told(folder, some_records(0))
    os.kill(recorder.pid, signal.SIGKILL)

    recorder.add(some_records(0)[0], KEY)

    assert recorder.receive() is None
    assert not recorder.finish(timeout_s=60.0)
    second = Recorder(folder)
    assert replies(second) == [Reconciled(added=1)]
    second.finish(60.0)


SCHEDULER = """
import sys, time
from pathlib import Path
from optimizer.study.recording import Recorder
recorder = Recorder(Path(sys.argv[1]))
recorder.receive()
print(recorder.pid, flush=True)
time.sleep(600)
"""


def test_it_dies_with_its_scheduler(folder: Path) -> None:
    scheduler = subprocess.Popen([sys.executable, "-c", SCHEDULER, str(folder)], stdout=subprocess.PIPE)
    assert scheduler.stdout is not None
    pid = int(scheduler.stdout.readline())
    scheduler.stdout.close()

    scheduler.kill()
    scheduler.wait()

    until(lambda: start_time(pid) is None)


# Damage.


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(p.name for p in folder.glob(pattern))


def said(replies: list[Reply]) -> str:
    return "\n".join(r.text for r in replies if isinstance(r, RecorderNotice))


@pytest.mark.parametrize("damage", ["garbage", "cut", "holes", "directory"])
def test_a_damaged_database_is_set_aside_and_made_anew_from_the_journal(
    folder: Path, damage: str,
) -> None:
    told(folder, some_records(*range(30)))
    first = Recorder(folder)
    replies(first)
    first.finish(60.0)
    for backup in (folder / "backups").iterdir():
        backup.unlink()
    path = folder / "optuna.db"
    content = path.read_bytes()
    if damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"garbage": b"no database at all", "cut": content[:20_000],
                          "holes": content[:8192] + b"\xff" * 16384 + content[24576:]}[damage])

    second = Recorder(folder)
    heard = replies(second)

    assert heard[-1] == Reconciled(added=30)
    (aside,) = names(folder, "optuna.db.corrupt-*")
    assert f"it is kept as {aside} and made anew" in said(heard)
    assert second.finish(60.0)
    assert len(trials_in(folder)) == 30


def test_what_the_journal_lacks_too_comes_from_the_newest_backup(folder: Path) -> None:
    first = Recorder(folder)
    replies(first)
    for record in some_records(0, 1, 2):
        first.add(record, KEY)
    assert first.finish(60.0)
    (backup,) = names(folder, "backups/*")
    (folder / "optuna.db").write_bytes(b"no database at all")

    second = Recorder(folder)
    heard = replies(second)

    assert [r.record.trial for r in heard if isinstance(r, Recovered)] == [f"cars/tree/{n}" for n in range(3)]
    assert f"optuna.db begins from backups/{backup}" in said(heard)
    second.finish(60.0)


def test_without_journal_and_backup_what_can_be_read_of_the_damaged_file_is_kept(folder: Path) -> None:
    first = Recorder(folder)
    replies(first)
    for record in some_records(*range(60)):
        first.add(record, KEY)
    assert first.finish(60.0)
    for backup in (folder / "backups").iterdir():
        backup.unlink()
    path = folder / "optuna.db"
    content = bytearray(path.read_bytes())
    content[-3 * 4096:] = b"\xff" * (3 * 4096)
    path.write_bytes(content)

    second = Recorder(folder)
    recovered = [r.record.trial for r in replies(second) if isinstance(r, Recovered)]

    assert second.finish(60.0)
    assert len(recovered) > 30
    assert sorted(recovered) == sorted(trials_in(folder))


@pytest.mark.parametrize("what", ["deleted", "directory", "another file"])
def test_a_database_that_is_taken_away_in_use_ends_it_and_the_next_start_makes_it_anew(
    folder: Path, what: str,
) -> None:
    told(folder, some_records(0, 1))
    first = Recorder(folder)
    replies(first)
    path = folder / "optuna.db"
    path.unlink()
    if what == "directory":
        path.mkdir()
    elif what == "another file":
        path.write_bytes(b"somebody's notes")

    first.add(some_records(2)[0], KEY)
    trouble = first.receive()
    assert isinstance(trouble, RecorderTrouble)
    assert "deleted or replaced while it was in use" in trouble.reason
    assert first.receive() is None
    second = first.restarted()
    replies(second)
    assert second.finish(60.0)

    assert sorted(trials_in(folder)) == ["cars/tree/0", "cars/tree/1", "cars/tree/2"]
    assert len(names(folder, "optuna.db.found-*")) == (what != "deleted")


def test_a_database_that_another_program_holds_is_waited_for(folder: Path, recorder: Recorder) -> None:
    holder = sqlite3.connect(folder / "optuna.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    recorder.add(some_records(0)[0], KEY)
    assert not recorder.connection.poll(1.0)
    holder.execute("ROLLBACK")
    holder.close()

    assert recorder.receive() == Added(trial="cars/tree/0")


def test_a_database_of_another_optuna_is_refused_and_left_alone(folder: Path) -> None:
    Database(folder / "optuna.db").close()
    connection = sqlite3.connect(folder / "optuna.db")
    connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
    connection.commit()
    connection.close()

    recorder = Recorder(folder)
    reply = recorder.receive()

    assert isinstance(reply, RecorderTrouble)
    assert reply.fatal
    assert "Or move the file away" in reply.reason
    assert recorder.receive() is None
    recorder.kill()
    assert not names(folder, "optuna.db.*")


def test_the_latest_two_backups_are_kept_and_each_is_a_database(folder: Path) -> None:
    for number in range(4):
        recorder = Recorder(folder)
        while not isinstance(recorder.receive(), Reconciled):
            pass
        recorder.add(some_records(number)[0], KEY)
        assert recorder.finish(60.0)

    backups = sorted((folder / "backups").iterdir())
    assert len(backups) == 2
    study = optuna.load_study(study_name="cars/tree", storage=f"sqlite:///{backups[-1]}")
    assert len(study.trials) == 4


def test_damage_that_sqlite_does_not_notice_is_found_at_the_end(folder: Path) -> None:
    told(folder, some_records(*range(30)))
    recorder = Recorder(folder)
    replies(recorder)
    with (folder / "optuna.db").open("r+b") as stream:
        stream.seek(16384)
        stream.write(b"garbage " * 8192)

    assert recorder.finish(60.0)

    assert len(trials_in(folder)) == 30
    assert names(folder, "optuna.db.corrupt-*")
