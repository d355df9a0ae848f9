"""What a cell of text says: nothing, a number, a date.

Everything works on whole columns of Arrow text in which a missing cell is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

#: Texts that mean a missing feature everywhere, after spaces around them are taken away.
MISSING = (
    "", "?", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "-nan", "-NaN", "NaT", "null", "NULL", "Null", "<NA>",
    "#N/A", "#NA",
)

#: Texts that mean a missing feature in a column of numbers or dates; among words they may be a word.
MISSING_AMONG_NUMBERS = ("None", "none", "NONE", "-", "--", ".")

#: Formats of dates in the order they are tried. ISO 8601 includes times, fractions and zones.
DATE_FORMATS = (
    "ISO8601", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%m-%d-%Y", "%d-%m-%Y", "%B %d, %Y", "%b %d, %Y",
    "%d %B %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%B %Y", "%b %Y", "%b-%Y", "%a %b %d %H:%M:%S %Y",
)

#: A number as a program writes it: no thousands separators, no units, a point before decimals.
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?inf(inity)?)$"

#: A number as a person writes it, with a unit, a currency or separators: ``19M``, ``$4.99``, ``1,234+``.
QUANTITY = r"^[^\w\s.,]{0,2}\s?[+-]?\d+([.,' ]\d{3})*([.,]\d+)?\s?[^\s\d]{0,5}$"


def clean(cells: pa.ChunkedArray, markers: Sequence[str] = ()) -> pa.ChunkedArray:
    """The cells without spaces around them; the usual markers of a missing value, and these, become null."""
    import pyarrow.compute as pc

    return without(pc.utf8_trim_whitespace(cells), (*MISSING, *(marker.strip() for marker in markers)))


def without(cells: pa.ChunkedArray, markers: Sequence[str]) -> pa.ChunkedArray:
    """The cells with every cell that is one of these texts made null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_marker = pc.is_in(cells, value_set=pa.array(markers, pa.string()))
    return pc.if_else(is_marker, pa.scalar(None, pa.string()), cells)


def to_numbers(cells: pa.ChunkedArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_] | None]:
    """The cells as float64, NaN for null and for what is no number; and where those are, if there are any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return _floats(pc.cast(cells, pa.float64())), None
    except pa.ArrowInvalid:
        is_number = pc.match_substring_regex(cells, NUMBER)
        numbers = pc.if_else(is_number, cells, pa.scalar(None, pa.string()))
        wrong = pc.fill_null(pc.invert(is_number), False)
        return _floats(pc.cast(numbers, pa.float64())), wrong.to_numpy()


def to_dates(cells: Any, date_format: str) -> pd.Series[pd.Timestamp]:
    """Distinct cells as timestamps in UTC, NaT where one is no date in this format."""
    import pandas as pd

    return pd.to_datetime(pd.Series(cells.to_pylist(), dtype=object), format=date_format, errors="coerce", utc=True)


def date_format_of(distinct: pa.Array) -> tuple[str, bool] | None:
    """The first format that every one of these distinct cells has, and whether another order of day and month
    would read them all too; ``None`` where there is no such format."""
    first = distinct.slice(0, 50)
    if not _may_be_dates(first):
        return None
    fitting = [fmt for fmt in DATE_FORMATS if to_dates(first, fmt).notna().all()]
    fitting = [fmt for fmt in fitting if len(first) == len(distinct) or to_dates(distinct, fmt).notna().all()]
    if not fitting:
        return None
    swapped = fitting[0].replace("%m", "%_").replace("%d", "%m").replace("%_", "%d")
    return fitting[0], swapped in fitting[1:]


def _may_be_dates(cells: pa.Array) -> bool:
    """Rules out most columns before the formats are tried: a date has a digit and something between its parts."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(cells, r"\d.*[-/. ,].*\d|[A-Za-z]{3,}[- ]\d{4}$")).as_py())


def _floats(numbers: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    import numpy as np

    return np.asarray(numbers.to_numpy(), np.float64)
