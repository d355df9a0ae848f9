"""What pruning saves and whether it costs the final score: complete trials recorded once, then replayed by each rule.

    .venv/bin/python -m benchmarks.pruning record --minutes 4        # each dataset searched without pruning
    .venv/bin/python -m benchmarks.pruning replay FOLDER              # what each pruner would have done
    .venv/bin/python -m benchmarks.pruning live --minutes 4          # real searches with and without, in turn

Recorded are trials of a free search with every fold of every trial fitted and watched (the pruner that does this
exists in the frozen copy of the package only). In the replay they come in the order in which they were told; a rule
sees what it had let through by then, so that one that learns from complete trials alone and ratchets is seen to. A cut
fit counts by the share of its iterations up to the checkpoint at which it was cut.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.contestants import encoded, ours
from benchmarks.place import fresh, frozen_package, markdown, with_environment, working_folder
from benchmarks.shared import DATASETS, sampled
from optimizer.curves import CHECKPOINTS, FitWatch, kind_of_loss
from optimizer.models.boosting import patience
from optimizer.strategies import load_pruner
from optimizer.strategies.base import DecidedTrial, Pruner, running_means
from tests.chaos.evidence import Record, read_journal

WATCHING = '''"""Never prunes, and has every fit watched: for benchmarks."""


class WatchingPruner:
    looks_inside, looks_first = True, False

    def limits(self, history, *, steps, maximize):
        return (None,) * steps

    def fit_limits(self, history, *, steps, maximize):
        return ()


STRATEGY = WatchingPruner()
'''
#: Datasets on which configurations differ by more than noise.
NAMES = ("california_housing", "obesity_s4e2", "letter", "adult", "telco_churn", "ames_house_prices", "diamonds")
PRUNERS = ("none", "median", "confidence", "racing")
#: Those that are searched with and without.
LIVE = ("telco_churn", "ames_house_prices")


def record(folder: Path, minutes: float, names: Sequence[str]) -> None:
    """Search each dataset for so long without pruning; the journals stay in the folder."""
    frozen = frozen_package(folder, {"strategies/pruners/watching.py": WATCHING})
    for name in names:
        dataset = sampled(name, folder)
        study = folder / f"{name}.toml"
        study.write_text(
            f'time_per_dataset = "{60 * minutes:.0f}s"\npruner = "watching"\nseed = 1\nfolds = 5\n'
            f'[[datasets]]\nname = "{name}"\ntrain = "{dataset.train}"\ntarget = "{dataset.target}"\n'
            f'metric = "{dataset.metric}"\n',
            encoding="utf-8")
        with (folder / f"{name}.log").open("ab") as log:
            subprocess.run([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], cwd=folder, check=True,
                           env=with_environment(frozen), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        print(f"{name}: {len(complete_trials(folder / name))} complete trials", flush=True)


def complete_trials(folder: Path) -> list[Record]:
    """The complete trials of a recorded run, in the order in which they were told."""
    return [r for r in read_journal(folder).of("trial_told") if r["state"] == "complete" and r["curves"]]


@dataclass
class Outcome:
    """What a rule did with the trials of one family."""

    trials: int = 0
    #: Decided by the rule before their last fold.
    pruned: int = 0
    #: Fits, a cut one by its share, and what all folds of all trials would have been.
    fits: float = 0.0
    all_fits: int = 0
    best: float | None = None
    #: Share pruned among the second half of the trials: one that ratchets prunes ever more.
    late: list[bool] = field(default_factory=list)

    @property
    def saved(self) -> float:
        """Share of all fits that were not made."""
        return 1 - self.fits / self.all_fits if self.all_fits else 0.0


def cut_share(trial: Record, step: int, limits: Sequence[float | None]) -> float | None:
    """The share of a fit's iterations after which it would have been cut short; ``None`` where it is not."""
    curve, rate = trial["curves"][step], trial["params"]["learning_rate"]
    iterations = (trial["best_iterations"][step] or 1) + patience(rate)
    steps = FitWatch(rate, ()).steps
    for position in range(min(len(limits), len(CHECKPOINTS))):
        limit = limits[position]
        if steps[position] > iterations:
            return None
        if limit is not None and curve[position] > limit:
            return steps[position] / iterations
    return None


