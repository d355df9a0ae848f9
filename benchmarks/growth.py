"""How cost grows with a table: from 100 to 10,000,000 rows, and from 4 to 5,000 columns.

    .venv/bin/python -m benchmarks.growth
    .venv/bin/python -m benchmarks.growth --shapes "100 x 30;1000000 x 30" --rounds 1

Each table is an ordinary CSV file, and an ordinary run makes a few models of it, of which only twenty trees are asked,
so that what surrounds the fits shows. Shapes alternate, the smallest first. Memory is the most that all processes of
the run held together, their shared pages counted once, looked at twice a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.place import fresh, frozen_package, markdown, spread, with_environment, working_folder
from benchmarks.soak import measure, size_mb
from tests.chaos.evidence import children_of, read_journal

SHAPES = ("100 x 30", "10000 x 30", "1000000 x 30", "10000000 x 10", "10000 x 4", "10000 x 500", "10000 x 5000")
MODELS = 4
#: Cells of a table that are made at once.
_PIECE = 5_000_000


@dataclass(frozen=True)
class Grown:
    """What a run on one table took."""

    #: Of the whole command, and of these from its first event until the table was encoded.
    wall_s: float
    reading_s: float
    #: Of the models together, and of these inside fits.
    models_s: float
    fits_s: float
    peak_mb: float


def size_of(shape: str) -> tuple[int, int]:
    """Rows and columns, of a shape as it stands on the command line."""
    rows, columns = shape.split(" x ")
    return int(rows), int(columns)


def write_table(path: Path, rows: int, columns: int) -> None:
    """Numbers of four digits, and what three of them say of the last column, with noise."""
    chance = np.random.default_rng(0)
    names = [f"x{i}" for i in range(columns)]
    step = max(1, _PIECE // columns)
    for begin in range(0, rows, step):
        x = chance.normal(size=(min(step, rows - begin), columns))
        y = x[:, 0] + np.sin(3 * x[:, 1]) + x[:, 2] * x[:, 3] + chance.normal(0, 0.5, len(x))
        pd.DataFrame(x, columns=names).assign(y=y).to_csv(
            path, index=False, float_format="%.4g", mode="a", header=not begin)


def held_mb(pid: int) -> float:
    """Of a process and all that it has started."""
    return sum(held["pss_mb"] for one in (pid, *(p.pid for p in children_of(pid)))
               if (held := measure(one)) is not None)


def run(table: Path, folder: Path, environment: dict[str, str]) -> Grown:
    """An ordinary run of few models, watched from outside."""
    study = folder / "grown.toml"
    study.write_text(f'trials = {MODELS}\nseed = 1\nfolds = 5\npruner = "none"\nfamilies = ["lightgbm"]\n'
                     "[family.lightgbm.space]\niterations = 20\n"
                     f'[[datasets]]\nname = "grown"\ntrain = "{table}"\ntarget = "y"\nmetric = "rmse"\n',
                     encoding="utf-8")
    begun, peak_mb = time.monotonic(), 0.0
    extra = {**environment, "XDG_CACHE_HOME": str(folder / "cache")}
    with (folder / "grown.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], cwd=folder,
                                   env=with_environment(extra), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while process.poll() is None:
            peak_mb = max(peak_mb, held_mb(process.pid))
            time.sleep(0.5)
    wall_s = time.monotonic() - begun
    if process.returncode:
        raise RuntimeError(f"the run ended with exit code {process.returncode}; see {folder / 'grown.log'}")
    journal = read_journal(study.with_suffix(""))
    (started,), (ready,) = journal.of("run_started"), journal.of("dataset_ready")
    told = journal.of("trial_told")
    if [trial["state"] for trial in told] != ["complete"] * MODELS:
        raise RuntimeError(f"expected {MODELS} complete models, found {[trial['state'] for trial in told]}")
    return Grown(wall_s, ready["t"] - started["t"], sum(trial["seconds"] for trial in told),
                 sum(trial["fit_seconds"] for trial in told), peak_mb)


def row_of(shape: str, csv_mb: float, found: list[Grown]) -> tuple[object, ...]:
    """A line of the table."""
    rows, columns = size_of(shape)
    cells = rows * columns / 1e6
    return (f"{rows:,} x {columns:,}", f"{csv_mb:.3g}", spread([one.reading_s for one in found]),
            spread([one.reading_s / cells for one in found]),
            spread([one.models_s / MODELS for one in found]),
            spread([(one.models_s - one.fits_s) / MODELS for one in found]),
            spread([one.wall_s for one in found]), spread([one.peak_mb for one in found]))


def main() -> None:
    """Measure every shape, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", default=";".join(SHAPES), help="rows x columns, separated by semicolons")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "growth")
    frozen = frozen_package(folder)
    tables = {shape: folder / f"{shape.replace(' ', '')}.csv" for shape in options.shapes.split(";")}
    for shape, table in tables.items():
        table.unlink(missing_ok=True)
        write_table(table, *size_of(shape))
        print(f"{shape}: {size_mb(table):.4g} MiB of CSV", flush=True)
    found: dict[str, list[Grown]] = {shape: [] for shape in tables}
    for _ in range(options.rounds):
        for shape, table in tables.items():
            found[shape].append(run(table, fresh(folder / "run"), frozen))
            print(shape, found[shape][-1], flush=True)
    text = markdown(("table", "CSV, MiB", "s until it is read", "s for a million cells", "s of a model",
                     "of these outside fits", "s of the whole run", "most memory, MiB"),
                    [row_of(shape, size_mb(tables[shape]), runs) for shape, runs in found.items()])
    (folder / "growth.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
