"""Tables for spreadsheets: text that would be taken for a formula is defused, numbers stay numbers.

Submissions are none of these: their ids and labels must go back letter by letter.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

#: What a formula, or a cell that hides one, begins with.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


def defused(cell: object) -> object:
    """A cell that a spreadsheet shows as it is: text that begins like a formula gets a leading apostrophe."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows with the same keys as CSV, the header first; what has parts is JSON in its cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for i, row in enumerate(rows):
        if not i:
            writer.writerow([defused(name) for name in row])
        writer.writerow([defused(json.dumps(v) if isinstance(v, list | dict) else v) for v in row.values()])
    return text.getvalue()
