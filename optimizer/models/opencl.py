"""OpenCL devices as LightGBM counts them, and a probe that shows that one of them is a slot's card.

LightGBM takes its card as two numbers, platform and device, counted by OpenCL; cards are known to everybody else by
PCI bus id. The documentation of neither side says how the two counts relate, and LightGBM's wheels carry a loader of
their own, which may list the platforms in another order than the system's. So it is found out:
``python -m optimizer.models.opencl '{"pci_bus_id": "0000:65:00.0", "name": null}'`` looks for the device, trains tiny
models at one pair of numbers after the other, and reads in the library's log where that was. It writes one JSON object
to standard output, ``{"platform": 0, "device": 0, "name": "..."}`` or ``{"error": "..."}``.

Run it in the environment of the worker that will use the card: ``CUDA_VISIBLE_DEVICES`` hides cards from OpenCL too,
and so changes the count.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import msgspec

from optimizer.errors import Fault

_LOADER = "libOpenCL.so.1"

_TYPE_ALL = 0xFFFFFFFF
_TYPE_GPU = 1 << 2
_NO_PLATFORM = -1001
_NO_DEVICE = -1

# Queries of clGetDeviceInfo. The PCI address has a standard query and, on older NVIDIA drivers, three of their own.
_TYPE, _NAME, _VENDOR = 0x1000, 0x102B, 0x102C
_PCI_BUS_INFO = 0x410F
_NV_PCI_BUS, _NV_PCI_SLOT, _NV_PCI_DOMAIN = 0x4008, 0x4009, 0x400A


class OpenCLDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device, in OpenCL's counting."""

    platform: int
    device: int
    name: str
    vendor: str
    is_gpu: bool
    #: ``0000:65:00.0``; ``None`` where the driver does not say.
    pci_bus_id: str | None


class WantedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the slot's card."""

    pci_bus_id: str | None = None
    #: Exact name; for a device that OpenCL alone knows. The only way to a device that is no GPU.
    name: str | None = None


class OpenCLFault(Fault):
    """OpenCL is not there, or its device is not what was looked for."""


def list_devices() -> list[OpenCLDevice]:
    """Every device that OpenCL offers to this process; raises `OpenCLFault` where there is no OpenCL."""
    try:
        library = ctypes.CDLL(_LOADER)
    except OSError:
        raise OpenCLFault(f"no OpenCL on this machine: {_LOADER} cannot be loaded") from None
    platforms = _handles(library.clGetPlatformIDs, (), absent=_NO_PLATFORM)
    found = []
    for p, platform in enumerate(platforms):
        every_type = ctypes.c_uint64(_TYPE_ALL)
        for d, device in enumerate(_handles(library.clGetDeviceIDs, (platform, every_type), absent=_NO_DEVICE)):
            kind = _query(library, device, _TYPE, ctypes.c_uint64())
            found.append(OpenCLDevice(
                platform=p, device=d, name=_query_text(library, device, _NAME),
                vendor=_query_text(library, device, _VENDOR), is_gpu=bool(kind is not None and kind.value & _TYPE_GPU),
                pci_bus_id=_pci_bus_id(library, device),
            ))
    return found


def find_device(wanted: WantedDevice, devices: list[OpenCLDevice]) -> OpenCLDevice:
    """The device that is the slot's card: the GPU at its PCI bus id, else the one device of exactly that name.

    Raises:
        OpenCLFault: there is no such device, or it cannot be told from another.
    """
    seen = ", ".join(f"{d.name} ({d.pci_bus_id or 'no PCI bus id'})" for d in devices) or "nothing"
    if wanted.pci_bus_id is not None:
        address = wanted.pci_bus_id.lower()
        matching = [d for d in devices if d.is_gpu and d.pci_bus_id == address]
        if not matching:
            raise OpenCLFault(f"OpenCL offers no GPU at PCI bus id {address}; it offers {seen}")
        # Two drivers may offer the same card; either is that card.
        return matching[0]
    if wanted.name is None:
        raise OpenCLFault("neither PCI bus id nor name of the card is known, so that OpenCL's device cannot be told")
    matching = [d for d in devices if d.name == wanted.name]
    if len(matching) != 1:
        count = "no device" if not matching else f"{len(matching)} devices"
        raise OpenCLFault(f"OpenCL offers {count} called {wanted.name!r}; it offers {seen}")
    return matching[0]


