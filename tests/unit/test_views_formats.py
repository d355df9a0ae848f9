"""How values are written for a person."""

from __future__ import annotations

import math

import pytest
from rich.text import Text

from optimizer.views import formats
from optimizer.views.formats import NOTHING
from optimizer.views.grid import Bar, Column, Grid, bar, boxed, shortened


@pytest.mark.parametrize(("value", "error", "expected"), [
    (0.973652, 0.000514, "0.97365 ± 0.00051"),
    (25342.183, 512.31, "25342 ± 512"),
    (12.3456, 0.0321, "12.346 ± 0.032"),
    (0.973652, None, "0.97365"),
    (0.0, None, "0.00000"),
    (1.5, 0.0, "1.50000"),
    (123456.789, None, "123457"),
    (3.2e-9, 4e-10, "3.2e-09 ± 4e-10"),
    (None, 0.1, NOTHING),
    (math.nan, 0.1, NOTHING),
    (math.inf, None, NOTHING),
    (-0.25, 0.013, "-0.250 ± 0.013"),
])
def test_a_score_has_as_many_digits_as_its_error_warrants(
    value: float | None, error: float | None, expected: str
) -> None:
    assert formats.score(value, error) == expected


@pytest.mark.parametrize(("seconds", "expected"), [
    (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (8040, "2 h 14 min"), (7200, "2 h"),
    (90_000, "1 d 1 h"), (-5, "0 s"), (math.nan, NOTHING), (None, NOTHING),
])
def test_a_duration_has_two_units_at_most(seconds: float | None, expected: str) -> None:
    assert formats.duration(seconds) == expected


@pytest.mark.parametrize(("used", "budget", "expected"), [
    (1380, 3600, "23/60 min"), (41, 60, "41/60 s"), (4320, 28_800, "1.2/8 h"), (30, None, "30 s"),
    (math.nan, 60, NOTHING), (90, 0, "90 s"), (200, 150, "3.3/2.5 min"),
])
def test_used_time_is_in_the_unit_of_its_budget(used: float, budget: float | None, expected: str) -> None:
    assert formats.of_budget(used, budget) == expected


def test_what_could_disturb_a_terminal_is_not_shown() -> None:
    assert formats.clean("a\x1b[31mb\nc\td\x07\u202ee\ud800f\x9b") == "a [31mb c d  e f "
    assert formats.clean("Zürich 数据 [red]") == "Zürich 数据 [red]"


def grid() -> Grid:
    columns = (Column(header="dataset", elastic=True), Column(header="score", right=True),
               Column(header="state", leaves=1), Column(header="note", leaves=2))
    return Grid(columns, [["train_corrected_01", "0.97", "running", "same as 02"], ["b", "0.5", "waiting", ""]])


def test_columns_leave_before_a_name_is_shortened() -> None:
    assert [line.plain.rstrip() for line in grid().lines(36)] == [
        "dataset             score  state",
        "train_corrected_01   0.97  running",
        "b                     0.5  waiting",
    ]
    assert grid().lines(25)[1].plain.rstrip() == "train_corrected_01   0.97"
    assert grid().lines(18)[1].plain.rstrip() == "train_…ed_01  0.97"


def test_a_long_name_is_folded_where_there_is_room_for_it() -> None:
    assert [line.plain.rstrip() for line in grid().lines(18, fold=True)] == [
        "dataset      score", "train_corre   0.97", "cted_01", "b              0.5"]


@pytest.mark.parametrize("width", range(1, 60))
def test_no_line_is_wider_than_told(width: int) -> None:
    assert all(line.cell_len <= width for fold in (True, False) for line in grid().lines(width, fold=fold))


def test_a_shortened_name_keeps_its_end() -> None:
    assert shortened(Text("train_corrected_01"), 11).plain == "train…ed_01"
    assert shortened(Text("数据数据数据数据"), 7).cell_len <= 7
    assert [shortened(Text("abcdef"), n).plain for n in (0, 1, 2, 3, 6)] == ["", "…", "a…", "a…f", "abcdef"]


@pytest.mark.parametrize(("share", "expected"), [
    (0.0, "────"), (0.5, "━━──"), (0.625, "━━╸─"), (1.0, "━━━━"), (7.0, "━━━━"), (-1.0, "────"), (math.nan, "────"),
    (None, "────"),
])
def test_a_bar_is_as_wide_as_told_whatever_the_share(share: float | None, expected: str) -> None:
    assert bar(Bar(share), 4).plain == expected


def test_a_box_is_as_large_as_told() -> None:
    box = boxed(Text("Title"), [Text("数据" * 10), Text("b")], 20, 5)
    assert len(box) == 5
    assert {line.cell_len for line in box} == {20}
    assert box[0].plain == "╭─ Title ──────────╮"
