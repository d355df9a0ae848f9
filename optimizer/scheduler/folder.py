"""A run's folder: made, or moved aside for a fresh one."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from optimizer.errors import RunFolderError
from optimizer.scheduler.lock import RunLock

#: What a run's folder holds.
_FOLDERS = ("logs", "data", "predictions", "models", "scores")


def make_folder(folder: Path) -> None:
    """Make the run's folder with what it holds; raises `RunFolderError` where that cannot be done."""
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
            if not os.access(folder / name, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "may not be written to")
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be made: {error.strerror}; choose another place for the study file, "
                             "or make the folder writable") from error


def set_aside(folder: Path) -> Path:
    """Rename an earlier run's folder, so that a fresh one can take its place; returns the new name.

    Raises:
        RunFolderError: another scheduler runs it now.
    """
    RunLock(folder).release()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(folder.stat().st_mtime))
    aside = folder.with_name(f"{folder.name}.{stamp}")
    number = 2
    while aside.exists():
        aside = folder.with_name(f"{folder.name}.{stamp}.{number}")
        number += 1
    folder.rename(aside)
    return aside
