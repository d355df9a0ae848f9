"""Strict reading of a table: every cell as text, every row with all its fields, or an error that names the line.

What a cell means is decided later, for a whole column at once (`optimizer.datasets.columns`), never by a part of
the file; and nothing is guessed about a row that does not fit its header.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from optimizer.datasets.lines import (
    NAMED,
    bad_rows,
    check_quotes,
    lines_of_rows,
    name_lines,
    text_lines,
    unlimited_fields,
)
from optimizer.datasets.progress import Progress, silent
from optimizer.datasets.scan import MAX_ROW, Scan, open_bytes, refuse_other_kinds, scan, table_format
from optimizer.errors import DatasetError, cut, listed, printable, quoted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_NO_ROWS = "put the rows below the header, or leave the dataset out"
#: A table of more columns is of another kind; each costs its own memory, whatever the rows.
_MOST_COLUMNS = 100_000
_LONGEST_NAME = 1000
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class TextTable:
    """A table whose cells are text; a column is fetched by name, and may be dropped once it is used.

    `rows` counts the rows after `keep`. A cell is null only in Parquet; in CSV a missing cell is the empty text.
    """

    def __init__(self, path: Path, names: Sequence[str], rows: int, digest: str,
                 notices: Sequence[str] = ()) -> None:
        self.path, self.names, self.rows, self.digest = path, tuple(names), rows, digest
        #: Plain sentences about what was left out while reading.
        self.notices = tuple(notices)
        self._kept: npt.NDArray[np.intp] | None = None

    def column(self, name: str) -> pa.ChunkedArray:
        """The cells of this column as text."""
        cells = self._read(name)
        return cells if self._kept is None else cells.take(self._kept)

    def release(self, name: str) -> None:
        """Free the memory of a column that is not needed any more."""

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Go on with the rows where the mask is true."""
        import numpy as np

        kept = np.flatnonzero(mask)
        self._kept = kept if self._kept is None else self._kept[kept]
        self.rows = len(self._kept)

    def line(self, row: int) -> int | None:
        """Physical line of a row, where the file has lines."""
        return self._lines([self._in_file(row)])[0] if self._has_lines else None

    def where(self, rows: Sequence[int]) -> str:
        """``lines 7, 9 and 12``, or for a file without lines ``rows 6, 8 and 11`` (1 is the first row)."""
        in_file = [self._in_file(row) for row in rows[:NAMED]]
        places = self._lines(in_file) if self._has_lines else [row + 1 for row in in_file]
        return name_lines(places, len(rows), "line" if self._has_lines else "row")

    def error(self, found: str, *, row: int | None = None, column: str | None = None, hint: str = "") -> DatasetError:
        """A `DatasetError` about this table, with the place."""
        line = None if row is None else self.line(row)
        if row is not None and line is None:
            found = f"row {self._in_file(row) + 1}: {found}"
        return DatasetError(found, path=self.path, line=line, column=column, hint=hint)

    def _in_file(self, row: int) -> int:
        return row if self._kept is None else int(self._kept[row])

    _has_lines = False

    def _lines(self, rows: Sequence[int]) -> list[int]:
        raise NotImplementedError

    def _read(self, name: str) -> pa.ChunkedArray:
        raise NotImplementedError


class _CsvTable(TextTable):
    _has_lines = True

    def __init__(self, path: Path, table: pa.Table, found: Scan, delimiter: str, fields: int,
                 notices: Sequence[str]) -> None:
        super().__init__(path, table.column_names, table.num_rows, found.digest, notices)
        self._columns = {name: table.column(name) for name in table.column_names}
        self._delimiter, self._fields = delimiter, fields

    def release(self, name: str) -> None:
        self._columns.pop(name, None)

    def _lines(self, rows: Sequence[int]) -> list[int]:
        return lines_of_rows(self.path, self._delimiter, self._fields, rows)

    def _read(self, name: str) -> pa.ChunkedArray:
        return self._columns[name]


