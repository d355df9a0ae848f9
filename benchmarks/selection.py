"""What a search that chooses finds of a whole grid, and in what part of its time: replayed on tables, confirmed live.

    .venv/bin/python -m benchmarks.selection                                             # makes both grids first: hours
    .venv/bin/python -m benchmarks.selection --made nir=FOLDER --made boosting=FOLDER    # of grids made by `models`

Every model of a grid has been made once, with its score and its seconds. In a replay the run's own samplers, searches
and shares of families ask for a sixth as many models, between the least and the largest of the grid's values, and the
nearest model of the grid answers: so the slots are as busy, and the searches learn, as in a run. A point near one that
was asked before costs as much again. Each is confirmed by one live run of the same space, which fits what it asks.

Gain is what a search's best is better than the median model, over what the best of the whole grid is.
"""

from __future__ import annotations

import argparse
import heapq
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.grids import GRIDS, Grid
from benchmarks.models import Made, best_of, family_of, make, read_made, run_study
from benchmarks.place import frozen_package, markdown, spread, working_folder, write_json
from optimizer.budgets import next_pair
from optimizer.datasets.problem import Prepared
from optimizer.models import load_family
from optimizer.models.base import SpaceDescription
from optimizer.records import TrialRecord, trial_id
from optimizer.scheduler.ledger import DatasetLedger, FamilyLedger
from optimizer.search_space import Categorical
from optimizer.strategies import load_sampler
from optimizer.study.searcher import Searcher, trial_seed
from tests.chaos.evidence import Record, read_journal

Key = tuple[tuple[str, Any], ...]

#: Of the whole grid, the models that a search may make.
PART = 1 / 6
#: Sampler and shares of families, by the name in the table.
SEARCHES = {
    "coarse_to_fine": ("coarse_to_fine", "adaptive"), "adaptive": ("tpe", "adaptive"),
    "coarse_to_fine, even shares": ("coarse_to_fine", "even"), "tpe, even shares": ("tpe", "even"),
    "random, even shares": ("random", "even"),
}
#: Of these, those that are confirmed live.
LIVE = ("coarse_to_fine", "adaptive")


class Answers:
    """A grid that was made whole: asked for a point, it gives the nearest model."""

    def __init__(self, grid: Grid, made: Made) -> None:
        self.grid, self.made = grid, made
        (ready,) = read_journal(made.folder).of("dataset_ready")[-1:]
        self.prepared = msgspec.convert(ready, Prepared)
        self.spaces = {family: self._space(family) for family in grid.families}
        self._models = {family: {self._key(family, trial["params"]): trial for trial in made.of(family)}
                        for family in grid.families}
        scores = [trial["score"] for trial in made.trials if trial["state"] == "complete"]
        self.median, self.best = statistics.median(scores), min(scores)

    @property
    def whole_s(self) -> float:
        """Seconds of the whole grid on its slots, the time between models left out."""
        return sum(float(trial["seconds"]) for trial in self.made.trials) / self.made.slots

    def gain(self, score: float) -> float:
        """What a score is better than the median model, over what the best is."""
        return (self.median - score) / (self.median - self.best)

    def model(self, family: str, point: Mapping[str, Any]) -> Record:
        """The model of the grid that is nearest to a point."""
        wanted = self._key(family, {name: self._nearest(family, name, value) for name, value in point.items()})
        models = self._models[family]
        if wanted in models:
            return models[wanted]
        # Only of a grid that was made in part: the one that has most in common with it.
        return models[max(models, key=lambda key: len(set(key) & set(wanted)))]

    def _space(self, family: str) -> SpaceDescription:
        """The family's own space between the values of the grid."""
        described = load_family(family).describe(self.prepared.summary)
        overrides = {name: {"low": min(values), "high": max(values)}
                     if isinstance(values, list) and not isinstance(values[0], str | bool) else values
                     for name, values in self.grid.families[family].items()}
        space = described.space.narrowed(family, overrides)
        starts = tuple(start for given in described.starts if space.contains(start := space.restricted(given)))
        return SpaceDescription(space=space, starts=starts)

    @cached_property
    def _logarithmic(self) -> set[tuple[str, str]]:
        return {(family, parameter.name) for family, described in self.spaces.items()
                for parameter in described.space.parameters
                if not isinstance(parameter.domain, Categorical) and parameter.domain.log}

    def _nearest(self, family: str, name: str, value: Any) -> Any:
        values = self.grid.families[family].get(name)
        if not isinstance(values, list) or isinstance(value, str | bool):
            return value
        scale = math.log if (family, name) in self._logarithmic else float
        return min(values, key=lambda one: abs(scale(one) - scale(value)))

    def _key(self, family: str, params: Mapping[str, Any]) -> Key:
        searched = self.grid.families[family]
        return tuple(sorted((name, value) for name, value in params.items() if isinstance(searched.get(name), list)))


@dataclass(frozen=True)
class Replayed:
    """What one search would have found."""

    search: str
    seed: int
    models: int
    #: Of the gain, after each model that was told.
    gains: tuple[float, ...]
    #: On the slots of the whole grid, the time between models left out; and over what the whole grid took.
    seconds: float
    of_the_time: float

    def until(self, share: float) -> int | None:
        """Models until so much of the gain; ``None`` where it was never reached."""
        return next((number for number, gain in enumerate(self.gains, start=1) if gain >= share), None)


