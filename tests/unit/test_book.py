"""What the book of a run tells the budgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from stubs.makers import a_prepared, a_record

from optimizer.budgets import next_pair, shares
from optimizer.config.resolved import FamilyChoice, ResourceLimits, Study
from optimizer.datasets.problem import Problem
from optimizer.dispatch import Dispatcher, Retry, SlotState
from optimizer.journal import Journal
from optimizer.resources import Slot
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.ledger import DatasetLedger, FamilyLedger
from optimizer.scheduler.past import Past
from optimizer.store import Store

SLOTS = {"cpu0": Slot(name="cpu0", cores=(0,), threads=1)}


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Two datasets of two families, of which the first is done: the tree had four fifths of its time."""
    study = Study(
        name="s", path=tmp_path / "s.toml", time_per_dataset_s=100.0, trials=None, deadline=None, folds=2, repeats=1,
        datasets=(Problem(name="before", train="/b.csv"), Problem(name="here", train="/h.csv")), seed=1,
        families=(FamilyChoice(name="tree"), FamilyChoice(name="forest")), sampler="random", pruner="none",
        resources=ResourceLimits(gpus="none", cores=1, memory_limit="90%", threads_per_slot=None),
    )
    events = EventLog(Journal(tmp_path / "journal.jsonl", lambda: 0.0), tmp_path / "run.log", lambda record: None)
    book = Book(study, kinds={}, gpu_required=frozenset(), slots=1, events=events, store=Store(tmp_path), past=Past())
    for name in ("before", "here"):
        families = {f: FamilyLedger(name=f, kinds=frozenset({"cpu"}), steps=2, begun=1) for f in ("tree", "forest")}
        book.ledgers[name] = DatasetLedger(prepared=a_prepared(name), families=families, budget_s=100.0,
                                           budget_trials=None)
    book.ledgers["before"].tell(a_record("before/tree/0", seconds=80.0), kind="cpu")
    book.ledgers["before"].tell(a_record("before/forest/0", seconds=20.0), kind="cpu")
    book.ledgers["before"].finished = True
    book.ledgers["here"].tell(a_record("here/tree/0", seconds=10.0), kind="cpu")
    book.ledgers["here"].tell(a_record("here/forest/0", seconds=15.0), kind="cpu")
    return book


def test_what_a_family_had_too_much_of_on_a_finished_dataset_is_made_good(book: Book) -> None:
    uses = book.uses([], [], SLOTS, now=0.0)

    assert shares(uses) == {"tree": 90.0, "forest": 35.0}
    assert next_pair(uses, "cpu") == ("here", "forest")


def test_a_finished_dataset_gets_no_more_work(book: Book) -> None:
    """Not even where it ended without using its budget, nor a first trial of a family that never had one."""
    book.ledgers["before"].budget_s = 1000.0
    book.ledgers["before"].families["forest"].begun = 0

    assert next_pair(book.uses([], [], SLOTS, now=0.0), "cpu") == ("here", "forest")


def test_a_job_under_way_is_charged_with_what_it_used_or_is_expected_to(book: Book) -> None:
    dispatcher = Dispatcher(slots={"cpu0": SlotState(name="cpu0", kind="cpu")})
    lease = dispatcher.assign("cpu0", trial="here/tree/1", dataset="here", family="tree", attempt=1, faults=0,
                              expected_step_s=0.0, limits=())

    def charged(now: float) -> float:
        here = book.uses(dispatcher.under_way, [], SLOTS, now)[1]
        assert here.under_way == 1
        return here.families["tree"].seconds["cpu"] - 10.0

    assert charged(now=0.0) == 10.0  # as long as the one before took
    dispatcher.started("cpu0", lease.number, 2, now=5.0)
    assert charged(now=9.0) == 10.0
    assert charged(now=30.0) == 25.0


def test_a_trial_that_is_to_be_run_again_counts_as_under_way(book: Book) -> None:
    retry = Retry(trial="here/tree/1", dataset="here", family="tree", attempt=2, faults=1, kind="cpu")

    assert [use.under_way for use in book.uses([], [retry], SLOTS, now=0.0)] == [0, 1]
