"""What the run and the machine use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from stubs.waiting import until

from optimizer.child import Child
from optimizer.gpus import GpuLoad
from optimizer.scheduler.monitor import Monitor, ProcessLoad, over_cap

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
    assert second.rss_mb > second.private_mb > 0


def test_a_process_that_is_gone_uses_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert Monitor(None).worker(child.pid, now=0.0) == ProcessLoad()


def test_two_looks_at_the_same_moment_do_not_divide_by_zero() -> None:
    monitor = Monitor(None)
    monitor.worker(os.getpid(), now=1.0)

    assert monitor.worker(os.getpid(), now=1.0).cpu == 0.0


def test_the_machine_tells_its_cores_and_memory() -> None:
    machine = Monitor(None).machine(gpus=2)

    assert machine.cores >= 1
    assert 0 < machine.memory_used_mb < machine.memory_mb
    assert machine.gpus == 2


def test_a_worker_is_over_its_cap_by_what_it_alone_holds() -> None:
    """Pages of the mapped table are shared by all workers, and count for none."""
    loads = {"cpu0": ProcessLoad(rss_mb=900.0, private_mb=90.0), "cpu1": ProcessLoad(rss_mb=200.0, private_mb=150.0)}

    assert over_cap(loads, {"cpu0": 100.0, "cpu1": 100.0}) == [("cpu1", 150.0)]


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
