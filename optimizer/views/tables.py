"""Tables for spreadsheets: text that would be taken for a formula is defused, numbers stay numbers.

Submissions are none of these: their ids and labels must go back letter by letter.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
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


def formula_in(path: Path) -> str:
    """The first cell of a CSV file that a spreadsheet would take for a formula; empty where there is none."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                if cell.startswith(_FORMULA) and not _is_number(cell):
                    return cell
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
