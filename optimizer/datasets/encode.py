"""How the columns of a person's table become numbers: the same for training, test and any later table.

An encoder is a value, kept as ``encoder.json`` beside the table. It is learned from the training rows alone
(`optimizer.datasets.columns`); a category or a text that they do not have is missing in every other table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from optimizer.datasets.cells import clean, to_dates, to_numbers, without
from optimizer.datasets.progress import Progress, silent
from optimizer.datasets.read import TextTable, read_table
from optimizer.datasets.table import Feature
from optimizer.errors import DatasetError, StorageFault, cut, did_you_mean, quoted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Columns = npt.NDArray[np.float32]

#: Letters of an id.
_LONGEST_ID = 1000
#: Columns are written to the row-major matrix in groups of so many, a cache line of 32-bit floats.
_GROUP = 16


class Numeric(msgspec.Struct, frozen=True, kw_only=True, tag="numeric"):
    """A column of numbers."""

    source: str
    #: Texts that mean missing in this column, beside the encoder's.
    missing: tuple[str, ...] = ()
    #: Taken away first, where the numbers are so large that 32 bits would make different ones equal.
    offset: float = 0.0

    def features(self) -> tuple[Feature, ...]:
        """The encoded columns that it makes."""
        return (Feature(name=self.source, kind="numeric", source=self.source),)


class Boolean(msgspec.Struct, frozen=True, kw_only=True, tag="boolean"):
    """A column of yes and no, as 1 and 0."""

    source: str
    #: In lower case.
    yes: str
    no: str

    def features(self) -> tuple[Feature, ...]:
        """The encoded columns that it makes."""
        return (Feature(name=self.source, kind="boolean", source=self.source),)


class Categorical(msgspec.Struct, frozen=True, kw_only=True, tag="categorical"):
    """A column of words, as codes."""

    source: str
    #: In code order.
    categories: tuple[str, ...]

    def features(self) -> tuple[Feature, ...]:
        """The encoded columns that it makes."""
        return (Feature(name=self.source, kind="categorical", source=self.source,
                        cardinality=len(self.categories)),)


class Date(msgspec.Struct, frozen=True, kw_only=True, tag="date"):
    """A column of dates, as several columns of numbers."""

    source: str
    #: One of `optimizer.datasets.cells.DATE_FORMATS`.
    format: str
    missing: tuple[str, ...] = ()
    #: What is taken of a date, in the order of `DATE_PARTS`.
    parts: tuple[str, ...]
    #: ISO 8601; days are counted from here.
    origin: str

    def features(self) -> tuple[Feature, ...]:
        """The encoded columns that it makes."""
        return tuple(Feature(name=f"{self.source}.{part}", kind="date", source=self.source) for part in self.parts)


Encoding = Numeric | Boolean | Categorical | Date

#: What can be taken of a date: ``days`` since the first one in training, with fractions, and its calendar.
DATE_PARTS = ("days", "year", "month", "day", "day_of_week", "hour", "minute")


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """How a whole table is encoded."""

    #: Of the constant `optimizer.datasets.prepare.ENCODING_VERSION`.
    version: int
    delimiter: str
    #: Column that names the rows, where there is one.
    id: str | None
    #: The person's own texts for a missing value.
    missing: tuple[str, ...]
    columns: tuple[Encoding, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """The encoded columns, in order."""
        return tuple(feature for column in self.columns for feature in column.features())


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Cells of a column that hold something which the training rows do not explain; they count as missing."""

    column: str
    cells: int
    example: str


def encode_column(encoding: Encoding, cells: pa.ChunkedArray, markers: Sequence[str]) -> tuple[Columns, Loss | None]:
    """Cells as float32 of shape (rows, features of the column), and what could not be encoded.

    Infinite numbers come through as such; the caller knows the line to name.
    """
    text = clean(cells, markers)
    match encoding:
        case Numeric():
            values, wrong = _encode_numbers(encoding, text)
        case Boolean():
            values, wrong = _encode_words(_lower(text), (encoding.no, encoding.yes))
        case Categorical():
            values, wrong = _encode_words(text, encoding.categories)
        case Date():
            values, wrong = _encode_dates(encoding, text)
    if wrong is None or not wrong.any():
        return values, None
    example = str(text.filter(_mask(wrong)).slice(0, 1)[0].as_py())
    return values, Loss(column=encoding.source, cells=int(wrong.sum()), example=example)


