"""Writes ``docs/benchmarks.md``: each part with its table, the machine, the versions and the command.

    .venv/bin/python -m benchmarks.page                      # all parts, one after the other: most of a day
    .venv/bin/python -m benchmarks.page nothing sleeping     # some of them; the others stay as they are
    .venv/bin/python -m benchmarks.page --keep nothing /tmp/nothing    # what was run already, from its folder
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.place import ROOT, working_folder

PAGE = ROOT / "docs" / "benchmarks.md"
LIBRARIES = ("optuna", "xgboost", "lightgbm", "catboost", "scikit-learn", "numpy")
HEAD = """# Benchmarks

What a person compares, measured on one machine, with the command that reproduces each table. Contestants alternate in
one run, on the same data, folds, search spaces, fits and early stopping; each figure is a median with its least and its
largest value. Wall and CPU seconds are both shown, so that two jobs fighting for a core cannot look busy. Nothing else
ran on the machine unless a part says so. Speed is never asserted by a test: it depends on the machine, and these tables
say on which.

`make bench` runs all of them, which takes most of a day. It reads public datasets from `../shared/datasets`, in folders
called as in the tables (`benchmarks/shared.py` lists their files). Nothing here has run on an NVIDIA card.
"""


@dataclass(frozen=True)
class Part:
    """One table of the page."""

    title: str
    about: str
    arguments: tuple[str, ...]

    @property
    def result(self) -> str:
        """The file in the part's folder that holds its table."""
        module, *more = self.arguments
        named = more[0] if more and not more[0].startswith("-") else module
        return f"{named}.md"


_LIST = ("Three families, five folds, no pruning, the same recorded points for all; each round has points of its own. "
         "Stock Optuna as people write it has a process per family with the threads that the libraries take by "
         "themselves; tuned by hand, one thread each.")
PARTS = {
    "list california_housing": Part("The same 120 configurations, on 5,000 rows of 9 columns", _LIST,
                                    ("throughput", "list", "--datasets", "california_housing")),
    "list s5e7": Part("The same 120 configurations, on 18,524 rows of 7 columns", _LIST,
                      ("throughput", "list", "--datasets", "s5e7")),
    "search": Part("A free search of four minutes", (
        "Ours against stock Optuna tuned by hand, with Optuna's median pruner, in turn. A trial is decided when it is "
        "complete or pruned."), ("throughput", "search")),
    "short": Part("Very short jobs", (
        "Ridge regressions on 60 spectra, five folds, searched freely for half a minute, ours and by hand in turn. By "
        "hand has one process for its one family."), ("throughput", "short")),
    "files": Part("Eight versions of one table", (
        "An ordinary study, six minutes for each file; plain accuracy by stratified folds. What was published of them "
        "had eight hours on two GPUs and a many-core CPU, row weights, a rule applied afterwards, and thresholds tuned "
        "on the same folds."), ("night", "files")),
    "s5e7": Part("Eleven families on 18,524 rows", (
        "An ordinary study of twenty minutes; four tenths of it for linear models, three for boosting, two for "
        "forests, a twentieth each for networks and support vectors."), ("night", "s5e7")),
    "ames_house_prices": Part("Twelve families on 81 columns", (
        "The same on 1,460 houses."), ("night", "ames_house_prices")),
    "nothing": Part("Trials that do nothing", (
        "Ten parameters, five reports, TPE, two workers, SQLite on and drained: what the scheduler itself costs. Stock "
        "is two processes on one SQLite file that holds so many trials already."), ("overhead", "nothing")),
    "sleeping": Part("Slots that this machine does not have", (
        "Jobs that sleep stand in for cores. Busy is what was asked for over what there was, warm-up apart."),
        ("overhead", "sleeping")),
    "studies": Part("Five hundred studies in one run", (
        "Fifty tables and ten families whose jobs do nothing, two trials for each pair, two workers."),
        ("overhead", "studies")),
    "history": Part("What a sampler that forgets loses", (
        "The sampler of a run keeps the best 100 and the latest 400 trials; up to 625 nothing is forgotten. Full is "
        "Optuna's own, that keeps every trial."), ("history",)),
    "costs": Part("What it brings to ask what points cost", (
        "Searches by time on models of recorded studies, eight seeds each: TPE that asks for no cost, `tpe`, which "
        "draws its random points by cost and weighs it later on where there is time for few trials, and "
        "`thrifty_tpe`, which always does."), ("costs",)),
    "pruning": Part("What pruning saves and what it costs", (
        "Complete trials of a free search, recorded once with every fold, replayed under each rule in the order in "
        "which they were told. Fits that were cut short count by their share of iterations."), ("pruning", "replay")),
    "pruning live": Part("Searches with and without pruning", (
        "Of the same length, in turn, with the same seeds; what is saved goes into more trials."), ("pruning", "live")),
    "layouts": Part("Threads inside a fit against trials side by side", (
        "Every way to cut two cores into slots, on five shapes of table; the same recorded points for each. A run that "
        "is left to itself knows nothing beforehand and measures on its own trials."),
        ("layouts",)),
    "models": Part("Three thousand models of a small table", (
        "195 near-infrared spectra of 650 columns, five folds; every combination of each family's grid, the mix by "
        "shares. A random forest has 200 trees; boosting stops early."), ("models", "nir")),
    "selection": Part("A search that chooses against a whole grid", (
        "Every model of two grids was made once. A sixth as many are then asked for by the run's own searches, and the "
        "nearest model of the grid answers with its score and its seconds; five seeds, and one live run each that fits "
        "what it asks. Gain is what a search's best is better than the median model, over what the grid's best is. "
        "The points of coarse_to_fine follow from the space alone, so that its seeds agree."),
        ("selection",)),
    "growth": Part("Tables from small to large", (
        "An ordinary CSV file of each shape, an ordinary run of four LightGBM models of twenty trees, five folds: what "
        "surrounds the fits, and how it grows. Memory is that of all processes of the run together."), ("growth",)),
    "large": Part("One large table and eight workers", (
        "Proportional set sizes: a page that is shared by eight counts an eighth in each."), ("large",)),
    "polite": Part("A run that shares the machine", (
        "How exactly a limit of the cores holds, how soon another one does, and what a job of one thread loses beside "
        "a run."), ("polite",)),
    "page": Part("The results page with five thousand models", (
        "The models of a real run, those of the spectra above where it was given, repeated with other values until "
        "there are enough; headless Chromium without a connection. Timed from the start of navigation or an input to "
        "the frame that shows what came of it."), ("results_page",)),
}


