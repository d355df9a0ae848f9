"""Errors help the reader act: what was found, where, and what to do."""

from __future__ import annotations

from pathlib import Path

from optimizer import errors
from optimizer.errors import (
    DatasetError,
    Fault,
    OptimizerError,
    StudyFileError,
    UserError,
    did_you_mean,
    listed,
    printable,
    quoted,
)


def test_a_near_word_is_suggested() -> None:
    assert did_you_mean("acuracy", ["accuracy", "rmse"]) == "did you mean 'accuracy'?"


def test_without_a_near_word_all_known_words_are_listed() -> None:
    assert did_you_mean("zzz", ["tpe", "grid"]) == "known here: grid, tpe"
    assert did_you_mean("zzz", []) == ""


def test_capitals_do_not_hide_a_near_word() -> None:
    assert did_you_mean("LightGBM", ["catboost", "lightgbm"]) == "did you mean 'lightgbm'?"
    assert did_you_mean("colour", ["x", "Colour"]) == "did you mean 'Colour'?"


def test_what_comes_from_a_file_is_shown_short_and_without_control_characters() -> None:
    assert printable("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"
    assert quoted("\x1b" + "x" * 200) == repr("\x1b" + "x" * 76 + "...")
    assert listed([f"c{i}" for i in range(5)], 3) == "c0, c1, c2 and 2 more"
    error = DatasetError("empty", path=Path("\x1b[31m.csv"), column="c" * 500)
    assert str(error) == f"\\x1b[31m.csv, column '{'c' * 77}...': empty"


def test_a_dataset_error_names_file_line_and_column() -> None:
    error = DatasetError("found 'x', expected a number", path=Path("a.csv"), line=3, column="age", hint="mend it")

    assert str(error) == "a.csv:3, column 'age': found 'x', expected a number\n  mend it"
    assert str(DatasetError("empty", line=3)) == "line 3: empty"
    assert str(DatasetError("empty", column="age")) == "column 'age': empty"
    assert str(DatasetError("empty")) == "empty"


def test_a_study_file_error_holds_every_mistake() -> None:
    error = StudyFileError(["a.toml:1: one", "a.toml:2: two"])

    assert error.mistakes == ("a.toml:1: one", "a.toml:2: two")
    assert str(error) == "a.toml:1: one\na.toml:2: two"


def test_the_drawn_tree_is_the_tree() -> None:
    """Each class stands in the drawing once, under its parent."""
    drawing = (errors.__doc__ or "").splitlines()
    drawn = [line.split()[-1] if "─" not in line else line.split("── ")[1].split()[0] for line in drawing
             if "── " in line or line.strip() == "OptimizerError"]
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, OptimizerError)]

    assert sorted(drawn) == sorted(c.__name__ for c in classes)
    assert {c.__bases__[0] for c in classes} == {Exception, OptimizerError, UserError, Fault}
