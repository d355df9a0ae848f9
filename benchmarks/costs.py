"""What it brings that a search asks what points cost: searches by time on models of recorded studies.

    .venv/bin/python -m benchmarks.costs

Random points of each boosting family are fitted on two folds of 2,500 rows of each dataset. A Gaussian process through
their scores, and one through the logarithms of their seconds, then answer searches in place of fits, so that many
seeds can be compared. The searches are the run's own, with the usual pruner. How far a fold's score is off is drawn
for each seed, the same for all samplers. Compared is what the best trial scores in truth, by the process, in such
spreads of a fold.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import statistics
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import stock
from benchmarks.contestants import FAMILIES, encoded
from benchmarks.place import frozen_package, markdown, spread, working_folder
from benchmarks.shared import DATASETS, sampled
from optimizer.datasets.table import Table
from optimizer.models import load_family
from optimizer.models.base import SpaceDescription
from optimizer.records import TrialRecord
from optimizer.search_space import Categorical, SearchSpace
from optimizer.strategies import load_pruner, load_sampler
from optimizer.strategies.base import Outlook, Sampler
from optimizer.strategies.parzen import FrugalTPESampler
from optimizer.strategies.samplers.tpe import made
from optimizer.study.searcher import Searcher

NAMES = ("california_housing", "diamonds", "telco_churn", "adult")
ROWS, POINTS, FOLDS = 2500, 60, 5
#: Times that a search has, in median trials of its study.
LONG = (25, 120)
#: Share of a fold's spread that is a trial's own; the rest is the fold's, the same for all trials.
OWN = 0.4


class Plain(Sampler):
    """TPE that asks for no cost."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> Any:
        """The same settings."""
        return made(FrugalTPESampler, space, seed, workers)


SAMPLERS = {"plain TPE": Plain, "tpe": lambda: load_sampler("tpe"), "thrifty_tpe": lambda: load_sampler("thrifty_tpe")}


class Fitted(msgspec.Struct, frozen=True):
    """A point and what two folds of it gave."""

    params: dict[str, Any]
    scores: tuple[float, ...]
    seconds: float


def described(table: Path, name: str, family: str) -> SpaceDescription:
    """A family's space on an encoded table."""
    return load_family(family).describe(Table.open(table).meta.summary(DATASETS[name].metric))


def record(table: Path, name: str, family: str, out: Path) -> None:
    """Fit the starts and random points."""
    description = described(table, name, family)
    space, starts = description.space, description.starts
    chance = random.Random(7)
    objective = stock.Objective(stock.Settings(
        table=str(table), metric=DATASETS[name].metric, family=family, threads=1, pruner="none", seed=1, database="",
        out=""))
    found = []
    for point in (*starts, *(space.random_point(chance) for _ in range(POINTS))):
        before = objective.fit_seconds
        scores = tuple(objective.fold(step, space.complete(point)) for step in (0, 1))
        found.append(Fitted(dict(point), scores, (objective.fit_seconds - before) / 2))
    out.write_bytes(msgspec.json.encode(found))


@dataclass(frozen=True)
class Study:
    """A family on a dataset, as the processes know it."""

    description: SpaceDescription
    maximize: bool
    score: Any
    seconds: Any
    #: Standard deviation of a fold's score about the trial's.
    spread: float
    #: Seconds of a median trial.
    typical_s: float


