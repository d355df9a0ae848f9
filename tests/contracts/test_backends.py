"""What every backend promises, asked of each one found in the folder; where workers are processes, of real ones."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import psutil
import pytest
from stubs.makers import a_job, a_summary, some_gpus
from stubs.waiting import LIMIT_S, until
from unit.tables import write_table

from optimizer.backends import backend_names, make_backend
from optimizer.backends.base import Backend, WorkerLost
from optimizer.errors import UserError
from optimizer.messages import (
    Event,
    Job,
    JobFailed,
    JobFinished,
    JobRevoked,
    JobStarted,
    RevokeJob,
    RunJob,
    SetShare,
    StepFinished,
    StopWorker,
    WorkerReady,
)
from optimizer.models import OWN, load_family
from optimizer.process import start_time
from optimizer.resources import THREAD_VARIABLES, Slot
from optimizer.store import Store

#: What does not apply to a backend, and why; everything else does.
DOES_NOT_APPLY = {
    ("inline", "processes"): "its worker is this very process, so there is none to pin, kill or outlive",
    ("inline", "stopping"): "it works inside `receive` only, so there is nothing to stop",
}
CORES = tuple(sorted(os.sched_getaffinity(0)))
FOLDS = 2


class Bench:
    """A backend under test, and all that was received from it."""

    def __init__(self, name: str, backend: Backend, folder: Path) -> None:
        self.name, self.backend, self.folder = name, backend, folder
        self.received: list[tuple[str, Event | WorkerLost]] = []

    def start(self, name: str = "cpu0", reach: tuple[int, ...] = (), **fields: object) -> int:
        """Start a worker, wait until it is ready, and return its process id."""
        given = {"cores": CORES[:1], "threads": 1, **fields}
        self.backend.start(Slot(name=name, **given), reach=reach)  # type: ignore[arg-type]
        self.wait_for(name, WorkerReady)
        pid = self.backend.pid(name)
        assert pid is not None
        return pid

    def wait_for(self, slot: str, *kinds: type) -> Event | WorkerLost:
        """Receive until one of these has come from the slot; return it."""
        seen = 0
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            for source, message in self.received[seen:]:
                seen += 1
                if source == slot and isinstance(message, kinds):
                    self.received = self.received[seen:]
                    return message
            self.received += self.backend.receive(0.1)
        raise AssertionError(f"none of {kinds} came from {slot}; received: {self.received}")

    def answers(self, slot: str = "cpu0", lease: int = 99) -> bool:
        """Whether the worker of a slot does what it is told: one that cannot find a table says so at once."""
        self.backend.send(slot, RunJob(job=the_job(lease, table="not there")))
        message = self.wait_for(slot, JobFailed, WorkerLost)
        return isinstance(message, JobFailed) and message.lease == lease

    def lost(self, slot: str = "cpu0") -> str:
        """Wait for the loss of a worker, and return its reason."""
        message = self.wait_for(slot, WorkerLost)
        assert isinstance(message, WorkerLost)
        return message.reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with an encoded table."""
    (tmp_path / "logs").mkdir()
    chance = np.random.default_rng(3)
    x = chance.normal(size=(60, 3))
    write_table(tmp_path, x, (x[:, 0] > 0).astype(float), task="binary", folds=FOLDS)
    return tmp_path


@pytest.fixture(params=backend_names())
def bench(request: pytest.FixtureRequest, folder: Path) -> Iterator[Bench]:
    """Each backend in turn; a test that is marked ``needs`` is left out where the table above says so."""
    name = request.param
    for mark in request.node.iter_markers("needs"):
        reason = DOES_NOT_APPLY.get((name, mark.args[0]))
        if reason:
            pytest.skip(f"{name}: {reason}")
    backend = make_backend(name, folder=folder, families=())
    yield Bench(name, backend, folder)
    backend.close()


@contextmanager
def loading(bench: Bench, family: str) -> Iterator[Bench]:
    """Another of the same kind, whose workers load a family's library."""
    backend = make_backend(bench.name, folder=bench.folder, families=(family,))
    try:
        yield Bench(bench.name, backend, bench.folder)
    finally:
        backend.close()


needs_processes = pytest.mark.needs("processes")


