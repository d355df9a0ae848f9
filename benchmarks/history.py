"""Whether a sampler that forgets finds what one that remembers everything finds: bounded against full history.

    .venv/bin/python -m benchmarks.history --trials 1000

Five functions, five seeds, one process for each: the run's own `Searcher` with its own sampler asks and is told, once
as in a run and once with every trial kept and a model made for every point. ``--at-once`` slots are given points and
told together. Up to 50 trials both are the same search, and up to 625 where one slot works.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.place import markdown, note_code, spread, working_folder, write_json
from optimizer.records import TrialRecord
from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace, When
from optimizer.strategies import load_sampler, parzen
from optimizer.strategies.base import Outlook
from optimizer.study import searcher
from optimizer.study.searcher import Searcher

Point = dict[str, Any]
TEN = SearchSpace(tuple(Parameter(f"x{i}", Float(-5.0, 5.0)) for i in range(10)))
#: Like that of a boosting family: logarithms, whole numbers, choices, and one that exists only sometimes.
MIXED = SearchSpace((
    Parameter("rate", Float(0.01, 1.0, log=True)), Parameter("depth", Int(2, 12)),
    Parameter("l1", Float(1e-4, 10.0, log=True)), Parameter("l2", Float(1e-4, 10.0, log=True)),
    Parameter("rows", Float(0.4, 1.0)), Parameter("columns", Float(0.4, 1.0)),
    Parameter("kind", Categorical(("a", "b", "c"))), Parameter("heat", Float(0.0, 2.0), When("kind", ("a",))),
))


def _numbers(point: Point) -> list[float]:
    return [point[f"x{i}"] for i in range(10)]


def sphere(point: Point) -> float:
    """One bowl, off the centre."""
    return sum((x - 1.7) ** 2 for x in _numbers(point))


def rosenbrock(point: Point) -> float:
    """A bent valley."""
    x = _numbers(point)
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def rastrigin(point: Point) -> float:
    """Many bowls in one."""
    return sum((x - 0.7) ** 2 - 10 * math.cos(2 * math.pi * (x - 0.7)) + 10 for x in _numbers(point))


def ackley(point: Point) -> float:
    """A narrow hole in a rough plain."""
    x = [v - 0.9 for v in _numbers(point)]
    return (-20 * math.exp(-0.2 * math.sqrt(sum(v * v for v in x) / 10))
            - math.exp(sum(math.cos(2 * math.pi * v) for v in x) / 10) + 20 + math.e)


def mixed(point: Point) -> float:
    """What a boosting family's score may look like."""
    value = (math.log10(point["rate"]) + 1.2) ** 2 + 0.05 * (point["depth"] - 6) ** 2
    value += 0.1 * (math.log10(point["l1"]) + 2) ** 2 + 0.1 * math.log10(point["l2"]) ** 2
    value += (point["rows"] - 0.8) ** 2 + (point["columns"] - 0.6) ** 2
    return value + {"a": 0.0, "b": 0.05, "c": 0.1}[point["kind"]] + 0.05 * abs(point.get("heat", 1.0) - 0.4)


FUNCTIONS: dict[str, tuple[SearchSpace, Callable[[Point], float]]] = {
    "sphere": (TEN, sphere), "rosenbrock": (TEN, rosenbrock), "rastrigin": (TEN, rastrigin), "ackley": (TEN, ackley),
    "mixed": (MIXED, mixed),
}


@dataclass(frozen=True)
class Found:
    """What one search found."""

    best: float
    seconds: float


def search(name: str, seed: int, trials: int, at_once: int, full: bool) -> Found:
    """So many trials, so many at a time."""
    if full:
        searcher.KEEP_LATEST, parzen.STALE = 10**9, 0.0
    space, function = FUNCTIONS[name]
    one = Searcher(space=space, starts=(), sampler=load_sampler("tpe"), maximize=False, seed=seed,
                   workers=at_once)
    best, begun = math.inf, time.process_time()
    for first in range(0, trials, at_once):
        numbers = range(first, min(first + at_once, trials))
        asked = [one.ask(f"made-up/{name}/{number}", Outlook(wanted=numbers.stop - number)) for number in numbers]
        for number, point in zip(numbers, asked, strict=True):
            assert point is not None
            score = function(point)
            best = min(best, score)
            one.tell(TrialRecord(
                trial=f"made-up/{name}/{number}", state="complete", attempt=1, params=point, space=space.hash(),
                seed=seed, metric="rmse", table="none", slot="cpu0", device="cpu", seconds=0.0, score=score,
                fold_scores=(score,) * 5, step_seconds=(0.0,) * 5, at=0.0))
    return Found(best, time.process_time() - begun)


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--functions", default=",".join(FUNCTIONS))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "history")
    note_code(folder)
    found: dict[tuple[str, bool], list[Found]] = {}
    # Each search in a fresh process: the bound is a constant of its module.
    with ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
        asked = {(name, full, seed): pool.submit(search, name, seed, options.trials, options.at_once, full)
                 for name in options.functions.split(",") for seed in range(options.seeds) for full in (False, True)}
        for (name, full, seed), future in asked.items():
            found.setdefault((name, full), []).append(future.result())
            print(f"{name}, seed {seed}, {'full' if full else 'bounded'}: {future.result()}", flush=True)
    rows: list[tuple[object, ...]] = []
    for name in options.functions.split(","):
        bounded, full = found[name, False], found[name, True]
        better = sum(b.best < f.best for b, f in zip(bounded, full, strict=True))
        same = sum(b.best == f.best for b, f in zip(bounded, full, strict=True))
        rows.append((name, options.trials, spread([b.best for b in bounded]), spread([f.best for f in full]),
                     f"{better} better, {same} equal of {len(bounded)}",
                     f"{statistics.fmean(b.seconds for b in bounded) / options.trials * 1000:.1f}",
                     f"{statistics.fmean(f.seconds for f in full) / options.trials * 1000:.1f}"))
    text = markdown(("function", "trials", "best, bounded", "best, full", "bounded is", "CPU ms per trial, bounded",
                     "full"), rows)
    write_json(folder / "history.json", {f"{name}/{full}": value for (name, full), value in found.items()})
    (folder / "history.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
