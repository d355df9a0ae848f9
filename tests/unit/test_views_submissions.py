"""Submissions: what was scored, in the shape of the person's sample."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from stubs.runs import FakeRun

from optimizer.errors import StorageFault, UserError
from optimizer.views import submissions
from optimizer.views.results import RunView
from optimizer.views.submissions import (
    export,
    improvement_path,
    passed_over,
    write_new_predictions,
    write_submission,
)


def submitted(run: FakeRun, test: list[list[float]], **changes: object) -> list[list[str]]:
    """The rows of a submission of one told trial with these test predictions."""
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.97, **run.predicted("a/xgboost/0", test), **changes)
    path = run.folder / "out.csv"
    write_submission(run.folder, RunView.open(run.folder).trial("a/xgboost/0"), path)
    assert [p.name for p in run.folder.glob(".out.csv*")] == []
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_labels_are_chosen_after_averaging_and_a_tie_goes_to_the_first_class_as_in_scoring(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table()
    assert submitted(run, [[0.49], [0.51], [0.5], [1.0]]) == [
        ["id", "Personality"], ["9", "Extrovert"], ["7", "Introvert"], ["8", "Extrovert"], ["6", "Introvert"]]


def test_rows_come_in_the_order_of_the_sample(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="probability", ids=("c", "a", "b"), id_rows=(2, 0, 1))
    assert submitted(run, [[0.25], [0.5], [0.75]]) == [
        ["id", "Personality"], ["c", "0.75"], ["a", "0.25"], ["b", "0.5"]]


def test_each_class_has_the_column_that_the_sample_gives_it(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="probabilities", task="multiclass", classes=("x", "y", "z"), columns=("p_z", "p_x", "p_y"),
              class_of_column=(2, 0, 1), ids=("1",), id_rows=(0,))
    assert submitted(run, [[0.25, 0.25, 0.5]]) == [["id", "p_z", "p_x", "p_y"], ["1", "0.5", "0.25", "0.25"]]


def test_of_two_classes_each_can_have_its_column(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="probabilities", columns=("Introvert", "Extrovert"), class_of_column=(1, 0), ids=("1",),
              id_rows=(0,))
    assert submitted(run, [[0.75]])[1] == ["1", "0.75", "0.25"]


def test_numbers_read_back_as_the_same_numbers(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="probability", ids=("1", "2"), id_rows=(0, 1))
    rows = submitted(run, [[0.1], [1e-30]])
    assert [float(r[1]) for r in rows[1:]] == [float(np.float32(0.1)), float(np.float32(1e-30))]


def test_a_sample_without_ids_gets_none(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="values", task="regression", classes=(), columns=("price",), id_column=None, ids=None,
              id_rows=(0, 1))
    assert submitted(run, [[1.5], [2.0]]) == [["price"], ["1.5"], ["2.0"]]


def test_ids_and_labels_go_back_letter_by_letter(tmp_path: Path) -> None:
    """Also those that a spreadsheet would take for formulas: the submission must match the sample."""
    run = FakeRun(tmp_path)
    run.table(classes=("=no", "yes, maybe"), ids=("=1+1", '007"', "-3", "Zürich"))
    assert submitted(run, [[0.0], [1.0], [0.0], [1.0]])[1:] == [
        ["=1+1", "=no"], ['007"', "yes, maybe"], ["-3", "=no"], ["Zürich", "yes, maybe"]]


@pytest.mark.parametrize(("changes", "why"), [
    ({"state": "pruned"}, "the trial was pruned"),
    ({"test_predicted": False}, "its test rows were not predicted"),
    ({"predictions": "evicted"}, "its predictions were evicted to keep the disk limit; `optimizer export` writes"),
])
def test_a_trial_without_test_predictions_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    run = FakeRun(tmp_path)
    run.table()
    with pytest.raises(UserError, match=why):
        submitted(run, [[0.1]] * 4, **changes)


def test_who_is_passed_over_is_said_the_first_by_name_and_the_rest_by_number(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a", "b")
    run.ready("a")
    run.ready("b")
    for number, score in enumerate((0.9, 0.8, 0.7, 0.6, 0.5, 0.4)):
        lacks = {} if number == 2 else {"test_predicted": False}
        run.told(f"a/xgboost/{number}", score, **lacks, predictions="evicted" if number == 1 else "kept")
        run.told(f"b/xgboost/{number}", score, test_predicted=False)  # this one has no test table

    first, second, third, rest = passed_over(tmp_path, top=5)

    assert first.startswith("a/xgboost/0 (rank 1) is passed over: its test rows were not predicted; that is done for")
    assert second.startswith("a/xgboost/1 (rank 2) is passed over: ")
    assert third.startswith("a/xgboost/3 (rank 4) is passed over: ")
    assert rest == "1 more of the best 5 of a are passed over for the same"


def test_predictions_that_are_not_those_that_were_told_are_refused(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table()
    submitted(run, [[0.1]] * 4)
    run.predicted("a/xgboost/0", [[0.9]] * 4)
    with pytest.raises(StorageFault, match="not the file that was told"):
        write_submission(tmp_path, RunView.open(tmp_path).trial("a/xgboost/0"), tmp_path / "out.csv")


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun(tmp_path)
    run.table()
    submitted(run, [[0.1]] * 4)
    before = (tmp_path / "out.csv").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submissions.os, "fsync", full)
    with pytest.raises(StorageFault, match="No space left"):
        write_submission(tmp_path, RunView.open(tmp_path).trial("a/xgboost/0"), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == before
    assert list(tmp_path.glob(".out.csv*")) == []


def test_a_submissions_name_says_score_time_family_and_dataset(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.97361234567)
    path = improvement_path(tmp_path, RunView.open(tmp_path).trial("a/xgboost/0"))
    assert path == tmp_path / "scores" / "subm-0.973612-20261122-061323-xgboost-a.csv"


def test_export_writes_the_best_of_each_dataset(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table()
    run.started("a", "b")
    run.ready("a")
    run.ready("b")
    for dataset in "ab":
        for n, score in enumerate((0.5, 0.9, 0.7)):
            trial = f"{dataset}/xgboost/{n}"
            run.told(trial, score, **run.predicted(trial, [[0.1]] * 4))
    assert [p.name[:8] for p in export(tmp_path, top=2)] == ["subm-0.9", "subm-0.7", "subm-0.9", "subm-0.7"]
    assert len(export(tmp_path, top=2, dataset="b")) == 2
    assert len(list((tmp_path / "scores").iterdir())) == 4
    with pytest.raises(UserError, match="no dataset 'c'"):
        export(tmp_path, top=2, dataset="c")


def test_export_of_nothing_says_so(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.started("a")
    run.ready("a", test_rows=0)
    run.told("a/xgboost/0", 0.9, test_predicted=False)
    with pytest.raises(UserError, match="nothing to export yet"):
        export(tmp_path, top=3)


def new_predictions(run: FakeRun, stored: list[list[float]], ids: list[str] | None) -> list[str]:
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.9)
    path = run.folder / "new.csv"
    record = RunView.open(run.folder).trial("a/xgboost/0")
    write_new_predictions(run.folder, record, np.array(stored, np.float32), ids, path)
    return path.read_text().splitlines()


def test_the_studys_own_test_table_predicted_again_is_in_the_samples_order(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="probability", ids=("c", "a", "b"), id_rows=(2, 0, 1))
    assert new_predictions(run, [[0.25], [0.5], [0.75]], ["a", "b", "c"]) == [
        "id,Personality", "c,0.75", "a,0.25", "b,0.5"]


def test_another_table_is_predicted_in_its_own_order(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(kind="probability", ids=("c", "a"), id_rows=(1, 0))
    assert new_predictions(run, [[0.25], [0.5]], ["y", "x"]) == ["id,Personality", "y,0.25", "x,0.5"]


def test_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table(ids=("c", "a"), id_rows=(1, 0))
    assert new_predictions(run, [[0.25], [0.75]], None) == ["row,Personality", "0,Extrovert", "1,Introvert"]
