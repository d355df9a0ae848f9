"""Cells of exports: text stays text in a spreadsheet, numbers stay numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from optimizer.views.tables import as_csv, defused, formula_in


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", '=HYPERLINK("x")'])
def test_text_that_begins_like_a_formula_is_defused(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("cell", [-1.5, -3, 0, "", "a=b", "1-2", None, True])
def test_everything_else_is_as_it_is(cell: object) -> None:
    assert defused(cell) is cell


def test_names_and_values_are_defused_and_parts_are_json() -> None:
    text = as_csv([{"=a": "=1", "b": -0.5, "c": {"x": 1}, "d": None}])
    assert list(csv.reader(io.StringIO(text))) == [["'=a", "b", "c", "d"], ["'=1", "-0.5", '{"x": 1}', ""]]


def test_no_rows_are_no_table() -> None:
    assert as_csv([]) == ""


def test_a_file_that_must_keep_its_formulas_can_be_asked_for_one(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n-1,1e-3\n+2,-0.5\n")
    assert formula_in(path) == ""
    path.write_text('id,label\n1,"=HYPERLINK(""x"")"\n2,=B\n')
    assert formula_in(path) == '=HYPERLINK("x")'
