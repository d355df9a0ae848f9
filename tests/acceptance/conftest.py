"""Fixtures of the outer ring."""

from __future__ import annotations

import os

import pytest

from optimizer.models.opencl import OpenCLDevice, OpenCLFault, list_devices


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
