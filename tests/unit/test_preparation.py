"""Datasets on their way to the first trial: real children on small tables."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stubs.makers import SPACE, a_summary

from optimizer.config.resolved import FamilyChoice
from optimizer.datasets.problem import Problem
from optimizer.models import load_family
from optimizer.process import start_time
from optimizer.scheduler import preparation
from optimizer.scheduler.preparation import (
    DatasetReady,
    DatasetRefused,
    Outcome,
    Preparation,
    ReadingOn,
    check_narrowing,
    narrowed_spaces,
)
from optimizer.search_space import Categorical

FAMILIES = (FamilyChoice(name="xgboost", space={"max_depth": [3, 5]}), FamilyChoice(name="catboost"))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits before it is tried again."""
    monkeypatch.setattr("optimizer.scheduler.preparation.RETRY_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder."""
    (tmp_path / "run" / "logs").mkdir(parents=True)
    (tmp_path / "run" / "data").mkdir()
    return tmp_path / "run"


def a_problem(folder: Path, name: str, text: str | None = None) -> Problem:
    """A dataset of forty rows, or of this text."""
    rows = "".join(f"{i},{i % 7},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(40))
    path = folder.parent / f"{name}.csv"
    path.write_text(f"a,b,y\n{rows}" if text is None else text)
    return Problem(name=name, train=str(path), target="y", folds=2)


def outcomes(preparation: Preparation, left: int = 0) -> list[Outcome]:
    """What comes of all datasets but so many, waited for like the scheduler does."""
    found: list[Outcome] = []
    while preparation.left > left:
        found += preparation.advance()
        if preparation.waitables():
            connection.wait(preparation.waitables(), 60)  # type: ignore[arg-type]
    return found


def test_one_dataset_after_the_other_and_a_broken_one_stops_no_other(folder: Path) -> None:
    problems = [a_problem(folder, "first"), a_problem(folder, "broken", "a,b,y\n1,2,yes\n1,2,3,no\n"),
                a_problem(folder, "last")]
    preparation = Preparation(problems, FAMILIES, folder)
    assert preparation.left == 3

    first, broken, last = [o for o in outcomes(preparation) if not isinstance(o, ReadingOn)]

    assert isinstance(first, DatasetReady)
    assert isinstance(broken, DatasetRefused)
    assert isinstance(last, DatasetReady)
    assert broken.dataset == "broken"
    assert "broken.csv:3" in broken.reason
    assert (first.prepared.dataset, first.prepared.rows, first.prepared.folds) == ("first", 40, 2)
    assert last.prepared.fingerprint == first.prepared.fingerprint
    assert last.prepared.reused
    assert set(first.spaces) == {"xgboost", "catboost"}
    for described in first.spaces.values():
        assert all(described.space.contains(start) for start in described.starts)
    depth = next(p.domain for p in first.spaces["xgboost"].space.parameters if p.name == "max_depth")
    assert depth == Categorical((3, 5)), "the study file's narrowing"
    assert not preparation.reading
    assert not preparation.waitables()


def test_small_tables_are_read_by_one_process_which_ends_with_the_last(folder: Path) -> None:
    texts = [None, "a,b,y\n1,2,yes\n1,2,3,no\n", None]
    preparation = Preparation([a_problem(folder, f"d{i}", text) for i, text in enumerate(texts)], FAMILIES, folder)
    readers: set[int] = set()

    while preparation.left:
        preparation.advance()
        if "reader" in preparation.pids():
            readers.add(preparation.pids()["reader"])
        connection.wait(preparation.waitables(), 60)  # type: ignore[arg-type]

    assert len(readers) == 1
    assert not preparation.waitables()
    assert start_time(readers.pop()) is None


def test_a_reader_that_ends_while_it_waits_costs_nothing(folder: Path) -> None:
    preparation = Preparation([a_problem(folder, "first"), a_problem(folder, "second")], FAMILIES, folder)
    preparation.advance()
    first = preparation.pids()["reader"]
    while "describer" not in preparation.pids():
        connection.wait(preparation.waitables(), 60)  # type: ignore[arg-type]
        assert not [o for o in preparation.advance() if not isinstance(o, ReadingOn)]
    assert preparation.pids().keys() == {"describer"}, "who waits is not watched"
    os.kill(first, signal.SIGKILL)
    (reader,) = (child for child in preparation.waitables() if child.pid == first)
    assert connection.wait([reader], 60), "its end is seen"  # type: ignore[list-item]

    found = [o for o in outcomes(preparation) if not isinstance(o, ReadingOn) or "again" in o.doing]

    assert [type(o) for o in found] == [DatasetReady, DatasetReady], "none was read twice"


def test_a_reader_that_has_met_a_fault_of_its_own_reads_nothing_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[FakeReader] = []

    def make(module: str, *_: Any, **__: Any) -> FakeReader:
        made.append(FakeReader([b'{"error":"a fault","kind":"fault","next":false}'], []))
        return made[-1]

    monkeypatch.setattr("optimizer.scheduler.preparation.Child", make)
    preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)

    found = [outcome for _ in range(10) for outcome in preparation.advance()]

    assert [type(o) for o in found] == [ReadingOn, ReadingOn, DatasetRefused]
    assert len(made) == 3
    assert not any(reader.told for reader in made)


def test_a_reader_that_is_killed_is_started_again(folder: Path) -> None:
    preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)
    preparation.advance()
    assert preparation.reading == {"cars"}

    preparation.waitables()[0]._process.kill()
    found = outcomes(preparation)

    assert "is read again" in next(o.doing for o in found if isinstance(o, ReadingOn))
    assert isinstance(found[-1], DatasetReady)


