"""One kind of bad input: how it is made, and what a person must read about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Where a case's study file lies, below a folder of its own; its run's folder is beside it.
STUDY = "studies/broken.toml"

REFUSED, DROPPED, SAID = "the start is refused", "the dataset is left out", "the run goes on and says so"


@dataclass(frozen=True)
class Case:
    """A fault and its answer."""

    #: Names the fault.
    fault: str
    #: Writes `STUDY` and whatever belongs to it below a folder.
    write: Callable[[Path], None]
    #: `REFUSED`, `DROPPED` or `SAID`.
    answer: str
    #: What the message must hold: the file, with its line, key or column, and the next step.
    words: tuple[str, ...]


def table(rows: int = 40, header: str = "id,x,colour,y", start: int = 0) -> str:
    """A sound table of two classes, of the columns of this header."""
    cells: dict[str, Callable[[int], object]] = {
        "id": lambda i: i + start, "x": lambda i: i * 7 % 11 + i / 100, "v": lambda i: i * 13 % 37 + i / 10,
        "colour": lambda i: ("red", "blue")[i * i % 3 % 2], "y": lambda i: "ab"[i % 2], "w": lambda i: 1 + i % 3,
        "g": lambda i: f"g{i % 8}", "t": lambda i: 1000 + i,
    }
    names = header.split(",")
    return "\n".join([header, *(",".join(str(cells[name](i)) for name in names) for i in range(rows))]) + "\n"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file below the folder, with the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
