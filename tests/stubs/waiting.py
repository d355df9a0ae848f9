"""Waiting for what another process will do: the limit ends a test that would hang, and judges no speed."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 60.0


def until(happened: Callable[[], object]) -> None:
    """Return as soon as it is true; fail if it does not become so."""
    end = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < end, f"did not happen within {LIMIT_S:.0f} s"
        time.sleep(0.01)
