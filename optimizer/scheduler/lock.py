"""One scheduler per run folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path

from optimizer.durable import replace_bytes
from optimizer.errors import RunFolderError
from optimizer.process import start_time

_NAME = "run.lock"


class RunLock:
    """An exclusive lock on a run's folder, held as long as the process lives; the kernel lets go of it.

    The folder itself is locked, for it cannot be deleted and made again as a file in it can. ``run.lock`` only says
    who holds it.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock; raises `RunFolderError` with the holder's pid where another scheduler has it."""
        self._folder = folder
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RunFolderError(f"{folder} cannot be locked: {error.strerror}; make it readable") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            pid = holder(folder)
            raise RunFolderError(
                f"{folder} is being run by another scheduler (pid {pid or 'unknown'}); look at it with "
                f"`optimizer watch {folder.name}`, or end it with `optimizer stop {folder.name}`") from None
        except OSError as error:
            os.close(self._descriptor)
            raise RunFolderError(f"{folder} cannot be locked: {error.strerror}; put the study file on a local "
                                 "disk") from error
        try:
            name_holder(folder)
        except OSError as error:
            os.close(self._descriptor)
            raise RunFolderError(f"{folder / _NAME} cannot be written: {error.strerror}; see that the disk has space "
                                 f"and that nothing else is at this path") from error

    def release(self) -> None:
        """Let go of the lock."""
        if holder(self._folder) == os.getpid():  # what took the place of a folder that is gone is none of ours
            with contextlib.suppress(OSError):
                replace_bytes(self._folder / _NAME, b"")
        os.close(self._descriptor)


def name_holder(folder: Path) -> None:
    """Write this process into ``run.lock``, where it does not stand there already."""
    if holder(folder) != os.getpid():
        replace_bytes(folder / _NAME, json.dumps({"pid": os.getpid(), "start": start_time(os.getpid())}).encode())


def holder(folder: Path) -> int | None:
    """The pid of the scheduler that runs this folder now, or ``None``."""
    try:
        entry = json.loads((folder / _NAME).read_bytes())
        pid, start = int(entry["pid"]), entry["start"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A pid alone may have been given to another process since.
    return pid if start is not None and start_time(pid) == start else None
