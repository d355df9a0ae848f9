"""A table's folder appears whole or not at all."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from optimizer.datasets.table import TableMeta, read_meta
from optimizer.durable import sync

_PARTIAL = ".partial-"


def open_or_none(folder: Path) -> TableMeta | None:
    """What is known of the table in this folder; ``None`` where there is no such folder.

    Raises `StorageFault` where the folder is there and its ``meta.json`` cannot be read.
    """
    return read_meta(folder) if folder.is_dir() else None


def write_folder(data_root: Path, fingerprint: str, fill: Callable[[Path], TableMeta]) -> TableMeta:
    """Let ``fill`` write a table's files, add ``meta.json``, and give the folder its name once all is on disk.

    One process at a time fills under a root, so whatever partial folder is found there was left by a crash.
    """
    data_root.mkdir(parents=True, exist_ok=True)
    with _locked(data_root):
        for left in data_root.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left)
        final, partial = data_root / fingerprint, data_root / f"{_PARTIAL}{fingerprint}"
        written = open_or_none(final)
        if written is not None:
            return written
        partial.mkdir()
        try:
            meta = fill(partial)
            (partial / "meta.json").write_bytes(msgspec.json.encode(meta))
            for file in partial.iterdir():
                sync(file)
            sync(partial)
            partial.rename(final)
            sync(data_root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return meta


@contextmanager
def _locked(data_root: Path) -> Iterator[None]:
    with (data_root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
