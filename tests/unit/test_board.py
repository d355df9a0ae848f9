"""The state of a run as a screen shows it: values in, values out."""

from __future__ import annotations

from typing import Any

import pytest
from stubs.makers import a_prepared, a_record, some_gpus

from optimizer.datasets.problem import Problem
from optimizer.dispatch import Dispatcher, SlotState
from optimizer.gpus import GpuLoad
from optimizer.resources import Slot
from optimizer.scheduler.board import dataset_lines, family_lines, progress_and_left_s, recent_line, slot_lines
from optimizer.scheduler.ledger import DatasetLedger, FamilyLedger
from optimizer.scheduler.monitor import ProcessLoad
from optimizer.status import DatasetStatus, SlotStatus


def a_ledger(name: str = "cars", *, families: tuple[str, ...] = ("tree", "forest"), **fields: Any) -> DatasetLedger:
    given: dict[str, Any] = {"budget_s": 100.0, "budget_trials": None}
    return DatasetLedger(prepared=a_prepared(name), **{**given, **fields}, families={
        f: FamilyLedger(name=f, kinds=frozenset({"cpu"}), steps=2) for f in families})


def problems(*names: str) -> list[Problem]:
    return [Problem(name=name, train=f"/{name}.csv") for name in names]


def told(ledger: DatasetLedger, *scores: float, family: str = "tree", **fields: Any) -> DatasetLedger:
    for number, score in enumerate(scores):
        ledger.tell(a_record(f"{ledger.prepared.dataset}/{family}/{number}", score=score, **fields), kind="cpu")
    return ledger


# Datasets.


def test_datasets_stand_in_the_order_of_the_study_file_with_their_state() -> None:
    ledgers = {"running": a_ledger("running"), "done": a_ledger("done", finished=True), "ready": a_ledger("ready")}
    names = ("waiting", "reading", "broken", "ready", "running", "done")

    lines = dataset_lines(problems(*names), ledgers, {"broken": "no target", "reading": "row 7"}, {"reading"},
                          {"running": 3.0})

    assert [line.name for line in lines] == list(names)
    states = {line.name: line.state for line in lines}
    assert states == {"waiting": "waiting", "reading": "reading", "broken": "failed", "ready": "ready",
                      "running": "running", "done": "finished"}
    assert {line.name: line.note for line in lines if line.note} == {"broken": "no target", "reading": "row 7"}


def test_a_datasets_line_tells_its_best_its_counts_and_its_time() -> None:
    ledger = told(a_ledger(), 0.5, 0.75, standard_error=0.3)
    told(ledger, 0.4, family="forest", state="pruned")

    (line,) = dataset_lines(problems("cars"), {"cars": ledger}, {}, (), {"cars": 1.5})

    assert line == DatasetStatus(
        name="cars", state="running", metric="accuracy", direction="maximize", rows=100, columns=3, best_score=0.75,
        best_error=0.3, best_trial="cars/tree/1", within_error=2, complete=2, pruned=1, failed=0, used_s=7.5,
        budget_s=100.0)


# Families.


def test_a_familys_share_is_of_the_seconds_of_the_whole_run() -> None:
    one, two = told(a_ledger("one"), 0.5, seconds=6.0), told(a_ledger("two"), 0.5, family="forest", seconds=2.0)

    tree, forest = family_lines(["tree", "forest"], {"one": one, "two": two}, {"forest": "stopped"})

    assert (tree.seconds, tree.share, tree.complete) == (6.0, 0.75, 1)
    assert (forest.seconds, forest.share, forest.note) == (2.0, 0.25, "stopped")


def test_scores_of_different_datasets_are_not_compared() -> None:
    one, two = told(a_ledger("one"), 0.5), told(a_ledger("two"), 0.9)

    assert family_lines(["tree"], {"one": one}, {})[0].best_score == 0.5
    assert family_lines(["tree"], {"one": one, "two": two}, {})[0].best_score is None


def test_before_the_first_second_nobody_has_a_share() -> None:
    assert [line.share for line in family_lines(["tree", "forest"], {"cars": a_ledger()}, {})] == [0.0, 0.0]


# Slots.


