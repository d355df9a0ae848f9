"""Cores and memory that may be used, and the slots made of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stubs.makers import some_gpus

from optimizer.errors import ResourceError
from optimizer.gpus import Gpu
from optimizer.resources import (
    MOST_CPU_SLOTS,
    MOST_FEEDERS,
    THREAD_VARIABLES,
    Slot,
    SlotPlan,
    amount_of_cores,
    available_memory_mb,
    cpu_quota,
    plan_slots,
    slot_environment,
    usable_cores,
    usable_memory_mb,
)

DEVICES = {
    "cpu only": {"catboost": "cpu"},
    "any": {"xgboost": "any"},
    "gpu only": {"xgboost": "gpu"},
    "any and cpu": {"xgboost": "any", "catboost": "cpu"},
    "gpu and cpu": {"xgboost": "gpu", "catboost": "cpu"},
    "all": {"xgboost": "gpu", "lightgbm": "any", "catboost": "cpu"},
}


def plan(cores: int, gpus: int, devices: dict[str, str], threads_per_slot: int | None = None) -> SlotPlan:
    return plan_slots(cores=range(cores), gpus=some_gpus(gpus), devices=devices, threads_per_slot=threads_per_slot,
                      memory_mb=64000.0)


def of_kind(made: SlotPlan, kind: str) -> list[Slot]:
    return [slot for slot in made.slots if slot.kind == kind]


def cores_of(slots: list[Slot]) -> list[int]:
    return [core for slot in slots for core in slot.cores]


def every_plan() -> list[tuple[int, int, str]]:
    return [(cores, gpus, name) for cores in (*range(1, 20), 24, 31, 32, 33, 48, 63, 64) for gpus in range(9)
            for name in DEVICES if gpus or "gpu" not in DEVICES[name].values()]


def test_on_every_machine_each_promise_of_the_plan_holds() -> None:
    for cores, gpus, name in every_plan():
        devices = DEVICES[name]
        made = plan(cores, gpus, devices)
        with_gpu, without = of_kind(made, "gpu"), of_kind(made, "cpu")
        wants_gpu, needs_cpu = set(devices.values()) != {"cpu"}, "cpu" in devices.values()
        case = f"{cores} cores, {gpus} GPUs, {name}: {made}"

        assert len(with_gpu) == (gpus if wants_gpu else 0), case
        assert {slot.gpu for slot in with_gpu} == (set(some_gpus(gpus)) if wants_gpu else set()), case
        assert without or not needs_cpu, case
        assert made.slots, case
        assert all(slot.cores and set(slot.cores) <= set(range(cores)) for slot in made.slots), case
        assert all(slot.threads == len(slot.cores) == len(set(slot.cores)) for slot in made.slots), case
        assert len({slot.name for slot in made.slots}) == len(made.slots), case
        assert sum(slot.memory_mb for slot in made.slots) == pytest.approx(64000.0), case
        assert len(without) <= MOST_CPU_SLOTS, case


def test_cores_are_shared_only_where_there_are_too_few_and_then_it_is_said() -> None:
    for cores, gpus, name in every_plan():
        made = plan(cores, gpus, DEVICES[name])
        with_gpu, without = of_kind(made, "gpu"), of_kind(made, "cpu")
        case = f"{cores} cores, {gpus} GPUs, {name}: {made}"
        between_gpus = max(Counter(cores_of(with_gpu)).values(), default=0) > 1
        with_the_cpu = bool(set(cores_of(with_gpu)) & set(cores_of(without)))

        assert max(Counter(cores_of(without)).values(), default=1) == 1, case
        assert between_gpus == (len(with_gpu) > cores - ("cpu" in DEVICES[name].values() and cores > 1)), case
        assert with_the_cpu == (cores == 1 and bool(with_gpu) and bool(without)), case
        assert bool(made.notices) == (between_gpus or with_the_cpu), case


def test_no_core_is_left_idle_that_a_family_could_use() -> None:
    for cores, gpus, name in every_plan():
        made = plan(cores, gpus, DEVICES[name])

        assert set(cores_of(list(made.slots))) == set(range(cores)), f"{cores} cores, {gpus} GPUs, {name}: {made}"


def test_feeders_are_few_as_long_as_cpu_slots_can_use_the_rest() -> None:
    made = plan(100, 2, DEVICES["any and cpu"])

    assert [len(slot.cores) for slot in of_kind(made, "gpu")] == [MOST_FEEDERS, MOST_FEEDERS]
    assert len(of_kind(made, "cpu")) == MOST_CPU_SLOTS


@pytest.mark.parametrize(("memory_mb", "threads"), [(64000.0, [1] * 8), (2048.0, [2] * 4), (100.0, [8])])
def test_a_slot_has_memory_enough_to_live_or_there_are_fewer_with_more_threads(
    memory_mb: float, threads: list[int],
) -> None:
    made = plan_slots(cores=range(8), gpus=(), devices=DEVICES["cpu only"], threads_per_slot=None, memory_mb=memory_mb)

    assert [slot.threads for slot in made.slots] == threads


def test_two_gpus_on_two_cores_share_a_feeder_so_that_catboost_keeps_its_core() -> None:
    made = plan(2, 2, DEVICES["any and cpu"])

    assert [(s.name, s.cores) for s in made.slots] == [("gpu0", (0,)), ("gpu1", (0,)), ("cpu0", (1,))]
    assert made.notices == ("2 GPUs share 1 feeder core; 3 cores would give each its own",)


def test_one_core_alone_is_shared_by_all_and_it_is_said() -> None:
    made = plan(1, 1, DEVICES["any and cpu"])

    assert [(s.name, s.cores) for s in made.slots] == [("gpu0", (0,)), ("cpu0", (0,))]
    assert made.notices == ("1 core only: the GPUs and the CPU slot share it",)


@given(st.integers(1, 64), st.integers(1, 80))
def test_a_person_may_say_how_many_threads_a_cpu_slot_has(cores: int, threads: int) -> None:
    made = plan(cores, 0, DEVICES["cpu only"], threads)

    assert all(slot.threads == min(threads, cores) <= len(slot.cores) for slot in made.slots)
    assert len(made.slots) == max(1, cores // threads)
    assert bool(made.notices) == (threads > cores)


def test_slices_of_one_card_have_names_of_their_own() -> None:
    slices = [Gpu(index=0, uuid=f"MIG-{i}", name="slice") for i in range(2)]

    made = plan_slots(cores=range(4), gpus=slices, devices=DEVICES["any"], threads_per_slot=None, memory_mb=1.0)

    assert [s.name for s in of_kind(made, "gpu")] == ["gpu0.0", "gpu0.1"]


def test_a_family_that_can_get_no_slot_is_refused_before_the_start() -> None:
    with pytest.raises(ResourceError) as caught:
        plan(4, 0, DEVICES["gpu and cpu"])

    assert str(caught.value) == (
        'xgboost has device = "gpu" and there is no GPU on offer; set [family.xgboost] device = "any" or "cpu", '
        "or see what `optimizer doctor` finds")


def test_without_a_core_nothing_runs() -> None:
    with pytest.raises(ResourceError, match=r"no core is left to run on; raise resources\.cores"):
        plan(0, 0, DEVICES["any"])


# What may be used.


def own_cgroup(root: Path) -> Path:
    """The folder under a made-up root that is this process's cgroup."""
    line = next((ln for ln in Path("/proc/self/cgroup").read_text().splitlines() if ln.startswith("0::")), "0::/")
    folder = root / line[3:].strip().lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", None), ("50000 100000", 1), ("150000 100000", 1),
                                              ("100000000 100000", None)])