def the_job(lease: int = 1, number: int = 0, **workload: object) -> Job:
    """A job that takes a moment: the family's first start on the little table."""
    described = load_family("xgboost").describe(a_summary())
    params = {**described.space.complete(described.starts[0]), "iterations": 5}
    job = a_job(lease, **{"table": "t0", "params": params, **workload})
    return Job(trial=f"cars/xgboost/{number}", attempt=1, lease=lease, workload=job.workload)


def test_there_are_backends() -> None:
    assert {"local", "inline"} <= set(backend_names())
    assert {name for name, _ in DOES_NOT_APPLY} <= set(backend_names())


def test_a_wrong_name_is_answered_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no backend is called 'locl'; did you mean 'local'\?"):
        make_backend("locl", folder=tmp_path, families=())


# Work.


def test_a_started_worker_says_that_it_is_ready_in_its_slot(bench: Bench) -> None:
    bench.backend.start(Slot(name="cpu0", cores=CORES[-1:], threads=1))

    ready = bench.wait_for("cpu0", WorkerReady)

    assert isinstance(ready, WorkerReady)
    assert (ready.pid, ready.cores, ready.threads) == (bench.backend.pid("cpu0"), CORES[-1:], 1)


def test_a_job_is_told_step_by_step_and_its_predictions_are_on_the_disk(bench: Bench) -> None:
    bench.start()

    bench.backend.send("cpu0", RunJob(job=the_job(lease=7)))

    assert bench.wait_for("cpu0", JobStarted, JobFailed) == JobStarted(lease=7, steps=FOLDS)
    steps = [bench.wait_for("cpu0", StepFinished, JobFailed) for _ in range(FOLDS)]
    assert [(s.lease, s.step) for s in steps if isinstance(s, StepFinished)] == [(7, 0), (7, 1)]
    finished = bench.wait_for("cpu0", JobFinished, JobFailed)
    assert isinstance(finished, JobFinished)
    assert (finished.lease, finished.outcome, len(finished.fold_scores)) == (7, "complete", FOLDS)
    Store(bench.folder).read_predictions("cars/xgboost/0", 1, sha256=finished.predictions_sha256)


def test_a_job_that_fails_is_an_event_and_the_worker_takes_the_next(bench: Bench) -> None:
    bench.start()
    failing: list[tuple[dict[str, object], str]] = [
        ({"metric": "nonsense"}, "error"), ({"table": "not there"}, "storage"), ({"params": {}}, "error"),
        ({"device": "gpu", "device_required": True}, "wrong_device"),
    ]

    for lease, (workload, kind) in enumerate(failing):
        bench.backend.send("cpu0", RunJob(job=the_job(lease=lease, **workload)))
        failed = bench.wait_for("cpu0", JobFailed, JobFinished)
        assert isinstance(failed, JobFailed)
        assert (failed.lease, failed.kind) == (lease, kind)
        assert "\n" not in failed.reason
        assert failed.reason[:40] in failed.traceback

    bench.backend.send("cpu0", RunJob(job=the_job(lease=9)))
    assert isinstance(bench.wait_for("cpu0", JobFinished, JobFailed), JobFinished)


def test_a_job_that_has_not_started_is_handed_back(bench: Bench) -> None:
    bench.start()
    for lease in (1, 2):
        bench.backend.send("cpu0", RunJob(job=the_job(lease=lease, number=lease)))

    bench.backend.send("cpu0", RevokeJob(lease=2))

    assert bench.wait_for("cpu0", JobRevoked) == JobRevoked(lease=2)
    assert isinstance(bench.wait_for("cpu0", JobFinished, JobStarted), JobStarted | JobFinished)


def test_revoking_a_job_that_is_done_says_nothing(bench: Bench) -> None:
    bench.start()
    assert bench.answers(lease=1)

    bench.backend.send("cpu0", RevokeJob(lease=1))
    bench.backend.send("cpu0", RunJob(job=the_job(lease=2, table="not there")))

    assert isinstance(bench.wait_for("cpu0", JobRevoked, JobFailed), JobFailed)


# Waiting.


