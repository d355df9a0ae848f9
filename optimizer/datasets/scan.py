"""One pass over the bytes of a table before anybody parses it.

Finds what a parser would swallow or report badly: bytes that are not UTF-8, NUL bytes, a torn gzip file, an empty
file. Counts lines and quotes, which tell whether the slower look at quoting is needed, and hashes the content.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from optimizer.datasets.progress import Progress
from optimizer.errors import DatasetError
from optimizer.resources import usable_memory_mb

_CHUNK = 4 * 1024 * 1024
#: Longest row; a parser reads a table in blocks of this size.
MAX_ROW = 16 * 1024 * 1024
#: A packed table that grows by more than this, and to more than that many bytes, is a bomb.
_MOST_GROWTH, _HARMLESS = 200, 256 * 1024 * 1024

#: What a file that is called ``.csv`` may be in truth, by its first bytes, and what to do then.
_OTHER_KINDS = (
    (codecs.BOM_UTF16_LE, "text in UTF-16", "convert it, for example: iconv -f utf-16 -t utf-8 OLD > NEW"),
    (codecs.BOM_UTF16_BE, "text in UTF-16", "convert it, for example: iconv -f utf-16 -t utf-8 OLD > NEW"),
    (b"PK\x03\x04", "a ZIP archive, such as a spreadsheet (.xlsx) is", "unpack it, or export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls)", "export the sheet as CSV"),
    (b"PAR1", "a Parquet file", "give it a name that ends in .parquet"),
    (b"\x1f\x8b", "a gzip file", "give it a name that ends in .csv.gz"),
    (b"BZh", "a bzip2 file", "unpack it"),
    (b"\xfd7zXZ", "an xz file", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the table itself", "fetch the table: git lfs pull"),
    (b"<!doctype html", "a web page, perhaps one to sign in", "download the table again, signed in"),
    (b"<html", "a web page, perhaps one to sign in", "download the table again, signed in"),
    (b"%pdf", "a PDF document", "export the table as CSV"),
)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one pass over a table's bytes tells."""

    #: SHA-256 of the content, of a gzip file after decompression, so that packing changes nothing.
    digest: str
    #: Lines of a CSV file, the last one counted with or without its newline; 0 for Parquet.
    lines: int
    quotes: int


def table_format(path: Path) -> str:
    """``csv`` or ``parquet``, by the file's name; raises `DatasetError` for anything else."""
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return "csv"
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    raise DatasetError("not a table that can be read, by its name", path=path,
                       hint="expected .csv, .csv.gz or .parquet")


def refuse_other_kinds(path: Path, first: bytes) -> None:
    """Raise `DatasetError` where the first bytes of a CSV file say that it is none."""
    if not first:
        raise DatasetError("the file is empty", path=path, hint="copy or download it again, or leave the dataset out")
    for begins, found, hint in _OTHER_KINDS:
        if first.startswith(begins) or first.lower().startswith(begins):
            raise DatasetError(f"this is {found}", path=path, line=1, hint=hint)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's content as a binary stream, decompressed; anything wrong with the file is a `DatasetError`."""
    if not path.exists():
        raise DatasetError("there is no such file", path=path, hint="look at the path in the study file")
    if not path.is_file():
        raise DatasetError("this is not a file", path=path, hint="expected a regular file, no folder, pipe or device")
    try:
        with cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            yield stream
    except (gzip.BadGzipFile, zlib.error) as error:
        if not _begins_as_gzip(path):
            raise DatasetError("its name says gzip, and it is none", path=path,
                               hint="if it is not packed, let its name end in .csv") from error
        raise DatasetError("a damaged gzip file: it cannot be unpacked to its end", path=path,
                           hint="copy or download it again") from error
    except EOFError as error:
        raise DatasetError("the gzip file ends too early", path=path,
                           hint="copy or download it again") from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=path,
                           hint="look whether you may read it, and whether its disk is there") from error


def _begins_as_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def scan(path: Path, progress: Progress) -> Scan:
    """Hash and check a table's bytes; raises `DatasetError` with the line where they cannot be a table."""
    text = table_format(path) == "csv"
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    lines = quotes = done = row = 0
    last = b""
    size, room = path.stat().st_size if path.exists() else 0, usable_memory_mb() * 2**20
    with open_bytes(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if text:
                if done == 0:
                    refuse_other_kinds(path, chunk[:64])
                if b"\0" in chunk:
                    line = lines + chunk[: chunk.index(b"\0")].count(b"\n") + 1
                    raise DatasetError("a NUL byte", path=path, line=line, hint=(
                        "the file is damaged or not text; a fresh copy or `tr -d '\\000' < OLD > NEW` mends it"))
                _check_utf8(path, decoder, chunk, lines)
                row = _check_row(path, chunk, row, lines)
                lines, quotes, last = lines + chunk.count(b"\n"), quotes + chunk.count(b'"'), chunk[-1:]
            done += len(chunk)
            if done > _HARMLESS and done > _MOST_GROWTH * size:
                raise DatasetError(f"unpacks to more than {_MOST_GROWTH} times its size ({size / 1e6:,.1f} MB)",
                                   path=path, hint="if it is a table in truth, unpack it and name the .csv file")
            if text and done > room:
                raise DatasetError(f"larger than this machine's memory ({room / 1e9:,.1f} GB)", path=path,
                                   hint="save it as Parquet, which is read column by column, or take fewer rows")
            progress.say(f"{path.name}: {done / 1e6:,.0f} MB checked")
    if done == 0:
        refuse_other_kinds(path, b"")
    if text:
        _check_utf8(path, decoder, b"", lines, final=True)
    return Scan(digest=digest.hexdigest(), lines=lines + (text and last != b"\n"), quotes=quotes)


def _check_row(path: Path, chunk: bytes, before: int, lines_before: int) -> int:
    """Bytes of the line that the chunk ends in; raises `DatasetError` for one that is too long."""
    first, last = chunk.find(b"\n"), max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
    if before + (first if first >= 0 else len(chunk)) > MAX_ROW and (first >= 0 or last < 0):
        raise DatasetError(f"a row of more than {MAX_ROW // 2**20} MB", path=path, line=lines_before + 1,
                           hint="is this a table? Cells so large, such as texts or pictures, are no features")
    return before + len(chunk) if last < 0 else len(chunk) - last - 1


def _check_utf8(
    path: Path, decoder: codecs.IncrementalDecoder, chunk: bytes, lines_before: int, *, final: bool = False
) -> None:
    # The decoder keeps the first bytes of a letter that the chunk border has cut; they hold no newline.
    kept = len(decoder.getstate()[0])
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        at = max(error.start - kept, 0)
        start = chunk.rfind(b"\n", 0, at) + 1
        around = chunk[max(start, at - 20): at + 20].split(b"\n")[0].decode("latin-1").strip()
        line = lines_before + chunk[:at].count(b"\n") + 1
        raise _wrong_encoding(
            path, line, f"the text is not UTF-8 (read as latin-1 it says {around!r})", "latin1") from None


def _wrong_encoding(path: Path, line: int | None, found: str, encoding: str) -> DatasetError:
    return DatasetError(found, path=path, line=line,
                        hint=f"convert it, for example: iconv -f {encoding} -t utf-8 OLD > NEW")