def test_a_reader_that_dies_every_time_is_a_refusal_that_names_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    make: Callable[..., Any] = lambda *_, **__: FakeReader([])  # noqa: E731 - it stands in for a class
    monkeypatch.setattr("optimizer.scheduler.preparation.Child", make)
    preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)

    found = [outcome for _ in range(10) for outcome in preparation.advance()]

    assert [type(o) for o in found] == [ReadingOn, ReadingOn, DatasetRefused]
    assert found[-1] == DatasetRefused(dataset="cars", reason="its reader ended without a word (exit code -9); "
                                                              "see logs/preparation.log")
    assert preparation.left == 0


def test_where_no_process_can_be_started_it_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as broken:
        broken.setattr("optimizer.scheduler.preparation.Child", fail)
        preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)
        (said,) = preparation.advance()
    assert said == ReadingOn(dataset="cars", doing="is read again: its reader could not be started: "
                                                   "[Errno 12] Cannot allocate memory")

    assert isinstance(outcomes(preparation)[-1], DatasetReady)


def test_a_dataset_that_is_put_off_lets_the_others_go_first_and_is_then_begun_again(folder: Path) -> None:
    preparation = Preparation([a_problem(folder, "large"), a_problem(folder, "small")], FAMILIES, folder)
    preparation.advance()
    preparation.put_off("waits: it takes more than the run may hold for now", 3600.0)

    found = outcomes(preparation, left=1)

    assert found[0] == ReadingOn(dataset="large", doing="waits: it takes more than the run may hold for now")
    assert isinstance(found[-1], DatasetReady)
    assert found[-1].prepared.dataset == "small"
    assert preparation.reading == {"large"}
    assert not preparation.advance()
    preparation._put_off["large"] = 0.0
    assert isinstance(outcomes(preparation)[-1], DatasetReady)


def test_while_nothing_may_start_no_dataset_is_begun(folder: Path) -> None:
    preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)

    assert preparation.advance(start=False) == []
    assert preparation.left == 1
    assert not preparation.waitables()


def test_closing_ends_what_is_under_way(folder: Path) -> None:
    preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)
    preparation.advance()
    pid = preparation.waitables()[0]._process.pid

    preparation.close()

    assert start_time(pid) is None


class FakeReader:
    """A reader whose output is made up; it dies after the last piece."""

    def __init__(self, *pieces: list[bytes]) -> None:
        self._pieces = list(pieces)
        self.ended = False
        self.told: list[bytes] = []

    def tell(self, given: bytes) -> None:
        self.told.append(given)

    def lines(self) -> list[bytes]:
        piece = self._pieces.pop(0)
        self.ended = not self._pieces
        return piece

    def exit_code(self) -> int:
        return -9


def test_half_a_line_of_a_killed_reader_is_no_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = FakeReader([b'{"progress":"read 1 of 9 rows"}'], [b'{"prepared":{"dataset":"ca'])
    make: Callable[..., Any] = lambda *_, **__: reader  # noqa: E731 - it stands in for a class
    monkeypatch.setattr("optimizer.scheduler.preparation.Child", make)
    preparation = Preparation([a_problem(folder, "cars")], FAMILIES, folder)

    found = [outcome for _ in range(2) for outcome in preparation.advance(start=not preparation.waitables())]
    found += preparation.advance(start=False)

    assert found == [ReadingOn(dataset="cars", doing="read 1 of 9 rows"), ReadingOn(
        dataset="cars", doing="is read again: its reader ended without a word (exit code -9); see "
                              "logs/preparation.log")]


# Narrowing.


def answer(family: str = "tree", **fields: Any) -> dict[str, Any]:
    return {"family": family, "space": msgspec.to_builtins(SPACE), "starts": [], **fields}


def test_a_parameter_that_a_table_does_not_have_is_left_aside_there() -> None:
    spaces, _ = narrowed_spaces([answer()], [FamilyChoice(name="tree", space={"depth": 4, "max_categories": 8})], 100)

    assert spaces["tree"].space == SPACE.narrowed("tree", {"depth": 4})