def test_receiving_ends_as_soon_as_something_else_is_ready(bench: Bench) -> None:
    ours, theirs = Pipe()
    bench.start()
    theirs.send_bytes(b"x")
    begun = time.monotonic()

    assert bench.backend.receive(LIMIT_S, [ours]) == []

    assert time.monotonic() - begun < LIMIT_S
    ours.close()
    theirs.close()


def test_what_is_sent_to_a_slot_without_worker_is_lost_and_no_error(bench: Bench) -> None:
    bench.backend.send("cpu0", StopWorker())
    bench.backend.kill("cpu0", "no reason")

    assert bench.backend.receive(0.0) == []
    assert bench.backend.pid("cpu0") is None


# Ends.


def test_a_killed_worker_is_lost_for_the_reason_that_was_given(bench: Bench) -> None:
    bench.start()

    bench.backend.kill("cpu0", "out of memory")

    assert bench.lost() == "out of memory"
    assert bench.backend.pid("cpu0") is None


def test_after_its_loss_nothing_more_comes_until_the_slot_is_started_again(bench: Bench) -> None:
    bench.start()
    bench.backend.send("cpu0", RunJob(job=the_job(lease=1)))
    bench.backend.kill("cpu0", "told to")
    bench.lost()

    assert [bench.backend.receive(0.01) for _ in range(5)] == [[]] * 5
    bench.start()
    assert bench.answers(lease=2)


def test_two_slots_do_not_disturb_each_other(bench: Bench) -> None:
    bench.start("cpu0")
    bench.start("cpu1", cores=CORES[-1:])

    bench.backend.kill("cpu0", "told to")

    assert bench.lost("cpu0") == "told to"
    assert bench.answers("cpu1")


@pytest.mark.needs("stopping")
def test_a_worker_that_is_told_to_stop_ends_well_and_hands_back_what_waits(bench: Bench) -> None:
    bench.start()
    for lease in (1, 2):
        bench.backend.send("cpu0", RunJob(job=the_job(lease=lease, number=lease)))
    bench.wait_for("cpu0", JobStarted)

    bench.backend.send("cpu0", StopWorker())

    assert bench.wait_for("cpu0", JobRevoked, WorkerLost) == JobRevoked(lease=2)
    assert isinstance(bench.wait_for("cpu0", JobFinished, WorkerLost), JobFinished)
    assert bench.lost() == "exit code 0"


# What a worker's process is given.


def status_of(pid: int, field: str) -> set[str]:
    """A field of ``/proc/<pid>/task/*/status``, over all threads."""
    return {line.split(":")[1].strip() for task in Path(f"/proc/{pid}/task").iterdir()
            for line in (task / "status").read_text().splitlines() if line.startswith(f"{field}:")}


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def computed(pid: int) -> dict[int, float]:
    """CPU seconds of each thread of a process so far."""
    return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}


@needs_processes
def test_every_thread_of_a_worker_is_on_the_cores_of_its_slot(bench: Bench) -> None:
    pid = bench.start(cores=CORES[-1:])
    bench.backend.send("cpu0", RunJob(job=the_job()))
    bench.wait_for("cpu0", JobFinished, JobFailed)

    assert status_of(pid, "Cpus_allowed_list") == {str(CORES[-1])}


@needs_processes
@pytest.mark.skipif(len(CORES) < 2, reason="there is one core only")
def test_libraries_are_loaded_on_every_core_that_a_worker_may_be_given_and_it_begins_on_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking = bench.folder / "looking.py"
    looking.write_text("import os, pathlib\n"
                       "pathlib.Path(__file__).with_suffix('.json').write_text(str(sorted(os.sched_getaffinity(0))))\n")
    monkeypatch.setenv(OWN, json.dumps({"looking": str(looking)}))
    with loading(bench, "looking") as own:
        own.backend.start(Slot(name="cpu0", cores=CORES[:1], threads=1), reach=CORES[:2])
        ready = own.wait_for("cpu0", WorkerReady)
        pid = own.backend.pid("cpu0")

        assert isinstance(ready, WorkerReady)
        assert json.loads(looking.with_suffix(".json").read_text()) == list(CORES[:2])
        assert ready.cores == CORES[:1]
        assert pid is not None
        assert status_of(pid, "Cpus_allowed_list") == {str(CORES[0])}


