"""What a person asks of a run while it goes on: a small file in its folder, which the scheduler looks at each second.

It holds for the scheduler that it was written for; the study file is the place for what shall hold always.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from optimizer.durable import replace_bytes

_NAME = "control.json"


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked."""

    #: The scheduler that it is for.
    pid: int
    #: Instead of the study file's ``cpu_limit`` and ``memory_limit``: as written there; ``None`` leaves them be.
    cpu: str | float | None = None
    memory: str | None = None
    paused: bool = False


def read_control(folder: Path, pid: int) -> Control:
    """What this scheduler was asked; nothing where the file is missing, damaged or meant for an earlier one."""
    try:
        control = msgspec.json.decode((folder / _NAME).read_bytes(), type=Control)
    except (OSError, msgspec.DecodeError):
        return Control(pid=pid)
    return control if control.pid == pid else Control(pid=pid)


def write_control(folder: Path, control: Control) -> None:
    """Replace the file in one step; raises `OSError`."""
    replace_bytes(folder / _NAME, msgspec.json.encode(control))


def forget_control(folder: Path) -> None:
    """Take away what an earlier scheduler was asked, whose number may come again; raises `OSError`."""
    (folder / _NAME).unlink(missing_ok=True)
