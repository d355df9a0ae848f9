"""What earlier runs have measured on this machine, in one small file of the person's cache folder."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from optimizer.durable import replace_bytes

#: Shapes that are remembered; of more, those that were measured longest ago go.
MOST = 500
#: Raised where measurements of before no longer hold: joined slots once had libraries that saw one core only.
_MEASURED = "measured 2"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen for tables of one shape."""

    #: CPU slots that there were, and how many of them are joined to one.
    slots: int
    width: int
    #: When it was measured, UTC seconds, and what came of it.
    at: float
    reason: str = ""


class Remembered:
    """Layouts by shape of table, for this machine; a file that cannot be read is empty."""

    def __init__(self, path: Path, machine: str) -> None:
        self.path = path
        self._machine = machine

    def layout(self, shape: str, slots: int) -> Layout | None:
        """What was chosen of so many slots for tables of this shape; ``None`` where that was not measured."""
        found = self._read().get(self._key(shape, slots))
        return found if found is not None and slots % found.width == 0 else None

    def keep(self, shape: str, slots: int, width: int, reason: str = "") -> None:
        """Remember a choice, and why it was made.

        Raises:
            OSError: the file cannot be written; the next run measures again.
        """
        known = self._read()
        known[self._key(shape, slots)] = Layout(slots=slots, width=width, at=time.time(), reason=reason)
        latest = sorted(known.items(), key=lambda item: item[1].at)[-MOST:]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(self.path, msgspec.json.format(msgspec.json.encode(dict(latest))))

    def _key(self, shape: str, slots: int) -> str:
        return f"{self._machine}; {slots} slots; {shape}"

    def _read(self) -> dict[str, Layout]:
        try:
            known = msgspec.json.decode(self.path.read_bytes(), type=dict[str, Layout])
        except (OSError, msgspec.DecodeError):
            return {}
        return {key: layout for key, layout in known.items() if layout.width > 0}


def of_this_machine(environment: Mapping[str, str], memory_mb: float) -> Remembered:
    """What is remembered for this processor, so much memory for a run, and these versions of the libraries."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or "/") / ".cache")
    libraries = " ".join(f"{name} {version(name)}" for name in ("xgboost", "lightgbm", "catboost"))
    machine = f"{_processor()}; {_rounded(memory_mb)} MiB; {libraries}; {_MEASURED}"
    return Remembered(cache / "optimizer" / "layouts.json", machine)


def shape_of(*, rows: int, columns: int, task: str, classes: int, folds: int, families: list[str],
             threads: int) -> str:
    """What tables have in common that take alike: sizes count by their power of two."""
    what: dict[str, Any] = {"rows": _rounded(rows), "columns": _rounded(columns), "classes": classes, "folds": folds,
                            "threads": threads}
    return "; ".join([task, *(f"{name} {value}" for name, value in what.items()), ", ".join(families)])


def _rounded(size: float) -> int:
    return 1 << round(math.log2(max(1.0, size)))


def _processor(info: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.uname().machine)
