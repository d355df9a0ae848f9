"""Decides what a column is: numbers, yes and no, categories, dates, or nothing that a model should see.

The decision is made of all training cells at once and of nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.datasets.cells import (
    MISSING_AMONG_NUMBERS,
    NUMBER,
    QUANTITY,
    clean,
    date_format_of,
    to_dates,
    to_numbers,
    without,
)
from optimizer.datasets.encode import DATE_PARTS, Boolean, Categorical, Date, Encoding, Numeric, as_toml, date_parts
from optimizer.datasets.read import TextTable
from optimizer.errors import quoted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_NUMBER = re.compile(NUMBER, re.ASCII)

#: Words for no and yes, in lower case.
_YES_NO = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"))

#: A text column with at least this share of distinct values names its rows.
_IDENTIFIER_SHARE = 0.95
#: From this share on it may be free text, if its cells are also long.
_FREE_TEXT_SHARE = 0.5
_FREE_TEXT_WORDS = 3.0
_FREE_TEXT_LETTERS = 40.0
#: Columns with fewer distinct values are categories in any case.
_FEW = 20
#: Whole numbers beyond this are not exact as floating point numbers: they are names, not amounts.
_LARGEST_WHOLE = 2.0**53


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A column that is no feature."""

    source: str
    #: Completes the sentence "left out ...".
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a column is, and what the person should know about it."""

    outcome: Encoding | LeftOut
    notices: tuple[str, ...] = ()


#: Reasons to leave a column out, as `LeftOut.reason`.
ALL_MISSING, CONSTANT, ROW_NUMBER = "all cells are missing", "the same in every row", "numbers the rows"
IDENTIFIER, FREE_TEXT = "differs in nearly every row, so it names the rows", "free text"


def decide(table: TextTable, name: str, markers: Sequence[str], forced: str | None = None) -> Decision:
    """What this column of the training table is.

    ``forced`` is ``numeric``, ``categorical`` or ``None``. Raises `DatasetError` where a column forced to be
    numeric has a cell that is no number.
    """
    import pyarrow.compute as pc

    text = clean(table.column(name), markers)
    if text.null_count == len(text):
        return Decision(outcome=LeftOut(source=name, reason=ALL_MISSING))
    if forced == "categorical":
        return Decision(outcome=_categories(name, pc.unique(text).drop_null()))
    among, numbers = _as_numbers(text)
    if numbers is None and forced == "numeric":
        raise _not_a_number(table, name, text)
    if numbers is not None:
        return _decide_numbers(name, without(text, among), among, numbers, forced is not None)
    return _decide_words(name, text, pc.unique(text).drop_null())


def _as_numbers(text: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.float64] | None]:
    """Further texts that mean missing here, and the numbers; ``None`` where the column is not one of numbers."""
    import numpy as np
    import pyarrow.compute as pc

    numbers, wrong = to_numbers(text)
    if wrong is None:
        return (), numbers
    # Looks at distinct cells, of which a column of words has few.
    distinct = pc.unique(text).drop_null()
    others = distinct.filter(pc.invert(pc.match_substring_regex(distinct, NUMBER)))
    if len(others) > len(MISSING_AMONG_NUMBERS):
        return (), None
    words = tuple(sorted(others.to_pylist()))
    if not set(words) <= set(MISSING_AMONG_NUMBERS) or bool(np.isnan(numbers).all()):
        return (), None
    return words, numbers


def _decide_numbers(
    name: str, text: pa.ChunkedArray, among: tuple[str, ...], numbers: npt.NDArray[np.float64], forced: bool
) -> Decision:
    """The decision for a column in which every cell is a number."""
    import numpy as np

    present = numbers[~np.isnan(numbers)]
    low, high = float(present.min()), float(present.max())
    if not forced and max(-low, high) > _LARGEST_WHOLE and _any_matches(text, "^[+-]?[0-9]{16,}$"):
        return _as_codes(name, text, "whole numbers of more than 15 digits")
    if low == high and len(present) == len(numbers):
        return Decision(outcome=LeftOut(source=name, reason=CONSTANT))
    encoding = Numeric(source=name, missing=among, offset=_offset(present))
    whole = bool(np.isfinite(present).all() and (present == np.floor(present)).all())
    if forced or not whole:
        return Decision(outcome=encoding)
    if _any_matches(text, "^0[0-9]+$"):
        return _as_codes(name, text, "digits with leading zeros")
    if len(present) == len(numbers) >= _FEW:
        counts_rows = high - low == len(numbers) - 1
        if (counts_rows or _named_like_id(name)) and len(np.unique(present)) == len(present):
            return Decision(outcome=LeftOut(source=name, reason=ROW_NUMBER if counts_rows else IDENTIFIER))
    return Decision(outcome=encoding)


def _as_codes(name: str, text: pa.ChunkedArray, what: str) -> Decision:
    import pyarrow.compute as pc

    decision = _decide_words(name, text, pc.unique(text).drop_null())
    if isinstance(decision.outcome, LeftOut):
        return decision
    return Decision(outcome=decision.outcome,
                    notices=(f"column {name!r}: {what} are taken as codes, not as numbers",))


def _any_matches(text: pa.ChunkedArray, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())


def _offset(present: npt.NDArray[np.float64]) -> float:
    """What to take away so that 32 bits keep apart what 64 bits do; 0 where nothing is gained."""
    import numpy as np

    low, high = float(present.min()), float(present.max())
    # Exact whole numbers end at 2**24; below it, nothing is lost that a tree would miss.
    if not np.isfinite(low) or not np.isfinite(high) or max(abs(low), abs(high)) < 2.0**24:
        return 0.0
    distinct = np.unique(present)
    with np.errstate(over="ignore"):
        plain, shifted = (len(np.unique(values.astype(np.float32))) for values in (distinct, distinct - low))
    return low if shifted > plain else 0.0


def _decide_words(name: str, text: pa.ChunkedArray, distinct: pa.Array) -> Decision:
    import pyarrow.compute as pc

    present = len(text) - text.null_count
    if len(distinct) == 1 and text.null_count == 0:
        return Decision(outcome=LeftOut(source=name, reason=CONSTANT))
    words = set(pc.utf8_lower(distinct).to_pylist()) if len(distinct) <= 6 else set()
    for no, yes in _YES_NO:
        if words and words <= {no, yes}:
            return Decision(outcome=Boolean(source=name, yes=yes, no=no))
    date = _decide_date(name, text, distinct)
    if date is not None:
        return date
    share = len(distinct) / present
    quantities = _quantities(distinct)
    if len(distinct) >= _FEW and not quantities:
        if share >= _FREE_TEXT_SHARE and _is_long(distinct):
            return Decision(outcome=LeftOut(source=name, reason=FREE_TEXT))
        if share >= _IDENTIFIER_SHARE:
            return Decision(outcome=LeftOut(source=name, reason=IDENTIFIER))
    return Decision(outcome=_categories(name, distinct), notices=(
        f"column {name!r}: taken as categories, for its {quantities}",) if quantities else ())


def _decide_date(name: str, text: pa.ChunkedArray, distinct: pa.Array) -> Decision | None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    is_marker = pc.is_in(distinct, value_set=pa.array(MISSING_AMONG_NUMBERS))
    among, dates = tuple(sorted(distinct.filter(is_marker).to_pylist())), distinct.filter(pc.invert(is_marker))
    found = date_format_of(dates) if len(dates) else None
    if found is None:
        return None
    date_format, ambiguous = found
    origin = to_dates(dates, date_format).min().isoformat()
    every = Date(source=name, format=date_format, missing=among, parts=DATE_PARTS, origin=origin)
    varying = tuple(part for part, values in date_parts(dates, every) if len(np.unique(values)) > 1)
    if not varying:
        # One date and missing cells: that a date is there is all that can be learned.
        varying = ("days",)
    order = "month before day" if date_format.startswith("%m") else "day before month"
    return Decision(
        outcome=Date(source=name, format=date_format, missing=among, parts=varying, origin=origin),
        notices=(f"column {name!r}: every date could be read in two ways; read with the {order}",) if ambiguous else ())


def _categories(name: str, distinct: pa.Array) -> Categorical:
    return Categorical(source=name, categories=in_order(distinct.to_pylist()))


def in_order(texts: Sequence[str]) -> tuple[str, ...]:
    """Distinct texts ordered as numbers if all are numbers, else as text."""
    if all(_NUMBER.match(text) for text in texts):
        return tuple(sorted(texts, key=lambda text: (float(text), text)))
    return tuple(sorted(texts))


def _is_long(distinct: pa.Array) -> bool:
    import pyarrow.compute as pc

    words = float(pc.mean(pc.count_substring_regex(distinct, r"\S+")).as_py())
    letters = float(pc.mean(pc.utf8_length(distinct)).as_py())
    return words >= _FREE_TEXT_WORDS or letters >= _FREE_TEXT_LETTERS


def _quantities(distinct: pa.Array) -> str:
    """Why these words are numbers in disguise, or nothing."""
    import pyarrow.compute as pc

    plain = pc.match_substring_regex(distinct, NUMBER)
    written = pc.and_(pc.match_substring_regex(distinct, QUANTITY), pc.invert(plain))
    n_plain, n_written = pc.sum(plain).as_py() or 0, pc.sum(written).as_py() or 0
    rest = distinct.filter(pc.invert(pc.or_(plain, written)))
    if (n_plain + n_written) < 0.8 * len(distinct) or len(distinct) < 3:
        return ""
    if not n_written and len(rest) > 3:
        return ""
    if n_written:
        example = distinct.filter(written)[0].as_py()
        return f"numbers have units or separators, such as {quoted(example)}; plain numbers would serve better"
    words = ", ".join(map(quoted, rest.to_pylist()))
    return f"cells are numbers but for {words}; if that means missing, say so with missing = [...]"


def _named_like_id(name: str) -> bool:
    lowered = name.strip().lower()
    return lowered in {"id", "index", "idx", "rowid", "uuid", "guid", "key"} \
        or lowered.endswith(("_id", " id", "-id")) or name.endswith(("Id", "ID"))


def _not_a_number(table: TextTable, name: str, text: pa.ChunkedArray) -> Exception:
    import numpy as np

    _, wrong = to_numbers(without(text, MISSING_AMONG_NUMBERS))
    rows = np.flatnonzero(wrong) if wrong is not None else np.array([0])
    cell = text[int(rows[0])].as_py()
    return table.error(
        f"{len(rows)} of its cells are no numbers, the first is {quoted(cell)}", row=int(rows[0]), column=name,
        hint=f'take it from numeric = [...], or say that the text means missing: missing = [{as_toml(cell)}]')
