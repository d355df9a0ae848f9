"""A copy of a run's ``optuna.db`` as it was at one moment, for tools that would hold the file or write to it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from optimizer.errors import RunFolderError


def snapshot(folder: Path, target: Path) -> None:
    """Copy the run's database as it is now, whole transactions only; a run that writes to it goes on.

    Raises:
        RunFolderError: there is no database yet, or it cannot be copied.
    """
    database = folder / "optuna.db"
    if not database.is_file():
        raise RunFolderError(f"{folder} has no optuna.db; the next `optimizer run` makes it from the journal")
    try:
        with contextlib.closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) \
                as source, contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        raise RunFolderError(f"{database} cannot be copied: {error}; the next `optimizer run` mends it from the "
                             "journal") from error
