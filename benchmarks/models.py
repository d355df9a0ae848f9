"""A whole grid of models in one run: how long it takes, what failed, and what the best of each family is worth.

    .venv/bin/python -m benchmarks.models nir               # 3,000 models of 195 spectra: about an hour
    .venv/bin/python -m benchmarks.models boosting          # 400 models of 5,000 rows
    .venv/bin/python -m benchmarks.models nir --part 0.04   # so much of each family's grid, to see what it would take

The study is an ordinary one: the grid sampler, no pruning, each family its share of the trials. Afterwards the journal
is read. Of the spectra, each family's best by cross-validation predicts the test rows with the fold models that were
kept of it; their labels are opened once, here, at the end, and not for a part. Nothing else may run on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.grids import GRIDS, Grid
from benchmarks.place import Stopwatch, frozen_package, markdown, spread, with_environment, working_folder
from benchmarks.shared import FOLDER
from tests.chaos.evidence import Record, read_journal

NIR = FOLDER / "nir_shootout2002"
#: Root mean squared error of the test rows, as published: PLS with 7 components on raw spectra.
PUBLISHED = 4.77


@dataclass(frozen=True)
class Made:
    """What a run of a grid has left."""

    folder: Path
    #: Of the whole command: loading libraries and reading the table count.
    wall_s: float
    #: Slots that worked side by side.
    slots: int
    trials: Sequence[Record]
    #: Share of all cores' seconds that a hypervisor gave to others meanwhile.
    stolen: float = 0.0

    def of(self, family: str) -> list[Record]:
        """The told trials of one family."""
        return [trial for trial in self.trials if family_of(trial) == family]


def family_of(trial: Record) -> str:
    """The family of a told trial."""
    return str(trial["trial"].split("/")[1])


def run_study(study: Path, environment: dict[str, str]) -> None:
    """Carry a study out to its end; beside it, the seconds of the whole command and the share that was stolen."""
    watch = Stopwatch()
    with study.with_suffix(".log").open("ab") as log:
        subprocess.run([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], cwd=study.parent, check=True,
                       env=with_environment(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wall, stolen = watch.read()
    study.with_suffix(".seconds").write_text(f"{wall:.1f} {stolen:.4f}\n", encoding="utf-8")


def read_made(study: Path) -> Made:
    """What a study that was carried out has left."""
    journal = read_journal(study.with_suffix(""))
    wall, stolen = map(float, study.with_suffix(".seconds").read_text(encoding="utf-8").split())
    return Made(study.with_suffix(""), wall, len(journal.of("run_started")[-1]["slots"]), journal.of("trial_told"),
                stolen)


def make(grid: Grid, folder: Path, environment: dict[str, str], part: float = 1.0) -> Made:
    """Every model of the grid, or so much of it."""
    study = grid.study(folder, grid.name, {
        "trials": round(part * grid.models), "sampler": "grid", "pruner": "none", "seed": 1})
    run_study(study, environment)
    return read_made(study)


def best_of(trials: Sequence[Record]) -> Record | None:
    """The complete trial with the least error."""
    complete = [trial for trial in trials if trial["state"] == "complete"]
    return min(complete, key=lambda trial: trial["score"]) if complete else None


def test_error(made: Made, trial: Record, environment: dict[str, str]) -> float:
    """Root mean squared error of the test rows, predicted by the fold models that were scored."""
    out = made.folder.parent / f"test-by-{family_of(trial)}.csv"
    subprocess.run([sys.executable, "-m", "optimizer", "predict", str(made.folder), str(NIR / "test.csv"), "--model",
                    trial["trial"], "--out", str(out)], cwd=made.folder.parent, check=True, capture_output=True,
                   env=with_environment(environment))
    both = pd.read_csv(NIR / "test_labels.csv").merge(pd.read_csv(out), on="id", suffixes=("", "_predicted"))
    return float(np.sqrt(np.mean((both["assay"] - both["assay_predicted"]) ** 2)))


def report(grid: Grid, made: Made, environment: dict[str, str], *, whole: bool) -> str:
    """A row for each family, and what is to be said of all; labels of test rows are for a whole grid."""
    opened = whole and grid.name == "nir"
    rows: list[tuple[object, ...]] = []
    for family in grid.families:
        trials = made.of(family)
        best = best_of(trials)
        seconds = [trial["seconds"] for trial in trials]
        searched = [name for name, values in grid.families[family].items() if isinstance(values, list)]
        rows.append((
            family, len(trials), sum(trial["state"] == "failed" for trial in trials), spread(seconds),
            f"{100 * sum(seconds) / max(1e-9, sum(t['seconds'] for t in made.trials)):.0f}",
            f"{best['score']:.4g} ± {best['standard_error']:.2g}" if best else "",
            *([f"{test_error(made, best, environment):.2f}" if best else ""] if opened else []),
            ", ".join(f"{name} {best['params'][name]}" for name in searched if name in best["params"]) if best else ""))
    head = ("family", "models", "failed", "seconds of a model", "of the time %", "best, cross-validated",
            *(["its error on the test rows"] if opened else []), "the best")
    return f"{markdown(head, rows)}\n\n{_summary(grid, made, opened=opened)}"


def _summary(grid: Grid, made: Made, *, opened: bool) -> str:
    failed = [trial for trial in made.trials if trial["state"] == "failed"]
    distinct = {json.dumps([family_of(t), t["params"]], sort_keys=True) for t in made.trials}
    busy = sum(t["seconds"] for t in made.trials) / (made.wall_s * made.slots)
    reasons = "".join(f"; {count} times: {reason}" for reason, count in Counter(t["reason"] for t in failed).items())
    text = (f"{len(made.trials):,} models ({grid.about}), five folds each, in {made.wall_s / 60:.1f} minutes on "
            f"{made.slots} slots, of which {100 * busy:.0f} % were spent in models; {len(distinct):,} of the "
            f"configurations are distinct; {len(failed)} failed ({100 * len(failed) / len(made.trials):.2g} %)"
            f"{reasons}.")
    complete = [t["score"] for t in made.trials if t["state"] == "complete"]
    if complete:
        text += f" Errors: median {statistics.median(complete):.4g}, least {min(complete):.4g}."
    if opened:
        text += (f" The test rows' labels were opened once, for the last column but one; published for PLS with seven "
                 f"components on raw spectra: {PUBLISHED}.")
    return text


def main() -> None:
    """Make the models, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("grid", choices=tuple(GRIDS))
    parser.add_argument("--part", type=float, default=1.0, help="of each family's models, 0 to 1")
    parser.add_argument("--families", help="only these, to see what they would take")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder, grid = working_folder(options.folder, f"models-{options.grid}"), GRIDS[options.grid]
    if options.families:
        grid = grid.of(options.families.split(","))
    frozen = frozen_package(folder)
    print(f"{round(options.part * grid.models)} models in {folder}", flush=True)
    text = report(grid, make(grid, folder, frozen, options.part), frozen,
                  whole=options.part == 1 and not options.families)
    (folder / f"{grid.name}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