class _ParquetTable(TextTable):
    """Reads a column when it is asked for, so that a large file never lies in memory as text."""

    def _read(self, name: str) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Asking for column `a` also brings a column `a.b`, for a dot means a nested field there: go by name.
        try:
            with pq.ParquetFile(self.path) as file:
                chunks = [batch.column(name) for batch in file.iter_batches(columns=[name], use_threads=False)]
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.path, error, name) from None
        cells = pa.chunked_array(chunks)
        try:
            if pa.types.is_dictionary(cells.type):
                cells = cells.cast(cells.type.value_type)
            return cells.cast(pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise self.error(f"cells of type {cells.type} cannot be read", column=name,
                             hint=f'leave the column out: drop = ["{name}"]') from None


def read_header(path: Path, delimiter: str = ",") -> tuple[str, ...]:
    """The checked names of a table's columns; raises `DatasetError` where they are empty, doubled or not split."""
    return _read_header(path, delimiter)[0]


def read_table(
    path: Path, *, delimiter: str = ",", on_bad_rows: Literal["error", "drop"] = "error",
    only: Sequence[str] | None = None, progress: Progress | None = None,
) -> TextTable:
    """Read a CSV, CSV.gz or Parquet table, or only some of its columns.

    A row with the wrong number of fields is an error that names its physical line; with ``drop`` such rows are left
    out, and a notice says which. Raises `DatasetError` for everything else that makes a table ambiguous.
    """
    progress = progress or silent()
    found = scan(path, progress)
    if table_format(path) == "parquet":
        return _read_parquet(path, found)
    names, header_bytes = _read_header(path, delimiter)
    wanted = names if only is None else tuple(name for name in names if name in set(only))
    table, n_bad = _parse_csv(path, delimiter, names, wanted, header_bytes, progress)
    if found.quotes % 2 or found.lines != 1 + table.num_rows + n_bad:
        check_quotes(path, delimiter, progress)
    notices = []
    if n_bad:
        bad = bad_rows(path, delimiter, len(names), progress)
        counts = sorted({row.fields for row in bad})
        said = f"{len(bad)} {'row has' if len(bad) == 1 else 'rows have'} the wrong number of fields " \
               f"({' or '.join(map(str, counts[:NAMED]))}, and the header has {len(names)}): " \
               f"{name_lines([row.line for row in bad])}"
        if table.num_rows <= n_bad:
            raise DatasetError(said, path=path, line=bad[0].line, hint=(
                "most rows do not fit the header: is a column's name missing, or the delimiter another?"))
        if on_bad_rows == "error":
            raise DatasetError(said, path=path, line=bad[0].line, hint=(
                'mend the file, or leave such rows out with bad_rows = "drop"'))
        notices.append(f"{said}; left out")
    if table.num_rows == 0:
        raise DatasetError("the table has a header and no rows", path=path, hint=_NO_ROWS)
    return _CsvTable(path, table, found, delimiter, len(names), notices)


def _read_header(path: Path, delimiter: str) -> tuple[tuple[str, ...], int]:
    """The names, and for CSV the number of bytes that the header takes."""
    if table_format(path) == "parquet":
        names, size = tuple(_parquet_schema(path).names), 0
        if not names:
            raise DatasetError("the table has no columns", path=path, hint="write it anew, or leave the dataset out")
    else:
        with open_bytes(path) as stream:
            first = stream.read(64)
        mark = first.startswith(codecs.BOM_UTF8)
        refuse_other_kinds(path, first.removeprefix(codecs.BOM_UTF8))
        seen: list[str] = []

        def watched(text: IO[str]) -> Iterator[str]:
            left = MAX_ROW
            while line := text.readline(left + 1):
                left -= len(line)
                if left < 0:
                    raise DatasetError(f"the header takes more than {MAX_ROW // 2**20} MB", path=path, line=1,
                                       hint="is this a table, and is every quote in its first line closed?")
                seen.append(line)
                yield line

        with text_lines(path) as text, unlimited_fields():
            try:
                # The reader takes as many lines as the first record has, and not one more.
                names = tuple(next(csv.reader(watched(text), delimiter=delimiter), []))
            except (csv.Error, UnicodeDecodeError) as error:
                scan(path, silent())
                raise DatasetError(f"the header cannot be read: {error}", path=path, line=1,
                                   hint="the first line names the columns, with the delimiter between them") from None
        size = sum(len(line.encode()) for line in seen) + (len(codecs.BOM_UTF8) if mark else 0)
    _check_header(path, names, delimiter)
    return names, size


def _check_header(path: Path, names: tuple[str, ...], delimiter: str) -> None:
    if not names:
        raise DatasetError("the first line is empty, and should name the columns", path=path, line=1,
                           hint="put their names there, or remove the empty lines above them")
    if len(names) > _MOST_COLUMNS:
        raise DatasetError(f"{len(names):,} columns, and at most {_MOST_COLUMNS:,} can be read", path=path, line=1,
                           hint="is the delimiter right, or do rows and columns need to be swapped?")
    long = next((at for at, name in enumerate(names) if len(name) > _LONGEST_NAME), None)
    if long is not None:
        raise DatasetError(f"the name of column {long + 1} has {len(names[long]):,} letters, and at most "
                           f"{_LONGEST_NAME:,} are read: {quoted(names[long])}", path=path, line=1,
                           hint="is a quote or a line end missing in the header?")
    if len(names) == 1:
        for other, called in _DELIMITERS.items():
            if other != delimiter and other in names[0]:
                raise DatasetError(
                    f"the header is one column, {quoted(names[0])}: it seems to be separated by another character",
                    path=path, line=1, hint=f"set delimiter = {_toml(other)} ({called})")
    empty = [str(at + 1) for at, name in enumerate(names) if not name.strip()]
    if empty:
        raise DatasetError(f"column {listed(empty)} has no name", path=path, line=1, hint=(
            "name it in the first line (pandas writes an unnamed index column unless told index=False)"))
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        places = [str(at + 1) for at, name in enumerate(names) if name == doubled[0]]
        raise DatasetError(
            f"the name {quoted(doubled[0])} is there more than once (columns {listed(places, NAMED)})"
            + (f"; so are {', '.join(map(quoted, doubled[1:NAMED]))}" if doubled[1:] else ""),
            path=path, line=1, hint="give every column its own name")


def _parse_csv(
    path: Path, delimiter: str, names: Sequence[str], wanted: Sequence[str], header_bytes: int, progress: Progress
) -> tuple[pa.Table, int]:
    """The parsed rows, and how many rows had the wrong number of fields and were left out."""
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    n_bad = 0

    def count_bad(_: object) -> str:
        nonlocal n_bad
        n_bad += 1
        return "skip"

    with open_bytes(path) as stream:
        stream.read(header_bytes)
        try:
            table = pa_csv.read_csv(
                _Watched(stream, path.name, progress),  # one thread: the cores belong to the workers
                read_options=pa_csv.ReadOptions(column_names=list(names), block_size=MAX_ROW, use_threads=False),
                parse_options=pa_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=count_bad,
                    # In a table of one column an empty line is a missing cell.
                    ignore_empty_lines=len(names) > 1),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), include_columns=list(wanted),
                    strings_can_be_null=False),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):
                raise DatasetError("the table has a header and no rows", path=path, hint=_NO_ROWS) from None
            # A quote that swallows the rest of the file makes a row that is larger than a block.
            check_quotes(path, delimiter, progress)
            raise DatasetError(f"cannot be parsed: {printable(cut(str(error), 200))}", path=path, hint=(
                f"a row takes at most {MAX_ROW // 2**20} MB; is there an open quote, or another kind of file?")
            ) from error
    return table, n_bad


