"""The scheduler's loop, without processes: what it says of its recorder, when it ends, how it spares a disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from stubs.backends import QuietBackend

from optimizer.config.resolved import ResourceLimits, Study
from optimizer.datasets.problem import Problem
from optimizer.gpus import GpuReport
from optimizer.journal import Journal, read
from optimizer.resources import Slot
from optimizer.scheduler import loop
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.loop import DEADLINE, Plan, Scheduler
from optimizer.scheduler.monitor import Monitor
from optimizer.scheduler.past import Past
from optimizer.scheduler.signals import Signals
from optimizer.standstill import Standstill
from optimizer.store import Store
from optimizer.study.recording import Added, RecorderNotice, RecorderTrouble, Reply

LOCKED = RecorderTrouble(reason="optuna.db: database is locked")


class Recorder:
    """Says what it is told to say, one reply after the other; ``None`` is its death."""

    def __init__(self, *replies: Reply | None) -> None:
        self.connection, self._theirs = Pipe()
        self._replies = list(replies)
        self.lag = 0
        self.restarts = 0
        for _ in replies:
            self._theirs.send_bytes(b"x")

    def receive(self) -> Reply | None:
        self.connection.recv_bytes()
        return self._replies.pop(0)

    def restarted(self) -> Recorder:
        self.restarts += 1
        self.connection.close()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def close(self) -> None:
        """Both ends."""
        self.connection.close()
        self._theirs.close()


class Reading:
    """A preparation that reads for so many looks and then has nothing."""

    def __init__(self, looks: int) -> None:
        self.left = looks
        self.reading: frozenset[str] = frozenset()
        #: Whether each look might have begun a dataset.
        self.might_start: list[bool] = []

    def waitables(self) -> list[Any]:
        return []

    def pids(self) -> dict[str, int]:
        return {}

    def advance(self, *, start: bool = True) -> list[Any]:
        self.might_start.append(start)
        self.left -= 1
        return []

    def close(self) -> None:
        """Nothing is under way."""


Make = Callable[..., Scheduler]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a scheduler, and closes what it holds."""
    with contextlib.ExitStack() as held:
        yield lambda recorder, **options: a_scheduler(tmp_path, held, recorder, **options)


def a_scheduler(
    folder: Path, held: contextlib.ExitStack, recorder: Recorder, *, looks: int = 5, deadline: float | None = None,
) -> Scheduler:
    """A scheduler of one slot and one dataset that is never ready."""
    (folder / "logs").mkdir()
    journal, signals = Journal(folder / "journal.jsonl", time.time), Signals()
    for one in (journal, signals, recorder):
        held.callback(one.close)
    limits = ResourceLimits(gpus="none", cores="100%", memory_limit="90%", threads_per_slot=None, disk_limit="50%",
                            fold_time_limit_s=None, trial_time_limit_s=None)
    study = Study(name="s", path=folder / "s.toml", datasets=(Problem(name="cars", train=str(folder / "cars.csv")),),
                  time_per_dataset_s=600.0, trials=None, deadline=None, folds=2, repeats=1, seed=42, families=(),
                  sampler="random", pruner="none", resources=limits)
    events = EventLog(journal, folder / "run.log", lambda record: None)
    now = time.time()
    plan = Plan(study=study, folder=folder, slots=(Slot(name="cpu0", cores=(0,), threads=1, memory_mb=1000.0),),
                cores=(0,), gpus=GpuReport(), opencl={}, memory_mb=1000.0, whole_memory_mb=2000.0, first_started=now,
                started=now, started_boot=time.clock_gettime(time.CLOCK_BOOTTIME),
                deadline=None if deadline is None else now + deadline)
    book = Book(study, kinds={}, gpu_required=frozenset(), slots=1, events=events, store=Store(folder), past=Past())
    return Scheduler(plan, backend=QuietBackend(), book=book, events=events, recorder=recorder,  # type: ignore[arg-type]
                     preparation=Reading(looks), monitor=Monitor(None), signals=signals, past=Past(),  # type: ignore[arg-type]
                     standstill=Standstill.of([slot.name for slot in plan.slots]))