def encode_table(
    encoder: Encoder, table: TextTable, out: Columns, progress: Progress, *, release: bool = True
) -> tuple[list[Loss], int]:
    """Fill ``out`` (rows, features), and return what could not be encoded and how many cells are missing.

    Raises `DatasetError` for an infinite number.
    """
    import numpy as np

    losses, missing, filled = [], 0, 0
    pending: list[Columns] = []

    def flush() -> None:
        nonlocal filled
        width = sum(part.shape[1] for part in pending)
        if width:
            out[:, filled : filled + width] = np.concatenate(pending, axis=1)
        filled += width
        pending.clear()

    for number, encoding in enumerate(encoder.columns):
        progress.say(f"{table.path.name}: column {number + 1} of {len(encoder.columns)} encoded")
        values, loss = encode_column(encoding, table.column(encoding.source), encoder.missing)
        _refuse_infinite(table, encoding.source, values)
        if loss is not None:
            losses.append(loss)
        missing += int(np.isnan(values).sum())
        pending.append(values)
        if release:
            table.release(encoding.source)
        if sum(part.shape[1] for part in pending) >= _GROUP:
            flush()
    flush()
    return losses, missing


def encode_new(table_folder: Path, path: Path) -> tuple[Columns, npt.NDArray[np.str_] | None]:
    """Encode a new table like the training rows: float32 (rows, features), and its ids as text.

    The ids are ``None`` where the dataset has no id column or the new table lacks it. The target need not be there.
    Raises `DatasetError` where a column is missing, and for all that `read_table` refuses.
    """
    import numpy as np

    encoder = load_encoder(table_folder)
    table = read_table(path, delimiter=encoder.delimiter)
    check_columns(table.names, [c.source for c in encoder.columns], path)
    x = np.empty((table.rows, len(encoder.features)), np.float32)
    encode_table(encoder, table, x, silent())
    has_ids = encoder.id is not None and encoder.id in table.names
    return x, read_ids(table, str(encoder.id)) if has_ids else None


def check_columns(found: Sequence[str], needed: Sequence[str], path: Path) -> None:
    """Raise `DatasetError` naming the columns that a table to predict lacks."""
    there = set(found)
    lacking = [name for name in needed if name not in there]
    if lacking:
        near = did_you_mean(lacking[0], there - set(needed))
        named = ", ".join(map(quoted, lacking[:8])) + (f" and {len(lacking) - 8} more" if len(lacking) > 8 else "")
        raise DatasetError(
            f"the training table has {'a column' if len(lacking) == 1 else 'columns'} that this one lacks: {named}"
            + (f" ({near})" if near.startswith("did") else ""), path=path,
            hint=f"leave {'it' if len(lacking) == 1 else 'them'} out of training with drop = [...], "
                 "or give the column the same name in both files")


def as_ids(cells: pa.ChunkedArray) -> npt.NDArray[np.str_]:
    """Ids as NumPy text, exactly as written."""
    import numpy as np

    return np.array([text or "" for text in cells.to_pylist()], dtype=np.str_)


def read_ids(table: TextTable, name: str) -> npt.NDArray[np.str_]:
    """Ids of every row; raises `DatasetError` where one is missing, or so long that no id is."""
    import numpy as np
    import pyarrow.compute as pc

    cells = table.column(name)
    # Every id takes the room of the longest, four bytes a letter.
    longest = pc.max(pc.utf8_length(cells)).as_py() or 0
    if longest > _LONGEST_ID:
        row = int(np.argmax(np.asarray(pc.fill_null(pc.utf8_length(cells), 0).to_numpy())))
        raise table.error(f"an id of {longest:,} letters, and at most {_LONGEST_ID:,} are read", row=row, column=name,
                          hint="is this the right id column?")
    ids = as_ids(cells)
    missing = np.flatnonzero(np.char.strip(ids) == "")
    if len(missing):
        raise table.error(f"{len(missing)} {'row has' if len(missing) == 1 else 'rows have'} no id: "
                          f"{table.where(missing.tolist())}", row=int(missing[0]), column=name,
                          hint="fill them in, for a submission names its rows by them, or choose another id column")
    return ids


