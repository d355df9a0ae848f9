"""Broken datasets under a sound study file, each with one fault."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.corpus.case import DROPPED, REFUSED, SAID, STUDY, Case, put, table

Content = str | bytes


def _case(fault: str, answer: str, *words: str, train: Content | Callable[[], Content] | None = None,
          test: Content | None = None, sample: Content | None = None, keys: str = "", top: str = "",
          name: str = "train.csv") -> Case:
    def write(folder: Path) -> None:
        content = train() if callable(train) else train
        put(folder, f"data/{name}", table() if content is None else content)
        if test is not None:
            put(folder, "data/test.csv", test)
        if sample is not None:
            put(folder, "data/sample_submission.csv", sample)
        put(folder, STUDY, f"{top}\n[[datasets]]\ntrain = {json.dumps(f'../data/{name}')}\n{keys}\n")

    return Case(f"dataset: {fault}", write, answer, words)


def _y(fault: str, answer: str, cells: list[object], *words: str, keys: str = "", top: str = "") -> Case:
    """A table with these targets, over and over."""
    rows = "".join(f"{i},{i * 7 % 11},{cells[i % len(cells)]}\n" for i in range(60))
    return _case(fault, answer, *words, train=f"id,x,y\n{rows}", keys=f'target = "y"\n{keys}', top=top)


def _cell(row: int, column: str, cell: str, header: str = "id,x,colour,y") -> str:
    """A sound table with one cell of a row (0 is the first, on line 2) replaced."""
    lines = table(header=header).split("\n")
    cells = lines[row + 1].split(",")
    cells[header.split(",").index(column)] = cell
    lines[row + 1] = ",".join(cells)
    return "\n".join(lines)


def _column(column: str, cell: Callable[[int], object]) -> str:
    """A sound table with a column more."""
    lines = table().rstrip("\n").split("\n")
    return "\n".join([f"{column},{lines[0]}", *(f"{cell(i)},{line}" for i, line in enumerate(lines[1:]))]) + "\n"


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/workbook.xml", table())
    return packed.getvalue()


def _parquet(columns: dict[str, list[object]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    packed = io.BytesIO()
    pq.write_table(pa.table(columns), packed)
    return packed.getvalue()


def _damaged_parquet() -> bytes:
    """Sound at both ends, and torn where the pages are."""
    whole = bytearray(_parquet({"x": [f"cell {i * 7919 % 1000}" for i in range(2000)], "y": ["a", "b"] * 1000}))
    whole[40:4000] = b"\xff" * 3960
    return bytes(whole)


def _bomb(line: bytes, mebibytes: int) -> bytes:
    """A small gzip file that unpacks to so many MiB."""
    # A gzip file may have members, one behind the other.
    return gzip.compress(b"x,y\n") + gzip.compress(line * (2**20 // len(line)), 9) * mebibytes


HTML = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Please sign in</body></html>\n"
TEST = table(20, "id,x,colour", start=100)
SAMPLE = "id,y\n" + "".join(f"{i},a\n" for i in range(100, 120))

BYTES = (
    _case("an empty file", DROPPED, "train.csv", "empty", "copy", train=""),
    _case("a header only", DROPPED, "train.csv", "header and no rows", "rows below", train="id,x,y\n"),
    _case("a header without its newline", DROPPED, "train.csv", "no rows", "rows below", train="id,x,y"),
    _case("a blank first line", DROPPED, "train.csv:1", "first line is empty", "name the columns",
          train="\n" + table()),
    _case("blank lines only", DROPPED, "train.csv:1", "first line is empty", train="\n\n\n"),
    _case("spaces only", DROPPED, "train.csv:1", "no name", train="   \n"),
    _case("UTF-16", DROPPED, "train.csv", "UTF-16", "iconv -f utf-16", train=table().encode("utf-16")),
    _case("latin-1", DROPPED, "train.csv:4", "not UTF-8", "caf", "iconv -f latin1",
          train=_cell(2, "colour", "café").encode("latin-1")),
    _case("latin-1 in the header", DROPPED, "train.csv:1", "not UTF-8", "iconv -f latin1",
          train=table().replace("colour", "café").encode("latin-1")),
    _case("a NUL byte", DROPPED, "train.csv:4", "NUL", "tr -d", train=_cell(2, "colour", "r\0d")),
    _case("a NUL byte in the header", DROPPED, "train.csv:1", "NUL", "tr -d", train="a\0b,y\n1,2\n"),
    _case("a picture", DROPPED, "train.csv:", "copy", train=b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9),
    _case("a spreadsheet by the name of a CSV file", DROPPED, "train.csv", "ZIP", "export", train=_zip),
    _case("a Parquet file by the name of a CSV file", DROPPED, "train.csv", "Parquet", ".parquet",
          train=lambda: _parquet({"x": [1, 2], "y": [1, 2]})),
    _case("a gzip file by the name of a CSV file", DROPPED, "train.csv", "gzip", ".csv.gz",
          train=lambda: gzip.compress(table().encode())),
    _case("a web page by the name of a CSV file", DROPPED, "train.csv:1", "web page", "download", train=HTML),
    _case("a pointer of a large file by the name of it", DROPPED, "train.csv:1", "Git LFS", "git lfs pull",
          train="version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
    _case("a gzip file that is none", DROPPED, "train.csv.gz", "its name says gzip, and it is none", "end in .csv",
          train=table(), name="train.csv.gz"),
    _case("a gzip file that ends too early", DROPPED, "train.csv.gz", "ends too early", "again",
          train=lambda: gzip.compress(table(4000).encode())[:-200], name="train.csv.gz"),
    _case("a damaged gzip file", DROPPED, "train.csv.gz", "damaged", "copy",
          train=lambda: (lambda b: b[:60] + bytes(40) + b[100:])(gzip.compress(table(400).encode())),
          name="train.csv.gz"),
    _case("an empty gzip file", DROPPED, "train.csv.gz", "empty", train=lambda: gzip.compress(b""),
          name="train.csv.gz"),
    _case("a gzip bomb of rows", DROPPED, "train.csv.gz", "unpacks", "unpack it and name",
          train=lambda: _bomb(b"1,2\n", 400), name="train.csv.gz"),
    _case("a gzip bomb of one line", DROPPED, "train.csv.gz:2", "row", "MB", train=lambda: _bomb(b"00000000", 400),
          name="train.csv.gz"),
    _case("another ending", DROPPED, "train.xlsx", "expected .csv", train=table(), name="train.xlsx"),
    _case("an ending of text", DROPPED, "train.txt", "expected .csv", train=table(), name="train.txt"),
    _case("no ending", DROPPED, "train", "expected .csv", train=table(), name="training"),
    _case("a name of rich markup", DROPPED, "[bold red]x[/].csv", "empty", train="", name="[bold red]x[/].csv"),
    _case("a name with control characters", DROPPED, "\\x1b[2J.csv", "empty", train="", name="\x1b[2J.csv"),
    _case("a name with a newline", DROPPED, "a\\nb.csv", "empty", train="", name="a\nb.csv"),
)

ROWS = (
    _case("a semicolon for a comma", DROPPED, "train.csv:1", 'delimiter = ";"', train=table().replace(",", ";")),
    _case("a tab for a comma", DROPPED, "train.csv:1", 'delimiter = "\\t"', train=table().replace(",", "\t")),
    _case("a comma for a semicolon", DROPPED, "train.csv:1", 'delimiter = ","', keys='delimiter = ";"'),
    _case("one column", DROPPED, "train.csv", "one column", "columns to learn from", train="y\n" + "a\nb\n" * 20),
    _case("a row with a field too many", DROPPED, "train.csv:7", "wrong number of fields", 'bad_rows = "drop"',
          train=_cell(5, "colour", "red,blue")),
    _case("a row with a field too few", DROPPED, "train.csv:7", "wrong number of fields", 'bad_rows = "drop"',
          train=_cell(5, "colour", "red").replace("5,2.05,red,b", "5,2.05,b")),
    _case("every row shifted by one", DROPPED, "train.csv:2", "do not fit the header",
          train=table().replace("\n", "\n0,").removesuffix("0,")),
    _case("a header with a name too few", DROPPED, "train.csv:2", "a column's name missing",
          train=table().replace("id,x,colour,y", "id,x,y")),
    _case("a delimiter at the end of every row", DROPPED, "train.csv:2", "wrong number of fields",
          train="\n".join([table().split("\n")[0], *(f"{line}," for line in table().split("\n")[1:-1])])),
    _case("a decimal comma", DROPPED, "train.csv:2", "wrong number of fields", train=table().replace(".", ",")),
    _case("a last row that is cut off", DROPPED, "train.csv:41", "wrong number of fields", train=table()[:-6]),
    _case("rows left out that the person gave up", SAID, "line 7", "left out", train=_cell(5, "colour", "red,blue"),
          keys='bad_rows = "drop"'),
    _case("a quote that never closes", DROPPED, "train.csv:5", "quote", 'twice: ""', train=_cell(3, "colour", '"red')),
    _case("a quote that closes lines later", DROPPED, "train.csv:5", "quote", 'twice: ""',
          train=_cell(3, "colour", '"red').replace("9,8.09,red", '9,8.09,"red').replace('9,8.09,blue', '9,8.09,"blue')),
    _case("a cell of twenty megabytes", DROPPED, "train.csv:4", "MB", "row", train=lambda: _cell(2, "colour",
          "r" * 2 * 10**7)),
    _case("a name of a column of a megabyte", DROPPED, "train.csv:1", "name", "letters",
          train=lambda: f"id,x,{'c' * 2**20},y\n" + table().split("\n", 1)[1]),
    _case("a million columns", DROPPED, "train.csv:1", "columns", "at most",
          train=lambda: ",".join(f"c{i}" for i in range(1_000_000)) + "\n"),
    _case("a hundred thousand columns of one name", DROPPED, "train.csv:1", "more than once",
          train=lambda: ",".join(["c"] * 50_000) + "\n"),
    _case("a header of thirty megabytes", DROPPED, "train.csv:1", "MB", train=lambda: "c" * 3 * 10**7 + ",y\n1,2\n"),
    _case("a name of a column twice", DROPPED, "train.csv:1", "'x'", "more than once", "own name",
          train=table().replace("colour", "x", 1)),
    _case("a column without a name", DROPPED, "train.csv:1", "no name", "index=False",
          train=table().replace("id,", ",", 1)),
    _case("only carriage returns", SAID, "target is 'y'", train=table().replace("\n", "\r"), keys=""),
    _case("a byte order mark and Windows line ends", SAID, "target is 'y'",
          train=b"\xef\xbb\xbf" + table().replace("\n", "\r\n").encode()),
)

TARGET = (
    _case("a target that is not there", DROPPED, "train.csv", "target", "did you mean 'colour'?",
          keys='target = "color"'),
    _case("a target in another case", DROPPED, "train.csv", "did you mean 'y'?", keys='target = "Y"'),
    _case("a target that cannot be told", DROPPED, "train.csv", "cannot be told", "target =",
          train=table().replace("colour,y", "colour,z")),
    _case("a target of control characters", DROPPED, "train.csv", "\\x1b[31m", "did you mean",
          train=table().replace("colour", "\x1b[31mcolour"), keys='target = "colour"'),
    _case("a target of rich markup", DROPPED, "train.csv", "[red]y[/red]", "no such column",
          keys='target = "[red]y[/red]"'),
    _y("every target missing", DROPPED, [""], "train.csv:2", "column 'y'", "60 rows have no target", "Name another"),
    _y("some targets missing", DROPPED, ["a", "b", "a", "b", "a", "b", ""], "train.csv:8", "column 'y'",
       'missing_target = "drop"'),
    _y("missing targets that the person gave up", SAID, ["a", "b", "a", "b", "a", "b", ""], "have no target",
       "left out", keys='missing_target = "drop"'),
    _y("one class", DROPPED, ["a"], "train.csv", "column 'y'", "same target, 'a'", "another"),
    _y("one number for every target", DROPPED, [1.5], "train.csv", "column 'y'", "same target", "another",
       keys='task = "regression"'),
    _y("a class smaller than the folds", DROPPED, ["a", "b"] * 13 + ["rare"], "train.csv", "column 'y'", "'rare' (2)",
       "folds = 2"),
    _y("a class of one row", DROPPED, ["a", "b"] * 15 + ["rare"] + ["a"] * 29, "column 'y'", "'rare' (1)",
       "merge or remove"),
    _y("a class per row", DROPPED, [f"name {i}" for i in range(60)], "column 'y'", "60 different classes",
       "right target"),
    _y("more folds than rows", DROPPED, [1.5, 2.5, 3.5], "train.csv", "60 rows are too few for 50 folds",
       "lower folds", top="folds = 50"),
    _y("infinite targets", DROPPED, [1.5, 2.5, 3.5, "inf"], "train.csv:5", "column 'y'", "infinite", "drop"),
    _y("words among numbers for a target", DROPPED, [1.5, 2.5, 3.5, "high"], "train.csv:5", "column 'y'", "'high'",
       "mend", keys='task = "regression"'),
    _y("a negative target for a logarithmic metric", DROPPED, [1.5, 2.5, -3.5], "train.csv:4", "column 'y'",
       "logarithmic", "another metric", keys='metric = "rmsle"'),
    _y("dates for a target", DROPPED, [f"2026-01-{i:02}" for i in range(1, 31)], "column 'y'", "right target"),
    _y("a metric of values for classes", DROPPED, ["a", "b"], "train.csv", "column 'y'", "'a'", keys='metric = "rmse"'),
    _y("a task of two classes with three", DROPPED, ["a", "b", "c"], "column 'y'", "3 classes", 'task = "multiclass"',
       keys='task = "binary"'),
    _y("a positive class that is not there", DROPPED, ["no", "yes"], "column 'y'", "did you mean 'yes'?",
       keys='positive = "Yes"'),
    _y("a positive class of three", DROPPED, ["a", "b", "c"], "column 'y'", "one of two classes", "leave",
       keys='positive = "a"'),
    _y("a positive class for values", DROPPED, [1.5, 2.5, 3.5], "column 'y'", "regression", "leave",
       keys='positive = "1.5"'),
    _y("labels that look missing: NA", SAID, ["a", "b", "NA"], "'NA'", "class of its own", "empty those cells"),
    _y("labels that look missing: None", SAID, ["a", "b", "None"], "'None'", "class of its own", "empty those cells"),
    _y("labels that look missing: null", SAID, ["a", "b", "null"], "'null'", "class of its own", "empty those cells"),
    _y("labels that differ by case", SAID, ["yes", "no", "Yes"], "'Yes'", "capitals"),
    _y("labels that are formulas", SAID, ["=1+1", "@SUM(A1)"], "'=1+1'", "spreadsheet"),
    _y("labels of rich markup", SAID, ["[red]a", "[/red]b"], "task is binary"),
    _y("labels of control characters", DROPPED, ["a", "b\x1b[2J", "a", "b"] + ["c"] * 26, "column 'y'", "folds"),
    _y("booleans with gaps", DROPPED, ["true", "false", "true", "false", ""], "train.csv:6", "column 'y'", "no target"),
)

COLUMNS = (
    _case("a column of nothing", SAID, "left out, all cells are missing: e", train=_column("e", lambda i: "")),
    _case("a column of NaN", SAID, "left out, all cells are missing: e", train=_column("e", lambda i: "NaN")),
    _case("a constant column", SAID, "left out, the same in every row: e", train=_column("e", lambda i: 7)),
    _case("no column to learn from", DROPPED, "train.csv", "no column is left", "e",
          train="e,f,y\n" + "7,,a\n7,,b\n" * 20),
    _case("an infinite number", DROPPED, "train.csv:5", "column 'e'", "'inf'", 'missing = ["inf"]',
          train=_column("e", lambda i: "inf" if i == 3 else i / 7)),
    _case("a column of infinite numbers", DROPPED, "train.csv:2", "column 'e'", "'-inf'",
          train=_column("e", lambda i: "-inf" if i % 2 else "inf").replace("inf,0", "-inf,0", 1)),
    _case("a number of 1e300", DROPPED, "train.csv:5", "column 'e'", "32-bit", "drop",
          train=_column("e", lambda i: "1e300" if i == 3 else i / 7)),
    _case("whole numbers of more than 64 bits", SAID, "'e'", "codes",
          train=_column("e", lambda i: 10**25 + i % 4)),
    _case("a word in a column that must be numbers", DROPPED, "train.csv:5", "column 'e'", "'n.a.'", "missing =",
          train=_column("e", lambda i: "n.a." if i == 3 else i / 7), keys='numeric = ["e"]'),
    _case("numbers with units", SAID, "column 'e'", "units or separators",
          train=_column("e", lambda i: f"{i % 7} kg")),
    _case("dates in two ways", SAID, "column 'e'", "two ways",
          train=_column("e", lambda i: f"{i % 9 + 1:02}/{i % 11 + 1:02}/2026")),
    _case("a column to drop that is not there", DROPPED, "train.csv", "drop", "did you mean 'colour'?",
          keys='drop = ["color"]'),
    _case("a category column that is not there", DROPPED, "train.csv", "categorical", "did you mean",
          keys='categorical = ["colou"]'),
    _case("names of columns that are formulas", SAID, "target is 'y'", train=_column("=1+1", lambda i: i / 7)),
    _case("names of columns with control characters", SAID, "left out", "\\x1b[2J",
          train=_column("\x1b[2J", lambda i: 7)),
    _case("names of columns of rich markup", SAID, "left out", "[bold]e[/]", train=_column("[bold]e[/]", lambda i: 7)),
    _case("weights that are not there", DROPPED, "train.csv", "weights is 'ww'", "did you mean", keys='weights = "ww"',
          train=table(header="id,x,colour,w,y")),
    _case("a negative weight", DROPPED, "train.csv:5", "column 'w'", "'-1'", "at least 0", keys='weights = "w"',
          train=_cell(3, "w", "-1", "id,x,w,y")),
    _case("a missing weight", DROPPED, "train.csv:5", "column 'w'", "at least 0", keys='weights = "w"',
          train=_cell(3, "w", "NaN", "id,x,w,y")),
    _case("an infinite weight", DROPPED, "train.csv:5", "column 'w'", "'inf'", "at least 0", keys='weights = "w"',
          train=_cell(3, "w", "inf", "id,x,w,y")),
    _case("a word for a weight", DROPPED, "train.csv:5", "column 'w'", "'heavy'", "at least 0", keys='weights = "w"',
          train=_cell(3, "w", "heavy", "id,x,w,y")),
    _case("weights of nothing", DROPPED, "train.csv", "column 'w'", "every weight is 0", "leave",
          keys='weights = "w"', train=_column("w", lambda i: 0)),
    _case("groups that are not there", DROPPED, "train.csv", "groups is 'group'", "known here",
          keys='groups = "group"'),
    _case("a missing group", DROPPED, "train.csv:5", "column 'g'", "no group", "fill", keys='groups = "g"',
          train=_cell(3, "g", "", "id,x,g,y")),
    _case("fewer groups than folds", DROPPED, "train.csv", "column 'w'", "3 groups are too few for 5 folds",
          "lower folds", keys='groups = "w"', train=table(header="id,x,w,y")),
    _case("a class in one group only", DROPPED, "train.csv", "fold", "folds", keys='groups = "g"\ntarget = "y"',
          train="x,g,y\n" + "".join(f"{i * 7 % 11},g{i % 6},{'b' if i % 6 == 0 else 'a'}\n" for i in range(60))),
    _case("a time that is none", DROPPED, "train.csv:5", "column 't'", "'soon'", keys='time = "t"',
          train=_cell(3, "t", "soon", "x,t,y")),
    _case("times that are words", DROPPED, "train.csv", "column 'colour'", "neither numbers nor dates", "another",
          keys='time = "colour"'),
    _case("a missing time", DROPPED, "train.csv:5", "column 't'", "no time", "fill", keys='time = "t"',
          train=_cell(3, "t", "", "x,t,y")),
    _case("an infinite time", DROPPED, "train.csv:5", "column 't'", "'inf'", keys='time = "t"',
          train=_cell(3, "t", "inf", "x,t,y")),
    _case("one moment for every row", DROPPED, "train.csv", "column 'e'", "too few different moments", "lower folds",
          train=_column("e", lambda i: 7), keys='time = "e"'),
    _case("time and groups", DROPPED, "train.csv", "time and groups", "leave", keys='time = "t"\ngroups = "g"',
          train=table(header="id,x,t,g,y")),
    _case("time with repeats", DROPPED, "train.csv", "repeats = 2", "repeats = 1", keys='time = "t"', top="repeats = 2",
          train=table(header="id,x,t,y")),
)

FILES = (
    _case("a test table that lacks a column", DROPPED, "test.csv", "'colour'", "drop = [...]", test=table(20, "id,x"),
          keys='target = "y"'),
    _case("a test table with a column in another case", DROPPED, "test.csv", "'colour'", "did you mean 'Colour'?",
          test=TEST.replace("colour", "Colour"), keys='target = "y"'),
    _case("a test table of nothing", DROPPED, "test.csv", "empty", test=""),
    _case("a test table without rows", DROPPED, "test.csv", "no rows", test="id,x,colour\n"),
    _case("a test table with a broken row", DROPPED, "test.csv:4", "wrong number of fields", "mend",
          test=TEST.replace("102,", "102,,")),
    _case("an infinite number in the test table", DROPPED, "test.csv:3", "column 'x'", "'inf'",
          test=TEST.replace("101,7.01", "101,inf")),
    _case("new words in the test table", SAID, "column 'colour'", "training has not", test=TEST.replace("red", "pink")),
    _case("words for numbers in the test table", SAID, "column 'x'", "training has not",
          test=TEST.replace("101,7.01", "101,seven")),
    _case("columns that only the test table has", SAID, "zz", "not used",
          test="zz," + TEST.replace("\n", "\n1,").removesuffix("1,")),
    _case("a target in the test table", SAID, "column 'y'", "not used", keys='target = "y"',
          test=table(20, "id,x,colour,y", start=100)),
    _case("an id twice in the test table", DROPPED, "test.csv:4", "column 'id'", "'101'", "right id column",
          test=TEST.replace("102,", "101,")),
    _case("an id missing in the test table", DROPPED, "test.csv:4", "column 'id'", "no id", "fill",
          test=TEST.replace("102,", ",")),
    _case("every id missing in the test table", DROPPED, "test.csv:2", "column 'id'", "no id",
          test="id,x,colour\n" + ",1,red\n" * 20),
    _case("an id of a megabyte in the test table", DROPPED, "test.csv:4", "column 'id'", "letters",
          test=TEST.replace("102,", "1" * 2**20 + ",")),
    _case("an id column that is not there", DROPPED, "train.csv", "id is 'key'", "known here", keys='id = "key"',
          test=TEST),
    _case("a sample of nothing", DROPPED, "sample_submission.csv", "empty", test=TEST, sample=""),
    _case("a sample without rows", DROPPED, "sample_submission.csv", "no rows", test=TEST, sample="id,y\n"),
    _case("a sample with ids of another table", DROPPED, "sample_submission.csv", "column 'id'", "are not in test.csv",
          "belong together", test=TEST, sample=SAMPLE.replace("\n1", "\n9")),
    _case("a sample that lacks an id", DROPPED, "sample_submission.csv", "column 'id'", "not in the sample", test=TEST,
          sample=SAMPLE.replace("105,a\n", "")),
    _case("a sample with an id twice", DROPPED, "sample_submission.csv:8", "column 'id'", "'105'", test=TEST,
          sample=SAMPLE.replace("106,", "105,")),
    _case("a sample of fewer rows without ids", DROPPED, "sample_submission.csv", "19 rows", "20", "id = ", test=TEST,
          sample="y\n" + "a\n" * 19, keys='target = "y"'),
    _case("a sample whose columns are no classes", DROPPED, "sample_submission.csv", "'p'", "do not name the 2 classes",
          "called like the class", test=TEST, sample=SAMPLE.replace("id,y", "id,p,q").replace(",a", ",0,1"),
          keys='target = "y"'),
    _case("a sample of two columns for one value", DROPPED, "sample_submission.csv", "2 columns to fill", "one",
          train=table(header="id,x,colour,v"), keys='target = "v"', test=TEST,
          sample=SAMPLE.replace("id,y", "id,v,w").replace(",a", ",0,1")),
    _case("a sample of other words", SAID, "no classes of the training table", test=TEST, sample=SAMPLE.replace(",a",
          ",zz")),
    _case("a submission that does not fit the task", DROPPED, "train.csv", "'values'", "labels", test=TEST,
          keys='submission = "values"'),
    _case("a Parquet file of garbage", DROPPED, "train.parquet", "not a Parquet file", "copy", train=b"garbage" * 99,
          name="train.parquet"),
    _case("an empty Parquet file", DROPPED, "train.parquet", "empty", train=b"", name="train.parquet"),
    _case("a CSV file by the name of a Parquet file", DROPPED, "train.parquet", "not a Parquet file", train=table(),
          name="train.parquet"),
    _case("a Parquet file that ends too early", DROPPED, "train.parquet", "damaged", "copy",
          train=lambda: _parquet({"x": [1] * 99, "y": [1] * 99})[:-9], name="train.parquet"),
    _case("a Parquet file damaged in its pages", DROPPED, "train.parquet", "damaged", "copy", train=_damaged_parquet,
          name="train.parquet"),
    _case("a Parquet file whose footer lies", DROPPED, "train.parquet", "damaged", "copy", name="train.parquet",
          train=lambda: b"PAR1" + b"\x15\xff" * 300 + (600).to_bytes(4, "little") + b"PAR1"),
    _case("a Parquet file without rows", DROPPED, "train.parquet", "no rows", "rows", name="train.parquet",
          train=lambda: _parquet({"x": [], "y": []})),
    _case("a Parquet file without columns", DROPPED, "train.parquet", "no columns", name="train.parquet",
          train=lambda: _parquet({})),
    _case("a Parquet file of lists", DROPPED, "train.parquet", "column", name="train.parquet", keys='target = "y"',
          train=lambda: _parquet({"x": [[1]] * 40, "y": ["a", "b"] * 20})),
    _case("a Parquet file with bytes for a target", DROPPED, "train.parquet", "'y'", "plain", name="train.parquet",
          train=lambda: _parquet({"x": list(range(40)), "y": [b"a", b"b"] * 20}), keys='target = "y"'),
)


def _linked(fault: str, target: str, *words: str) -> Case:
    def write(folder: Path) -> None:
        (folder / "data").mkdir()
        (folder / "data/train.csv").symlink_to(target)
        put(folder, STUDY, '[[datasets]]\ntrain = "../data/train.csv"\n')

    return Case(f"dataset: {fault}", write, REFUSED, ("broken.toml:2: datasets[0].train", *words))


def _pipe(folder: Path) -> None:
    (folder / "data").mkdir()
    os.mkfifo(folder / "data/train.csv")
    put(folder, STUDY, '[[datasets]]\ntrain = "../data/train.csv"\n')


def _pipe_for_a_test_table(folder: Path) -> None:
    put(folder, "data/train.csv", table())
    os.mkfifo(folder / "data/test.csv")
    put(folder, STUDY, '[[datasets]]\ntrain = "../data/train.csv"\ntest = "../data/test.csv"\n')


LINKS = (
    _linked("a link to a device", "/dev/zero", "pipe or device", "regular file"),
    _linked("a link to itself", "train.csv", "link", "replace"),
    _linked("a link to nowhere", "gone.csv", "link", "replace"),
    _linked("a link to a folder", "..", "folder"),
    Case("dataset: a pipe that nobody writes to", _pipe, REFUSED,
         ("broken.toml:2: datasets[0].train", "pipe or device", "regular file")),
    Case("dataset: a pipe for a test table", _pipe_for_a_test_table, REFUSED,
         ("broken.toml:3: datasets[0].test", "pipe or device", "regular file")),
)

CASES = (*BYTES, *ROWS, *TARGET, *COLUMNS, *FILES, *LINKS)
