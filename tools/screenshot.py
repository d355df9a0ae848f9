"""Export the dashboard of a run as an SVG: ``python tools/screenshot.py RUN OUT.svg [--size 120x36]``.

It draws the run's ``status.json`` as of the moment when it was written, so the picture is the run's and not today's.
"""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

from rich.console import Console, Group

from optimizer.status import read_status
from optimizer.views.results import find_run
from optimizer.views.screen import lines


def without_remote_fonts(picture: str) -> str:
    """The picture with the fonts that are at hand: looking at a page of ours must not call other hosts."""
    return re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL).replace(
        "Fira Code, monospace", "DejaVu Sans Mono, Menlo, Consolas, monospace")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run's name, its folder or its study file")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="120x36", help="cells and lines, such as 80x24")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    status = read_status(find_run(options.run) / "status.json")
    if status is None:
        raise SystemExit(f"{options.run} has no status.json that can be read")
    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    console.print(Group(*lines(status, width=width, height=height, now=status.at)), no_wrap=True, overflow="ignore")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # The identifier is fixed: rich would make it of the content, and every new picture would differ everywhere.
    picture = console.export_svg(title=f"optimizer run {status.run}", unique_id="dashboard")
    options.out.write_text(without_remote_fonts(picture), encoding="utf-8")
    print(options.out)


if __name__ == "__main__":
    main()
