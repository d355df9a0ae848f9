"""What a worker says of a job that failed; how it lives and dies is in the contract of backends."""

from __future__ import annotations

import pytest
from stubs.makers import a_job

from optimizer import messages
from optimizer.errors import NotFiniteFault, StorageFault, WrongDeviceFault
from optimizer.messages import MAX_BYTES, JobFailed
from optimizer.worker import failed


def failure_of(error: Exception) -> JobFailed:
    """As a worker makes it: raised, caught, told."""
    try:
        raise error
    except Exception as caught:
        return failed(a_job(lease=4), caught, 1.5)


@pytest.mark.parametrize(("error", "kind"), [
    (WrongDeviceFault("on the CPU"), "wrong_device"),
    (NotFiniteFault("nan"), "not_finite"),
    (MemoryError("too large"), "out_of_memory"),
    (StorageFault("no table"), "storage"),
    (ZeroDivisionError("by zero"), "error"),
])
def test_a_failure_is_told_by_its_kind(error: Exception, kind: str) -> None:
    failure = failure_of(error)

    assert (failure.lease, failure.kind, failure.seconds) == (4, kind, 1.5)
    assert failure.reason == f"{type(error).__name__}: {error}"
    assert "test_worker.py" in failure.traceback


def test_the_reason_is_one_line_however_long_the_error_is() -> None:
    failure = failure_of(ValueError("x" * 10_000 + "\nand more"))

    assert failure.reason.startswith("ValueError: xxx")
    assert len(failure.reason) == 500


@pytest.mark.parametrize("text", ["\x00" * 100_000, "\U0001f600" * 100_000, '"' * 100_000, ""])
def test_a_failure_always_fits_into_a_message(text: str) -> None:
    assert len(messages.encode(failure_of(ValueError(text)))) <= MAX_BYTES