def test_the_quota_of_a_cgroup_bounds_the_cores(tmp_path: Path, quota: str, cores: int | None) -> None:
    (own_cgroup(tmp_path) / "cpu.max").write_text(f"{quota}\n")
    allowed = tuple(sorted(os.sched_getaffinity(0)))

    assert usable_cores(tmp_path) == (allowed if cores is None else allowed[:cores])


def test_affinity_bounds_the_cores(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores(tmp_path) == (min(allowed),)
    finally:
        os.sched_setaffinity(0, allowed)


def test_the_tightest_quota_of_a_cgroup_and_its_parents_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a"
    inner.mkdir()
    (inner / "cpu.max").write_text("max 100000\n")
    (tmp_path / "cpu.max").write_text("250000 100000\n")

    assert cpu_quota([inner, tmp_path]) == 2.5
    assert cpu_quota([inner, tmp_path / "missing"]) is None


@pytest.mark.parametrize(("limit", "expected_mb"), [("max", 1000.0), (str(500 * 2**20), 500.0),
                                                    (str(5000 * 2**20), 1000.0)])
def test_memory_is_the_machines_or_the_cgroups_whichever_is_less(
    tmp_path: Path, limit: str, expected_mb: float,
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {1000 * 1024} kB\nMemFree: 1 kB\n")
    (own_cgroup(tmp_path) / "memory.max").write_text(f"{limit}\n")

    assert usable_memory_mb(tmp_path, meminfo) == expected_mb


def test_a_limit_of_a_parent_cgroup_counts_too(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {1000 * 1024} kB\n")
    own_cgroup(tmp_path)
    (tmp_path / "memory.max").write_text(f"{100 * 2**20}\n")

    assert usable_memory_mb(tmp_path, meminfo) == 100.0


MIB = 2**20


def a_machine(root: Path, own: str, total_mb: int = 1000, available_mb: int = 800) -> dict[str, Path]:
    """Where to look, on a machine of this size whose process is in these cgroups."""
    (root / "meminfo").write_text(f"MemTotal: {total_mb * 1024} kB\nMemFree: 1 kB\n"
                                  f"MemAvailable: {available_mb * 1024} kB\n")
    (root / "own").write_text(own)
    return {"cgroup": root / "cgroup", "meminfo": root / "meminfo", "own": root / "own"}


def write_files(folder: Path, **values: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / f"memory.{name}").write_text(f"{value}\n")


def test_a_cgroup_that_is_slowed_down_from_some_size_on_has_no_more_than_that(tmp_path: Path) -> None:
    places = a_machine(tmp_path, "0::/job\n")
    write_files(tmp_path / "cgroup" / "job", max=600 * MIB, high=500 * MIB)

    assert usable_memory_mb(**places) == 500.0


@pytest.mark.parametrize(("own", "folder"), [
    ("4:memory:/batch/job\n0::/\n", "batch/job"),
    ("4:cpu,memory:/batch/job\n", "batch"),
    ("4:memory:/docker/of-the-host\n", ""),
])
def test_the_first_version_of_cgroups_limits_memory_too(tmp_path: Path, own: str, folder: str) -> None:
    places = a_machine(tmp_path, own)
    write_files(tmp_path / "cgroup" / "memory", limit_in_bytes=9223372036854771712)
    write_files(tmp_path / "cgroup" / "memory" / folder, limit_in_bytes=300 * MIB, usage_in_bytes=200 * MIB,
                stat=f"inactive_file 1\ntotal_inactive_file {50 * MIB}")

    assert usable_memory_mb(**places) == 300.0
    assert available_memory_mb(**places) == 150.0


def test_what_is_left_is_the_machines_or_the_cgroups_and_idle_cache_counts_as_free(tmp_path: Path) -> None:
    places = a_machine(tmp_path, "0::/a/job\n")
    assert available_memory_mb(**places) == 800.0
    write_files(tmp_path / "cgroup" / "a", max=900 * MIB, current=700 * MIB, stat=f"inactive_file {100 * MIB}")
    write_files(tmp_path / "cgroup" / "a" / "job", max="max", current=10 * MIB)
    assert available_memory_mb(**places) == 300.0

    write_files(tmp_path / "cgroup" / "a" / "job", max=100 * MIB, current=120 * MIB)
    assert available_memory_mb(**places) == 0.0, "over its limit for the moment"


def test_this_machine_has_no_more_left_than_it_has() -> None:
    assert 0 < available_memory_mb() <= usable_memory_mb()


@pytest.mark.parametrize(("wanted", "count"), [(3, 3), (8, 8), ("50%", 4), ("100%", 8), ("1%", 1), ("31%", 2)])
def test_cores_are_asked_for_by_number_or_share(wanted: int | str, count: int) -> None:
    assert amount_of_cores(wanted, range(8)) == tuple(range(count))


def test_more_cores_than_there_are_is_refused() -> None:
    with pytest.raises(ResourceError) as caught:
        amount_of_cores(9, range(8))

    assert str(caught.value) == "resources.cores asks for 9; affinity and cgroup leave 8 here"


# What a worker is told before it loads anything.


@settings(max_examples=20)
@given(st.integers(1, 64))
def test_every_numerical_library_is_told_its_threads(threads: int) -> None:
    base = {"OMP_NUM_THREADS": "99", "HOME": "/home/a"}

    told = slot_environment(Slot(name="cpu0", cores=(0,), threads=threads), base)

    assert {told[name] for name in THREAD_VARIABLES} == {str(threads)}
    assert told["HOME"] == "/home/a"
    assert base["OMP_NUM_THREADS"] == "99"


def test_a_worker_sees_the_card_of_its_slot_and_no_other() -> None:
    card = some_gpus(1)[0]
    other = Gpu(index=0, uuid="pocl", name="an OpenCL device", kind="opencl")

    def seen(gpu: Gpu | None) -> str:
        told = slot_environment(Slot(name="s", cores=(0,), threads=1, gpu=gpu), {"CUDA_VISIBLE_DEVICES": "7"})
        assert told["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        return told["CUDA_VISIBLE_DEVICES"]

    assert seen(card) == card.uuid
    assert seen(None) == ""
    assert seen(other) == ""
