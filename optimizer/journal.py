"""The run's event log: one JSON line per event, append-only, each line with a checksum.

A line is ``{"crc":"0123abcd","t":1763776800.123,"event":"trial_told",...}``: ``crc`` is the CRC-32 of the line
without it, ``t`` is UTC in seconds. `docs/reference/journal.md` lists the events.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from optimizer.errors import StorageFault

Record = dict[str, Any]

_PREFIX = b'{"crc":"'
_BEHIND_CRC = b'",'
_PREFIX_LENGTH = len(_PREFIX) + 8 + len(_BEHIND_CRC)


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
    except (FileNotFoundError, NotADirectoryError):
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
    """The writer's end; one process at a time, held by the run's lock."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Open for appending; a last line that was cut by a crash is cut off first."""
        self.path = path
        self._clock = clock
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._cut_torn_end()

    def append(self, event: str, *, durable: bool = False, **fields: Any) -> Record:
        """Write one event; with ``durable`` it is on the disk when this returns.

        Raises:
            StorageFault: the line could not be written whole; nothing of it is left.
        """
        record = {"t": round(self._clock(), 3), "event": event, **fields}
        line = encode_line(record)
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(f"wrote {written} of {len(line)} bytes")
            if durable:
                os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise StorageFault(f"{self.path}: {error}") from error
        return record

    def close(self) -> None:
        """Flush to the disk and close."""
        os.fsync(self._file)
        os.close(self._file)

    def _cut_torn_end(self) -> None:
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