def replay(trials: Sequence[Record], pruner: Pruner, *, maximize: bool) -> Outcome:
    """Decide the trials of one family one after the other."""
    outcome = Outcome()
    history: list[DecidedTrial] = []
    #: The same by kind of loss.
    alike: dict[str, list[DecidedTrial]] = defaultdict(list)
    for position, trial in enumerate(trials):
        scores = trial["fold_scores"]
        steps, means, kind = len(scores), running_means(scores), kind_of_loss(trial["params"])
        limits = pruner.limits(history, steps=steps, maximize=maximize)
        inside = pruner.fit_limits(alike[kind], steps=steps, maximize=maximize)
        done, fits = steps, 0.0
        for step in range(steps):
            share = cut_share(trial, step, inside[step]) if step < len(inside) and step < len(trial["curves"]) else None
            fits += 1.0 if share is None else share
            bar = limits[step]
            if share is not None:
                done = step
                break
            if bar is not None and (means[step] < bar if maximize else means[step] > bar):
                done = step + 1
                break
        whole = done == steps
        history.append(DecidedTrial(complete=whole, running_means=means[:done],
                                    curves=tuple(map(tuple, trial["curves"])) if whole else ()))
        alike[kind].append(history[-1])
        outcome.trials += 1
        outcome.pruned += not whole
        outcome.fits += fits
        outcome.all_fits += steps
        if position >= len(trials) // 2:
            outcome.late.append(not whole)
        if whole and (outcome.best is None or (means[-1] > outcome.best if maximize else means[-1] < outcome.best)):
            outcome.best = means[-1]
    return outcome


def compare(folder: Path) -> str:
    """A row for each dataset, family and rule."""
    rows: list[tuple[object, ...]] = []
    saved: dict[str, list[float]] = defaultdict(list)
    kept: dict[str, list[bool]] = defaultdict(list)
    for name in NAMES:
        if not (folder / name).is_dir():
            continue
        by_family: dict[str, list[Record]] = defaultdict(list)
        for trial in complete_trials(folder / name):
            by_family[trial["trial"].split("/")[1]].append(trial)
        maximize = DATASETS[name].maximize
        for family, trials in sorted(by_family.items()):
            whole = replay(trials, load_pruner("none"), maximize=maximize)
            for rule in PRUNERS[1:]:
                found = replay(trials, load_pruner(rule), maximize=maximize)
                saved[rule].append(found.saved)
                kept[rule].append(found.best == whole.best)
                rows.append((name, family, rule, found.trials, f"{100 * found.saved:.0f}",
                             f"{100 * found.pruned / found.trials:.0f}", f"{100 * statistics.fmean(found.late):.0f}",
                             _short(whole.best), _short(found.best), "kept" if found.best == whole.best else "LOST"))
    text = markdown(("dataset", "family", "rule", "trials", "fits saved %", "pruned %", "pruned %, second half",
                     "best of all", "best with it", ""), rows)
    for rule in saved:
        text += (f"\n\n{rule}: {100 * statistics.fmean(saved[rule]):.0f} % of fits saved; the best trial kept in "
                 f"{sum(kept[rule])} of {len(kept[rule])}")
    return text


def _short(score: float | None) -> str:
    return "" if score is None else f"{score:.6g}"


def live(folder: Path, minutes: float, names: Sequence[str], rounds: int) -> str:
    """Searches of the same length with and without pruning, in turn."""
    frozen = frozen_package(folder)
    rows: list[tuple[object, ...]] = []
    for name in names:
        task = encoded(name, sampled(name, folder), folder, frozen)
        maximize = DATASETS[name].maximize
        for seed in range(1, rounds + 1):
            one = replace(task, seed=seed, seconds=60 * minutes)
            for rule in ("none", "confidence")[:: 1 if seed % 2 else -1]:
                shown = ours(one, fresh(folder / f"{name}-{seed}-{rule}"), frozen, pruner=rule, name=rule)
                complete, pruned = shown.count("complete"), shown.count("pruned")
                rows.append((name, seed, rule, complete + pruned, complete, pruned, f"{shown.fit_s:.0f}",
                             f"{shown.best(maximize):.6g}"))
                print(rows[-1], flush=True)
    return markdown(("dataset", "seed", "rule", "decided", "complete", "pruned", "s in fits", "best"), rows)


def main() -> None:
    """Record, or replay what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("record", "replay", "live"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--datasets", help="separated by commas")
    parser.add_argument("--rounds", type=int, default=2, help="of the live searches")
    parser.add_argument("--folder", type=Path, dest="named", help="the same as FOLDER")
    options = parser.parse_args()
    folder = working_folder(options.folder or options.named, "pruning")
    names = options.datasets.split(",") if options.datasets else LIVE if options.part == "live" else NAMES
    if options.part == "record":
        record(folder, options.minutes, names)
        print(f"recorded in {folder}")
    elif options.part == "live":
        text = live(folder, options.minutes, names, options.rounds)
        (folder / "live.md").write_text(text + "\n", encoding="utf-8")
        print(text)
    else:
        text = compare(folder)
        (folder / "replay.md").write_text(text + "\n", encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
