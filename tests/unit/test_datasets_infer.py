"""What can be told of a dataset is told with the reason; what cannot is asked for by the option that gives it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from optimizer.datasets.infer import Inspection, dataset_name, inspect_folder
from optimizer.datasets.problem import Problem
from optimizer.datasets.roles import infer_roles
from optimizer.errors import DatasetError, UserError

TRAIN = "id,size,kind,price\n" + "".join(f"{n},{n * 3 % 7}.5,{'ab'[n % 2]},{n}.25\n" for n in range(30))
TEST = "id,size,kind\n" + "".join(f"{n},{n * 3 % 7}.5,{'ab'[n % 2]}\n" for n in range(30, 40))
SAMPLE = "id,price\n" + "".join(f"{n},0\n" for n in range(30, 40))


def folder(root: Path, **files: str) -> Path:
    path = root / "house prices"
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return path


def found(inspection: Inspection) -> dict[str, str | None]:
    return {key: field.value for key, field in inspection.fields.items()}


def test_a_kaggle_style_folder_tells_everything_with_reasons(tmp_path: Path) -> None:
    path = folder(tmp_path, train=TRAIN, test=TEST, sample_submission=SAMPLE)
    inspection = inspect_folder(path)
    assert inspection.name == "house_prices"
    assert found(inspection) == {
        "train": str(path / "train.csv"), "test": str(path / "test.csv"),
        "sample_submission": str(path / "sample_submission.csv"), "target": "price", "id": "id", "task": "regression",
        "metric": "rmse",
    }
    assert inspection.fields["target"].why == "the column that the sample submission asks for"
    assert all(field.why for field in inspection.fields.values())
    assert inspection.problem == Problem(name="house_prices", **found(inspection))  # type: ignore[arg-type]


def test_without_a_sample_the_target_is_what_the_test_table_lacks(tmp_path: Path) -> None:
    inspection = inspect_folder(folder(tmp_path, train=TRAIN, test=TEST))
    assert found(inspection)["target"] == "price"
    assert found(inspection)["id"] == "id"


def test_one_table_alone_needs_a_known_name_or_the_option(tmp_path: Path) -> None:
    path = folder(tmp_path, data=TRAIN)
    with pytest.raises(DatasetError, match="--target"):
        inspect_folder(path)
    assert found(inspect_folder(path, target="price"))["train"] == str(path / "data.csv")
    assert found(inspect_folder(folder(tmp_path, data=TRAIN.replace("price", "Target"))))["target"] == "Target"


def test_a_wrong_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="target is 'prize', and the table has no such column; did you mean 'price'"):
        inspect_folder(folder(tmp_path, data=TRAIN), target="prize")


def test_several_tables_without_a_training_table_ask_for_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="--train FILE"):
        inspect_folder(folder(tmp_path, one=TRAIN, two=TRAIN))
    with pytest.raises(DatasetError, match="no other tables"):
        inspect_folder(empty)
    with pytest.raises(DatasetError, match="no such folder"):
        inspect_folder(tmp_path / "nowhere")


def test_what_the_person_gives_is_kept_as_given(tmp_path: Path) -> None:
    path = folder(tmp_path, one=TRAIN, two=TEST)
    inspection = inspect_folder(path, train="one.csv", test="two.csv", metric="mae", folds=3, drop=["kind"], time=None)
    assert inspection.fields["metric"].why == "as given"
    assert inspection.given == {"folds": 3, "drop": ["kind"]}
    assert inspection.problem.folds == 3
    assert inspection.problem.drop == ("kind",)
    with pytest.raises(DatasetError, match="no such file"):
        inspect_folder(path, train="three.csv")
    with pytest.raises(UserError, match="is for binary and multiclass"):
        inspect_folder(path, train="one.csv", task="regression", target="price", metric="accuracy")


def test_another_delimiter_and_gzip_are_seen(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "train.csv.gz").write_bytes(gzip.compress(TRAIN.replace(",", ";").encode()))
    inspection = inspect_folder(path, target="price")
    assert found(inspection)["delimiter"] == ";"
    assert inspection.problem.delimiter == ";"


def test_rows_that_a_run_will_refuse_are_said_so_already(tmp_path: Path) -> None:
    inspection = inspect_folder(folder(tmp_path, data=TRAIN + "1,2\n"), target="price")
    assert "line 32" in inspection.notices[0]
    assert 'a run refuses them unless bad_rows = "drop"' in inspection.notices[0]
    assert not inspect_folder(folder(tmp_path, data=TRAIN + "1,2\n"), target="price", bad_rows="drop").notices


def test_the_metric_follows_what_the_sample_holds(tmp_path: Path) -> None:
    train = TRAIN.replace(",price", ",bought").replace("5,a,", "5,a,0\n#").replace("5,b,", "5,b,1\n#")
    train = "\n".join(line for line in train.splitlines() if not line.startswith("#"))
    labels = SAMPLE.replace("price", "bought")
    inspection = inspect_folder(folder(tmp_path, train=train, test=TEST, sample_submission=labels))
    assert (found(inspection)["task"], found(inspection)["metric"]) == ("binary", "accuracy")
    halves = labels.replace(",0\n", ",0.5\n")
    inspection = inspect_folder(folder(tmp_path, train=train, test=TEST, sample_submission=halves))
    assert found(inspection)["metric"] == "roc_auc"


def test_several_columns_that_the_test_table_lacks_ask_for_the_target() -> None:
    problem = Problem(name="d", train="train.csv")
    with pytest.raises(DatasetError, match="lacks 'a', 'b'"):
        infer_roles(problem, ["id", "x", "a", "b"], ["id", "x"], None)
    roles = infer_roles(Problem(name="d", train="train.csv", weights="a"), ["id", "x", "a", "b"], ["id", "x"], None)
    assert roles.target.value == "b"


def test_a_folders_name_becomes_a_name(tmp_path: Path) -> None:
    (tmp_path / "Ames (2011)").mkdir()
    assert dataset_name(tmp_path / "Ames (2011)") == "Ames_2011"
