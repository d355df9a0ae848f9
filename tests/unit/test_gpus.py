"""GPUs: none, or a broken driver, is an answer; what the environment and the study file name is what is offered."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stubs.makers import some_gpus

from optimizer.child import Child
from optimizer.errors import ResourceError
from optimizer.gpus import Gpu, GpuLoad, GpuReport, chosen, find_gpus, normal_pci_bus_id, visible

STUBS = Path(__file__).resolve().parent.parent / "stubs"

# What the environment leaves.


@pytest.mark.parametrize(("value", "indices"), [
    (None, [0, 1, 2]),
    ("0,1,2", [0, 1, 2]),
    ("2,0", [2, 0]),
    (" 1 , 2 ", [1, 2]),
    ("GPU-00000001", [1]),
    ("GPU-00000001,0", [1, 0]),
    ("1,7,0", [1]),
    ("0,-1,1", [0]),
    ("0,nonsense,1", [0]),
    ("7", []),
    ("", []),
    ("NoDevFiles", []),
    ("GPU-", []),
    ("0,0", [0]),
])
def test_cuda_visible_devices_means_what_it_means_to_cuda(value: str | None, indices: list[int]) -> None:
    report = visible(GpuReport(gpus=some_gpus(3), driver="580"), value)

    assert [g.index for g in report.gpus] == indices
    assert report.driver == "580"
    assert bool(report.note) == (not indices)


def test_a_variable_that_hides_every_card_is_named() -> None:
    assert visible(GpuReport(gpus=some_gpus(1)), "5").note == "CUDA_VISIBLE_DEVICES='5' leaves no GPU"


def test_where_no_card_was_found_the_reason_stays() -> None:
    report = GpuReport(note="no NVIDIA GPU")

    assert visible(report, "0") == report


# What the study file asks for.


def test_the_study_file_names_cards_by_index_or_uuid_each_once() -> None:
    report = GpuReport(gpus=some_gpus(3))

    assert chosen(report, "all") == report.gpus
    assert chosen(report, "none") == ()
    assert chosen(report, ()) == ()
    assert [g.index for g in chosen(report, (2, "GPU-00000000", 2))] == [2, 0]


def test_a_card_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(ResourceError) as caught:
        chosen(GpuReport(gpus=some_gpus(1)), (3,))

    assert str(caught.value) == (
        "resources.gpus asks for 3; GPUs on offer here: 0 (GPU-00000000, Tensor 9000)")
    with pytest.raises(ResourceError, match="on offer here: no NVIDIA GPU"):
        chosen(GpuReport(note="no NVIDIA GPU"), (0,))


@pytest.mark.parametrize("text", ["00000000:65:00.0", "0000:65:00.0", "65:00.0", "00000000:65:00.0".upper()])
def test_a_bus_id_is_written_in_one_way(text: str) -> None:
    assert normal_pci_bus_id(text) == "0000:65:00.0"


# The child that asks NVML, with a driver made up.


def environment(told: dict[str, Any] | None = None, **variables: str) -> dict[str, str]:
    """An environment in which the stub is found before NVML's own module."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "OPTIMIZER_DEVICES")}
    stub = {} if told is None else {"STUB_NVML": json.dumps(told)}
    return {**inherited, "PYTHONPATH": str(STUBS), **stub, **variables}


def card(number: int, **fields: Any) -> dict[str, Any]:
    return {"uuid": f"GPU-{number}", "name": "Tensor 9000", "memory_mb": 1000, "pci": f"00000000:6{number}:00.0",
            "load": 40, "used_mb": 300, **fields}


def test_every_card_is_found_with_what_it_tells() -> None:
    report = find_gpus(environment({"gpus": [card(0), card(1)], "driver": "580.1"}))

    assert report == GpuReport(driver="580.1", gpus=tuple(
        Gpu(index=i, uuid=f"GPU-{i}", name="Tensor 9000", memory_mb=1000.0, pci_bus_id=f"0000:6{i}:00.0")
        for i in range(2)))