def notices(folder: Path) -> list[str]:
    return [r["text"] for r in read(folder / "journal.jsonl") if r["event"] == "notice"]


def test_a_database_that_cannot_be_written_is_told_of_once_and_again_when_it_is_well(
    make: Make, tmp_path: Path,
) -> None:
    scheduler = make(Recorder(LOCKED, LOCKED, LOCKED, Added(trial="cars/tree/0")))

    scheduler.run()

    bad, good = [text for text in notices(tmp_path) if "optuna.db" in text]
    assert "the run goes on (optuna.db: database is locked)" in bad
    assert good == "optuna.db is written again"


def test_what_the_recorder_found_while_the_run_goes_on_is_passed_on(make: Make, tmp_path: Path) -> None:
    scheduler = make(Recorder(RecorderNotice(text="optuna.db was damaged; it is kept as x")))

    scheduler.run()

    assert "optuna.db was damaged; it is kept as x" in notices(tmp_path)


def test_a_recorder_that_dies_and_cannot_be_started_again_does_not_end_the_run(make: Make, tmp_path: Path) -> None:
    recorder = Recorder(None)
    scheduler = make(recorder, looks=20)

    assert scheduler.run() == "no dataset could be used"

    assert recorder.restarts == 1, "not in every turn of the loop"
    assert any("is gone and is started again" in text for text in notices(tmp_path))


def test_a_deadline_given_as_a_duration_does_not_follow_a_clock_that_is_set(
    make: Make, monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = make(Recorder(), looks=10_000, deadline=0.2)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)

    assert scheduler.run() == DEADLINE


def test_a_deadline_counts_the_time_that_the_machine_slept(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = make(Recorder(), looks=10_000, deadline=3600.0)
    real = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: real(clock) + (
        3601.0 if clock == time.CLOCK_BOOTTIME else 0.0))

    assert scheduler.run() == DEADLINE


def test_jobs_start_again_when_the_disk_takes_a_file_of_our_own(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = make(Recorder())
    (tmp_path / "predictions").mkdir()
    scheduler._disk_rest.refused("OSError: Disk quota exceeded", time.monotonic())
    assert "could not be written (OSError: Disk quota exceeded)" in scheduler._storage_trouble()

    with monkeypatch.context() as full:
        full.setattr("optimizer.store._refusal", lambda folder, size: OSError(122, "Disk quota exceeded"))
        scheduler._disk_rest.until = 0.0
        assert "Disk quota exceeded" in scheduler._storage_trouble()
    scheduler._disk_rest.until = 0.0
    assert scheduler._storage_trouble() == ""
    assert not list((tmp_path / "predictions").iterdir())


def test_what_still_keeps_jobs_from_starting_is_said_when_the_journal_is_well_again(make: Make, tmp_path: Path) -> None:
    scheduler = make(Recorder())
    scheduler._events.trouble = "journal.jsonl: the disk is full"
    scheduler._hold_back(scheduler._events.trouble)
    assert notices(tmp_path) == [], "of its own trouble the journal speaks itself"

    scheduler._events.trouble = ""
    for reason in ("paused", "paused", "the disk is nearly full", ""):
        scheduler._hold_back(reason)

    assert notices(tmp_path) == ["no job is started: paused", "jobs are started again"]


def test_that_jobs_start_again_is_said_after_the_journals_own_trouble_too(make: Make, tmp_path: Path) -> None:
    scheduler = make(Recorder())
    scheduler._events.trouble = "journal.jsonl: the disk is full"
    scheduler._hold_back(scheduler._events.trouble)
    scheduler._events.trouble = ""
    scheduler._hold_back("")

    assert notices(tmp_path) == ["jobs are started again"]


def test_while_nothing_may_start_no_dataset_is_begun(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = make(Recorder())
    monkeypatch.setattr(loop, "free_bytes", lambda folder: 1000)

    scheduler.run()

    assert not any(scheduler._preparation.might_start)  # type: ignore[attr-defined]
    assert any("no job is started" in text for text in notices(tmp_path))
