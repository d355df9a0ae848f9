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

_CHUNK = 4 * 1024 * 1024
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
    raise DatasetError("not a table that can be read", path=path, hint="expected .csv, .csv.gz or .parquet")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's content as a binary stream, decompressed; anything wrong with the file is a `DatasetError`."""
    if not path.exists():
        raise DatasetError("there is no such file", path=path)
    if not path.is_file():
        raise DatasetError("this is not a file", path=path)
    try:
        with cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            yield stream
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"not a gzip file, or a damaged one: {error}", path=path) from error
    except EOFError as error:
        raise DatasetError("the gzip file ends too early", path=path,
                           hint="copy or download it again") from error
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=path) from error


def scan(path: Path, progress: Progress) -> Scan:
    """Hash and check a table's bytes; raises `DatasetError` with the line where they cannot be a table."""
    text = table_format(path) == "csv"
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    lines = quotes = done = 0
    last = b""
    with open_bytes(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if text:
                if done == 0 and chunk.startswith(_UTF16):
                    raise _wrong_encoding(path, None, "the file is UTF-16", "utf-16")
                if b"\0" in chunk:
                    line = lines + chunk[: chunk.index(b"\0")].count(b"\n") + 1
                    raise DatasetError("a NUL byte", path=path, line=line, hint=(
                        "the file is damaged or not text; a fresh copy or `tr -d '\\000' < OLD > NEW` mends it"))
                _check_utf8(path, decoder, chunk, lines)
                lines, quotes, last = lines + chunk.count(b"\n"), quotes + chunk.count(b'"'), chunk[-1:]
            done += len(chunk)
            progress.say(f"{path.name}: {done / 1e6:,.0f} MB checked")
    if done == 0:
        raise DatasetError("the file is empty", path=path)
    if text:
        _check_utf8(path, decoder, b"", lines, final=True)
    return Scan(digest=digest.hexdigest(), lines=lines + (text and last != b"\n"), quotes=quotes)


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