def _read_parquet(path: Path, found: Scan) -> TextTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _read_header(path, ",")
    schema = _parquet_schema(path)
    nested = [field.name for field in schema if pa.types.is_nested(field.type) or pa.types.is_binary(field.type)]
    notices = [f"{printable(path.name)}: left out, for they are no plain values: {listed(nested)}"] if nested else []
    rows = pq.read_metadata(path).num_rows
    if rows == 0:
        raise DatasetError("the table has no rows", path=path, hint="write it with rows, or leave the dataset out")
    return _ParquetTable(path, [name for name in schema.names if name not in nested], rows, found.digest, notices)


def _parquet_schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetError("there is no such file", path=path, hint="look at the path in the study file")
    if not path.stat().st_size:
        refuse_other_kinds(path, b"")
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception, column: str | None = None) -> DatasetError:
    said = printable(cut(str(error).split("\n")[0], 200))
    return DatasetError(f"not a Parquet file, or a damaged one: {said}", path=path, column=column,
                        hint="copy or download it again, or write it anew")


def _toml(delimiter: str) -> str:
    return '"\\t"' if delimiter == "\t" else f'"{delimiter}"'


class _Watched(io.RawIOBase):
    """A stream that says how far it was read."""

    def __init__(self, stream: IO[bytes], name: str, progress: Progress) -> None:
        self._stream, self._name, self._progress, self._done = stream, name, progress, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._done += len(data)
        self._progress.say(f"{self._name}: {self._done / 1e6:,.0f} MB parsed")
        return len(data)
