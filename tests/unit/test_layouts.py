"""Slots are joined where that was seen to finish more trials, told on a backend without processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from stubs.backends import QuietBackend
from stubs.makers import SPACE, a_finish, a_prepared

from optimizer.config.resolved import ResourceLimits, Study
from optimizer.datasets.problem import Problem
from optimizer.dispatch import Dispatcher, Lease, SlotState
from optimizer.journal import Journal, Record, read
from optimizer.layout import FEW
from optimizer.messages import RevokeJob, SetShare
from optimizer.models.base import SpaceDescription
from optimizer.remembered import Remembered
from optimizer.resources import Slot
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.layouts import SHARE, TOGETHER, Layouts
from optimizer.scheduler.past import Past
from optimizer.scheduler.preparation import DatasetReady
from optimizer.store import Store

LIMITS = ResourceLimits(gpus="none", cores="100%", memory_limit="90%", threads_per_slot=None, disk_limit="50%",
                        fold_time_limit_s=None, trial_time_limit_s=None)
STEPS = 5


class Scene:
    """Two slots with one dataset and one family; the test is the clock and the workers."""

    def __init__(self, folder: Path, *, fixed: bool = False, budget_s: float = 600.0) -> None:
        slots = {f"cpu{i}": Slot(name=f"cpu{i}", cores=(i,), threads=1) for i in range(2)}
        cars = Problem(name="cars", train=str(folder / "cars.csv"))
        study = Study(name="s", path=folder / "s.toml", datasets=(cars,), time_per_dataset_s=budget_s, trials=None,
                      deadline=None, folds=STEPS, repeats=1, seed=42, families=(), sampler="random", pruner="none",
                      resources=LIMITS)
        self.folder, self.now = folder, 100.0
        self.events = EventLog(Journal(folder / "journal.jsonl", lambda: 0.0), folder / "run.log", lambda record: None)
        self.book = Book(study, kinds={"tree": frozenset({"cpu"})}, gpu_required=frozenset(), slots=2,
                         events=self.events, store=Store(folder), past=Past())
        self.book.add_dataset(DatasetReady(prepared=a_prepared(folds=STEPS), spaces={
            "tree": SpaceDescription(space=SPACE, starts=())}))
        self.dispatcher = Dispatcher(slots={n: SlotState(name=n, kind="cpu", phase="up") for n in slots})
        self.backend = QuietBackend()
        self.remembered = Remembered(folder / "layouts.json", "box")
        self.layouts = Layouts(slots=slots, dispatcher=self.dispatcher, book=self.book, backend=self.backend,
                               events=self.events, memory_mb=math.inf, fixed=fixed, remembered=self.remembered,
                               clock=lambda: self.now)
        self.slots = slots

    def begin(self, slot: str) -> Lease:
        trial = self.book.ask("cars", "tree")
        assert trial is not None
        lease = self.dispatcher.assign(slot, trial=trial, dataset="cars", family="tree", attempt=1, faults=0,
                                       expected_step_s=1.0, limits=(), slots=self.layouts.joined(slot))
        self.book.workload(lease, "cpu")
        self.dispatcher.started(slot, lease.number, STEPS, self.now)
        self.layouts.advance()
        return lease

    def step(self, lease: Lease, seconds: float = 1.0, threads: int = 1, times: int = 1, iterations: int = 1) -> None:
        for _ in range(times):
            self.now += seconds
            self.dispatcher.stepped(lease.slot, lease.number, 0.5, seconds, self.now)
            self.layouts.stepped(lease, seconds, threads, iterations)
            self.layouts.advance()

    def end(self, lease: Lease) -> None:
        self.dispatcher.finished(lease.slot, lease.number)
        self.layouts.ended(lease.slot)
        self.book.finished(lease, self.slots[lease.slot], {}, a_finish(
            lease=lease.number, seconds=5.0, step_seconds=(1.0,) * STEPS))
        self.layouts.advance()

    def season(self) -> None:
        for _ in range(2):
            lease = self.begin("cpu0")
            self.step(lease, times=STEPS)
            self.end(lease)

    def measure(self, joined_s: float, iterations: int = 1) -> None:
        """One trial goes on alone when its neighbour has ended, and takes so long and so many iterations for a fold."""
        long, short = self.begin("cpu0"), self.begin("cpu1")
        self.step(short, times=STEPS - 1, seconds=0.25)
        self.step(long)
        self.end(short)
        self.step(long)  # this fold began on one core
        self.step(long, seconds=joined_s, threads=2, iterations=iterations)
        self.step(long, times=STEPS - 3)
        self.end(long)

    def shares(self) -> list[tuple[str, int]]:
        return [(slot, c.threads) for slot, c in self.backend.sent if isinstance(c, SetShare)]

    def records(self, event: str) -> list[Record]:
        return [r for r in read(self.folder / "journal.jsonl") if r["event"] == event]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.season()
    return made


def test_a_neighbour_gets_no_other_job_when_it_is_about_to_end_before_a_trial_that_is_measured(scene: Scene) -> None:
    long, short = scene.begin("cpu0"), scene.begin("cpu1")
    scene.step(long)
    assert scene.layouts.lent_to("cpu1") == "", "it would not end early enough"

    scene.step(short, times=STEPS - 1, seconds=0.1)

    assert scene.layouts.lent_to("cpu1") == "cpu0"
    assert scene.shares() == [], "it still works"
    scene.end(short)
    assert scene.backend.sent == [("cpu0", SetShare(cores=(0, 1), threads=2, once=True))]


def test_after_a_measurement_each_slot_has_its_own_cores_again(scene: Scene) -> None:
    scene.measure(joined_s=0.6)

    assert scene.layouts.lent_to("cpu1") == ""
    assert scene.shares() == [("cpu0", 2)], "for one fold, and then by itself its own again"
    (found,) = scene.records("layout_measured")
    assert (found["single_s"], found["joined_s"], found["threads"]) == (1.0, 0.6, 2)


def test_a_fold_that_ended_early_is_compared_by_what_an_iteration_takes(scene: Scene) -> None:
    scene.measure(joined_s=2.4, iterations=4)

    (found,) = scene.records("layout_measured")
    assert (found["single_s"], found["joined_s"]) == (4.0, 2.4)


def test_what_a_neighbour_idled_is_charged_to_the_family_and_journaled(scene: Scene) -> None:
    before = scene.book.ledgers["cars"].families["tree"].seconds["cpu"]

    scene.measure(joined_s=0.6)

    (lent,) = scene.records("slot_lent")
    assert lent["seconds"] == pytest.approx(1.0 + 0.6)
    assert scene.book.ledgers["cars"].families["tree"].seconds["cpu"] == pytest.approx(before + 10.0 + lent["seconds"])


def test_a_neighbour_that_waits_for_one_that_stands_still_is_charged_to_nobody(scene: Scene) -> None:
    long, short = scene.begin("cpu0"), scene.begin("cpu1")
    scene.step(short, times=STEPS - 1, seconds=0.25)
    scene.step(long)
    scene.end(short)
    scene.now += 1000.0
    scene.layouts.stood_still("cpu0", 1000.0)
    scene.step(long)
    scene.step(long, seconds=0.5, threads=2)

    assert scene.records("slot_lent")[0]["seconds"] < 10.0


def test_nothing_is_measured_while_a_limit_holds_or_others_have_the_cores(scene: Scene) -> None:
    long, short = scene.begin("cpu0"), scene.begin("cpu1")
    scene.step(short, times=STEPS - 1, seconds=0.25)
    scene.step(long)
    assert scene.layouts.lent_to("cpu1") == "cpu0"

    scene.layouts.quiet = False
    scene.layouts.advance()

    assert not scene.layouts.lent_to("cpu1")
    scene.end(short)
    assert not scene.records("layout_measured")


def test_where_joined_slots_lose_they_stay_single_and_it_is_not_measured_again(scene: Scene) -> None:
    for _ in range(FEW + 2):
        scene.measure(joined_s=0.6)

    assert len(scene.records("layout_measured")) == FEW
    (chosen,) = scene.records("layout_chosen")
    assert (chosen["slots"], chosen["threads"], chosen["remembered"]) == (2, 1, False)
    assert scene.layouts.width == 1


def test_where_joined_slots_win_they_stay_joined_and_the_time_counts_for_both(scene: Scene) -> None:
    for _ in range(TOGETHER):
        scene.measure(joined_s=0.3)
    lease = scene.begin("cpu0")

    assert scene.layouts.width == 2
    assert scene.layouts.lent_to("cpu1") == "cpu0"
    assert scene.shares()[-1] == ("cpu0", 2)
    assert scene.layouts.joined("cpu0") == 2, "a second of it is two slot-seconds"
    scene.layouts.worker_ready("cpu0")
    assert scene.shares()[-1] == ("cpu0", 2), "a fresh worker is told, too"
    assert lease.slot == "cpu0"


def test_the_next_run_on_such_a_table_knows_from_its_start(scene: Scene, tmp_path: Path) -> None:
    for _ in range(TOGETHER):
        scene.measure(joined_s=0.3)
    scene.begin("cpu0")
    (tmp_path / "next").mkdir()
    again = Scene(tmp_path / "next")
    again.layouts.remembered = scene.remembered

    again.begin("cpu0")

    assert again.layouts.lent_to("cpu1") == "cpu0"
    assert again.records("layout_chosen")[0]["remembered"]


def test_a_trial_that_ends_before_its_folds_are_joined_measures_nothing_and_is_tried_again(scene: Scene) -> None:
    long, short = scene.begin("cpu0"), scene.begin("cpu1")
    scene.step(long)
    scene.step(short, times=STEPS - 1, seconds=0.1)
    assert scene.layouts.lent_to("cpu1") == "cpu0"

    scene.end(long)

    assert scene.layouts.lent_to("cpu1") == ""
    assert scene.records("layout_measured") == []
    scene.end(short)
    scene.measure(joined_s=0.6)
    assert len(scene.records("layout_measured")) == 1


def test_what_was_sent_ahead_to_a_neighbour_is_taken_back(scene: Scene) -> None:
    long, short = scene.begin("cpu0"), scene.begin("cpu1")
    scene.step(long)
    trial = scene.book.ask("cars", "tree")
    assert trial is not None
    ahead = scene.dispatcher.assign("cpu1", trial=trial, dataset="cars", family="tree", attempt=1, faults=0,
                                    expected_step_s=1.0, limits=())

    scene.step(short, times=STEPS - 1, seconds=0.1)

    assert scene.backend.sent == [("cpu1", RevokeJob(lease=ahead.number))]
    scene.dispatcher.revoked("cpu1", ahead.number)
    scene.end(short)
    assert scene.backend.sent[-1] == ("cpu0", SetShare(cores=(0, 1), threads=2, once=True))


def test_what_could_not_be_measured_in_a_quarter_of_the_time_is_left_as_it_is(tmp_path: Path) -> None:
    scene = Scene(tmp_path, budget_s=20.0)
    for _ in range(4):
        lease = scene.begin("cpu0")
        scene.step(lease, times=STEPS)
        scene.end(lease)

    (chosen,) = scene.records("layout_chosen")
    assert (chosen["threads"], chosen["reason"]) == (1, "nothing was measured")


def test_near_the_end_of_the_run_nothing_is_measured_any_more(scene: Scene) -> None:
    scene.layouts.left_s = lambda: 5.0

    scene.measure(joined_s=0.6)

    assert scene.shares() == []


def test_measuring_never_costs_more_than_its_share(tmp_path: Path) -> None:
    scene = Scene(tmp_path, budget_s=80.0)
    scene.season()
    for _ in range(4):
        scene.measure(joined_s=0.6)

    idled = sum(r["seconds"] for r in scene.records("slot_lent"))
    assert 0 < idled <= SHARE * 160.0


def test_a_number_of_threads_that_the_person_has_set_is_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, fixed=True)
    scene.season()
    scene.measure(joined_s=0.3)

    assert scene.shares() == []
    assert scene.records("layout_chosen") == []
    assert scene.layouts.reach("cpu0") == (0,)


def test_when_a_slot_is_lost_the_others_work_for_themselves(scene: Scene) -> None:
    for _ in range(TOGETHER):
        scene.measure(joined_s=0.3)
    scene.begin("cpu0")
    assert scene.layouts.reach("cpu0") == (0, 1)
    scene.dispatcher.close("cpu1")

    scene.layouts.advance()

    assert scene.layouts.lent_to("cpu1") == ""
    assert scene.layouts.reach("cpu0") == (0,)
    assert scene.shares()[-2:] == [("cpu0", 1), ("cpu1", 1)]
