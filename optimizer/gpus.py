"""The GPUs of this machine, through NVML, always in a process of its own.

NVML can block for ever after a fault of the card, and its absence is normal. So a child asks it
(``python -m optimizer.gpus``), and who wants to know reads the child's answer with a time limit.

``OPTIMIZER_DEVICES`` may name a JSON file with a list of `Gpu` values; it takes the place of NVML for devices
that NVML does not know, such as an OpenCL runtime for CPUs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from optimizer.errors import ResourceError

#: Seconds that NVML may take to list the cards.
PROBE_TIMEOUT_S = 20.0


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One card, or one MIG slice of a card."""

    index: int
    #: What ``CUDA_VISIBLE_DEVICES`` is given; stable across reboots, unlike the index.
    uuid: str
    name: str
    memory_mb: float = 0.0
    #: ``0000:65:00.0``; how an OpenCL device is recognised as this card.
    pci_bus_id: str | None = None
    #: ``cuda``, or ``opencl`` for a device that only OpenCL knows.
    kind: str = "cuda"


class GpuReport(msgspec.Struct, frozen=True, kw_only=True):
    """The cards found, and one sentence where there are none."""

    gpus: tuple[Gpu, ...] = ()
    note: str = ""
    driver: str = ""


class GpuLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a card is; a figure that the card does not tell is ``None``."""

    uuid: str
    load: float | None = None
    memory_mb: float | None = None


def find_gpus(environment: Mapping[str, str], timeout_s: float = PROBE_TIMEOUT_S) -> GpuReport:
    """The cards that this environment offers; none, or a broken driver, is an answer and not an error."""
    listed = environment.get("OPTIMIZER_DEVICES")
    if listed:
        report = _listed(Path(listed))
    else:
        try:
            report = msgspec.json.decode(_answer_of_child(environment, timeout_s), type=GpuReport)
        except subprocess.TimeoutExpired:
            return GpuReport(note=f"the NVIDIA driver did not answer within {timeout_s:.0f} s; going on without GPUs")
        except (msgspec.DecodeError, OSError) as error:
            return GpuReport(note=f"the NVIDIA driver could not be asked ({error}); going on without GPUs")
    return visible(report, environment.get("CUDA_VISIBLE_DEVICES"))


def _answer_of_child(environment: Mapping[str, str], timeout_s: float) -> bytes:
    # By way of `child`, so that it dies with us: a driver may take its time to answer.
    child = subprocess.Popen([sys.executable, "-P", "-m", "optimizer.child", str(os.getpid()), "", "optimizer.gpus"],
                             env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    try:
        answer, complaint = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        # Inside a broken driver even SIGKILL is not obeyed, so that nothing waits for the end of this one.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=1.0)
        raise
    if child.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise OSError(lines[-1] if lines else f"exit code {child.returncode}")
    return answer


def visible(report: GpuReport, cuda_visible_devices: str | None) -> GpuReport:
    """The cards left by ``CUDA_VISIBLE_DEVICES``, by CUDA's own rules.

    Unset leaves all, empty leaves none, an entry is an index in PCI order or the beginning of a UUID, and an
    invalid entry hides itself and everything behind it
    (CUDA C++ Programming Guide, "CUDA Environment Variables").
    """
    if cuda_visible_devices is None or not report.gpus:
        return report
    left: list[Gpu] = []
    for entry in (e.strip() for e in cuda_visible_devices.split(",")):
        matches = [g for g in report.gpus
                   if (str(g.index) == entry if entry.isdigit() else entry != "" and g.uuid.startswith(entry))]
        if len(matches) != 1 or matches[0] in left:
            break
        left.append(matches[0])
    note = "" if left else f"CUDA_VISIBLE_DEVICES={cuda_visible_devices!r} leaves no GPU"
    return GpuReport(gpus=tuple(left), note=note, driver=report.driver)


def chosen(report: GpuReport, wanted: str | tuple[int | str, ...]) -> tuple[Gpu, ...]:
    """The cards that the study file asks for: ``all``, ``none``, or indices and UUIDs.

    Raises:
        ResourceError: one of them is not there.
    """
    if wanted == "all":
        return report.gpus
    if wanted == "none":
        return ()
    gpus = []
    for entry in (wanted,) if isinstance(wanted, str) else wanted:
        matches = [g for g in report.gpus if (g.index == entry if isinstance(entry, int) else g.uuid.startswith(entry))]
        if len(matches) != 1:
            here = ", ".join(f"{g.index} ({g.uuid}, {g.name})" for g in report.gpus) or report.note or "none"
            raise ResourceError(f"resources.gpus asks for {entry!r}; GPUs on offer here: {here}")
        gpus.append(matches[0])
    return tuple(dict.fromkeys(gpus))


def _listed(path: Path) -> GpuReport:
    try:
        return GpuReport(gpus=msgspec.json.decode(path.read_bytes(), type=tuple[Gpu, ...]))
    except (OSError, msgspec.DecodeError) as error:
        raise ResourceError(f"OPTIMIZER_DEVICES={path}: {error}; expected a JSON list of devices") from error


# What the child does. Every call to NVML may fail alone, and then its figure is unknown.


def ask_nvml() -> GpuReport:
    """List the cards; MIG slices stand for themselves. Only to be called in the child."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuReport(note=f"no NVIDIA GPU ({_reason(error)}); everything runs on the CPU")
    gpus: list[Gpu] = []
    for index in range(_try(lambda: pynvml.nvmlDeviceGetCount()) or 0):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError:
            continue  # a card that has fallen off the bus: the others still count
        gpus += _slices(pynvml, handle, index) or [_card(pynvml, handle, index)]
    driver = _text(_try(lambda: pynvml.nvmlSystemGetDriverVersion()))
    return GpuReport(gpus=tuple(gpus), note="" if gpus else "the NVIDIA driver lists no GPU", driver=driver)


