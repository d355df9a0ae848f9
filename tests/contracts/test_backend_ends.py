"""How workers end when all is not well: they hang, stand still, grow, lose their card, or cannot be killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.test_backends import CORES, Bench, folder
from stubs.makers import a_job
from stubs.waiting import until

from optimizer.backends import local
from optimizer.backends.base import WorkerLost
from optimizer.backends.local import LocalBackend
from optimizer.ending import HOPELESS_S
from optimizer.messages import Job, JobFailed, JobFinished, JobRevoked, JobStarted, RunJob
from optimizer.process import start_time
from optimizer.resources import Slot

STUBS = Path(__file__).resolve().parent.parent / "stubs"

__all__ = ["folder"]  # a fixture


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bench(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A local backend by that clock, whose workers know the unruly families."""
    monkeypatch.setenv("PYTHONPATH", f"{STUBS / 'unruly'}:{STUBS / 'planted'}")
    monkeypatch.setenv("STUB_SPAWNED", str(folder / "spawned"))
    backend = LocalBackend(folder=folder, families=(), clock=clock)
    yield Bench("local", backend, folder)
    backend.close()


def the_job(family: str, lease: int = 1, x: float = 0.5, **workload: object) -> Job:
    described = a_job(lease, table="t0", family=family, params={"x": x}, **workload)
    return Job(trial=f"cars/{family}/{lease}", attempt=1, lease=lease, workload=described.workload)


def loss(bench: Bench) -> WorkerLost:
    message = bench.wait_for("cpu0", WorkerLost)
    assert isinstance(message, WorkerLost)
    return message


def spawned(bench: Bench) -> list[int]:
    """Have the worker start a process and wait for ever; both numbers."""
    bench.backend.send("cpu0", RunJob(job=the_job("unruly_spawn")))
    told = bench.folder / "spawned"
    until(lambda: bench.backend.receive(0.01) is not None and told.exists())
    return [int(word) for word in told.read_text().split()]


# Ended from outside.


@pytest.mark.parametrize("in_c", ["", "yes"])
def test_a_worker_that_hangs_leaves_its_stacks_and_goes_with_all_that_it_started(
    bench: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch, in_c: str,
) -> None:
    monkeypatch.setenv("STUB_IN_C", in_c)
    bench.start()
    pids = spawned(bench)
    log = bench.folder / "logs" / "worker-cpu0.log"

    bench.backend.end("cpu0", "hung")
    until(lambda: "unruly_spawn.py" in log.read_text())
    assert "Current thread" in log.read_text()
    assert bench.backend.receive(0.0) == []
    assert start_time(pids[0]) is not None, "the stacks alone end nobody"

    clock.now += 1.0
    assert loss(bench) == WorkerLost(reason="hung")
    until(lambda: [start_time(pid) for pid in pids] == [None, None])
    assert bench.backend.pid("cpu0") is None


def test_a_worker_that_was_stopped_goes_at_the_last_step(bench: Bench, clock: Clock) -> None:
    pid = bench.start()
    os.kill(pid, signal.SIGSTOP)

    bench.backend.end("cpu0", "stood still")
    for seconds in (0.0, 1.0, 4.9):
        clock.now += seconds
        assert bench.backend.receive(0.0) == []
        assert start_time(pid) is not None
    clock.now += 0.1

    assert loss(bench) == WorkerLost(reason="stood still")
    assert start_time(pid) is None


def test_ending_never_waits_and_is_asked_for_once(bench: Bench, clock: Clock) -> None:
    pid = bench.start()
    os.kill(pid, signal.SIGSTOP)

    for _ in range(100):
        bench.backend.end("cpu0", "first reason")
    bench.backend.end("cpu1", "there is none")
    bench.backend.kill("cpu0", "second reason")

    assert loss(bench) == WorkerLost(reason="first reason")


def test_receiving_comes_back_in_time_for_the_next_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    bench.start()
    monkeypatch.setattr(bench.backend._selector, "select", lambda timeout: waited.append(timeout) or [])
    os.kill(bench.backend.pid("cpu0") or 0, signal.SIGSTOP)

    bench.backend.end("cpu0", "hung")
    bench.backend.receive(60.0)

    assert waited == [1.0]


# What cannot be killed.


