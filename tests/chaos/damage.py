"""What is done to files and disks: damage of kinds that a crash, a full disk or a bad sector leaves."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.evidence import integrity, journal_lines, whole_record

#: Events whose line may be cut: they are not promised to be on the disk when the power goes.
_NOT_DURABLE = frozenset({"job_started", "step_finished", "notice", "best_improved", "worker_ready", "worker_lost"})
_FILLER = "filler.bin"


@contextlib.contextmanager
def tmpfs(place: Path, size_mb: int) -> Iterator[bool]:
    """A small disk of its own at this place; ``False`` where this user may not mount one."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(place)],
                          capture_output=True, check=False)
    if done.returncode != 0:
        yield False
        return
    try:
        yield True
    finally:
        # Lazily: somebody may look into it still.
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def may_mount() -> bool:
    """Whether this user may make a small disk."""
    with tempfile.TemporaryDirectory() as place, tmpfs(Path(place) / "disk", 1) as mounted:
        return mounted


def fill(disk: Path) -> int:
    """Take every byte that is free on a small disk that is mounted here; returns how many."""
    if not disk.is_mount():
        raise NotADirectoryError(f"{disk} is no disk of its own; the machine's shall not be filled")
    descriptor = os.open(disk / _FILLER, os.O_RDWR | os.O_CREAT, 0o600)
    taken = 0
    try:
        piece = max(4096, shutil.disk_usage(disk).free)
        while piece >= 4096:
            try:
                os.posix_fallocate(descriptor, taken, piece)
                taken += piece
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
    finally:
        os.close(descriptor)
    return taken


def empty(disk: Path) -> None:
    """Give it all back."""
    (disk / _FILLER).unlink(missing_ok=True)


def corrupt_database(folder: Path, draw: float) -> str:
    """Overwrite pages of the database until SQLite itself sees it; returns what was done.

    What SQLite cannot see, a flipped bit inside a text, nobody but a checksum could.
    """
    path = folder / "optuna.db"
    if not path.is_file() or path.stat().st_size < 3 * 4096:
        return "there is no database yet"
    chance = random.Random(draw)
    if chance.random() < 0.25:
        os.truncate(path, path.stat().st_size * 2 // 3 // 4096 * 4096)
        return f"cut to {path.stat().st_size} bytes: {integrity(folder)[:80]}"
    pages = path.stat().st_size // 4096
    with path.open("r+b") as stream:
        for count in range(1, 60):
            page = chance.randrange(1, pages)
            stream.seek(page * 4096)
            stream.write(chance.randbytes(4096))
            stream.flush()
            verdict = integrity(folder)
            if verdict != "ok":
                return f"{count} of {pages} pages overwritten: {verdict[:80]}"
    return f"60 of {pages} pages overwritten, unseen by SQLite"


def cut_journal(folder: Path, draw: float) -> str:
    """Cut the last line in its middle, or where it was promised to be on the disk, leave half of one behind it."""
    path = folder / "journal.jsonl"
    last = b""
    for line in journal_lines(folder):
        last = line
    if not last.endswith(b"\n") or len(last) < 8:
        return "its end was torn already"
    keep = 1 + int(draw * (len(last) - 2))
    record = whole_record(last)
    if record is not None and record["event"] in _NOT_DURABLE:
        os.truncate(path, path.stat().st_size - len(last) + keep)
        return f"the last line ({record['event']}) was cut after {keep} of {len(last)} bytes"
    with path.open("ab") as stream:
        stream.write(last[:keep])
    return f"{keep} bytes of half a line behind the last"


def garbage_in_journal(folder: Path, draw: float) -> str:
    """Append bytes that are no event, with or without line ends among them."""
    chance = random.Random(draw)
    kind = chance.choice(("bytes", "lines", "zeros"))
    size = chance.randrange(1, 4000)
    content = {"bytes": chance.randbytes(size), "zeros": b"\0" * size,
               "lines": b'{"crc":"00000000","t":1.0,"event":"trial_told","trial":"no/such/1"}\n'
                        + chance.randbytes(size).replace(b"\n", b"\r") + b"\n"}[kind]
    with (folder / "journal.jsonl").open("ab") as stream:
        stream.write(content)
    return f"{len(content)} bytes ({kind}) appended"