def load_encoder(table_folder: Path) -> Encoder:
    """The encoder of a table; raises `StorageFault` where it cannot be read."""
    try:
        return msgspec.json.decode((table_folder / "encoder.json").read_bytes(), type=Encoder)
    except (OSError, msgspec.DecodeError) as error:
        raise StorageFault(f"table {table_folder.name}: {error}") from error


def date_parts(dates: pa.Array, encoding: Date) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """Each part of these distinct dates, NaN where a text is no date in the column's format."""
    import numpy as np
    import pandas as pd

    stamps = to_dates(dates, encoding.format)
    for part in encoding.parts:
        if part == "days":
            values = (stamps - pd.Timestamp(encoding.origin)) / pd.Timedelta(days=1)
        else:
            values = getattr(stamps.dt, part)
        yield part, np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan), np.float64)


def _encode_numbers(encoding: Numeric, text: pa.ChunkedArray) -> tuple[Columns, npt.NDArray[np.bool_] | None]:
    import numpy as np

    values, wrong = to_numbers(without(text, encoding.missing) if encoding.missing else text)
    values = values - encoding.offset if encoding.offset else values
    with np.errstate(over="ignore"):  # what 32 bits cannot hold becomes infinite, and is refused as such
        return values.astype(np.float32)[:, None], wrong


def _encode_words(text: pa.ChunkedArray, words: Sequence[str]) -> tuple[Columns, npt.NDArray[np.bool_]]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.index_in(text, value_set=pa.array(words, pa.string()))
    wrong = pc.and_(pc.is_valid(text), pc.is_null(codes)).to_numpy()
    return np.asarray(codes.to_numpy(), np.float32)[:, None], wrong


def _encode_dates(encoding: Date, text: pa.ChunkedArray) -> tuple[Columns, npt.NDArray[np.bool_]]:
    import numpy as np

    cells = without(text, encoding.missing) if encoding.missing else text
    codes, distinct = distinct_codes(cells)
    parts = [values for _, values in date_parts(distinct, encoding)]
    # One row more, for the code -1 of a missing cell.
    by_code = np.vstack([np.column_stack(parts), np.full(len(parts), np.nan)]) if len(distinct) else \
        np.full((1, len(parts)), np.nan)
    values = by_code[codes].astype(np.float32)
    return values, (codes >= 0) & np.isnan(values[:, 0])


def distinct_codes(cells: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """The distinct texts, and for each cell its position among them, -1 for a null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(cells).unify_dictionaries()
    if encoded.num_chunks == 0:
        return np.empty(0, np.int32), pa.array([], pa.string())
    codes = [pc.fill_null(chunk.indices, -1).to_numpy() for chunk in encoded.chunks]
    return np.concatenate(codes).astype(np.int32, copy=False), encoded.chunk(0).dictionary


def _refuse_infinite(table: TextTable, column: str, values: Columns) -> None:
    import numpy as np

    infinite = np.isinf(values).any(axis=1)
    if infinite.any():
        row = int(np.flatnonzero(infinite)[0])
        cell = table.column(column)[row].as_py()
        raise table.error(
            f"{_cells(int(infinite.sum()))} infinite or too large for a 32-bit number, the first is {quoted(cell)}",
            row=row, column=column,
            hint=f"say that it means missing, with missing = [{as_toml(cell)}], or leave the column out with drop")


def as_toml(cell: str) -> str:
    """A cell as a study file would write it, as long as it is short."""
    return json.dumps(cut(cell), ensure_ascii=not cell.isprintable())


def _cells(count: int) -> str:
    return "1 cell is" if count == 1 else f"{count} cells are"


def _lower(text: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.utf8_lower(text)


def _mask(values: npt.NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values)
