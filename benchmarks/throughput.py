"""Trials per hour and time to a good score: us, stock Optuna as people write it, and stock Optuna tuned by hand.

    .venv/bin/python -m benchmarks.throughput list       # one recorded list of 120 points, pruning off for all
    .venv/bin/python -m benchmarks.throughput search     # a free search of four minutes, ours and by hand in turn
    .venv/bin/python -m benchmarks.throughput short      # very short jobs: ridge on sixty rows

Contestants alternate; data, folds, search spaces, fits and early stopping are the same for all (see `contestants`).
Every command starts from nothing: loading libraries counts, and for us reading and encoding the table too. Trials that
end after the time is up do not count. Nothing else may run on the machine.

All rounds take hours. With ``--go-on``, what is in the folder already is not shown again, and the code that it was
shown with is used for the rest.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.contestants import (
    RECORDED,
    Showing,
    Task,
    encoded,
    ours,
    recorded,
    stock_as_written,
    stock_by_hand,
)
from benchmarks.place import fresh, frozen_package, markdown, spread, working_folder, write_json
from benchmarks.shared import sampled

#: What each part compares on; of the list's, the rows of a sample, where a fit is slow.
OF_LIST = {"s5e7": None, "california_housing": 5000}
OF_SEARCH = ("california_housing", "obesity_s4e2", "letter")
#: Shows what it can, in an empty folder and an environment.
Contestant = Callable[[Task, Path, dict[str, str]], Showing]
#: Points of a family in the recorded list.
POINTS = 40


class Showings:
    """Those of one dataset, written after each, so that a comparison can go on where it was ended."""

    def __init__(self, file: Path, environment: dict[str, str], *, go_on: bool) -> None:
        self._file, self._environment = file, environment
        self.all = msgspec.json.decode(file.read_bytes(), type=list[Showing]) if go_on and file.exists() else []

    def of(self, task: Task, name: str, show: Contestant) -> Showing:
        """What the contestant of this name has shown in this round, or shows now."""
        for showing in self.all:
            if (showing.seed, showing.contestant) == (task.seed, name):
                return showing
        place = fresh(self._file.parent / f"{task.dataset}-{task.seed}-{name.replace(', ', '-').replace(' ', '-')}")
        self.all.append(show(task, place, self._environment))
        _say(self.all[-1])
        write_json(self._file, msgspec.to_builtins(self.all))
        return self.all[-1]


def rows_of(showings: list[Showing], maximize: bool) -> list[tuple[object, ...]]:
    """A line per contestant: what it decided, and what that took.

    Inside fits are CPU seconds of them over all cores' seconds from the first fit on; what was cut off at the end
    counts. Stolen are those that a hypervisor gave to others.
    """
    rows: list[tuple[object, ...]] = []
    for name in dict.fromkeys(s.contestant for s in showings):
        own = [s for s in showings if s.contestant == name]
        rows.append((own[0].dataset, name, len(own), spread([s.count("complete") for s in own]),
                     spread([s.count("pruned") for s in own]), spread([s.wall_s for s in own]),
                     spread([s.cpu_s for s in own]),
                     spread([100 * s.fit_cpu_s / ((s.wall_s - s.warm_up_s) * (os.cpu_count() or 1)) for s in own]),
                     spread([100 * s.stolen for s in own]),
                     spread([s.per_hour for s in own]),
                     spread([b for s in own if (b := s.best(maximize)) is not None])))
    return rows


HEAD = ("dataset", "contestant", "rounds", "complete", "pruned", "wall s", "CPU s", "in fits %", "stolen %",
        "trials per hour", "best")


def compare_list(folder: Path, environment: dict[str, str], names: list[str], *, rounds: int, points: int,
                 rounds_as_written: int, go_on: bool) -> str:
    """Part (a): the same points for all, each round with a list of its own."""
    text = []
    contestants: dict[str, tuple[Contestant, int]] = {
        "ours": (ours, rounds), "stock by hand": (stock_by_hand, rounds),
        "stock as written": (stock_as_written, rounds_as_written)}
    for dataset in names:
        source = sampled(dataset, folder, OF_LIST.get(dataset))
        showings = Showings(folder / f"list-{dataset}.json", environment, go_on=go_on)
        per_hour: dict[str, list[float]] = {name: [] for name in contestants}
        for seed in range(1, rounds + 1):
            one = recorded(encoded(dataset, source, folder, environment, seed), points)
            for name, (contestant, last) in contestants.items():
                if seed <= last:
                    per_hour[name].append(showings.of(one, name, contestant).per_hour)
        text.append(markdown(HEAD, rows_of(showings.all, source.maximize)))
        ratios = {name: [a / b for a, b in zip(per_hour["ours"], per_hour[name], strict=False)]
                  for name in [*contestants][1:]}
        text += [f"{dataset}: ours / {name}: {spread(found)} times as many completed per hour"
                 for name, found in ratios.items() if found]
    return "\n\n".join(text)


def compare_search(folder: Path, environment: dict[str, str], names: list[str], *, rounds: int, seconds: float,
                   samplers: list[str], go_on: bool, families: tuple[str, ...] = ()) -> str:
    """Part (b): each searches freely for so long, ours (with each of these samplers) and by hand in turn."""
    text = []
    shares: dict[str, list[float]] = {sampler: [] for sampler in samplers}
    decided: dict[str, list[float]] = {sampler: [] for sampler in samplers}
    for dataset in names:
        source = sampled(dataset, folder)
        maximize = source.maximize
        showings = Showings(folder / f"search-{dataset}.json", environment, go_on=go_on)
        for seed in range(1, rounds + 1):
            task = encoded(dataset, source, folder, environment, seed)
            one = dataclasses.replace(task, seconds=seconds, families=families or task.families)
            shown: dict[str, Showing] = {}
            # Whoever is first in one round is last in the next.
            for sampler in ("", *samplers)[:: 1 if seed % 2 else -1]:
                name = ("ours" if sampler == "tpe" else f"ours, {sampler}") if sampler else "stock by hand"
                shown[sampler] = showings.of(
                    one, name, partial(ours, sampler=sampler, name=name) if sampler else stock_by_hand)
            hand = shown[""]
            for sampler in samplers:
                mine = shown[sampler]
                reached, theirs = _reached(mine, hand, maximize), _reached(hand, mine, maximize)
                shares[sampler].append(reached / seconds)
                decided[sampler].append(len(mine.trials) / max(1, len(hand.trials)))
                text.append(f"{dataset}, seed {seed}, {mine.contestant}: decided {decided[sampler][-1]:.2f} times by "
                            f"hand; best {mine.best(maximize)} against {hand.best(maximize)}; we had by hand's best "
                            f"{_after(reached)}, by hand had ours {_after(theirs)}")
        text.append(markdown(HEAD, rows_of(showings.all, maximize)))
    text += [f"{sampler}: decided, ours / by hand: {spread(decided[sampler])}\n{sampler}: share of the time until what "
             f"by hand had at its end: {spread(shares[sampler])}" for sampler in samplers]
    return "\n\n".join(text)


def _reached(one: Showing, other: Showing, maximize: bool) -> float:
    """Seconds until one had what the other had in the end; infinite where it never did."""
    goal = other.best(maximize)
    seconds = 0.0 if goal is None else one.reached(goal, maximize)
    return float("inf") if seconds is None else seconds


def _after(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"after {seconds:.0f} s"


def _say(showing: Showing) -> None:
    best = {state: showing.count(state) for state in ("complete", "pruned")}
    print(f"{showing.dataset} seed {showing.seed} {showing.contestant}: {best}, {showing.wall_s:.0f} s, "
          f"{showing.cpu_s:.0f} CPU s, {showing.fit_s:.0f} s in fits", flush=True)


def options_of() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("list", "search", "short"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=POINTS, help="of each family in the recorded list")
    parser.add_argument("--seconds", type=float, help="of a free search: 240, and 30 of short jobs")
    parser.add_argument("--datasets", help="those of the list or of the free search, with commas; all by default")
    parser.add_argument("--samplers", default="tpe", help="of ours in the free search, each a contestant")
    parser.add_argument("--rounds-as-written", type=int, default=sys.maxsize,
                        help="of stock as written, which is slow; all by default")
    parser.add_argument("--go-on", action="store_true", help="with what the folder holds")
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


def main() -> None:
    """Compare, and print the table."""
    options = options_of()
    folder = working_folder(options.folder, "throughput")
    frozen = frozen_package(folder, RECORDED, go_on=options.go_on)
    about: dict[str, Any] = {"code": frozen["CODE"], "cores": os.cpu_count(), "python": platform.python_version(),
                             "command": " ".join(sys.argv[1:])}
    print(about, "in", folder, flush=True)
    names = options.datasets.split(",") if options.datasets else [*(OF_LIST if options.part == "list" else OF_SEARCH)]
    if options.part == "list":
        text = compare_list(folder, frozen, names, rounds=options.rounds, points=options.points,
                            rounds_as_written=options.rounds_as_written, go_on=options.go_on)
    else:
        short = options.part == "short"
        text = compare_search(folder, frozen, ["gasoline_nir"] if short else names, rounds=options.rounds,
                              seconds=options.seconds or (30.0 if short else 240.0),
                              samplers=options.samplers.split(","), go_on=options.go_on,
                              families=("ridge",) if short else ())
    (folder / f"{options.part}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