@needs_processes
@pytest.mark.skipif(len(CORES) < 2, reason="there is one core only")
def test_a_worker_moves_to_other_cores_with_every_thread_from_its_next_fold_on(bench: Bench) -> None:
    pid = bench.start(cores=CORES[:1])
    bench.backend.send("cpu0", RunJob(job=the_job(lease=1)))
    step = bench.wait_for("cpu0", StepFinished, JobFailed)
    assert isinstance(step, StepFinished)
    assert step.threads == 1
    bench.wait_for("cpu0", JobFinished, JobFailed)

    bench.backend.send("cpu0", SetShare(cores=CORES[:2], threads=2))
    bench.backend.send("cpu0", RunJob(job=the_job(lease=2)))
    step = bench.wait_for("cpu0", StepFinished, JobFailed)

    assert isinstance(step, StepFinished)
    assert step.threads == 2
    bench.wait_for("cpu0", JobFinished, JobFailed)
    assert status_of(pid, "Cpus_allowed_list") in ({f"{CORES[0]}-{CORES[1]}"}, {f"{CORES[0]},{CORES[1]}"})


@needs_processes
@pytest.mark.whole_machine
@pytest.mark.skipif(len(CORES) < 2, reason="there is one core only")
@pytest.mark.parametrize("boosting", ["catboost", "lightgbm", "xgboost"])
def test_on_cores_that_a_worker_was_given_a_fit_computes_with_as_many_threads(bench: Bench, boosting: str) -> None:
    chance = np.random.default_rng(3)
    x = chance.normal(size=(20_000, 10))
    write_table(bench.folder, x, (x[:, 0] > 0).astype(float), task="binary", folds=FOLDS, fingerprint="large")
    described = load_family(boosting).describe(a_summary())
    params = {**described.space.complete(described.starts[0]), "iterations": 150}
    with loading(bench, boosting) as own:
        pid = own.start(reach=CORES[:2])

        def computes_on_two(lease: int) -> bool:
            before = computed(pid)
            own.backend.send("cpu0", RunJob(job=the_job(lease, table="large", family=boosting, params=params)))
            assert isinstance(own.wait_for("cpu0", JobFinished, JobFailed), JobFinished)
            most, *others = sorted((s - before.get(thread, 0.0) for thread, s in computed(pid).items()), reverse=True)
            return sum(others) > 0.3 * most

        assert not computes_on_two(1)
        own.backend.send("cpu0", SetShare(cores=CORES[:2], threads=2))
        # While others have a core, the first thread does what the second does not come to.
        assert any(computes_on_two(lease) for lease in range(2, 22))


@needs_processes
@pytest.mark.skipif(len(CORES) < 2, reason="there is one core only")
def test_a_worker_that_got_other_cores_for_one_fold_is_back_on_its_own_for_the_next(bench: Bench) -> None:
    pid = bench.start(cores=CORES[:1])

    bench.backend.send("cpu0", SetShare(cores=CORES[:2], threads=2, once=True))
    bench.backend.send("cpu0", RunJob(job=the_job(lease=1)))
    steps = [bench.wait_for("cpu0", StepFinished, JobFailed) for _ in range(FOLDS)]

    assert [step.threads for step in steps if isinstance(step, StepFinished)] == [2, *[1] * (FOLDS - 1)]
    bench.wait_for("cpu0", JobFinished, JobFailed)
    assert status_of(pid, "Cpus_allowed_list") == {str(CORES[0])}


@needs_processes
def test_a_worker_is_told_its_threads_and_its_card_before_it_loads_anything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")

    cpu = environment_of(bench.start("cpu0"))
    gpu = environment_of(bench.start("gpu0", gpu=some_gpus(1)[0]))

    assert {cpu[name] for name in THREAD_VARIABLES} == {"1"}
    assert cpu["CUDA_VISIBLE_DEVICES"] == ""
    assert (gpu["CUDA_VISIBLE_DEVICES"], gpu["CUDA_DEVICE_ORDER"]) == ("GPU-00000000", "PCI_BUS_ID")


