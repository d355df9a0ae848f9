"""Labels stay as written; what cannot be learned is refused before the first trial, with the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.datasets.problem import Problem
from optimizer.datasets.read import read_table
from optimizer.datasets.target import Target, read_target
from optimizer.errors import DatasetError, UserError
from optimizer.metrics import get_metric


def target_of(folder: Path, cells: list[str], **problem: Any) -> Target:
    path = folder / "train.csv"
    path.write_text("x,y\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells)))
    settings = Problem(name="d", train=str(path), target="y", **{"folds": 2, **problem})
    metric = get_metric(settings.metric) if settings.metric else None
    return read_target(read_table(path), settings, "y", metric)


def refusal(folder: Path, cells: list[str], **problem: Any) -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        target_of(folder, cells, **problem)
    return caught.value


def test_labels_keep_their_spelling_and_code_in_order(tmp_path: Path) -> None:
    target = target_of(tmp_path, ["Introvert", " Extrovert", "Introvert", " Extrovert"])
    assert target.classes == (" Extrovert", "Introvert")
    assert target.y.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert target.class_counts == (2, 2)
    assert target.task.name == "binary"


def test_numbers_as_labels_are_ordered_as_numbers(tmp_path: Path) -> None:
    assert target_of(tmp_path, ["10", "9", "2"] * 10, task="multiclass").classes == ("2", "9", "10")


def test_na_as_a_label_is_a_class_and_said_so(tmp_path: Path) -> None:
    target = target_of(tmp_path, ["NA", "EU", "NA", "EU", "AS", "AS"])
    assert target.classes == ("AS", "EU", "NA")
    assert "the label 'NA' (2 rows) is taken as a class of its own" in target.notices[0]


def test_labels_that_differ_only_in_spaces_or_capitals_are_said_so(tmp_path: Path) -> None:
    target = target_of(tmp_path, ["yes", "Yes", "no"] * 3)
    assert "'Yes', 'yes'" in target.notices[0]


def test_an_empty_label_is_refused_by_its_lines_with_the_next_step(tmp_path: Path) -> None:
    error = refusal(tmp_path, ["a", "", "b", " ", "a", "b"])
    assert error.line == 3
    assert "2 rows have no target: lines 3 and 5" in str(error)
    assert 'missing_target = "drop"' in error.hint


def test_rows_without_a_target_are_left_out_when_asked(tmp_path: Path) -> None:
    target = target_of(tmp_path, ["1.5", "NaN", "2.5", "", "3.5", "NA"], missing_target="drop")
    assert target.y.tolist() == [1.5, 2.5, 3.5]
    assert target.notices == ("3 rows have no target and are left out: lines 3, 5 and 7",)


def test_na_is_a_missing_target_of_a_regression(tmp_path: Path) -> None:
    assert "1 row has no target: line 3" in str(refusal(tmp_path, ["1.5", "NA", "2.5", "3.25"]))


def test_a_target_without_any_value_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path, ["", "", ""], missing_target="drop")


def test_an_infinite_target_is_refused_by_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, ["1.5", "2.5", "inf", "3.5"], task="regression")
    assert (error.line, "infinite" in str(error)) == (4, True)


def test_a_word_among_the_values_of_a_regression_is_refused_by_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, ["1.5", "2.5", "x", "3.5"], task="regression")
    assert (error.line, "'x'" in str(error)) == (4, True)


def test_a_logarithmic_metric_refuses_targets_of_minus_one_or_less(tmp_path: Path) -> None:
    cells = ["1.5", "-1", "2.5", "3.5"]
    assert refusal(tmp_path, cells, metric="rmsle").line == 3
    assert target_of(tmp_path, cells, metric="rmse").y.tolist() == [1.5, -1.0, 2.5, 3.5]


def test_one_class_is_refused(tmp_path: Path) -> None:
    assert "every row has the same target, 'a'" in str(refusal(tmp_path, ["a"] * 4))
    assert "every row has the same target" in str(refusal(tmp_path, ["1.5"] * 4, task="regression"))


def test_a_class_smaller_than_the_folds_is_refused_with_the_folds_that_would_do(tmp_path: Path) -> None:
    error = refusal(tmp_path, ["a"] * 9 + ["b"] * 3, folds=5)
    assert "a class needs 5 rows, and these have fewer: 'b' (3)" in str(error)
    assert "set folds = 3" in error.hint


def test_positive_puts_a_class_last(tmp_path: Path) -> None:
    cells = ["Yes", "No"] * 3
    assert target_of(tmp_path, cells).classes == ("No", "Yes")
    assert target_of(tmp_path, cells, positive="No").classes == ("Yes", "No")
    assert "did you mean 'Yes'" in str(refusal(tmp_path, cells, positive="yes"))
    assert "there are 3" in str(refusal(tmp_path, ["a", "b", "c"] * 3, positive="a"))


@pytest.mark.parametrize(("cells", "task"), [
    (["0", "1"] * 5, "binary"), (["0.0", "1.0"] * 5, "binary"), (["a", "b"] * 5, "binary"),
    (["a", "b", "c"] * 5, "multiclass"), (["1", "2", "3"] * 10, "multiclass"), (["1.5", "2.5", "3"] * 10, "regression"),
    ([str(n) for n in range(50)], "regression"), (["1", "2", "3"], "regression"),
])
def test_the_task_follows_from_the_cells(tmp_path: Path, cells: list[str], task: str) -> None:
    assert target_of(tmp_path, cells).task.name == task


def test_the_metric_decides_where_the_cells_could_be_either(tmp_path: Path) -> None:
    cells = ["1", "2", "3"] * 10
    assert target_of(tmp_path, cells, metric="rmse").task.name == "regression"
    assert target_of(tmp_path, cells, metric="qwk").task.name == "multiclass"


def test_a_metric_that_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'f1' is for binary"):
        target_of(tmp_path, ["a", "b", "c"] * 3, metric="f1")


def test_a_task_that_does_not_fit_the_classes_is_refused(tmp_path: Path) -> None:
    assert 'task = "multiclass"' in refusal(tmp_path, ["a", "b", "c"] * 3, task="binary").hint
    assert 'task = "binary"' in refusal(tmp_path, ["a", "b"] * 3, task="multiclass").hint
    assert "did you mean 'regression'" in str(refusal(tmp_path, ["1", "2"] * 3, task="regresion"))


def test_nearly_as_many_classes_as_rows_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, [f"name {n}" for n in range(40)])
    assert "40 different classes on 40 rows" in str(error)


def test_zeros_in_the_target_of_mape_are_said_so(tmp_path: Path) -> None:
    target = target_of(tmp_path, ["0", "1.5", "2.5", "3"], metric="mape")
    assert target.notices == ("1 targets are 0, and mape divides by the target",)
    assert np.isfinite(target.y).all()