def test_the_environment_hides_cards_from_us_too() -> None:
    report = find_gpus(environment({"gpus": [card(0), card(1)]}, CUDA_VISIBLE_DEVICES="1"))

    assert [g.uuid for g in report.gpus] == ["GPU-1"]


def test_without_a_driver_there_is_one_sentence() -> None:
    assert find_gpus(environment()) == GpuReport(
        note="no NVIDIA GPU (Driver Not Loaded); everything runs on the CPU")


def test_a_figure_that_a_card_does_not_tell_is_unknown_and_the_card_counts() -> None:
    silent = card(0, fails=["nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPciInfo",
                            "nvmlDeviceGetUUID", "nvmlDeviceGetMigMode"])

    assert find_gpus(environment({"gpus": [silent], "fails": ["nvmlSystemGetDriverVersion"]})).gpus == (
        Gpu(index=0, uuid="index-0", name="unknown GPU"),)


def test_a_card_that_fell_off_the_bus_does_not_hide_the_others() -> None:
    report = find_gpus(environment({"gpus": [card(0, fails=["nvmlDeviceGetHandleByIndex"]), card(1)]}))

    assert [g.index for g in report.gpus] == [1]


def test_a_driver_that_cannot_count_its_cards_has_none() -> None:
    report = find_gpus(environment({"gpus": [], "fails": ["nvmlDeviceGetCount"]}))

    assert report == GpuReport(note="the NVIDIA driver lists no GPU")


def test_slices_stand_for_their_card_and_have_no_bus_id() -> None:
    """OpenCL cannot tell the slices of one card apart."""
    slices = [{**card(0), "uuid": f"MIG-{i}"} for i in range(2)]

    report = find_gpus(environment({"gpus": [card(0, mig=slices), card(1)]}))

    assert [(g.index, g.uuid, g.pci_bus_id) for g in report.gpus] == [
        (0, "MIG-0", None), (0, "MIG-1", None), (1, "GPU-1", "0000:61:00.0")]


def test_a_driver_that_hangs_is_given_up() -> None:
    report = find_gpus(environment({"gpus": [], "hangs": ["nvmlDeviceGetCount"]}), timeout_s=2.0)

    assert report == GpuReport(note="the NVIDIA driver did not answer within 2 s; going on without GPUs")


def test_a_broken_nvml_module_is_an_answer_with_its_reason() -> None:
    report = find_gpus(environment(STUB_NVML="no JSON"))

    assert report.note.startswith("the NVIDIA driver could not be asked (json.decoder.JSONDecodeError: ")
    assert not report.gpus


def test_devices_that_nvml_does_not_know_come_from_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "devices.json"
    device = Gpu(index=0, uuid="pocl", name="an OpenCL device", kind="opencl")
    listed.write_bytes(msgspec.json.encode([device]))

    assert find_gpus({"OPTIMIZER_DEVICES": str(listed)}) == GpuReport(gpus=(device,))
    listed.write_text("[{}]")
    with pytest.raises(ResourceError, match=r"OPTIMIZER_DEVICES=.*devices\.json: .*expected a JSON list of devices"):
        find_gpus({"OPTIMIZER_DEVICES": str(listed)})


def test_the_watcher_tells_the_load_of_every_card_that_answers(tmp_path: Path) -> None:
    told = {"gpus": [card(0), card(1, fails=["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"]),
                     card(2, fails=["nvmlDeviceGetHandleByIndex"])]}
    child = Child("optimizer.gpus", ["--watch"], log=tmp_path / "gpus.log", environment=environment(told))
    lines: list[bytes] = []
    while not lines and not child.ended:
        lines = child.lines()
    child.kill()

    assert msgspec.json.decode(lines[0], type=list[GpuLoad]) == [
        GpuLoad(uuid="GPU-0", load=0.4, memory_mb=300.0), GpuLoad(uuid="GPU-1", load=None, memory_mb=None)]
