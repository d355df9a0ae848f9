"""Stands in for a model library that takes its process with it, as a bug in C code does (``PYTHONPATH`` first)."""

from __future__ import annotations

import os
import signal
from typing import Any


class Pool:
    """Takes anything."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass


class CatBoost:
    """Dies at the first fit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def fit(self, *arguments: Any, **options: Any) -> None:
        """What a segmentation fault does."""
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
