"""Which layout finishes most trials: every fixed one, and the one that a run chooses itself, on five shapes of table.

    .venv/bin/python -m benchmarks.layouts

Each evaluates the same recorded points of each family, whole, in turn and in an order that changes with the round: the
more, the faster a shape is, so that the last trials of a round, which leave slots idle, decide little.
Rates are taken from the first told trial to the last, so that loading libraries and reading the table, which are the
same for all, do not hide the difference. On the largest shape boosting has few rounds, so that an evening is enough. A
run that chooses itself begins without memory, measures on folds of these trials, and what its slots idle for that is in
its rate.
"""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.contestants import RECORDED, Showing, encoded, ours, recorded
from benchmarks.place import fresh, frozen_package, markdown, spread, working_folder
from benchmarks.shared import DATASETS, Dataset
from optimizer.layout import slot_words
from tests.chaos.evidence import read_journal

#: Shape to the dataset that has it and the points of each family; the last is generated.
SHAPES = {
    "60 x 400": ("gasoline_nir", 24), "18,000 x 8": ("s5e7", 16), "54,000 x 9": ("diamonds", 4),
    "4,000 x 378": ("mercedes_greener", 8), "1,000,000 x 30": ("", 3),
}
#: Most rounds of boosting on the generated one.
ITERATIONS = 100
OWN = "left to itself"


def layouts(cores: int) -> dict[str, str]:
    """Name to lines of the study file, for every way to cut the cores into slots of one size, and the run's own."""
    fixed = [threads for threads in range(1, cores + 1) if cores % threads == 0]
    return {**{slot_words(cores // n, n): f"threads_per_slot = {n}" for n in fixed}, OWN: ""}


def chosen(run: Path) -> tuple[str, float]:
    """What a run chose for itself, and of its slots' time the share in percent that they idled to find out."""
    journal = read_journal(run)
    told = journal.of("trial_told")
    idle_s = sum(record["seconds"] for record in journal.of("slot_lent"))
    choices = [slot_words(record["slots"], record["threads"]) for record in journal.of("layout_chosen")]
    used_s = sum(record["seconds"] * record["slots"] for record in told) + idle_s
    return choices[-1] if choices else "not yet", 100 * idle_s / used_s


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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default=";".join(SHAPES), help="separated by semicolons")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "layouts")
    frozen = frozen_package(folder, RECORDED)
    arms = layouts(len(os.sched_getaffinity(0)))
    rows: list[tuple[object, ...]] = []
    for number, shape in enumerate(options.shapes.split(";")):
        name, count = SHAPES[shape]
        known = DATASETS.get(name)
        task = replace(encoded(f"shape{number}", known or large_table(folder / "large.csv"), folder, frozen),
                       iterations=None if known else ITERATIONS)
        rates: dict[str, list[float]] = {name: [] for name in arms}
        choices: list[str] = []
        idle: list[float] = []
        for one in range(options.rounds):
            points = recorded(replace(task, seed=one + 1), count)
            for arm in reversed(arms) if one % 2 else arms:
                place = fresh(folder / f"shape{number}-{one}-{arm.replace(' ', '-')}")
                rates[arm].append(rate(ours(points, place, frozen, resources=arms[arm], name=arm)))
                said = f"{shape}, {arm}: {rates[arm][-1]:.0f} trials an hour"
                if arm == OWN:
                    choice, share = chosen(place / "ours")
                    choices.append(choice)
                    idle.append(share)
                    said += f", chose {choice}, idled {share:.1f} %"
                print(said, flush=True)
        best = max(statistics.median(found) for found in rates.values())
        rows += [(shape, arm, spread(found), f"{statistics.median(found) / best:.2f}",
                  *(("; ".join(choices), spread(idle)) if arm == OWN else ("", "")))
                 for arm, found in rates.items()]
    text = markdown(("shape", "layout", "trials an hour", "of the best", "chose, round by round",
                     "idled to find out, %"), rows)
    (folder / "layouts.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