def test_starts_lose_what_was_fixed_and_those_outside_are_dropped() -> None:
    inside = {"rate": 0.1, "depth": 3, "bootstrap": "no"}
    starts = [inside, {**inside, "rate": 0.9}]

    spaces, _ = narrowed_spaces([answer(starts=starts)],
                                [FamilyChoice(name="tree", space={"depth": 4, "rate": {"high": 0.5}})], 100)

    assert spaces["tree"].starts == ({"rate": 0.1, "bootstrap": "no"},)


def test_a_family_that_cannot_describe_itself_is_named_and_the_others_go_on() -> None:
    spaces, refused = narrowed_spaces([{"family": "tree", "error": "ValueError: no"}, answer("forest")],
                                      [FamilyChoice(name="tree"), FamilyChoice(name="forest")], 100)

    assert refused == {"tree": "ValueError: no"}
    assert set(spaces) == {"forest"}


def test_a_space_of_fits_on_a_part_of_the_rows_is_another_space() -> None:
    families = [FamilyChoice(name="tree", max_rows=500)]

    small = narrowed_spaces([answer()], families, 500)[0]["tree"].space
    large = narrowed_spaces([answer()], families, 501)[0]["tree"].space

    assert small == SPACE
    assert large.max_rows == 500
    assert large.hash() != SPACE.hash()
    assert large.narrowed("tree", {"depth": 4}).max_rows == 500


def test_a_family_that_is_given_a_part_of_the_rows_is_asked_as_if_they_were_all(folder: Path) -> None:
    rows = "".join(f"{i},{i % 7},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(300))
    families = (FamilyChoice(name="svm", max_rows=100), FamilyChoice(name="extra_trees", max_rows=100),
                FamilyChoice(name="random_forest"))

    *_, ready = outcomes(Preparation([a_problem(folder, "cars", f"a,b,y\n{rows}")], families, folder))

    assert isinstance(ready, DatasetReady)
    leaf = {name: ready.spaces[name].space.parameters[0].domain.high for name in ("extra_trees", "random_forest")}
    assert leaf == {"extra_trees": 5, "random_forest": 15}, "a twentieth of the rows"
    said = [notice for notice in ready.prepared.notices if "max_rows" in notice]
    assert said[0] == ("svm is fitted on at most 100 of each fold's training rows, as max_rows in [family.svm] says; "
                       "its scores are of all validation rows")
    assert len(said) == 2


def test_mistakes_in_the_narrowing_are_found_before_any_table_is_read(folder: Path) -> None:
    families = (
        FamilyChoice(name="xgboost", space={"max_dept": 3, "max_depth": "deep", "learning_rate": 0.1}),
        FamilyChoice(name="catboost", space={"iterations": [10, 20]}),
        FamilyChoice(name="lightgbm"),
    )

    iterations = load_family("catboost").describe(a_summary()).space.fixed["iterations"]

    mistakes = check_narrowing(families, folder)

    assert mistakes == [
        (("family", "xgboost", "space", "max_dept"),
         "xgboost has no parameter 'max_dept'; did you mean 'max_depth'?"),
        (("family", "xgboost", "space", "max_depth"), "xgboost.max_depth: found 'deep', expected a whole number"),
        (("family", "catboost", "space", "iterations"),
         f"catboost.iterations is not searched, it is {iterations}; give one value"),
    ]


def test_what_is_searched_of_spectra_alone_can_be_narrowed(folder: Path) -> None:
    families = (FamilyChoice(name="ridge", space={"scatter": "snv", "half_window": [3, 7], "scaling": "center"}),
                FamilyChoice(name="pls", space={"scaling": "robust", "derivative": "third"}))

    assert check_narrowing(families, folder) == [
        (("family", "pls", "space", "derivative"), "pls.derivative: found 'third', expected one of ['none', "
                                                   "'smoothed', 'first', 'second']")]


def test_a_parameter_of_categorical_tables_is_known_whatever_the_table(folder: Path) -> None:
    assert check_narrowing((FamilyChoice(name="xgboost", space={"max_cat_to_onehot": 4}),), folder) == []


def test_without_narrowing_nothing_is_started(folder: Path) -> None:
    assert check_narrowing((FamilyChoice(name="xgboost"),), folder) == []
    assert not (folder / "logs" / "preparation.log").exists()


def test_what_came_of_the_beginning_is_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(preparation, "Child", too_many)
    made = Preparation([Problem(name="cars", train=str(tmp_path / "cars.csv"))], (), tmp_path)

    made.begin()

    (outcome,) = made.advance(start=False)
    assert isinstance(outcome, ReadingOn)
    assert "could not be started" in outcome.doing
    assert made.advance(start=False) == []