def test_the_numerical_libraries_of_a_worker_have_the_threads_of_its_slot(folder: Path) -> None:
    backend = make_backend("local", folder=folder, families=("xgboost",))
    bench = Bench("local", backend, folder)
    backend.start(Slot(name="cpu0", cores=CORES[:1], threads=1))

    ready = bench.wait_for("cpu0", WorkerReady, WorkerLost)

    assert isinstance(ready, WorkerReady)
    assert ready.pools
    assert set(ready.pools.values()) == {1}
    assert "xgboost" in ready.versions
    backend.close()


@needs_processes
def test_a_worker_inherits_its_own_channel_and_no_other(bench: Bench) -> None:
    bench.start("cpu0")
    pid = bench.start("cpu1")

    descriptors = {int(entry.name): os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}

    assert len([target for target in descriptors.values() if target.startswith("socket:")]) == 1
    assert descriptors[0] == os.devnull
    assert descriptors[1] == descriptors[2] == str(bench.folder / "logs" / "worker-cpu1.log")


@needs_processes
def test_the_kernel_would_rather_end_a_worker_than_the_scheduler(bench: Bench) -> None:
    pid = bench.start()

    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == max(500, ours)


@needs_processes
def test_the_terminals_signals_do_not_reach_a_worker(bench: Bench) -> None:
    pid = bench.start()

    os.kill(pid, signal.SIGINT)

    assert os.getsid(pid) == pid
    assert bench.answers()


# Deaths.


@needs_processes
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_a_worker_that_a_signal_ended_is_lost_with_the_signals_name(bench: Bench, number: signal.Signals) -> None:
    pid = bench.start("cpu0")
    other = bench.start("cpu1")

    os.kill(pid, number)

    assert bench.lost("cpu0") == f"killed by {number.name}"
    assert start_time(pid) is None
    assert start_time(other) is not None
    assert not [message for slot, message in bench.received if slot == "cpu1"]


@needs_processes
def test_a_worker_that_a_library_aborted_is_lost_with_what_that_worker_wrote(bench: Bench) -> None:
    said = "terminate called after throwing an instance of 'std::bad_alloc'"
    lost = []
    for words in (f"{said}\n", ""):
        pid = bench.start()
        with (bench.folder / "logs" / "worker-cpu0.log").open("a") as log:
            log.write(words)
        os.kill(pid, signal.SIGABRT)
        lost.append(bench.wait_for("cpu0", WorkerLost))

    assert lost == [WorkerLost(reason="killed by SIGABRT", words=said), WorkerLost(reason="killed by SIGABRT")]


@needs_processes
def test_a_signal_without_a_name_is_told_by_its_number(bench: Bench) -> None:
    os.kill(bench.start(), signal.SIGRTMIN + 3)

    assert bench.lost() == f"killed by signal {signal.SIGRTMIN + 3}"


@needs_processes
def test_a_worker_killed_in_the_middle_of_a_job_is_lost_and_its_slot_can_be_used_again(bench: Bench) -> None:
    pid = bench.start()
    bench.backend.send("cpu0", RunJob(job=the_job(lease=1)))
    bench.wait_for("cpu0", JobStarted)

    os.kill(pid, signal.SIGKILL)

    assert bench.lost() == "killed by SIGKILL"
    assert bench.start() != pid