def _card(nvml: Any, handle: Any, index: int) -> Gpu:
    memory = _try(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)
    pci = _try(lambda: nvml.nvmlDeviceGetPciInfo(handle).busId)
    return Gpu(
        index=index, uuid=_text(_try(lambda: nvml.nvmlDeviceGetUUID(handle))) or f"index-{index}",
        name=_text(_try(lambda: nvml.nvmlDeviceGetName(handle))) or "unknown GPU",
        memory_mb=(memory or 0) / 2**20, pci_bus_id=normal_pci_bus_id(_text(pci)) if pci else None,
    )


def _slices(nvml: Any, handle: Any, index: int) -> list[Gpu]:
    mode = _try(lambda: nvml.nvmlDeviceGetMigMode(handle))
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return []
    found = []
    for position in range(_try(lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle)) or 0):
        part = _try(lambda p=position: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, p))  # type: ignore[misc]
        if part is not None:
            # OpenCL cannot tell slices of one card apart, so a slice has no bus id to be recognised by.
            found.append(msgspec.structs.replace(_card(nvml, part, index), pci_bus_id=None))
    return found


def watch_nvml(write: Callable[[str], object], interval_s: float) -> None:
    """Write one line of `GpuLoad` values every interval, for ever. Only to be called in the child."""
    import pynvml

    pynvml.nvmlInit()
    found = [_try(lambda i=i: pynvml.nvmlDeviceGetHandleByIndex(i))  # type: ignore[misc]
             for i in range(pynvml.nvmlDeviceGetCount())]
    handles = [handle for handle in found if handle is not None]
    uuids = [_text(_try(lambda h=h: pynvml.nvmlDeviceGetUUID(h))) for h in handles]  # type: ignore[misc]
    while True:
        loads = []
        for handle, uuid in zip(handles, uuids, strict=True):
            rates = _try(lambda h=handle: pynvml.nvmlDeviceGetUtilizationRates(h).gpu)  # type: ignore[misc]
            used = _try(lambda h=handle: pynvml.nvmlDeviceGetMemoryInfo(h).used)  # type: ignore[misc]
            loads.append({"uuid": uuid, "load": None if rates is None else rates / 100,
                          "memory_mb": None if used is None else used / 2**20})
        write(json.dumps(loads) + "\n")
        time.sleep(interval_s)


def normal_pci_bus_id(text: str) -> str:
    """``00000000:65:00.0`` as NVML writes it, and its kin, as ``0000:65:00.0``."""
    domain, _, rest = text.lower().rpartition(":")[0].rpartition(":")
    return f"{int(domain or '0', 16):04x}:{rest}:{text.lower().rpartition(':')[2]}"


def _try(call: Callable[[], Any]) -> Any:
    import pynvml

    try:
        return call()
    except pynvml.NVMLError:
        return None


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


if __name__ == "__main__":
    if "--watch" in sys.argv:
        watch_nvml(lambda line: os.write(1, line.encode()), 2.0)
    else:
        sys.stdout.buffer.write(msgspec.json.encode(ask_nvml()))
