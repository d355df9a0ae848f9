"""Keeps what libraries print from filling the disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

#: A log longer than this is cut, in bytes.
CAP_BYTES = 16 * 2**20
#: What is kept of it, in bytes.
KEEP_BYTES = 2**20
_BLOCK = 2**20
#: Logs that other processes write; the run's own are kept whole.
_PATTERNS = ("worker-*.log", "preparation.log", "recorder.log", "gpus.log", "guard.log",
             "governor.log", "publisher.log")


def trim_logs(folder: Path, keep_bytes: int = KEEP_BYTES, cap_bytes: int = CAP_BYTES) -> int:
    """Cut every log of the run's children that has grown too long; returns the bytes that were cut away.

    While the logs are small this reads one folder and asks for the sizes, and opens no file.
    """
    return sum(trim_log(path, keep_bytes, cap_bytes) for pattern in _PATTERNS for path in folder.glob(pattern))


def try_to_trim_logs(folder: Path, say: Callable[[str], object]) -> None:
    """The same, where a log that cannot be cut now is no reason to stop."""
    try:
        trim_logs(folder)
    except OSError as error:
        say(f"a log cannot be cut: {error}")


def trim_log(path: Path, keep_bytes: int, cap_bytes: int) -> int:
    """Move the end of a log that is longer than ``cap_bytes`` to ``<name>.1`` and empty it; returns the bytes cut away.

    Who writes it has it open for appending, and so goes on at the new end. What is written between the copy and the
    cut is lost, which is a fraction of a second of something that nobody reads in full.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    if size <= cap_bytes:
        return 0
    kept = 0
    try:
        kept = _copy_end(path, path.with_name(f"{path.name}.1"), size, keep_bytes)
    finally:
        # Also where there is no room for the copy: then this is what makes room.
        os.truncate(path, 0)
    return size - kept


def _copy_end(path: Path, to: Path, size: int, keep_bytes: int) -> int:
    beside = to.with_name(f"{to.name}.part")
    start = size - min(keep_bytes, size)
    left = size - start
    try:
        with path.open("rb") as source, beside.open("wb") as target:
            target.write(f"[{start} bytes before this were cut away]\n".encode())
            source.seek(start)
            while left > 0 and (block := source.read(min(_BLOCK, left))):
                target.write(block)
                left -= len(block)
        beside.replace(to)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        return 0
    return size - start
