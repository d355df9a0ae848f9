"""The run's event log: one JSON line per event, append-only, each line with a checksum.

A line is ``{"crc":"0123abcd","t":1763776800.123,"event":"trial_told",...}``: ``crc`` is the CRC-32 of the line
without it, ``t`` is UTC in seconds. `docs/reference/journal.md` lists the events.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from optimizer.durable import sync
from optimizer.errors import RunFolderError, StorageFault

Record = dict[str, Any]

_PREFIX = b'{"crc":"'
_BEHIND_CRC = b'",'
_PREFIX_LENGTH = len(_PREFIX) + 8 + len(_BEHIND_CRC)
_BLOCK = 1 << 20


def encode_line(record: Record) -> bytes:
    """The record as a line with its checksum."""
    body = msgspec.json.encode(record)
    crc = f"{zlib.crc32(body):08x}".encode()
    return _PREFIX + crc + _BEHIND_CRC + body[1:] + b"\n"


def decode_line(line: bytes) -> Record | None:
    """The record of a line, or ``None`` for a torn or altered one."""
    if not line.startswith(_PREFIX) or not line.endswith(b"\n") or len(line) <= _PREFIX_LENGTH:
        return None
    body = b"{" + line[_PREFIX_LENGTH:-1]
    if f"{zlib.crc32(body):08x}".encode() + _BEHIND_CRC != line[len(_PREFIX) : _PREFIX_LENGTH]:
        return None
    try:
        record = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return record if isinstance(record, dict) else None


def read(path: Path) -> Iterator[Record]:
    """Every whole record of a journal, torn or altered lines left out; nothing where there is no file."""
    for record, _ in read_from(path, 0):
        yield record


def read_from(path: Path, offset: int) -> Iterator[tuple[Record, int]]:
    """Records from a byte offset on, each with the offset behind it, so that a reader can follow the file."""
    try:
        stream = path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    with stream:
        stream.seek(offset)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            record = decode_line(line)
            if record is not None:
                yield record, offset


class Journal:
    """The writer's end; one process at a time, held by the run's lock.

    What was written since the last fsync is also kept in memory: after an fsync that failed, nobody knows what of it
    is on the disk, and the kernel may say that all of it is. It is then written once more through a fresh handle.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Open for appending; a last line that was cut by a crash is cut off first.

        Raises:
            RunFolderError: what is at the path cannot be written to.
        """
        self.path = path
        self._clock = clock
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except IsADirectoryError as error:
            raise RunFolderError(f"{path} is a directory, and should be the run's journal; move it away, then what "
                                 "optuna.db holds is taken over from there") from error
        except OSError as error:
            raise RunFolderError(f"{path} cannot be opened: {error.strerror}; make it writable, or move it away") \
                from error
        folder = os.stat(path.parent)
        self._folder = folder.st_dev, folder.st_ino
        #: Where the last whole line ends, and up to where everything is known to be on the disk.
        self._size = self._synced = self._cut_torn_end()
        #: Lines behind `_synced`.
        self._unsynced: list[bytes] = []
        #: An fsync has failed.
        self._distrusted = False

    def record(self, event: str, **fields: Any) -> Record:
        """An event with the time at which it happened; nothing is written."""
        return {"t": round(self._clock(), 3), "event": event, **fields}

    def append(self, event: str, *, durable: bool = False, **fields: Any) -> Record:
        """Write one event; with ``durable`` it is on the disk when this returns.

        Raises:
            StorageFault: the line could not be written whole; nothing of it is left.
        """
        record = self.record(event, **fields)
        self.write(encode_line(record), durable=durable)
        return record

    def write(self, line: bytes, *, durable: bool) -> None:
        """Write one encoded line, as `append` does.

        Raises:
            StorageFault: it could not be written; give it again later, and nothing else before it. The cause is the
                operating system's error.
        """
        try:
            self._make_sound()
            self._put(line)
            self._size += len(line)
            self._unsynced.append(line)
            if durable:
                self._sync()
        except OSError as error:
            raise StorageFault(f"{self.path}: {error.strerror or error}") from error

    def is_in_its_folder(self) -> bool:
        """Whether the run's folder is still where it was."""
        try:
            folder = os.stat(self.path.parent)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # it cannot be seen; writing will say why
        return (folder.st_dev, folder.st_ino) == self._folder

    def keep_in_place(self) -> str:
        """Put the file back where it was deleted or replaced; returns what was found, nothing where all is well.

        Raises:
            StorageFault: it cannot be put back now.
        """
        try:
            try:
                there = os.stat(self.path, follow_symlinks=False)
            except FileNotFoundError:
                self._write_anew()
                return f"{self.path.name} was deleted; it is written anew, with everything that it held"
            ours = os.fstat(self._file)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return ""
            aside = free_name(self.path.with_name(f"{self.path.name}.found-{stamp(self._clock())}"))
            self.path.rename(aside)
            self._write_anew()
        except OSError as error:
            raise StorageFault(f"{self.path}: {error.strerror or error}") from error
        return f"{self.path.name} was replaced by something else, which is kept as {aside.name}; ours is back"

    def close(self) -> None:
        """Flush to the disk as far as it goes, and close."""
        with contextlib.suppress(OSError):  # what had to be on the disk was synced when it was written
            os.fsync(self._file)
        os.close(self._file)

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError:
            self._distrusted = True
            self._size -= len(self._unsynced.pop())  # the caller gives it again
            raise
        self._synced = self._size
        self._unsynced.clear()

    def _put(self, data: bytes) -> None:
        """Write it whole, or leave nothing of it."""
        rest = memoryview(data)
        try:
            while rest:
                written = os.write(self._file, rest)
                if not written:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                rest = rest[written:]
        except OSError:
            # Should this fail, too, then the next write finds the torn end and cuts it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise

    def _make_sound(self) -> None:
        """Bring the file to where the last whole line ends, whatever the last write left."""
        if self._distrusted:
            # By the old handle and not by the path, which may lead elsewhere by now.
            fresh = os.open(f"/proc/self/fd/{self._file}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            old, self._file = self._file, fresh
            with contextlib.suppress(OSError):
                os.close(old)
            size = os.fstat(self._file).st_size
            if size >= self._synced:
                os.ftruncate(self._file, self._synced)
                self._size = self._synced
            else:
                self._size = self._synced = self._cut_torn_end()  # somebody has cut it
            again = b"".join(self._unsynced)
            self._put(again)
            os.fsync(self._file)
            self._size = self._synced = self._size + len(again)
            self._unsynced.clear()
            self._distrusted = False
        size = os.fstat(self._file).st_size
        if size > self._size:
            os.ftruncate(self._file, self._size)
        elif size < self._size:
            self._size = self._synced = self._cut_torn_end()
            self._unsynced.clear()

    def _write_anew(self) -> None:
        """The same bytes in a new file at the path."""
        self._make_sound()
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            offset = 0
            while offset < self._size:
                block = os.pread(self._file, min(_BLOCK, self._size - offset), offset)
                offset += len(block)
                while block:
                    block = block[os.write(fresh, block):]
            os.fsync(fresh)
            os.replace(beside, self.path)
        except OSError:
            os.close(fresh)
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        old, self._file = self._file, fresh
        self._synced = self._size
        self._unsynced.clear()
        with contextlib.suppress(OSError):
            os.close(old)
        sync(self.path.parent)

    def _cut_torn_end(self) -> int:
        """Cut off what is behind the last whole line; returns the size that is left."""
        size = os.fstat(self._file).st_size
        keep = size
        while keep > 0:
            start = max(0, keep - 65536)
            block = os.pread(self._file, keep - start, start)
            newline = block.rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep != size:
            os.ftruncate(self._file, keep)
        return keep


def set_damage_aside(path: Path, now: float) -> tuple[int, str]:
    """Take altered lines out of a journal that nobody has open; the file as it was stays beside it.

    Returns how many lines that were, and the name of the copy. A torn last line is no damage: `Journal` cuts it.

    Raises:
        StorageFault: the two files could not be written; the journal is as it was.
    """
    damaged = sum(1 for line in _lines(path) if line.endswith(b"\n") and decode_line(line) is None)
    if not damaged:
        return 0, ""
    aside = free_name(path.with_name(f"{path.name}.damaged-{stamp(now)}"))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as stream:
            stream.writelines(line for line in _lines(path) if decode_line(line) is not None)
            stream.flush()
            os.fsync(stream.fileno())
        # A second name for the same file: from here to the rename both are there, at no moment none.
        os.link(path, aside)
        os.replace(beside, path)
    except OSError as error:
        for left in (beside, aside):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
        raise StorageFault(f"{path}: {error.strerror or error}") from error
    with contextlib.suppress(OSError):  # a power cut may then bring the old file back: it is set aside once more
        sync(path.parent)
    return damaged, aside.name


def _lines(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as stream:
        yield from stream


def stamp(now: float) -> str:
    """A time as it stands in the names of files that were set aside: UTC, to the second."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))


def free_name(path: Path) -> Path:
    """This name, or it with a number behind it where something is there already."""
    candidate, number = path, 2
    while os.path.lexists(candidate):
        candidate = path.with_name(f"{path.name}.{number}")
        number += 1
    return candidate
