"""Which training rows a fit is made on that is not made on all: drawn once, in proportion, in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tables import write_table

from optimizer.datasets.subsample import proportional, subsample
from optimizer.datasets.table import Table


def a_table(root: Path, y: np.ndarray, task: str, **options: str) -> Table:
    write_table(root, y[:, None], y, task=task, **options)
    return Table.open(root / "data" / "t0")


def test_rows_are_drawn_once_for_whoever_asks_and_stay_in_their_order(tmp_path: Path) -> None:
    table = a_table(tmp_path, np.linspace(0, 1, 400), "regression")
    train, _ = table.split(0)

    drawn = subsample(table, 0, train, 50)

    assert len(drawn) == 50
    assert set(drawn) < set(train)
    assert list(drawn) == sorted(set(drawn))
    assert list(drawn) == list(subsample(table, 0, train, 50))
    assert set(drawn) != set(subsample(table, 1, table.split(1)[0], 50))


def test_where_there_are_no_more_rows_all_are_taken(tmp_path: Path) -> None:
    table = a_table(tmp_path, np.linspace(0, 1, 40), "regression")
    train, _ = table.split(0)

    assert subsample(table, 0, train, 30) is train
    assert len(subsample(table, 0, train, 29)) == 29


def test_classes_keep_their_proportions_and_the_rarest_keeps_a_row(tmp_path: Path) -> None:
    y = np.zeros(4000)
    y[::4], y[1:3:1] = 1, 2
    table = a_table(tmp_path, y, "multiclass")

    drawn = subsample(table, 0, table.split(0)[0], 100)

    counts = np.bincount(y[drawn].astype(int))
    assert counts.sum() == 100
    assert counts[2] == 1
    assert abs(counts[1] / 100 - (y[table.split(0)[0]] == 1).mean()) < 0.02


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_of_rows_in_time_every_stretch_of_the_past_is_kept_and_nothing_of_the_future(tmp_path: Path, task: str) -> None:
    y = np.linspace(0, 1, 600) if task == "regression" else (np.arange(600) % 3 == 0).astype(float)
    table = a_table(tmp_path, y, task, fold_kind="time")
    train, valid = table.split(2)

    drawn = subsample(table, 2, train, 60)

    assert drawn.max() < valid.min()
    assert list(np.bincount(table.folds[0][drawn])) == [20, 20, 20]


@pytest.mark.parametrize(("sizes", "count", "expected"), [
    ([100, 100], 10, [5, 5]), ([10, 0, 30], 4, [1, 0, 3]), ([1000, 1, 1], 10, [8, 1, 1]), ([5, 5, 5], 2, [1, 1, 0]),
    ([1, 1, 7], 8, [1, 1, 6]), ([0, 0], 3, [0, 0]),
])
def test_a_count_is_divided_whole_and_in_proportion(sizes: list[int], count: int, expected: list[int]) -> None:
    assert list(proportional(np.array(sizes), count)) == expected
