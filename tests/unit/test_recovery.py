"""What is done about workers that die, hang, hold too much or lose their GPU, told on a backend without processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from stubs.backends import QuietBackend
from stubs.makers import SPACE, a_finish, a_prepared, some_gpus

from optimizer.backends.base import WorkerLost
from optimizer.config.resolved import ResourceLimits, Study
from optimizer.datasets.problem import Problem
from optimizer.dispatch import Dispatcher, Lease, SlotState
from optimizer.gpus import Gpu, GpuLoad
from optimizer.journal import Journal, read
from optimizer.messages import JobFailed
from optimizer.models.base import SpaceDescription
from optimizer.resources import Slot
from optimizer.scheduler.book import MOST_CRASHES, Book, Told
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.monitor import Monitor, ProcessLoad
from optimizer.scheduler.past import Past
from optimizer.scheduler.preparation import DatasetReady
from optimizer.scheduler.recovery import GIVEN_BACK_S, GPU_FAULTS, GPU_MEMORY_S, Recovery
from optimizer.scheduler.watchdog import IDLE_S
from optimizer.store import Store

LOST = WorkerLost(reason="killed by SIGSEGV")
LIMITS = ResourceLimits(gpus="all", cores="100%", memory_limit="90%", threads_per_slot=None, disk_limit="50%",
                        fold_time_limit_s=None, trial_time_limit_s=None)


class Watching(Monitor):
    """Measures what it is told to."""

    def __init__(self) -> None:
        super().__init__(None)
        self.held = 0.0
        self.kernel_killed = False
        self.card_mb: float | None = None

    def private_mb(self, pid: int) -> float:
        return self.held

    def oom_kill_was_new(self) -> bool:
        return self.kernel_killed

    def look_at_oom_kills(self) -> None:
        """What is new is said by the test."""

    def gpu(self, uuid: str) -> GpuLoad | None:
        return None if self.card_mb is None else GpuLoad(uuid=uuid, load=0.0, memory_mb=self.card_mb)



class Scene:
    """A recovery over two slots with one dataset and one family."""

    def __init__(self, folder: Path, gpu: Gpu | None = None, memory_mb: float = 2000.0) -> None:
        slots = {n: Slot(name=n, cores=(0,), threads=1, gpu=gpu, memory_mb=memory_mb / 2)
                 for n in (("gpu0", "gpu1") if gpu else ("cpu0", "cpu1"))}
        self.first, self.second = slots
        self.kind = "gpu" if gpu else "cpu"
        self.folder = folder
        cars = Problem(name="cars", train=str(folder / "cars.csv"))
        study = Study(name="s", path=folder / "s.toml", datasets=(cars,),
                      time_per_dataset_s=600.0, trials=None, deadline=None, folds=2, repeats=1, seed=42,
                      families=(), sampler="random", pruner="none", resources=LIMITS)
        self.events = EventLog(Journal(folder / "journal.jsonl", lambda: 0.0), folder / "run.log",
                               lambda record: str(record.get("text", "")) or None)
        self.book = Book(study, kinds={"tree": frozenset({self.kind})}, gpu_required=frozenset(), slots=2,
                         events=self.events, store=Store(folder), past=Past())
        self.book.add_dataset(DatasetReady(prepared=a_prepared(), spaces={
            "tree": SpaceDescription(space=SPACE, starts=())}))
        self.dispatcher = Dispatcher(slots={n: SlotState(name=n, kind=self.kind, phase="up") for n in slots})
        self.backend, self.monitor = QuietBackend(), Watching()
        self.started: list[str] = []
        self.disk_is_full = False
        self.told: list[Told] = []
        self.recovery = Recovery(
            slots=slots, limits=LIMITS, memory_mb=memory_mb, dispatcher=self.dispatcher, book=self.book,
            backend=self.backend, events=self.events, monitor=self.monitor, start=self.started.append,
            told=self.told.append,
            is_short_of_disk=lambda: self.disk_is_full, versions={})

    def run(self, slot: str = "", *, again: bool = False) -> Lease:
        """Start a new trial in a slot, or the one that is to be run again."""
        slot = slot or self.first
        if again:
            retry = self.dispatcher.retry_for(self.kind)
            assert retry is not None
            self.dispatcher.taken(retry)
            given: dict[str, Any] = {"trial": retry.trial, "attempt": retry.attempt, "faults": retry.faults,
                                     "reserved_mb": retry.needs_mb}
        else:
            given = {"trial": self.book.ask("cars", "tree"), "attempt": 1, "faults": 0}
        lease = self.dispatcher.assign(slot, dataset="cars", family="tree", expected_step_s=0.0, limits=(), **given)
        self.book.workload(lease, self.kind)
        self.dispatcher.ready(slot)
        assert self.dispatcher.started(slot, lease.number, 2, 0.0) is lease
        return lease

    def lose(self, slot: str = "", message: WorkerLost = LOST) -> None:
        self.recovery.worker_lost(slot or self.first, message, 5.0, draining=False)

    def fail(self, lease: Lease, kind: str, *, disk: bool = False) -> None:
        self.recovery.job_failed(lease.slot, JobFailed(lease=lease.number, kind=kind, reason="it broke", traceback="",
                                                       seconds=1.0, disk=disk), 5.0)

    def notices(self) -> list[str]:
        return [r["text"] for r in read(self.folder / "journal.jsonl") if r["event"] == "notice"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def gpu_scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, some_gpus(1)[0])


# Deaths.


def test_a_trial_that_took_three_workers_has_failed_with_the_signal_kept(scene: Scene) -> None:
    scene.run()
    scene.lose()
    for _ in range(2):
        scene.run(again=True)
        scene.lose()

    [told] = scene.told
    assert (told.record.kind, told.record.reason) == ("worker_lost", "attempt 3: killed by SIGSEGV")
    assert told.record.quarantined
    assert not scene.dispatcher.retries
    assert len(scene.started) == 3


@pytest.mark.parametrize(("by_the_kernel", "kind"), [(True, "out_of_memory"), (False, "worker_lost")])
def test_what_the_kernel_ends_for_want_of_memory_is_out_of_memory(scene: Scene, by_the_kernel: bool, kind: str) -> None:
    scene.monitor.kernel_killed = by_the_kernel
    killed = WorkerLost(reason="killed by SIGKILL")

    scene.run()
    scene.lose(message=killed)
    for _ in range(2):
        scene.run(again=True)
        scene.lose(message=killed)

    assert [t.record.kind for t in scene.told] == [kind]


def test_a_family_that_never_worked_and_crashed_twice_is_stopped(scene: Scene) -> None:
    for _ in range(MOST_CRASHES):
        scene.run()
        scene.lose()
        for _ in range(2):
            scene.run(again=True)
            scene.lose()

    assert scene.book.ledgers["cars"].families["tree"].closed


def test_a_family_that_has_worked_may_crash_a_little_more_often(scene: Scene) -> None:
    lease = scene.run()
    scene.dispatcher.finished(scene.first, lease.number)
    scene.book.finished(lease, scene.recovery.slots[scene.first], {}, a_finish(lease.number))
    for _ in range(MOST_CRASHES):
        scene.run()
        scene.lose()
        for _ in range(2):
            scene.run(again=True)
            scene.lose()

    assert not scene.book.ledgers["cars"].families["tree"].closed


def test_a_worker_that_left_in_good_order_is_replaced_and_nobody_blamed(scene: Scene) -> None:
    for _ in range(10):
        scene.lose(message=WorkerLost(reason="it had grown", orderly=True))

    assert len(scene.started) == 10


def test_a_worker_that_cannot_be_ended_closes_its_slot(scene: Scene) -> None:
    scene.run()

    scene.lose(message=WorkerLost(reason="hung", abandoned=True))

    assert scene.dispatcher.slots[scene.first].phase == "closed"
    assert not scene.started
    assert any("cannot be ended" in text for text in scene.notices())


# Hangs.


def hang(scene: Scene, seconds: float = IDLE_S + 2, cpu: float = 0.0) -> None:
    for now in range(int(seconds) + 1):
        scene.recovery.watch(float(now), {scene.first: ProcessLoad(cpu_s=cpu * now)}, {})


def test_a_hung_job_is_ended_and_run_again(scene: Scene) -> None:
    scene.run()

    hang(scene)
    [(how, slot, reason)] = scene.backend.asked
    scene.lose(message=WorkerLost(reason=reason))

    assert (how, slot) == ("end", scene.first)
    assert [r.attempt for r in scene.dispatcher.retries] == [2]
    assert any("where it stood is in logs/worker-cpu0.log" in text for text in scene.notices())


def test_a_worker_that_is_being_ended_is_not_listened_to(scene: Scene) -> None:
    scene.run()

    hang(scene)

    assert scene.recovery.is_ending(scene.first)
    scene.lose()
    assert not scene.recovery.is_ending(scene.first)


def test_a_job_that_spins_past_its_limit_has_failed_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.scheduler.watchdog.UNKNOWN_FOLD_S", 30.0)
    scene.run()

    hang(scene, 40, cpu=1.0)
    scene.lose(message=WorkerLost(reason=scene.backend.asked[0][2]))

    [told] = scene.told
    assert told.record.kind == "time_limit"
    assert not scene.dispatcher.retries


def test_predicting_the_test_rows_of_all_folds_may_take_as_long_as_the_folds(
    scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optimizer.scheduler.watchdog.UNKNOWN_FOLD_S", 30.0)
    lease = scene.run()
    for _ in range(lease.steps):
        assert scene.dispatcher.stepped(scene.first, lease.number, 0.5, 1.0, 0.0) is lease

    hang(scene, 50, cpu=1.0)
    assert not scene.backend.asked
    hang(scene, 130, cpu=1.0)

    [(_, _, reason)] = scene.backend.asked
    assert reason.startswith("time limit: predicting the test rows took longer than its limit of 60 s")


def test_a_worker_that_was_stopped_while_idle_and_never_starts_its_job_hangs(scene: Scene) -> None:
    trial = scene.book.ask("cars", "tree")
    assert trial is not None
    scene.dispatcher.assign(scene.first, trial=trial, attempt=1, faults=0, dataset="cars", family="tree",
                            expected_step_s=0.0, limits=())

    hang(scene)
    [(how, slot, reason)] = scene.backend.asked
    scene.lose(message=WorkerLost(reason=reason))

    assert (how, slot) == ("end", scene.first)
    # It has not begun, so it costs no attempt.
    assert [(r.trial, r.attempt, r.faults) for r in scene.dispatcher.retries] == [(trial, 1, 0)]


def test_an_idle_worker_does_not_hang(scene: Scene) -> None:
    hang(scene, 600)

    assert not scene.backend.asked


# Memory.


def test_a_job_over_its_share_is_killed_and_gets_more_room_once(scene: Scene) -> None:
    scene.run()
    scene.monitor.held = 1500.0

    scene.recovery.watch_memory(0.0, math.inf, 4000.0)
    scene.lose(message=WorkerLost(reason=scene.backend.asked[0][2]))
    scene.run(again=True)
    scene.recovery.watch_memory(0.0, math.inf, 4000.0)

    assert [how for how, _, _ in scene.backend.asked] == ["kill"]
    assert "held 1500 MiB of the 1000 MiB" in scene.backend.asked[0][2]


def test_a_job_that_fills_the_whole_limit_has_failed_with_its_size(scene: Scene) -> None:
    scene.run()
    for held in (1500.0, 2500.0):
        scene.monitor.held = held
        scene.recovery.watch_memory(0.0, math.inf, 4000.0)
        scene.lose(message=WorkerLost(reason=scene.backend.asked[-1][2]))
        if held == 1500.0:
            scene.run(again=True)

    [told] = scene.told
    assert (told.record.kind, told.record.peak_private_mb) == ("out_of_memory", 2500.0)
    assert "held 2500 MiB" in told.record.reason


def test_a_machine_without_memory_gets_a_job_back_which_is_not_blamed(scene: Scene) -> None:
    scene.run()
    scene.monitor.held = 10.0

    scene.recovery.watch_memory(0.0, 1.0, 4000.0)
    scene.lose(message=WorkerLost(reason=scene.backend.asked[0][2]))

    assert [(r.attempt, r.faults) for r in scene.dispatcher.retries] == [(2, 0)]


def test_a_limit_that_was_lowered_ends_a_job_and_blames_nobody(scene: Scene) -> None:
    for slot in (scene.first, scene.second):
        scene.run(slot).reserved_mb = 1000.0
    scene.monitor.held = 900.0
    scene.recovery.memory_mb = 1500.0

    scene.recovery.watch_memory(0.0, math.inf, 4000.0)
    [(how, slot, reason)] = scene.backend.asked
    scene.lose(slot, WorkerLost(reason=reason))

    assert how == "kill"
    assert [(r.attempt, r.faults, r.needs_mb) for r in scene.dispatcher.retries] == [(2, 0, 1000.0)]


def test_a_job_is_given_back_where_the_helpers_hold_what_the_limit_lacks(scene: Scene) -> None:
    for slot in (scene.first, scene.second):
        scene.run(slot).reserved_mb = 1000.0
    scene.monitor.held = 900.0
    scene.recovery.watch_memory(0.0, math.inf, 4000.0)
    assert not scene.backend.asked, "within the limit together"
    scene.recovery.beyond_mb = 300.0

    scene.recovery.watch_memory(7.0, math.inf, 4000.0)
    assert scene.recovery.is_short_of_memory(8.0)
    assert not scene.recovery.is_short_of_memory(7.0 + GIVEN_BACK_S)
    [(_, slot, reason)] = scene.backend.asked
    scene.lose(slot, WorkerLost(reason=reason))

    assert [(r.attempt, r.faults, r.needs_mb) for r in scene.dispatcher.retries] == [(2, 0, 1000.0)]


def test_what_a_trial_held_is_in_its_record_and_its_family_remembers(scene: Scene) -> None:
    lease = scene.run()
    scene.monitor.held = 800.0
    scene.recovery.watch_memory(0.0, math.inf, 4000.0)
    scene.dispatcher.finished(scene.first, lease.number)

    told = scene.book.finished(lease, scene.recovery.slots[scene.first], {}, a_finish(lease.number))

    assert told.record.peak_private_mb == 800.0
    assert scene.book.ledgers["cars"].families["tree"].peak_mb == 800.0


# Exceptions.


def test_an_error_of_the_model_is_final(scene: Scene) -> None:
    scene.fail(scene.run(), "error")

    assert [t.record.kind for t in scene.told] == ["error"]


def test_a_file_that_could_not_be_written_is_tried_again_a_few_times(scene: Scene) -> None:
    scene.fail(scene.run(), "storage")
    scene.fail(scene.run(again=True), "storage")
    assert not scene.told

    scene.fail(scene.run(again=True), "storage")

    assert [t.record.kind for t in scene.told] == ["storage"]


def test_a_quota_or_a_disk_that_refuses_is_not_the_fault_of_a_trial(scene: Scene) -> None:
    scene.fail(scene.run(), "storage", disk=True)
    for _ in range(4):
        scene.fail(scene.run(again=True), "storage", disk=True)

    assert [(r.attempt, r.faults) for r in scene.dispatcher.retries] == [(6, 0)]


def test_a_full_disk_is_not_the_fault_of_a_trial(scene: Scene) -> None:
    scene.disk_is_full = True
    scene.fail(scene.run(), "storage")
    for _ in range(4):
        scene.fail(scene.run(again=True), "storage")

    assert [(r.attempt, r.faults) for r in scene.dispatcher.retries] == [(6, 0)]


def test_a_card_without_memory_gets_one_more_try_when_it_is_free(gpu_scene: Scene) -> None:
    gpu_scene.fail(gpu_scene.run(), "gpu_out_of_memory")
    assert not gpu_scene.told
    assert gpu_scene.recovery.holds_back(gpu_scene.first, 6.0)
    gpu_scene.monitor.card_mb = 1.0
    assert not gpu_scene.recovery.holds_back(gpu_scene.first, 7.0)
    gpu_scene.lose()

    gpu_scene.fail(gpu_scene.run(again=True), "gpu_out_of_memory")

    assert [t.record.kind for t in gpu_scene.told] == ["gpu_out_of_memory"]


def test_a_card_that_does_not_tell_its_memory_is_waited_for_so_long_and_no_longer(gpu_scene: Scene) -> None:
    gpu_scene.fail(gpu_scene.run(), "gpu_out_of_memory")

    assert gpu_scene.recovery.holds_back(gpu_scene.first, 6.0)
    assert not gpu_scene.recovery.holds_back(gpu_scene.first, 6.0 + GPU_MEMORY_S)


def lose_card(scene: Scene, times: int, gap_s: float) -> None:
    for turn in range(times):
        lease = scene.run(again=bool(scene.dispatcher.retries))
        scene.recovery.job_failed(scene.first, JobFailed(
            lease=lease.number, kind="gpu_lost", reason="CUDA error: an illegal memory access", traceback="",
            seconds=1.0), turn * gap_s)
        scene.lose()


def test_a_card_that_fails_three_times_in_ten_minutes_is_set_aside(gpu_scene: Scene) -> None:
    lose_card(gpu_scene, GPU_FAULTS, 10.0)

    assert not gpu_scene.dispatcher.open_slots
    assert any("is set aside: 3 errors within 10 minutes" in text for text in gpu_scene.notices())


def test_errors_of_a_card_that_abort_the_process_count_too(gpu_scene: Scene) -> None:
    for _ in range(GPU_FAULTS):
        gpu_scene.run()
        gpu_scene.lose(message=WorkerLost(reason="killed by SIGABRT"))

    assert not gpu_scene.dispatcher.open_slots
    assert any("is set aside: 3 errors within 10 minutes" in text for text in gpu_scene.notices())


def test_a_card_without_memory_that_aborts_the_process_is_waited_for_once_and_not_set_aside(gpu_scene: Scene) -> None:
    words = 'uncaught exception 0x1 what() -> "cuda_base.cpp:16: CUDA error 2: out of memory" of type TCudaException'
    gpu_scene.run()
    gpu_scene.lose(message=WorkerLost(reason="killed by SIGABRT", words=words))
    assert not gpu_scene.told
    assert gpu_scene.recovery.holds_back(gpu_scene.first, 6.0)
    gpu_scene.monitor.card_mb = 1.0
    assert not gpu_scene.recovery.holds_back(gpu_scene.first, 7.0)

    gpu_scene.run(again=True)
    gpu_scene.lose(message=WorkerLost(reason="killed by SIGABRT", words=words))

    (told,) = gpu_scene.told
    assert told.record.kind == "gpu_out_of_memory"
    assert "CUDA error 2: out of memory" in str(told.record.reason)
    assert not any("set aside" in text for text in gpu_scene.notices())


def test_a_trial_that_aborts_every_time_sets_no_card_aside(gpu_scene: Scene) -> None:
    for _ in range(GPU_FAULTS):
        gpu_scene.run(again=bool(gpu_scene.dispatcher.retries))
        gpu_scene.lose(message=WorkerLost(reason="killed by SIGABRT"))

    assert gpu_scene.dispatcher.open_slots == 2
    assert [t.record.quarantined for t in gpu_scene.told] == [True]


def test_a_card_that_fails_now_and_then_stays(gpu_scene: Scene) -> None:
    lose_card(gpu_scene, GPU_FAULTS, 400.0)

    assert gpu_scene.dispatcher.open_slots == 2


def test_trials_of_a_card_that_was_set_aside_are_not_left_waiting(gpu_scene: Scene) -> None:
    gpu_scene.run(gpu_scene.second)
    lose_card(gpu_scene, GPU_FAULTS, 10.0)
    gpu_scene.lose(gpu_scene.second)

    assert not gpu_scene.dispatcher.retries
    assert not gpu_scene.dispatcher.under_way


def test_when_the_time_of_a_dataset_is_over_nothing_that_crashed_is_tried_again(scene: Scene) -> None:
    scene.run()
    scene.book.ledgers["cars"].families["tree"].charge("cpu", 10_000.0)

    scene.lose()

    assert [t.record.attempt for t in scene.told] == [1]


def test_a_slot_that_stands_still_without_a_worker_is_on_nobodys_account(scene: Scene) -> None:
    scene.run()
    scene.lose()
    before = sum(scene.book.ledgers["cars"].families["tree"].seconds.values())

    scene.recovery.stood_still(scene.first, 1000.0)
    scene.recovery.worker_ready(scene.first, 1007.0)

    assert sum(scene.book.ledgers["cars"].families["tree"].seconds.values()) == pytest.approx(before + 2.0)


def test_a_slot_without_a_worker_is_on_the_account_of_who_took_it(scene: Scene) -> None:
    scene.run()
    scene.lose()  # at 5 s, after 5 s of work
    scene.recovery.worker_ready(scene.first, 15.0)
    scene.recovery.worker_ready(scene.second, 99.0)

    assert scene.book.ledgers["cars"].families["tree"].seconds == {"cpu": 15.0}
