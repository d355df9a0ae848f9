"""Fixtures of the outer ring."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer.models.opencl import OpenCLDevice, OpenCLFault, list_devices
from tests.acceptance.studies import STARTED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own: no run knows what another has measured."""
    # Kernels stay where they are, for compiling them anew takes half a minute.
    monkeypatch.setenv("POCL_CACHE_DIR", os.environ.get("POCL_CACHE_DIR") or str(Path.home() / ".cache/pocl/kcache"))
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """A test that fails half way leaves no run behind to disturb those after it."""
    yield
    while STARTED:
        run = STARTED.pop()
        if run.process.poll() is None:
            run.kill()


@pytest.fixture(scope="session", autouse=True)
def _cores_of_its_own() -> None:
    """Where tests run side by side, each process of theirs with its runs has its share of the cores, one at least."""
    count, name = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    cores = sorted(os.sched_getaffinity(0))
    if count > 1:
        os.sched_setaffinity(0, cores[int(name.removeprefix("gw")) % len(cores)::count])


@pytest.fixture(scope="session")
def pocl() -> OpenCLDevice:
    """The CPU as an OpenCL device; skipped without it, and failed for it on CI."""
    try:
        devices = [d for d in list_devices() if not d.is_gpu]
    except OpenCLFault:
        devices = []
    if not devices:
        message = "OpenCL offers no CPU; install pocl-opencl-icd"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return devices[0]