def test_a_worker_that_cannot_be_killed_is_given_up_and_holds_nobody_up(
    bench: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process in uninterruptible sleep is made of one that seems not to end."""
    pid, other = bench.start("cpu0"), bench.start("cpu1", cores=CORES[-1:])
    really = local._has_ended
    monkeypatch.setattr(local, "_has_ended", lambda process: process.pid != pid and really(process))

    bench.backend.kill("cpu0", "hung")
    clock.now += HOPELESS_S - 1
    assert [m for s, m in bench.backend.receive(0.05) if s == "cpu0"] == []
    assert bench.answers("cpu1")
    clock.now += 1

    lost = loss(bench)
    assert lost == WorkerLost(reason=f"hung; process {pid} cannot be killed", abandoned=True)
    assert bench.backend.pid("cpu0") is None
    assert bench.answers("cpu1")

    # In the end its device answers.
    monkeypatch.setattr(local, "_has_ended", really)
    bench.backend.receive(0.0)
    assert start_time(pid) is None
    assert start_time(other) is not None


def test_closing_with_one_that_cannot_be_killed_ends_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.start()
    process = bench.backend._workers["cpu0"].process  # type: ignore[attr-defined]
    monkeypatch.setattr(local, "_has_ended", lambda process: False)
    monkeypatch.setattr(local, "_CLOSE_S", 0.1)

    bench.backend.close()

    assert bench.backend.pid("cpu0") is None
    process.wait()


# What cannot be started.


def test_a_worker_that_cannot_be_started_is_lost_after_a_pause_and_the_slot_can_be_tried_again(
    bench: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        bench.backend.start(Slot(name="cpu0", cores=CORES[:1], threads=1))
    assert bench.backend.receive(0.0) == []
    clock.now += 2.0

    lost = loss(bench)

    # Nothing was wrong with a worker, so it must not count among the deaths that close a slot.
    assert lost == WorkerLost(reason="could not be started: [Errno 11] Resource temporarily unavailable", orderly=True)
    bench.start()
    assert bench.answers()


# Ended by itself.


def test_a_worker_that_grows_leaves_between_two_jobs_and_hands_back_what_waits(bench: Bench) -> None:
    bench.start(memory_mb=800.0)
    lease = 0
    finished = 0
    while True:
        lease += 1
        bench.backend.send("cpu0", RunJob(job=the_job("unruly_leak", lease)))
        message = bench.wait_for("cpu0", JobFinished, JobFailed, JobRevoked, WorkerLost)
        if not isinstance(message, JobFinished):
            break
        finished += 1

    lost = message if isinstance(message, WorkerLost) else loss(bench)
    assert lost.orderly
    assert not lost.abandoned
    assert lost.reason.startswith("made room for a fresh one: holds ")
    assert 5 <= finished <= 12, "not before it is sure, and long before its cap"
    bench.start(memory_mb=800.0)
    assert bench.answers()


def test_an_error_of_the_card_is_told_and_ends_the_worker(bench: Bench) -> None:
    bench.start()
    bench.backend.send("cpu0", RunJob(job=the_job("unruly_card", 1, x=0.9, device="gpu")))
    bench.backend.send("cpu0", RunJob(job=the_job("unruly_card", 2, x=0.9, device="gpu")))

    failed = bench.wait_for("cpu0", JobFailed, WorkerLost)
    assert isinstance(failed, JobFailed)
    assert (failed.lease, failed.kind) == (1, "gpu_lost")
    assert loss(bench) == WorkerLost(reason="exit code 86, after an error of its GPU", orderly=True)


def test_a_full_card_is_told_and_the_worker_takes_the_next(bench: Bench) -> None:
    pid = bench.start()
    for lease, device, kind in ((1, "gpu", "gpu_out_of_memory"), (2, "cpu", "out_of_memory")):
        bench.backend.send("cpu0", RunJob(job=the_job("unruly_card", lease, x=0.1, device=device)))
        failed = bench.wait_for("cpu0", JobFailed, WorkerLost)
        assert isinstance(failed, JobFailed)
        assert failed.kind == kind

    assert bench.backend.pid("cpu0") == pid
    assert bench.answers()


# Ended with the scheduler.


def test_a_killed_guard_is_replaced(bench: Bench) -> None:
    bench.start()
    groups = bench.backend._groups  # type: ignore[attr-defined]
    first = groups.guard_pid

    os.kill(first, signal.SIGKILL)

    until(lambda: bench.backend.receive(0.0) is not None and groups.guard_pid not in (first, None))
    assert bench.answers()


def test_closing_leaves_no_guard(bench: Bench) -> None:
    bench.start()
    pid = bench.backend._groups.guard_pid  # type: ignore[attr-defined]
    assert start_time(pid) is not None

    bench.backend.close()

    assert start_time(pid) is None


def test_a_job_that_runs_is_no_reason_to_wait_at_the_close(bench: Bench) -> None:
    bench.start()
    bench.backend.send("cpu0", RunJob(job=the_job("unruly_spawn")))
    bench.wait_for("cpu0", JobStarted)

    bench.backend.close()

    assert bench.backend.pid("cpu0") is None
