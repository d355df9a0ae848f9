"""`optimizer init`: a study file for a folder of tables."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from optimizer.config.init import init_study, study_file_for
from optimizer.config.load import load_study
from optimizer.config.names import KnownNames
from optimizer.errors import DatasetError, UserError

KNOWN = KnownNames(families=("catboost", "lightgbm", "xgboost"), samplers=("tpe",), pruners=("confidence",))
TRAIN = "id,a,y\n" + "".join(f"{i},{i % 7},{'no' if i % 3 else 'yes'}\n" for i in range(30))
TEST = "id,a\n30,1\n31,2\n"
SAMPLE = "id,y\n30,no\n31,no\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def competition(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in {"train.csv": TRAIN, "test.csv": TEST, "sample_submission.csv": SAMPLE}.items():
        (folder / name).write_text(text)
    return folder


def test_a_competitions_folder_becomes_a_study_file_that_says_why(here: Path) -> None:
    path = init_study(competition(here / "data" / "s1"), Path("studies"), {})
    assert path == Path("studies/s1.toml")
    lines = path.read_text().splitlines()
    start = lines.index("[[datasets]]")
    assert lines[start : start + 9] == [
        "[[datasets]]",
        'name = "s1"',
        'train = "../data/s1/train.csv"              # by its name',
        'test = "../data/s1/test.csv"                # by its name',
        'sample_submission = "../data/s1/sample_submission.csv" # by its name',
        'target = "y"                                # the column that the sample submission asks for',
        'id = "id"                                   # the first column of the sample submission',
        "task = \"binary\"                             # 'y' holds 2 different words",
        'metric = "accuracy"                         # the usual one for binary where a submission holds labels',
    ]


def test_what_it_writes_is_loaded_as_it_was_found(here: Path) -> None:
    folder = competition(here / "s1")
    study = load_study(init_study(folder, Path("studies"), {"time_per_dataset": "5m", "folds": 3}), KNOWN)
    (problem,) = study.datasets
    assert (problem.train, problem.test) == (str(folder / "train.csv"), str(folder / "test.csv"))
    assert (problem.target, problem.id, problem.metric, problem.task) == ("y", "id", "accuracy", "binary")
    assert (study.time_per_dataset_s, study.folds) == (300.0, 3)


def test_what_the_person_gives_is_written_as_given(here: Path) -> None:
    path = init_study(competition(here / "s1"), Path("studies"),
                      {"target": "y", "metric": "auc", "missing": ("?",), "weights": None})
    data = tomllib.loads(path.read_text())["datasets"][0]
    assert (data["target"], data["metric"], data["missing"]) == ("y", "roc_auc", ["?"])
    assert "weights" not in data


def test_an_existing_study_file_is_left_as_it_is(here: Path) -> None:
    folder = competition(here / "s1")
    path = study_file_for(folder, Path("studies"))
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(UserError, match=r"^studies/s1\.toml is there already and is left as it is; "
                                        r"`optimizer run studies/s1\.toml` runs it; remove it"):
        init_study(folder, Path("studies"), {})
    assert path.read_text() == "mine"


def test_a_time_that_is_none_is_refused_before_anything_is_written(here: Path) -> None:
    with pytest.raises(UserError, match="--time: found 'soon', expected a duration"):
        init_study(competition(here / "s1"), Path("studies"), {"time_per_dataset": "soon"})
    assert not Path("studies").exists()


def test_a_target_that_cannot_be_told_is_asked_for(here: Path) -> None:
    (here / "s1").mkdir()
    (here / "s1" / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="--target"):
        init_study(here / "s1", Path("studies"), {})


@pytest.mark.parametrize("name", [
    'quo"te', "back\\slash", "new\nline", "a # b = [", "[glob]*?", "tab\there", "~home", "bell\a\x7f", "\u202eevil",
    "é 日本",
])
def test_a_hostile_folder_name_still_gives_a_file_that_loads(here: Path, name: str) -> None:
    folder = competition(here / name)
    path = init_study(folder, Path("studies"), {})
    assert load_study(path, KNOWN).datasets[0].train == str(folder / "train.csv")
    assert all(line.isprintable() for line in path.read_text().splitlines() if line.startswith("#"))


def test_tables_beside_the_study_files_are_found_whatever_their_folder_is_called(here: Path) -> None:
    folder = competition(here / "studies" / "~x")
    path = init_study(folder, Path("studies"), {})
    assert load_study(path, KNOWN).datasets[0].train == str(folder / "train.csv")


def test_a_folder_name_that_is_not_utf_8_is_refused(here: Path) -> None:
    folder = here / os.fsdecode(b"caf\xe9")
    try:
        competition(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match="not UTF-8"):
        init_study(folder, Path("studies"), {})
