"""What the run and the machine use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stubs.waiting import until

from optimizer.child import Child
from optimizer.gpus import GpuLoad
from optimizer.scheduler.monitor import Monitor, ProcessLoad

STUBS = Path(__file__).resolve().parent.parent / "stubs"


def test_the_cores_in_use_are_counted_between_two_looks() -> None:
    monitor = Monitor(None)
    first = monitor.worker(os.getpid(), now=100.0)
    busy = time.process_time() + 0.2
    while time.process_time() < busy:
        pass

    second = monitor.worker(os.getpid(), now=100.4)

    assert first.cpu == 0.0
    assert second.cpu >= 0.4  # 0.2 s of work in 0.4 s, as the counters have it
    assert second.rss_mb > monitor.private_mb(os.getpid()) > 0


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not count who waits for a core")
def test_seconds_in_which_others_have_its_core_are_counted() -> None:
    core = min(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", spin], start_new_session=True) for _ in range(2)]
    try:
        until(lambda: all(Monitor(None).worker(one.pid, now=0.0).waited_s > 0.3 for one in both))
    finally:
        for one in both:
            one.kill()
            one.wait()


def test_a_process_that_is_gone_uses_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert Monitor(None).worker(child.pid, now=0.0) == ProcessLoad()


def test_two_looks_at_the_same_moment_do_not_divide_by_zero() -> None:
    monitor = Monitor(None)
    monitor.worker(os.getpid(), now=1.0)

    assert monitor.worker(os.getpid(), now=1.0).cpu == 0.0


def test_a_worker_is_counted_with_what_it_started() -> None:
    script = ("import subprocess, sys\n"
              "held = b'x' * 2**25\n"
              "code = \"held = b'x' * 2**26; n = sum(range(3_000_000)); print(flush=True); input()\"\n"
              "child = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE)\n"
              "input()")
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              start_new_session=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    monitor = Monitor(None)
    alone = monitor.private_mb(parent.pid)

    load = monitor.worker(parent.pid, now=1.0)

    assert load.rss_mb >= 96
    assert 32 <= alone < 96
    assert monitor.private_mb(parent.pid) >= 96, "after a look the descendants are known"
    assert load.cpu_s > 0
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate()


def test_what_the_run_holds_beside_its_workers_is_all_below_it_but_they() -> None:
    script = "held = b'x' * 2**26; print(flush=True); input()"
    job, other = (subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                  for _ in range(2))
    for child in (job, other):
        assert child.stdout is not None
        child.stdout.readline()
    monitor = Monitor(None)
    whole = monitor.helpers_mb([])

    assert whole >= 128
    assert 60 <= whole - monitor.helpers_mb([job.pid, None]) <= 100
    for child in (job, other):
        child.kill()
        child.communicate()


def test_seconds_never_fall_when_a_part_of_the_tree_vanishes() -> None:
    """A daemon's child is nobody's: its seconds go with it, and the worker must not seem to go backwards."""
    script = ("import os, sys, time\n"
              "pid = os.fork()\n"
              "if not pid:\n"
              "    while True: pass\n"
              "print(pid, flush=True)\n"
              "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # nobody reaps, nobody counts
              "input()")
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              start_new_session=True)
    assert parent.stdout is not None
    busy = int(parent.stdout.readline())
    monitor = Monitor(None)
    until(lambda: monitor.worker(parent.pid, now=time.monotonic()).cpu_s >= 0.3)
    before = monitor.worker(parent.pid, now=time.monotonic()).cpu_s

    os.kill(busy, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{busy}").exists())
    after = monitor.worker(parent.pid, now=time.monotonic())

    assert after.cpu_s >= before
    assert after.cpu >= 0.0
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate()


def test_the_machine_tells_its_cores_and_memory() -> None:
    machine = Monitor(None).machine(gpus=2)

    assert machine.cores >= 1
    assert 0 < machine.memory_used_mb < machine.memory_mb
    assert machine.gpus == 2


def test_without_a_watcher_no_card_has_figures() -> None:
    assert Monitor(None).gpu("GPU-1") is None


def test_a_card_shows_the_latest_that_its_watcher_told(tmp_path: Path) -> None:
    told = {"gpus": [{"uuid": "GPU-1", "name": "Tensor 9000", "memory_mb": 1000, "load": 40, "used_mb": 300}]}
    child = Child("optimizer.gpus", ["--watch"], log=tmp_path / "log", environment={
        **os.environ, "PYTHONPATH": str(STUBS), "STUB_NVML": json.dumps(told)})
    monitor = Monitor(child)

    until(lambda: monitor.gpu("GPU-1"))

    assert monitor.gpu("GPU-1") == GpuLoad(uuid="GPU-1", load=0.4, memory_mb=300.0)
    assert monitor.gpu("GPU-2") is None
    monitor.close()


def test_each_kill_of_the_kernel_for_want_of_memory_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kills = 7
    monkeypatch.setattr("optimizer.scheduler.monitor._oom_kills", lambda: kills)
    monitor = Monitor(None)
    assert not monitor.oom_kill_was_new()

    kills += 2

    assert [monitor.oom_kill_was_new() for _ in range(3)] == [True, True, False]

    kills += 1
    for _ in range(2):
        monitor.look_at_oom_kills()
    assert not monitor.oom_kill_was_new(), "it was seconds ago"
