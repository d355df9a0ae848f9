"""Which physical line of a CSV file a record begins on.

Slower than the parser that fills the table, and used only where a person has to be told a line: a quoted cell may
hold newlines, so the number of a row is not the number of its line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from optimizer.datasets.progress import Progress
from optimizer.datasets.scan import open_bytes
from optimizer.errors import DatasetError

#: A list of lines in a message names no more than these.
NAMED = 5


class BadRow(NamedTuple):
    """A record with the wrong number of fields."""

    line: int
    fields: int


@contextmanager
def text_lines(path: Path) -> Iterator[io.TextIOWrapper]:
    """A table's lines as text, newlines untouched and without a byte order mark."""
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        yield text


def bad_rows(path: Path, delimiter: str, fields: int, progress: Progress) -> list[BadRow]:
    """Every record whose number of fields is not this one, in order; empty lines are no records."""
    with _records(path, delimiter) as records:
        found = []
        for number, (line, record) in enumerate(records):
            if record and len(record) != fields:
                found.append(BadRow(line, len(record)))
            if number % 100_000 == 0:
                progress.say(f"{path.name}: looking for the line, {line:,} lines seen")
        return found


def lines_of_rows(path: Path, delimiter: str, fields: int, rows: Sequence[int]) -> list[int]:
    """Lines of these rows of the table (0 is the first after the header), in the order given.

    Rows are counted as the parser counts them: records with a wrong number of fields and empty lines are none.
    """
    wanted, lines, row = set(rows), {}, -1
    with _records(path, delimiter) as records:
        next(records, None)
        for line, record in records:
            if len(record) == fields or (fields == 1 and not record):
                row += 1
                if row in wanted:
                    lines[row] = line
                    if len(lines) == len(wanted):
                        break
    return [lines[row] for row in rows if row in lines]


def check_quotes(path: Path, delimiter: str, progress: Progress) -> None:
    """Raise `DatasetError` for a quote that is never closed, or closed by the opening quote of a later line.

    A parser takes all lines between for the content of one cell, and says nothing.
    """
    with text_lines(path) as text, unlimited_fields():
        reader, start, before = csv.reader(text, delimiter=delimiter, strict=True), 1, 0
        while True:
            try:
                for _ in reader:
                    start = before + reader.line_num + 1
                    if reader.line_num % 100_000 == 0:
                        progress.say(f"{path.name}: {start:,} lines checked for quotes")
                return
            except csv.Error as error:
                last = before + reader.line_num
                if last == start and "end of data" not in str(error):
                    # Text after a closing quote on one line, such as `"a" ,b`: no other line is touched by it.
                    before, start = last, last + 1
                    reader = csv.reader(text, delimiter=delimiter, strict=True)
                    continue
                raise DatasetError(
                    "a quote is opened in the row that begins here and not closed properly "
                    + ("until the end of the file" if "end of data" in str(error) else f"until line {last}"),
                    path=path, line=start, hint='close the quote, or write a quote inside a cell twice: ""',
                ) from None


def name_lines(lines: Sequence[int], total: int | None = None, word: str = "line") -> str:
    """``line 7``, ``lines 7, 9 and 12``, or the first few and how many more; ``total`` is how many there are."""
    total = len(lines) if total is None else total
    shown = [str(line) for line in lines[:NAMED]]
    if total == 1:
        return f"{word} {shown[0]}"
    if total > len(shown):
        return f"{word}s {', '.join(shown)} and {total - len(shown)} more"
    return f"{word}s {', '.join(shown[:-1])} and {shown[-1]}"


@contextmanager
def _records(path: Path, delimiter: str) -> Iterator[Iterator[tuple[int, list[str]]]]:
    def numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        start = 1
        for record in reader:
            yield start, record
            start = reader.line_num + 1  # type: ignore[attr-defined]

    with text_lines(path) as text, unlimited_fields():
        yield numbered(csv.reader(text, delimiter=delimiter))


@contextmanager
def unlimited_fields() -> Iterator[None]:
    """The csv module refuses cells of more than 131,072 letters, by a limit that is global."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
