"""Whatever a table holds: it is prepared, or a person is told what is wrong with it."""

from __future__ import annotations

import gzip
import tempfile
import warnings
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.datasets.prepare import prepare
from optimizer.datasets.problem import Problem
from optimizer.datasets.read import read_table
from optimizer.errors import UserError

_CELL = st.one_of(
    st.sampled_from(["", "1", "2.5", "-3", "a", "b", "NA", "None", "inf", "nan", "1e400", "true", "no", "2026-01-31",
                     "01/02/2026", '"a"', '"', '""', '"a,b"', "0012", "9" * 20, "=1+1", "\ufeff", "\x1b[2J", " "]),
    st.text(max_size=4))
_DELIMITER = st.sampled_from([",", ";", "\t", "|", " "])


def check(content: bytes, folder: Path, *, name: str = "train.csv", delimiter: str = ",",
          target: str | None = "y") -> None:
    """Prepare the table; anything but a prepared one or a message that is safe to print fails."""
    path = folder / name
    path.write_bytes(content)
    for read in (
        lambda: read_table(path, delimiter=delimiter, on_bad_rows="drop"),
        lambda: prepare(Problem(name="x", train=str(path), target=target, delimiter=delimiter, folds=2),
                        folder / "data", lambda line: None),
    ):
        try:
            read()
        except UserError as error:
            message = str(error)
            assert all(c.isprintable() or c == "\n" for c in message), repr(message)
            assert len(message) < 5000, message


@settings(max_examples=100)
@given(st.lists(st.lists(_CELL, min_size=1, max_size=4), max_size=6), _DELIMITER, st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_cells_are_a_table_or_are_answered(rows: list[list[str]], delimiter: str, end: str) -> None:
    text = end.join(delimiter.join(row) for row in [["x", "y", "z"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        check(text.encode("utf-8", "surrogatepass"), Path(folder), delimiter=delimiter)


@settings(max_examples=50)
@given(st.lists(st.tuples(_CELL, _CELL), min_size=6, max_size=12))
def test_columns_of_any_two_kinds_of_cells_are_encoded_or_are_answered(rows: list[tuple[str, str]]) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for row in rows for cell in row]
    lines = [f"{quoted[i]},{quoted[i + 1]},{'ab'[i // 2 % 2]}" for i in range(0, len(quoted), 2)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        check("\n".join(["u,v,y", *lines]).encode("utf-8", "surrogatepass"), Path(folder))


@settings(max_examples=100)
@given(st.binary(max_size=80), st.sampled_from(["train.csv", "train.csv.gz", "train.parquet"]))
def test_any_bytes_are_a_table_or_are_answered(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(content, Path(folder), name=name, target=None)


@settings(max_examples=80)
@given(st.integers(0, 90), st.binary(max_size=3), st.integers(0, 4))
def test_a_packed_table_with_a_wound_is_a_table_or_is_answered(at: int, wound: bytes, gone: int) -> None:
    sound = gzip.compress(b"x,y\n" + b"1,a\n2,b\n3,a\n4,b\n" * 3, mtime=0)
    with tempfile.TemporaryDirectory() as folder:
        check(sound[:at] + wound + sound[at + gone:], Path(folder), name="train.csv.gz")