@cache
def study_of(table: Path, name: str, family: str, out: Path) -> Study:
    """Fit both processes; a tenth of the points, the worst, count as no worse than the next, for they bend the rest."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    fitted = msgspec.json.decode(out.read_bytes(), type=list[Fitted])
    description = described(table, name, family)
    maximize = DATASETS[name].maximize
    points = np.array([numbers(description.space, one.params) for one in fitted])
    scores = np.array([statistics.fmean(one.scores) for one in fitted])
    worst = np.quantile(scores, 0.1 if maximize else 0.9)
    scores = np.maximum(scores, worst) if maximize else np.minimum(scores, worst)

    def through(values: Any) -> Any:
        kernel = (ConstantKernel(1.0, (1e-2, 1e2)) * RBF(np.ones(points.shape[1]), (0.1, 20.0))
                  + WhiteKernel(0.1, (1e-3, 1.0)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length at its bound is a parameter that does not matter
            return GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=1, random_state=0).fit(
                points, values)

    return Study(description, maximize, through(scores), through(np.log([one.seconds for one in fitted])),
                 float(np.std([one.scores[0] - one.scores[1] for one in fitted])) / math.sqrt(2),
                 FOLDS * statistics.median(one.seconds for one in fitted))


def numbers(space: SearchSpace, point: dict[str, Any]) -> list[float]:
    """A point in the unit cube; a choice by which one it is, what does not exist in the middle."""
    found: list[float] = []
    for parameter in space.parameters:
        domain, value = parameter.domain, point.get(parameter.name)
        if isinstance(domain, Categorical):
            found += [float(value == choice) for choice in domain.choices]
        elif value is None:
            found.append(0.5)
        elif domain.log:
            found.append(math.log(value / domain.low) / math.log(domain.high / domain.low))
        else:
            found.append((value - domain.low) / (domain.high - domain.low))
    return found


@dataclass(frozen=True)
class Found:
    """What a search found."""

    decided: int
    #: By the process, of the trial that scored best, in spreads of a fold; the more, the better.
    truth: float


def search(study: Study, sampler: str, seed: int, trials: int) -> Found:
    """A search with time for so many median trials."""
    space, sign = study.description.space, 1.0 if study.maximize else -1.0
    searcher = Searcher(space=space, starts=study.description.starts, sampler=SAMPLERS[sampler](),
                        maximize=study.maximize, seed=seed, workers=2)
    pruner, chance = load_pruner("confidence"), np.random.default_rng(seed)
    off = chance.normal(0.0, study.spread, FOLDS)
    whole_s, used_s, decided, best, truth = trials * study.typical_s, 0.0, 0, -math.inf, math.nan
    while True:
        trial = f"recorded/study/{decided}"
        params = searcher.ask(trial, Outlook(in_time=whole_s * decided / used_s if used_s else math.inf))
        if params is None:
            return Found(decided, truth)
        point = np.array([numbers(space, params)])
        mean, fold_s = float(study.score.predict(point)[0]), math.exp(float(study.seconds.predict(point)[0]))
        scores = mean + off - off.mean() + chance.normal(0.0, OWN * study.spread, FOLDS)
        means = np.cumsum(scores) / np.arange(1, FOLDS + 1)
        limits = pruner.limits(searcher.history(), steps=FOLDS, maximize=study.maximize)
        steps = next((step + 1 for step, limit in enumerate(limits)
                      if limit is not None and sign * means[step] < sign * limit), FOLDS)
        used_s += steps * fold_s
        if used_s > whole_s:
            return Found(decided, truth)
        decided += 1
        if steps == FOLDS and sign * means[-1] > best:
            best, truth = sign * means[-1], sign * mean / study.spread
        searcher.tell(TrialRecord(
            trial=trial, state="complete" if steps == FOLDS else "pruned", attempt=1, params=params,
            space=space.hash(), seed=seed, metric="", table="", slot="cpu0", device="cpu", at=time.time(),
            seconds=steps * fold_s, score=float(means[steps - 1]), fold_scores=tuple(map(float, scores[:steps])),
            step_seconds=(fold_s,) * steps))


def compare(where: tuple[Path, str, str, Path], trials: int, seeds: Iterable[int]) -> dict[str, list[Found]]:
    """Every sampler with every seed on one study."""
    study = study_of(*where)
    return {sampler: [search(study, sampler, seed, trials) for seed in seeds] for sampler in SAMPLERS}


def row(name: str, family: str, trials: int, sampler: str, found: Sequence[Found], plain: Sequence[Found],
        ) -> tuple[tuple[object, ...], float, float]:
    """A line of the table, and its figures: decided over plain's, and how much better the best is."""
    more = statistics.median(f.decided for f in found) / statistics.median(p.decided for p in plain)
    better = [f.truth - p.truth for f, p in zip(found, plain, strict=True)]
    error = statistics.stdev(better) / math.sqrt(len(better))
    return ((name, family, trials, sampler, spread([f.decided for f in found]), f"{more:.2f}",
             f"{statistics.fmean(better):+.2f} ± {error:.2f}"), more, statistics.fmean(better))


def main() -> None:
    """Record what the folder does not hold yet, search, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--datasets", default=",".join(NAMES))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "costs")
    frozen = frozen_package(folder)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))  # of the processes below
    names = options.datasets.split(",")
    tables = {name: encoded(name, sampled(name, folder, ROWS), folder, frozen).table for name in names}
    studies = {(name, family): (tables[name], name, family, folder / f"{name}-{family}.json")
               for name in names for family in FAMILIES}
    rows: list[tuple[object, ...]] = []
    ends: dict[tuple[int, str], list[tuple[float, float]]] = {}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for made_one in [pool.submit(record, *where) for where in studies.values() if not where[-1].exists()]:
            made_one.result()
        asked = {(trials, name, family): pool.submit(compare, where, trials, range(options.seeds))
                 for trials, ((name, family), where) in itertools.product(LONG, studies.items())}
        for (trials, name, family), future in asked.items():
            found = future.result()
            for sampler in list(SAMPLERS)[1:]:
                line, more, better = row(name, family, trials, sampler, found[sampler], found["plain TPE"])
                rows.append(line)
                ends.setdefault((trials, sampler), []).append((more, better))
                print(line, flush=True)
    text = markdown(("dataset", "family", "time, in median trials", "sampler", "decided", "times plain TPE's",
                     "best is better by, in spreads of a fold"), rows)
    for (trials, sampler), figures in ends.items():
        text += (f"\n\n{sampler}, time for {trials}: decided {statistics.geometric_mean(m for m, _ in figures):.2f} "
                 f"times plain TPE's; best better by {statistics.fmean(b for _, b in figures):+.3f}, and in "
                 f"{sum(b > 0 for _, b in figures)} of {len(figures)} studies")
    (folder / "costs.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
