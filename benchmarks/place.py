"""Where a long benchmark works: a folder of its own, and a copy of the package that nobody edits meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
UNCOMMITTED = "as it lies there"
#: What a frozen copy holds.
_COPIED = ("optimizer", "benchmarks", "tests")


def working_folder(given: Path | None, name: str) -> Path:
    """The folder that was given, or a new one among the temporary files."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix=f"optimizer-{name}-"))
    given.mkdir(parents=True, exist_ok=True)
    return given.resolve()


def fresh(folder: Path) -> Path:
    """This folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def note_code(folder: Path) -> str:
    """The commit that is measured; it and the command, but for its folders, are left in the folder for the page."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                            check=False).stdout.strip() or UNCOMMITTED
    (folder / "code.txt").write_text(f"{commit}\n", encoding="utf-8")
    module = Path(sys.argv[0])
    words = iter(sys.argv[1:])
    given = [word for word in words if word not in ("--folder", "--made") or not next(words, "")]
    (folder / "command.txt").write_text(" ".join(("python -m", f"benchmarks.{module.stem}", *given)) + "\n",
                                        encoding="utf-8")
    return commit


def frozen_package(folder: Path, planted: Mapping[str, str] | None = None, *, go_on: bool = False) -> dict[str, str]:
    """Copy the committed package, with the benchmarks, into this folder; the environment that runs the copy.

    ``CODE`` in it says which commit that is. Where there is no repository, the package is taken as it lies there.

    Args:
        planted: plug-ins that exist in the copy alone, by their path in the package.
        go_on: with the copy that an earlier call has left in this folder, if it did.
    """
    copy = folder / "code"
    if go_on and copy.is_dir():
        return _running(copy, (folder / "code.txt").read_text(encoding="utf-8").strip())
    fresh(copy)
    commit = note_code(folder)
    if commit != UNCOMMITTED:
        packed = subprocess.run(["git", "archive", commit, *_COPIED], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "x", "-C", str(copy)], input=packed.stdout, check=True)
    else:
        for name in _COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in (planted or {}).items():
        (copy / "optimizer" / name).write_text(text, encoding="utf-8")
    return _running(copy, commit)


def _running(copy: Path, commit: str) -> dict[str, str]:
    """The environment that runs a copy."""
    # Compiled modules are kept, as on a person's machine, whatever is usual where the benchmark runs.
    return {"PYTHONPATH": str(copy), "CODE": commit, "PYTHONDONTWRITEBYTECODE": ""}


def with_environment(extra: dict[str, str]) -> dict[str, str]:
    """The person's environment with this over it."""
    return {**os.environ, **extra}


class Stopwatch:
    """Counts from when it was made: seconds, and how much of the cores a hypervisor gave to others meanwhile.

    A machine of its own has none of that. On a shared one it comes and goes, and bounds what any contestant can use.
    """

    def __init__(self) -> None:
        self._begun, self._stolen_s = time.monotonic(), psutil.cpu_times().steal

    def read(self) -> tuple[float, float]:
        """Wall seconds, and the share of all cores' seconds that was stolen, 0 to 1."""
        wall = time.monotonic() - self._begun
        return wall, (psutil.cpu_times().steal - self._stolen_s) / (wall * (os.cpu_count() or 1))


def write_json(path: Path, content: Any) -> None:
    """Replace the file whole."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    beside.replace(path)


def spread(values: list[float]) -> str:
    """Median with the least and the largest; nothing for none."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})" if values else ""


def markdown(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
