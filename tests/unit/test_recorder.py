"""The recorder: a process of its own that brings journal and database together and keeps them so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
from optimizer.study.database import Database, StudyKey
from optimizer.study.recorder import Added, Reconciled, Recorder, RecorderTrouble, Recovered, Reply

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
from optimizer.study.recorder import Recorder
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


def test_a_file_that_is_no_database_ends_it_with_clear_words(folder: Path) -> None:
    (folder / "optuna.db").write_bytes(b"this is not a database, whatever it is called")

    recorder = Recorder(folder)

    assert recorder.receive() == RecorderTrouble(fatal=True, reason=(
        f"{folder / 'optuna.db'} is not an SQLite database; move it away, the journal can rebuild it"))
    assert recorder.receive() is None
    recorder.kill()