def replay(answers: Answers, search: str, seed: int, models: int) -> Replayed:
    """So many models, on as many slots as the whole grid had."""
    sampler, shares = SEARCHES[search]
    name, slots = answers.prepared.dataset, answers.made.slots
    ledger = DatasetLedger(
        prepared=answers.prepared, budget_s=None, budget_trials=models, adaptive=shares == "adaptive",
        families={family: FamilyLedger(name=family, kinds=frozenset({"cpu"}), steps=answers.prepared.steps)
                  for family in answers.spaces})
    searchers = {family: Searcher(
        space=described.space, starts=described.starts, sampler=load_sampler(sampler), maximize=False, workers=slots,
        seed=trial_seed(seed, trial_id(name, family, 0))) for family, described in answers.spaces.items()}
    now, best, gains = 0.0, math.inf, []
    #: End, number and record of each model under way.
    running: list[tuple[float, int, TrialRecord]] = []
    started = 0
    while True:
        while len(running) < slots:
            charged: dict[str, dict[str, float]] = {}
            for _, _, record in running:
                charged.setdefault(record.family, {"cpu": 0.0})["cpu"] += ledger.families[record.family].typical_s
            pair = next_pair([ledger.use(charged, len(running))], "cpu", {"cpu"})
            if pair is None:
                break
            family = ledger.families[pair[1]]
            trial = trial_id(name, family.name, family.begun)
            params = searchers[family.name].ask(trial)
            if params is None:
                family.closed = "every point was asked"
                continue
            model = answers.model(family.name, searchers[family.name].space.restricted(params))
            family.begun, started = family.begun + 1, started + 1
            heapq.heappush(running, (now + model["seconds"], started, msgspec.structs.replace(
                msgspec.convert(model, TrialRecord), trial=trial, params=params,
                space=searchers[family.name].space.hash())))
        if not running:
            break
        now, _, record = heapq.heappop(running)
        searchers[record.family].tell(record)
        ledger.tell(record, kind="cpu")
        if record.state == "complete" and record.score is not None:
            best = min(best, record.score)
        gains.append(answers.gain(best) if math.isfinite(best) else 0.0)
    return Replayed(search, seed, started, tuple(gains), now, now / answers.whole_s)


def live(answers: Answers, search: str, models: int, folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """One run of the same space that fits what it asks."""
    sampler, shares = SEARCHES[search]
    study = answers.grid.study(folder, f"{answers.grid.name}-{search}", {
        "trials": models, "sampler": sampler, "shares": shares, "pruner": "none", "seed": 1}, ranges=True)
    run_study(study, environment)
    made = read_made(study)
    best = best_of(made.trials)
    return {"models": len(made.trials), "gain": answers.gain(best["score"]) if best else 0.0, "wall_s": made.wall_s,
            "of_the_time": made.wall_s / answers.made.wall_s}


def compare(answers: Answers, seeds: int, confirm: bool, folder: Path, environment: dict[str, str]) -> str:
    """A row for each search on one grid."""
    models = round(PART * len(answers.made.trials))
    rows: list[tuple[object, ...]] = []
    kept: dict[str, Any] = {}
    for search in SEARCHES:
        found = [replay(answers, search, seed, models) for seed in range(1, seeds + 1)]
        shown = live(answers, search, models, folder, environment) if confirm and search in LIVE else None
        kept[search] = {"replayed": [msgspec.to_builtins(one) for one in found], "live": shown}
        write_json(folder / f"selection-{answers.grid.name}.json", kept)
        rows.append((search, models, spread([100 * one.gains[-1] for one in found]), _until(found),
                     spread([100 * one.of_the_time for one in found]),
                     *((f"{100 * shown['gain']:.4g}", f"{100 * shown['of_the_time']:.3g}") if shown else ("", ""))))
        print(answers.grid.name, *rows[-1], sep="; ", flush=True)
    by_family = {family: best["score"] for family in answers.grid.families
                 if (best := best_of([t for t in answers.made.trials if family_of(t) == family]))}
    first = min(by_family, key=lambda family: by_family[family])
    return (f"{answers.grid.about}: {len(answers.made.trials):,} models in {answers.made.wall_s / 60:.1f} minutes; "
            f"median error {answers.median:.4g}, least {answers.best:.4g} by {first}.\n\n" + markdown((
                "search", "models", "of the gain %", "models until 99 % of it", "of the time %", "live: of the gain %",
                "live: of the time %"), rows))


def _until(found: Sequence[Replayed]) -> str:
    reached = [number for one in found if (number := one.until(0.99)) is not None]
    text = spread([float(number) for number in reached])
    return text if len(reached) == len(found) else f"{text or 'never'}, in {len(reached)} of {len(found)}"


def _given(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if name not in GRIDS or not (Path(folder) / f"{name}.toml").is_file():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected GRID=FOLDER with a folder that `models` has left "
                                         f"and one of {', '.join(GRIDS)}")
    return name, Path(folder).resolve()


def main() -> None:
    """Replay, confirm, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--made", type=_given, action="append", default=[], help="GRID=FOLDER that was made before")
    parser.add_argument("--grids", default=",".join(GRIDS))
    parser.add_argument("--families", help="only these, of grids of which only these were made")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-live", action="store_true", help="replay only")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "selection")
    frozen, before = frozen_package(folder), dict(options.made)
    text = []
    for name in options.grids.split(","):
        grid = GRIDS[name].of(options.families.split(",")) if options.families else GRIDS[name]
        made = read_made(before[name] / f"{name}.toml") if name in before else make(grid, folder, frozen)
        text.append(compare(Answers(grid, made), options.seeds, not options.without_live, folder, frozen))
        (folder / "selection.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
