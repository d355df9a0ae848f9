"""A submission takes its shape from the sample, and its ids in the sample's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.datasets.encode import as_ids
from optimizer.datasets.problem import Problem
from optimizer.datasets.read import TextTable, read_table
from optimizer.datasets.submission import Rows, Shape, rows_of, shape_of
from optimizer.errors import DatasetError
from optimizer.metrics import get_metric


def table(folder: Path, text: str, name: str = "sample_submission.csv") -> TextTable:
    (folder / name).write_text(text)
    return read_table(folder / name)


def shape(sample: TextTable | None, classes: tuple[str, ...] = (), metric: str | None = None,
          submission: str | None = None) -> Shape:
    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    return shape_of(Problem(name="d", train="train.csv", submission=submission), sample, "id", "y", task, classes,
                    get_metric(metric) if metric else None)


def test_a_sample_of_labels_asks_for_labels(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,y\n1,no\n2,no\n"), ("no", "yes"), "accuracy")
    assert (found.shape.kind, found.shape.id_column, found.shape.columns) == ("labels", "id", ("y",))
    assert found.notices == ()


def test_a_metric_of_probabilities_turns_a_binary_sample_of_labels_into_one_probability(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,y\n1,0\n2,0\n"), ("0", "1"), "roc_auc")
    assert found.shape.kind == "probability"
    assert "the probability of '1'" in found.notices[0]


def test_numbers_that_are_no_labels_ask_for_a_probability(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,y\n1,0.5\n2,0.5\n"), ("no", "yes"))
    assert found.shape.kind == "probability"
    assert "'yes'" in found.notices[0]


def test_words_that_are_no_labels_are_said_so(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,y\n1,maybe\n"), ("no", "yes"))
    assert found.shape.kind == "labels"
    assert "'maybe'" in found.notices[0]


def test_a_regression_asks_for_values(tmp_path: Path) -> None:
    assert shape(table(tmp_path, "id,y\n1,0\n2,0\n")).shape.kind == "values"


@pytest.mark.parametrize("header", [
    "C,CL,D", "Status_C,Status_CL,Status_D", "p(C),p(CL),p(D)", "status_c,status_cl,status_d"])
def test_one_column_per_class_is_matched_by_its_header(tmp_path: Path, header: str) -> None:
    found = shape(table(tmp_path, f"id,{header}\n1,0.3,0.3,0.4\n"), ("C", "CL", "D"), "log_loss")
    assert found.shape.kind == "probabilities"
    assert found.shape.columns == tuple(header.split(","))
    assert found.shape.class_of_column == (0, 1, 2)


def test_the_order_of_the_columns_is_the_samples(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,yes,no\n1,0.5,0.5\n"), ("no", "yes"), "log_loss")
    assert found.shape.class_of_column == (1, 0)


def test_numbered_columns_match_numbered_classes(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,Class_10,Class_1,Class_2\n1,0,0,1\n"), ("1", "2", "10"), "log_loss")
    assert found.shape.class_of_column == (2, 0, 1)


def test_columns_that_name_no_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"do not name the 3 classes 'a', 'b', 'c'"):
        shape(table(tmp_path, "id,a,b,z\n1,0,0,1\n"), ("a", "b", "c"))
    with pytest.raises(DatasetError, match="only one target can be predicted"):
        shape(table(tmp_path, "id,y1,y2\n1,0,0\n"))


def test_one_column_for_many_classes_holds_labels_even_for_a_metric_of_probabilities(tmp_path: Path) -> None:
    found = shape(table(tmp_path, "id,y\n1,a\n"), ("a", "b", "c"), "log_loss")
    assert found.shape.kind == "labels"
    assert "labels go there" in found.notices[0]


def test_the_person_may_force_the_kind_if_it_fits(tmp_path: Path) -> None:
    sample = table(tmp_path, "id,y\n1,no\n")
    assert shape(sample, ("no", "yes"), submission="probability").shape.kind == "probability"
    with pytest.raises(DatasetError, match="does not fit a binary task"):
        shape(sample, ("no", "yes"), submission="values")
    with pytest.raises(DatasetError, match="did you mean 'labels'"):
        shape(sample, ("no", "yes"), submission="label")
    with pytest.raises(DatasetError, match="one column per class, and the sample has one"):
        shape(sample, ("no", "yes"), submission="probabilities")


@pytest.mark.parametrize(("classes", "metric", "kind", "columns"), [
    ((), "rmse", "values", ("y",)), (("no", "yes"), "accuracy", "labels", ("y",)),
    (("no", "yes"), "roc_auc", "probability", ("y",)), (("a", "b", "c"), "log_loss", "probabilities", ("a", "b", "c")),
    (("a", "b", "c"), None, "labels", ("y",)),
])
def test_without_a_sample_the_metric_decides(
    classes: tuple[str, ...], metric: str | None, kind: str, columns: tuple[str, ...]
) -> None:
    found = shape(None, classes, metric).shape
    assert (found.kind, found.columns, found.id_column) == (kind, columns, "id")


def rows(folder: Path, sample: str | None, test: str, id_column: str | None = "id") -> Rows:
    test_table = table(folder, test, "test.csv")
    ids: Any = as_ids(test_table.column(id_column)) if id_column in test_table.names else None
    return rows_of(None if sample is None else table(folder, sample), test_table, id_column, ids)


def test_ids_come_in_the_order_of_the_sample_as_written(tmp_path: Path) -> None:
    found = rows(tmp_path, "id,y\n007,0\n12,0\n9,0\n", "x,id\n1,12\n2,9\n3,007\n")
    assert found.ids is not None
    assert found.ids.tolist() == ["007", "12", "9"]
    assert found.id_rows.tolist() == [2, 0, 1]


def test_without_a_sample_the_test_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    found = rows(tmp_path, None, "id,x\nb,1\na,2\n")
    assert found.ids is not None
    assert (found.ids.tolist(), found.id_rows.tolist()) == (["b", "a"], [0, 1])
    assert rows(tmp_path, None, "z,x\nb,1\na,2\n").ids is None


def test_ids_of_one_table_only_are_refused_with_examples(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        rows(tmp_path, "id,y\n1,0\n2,0\n5,0\n", "id,x\n1,1\n2,2\n3,3\n")
    assert "1 ids are not in test.csv (such as '5')" in str(caught.value)
    assert "1 ids of test.csv are not in the sample (such as '3')" in str(caught.value)


def test_doubled_ids_are_refused_by_their_lines(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="such as '2' in lines 3 and 4"):
        rows(tmp_path, "id,y\n1,0\n2,0\n", "id,x\n1,1\n2,2\n2,3\n")
    with pytest.raises(DatasetError, match="such as '1' in lines 2 and 3"):
        rows(tmp_path, "id,y\n1,0\n1,0\n", "id,x\n1,1\n2,2\n")


def test_a_sample_without_a_common_id_is_taken_by_its_order_if_the_length_fits(tmp_path: Path) -> None:
    found = rows(tmp_path, "row,y\na,0\nb,0\n", "z,x\n1,1\n2,2\n")
    assert found.ids is not None
    assert (found.ids.tolist(), found.id_rows.tolist()) == (["a", "b"], [0, 1])
    assert "in the order of its rows" in found.notices[0]
    with pytest.raises(DatasetError, match="cannot be matched"):
        rows(tmp_path, "row,y\na,0\n", "z,x\n1,1\n2,2\n")


def test_a_sample_of_one_column_has_no_ids(tmp_path: Path) -> None:
    found = rows(tmp_path, "y\n0\n0\n", "id,x\n1,1\n2,2\n")
    assert found.ids is None
    assert np.array_equal(found.id_rows, [0, 1])
