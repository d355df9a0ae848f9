"""One scheduler per run folder."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from optimizer.errors import RunFolderError
from optimizer.process import start_time

_NAME = "run.lock"


class RunLock:
    """An exclusive lock on a run's folder, held as long as the process lives; the kernel lets go of it."""

    def __init__(self, folder: Path) -> None:
        """Take the lock; raises `RunFolderError` with the holder's pid where another scheduler has it."""
        path = folder / _NAME
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            pid = holder(folder)
            raise RunFolderError(
                f"{folder} is being run by another scheduler (pid {pid or 'unknown'}); look at it with "
                f"`optimizer watch {folder.name}`, or end it with `optimizer stop {folder.name}`") from None
        me = json.dumps({"pid": os.getpid(), "start": start_time(os.getpid())}).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, me, 0)

    def release(self) -> None:
        """Let go of the lock."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(folder: Path) -> int | None:
    """The pid of the scheduler that runs this folder now, or ``None``."""
    try:
        entry = json.loads((folder / _NAME).read_bytes())
        pid, start = int(entry["pid"]), entry["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A pid alone may have been given to another process since.
    return pid if start is not None and start_time(pid) == start else None
