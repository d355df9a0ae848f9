"""What a column is, decided of all its training cells, and how the same decision encodes another table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from optimizer.datasets.columns import Decision, LeftOut, decide, in_order
from optimizer.datasets.encode import Boolean, Categorical, Date, Loss, Numeric, encode_column
from optimizer.datasets.read import TextTable, read_table
from optimizer.errors import DatasetError


def table_of(folder: Path, cells: Sequence[str], name: str = "c") -> TextTable:
    path = folder / "train.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([(name, "other"), *((cell, "0") for cell in cells)])
    return read_table(path)


def decided(folder: Path, cells: Sequence[str], *, name: str = "c", missing: Sequence[str] = (),
            forced: str | None = None) -> Decision:
    return decide(table_of(folder, cells, name), name, missing, forced)


def encoded(decision: Decision, cells: Sequence[str], missing: Sequence[str] = ()) -> tuple[list[list[float]],
                                                                                             Loss | None]:
    assert not isinstance(decision.outcome, LeftOut)
    values, loss = encode_column(decision.outcome, pa.chunked_array([list(cells)], pa.string()), missing)
    assert values.dtype == np.float32
    return [[None if np.isnan(v) else float(v) for v in row] for row in values], loss  # type: ignore[misc]


def test_numbers_are_numbers_whatever_marks_their_gaps(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["1", "", " ", "?", "NA", "N/A", "NaN", "null", "<NA>", " 2.5 ", "-3e2"])
    assert decision == Decision(outcome=Numeric(source="c"))
    values, loss = encoded(decision, ["1", "", " ", "?", "NA", " 2.5 ", "-3e2", "+4", ".5"])
    assert (values, loss) == ([[1.0], [None], [None], [None], [None], [2.5], [-300.0], [4.0], [0.5]], None)


def test_none_and_a_dash_are_missing_among_numbers_and_words_among_words(tmp_path: Path) -> None:
    assert decided(tmp_path, ["1", "None", "-", "2"]).outcome == Numeric(source="c", missing=("-", "None"))
    assert decided(tmp_path, ["brick", "None", "stone", "NA"]).outcome == Categorical(
        source="c", categories=("None", "brick", "stone"))


def test_the_persons_own_marker_makes_a_column_numeric(tmp_path: Path) -> None:
    cells = ["1", "2", "unknown", "4"]
    assert isinstance(decided(tmp_path, cells).outcome, Categorical)
    decision = decided(tmp_path, cells, missing=["unknown"])
    assert decision.outcome == Numeric(source="c")
    assert encoded(decision, ["unknown"], ["unknown"])[0] == [[None]]


def test_numbers_with_one_word_among_them_are_categories_and_the_marker_is_proposed(tmp_path: Path) -> None:
    (notice,) = decided(tmp_path, [*map(str, range(10)), "Varies"]).notices
    assert "cells are numbers but for 'Varies'; if that means missing, say so with missing = [...]" in notice


@pytest.mark.parametrize("cells", [["1,234", "999", "2,000", "3"], ["19M", "8.7M", "404k"], ["$4.99", "$0.99", "0"]])
def test_units_and_separators_stay_categories_with_a_notice(tmp_path: Path, cells: list[str]) -> None:
    decision = decided(tmp_path, cells)
    assert isinstance(decision.outcome, Categorical)
    assert "units or separators" in decision.notices[0]


@pytest.mark.parametrize(("cells", "yes"), [
    (["True", "False", "", "True"], "true"), (["Yes", "No"], "yes"), (["Y", "y", "N"], "y"), (["t", "f"], "t"),
    (["Yes", "", "Yes"], "yes"),
])
def test_yes_and_no_are_one_and_zero(tmp_path: Path, cells: list[str], yes: str) -> None:
    decision = decided(tmp_path, cells)
    assert isinstance(decision.outcome, Boolean)
    assert decision.outcome.yes == yes
    assert encoded(decision, [yes.upper(), decision.outcome.no, ""])[0] == [[1.0], [0.0], [None]]


def test_zero_and_one_are_numbers(tmp_path: Path) -> None:
    assert decided(tmp_path, ["0", "1", "1"]).outcome == Numeric(source="c")


def test_categories_are_coded_in_order_and_an_unseen_one_is_missing(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["low", "high", "?", " mid "])
    assert decision.outcome == Categorical(source="c", categories=("high", "low", "mid"))
    values, loss = encoded(decision, ["mid", "high ", "never", ""])
    assert values == [[2.0], [0.0], [None], [None]]
    assert loss == Loss(column="c", cells=1, example="never")


def test_a_column_may_be_forced_to_be_categories(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["10", "9", "10"], forced="categorical")
    assert decision.outcome == Categorical(source="c", categories=("9", "10"))


def test_a_column_forced_to_be_numeric_names_the_line_of_its_first_word(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        decided(tmp_path, ["1", "2", "two", "x"], forced="numeric")
    assert (caught.value.line, caught.value.column) == (4, "c")
    assert "2 of its cells are no numbers, the first is 'two'" in str(caught.value)


def test_many_categories_are_kept_while_rows_share_them(tmp_path: Path) -> None:
    outcome = decided(tmp_path, [f"shop{n % 600}" for n in range(1000)]).outcome
    assert isinstance(outcome, Categorical)
    assert len(outcome.categories) == 600


def test_free_text_is_left_out(tmp_path: Path) -> None:
    outcome = decided(tmp_path, [f"a review with words and the number {n}" for n in range(40)]).outcome
    assert outcome == LeftOut(source="c", reason="free text")


def test_a_name_of_the_row_is_left_out(tmp_path: Path) -> None:
    words = decided(tmp_path, [f"K-{n}" for n in range(40)]).outcome
    assert isinstance(words, LeftOut)
    assert "names the rows" in words.reason
    counter = decided(tmp_path, [str(n) for n in range(5, 45)]).outcome
    assert counter == LeftOut(source="c", reason="numbers the rows")
    named = decided(tmp_path, [str(n * 7) for n in range(40)], name="customer_id").outcome
    assert isinstance(named, LeftOut)


def test_a_measurement_that_never_repeats_is_kept(tmp_path: Path) -> None:
    assert decided(tmp_path, [str(n * 7) for n in range(40)]).outcome == Numeric(source="c")
    assert decided(tmp_path, [f"{n}.5" for n in range(40)]).outcome == Numeric(source="c")


def test_constant_and_empty_columns_are_left_out_but_a_gap_is_worth_learning(tmp_path: Path) -> None:
    assert decided(tmp_path, ["3"] * 5).outcome == LeftOut(source="c", reason="the same in every row")
    assert decided(tmp_path, ["x"] * 5).outcome == LeftOut(source="c", reason="the same in every row")
    assert decided(tmp_path, ["", "NA", " "]).outcome == LeftOut(source="c", reason="all cells are missing")
    assert decided(tmp_path, ["3", "", "3"]).outcome == Numeric(source="c")
    assert isinstance(decided(tmp_path, ["x", "", "x"]).outcome, Categorical)


def test_digits_with_leading_zeros_are_codes(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["00501", "10001", "00501"])
    assert isinstance(decision.outcome, Categorical)
    assert "leading zeros" in decision.notices[0]


def test_integers_beyond_53_bits_are_names_not_amounts(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["123456789012345678901", "123456789012345678902"] * 3)
    assert isinstance(decision.outcome, Categorical)
    assert "more than 15 digits" in decision.notices[0]
    assert isinstance(decided(tmp_path, ["1e20", "2e20", "3"]).outcome, Numeric)


def test_large_numbers_that_32_bits_would_make_equal_are_shifted(tmp_path: Path) -> None:
    stamps = [str(1_700_000_000 + n * 3) for n in range(0, 200, 2)]
    decision = decided(tmp_path, stamps)
    assert decision.outcome == Numeric(source="c", offset=1_700_000_000.0)
    values, _ = encoded(decision, stamps)
    assert len({v[0] for v in values}) == len(stamps)


def test_dates_become_their_parts_that_vary(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["2018-01-07", "2018-03-08", "", "2018-03-09"])
    assert isinstance(decision.outcome, Date)
    assert decision.outcome.parts == ("days", "month", "day", "day_of_week")
    assert [f.name for f in decision.outcome.features()] == ["c.days", "c.month", "c.day", "c.day_of_week"]
    values, loss = encoded(decision, ["2018-01-08", "NA", "2019-01-07", "soon"])
    assert values == [[1.0, 1.0, 8.0, 0.0], [None] * 4, [365.0, 1.0, 7.0, 0.0], [None] * 4]
    assert loss == Loss(column="c", cells=1, example="soon")


@pytest.mark.parametrize("cells", [
    ["January 7, 2018", "August 1, 2018"], ["7 Jan 2018", "1 Aug 2018"], ["07.01.2018", "31.12.2018"],
    ["2018-01-07 10:00:00", "2018-01-07T11:30:00.5Z"], ["2018/01/07", "2018/08/01"], ["1/31/2018", "8/1/2018"],
    ["31/1/2018", "1/8/2018"], ["01-Aug-18", "02-Sep-19"],
])
def test_dates_are_known_in_the_ways_people_write_them(tmp_path: Path, cells: list[str]) -> None:
    decision = decided(tmp_path, cells)
    assert isinstance(decision.outcome, Date)
    assert decision.notices == ()


def test_an_hour_counts_as_a_part_of_a_day(tmp_path: Path) -> None:
    decision = decided(tmp_path, ["2016-07-01 00:00:00", "2016-07-01 06:00:00"])
    assert encoded(decision, ["2016-07-01 06:00:00"])[0] == [[0.25, 6.0]]


def test_dates_that_could_be_read_in_two_ways_are_said_so(tmp_path: Path) -> None:
    (notice,) = decided(tmp_path, ["1/2/2018", "3/4/2018"]).notices
    assert "month before day" in notice


def test_versions_and_times_are_no_dates(tmp_path: Path) -> None:
    assert isinstance(decided(tmp_path, ["1.2.3", "1.2.4", "4.0.3"]).outcome, Categorical)
    assert isinstance(decided(tmp_path, ["2018-02-30", "2018-02-28", "x"]).outcome, Categorical)


def test_words_are_ordered_as_numbers_only_if_all_are() -> None:
    assert in_order(["10", "9", "-1", "1e1"]) == ("-1", "9", "10", "1e1")
    assert in_order(["10", "9", "nan"]) == ("10", "9", "nan")
    assert in_order(["1_0", "9"]) == ("1_0", "9")