def machine() -> str:
    """Processor, cores, memory and versions in a line."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) / 2**20
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return (f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB; Python {platform.python_version()}, "
            f"{versions}")


def section(name: str, folder: Path) -> str:
    """A part's section, from the folder that it has worked in."""
    part = PARTS[name]
    table = (folder / part.result).read_text(encoding="utf-8").strip()
    code = (folder / "code.txt").read_text(encoding="utf-8").strip()
    command = (folder / "command.txt").read_text(encoding="utf-8").strip()
    return (f"<!-- part {name} -->\n## {part.title}\n\n{part.about}\n\n{table}\n\n"
            f"`{command}`, code {code}. {machine()}.\n<!-- end {name} -->")


def write(sections: dict[str, str]) -> None:
    """Replace these sections of the page; the others stay, all in the order of the parts."""
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    for name in PARTS:
        found = re.search(f"<!-- part {name} -->.*?<!-- end {name} -->", old, re.DOTALL)
        if found and name not in sections:
            sections[name] = found.group()
    PAGE.write_text("\n\n".join([HEAD.strip(), *(sections[n] for n in PARTS if n in sections)]) + "\n",
                    encoding="utf-8")


def main() -> None:
    """Run the parts that are asked for, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them by default")
    parser.add_argument("--keep", nargs=2, metavar=("PART", "FOLDER"), help="write what was run already")
    options = parser.parse_args()
    if options.keep:
        name, folder = options.keep
        write({name: section(name, Path(folder))})
        return
    worked: dict[str, Path] = {}
    for name in options.parts or PARTS:
        folder, part = working_folder(None, name), PARTS[name]
        worked[name] = folder
        if name == "pruning":  # replayed is what was recorded before
            subprocess.run([sys.executable, "-m", "benchmarks.pruning", "record", str(folder)], cwd=ROOT, check=True)
            arguments = ["replay", str(folder)]
        else:
            arguments = [*part.arguments[1:], "--folder", str(folder)]
        if name == "selection" and "models" in worked:  # the grid that was made a moment ago need not be made again
            arguments += ["--made", f"nir={worked['models']}"]
        subprocess.run([sys.executable, "-m", f"benchmarks.{part.arguments[0]}", *arguments], cwd=ROOT, check=True)
        write({name: section(name, folder)})


if __name__ == "__main__":
    main()
