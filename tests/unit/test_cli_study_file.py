"""What a person means by what is typed behind ``optimizer run``."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.cli.run import _study_path, study_file
from optimizer.errors import UserError

ONE = "[[datasets]]\ntrain = '{}'\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a study of the tables in ``data/people`` and its run's folder."""
    (tmp_path / "data" / "people").mkdir(parents=True)
    (tmp_path / "data" / "people" / "train.csv").write_text("x,y\n1,a\n")
    (tmp_path / "studies" / "people").mkdir(parents=True)
    (tmp_path / "studies" / "people.toml").write_text(ONE.format("../data/people/train*.csv"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", ["studies/people.toml", "people", "studies/people", "studies/people/"])
def test_a_study_is_named_by_its_file_its_name_or_its_run_s_folder(here: Path, typed: str) -> None:
    assert study_file(typed).resolve() == here / "studies" / "people.toml"
    assert _study_path(typed, {"target": None}, None).resolve() == here / "studies" / "people.toml"


def test_a_run_s_folder_may_be_a_link(here: Path) -> None:
    (here / "studies" / "people").rmdir()
    (here / "large").mkdir()
    (here / "studies" / "people").symlink_to(here / "large")

    assert study_file("studies/people") == here / "studies" / "people.toml"


def test_a_run_s_folder_that_is_gone_still_names_its_study(here: Path) -> None:
    (here / "studies" / "people").rmdir()

    assert study_file("studies/people") == Path("studies/people.toml")


def test_a_folder_of_tables_has_the_study_that_was_written_for_it(here: Path) -> None:
    assert _study_path("data/people", {"target": None}, None) == Path("studies/people.toml")


def test_a_folder_of_tables_never_runs_the_study_of_others(here: Path) -> None:
    (here / "more" / "people").mkdir(parents=True)

    with pytest.raises(UserError, match=r"people\.toml is there already, and its tables are not in more/people"):
        _study_path("more/people", {"target": None}, None)


@pytest.mark.parametrize("broken", ["[[datasets]", "datasets = 3", "[[datasets]]\ntrain = 3", "", "datasets = ['a']"])
def test_of_a_broken_study_the_loader_speaks(here: Path, broken: str) -> None:
    (here / "studies" / "people.toml").write_text(broken)

    assert _study_path("data/people", {"target": None}, None) == Path("studies/people.toml")


def test_what_is_not_there_is_answered_with_what_is_like_it(here: Path) -> None:
    with pytest.raises(UserError, match="there is no file or folder poople; did you mean 'people'"):
        _study_path("poople", {"target": None}, None)