def test_a_slots_line_tells_what_it_has_and_what_runs_in_it() -> None:
    card = some_gpus(1)[0]
    slots = [Slot(name="gpu0", cores=(0, 1), threads=2, gpu=card), Slot(name="cpu0", cores=(2,), threads=1)]
    dispatcher = Dispatcher(slots={s.name: SlotState(name=s.name, kind=s.kind) for s in slots})
    dispatcher.ready("gpu0")
    lease = dispatcher.assign("gpu0", trial="cars/tree/3", dataset="cars", family="tree", attempt=2, faults=1,
                              expected_step_s=1.0, limits=())
    dispatcher.started("gpu0", lease.number, 5, now=10.0)
    dispatcher.stepped("gpu0", lease.number, 0.5, 1.0, now=11.0)

    lines = slot_lines(slots, dispatcher.slots, {}, {"gpu0": 7, "cpu0": None},
                       {"gpu0": ProcessLoad(cpu=1.5, rss_mb=200.0)},
                       {"gpu0": GpuLoad(uuid=card.uuid, load=0.4, memory_mb=300.0)}, wall_offset=1000.0)

    assert lines == (
        SlotStatus(name="gpu0", cores=(0, 1), gpu="Tensor 9000", state="busy", pid=7, cpu=1.5, rss_mb=200.0,
                   gpu_load=0.4, gpu_memory_mb=300.0, trial="cars/tree/3", attempt=2, step=1, steps=5, since=1010.0,
                   running_mean=0.5),
        SlotStatus(name="cpu0", cores=(2,), state="starting"),
    )


@pytest.mark.parametrize(("phase", "shown"), [("starting", "starting"), ("up", "idle"), ("down", "down"),
                                              ("closed", "closed")])
def test_a_slot_without_work_shows_its_phase(phase: str, shown: str) -> None:
    state = SlotState(name="cpu0", kind="cpu", phase=phase)

    (line,) = slot_lines([Slot(name="cpu0", cores=(0,), threads=1)], {"cpu0": state}, {}, {}, {}, {}, 0.0)

    assert line.state == shown


def test_a_slot_that_waits_while_another_uses_its_cores_is_lent() -> None:
    state = SlotState(name="cpu1", kind="cpu", phase="up")

    (line,) = slot_lines([Slot(name="cpu1", cores=(1,), threads=1)], {"cpu1": state}, {"cpu1": "cpu0"}, {}, {}, {}, 0.0)

    assert line.state == "lent"


def test_a_decided_trial_keeps_its_reason() -> None:
    line = recent_line(a_record(state="failed", score=None, reason="broken"), was_best=False)

    assert (line.trial, line.state, line.score, line.reason, line.was_best) == (
        "cars/tree/0", "failed", None, "broken", False)


# Progress.


def test_progress_is_the_used_share_of_the_budgets() -> None:
    half = told(a_ledger(), 0.5, seconds=50.0)

    assert progress_and_left_s([half], missing=0, slots=2) == (0.5, 25.0)


def test_a_finished_dataset_is_done_whatever_it_used() -> None:
    done, half = a_ledger("done", finished=True), told(a_ledger("half"), 0.5, seconds=50.0)

    assert progress_and_left_s([done, half], missing=0, slots=1) == (0.75, 50.0)


def test_a_dataset_that_is_not_read_yet_counts_like_the_others() -> None:
    half = told(a_ledger(), 0.5, seconds=50.0)

    assert progress_and_left_s([half], missing=1, slots=1) == (0.25, 100.0)


def test_a_budget_of_trials_is_left_by_the_length_of_trials_so_far() -> None:
    ledger = told(a_ledger(budget_s=None, budget_trials=10), 0.5, 0.6, seconds=4.0)

    assert progress_and_left_s([ledger], missing=0, slots=2) == (0.2, 16.0)


def test_nothing_is_known_before_the_first_trial() -> None:
    assert progress_and_left_s([], missing=3, slots=1) == (0.0, None)
    assert progress_and_left_s([a_ledger(budget_s=None, budget_trials=10)], missing=0, slots=1) == (0.0, None)


def test_progress_never_goes_past_its_end() -> None:
    over = told(a_ledger(), 0.5, seconds=170.0)

    assert progress_and_left_s([over], missing=0, slots=1) == (1.0, 0.0)
