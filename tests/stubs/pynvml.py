"""Stands in for NVML's own module in a child that finds it first, by ``PYTHONPATH=tests/stubs``.

``STUB_NVML`` says as JSON what the driver tells::

    {"gpus": [{"uuid": "GPU-1", "name": "Tensor 9000", "memory_mb": 1000, "pci": "00000000:65:00.0",
               "load": 40, "used_mb": 300, "mig": [{"uuid": "MIG-1", ...}], "fails": ["nvmlDeviceGetName"]}],
     "driver": "580.1", "fails": ["nvmlInit"], "hangs": ["nvmlDeviceGetCount"]}

A function named in ``fails`` raises `NVMLError`, one in ``hangs`` never returns. Without the variable there is no
driver. Like the real module, some texts are bytes.
"""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

NVML_DEVICE_MIG_ENABLE = 1

_told = json.loads(os.environ.get("STUB_NVML", '{"fails": ["nvmlInit"]}'))


class NVMLError(Exception):
    """What every function of NVML raises."""


def _call(function: str, card: dict[str, Any] | None = None) -> None:
    if function in _told.get("hangs", ()):
        time.sleep(3600)
    if function in _told.get("fails", ()) or (card is not None and function in card.get("fails", ())):
        raise NVMLError("Driver Not Loaded" if function == "nvmlInit" else "Unknown Error")


def nvmlInit() -> None:  # noqa: N802 - NVML's own names, here and below
    _call("nvmlInit")


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    _call("nvmlSystemGetDriverVersion")
    return str(_told.get("driver", ""))


def nvmlDeviceGetCount() -> int:  # noqa: N802
    _call("nvmlDeviceGetCount")
    return len(_told["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:  # noqa: N802
    card: dict[str, Any] = _told["gpus"][index]
    _call("nvmlDeviceGetHandleByIndex", card)
    return card


def nvmlDeviceGetUUID(card: dict[str, Any]) -> bytes:  # noqa: N802
    _call("nvmlDeviceGetUUID", card)
    return str(card["uuid"]).encode()


def nvmlDeviceGetName(card: dict[str, Any]) -> str:  # noqa: N802
    _call("nvmlDeviceGetName", card)
    return str(card["name"])


def nvmlDeviceGetMemoryInfo(card: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    _call("nvmlDeviceGetMemoryInfo", card)
    return SimpleNamespace(total=card["memory_mb"] * 2**20, used=card.get("used_mb", 0) * 2**20)


def nvmlDeviceGetPciInfo(card: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    _call("nvmlDeviceGetPciInfo", card)
    return SimpleNamespace(busId=card["pci"].encode())


def nvmlDeviceGetMigMode(card: dict[str, Any]) -> list[int]:  # noqa: N802
    _call("nvmlDeviceGetMigMode", card)
    if "mig" not in card:
        raise NVMLError("Not Supported")
    return [NVML_DEVICE_MIG_ENABLE, NVML_DEVICE_MIG_ENABLE]


def nvmlDeviceGetMaxMigDeviceCount(card: dict[str, Any]) -> int:  # noqa: N802
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(card: dict[str, Any], position: int) -> dict[str, Any]:  # noqa: N802
    if position >= len(card["mig"]):
        raise NVMLError("Not Found")
    part: dict[str, Any] = card["mig"][position]
    return part


def nvmlDeviceGetUtilizationRates(card: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    _call("nvmlDeviceGetUtilizationRates", card)
    return SimpleNamespace(gpu=card["load"])
