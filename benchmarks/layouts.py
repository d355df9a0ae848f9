"""Which layout finishes most trials: every fixed choice of slots and threads on five shapes of table.

    .venv/bin/python -m benchmarks.layouts --points 4

Each layout evaluates the same recorded points of each family, whole, in turn and in an order that changes with the
round. Rates are taken from the first told trial to the last, so that loading libraries and reading the table, which
are the same for all, do not hide the difference.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contestants import RECORDED, Showing, encoded, ours, recorded
from benchmarks.place import fresh, frozen_package, markdown, spread, working_folder
from benchmarks.shared import DATASETS, Dataset

#: Shape to the dataset that has it; the last is generated.
SHAPES = {
    "60 x 400": "gasoline_nir", "18,000 x 8": "s5e7", "54,000 x 9": "diamonds", "4,000 x 378": "mercedes_greener",
    "1,000,000 x 30": "",
}


def layouts(cores: int) -> list[int]:
    """Threads of a slot, for every way to cut the cores into slots of one size."""
    return [threads for threads in range(1, cores + 1) if cores % threads == 0]


def large_table(path: Path, rows: int = 1_000_000, columns: int = 30) -> Dataset:
    """A table with effects of a few columns, some of them together, and noise."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(rows, columns)).astype(np.float32)
    y = x[:, 0] + np.sin(3 * x[:, 1]) + x[:, 2] * x[:, 3] + chance.normal(0, 0.5, rows)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(columns)]).assign(y=y)
    frame.to_csv(path, index=False, float_format="%.4g")
    return Dataset(path, "y", "rmse")


def rate(showing: Showing) -> float:
    """Trials an hour from the first told to the last."""
    times = [t.at for t in showing.trials]
    return 3600 * (len(times) - 1) / (times[-1] - times[0])


def main() -> None:
    """Measure every layout on every shape."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=4, help="of each family")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default=";".join(SHAPES), help="separated by semicolons")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "layouts")
    frozen = frozen_package(folder, RECORDED)
    cores = len(os.sched_getaffinity(0))
    rows: list[tuple[object, ...]] = []
    for number, shape in enumerate(options.shapes.split(";")):
        known = DATASETS.get(SHAPES[shape])
        task = encoded(f"shape{number}", known or large_table(folder / "large.csv"), folder, frozen)
        rates: dict[int, list[float]] = {threads: [] for threads in layouts(cores)}
        for one in range(options.rounds):
            points = recorded(task, one + 1, options.points)
            for threads in sorted(rates, reverse=bool(one % 2)):
                place = fresh(folder / f"shape{number}-{one}-{threads}")
                showing = ours(points, place, frozen, resources=f"threads_per_slot = {threads}",
                               name=f"{threads} threads")
                rates[threads].append(rate(showing))
                print(f"{shape}, {cores // threads} slots of {threads}: {rates[threads][-1]:.0f} trials an hour",
                      flush=True)
        rows += [(shape, cores // threads, threads, spread(found)) for threads, found in rates.items()]
    text = markdown(("shape", "slots", "threads", "trials an hour"), rows)
    (folder / "layouts.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