def probe(wanted: WantedDevice) -> OpenCLDevice:
    """The slot's card in LightGBM's counting, after a model was trained on it.

    Only for a process that may crash: drivers have taken it with them.

    Raises:
        OpenCLFault: it was not found, or the training ran elsewhere or not at all.
    """
    devices = list_devices()
    device = find_device(wanted, devices)
    twins = {d.pci_bus_id for d in devices if d.name == device.name} - {device.pci_bus_id}
    if twins:
        # By its name alone LightGBM says where it trained.
        raise OpenCLFault(f"OpenCL offers {len(twins) + 1} devices called {device.name!r}, which cannot be told apart "
                          f"in LightGBM's counting; show it one with CUDA_VISIBLE_DEVICES")
    seen = []
    for platform, number in _pairs(device, devices):
        try:
            name = _name_in_training(platform, number)
        except OpenCLFault as fault:
            seen.append(str(fault))
            continue
        if name == device.name:
            return msgspec.structs.replace(device, platform=platform, device=number)
        seen.append(f"platform {platform}, device {number} is {'the CPU' if name is None else repr(name)}")
    raise OpenCLFault(f"LightGBM does not train on {device.name!r}: {'; '.join(seen)}")


def _pairs(device: OpenCLDevice, devices: list[OpenCLDevice]) -> list[tuple[int, int]]:
    """Every pair of numbers that can be the device, the likeliest first."""
    own = device.platform, device.device
    platforms = range(max(d.platform for d in devices) + 1)
    numbers = range(max(d.device for d in devices) + 1)
    return [own, *((p, n) for p in platforms for n in numbers if (p, n) != own)]


def _name_in_training(platform: int, number: int) -> str | None:
    """Name of the device that LightGBM says it used when it was given these numbers; ``None`` for the CPU."""
    import lightgbm as lgb
    import numpy as np

    from optimizer.models.base import FitContext, FoldCache, FoldData, TableSummary
    from optimizer.models.lightgbm import FAMILY, NativeLog

    x = np.random.default_rng(0).normal(size=(512, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float64)
    description = FAMILY.describe(TableSummary(
        task="binary", metric="log_loss", rows=512, numeric=4, categorical=0, max_cardinality=0, missing=0.0, classes=2,
        balance=1.0, weighted=False,
    ))
    data = FoldData(key=("probe", 0, 0), x=x, train=slice(None), valid=slice(None), y_train=y, w_train=None, y_valid=y,
                    w_valid=None, cardinalities=(0,) * 4, task="binary", n_classes=2)
    context = FitContext(threads=1, device="gpu", seed=0, metric="log_loss", cache=FoldCache(),
                         opencl=(platform, number))
    log = NativeLog.installed()
    try:
        FAMILY.fit(data, {**description.space.complete(description.starts[0]), "iterations": 3}, context)
    except lgb.basic.LightGBMError as error:
        raise OpenCLFault(f"platform {platform}, device {number}: {error}") from error
    return log.device()


def _handles(function: Any, arguments: tuple[Any, ...], *, absent: int) -> list[ctypes.c_void_p]:
    """What a function of the kind "give me at most so many handles" has to give."""
    count = ctypes.c_uint(0)
    status = function(*arguments, 0, None, ctypes.byref(count))
    if status == absent or (status == 0 and count.value == 0):
        return []
    if status == 0:
        handles = (ctypes.c_void_p * count.value)()
        status = function(*arguments, count.value, handles, None)
        if status == 0:
            return [ctypes.c_void_p(h) for h in handles]
    raise OpenCLFault(f"OpenCL's {function.__name__} failed with status {status}")


def _query(library: Any, device: ctypes.c_void_p, what: int, into: Any) -> Any:
    """``into``, filled; ``None`` where the driver does not know the question."""
    status = library.clGetDeviceInfo(
        device, ctypes.c_uint(what), ctypes.c_size_t(ctypes.sizeof(into)), ctypes.byref(into), None,
    )
    return into if status == 0 else None


def _query_text(library: Any, device: ctypes.c_void_p, what: int) -> str:
    text = _query(library, device, what, ctypes.create_string_buffer(1024))
    # Some drivers pad it; what is compared with LightGBM's log is cut on both sides.
    return "" if text is None else text.value.decode(errors="replace").strip()


def _pci_bus_id(library: Any, device: ctypes.c_void_p) -> str | None:
    standard = _query(library, device, _PCI_BUS_INFO, (ctypes.c_uint * 4)())
    if standard is not None:
        domain, bus, slot, function = standard
        return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
    asked = [_query(library, device, what, ctypes.c_uint()) for what in (_NV_PCI_DOMAIN, _NV_PCI_BUS, _NV_PCI_SLOT)]
    if asked[1] is None or asked[2] is None:
        return None
    domain = 0 if asked[0] is None else asked[0].value
    # Their slot holds device and function in one number, as the bus itself does.
    return f"{domain:04x}:{asked[1].value:02x}:{asked[2].value >> 3:02x}.{asked[2].value & 7:x}"


def main() -> None:
    """Probe for the device on the command line; drivers may print what they like, to standard error."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        device = probe(msgspec.json.decode(sys.argv[1].encode(), type=WantedDevice))
        answer: dict[str, Any] = {"platform": device.platform, "device": device.device, "name": device.name}
    except OpenCLFault as fault:
        answer = {"error": " ".join(str(fault).split())}
    out.write(msgspec.json.encode(answer) + b"\n")
    out.close()


if __name__ == "__main__":
    main()
