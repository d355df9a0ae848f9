"""Who gets a job, and who waits for memory, told on a backend without processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stubs.backends import QuietBackend
from stubs.makers import SPACE, a_finish, a_prepared

from optimizer.config.resolved import ResourceLimits, Study
from optimizer.datasets.problem import Problem
from optimizer.dispatch import Dispatcher, Lease, Retry, SlotState
from optimizer.errors import StorageFault
from optimizer.gpus import Gpu
from optimizer.journal import Journal
from optimizer.messages import RunJob
from optimizer.models.base import SpaceDescription
from optimizer.remembered import Remembered
from optimizer.resources import Slot
from optimizer.scheduler.book import Book
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.feeder import Feeder
from optimizer.scheduler.layouts import Layouts
from optimizer.scheduler.monitor import Monitor
from optimizer.scheduler.past import Past
from optimizer.scheduler.preparation import DatasetReady
from optimizer.scheduler.recovery import GIVEN_BACK_S, Recovery
from optimizer.store import Store
from optimizer.strategies.base import Outlook
from optimizer.study.searcher import Searcher

#: MiB that the run may hold; each of two slots has a half.
LIMIT = 2000.0
LIMITS = ResourceLimits(gpus="none", cores="100%", memory_limit="90%", threads_per_slot=None, disk_limit="50%",
                        fold_time_limit_s=None, trial_time_limit_s=None)


class Scene:
    """Two slots with one dataset and one family."""

    def __init__(self, folder: Path, gpu: Gpu | None = None) -> None:
        """``gpu``: that of the second slot."""
        second = "cpu1" if gpu is None else "gpu0"
        slots = {"cpu0": Slot(name="cpu0", cores=(0,), threads=1, memory_mb=LIMIT / 2),
                 second: Slot(name=second, cores=(1,), threads=1, memory_mb=LIMIT / 2, gpu=gpu)}
        cars = Problem(name="cars", train=str(folder / "cars.csv"))
        study = Study(name="s", path=folder / "s.toml", datasets=(cars,), time_per_dataset_s=600.0, trials=None,
                      deadline=None, folds=2, repeats=1, seed=42, families=(), sampler="random", pruner="none",
                      resources=LIMITS)
        self.events = EventLog(Journal(folder / "journal.jsonl", lambda: 0.0), folder / "run.log", lambda record: None)
        kinds = frozenset(slot.kind for slot in slots.values())
        self.book = Book(study, kinds={"tree": kinds}, gpu_required=frozenset(), slots=2,
                         events=self.events, store=Store(folder), past=Past())
        self.book.add_dataset(DatasetReady(prepared=a_prepared(folds=2), spaces={
            "tree": SpaceDescription(space=SPACE, starts=())}))
        self.dispatcher = Dispatcher(
            slots={n: SlotState(name=n, kind=s.kind, phase="up") for n, s in slots.items()})
        self.backend = QuietBackend()
        layouts = Layouts(slots=slots, dispatcher=self.dispatcher, book=self.book, backend=self.backend,
                          events=self.events, memory_mb=LIMIT, fixed=True,
                          remembered=Remembered(folder / "layouts.json", "box"))
        recovery = Recovery(
            slots=slots, limits=LIMITS, memory_mb=LIMIT, dispatcher=self.dispatcher, book=self.book,
            backend=self.backend, events=self.events, monitor=Monitor(None), start=lambda slot: None,
            told=lambda told: None, is_short_of_disk=lambda: False, versions={})
        self.slots = slots
        self.feeder = Feeder(slots=slots, memory_mb=LIMIT, planned_mb=LIMIT, dispatcher=self.dispatcher,
                             book=self.book, backend=self.backend, events=self.events, recovery=recovery,
                             layouts=layouts)

    @property
    def sent(self) -> list[tuple[str, str]]:
        """Slot and trial of each job so far."""
        return [(slot, command.job.trial) for slot, command in self.backend.sent if isinstance(command, RunJob)]

    def begin(self) -> list[Lease]:
        """Every job that was sent begins."""
        leases = []
        for state in self.dispatcher.slots.values():
            if state.running is None and state.waiting is not None:
                lease = self.dispatcher.started(state.name, state.waiting.number, 2, 0.0)
                assert lease is not None
                leases.append(lease)
        return leases

    def run_again(self, ended: Lease, running: Lease, needs_mb: float) -> None:
        """A trial that has ended waits for another attempt with more room; it is asked like the one that runs."""
        self.end(ended)
        self.dispatcher.add_retry(Retry(trial=ended.trial, dataset="cars", family="tree", attempt=2, faults=1,
                                        kind="cpu", needs_mb=needs_mb))
        self.book._under_way[ended.trial] = self.book._under_way[running.trial]
        self.backend.sent.clear()

    def end(self, lease: Lease, peak_mb: float = 0.0) -> None:
        """It ends well, having held so much."""
        lease.peak_mb = peak_mb
        self.dispatcher.finished(lease.slot, lease.number)
        self.book.finished(lease, self.slots[lease.slot], {},
                           msgspec.structs.replace(a_finish(lease.number), device=self.slots[lease.slot].kind))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_every_slot_gets_a_job_while_nothing_is_known_of_what_it_needs(scene: Scene) -> None:
    scene.feeder.fill(0.0)

    assert [slot for slot, _ in scene.sent] == ["cpu0", "cpu1"]
    assert all(lease.reserved_mb == LIMIT / 2 for lease in scene.begin())


def test_a_search_is_told_what_a_trial_takes_and_how_many_there_is_time_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[float, float]] = []
    asked = Searcher.ask

    def ask(searcher: Searcher, trial: str, outlook: Outlook) -> dict[str, Any] | None:
        told.append((outlook.in_time, outlook.trial_s))
        return asked(searcher, trial, outlook)

    monkeypatch.setattr(Searcher, "ask", ask)
    scene.feeder.fill(0.0)
    for lease in scene.begin():
        scene.end(lease)  # each took two seconds
    scene.feeder.fill(1.0)
    scene.feeder.layouts.left_s = lambda: 38.0
    for lease in scene.begin():
        scene.end(lease)
    scene.feeder.fill(2.0)

    assert [in_time for in_time, _ in told] == [math.inf, math.inf, 600, 600, 42, 42], (
        "two slots for ten minutes, or 8 s used and 76 left")
    assert [trial_s for _, trial_s in told] == [math.inf, math.inf, 2, 2, 2, 2]


def test_a_family_that_has_needed_most_of_the_memory_runs_one_job_at_a_time(scene: Scene) -> None:
    scene.feeder.fill(0.0)
    first, second = scene.begin()
    scene.end(first, peak_mb=1400.0)
    scene.end(second)
    scene.backend.sent.clear()

    scene.feeder.fill(1.0)
    assert [slot for slot, _ in scene.sent] == ["cpu0"]
    (alone,) = scene.begin()
    assert alone.reserved_mb == 1400.0 * 1.25
    scene.feeder.fill(2.0)
    assert len(scene.sent) == 1, "the other slot waits until it is done"

    scene.end(alone)
    scene.feeder.fill(3.0)
    assert len(scene.sent) == 2


def test_a_job_that_needs_more_room_waits_for_it_and_no_new_one_is_begun_before_it(scene: Scene) -> None:
    scene.feeder.fill(0.0)
    first, second = scene.begin()
    scene.run_again(second, first, needs_mb=1500.0)

    scene.feeder.fill(1.0)
    assert scene.sent == [], "a thousand are left, and a new job would take them"

    scene.end(first)
    scene.feeder.fill(2.0)
    assert scene.sent == [("cpu0", second.trial)]
    assert scene.begin()[0].reserved_mb == 1500.0
    scene.feeder.fill(3.0)
    assert len(scene.sent) == 1


def test_a_slot_of_another_kind_lets_a_job_that_needs_more_room_have_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Gpu(index=0, uuid="GPU-0", name="card"))
    scene.feeder.fill(0.0)
    on_cpu, on_gpu = scene.begin()
    scene.run_again(on_cpu, on_gpu, needs_mb=1500.0)

    scene.end(on_gpu)
    scene.feeder.fill(1.0)

    assert scene.sent == [("cpu0", on_cpu.trial)], "the card's next job would have kept the room"
    scene.end(*scene.begin())
    scene.feeder.fill(2.0)
    assert [slot for slot, _ in scene.sent[1:]] == ["cpu0", "gpu0"]


def test_after_a_job_was_ended_for_memory_that_others_took_one_works_alone_for_a_while(scene: Scene) -> None:
    scene.feeder.recovery._given_back = 0.0
    scene.feeder.fill(1.0)
    scene.feeder.fill(2.0)
    assert [slot for slot, _ in scene.sent] == ["cpu0"]

    scene.feeder.fill(GIVEN_BACK_S)
    assert [slot for slot, _ in scene.sent] == ["cpu0", "cpu1"]


def test_a_limit_that_was_lowered_makes_every_share_smaller(scene: Scene) -> None:
    scene.feeder.memory_mb = LIMIT / 2

    scene.feeder.fill(0.0)

    assert [lease.reserved_mb for lease in scene.begin()] == [LIMIT / 4] * 2


def test_slots_that_rest_get_nothing(scene: Scene) -> None:
    scene.feeder.resting = frozenset({"cpu0"})

    scene.feeder.fill(0.0)

    assert [slot for slot, _ in scene.sent] == ["cpu1"]


def test_nobody_runs_a_trial_that_the_journal_does_not_have_yet(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageFault("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(Journal, "write", refuse)
        scene.feeder.fill(0.0)
        scene.feeder.fill(1.0)
        assert scene.sent == []

    scene.events.retry()
    scene.feeder.fill(2.0)
    assert [trial for _, trial in scene.sent] == ["cars/tree/0", "cars/tree/1"]
