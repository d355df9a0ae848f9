"""Every real dataset beside the repository is looked at and prepared, traps included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from optimizer.datasets.encode import encode_new
from optimizer.datasets.infer import inspect_folder
from optimizer.datasets.prepare import prepare
from optimizer.datasets.problem import Prepared, Problem
from optimizer.datasets.table import Table
from optimizer.errors import DatasetError

#: What a person has to say of each folder: the target where there is one table alone, and what they wish.
GIVEN: dict[str, dict[str, Any]] = {
    "adult": {"metric": "roc_auc"}, "ames_house_prices": {"metric": "rmsle"},
    "california_housing": {"target": "median_house_value"}, "cdnow_log": {"target": "amount", "groups": "customer_id"},
    "diamonds": {"target": "price"}, "etth1": {"target": "OT", "time": "date"}, "gasoline_nir": {"target": "octane"},
    "googleplay_messy": {"target": "Rating", "bad_rows": "drop", "missing_target": "drop"},
    "letter": {"target": "letter"}, "mercedes_greener": {"metric": "r2"}, "nir_shootout2002": {}, "obesity_s4e2": {},
    "s5e7": {}, "telco_churn": {"target": "Churn", "id": "customerID", "metric": "roc_auc"}, "titanic": {},
}

#: task, rows, test rows, encoded columns, submission.
EXPECTED: dict[str, tuple[str, int, int, int, str | None]] = {
    "adult": ("binary", 32561, 16281, 14, "probability"),
    "ames_house_prices": ("regression", 1095, 365, 79, "values"),
    "california_housing": ("regression", 20640, 0, 9, None),
    "cdnow_log": ("regression", 69659, 0, 6, None),
    "diamonds": ("regression", 53940, 0, 9, None),
    "etth1": ("regression", 17420, 0, 12, None),
    "gasoline_nir": ("regression", 60, 0, 401, None),
    "googleplay_messy": ("regression", 9366, 0, 15, None),
    "letter": ("multiclass", 20000, 0, 16, None),
    "mercedes_greener": ("regression", 4209, 4209, 364, "values"),
    "nir_shootout2002": ("regression", 195, 460, 650, "values"),
    "obesity_s4e2": ("multiclass", 20758, 13840, 16, "labels"),
    "s5e7": ("binary", 18524, 6175, 7, "labels"),
    "telco_churn": ("binary", 7043, 0, 19, None),
    "titanic": ("binary", 891, 418, 9, "labels"),
}


def problem_of(folder: Path, **changed: Any) -> Problem:
    return msgspec.structs.replace(inspect_folder(folder, **GIVEN[folder.name]).problem, **changed)


def load(shared: Path, name: str, data: Path) -> tuple[Prepared, Table]:
    prepared = prepare(problem_of(shared / name), data, lambda _: None)
    return prepared, Table.open(data / prepared.fingerprint)


def column(table: Table, name: str) -> Any:
    return table.x[:, [f.name for f in table.meta.features].index(name)]


def test_no_dataset_is_forgotten(shared_datasets: Path) -> None:
    assert {path.name for path in shared_datasets.iterdir() if path.is_dir()} == set(GIVEN) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_real_dataset_is_looked_at_and_prepared(shared_datasets: Path, tmp_path: Path, name: str) -> None:
    prepared, table = load(shared_datasets, name, tmp_path)
    assert (prepared.task, prepared.rows, prepared.test_rows, prepared.columns, prepared.submission_kind) == \
        EXPECTED[name]
    assert not np.isinf(table.x).any()
    assert np.isfinite(table.y).all()
    for step in range(table.meta.steps):
        train, valid = table.split(step)
        assert len(valid)
        assert not np.intersect1d(train, valid).size


def test_the_question_marks_of_adult_are_missing(shared_datasets: Path, tmp_path: Path) -> None:
    prepared, table = load(shared_datasets, "adult", tmp_path)
    assert int(np.isnan(column(table, "workclass")).sum()) == 1836
    assert prepared.classes == ("<=50K", ">50K")
    assert any("the probability of '>50K'" in notice for notice in prepared.notices)


def test_the_shifted_row_of_the_play_store_is_refused_by_its_physical_line(
    shared_datasets: Path, tmp_path: Path
) -> None:
    problem = problem_of(shared_datasets / "googleplay_messy", bad_rows="error", missing_target="error")
    with pytest.raises(DatasetError) as caught:
        prepare(problem, tmp_path, lambda _: None)
    assert caught.value.line == 10474
    assert "12, and the header has 13" in str(caught.value)
    with pytest.raises(DatasetError, match=r"1474 rows have no target: lines 25, 115, 125, 128, 131 and 1469 more") as \
            caught:
        prepare(msgspec.structs.replace(problem, bad_rows="drop"), tmp_path, lambda _: None)
    assert 'missing_target = "drop"' in caught.value.hint
    inspection = inspect_folder(shared_datasets / "googleplay_messy", target="Rating")
    assert any("line 10474" in notice and "bad_rows" in notice for notice in inspection.notices)


def test_the_play_store_without_its_bad_rows_says_what_is_left_out_and_why(
    shared_datasets: Path, tmp_path: Path
) -> None:
    prepared, table = load(shared_datasets, "googleplay_messy", tmp_path)
    assert float(table.y.max()) <= 5.0
    text = "\n".join(prepared.notices)
    assert "line 10474; left out" in text
    assert "1474 rows have no target and are left out" in text
    assert "left out, free text: App" in text
    assert "column 'Size'" in text
    assert "column 'Installs'" in text
    assert {f.kind for f in table.meta.features if f.source == "Last Updated"} == {"date"}


def test_the_eight_files_of_s5e7_are_six_tables(shared_datasets: Path, tmp_path: Path) -> None:
    base = problem_of(shared_datasets / "s5e7")
    corrected = shared_datasets / "s5e7" / "corrected"
    by_number = {
        number: prepare(msgspec.structs.replace(base, name=f"c{number}",
                                                train=str(corrected / f"train_corrected_0{number}.csv")),
                        tmp_path, lambda _: None) for number in range(1, 9)
    }
    fingerprints = {number: prepared.fingerprint for number, prepared in by_number.items()}
    assert fingerprints[1] == fingerprints[2]
    assert fingerprints[4] == fingerprints[6]
    assert len(set(fingerprints.values())) == 6
    assert by_number[2].reused
    assert by_number[1].classes == ("Extrovert", "Introvert")


def test_the_folds_of_s5e7_are_those_of_its_published_scores(shared_datasets: Path, tmp_path: Path) -> None:
    _, table = load(shared_datasets, "s5e7", tmp_path)
    for fold, (_, valid) in enumerate(StratifiedKFold(5, shuffle=True, random_state=42).split(table.x, table.y)):
        assert np.array_equal(table.split(fold)[1], valid)


def test_the_names_of_the_titanic_are_left_out_and_its_cabins_are_not(shared_datasets: Path, tmp_path: Path) -> None:
    prepared, table = load(shared_datasets, "titanic", tmp_path)
    assert "left out, free text: Name" in prepared.notices
    names = {f.name for f in table.meta.features}
    assert names == {"Pclass", "Sex", "Age", "SibSp", "Parch", "Ticket", "Fare", "Cabin", "Embarked"}
    assert int(np.isnan(column(table, "Cabin")).sum()) == 687


def test_the_blank_charges_of_telco_are_missing_numbers(shared_datasets: Path, tmp_path: Path) -> None:
    _, table = load(shared_datasets, "telco_churn", tmp_path)
    kinds = {f.name: f.kind for f in table.meta.features}
    assert kinds["TotalCharges"] == "numeric"
    assert int(np.isnan(column(table, "TotalCharges")).sum()) == 11
    assert "customerID" not in kinds


def test_the_constant_columns_of_mercedes_are_left_out_by_name(shared_datasets: Path, tmp_path: Path) -> None:
    prepared, table = load(shared_datasets, "mercedes_greener", tmp_path)
    assert sum(cardinality > 0 for cardinality in table.meta.cardinalities) == 8
    (notice,) = [notice for notice in prepared.notices if "the same in every row" in notice]
    assert notice.count("X") == 12


def test_na_in_ames_is_missing_where_it_stands_for_no_such_thing(shared_datasets: Path, tmp_path: Path) -> None:
    prepared, table = load(shared_datasets, "ames_house_prices", tmp_path)
    assert prepared.metric == "rmsle"
    assert float(np.isnan(column(table, "Alley")).mean()) > 0.9


def test_the_test_file_of_a_dataset_is_encoded_again_bit_for_bit(shared_datasets: Path, tmp_path: Path) -> None:
    for name in ("obesity_s4e2", "titanic", "mercedes_greener"):
        prepared, table = load(shared_datasets, name, tmp_path)
        x, ids = encode_new(tmp_path / prepared.fingerprint, shared_datasets / name / "test.csv")
        assert np.array_equal(x, np.asarray(table.x_test), equal_nan=True)
        assert ids is not None
        sample_ids = np.load(tmp_path / prepared.fingerprint / "ids.npy")
        id_rows = np.load(tmp_path / prepared.fingerprint / "id_rows.npy")
        assert np.array_equal(ids[id_rows], sample_ids)