def test_a_worker_that_cannot_load_a_library_is_lost_with_its_exit_code_and_the_log_says_why(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/tempfile.py").write_text("raise RuntimeError('a broken installation')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    backend = make_backend("local", folder=folder, families=("xgboost",))
    backend.start(Slot(name="cpu0", cores=CORES[:1], threads=1))

    assert Bench("local", backend, folder).lost() == "exit code 1"

    assert "a broken installation" in (folder / "logs" / "worker-cpu0.log").read_text()
    backend.close()


@pytest.fixture
def as_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a script take the place of the interpreter that workers are started with."""
    def set_script(text: str) -> None:
        script = tmp_path / "interpreter"
        script.write_text(text)
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return set_script


@needs_processes
@pytest.mark.parametrize("end", ["signal", "kill", "close"])
def test_what_a_dead_worker_has_started_is_gone_too(
    bench: Bench, as_worker: Callable[[str], None], end: str,
) -> None:
    """The grandchild holds the worker's end of the channel open, so that no end-of-file tells of the death."""
    grandchild = bench.folder / "grandchild"
    as_worker(f'#!/bin/sh\nsleep 600 &\necho $! > "{grandchild}"\nexec "{sys.executable}" "$@"\n')
    pid = bench.start()
    left = int(grandchild.read_text())
    assert start_time(left) is not None

    if end == "signal":
        os.kill(pid, signal.SIGKILL)
        assert bench.lost() == "killed by SIGKILL"
    elif end == "kill":
        bench.backend.kill("cpu0", "told to")
        assert bench.lost() == "told to"
    else:
        bench.backend.close(grace_s=LIMIT_S)

    until(lambda: start_time(left) is None)


GARBAGE = {
    "text": ('b"Traceback (most recent call last):"', r"sent bytes that are no message \(a frame of more than"),
    "a frame of text": ('struct.pack("!i", 5) + b"hello"', r"sent bytes that are no message \(not a message of ours"),
    "half a frame": ('struct.pack("!i", 500) + b"hello"', r"exit code 3"),
}


@needs_processes
@pytest.mark.parametrize("what", GARBAGE)
def test_a_worker_that_sends_garbage_is_lost_and_the_other_works_on(
    bench: Bench, as_worker: Callable[[str], None], what: str,
) -> None:
    data, reason = GARBAGE[what]
    bench.start("cpu1", cores=CORES[-1:])
    after = "sys.exit(3)" if what == "half a frame" else "time.sleep(600)"
    as_worker(f"#!{sys.executable}\nimport json, os, struct, sys, time\n"
              f'os.write(json.loads(sys.argv[-1])["descriptor"], {data})\n{after}\n')
    bench.backend.start(Slot(name="cpu0", cores=CORES[:1], threads=1))
    pid = bench.backend.pid("cpu0")

    assert re.match(reason, bench.lost("cpu0"))
    assert pid is not None
    assert start_time(pid) is None
    assert bench.answers("cpu1")


@needs_processes
def test_a_worker_that_stands_still_keeps_nobody_waiting(bench: Bench) -> None:
    still = bench.start("cpu0")
    bench.start("cpu1", cores=CORES[-1:])
    os.kill(still, signal.SIGSTOP)

    bench.backend.send("cpu0", RunJob(job=the_job(lease=1)))
    assert bench.answers("cpu1")
    bench.backend.kill("cpu0", "stood still")
    assert bench.lost("cpu0") == "stood still"


# Nothing outlives us.


@needs_processes
@pytest.mark.parametrize("grace_s", [0.0, 30.0])
def test_closing_leaves_no_process(bench: Bench, grace_s: float) -> None:
    pids = [bench.start(f"cpu{number}") for number in range(3)]

    bench.backend.close(grace_s)

    assert [start_time(pid) for pid in pids] == [None, None, None]
    assert bench.backend.pid("cpu0") is None


SCHEDULER = """
import sys, time
from pathlib import Path
from optimizer.backends import make_backend
from optimizer.messages import WorkerReady
from optimizer.resources import Slot
backend = make_backend(sys.argv[1], folder=Path(sys.argv[2]), families=())
for name in ("cpu0", "cpu1"):
    backend.start(Slot(name=name, cores=(int(sys.argv[3]),), threads=1))
ready = 0
while ready < 2:
    ready += sum(isinstance(message, WorkerReady) for _, message in backend.receive(1.0))
print(backend.pid("cpu0"), backend.pid("cpu1"), flush=True)
time.sleep(600)
"""


@needs_processes
@pytest.mark.parametrize("standing_still", [False, True])
def test_workers_end_with_a_scheduler_that_is_killed(bench: Bench, standing_still: bool) -> None:
    scheduler = subprocess.Popen([sys.executable, "-c", SCHEDULER, bench.name, str(bench.folder), str(CORES[0])],
                                 stdout=subprocess.PIPE)
    assert scheduler.stdout is not None
    pids = [int(pid) for pid in scheduler.stdout.readline().split()]
    scheduler.stdout.close()
    if standing_still:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    scheduler.kill()
    scheduler.wait()

    until(lambda: [start_time(pid) for pid in pids] == [None, None])
