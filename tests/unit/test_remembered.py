"""Layouts are remembered by machine and shape of table; a damaged file is an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer import remembered
from optimizer.remembered import Remembered, of_this_machine, shape_of


def a_shape(rows: int = 18524, columns: int = 8) -> str:
    return shape_of(rows=rows, columns=columns, task="binary", classes=2, folds=5, families=["tree"], threads=1)


def test_what_was_measured_once_is_known_to_the_next_run(tmp_path: Path) -> None:
    Remembered(tmp_path / "deep" / "layouts.json", "box").keep(a_shape(), 4, 2, "two are faster")

    again = Remembered(tmp_path / "deep" / "layouts.json", "box")
    found = again.layout(a_shape(), 4)
    assert found is not None
    assert (found.width, found.reason) == (2, "two are faster")
    assert again.layout(a_shape(), 2) is None
    assert Remembered(again.path, "another box").layout(a_shape(), 4) is None
    assert [p.name for p in again.path.parent.iterdir()] == ["layouts.json"]


def test_tables_of_about_one_size_are_alike() -> None:
    assert a_shape(18_524) == a_shape(17_000)
    assert a_shape(18_524) != a_shape(60_000)
    assert a_shape(columns=8) != a_shape(columns=30)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 1}', b"\x00\xff"])
def test_a_damaged_file_is_an_empty_one_and_is_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "layouts.json"
    path.write_bytes(content)
    known = Remembered(path, "box")

    assert known.layout(a_shape(), 4) is None
    known.keep(a_shape(), 4, 4)
    assert known.layout(a_shape(), 4) is not None


def test_a_width_that_cannot_be_is_not_believed(tmp_path: Path) -> None:
    known = Remembered(tmp_path / "layouts.json", "box")
    known.keep(a_shape(), 4, 3)

    assert known.layout(a_shape(), 4) is None


def test_the_shapes_measured_longest_ago_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 2)
    known = Remembered(tmp_path / "layouts.json", "box")
    for rows in (10, 1_000, 100_000):
        known.keep(a_shape(rows), 2, 1)

    assert [known.layout(a_shape(rows), 2) is None for rows in (10, 1_000, 100_000)] == [True, False, False]


def test_it_lies_in_the_persons_cache_folder(tmp_path: Path) -> None:
    assert of_this_machine({"XDG_CACHE_HOME": str(tmp_path)}, 1000.0).path == tmp_path / "optimizer" / "layouts.json"
    assert of_this_machine({"HOME": "/home/me"}, 1000.0).path == Path("/home/me/.cache/optimizer/layouts.json")
