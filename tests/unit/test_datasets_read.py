"""A table is read with every cell as it is, or refused with the place: nothing is guessed."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.datasets.read import TextTable, read_header, read_table
from optimizer.errors import DatasetError


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(table: TextTable) -> dict[str, list[str]]:
    return {name: table.column(name).to_pylist() for name in table.names}


def refusal(path: Path, **options: object) -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        read_table(path, **options)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    return caught.value


# One test per row of the table of what a lenient reader does with a broken CSV file.


def test_a_row_with_too_few_fields_is_refused_by_its_line(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "a,b,y\n1,2,3\n4,5\n6,7,8\n9,9,9\n"))
    assert error.line == 3
    assert "1 row has the wrong number of fields (2, and the header has 3): line 3" in str(error)
    assert 'bad_rows = "drop"' in error.hint


def test_every_row_with_one_field_too_many_is_refused_and_not_shifted(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "a,b\n1,2,3\n4,5,6\n"))
    assert error.line == 2
    assert "most rows do not fit the header" in error.hint


def test_every_row_with_one_field_too_many_is_refused_even_where_bad_rows_are_dropped(tmp_path: Path) -> None:
    refusal(written(tmp_path, "a,b\n1,2,3\n4,5,6\n7,8\n"), on_bad_rows="drop")


def test_one_row_with_a_field_too_many_is_refused_by_its_line(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, "a,b\n1,2\n3,4\n5,6,7\n")).line == 4


def test_a_doubled_header_is_refused_with_its_places(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "a,b,a\n1,2,3\n"))
    assert "'a' is there more than once (columns 1, 3)" in str(error)


def test_labels_that_look_missing_stay_as_they_are(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,y\n1,NA\n2,None\n3,null\n4,\n"))
    assert cells(table)["y"] == ["NA", "None", "null", ""]


def test_a_number_with_separators_stays_text_and_no_other_cell_changes(tmp_path: Path) -> None:
    assert cells(read_table(written(tmp_path, 'a,b\n"1,234",1.50\n7,2\n'))) == {"a": ["1,234", "7"],
                                                                             "b": ["1.50", "2"]}


def test_infinity_and_large_integers_are_not_touched_by_reading(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,b\ninf,123456789012345678901234567890\n-inf,1\n"))
    assert cells(table)["b"][0] == "123456789012345678901234567890"


def test_words_for_truth_with_gaps_are_text(tmp_path: Path) -> None:
    assert cells(read_table(written(tmp_path, "a,b\nTrue,1\n,2\n")))["a"] == ["True", ""]


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    assert "a header and no rows" in str(refusal(written(tmp_path, "a,b\n")))
    assert "a header and no rows" in str(refusal(written(tmp_path, "a,b")))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "the file is empty" in str(refusal(written(tmp_path, "")))
    assert "first line is empty" in str(refusal(written(tmp_path, "\na,b\n1,2\n")))


def test_latin_1_is_refused_by_its_line_with_a_way_to_convert(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, "a,b\n1,x\n2,caf\u00e9\n".encode("latin-1")))
    assert error.line == 3
    assert "café" in str(error)
    assert "iconv -f latin1" in error.hint


def test_utf_16_is_refused_with_a_way_to_convert(tmp_path: Path) -> None:
    assert "iconv -f utf-16" in refusal(written(tmp_path, "a,b\n1,2\n".encode("utf-16"))).hint


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n"))
    assert cells(table) == {"a": ["1"], "b": ["2"]}


def test_a_nul_byte_is_refused_by_its_line(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, b"a,b\n1,2\n3,\x004\n"))
    assert (error.line, "NUL" in str(error)) == (3, True)


def test_an_open_quote_is_refused_by_the_line_on_which_it_opens(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n7,8\n'))
    assert error.line == 3
    assert "until the end of the file" in str(error)


def test_a_quote_closed_by_the_quote_of_a_later_row_is_refused(tmp_path: Path) -> None:
    """Both rows have the right number of fields, so a lenient parser joins them without a word."""
    error = refusal(written(tmp_path, 'a,b\n1,"x\n2,3\n4,y"z\n5,6\n'))
    assert (error.line, "until line 4" in str(error)) == (2, True)


def test_another_delimiter_is_named(tmp_path: Path) -> None:
    assert 'delimiter = ";"' in refusal(written(tmp_path, "a;b\n1;2\n")).hint
    assert 'delimiter = "\\t"' in refusal(written(tmp_path, "a\tb\n1\t2\n")).hint
    assert cells(read_table(written(tmp_path, "a;b\n1;2\n"), delimiter=";")) == {"a": ["1"], "b": ["2"]}


def test_cells_of_a_large_file_do_not_change_their_kind_on_the_way(tmp_path: Path) -> None:
    rows = ["1"] * 300_000 + ["word"]
    table = read_table(written(tmp_path, "a,b\n" + "".join(f"{cell},2\n" for cell in rows)))
    assert table.column("a").type == pa.string()
    assert table.column("a")[-1].as_py() == "word"


# Beyond the table.


def test_an_empty_name_is_refused_by_its_place(tmp_path: Path) -> None:
    assert "column 1 has no name" in str(refusal(written(tmp_path, ",b\n1,2\n")))


def test_dropped_rows_are_named_and_the_others_stay(tmp_path: Path) -> None:
    content = "a,b\n" + "".join(f"{n},x\n" for n in range(10)) + "1\n2,3,4\n5,6\n"
    table = read_table(written(tmp_path, content), on_bad_rows="drop")
    assert table.rows == 11
    assert table.notices == (
        "2 rows have the wrong number of fields (1 or 3, and the header has 2): lines 12 and 13; left out",)


def test_the_line_is_the_physical_one_though_quoted_cells_hold_newlines(tmp_path: Path) -> None:
    content = 'a,b\n"one\ntwo\nthree",1\n\n4,5\n6\n7,8\n'
    assert refusal(written(tmp_path, content)).line == 7
    table = read_table(written(tmp_path, content), on_bad_rows="drop")
    assert [table.line(row) for row in range(table.rows)] == [2, 6, 8]
    assert table.where([0, 2]) == "lines 2 and 8"


def test_a_row_keeps_its_line_after_others_are_left_out(tmp_path: Path) -> None:
    import numpy as np

    table = read_table(written(tmp_path, "a,b\n1,1\n2,2\n3,3\n4,4\n"))
    table.keep(np.array([False, True, False, True]))
    assert cells(table)["a"] == ["2", "4"]
    table.keep(np.array([False, True]))
    assert (table.rows, table.line(0)) == (1, 5)


def test_windows_line_ends_and_a_missing_last_newline_change_nothing(tmp_path: Path) -> None:
    assert cells(read_table(written(tmp_path, b"a,b\r\n1,2\r\n3,4"))) == {"a": ["1", "3"], "b": ["2", "4"]}


def test_quotes_inside_a_cell_that_is_not_quoted_are_letters(tmp_path: Path) -> None:
    assert cells(read_table(written(tmp_path, 'a,b\n5" pipe,1\n7,2\n')))["a"] == ['5" pipe', "7"]


def test_text_after_a_closing_quote_is_no_reason_to_refuse_a_file(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, 'a,b\n"x" ,"two\nlines"\n7,2\n'))
    assert cells(table)["b"] == ["two\nlines", "2"]


def test_gzip_is_read_and_hashed_like_the_plain_file(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n"
    plain = read_table(written(tmp_path, content))
    packed = read_table(written(tmp_path, gzip.compress(content), "table.csv.gz"))
    assert cells(plain) == cells(packed)
    assert plain.digest == packed.digest


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    assert "ends too early" in str(refusal(written(tmp_path, packed[:-12], "t.csv.gz")))
    damaged = packed[:-8] + bytes(8)  # its checksum and size
    assert "a damaged gzip file" in str(refusal(written(tmp_path, damaged, "t.csv.gz")))
    assert "its name says gzip, and it is none" in str(refusal(written(tmp_path, b"a,b\n1,2\n", "t.csv.gz")))


def test_a_missing_file_a_folder_and_another_kind_of_file_are_refused(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    assert "not a file" in str(refusal(tmp_path / "folder.csv"))
    assert ".parquet" in refusal(written(tmp_path, "x", "table.xlsx")).hint


def test_parquet_cells_come_as_text_and_nulls_as_null(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({
        "a": pa.array([1, None]), "a.b": [0.1, float("nan")], "c": [True, False],
        "d": pa.array(["x", "y"]).dictionary_encode(), "list": [[1], [2]],
    }), path)
    table = read_table(path)
    assert cells(table) == {"a": ["1", None], "a.b": ["0.1", "nan"], "c": ["true", "false"], "d": ["x", "y"]}
    assert table.notices == ("t.parquet: left out, for they are no plain values: list",)
    assert table.where([1]) == "row 2"
    assert read_header(path) == ("a", "a.b", "c", "d", "list")


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    assert "not a Parquet file" in str(refusal(written(tmp_path, b"PAR1 and then nothing", "t.parquet")))


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8))
def test_what_a_csv_writer_wrote_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b", "c"), *rows])
    table = read_table(written(tmp_path_factory.mktemp("t"), text.getvalue()))
    assert list(zip(*cells(table).values(), strict=True)) == rows


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELL, CELL), min_size=3, max_size=8), st.data())
def test_a_bad_row_is_named_by_its_physical_line_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows)))
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *rows[:at]])
    line = text.getvalue().count("\n") + 1
    writer.writerow(("one", "two", "three"))
    writer.writerows(rows[at:])
    path = written(tmp_path_factory.mktemp("t"), text.getvalue())
    assert refusal(path).line == line
    table = read_table(path, on_bad_rows="drop")
    assert list(zip(*cells(table).values(), strict=True)) == rows
    lines = [table.line(row) for row in range(table.rows)]
    assert lines == sorted(set(lines))
    assert line not in lines
