"""What the machine offers to a study, with cards made up, and the slots made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from optimizer.config.resolved import FamilyChoice, ResourceLimits, Study
from optimizer.errors import ResourceError, RunFolderError
from optimizer.resources import usable_cores, usable_memory_mb
from optimizer.scheduler.folder import make_folder, set_aside
from optimizer.scheduler.lock import RunLock
from optimizer.scheduler.past import Past
from optimizer.scheduler.start import Machine, study_snapshot, survey

STUBS = Path(__file__).resolve().parent.parent / "stubs"


def a_study(tmp_path: Path, devices: Mapping[str, str | None], **limits: Any) -> Study:
    """A study of these families with the devices that its person chose."""
    given: dict[str, Any] = {"gpus": "all", "cores": "100%", "memory_limit": "50%", "threads_per_slot": None}
    return Study(
        name="s5e7", path=tmp_path / "s5e7.toml", datasets=(), time_per_dataset_s=60.0, trials=None, deadline=None,
        folds=5, repeats=1, seed=42, families=tuple(FamilyChoice(name=n, device=d) for n, d in devices.items()),
        sampler="tpe", pruner="none", resources=ResourceLimits(**{**given, **limits}),
    )


def surveyed(tmp_path: Path, study: Study, cards: int, **variables: str) -> Machine:
    """The machine of this test with so many cards."""
    told = {"gpus": [{"uuid": f"GPU-{i}", "name": "Tensor 9000", "memory_mb": 1000, "pci": f"0000:0{i}:00.0"}
                     for i in range(cards)]}
    inherited = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "OPTIMIZER_DEVICES")}
    return survey(study, {**inherited, "PYTHONPATH": str(STUBS), "STUB_NVML": json.dumps(told), **variables},
                  tmp_path / "log")


def test_each_card_is_a_slot_and_catboost_keeps_a_core(tmp_path: Path) -> None:
    machine = surveyed(tmp_path, a_study(tmp_path, {"xgboost": None, "catboost": None}), 2)

    assert [s.gpu.uuid for s in machine.plan.slots if s.gpu] == ["GPU-0", "GPU-1"]
    assert machine.devices == {"xgboost": "any", "catboost": "cpu"}
    assert machine.kinds == {"xgboost": {"gpu", "cpu"}, "catboost": {"cpu"}}
    assert machine.cores == usable_cores()
    assert machine.memory_mb == pytest.approx(usable_memory_mb() / 2, rel=0.01)


@pytest.mark.parametrize(("limits", "variables"), [
    ({"gpus": "none"}, {}), ({"gpus": ()}, {}), ({}, {"CUDA_VISIBLE_DEVICES": ""}),
])
def test_a_person_may_keep_the_cards_for_something_else(
    tmp_path: Path, limits: dict[str, Any], variables: dict[str, str],
) -> None:
    machine = surveyed(tmp_path, a_study(tmp_path, {"xgboost": None}, **limits), 2, **variables)

    assert {slot.kind for slot in machine.plan.slots} == {"cpu"}
    assert machine.kinds == {"xgboost": {"cpu"}}


def test_where_there_is_no_card_it_is_said_once_and_all_goes_on(tmp_path: Path) -> None:
    machine = surveyed(tmp_path, a_study(tmp_path, {"xgboost": "any"}), 0)

    assert machine.notices == ("the NVIDIA driver lists no GPU",)
    assert machine.kinds == {"xgboost": {"cpu"}}


def test_a_family_that_must_have_a_card_is_refused_without_one(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match='xgboost has device = "gpu" and there is no GPU on offer'):
        surveyed(tmp_path, a_study(tmp_path, {"xgboost": "gpu"}), 0)


def test_where_no_family_asks_for_a_card_none_is_looked_for(tmp_path: Path) -> None:
    machine = surveyed(tmp_path, a_study(tmp_path, {"xgboost": "cpu"}), 2)

    assert machine.gpus.note == "no family of this study asks for a GPU"
    assert not machine.notices


def test_a_family_whose_opencl_device_is_not_the_card_goes_to_cpu_slots_and_it_is_said(tmp_path: Path) -> None:
    machine = surveyed(tmp_path, a_study(tmp_path, {"xgboost": "any", "lightgbm": "any"}), 1)

    assert machine.kinds["lightgbm"] == {"cpu"}
    assert machine.devices["lightgbm"] == "cpu"
    assert machine.notices[0].startswith("lightgbm cannot use GPU 0 (Tensor 9000): ")
    assert machine.notices[0].endswith("; on CPU slots instead")
    assert not machine.opencl


def test_the_person_may_choose_cores_and_cards(tmp_path: Path) -> None:
    study = a_study(tmp_path, {"xgboost": "any"}, gpus=(1,), cores=1)

    machine = surveyed(tmp_path, study, 2)

    assert [gpu.uuid for gpu in machine.gpus.gpus] == ["GPU-1"]
    assert machine.cores == usable_cores()[:1]


def test_the_snapshot_tells_the_study_and_the_slots(tmp_path: Path) -> None:
    study = a_study(tmp_path, {"xgboost": None, "catboost": None})
    machine = surveyed(tmp_path, study, 1)

    told = study_snapshot(study, machine, Past(incarnation=2))

    assert (told["incarnation"], told["resumed"], told["pid"]) == (3, True, os.getpid())
    assert told["study"]["families"] == ["xgboost", "catboost"]
    assert [slot["gpu"] for slot in told["slots"]] == ["GPU-0", *[None] * (len(told["slots"]) - 1)]
    json.dumps(told)


# The run's folder.


def test_a_folder_is_made_with_all_it_holds_and_may_be_there_already(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "run")

    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "backups", "data", "logs", "models", "predictions", "scores"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in its place")

    with pytest.raises(RunFolderError, match=r"run is in the way: the run needs a folder there; rename it"):
        make_folder(tmp_path / "run")


def test_an_earlier_run_is_kept_under_another_name(tmp_path: Path) -> None:
    names = set()
    for number in range(3):
        make_folder(tmp_path / "run")
        (tmp_path / "run" / "summary.txt").write_text(str(number))
        RunLock(tmp_path / "run").release()  # it was run
        os.utime(tmp_path / "run", (1_700_000_000, 1_700_000_000))
        aside = set_aside(tmp_path / "run")
        assert (aside / "summary.txt").read_text() == str(number)
        names.add(aside.name)

    assert len(names) == 3
    assert all(name.startswith("run.2023111") for name in names)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_going_on_is_not_set_aside(tmp_path: Path) -> None:
    make_folder(tmp_path / "run")
    lock = RunLock(tmp_path / "run")

    with pytest.raises(RunFolderError, match="is being run by another scheduler"):
        set_aside(tmp_path / "run")

    lock.release()
    assert (tmp_path / "run").exists()
