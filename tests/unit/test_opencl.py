"""Which of OpenCL's devices is a slot's card."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys

import pytest

from optimizer.models import opencl
from optimizer.models.opencl import OpenCLDevice, OpenCLFault, WantedDevice, find_device, list_devices


def device(platform: int, number: int, name: str, pci: str | None, *, is_gpu: bool = True) -> OpenCLDevice:
    return OpenCLDevice(platform=platform, device=number, name=name, vendor="v", is_gpu=is_gpu, pci_bus_id=pci)


DEVICES = [
    device(0, 0, "pthread-cpu", None, is_gpu=False),
    device(1, 0, "Card", "0000:65:00.0"),
    device(1, 1, "Card", "0000:b3:00.0"),
]


def test_a_card_is_found_by_its_pci_bus_id_whatever_it_is_called() -> None:
    found = find_device(WantedDevice(pci_bus_id="0000:B3:00.0", name="Card"), DEVICES)
    assert (found.platform, found.device) == (1, 1)


def test_a_pci_bus_id_that_opencl_does_not_offer_is_refused_with_what_it_offers() -> None:
    with pytest.raises(OpenCLFault, match=r"no GPU at PCI bus id 0000:17:00\.0.*Card \(0000:65:00\.0\)"):
        find_device(WantedDevice(pci_bus_id="0000:17:00.0"), DEVICES)


def test_a_device_that_is_no_gpu_is_used_only_when_named() -> None:
    assert find_device(WantedDevice(name="pthread-cpu"), DEVICES).platform == 0
    with pytest.raises(OpenCLFault, match="cannot be told"):
        find_device(WantedDevice(), DEVICES[:1])


def test_two_cards_of_one_name_are_not_told_apart_by_it() -> None:
    with pytest.raises(OpenCLFault, match="2 devices called 'Card'"):
        find_device(WantedDevice(name="Card"), DEVICES)


def test_a_machine_without_opencl_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl, "_LOADER", "libNoSuchLoader.so.1")
    with pytest.raises(OpenCLFault, match=r"libNoSuchLoader\.so\.1 cannot be loaded"):
        list_devices()


def lightgbm_counts(monkeypatch: pytest.MonkeyPatch, names: dict[tuple[int, int], str]) -> None:
    """LightGBM finds these devices under these numbers; elsewhere it takes the first."""
    monkeypatch.setattr(opencl, "_name_in_training", lambda p, n: names.get((p, n), names[0, 0]))


def test_a_card_that_lightgbm_counts_otherwise_is_found_by_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl, "list_devices", lambda: DEVICES[:2])
    lightgbm_counts(monkeypatch, {(0, 0): "Card", (1, 0): "pthread-cpu"})
    found = opencl.probe(WantedDevice(pci_bus_id="0000:65:00.0"))
    assert (found.platform, found.device, found.name) == (0, 0, "Card")


def test_a_card_that_lightgbm_never_trains_on_is_refused_with_what_it_trained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opencl, "list_devices", lambda: DEVICES[:2])
    lightgbm_counts(monkeypatch, {(0, 0): "pthread-cpu"})
    with pytest.raises(OpenCLFault, match=r"does not train on 'Card': platform 1, device 0 is 'pthread-cpu'; platform"):
        opencl.probe(WantedDevice(pci_bus_id="0000:65:00.0"))


def test_a_platform_where_training_fails_does_not_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def name(platform: int, number: int) -> str:
        if platform == 1:
            raise OpenCLFault("platform 1, device 0: no kernel")
        return "Card"

    monkeypatch.setattr(opencl, "list_devices", lambda: DEVICES[:2])
    monkeypatch.setattr(opencl, "_name_in_training", name)
    assert opencl.probe(WantedDevice(pci_bus_id="0000:65:00.0")).platform == 0


def test_two_visible_cards_of_one_name_are_refused_for_lightgbm_says_names_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opencl, "list_devices", lambda: DEVICES)
    with pytest.raises(OpenCLFault, match=r"2 devices called 'Card'.*CUDA_VISIBLE_DEVICES"):
        opencl.probe(WantedDevice(pci_bus_id="0000:65:00.0"))


class StubOpenCL:
    """The loader, with two platforms of which the second has one card; ``answers`` are its driver's, by query."""

    def __init__(self, answers: dict[int, bytes]) -> None:
        self.answers = answers

    def clGetPlatformIDs(self, room: int, handles: object, count: object) -> int:  # noqa: N802
        return self._list([11, 12], handles, count)

    def clGetDeviceIDs(self, platform: object, kind: object, room: int, handles: object, count: object) -> int:  # noqa: N802
        if platform.value == 11:  # type: ignore[attr-defined]
            return -1
        return self._list([21], handles, count)

    def clGetDeviceInfo(self, device: object, what: object, size: object, into: object, count: object) -> int:  # noqa: N802
        answer = self.answers.get(what.value)  # type: ignore[attr-defined]
        if answer is None:
            return -30
        ctypes.memmove(into, answer, len(answer))  # type: ignore[arg-type]
        return 0

    @staticmethod
    def _list(known: list[int], handles: object, count: object) -> int:
        if handles is None:
            count._obj.value = len(known)  # type: ignore[attr-defined]
        else:
            handles[:] = known  # type: ignore[index]
        return 0


COMMON = {0x1000: (4).to_bytes(8, "little"), 0x102B: b"Card \0", 0x102C: b"Maker\0"}


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


@pytest.mark.parametrize(("answers", "address"), [
    ({0x410F: number(1) + number(0x65) + number(2) + number(1)}, "0001:65:02.1"),
    ({0x4008: number(0xB3), 0x4009: number(0b10001), 0x400A: number(0)}, "0000:b3:02.1"),
    ({0x4008: number(0xB3), 0x4009: number(0)}, "0000:b3:00.0"),
    ({}, None),
], ids=["standard", "nvidia", "nvidia without a domain", "unknown"])
def test_devices_are_counted_and_addressed_as_their_drivers_say(
    monkeypatch: pytest.MonkeyPatch, answers: dict[int, bytes], address: str | None,
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: StubOpenCL({**COMMON, **answers}))
    assert list_devices() == [OpenCLDevice(
        platform=1, device=0, name="Card", vendor="Maker", is_gpu=True, pci_bus_id=address,
    )]


def test_the_probe_answers_with_one_line_of_json_when_it_finds_nothing() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "optimizer.models.opencl", '{"pci_bus_id": "0000:ff:1f.7", "name": null}'],
        capture_output=True, check=True,
    )
    assert list(json.loads(child.stdout)) == ["error"]
