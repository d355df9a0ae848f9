"""Folds are those of scikit-learn for the same seed, keep groups whole, and keep the past before the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

from optimizer.datasets.folds import (
    check_classes,
    fold_kind,
    make_folds,
    read_groups,
    read_time,
    read_weights,
)
from optimizer.datasets.problem import Problem
from optimizer.datasets.read import read_table
from optimizer.errors import DatasetError

Y = np.tile([0.0, 0.0, 1.0], 20)
VALUES = np.linspace(0, 1, 60)


def problem(**settings: Any) -> Problem:
    return Problem(name="d", train="train.csv", **settings)


def test_the_kind_follows_the_problem() -> None:
    assert fold_kind(problem(), "binary") == "stratified"
    assert fold_kind(problem(), "regression") == "plain"
    assert fold_kind(problem(groups="g"), "multiclass") == "stratified-grouped"
    assert fold_kind(problem(groups="g"), "regression") == "grouped"
    assert fold_kind(problem(time="t"), "binary") == "time"


@pytest.mark.parametrize("settings", [{"folds": 1}, {"repeats": 0}, {"time": "t", "groups": "g"},
                                      {"time": "t", "repeats": 2}])
def test_wishes_that_exclude_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(DatasetError):
        fold_kind(problem(**settings), "binary")


def test_the_first_repeat_is_scikit_learns_with_the_same_seed() -> None:
    folds = make_folds("stratified", problem(seed=42, repeats=2), Y, None, None)
    for fold, (_, valid) in enumerate(StratifiedKFold(5, shuffle=True, random_state=42).split(Y, Y)):
        assert np.flatnonzero(folds[0] == fold).tolist() == valid.tolist()
    plain = make_folds("plain", problem(seed=3), VALUES, None, None)
    for fold, (_, valid) in enumerate(KFold(5, shuffle=True, random_state=3).split(VALUES)):
        assert np.flatnonzero(plain[0] == fold).tolist() == valid.tolist()


def test_repeats_differ_and_come_back_the_same() -> None:
    folds = make_folds("stratified", problem(repeats=3), Y, None, None)
    assert folds.shape == (3, 60)
    assert folds.dtype == np.int16
    assert not (folds[0] == folds[1]).all()
    assert not (folds[1] == folds[2]).all()
    assert (folds == make_folds("stratified", problem(repeats=3), Y, None, None)).all()


@pytest.mark.parametrize("kind", ["grouped", "stratified-grouped"])
def test_a_group_is_never_torn_apart(kind: str) -> None:
    groups = np.repeat(np.arange(12, dtype=np.int32), 5)
    folds = make_folds(kind, problem(groups="g"), Y, groups, None)[0]
    assert all(len(set(folds[groups == group])) == 1 for group in range(12))
    assert set(folds) == set(range(5))


def test_too_few_groups_or_rows_are_refused() -> None:
    with pytest.raises(DatasetError, match="3 groups are too few for 5 folds"):
        make_folds("grouped", problem(groups="g"), VALUES, np.repeat(np.arange(3, dtype=np.int32), 20), None)
    with pytest.raises(DatasetError, match="9 rows are too few for 5 folds"):
        make_folds("plain", problem(), VALUES[:9], None, None)


def test_time_ordered_folds_never_validate_the_past() -> None:
    time = np.random.default_rng(0).permutation(60).astype(float)
    stretch = make_folds("time", problem(time="t"), VALUES, None, time)[0]
    assert set(stretch) == set(range(6))
    for fold in range(5):
        assert time[stretch <= fold].max() < time[stretch == fold + 1].min()


def test_rows_of_one_moment_stay_in_one_stretch() -> None:
    time = np.repeat(np.arange(12.0), 5)
    stretch = make_folds("time", problem(time="t", folds=4), VALUES, None, time)[0]
    assert all(len(set(stretch[time == moment])) == 1 for moment in range(12))
    with pytest.raises(DatasetError, match="too few different moments"):
        make_folds("time", problem(time="t"), VALUES, None, np.repeat([1.0, 2.0], 30))


def test_a_fold_that_would_train_without_a_class_is_refused() -> None:
    y = np.repeat([0.0, 1.0], 30)
    folds = make_folds("time", problem(time="t"), y, None, np.arange(60.0))
    with pytest.raises(DatasetError, match="fold 1 would train without a row of class 'b'"):
        check_classes("time", problem(time="t"), y, folds, ("a", "b"))


def test_a_fold_that_does_not_validate_one_of_three_classes_is_said_so() -> None:
    y = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 0.0, 1.0, 2.0, 0.0])
    folds = np.array([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1]], np.int16)
    with pytest.raises(DatasetError, match="would train without"):
        check_classes("grouped", problem(folds=2), y, folds, ("a", "b", "c"))
    folds[0, :3] = 2
    assert check_classes("grouped", problem(folds=3), y, folds, ("a", "b", "c")) == (
        "fold 2 of repeat 1 validates no row of 'c'",)


def table(folder: Path, cells: list[str]) -> Any:
    path = folder / "train.csv"
    path.write_text("c,x\n" + "".join(f'"{cell}",1\n' for cell in cells))
    return read_table(path)


def test_groups_times_and_weights_are_read_from_their_columns(tmp_path: Path) -> None:
    assert read_groups(table(tmp_path, ["b", "a", "b"]), "c").tolist() == [0, 1, 0]
    assert read_weights(table(tmp_path, ["1", "0", "2.5"]), "c").tolist() == [1.0, 0.0, 2.5]
    assert read_time(table(tmp_path, ["3", "1", "2"]), "c").tolist() == [3.0, 1.0, 2.0]
    times = read_time(table(tmp_path, ["2018-01-03", "2018-01-01 10:00", "2018-01-02"]), "c")
    assert np.argsort(times).tolist() == [1, 2, 0]


@pytest.mark.parametrize(("read", "cells", "said"), [
    (read_groups, ["a", "", "b"], "1 row has no group: line 3"),
    (read_time, ["1", "NA", "2"], "1 row has no time: line 3"),
    (read_time, ["1", "noon", "2"], "1 row has a time that is no number, the first is 'noon': line 3"),
    (read_time, ["1", "noon", "night"], "neither numbers nor dates"),
    (read_weights, ["1", "-1", "x"], "2 are not, the first is '-1': lines 3 and 4"),
    (read_weights, ["0", "0"], "every weight is 0"),
])
def test_a_row_without_its_group_time_or_weight_is_refused(
    tmp_path: Path, read: Any, cells: list[str], said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        read(table(tmp_path, cells), "c")
