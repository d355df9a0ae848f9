"""Starts a process and waits for ever, in Python or, with ``STUB_IN_C``, in C with the interpreter's lock held.

With ``STUB_HIDES`` what it starts has a session of its own, out of reach of the worker's process group.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planting import Constant, Planted

from optimizer.models.base import FitContext, FoldData


class Spawning(Planted):
    """See above."""

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """Never returns; writes both numbers into the file that ``STUB_SPAWNED`` names."""
        child = subprocess.Popen(["sleep", "600"], start_new_session=bool(os.environ.get("STUB_HIDES")))
        told = Path(os.environ["STUB_SPAWNED"])
        told.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
        told.with_suffix(".part").replace(told)
        while True:
            if os.environ.get("STUB_IN_C"):
                ctypes.PyDLL(None).sleep(10**6)
            else:
                time.sleep(10**6)


FAMILY = Spawning("unruly_spawn")
