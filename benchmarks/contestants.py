"""Who is compared: us, stock Optuna as people write it, and stock Optuna tuned by hand for this machine.

Each gets a `Task` and gives a `Showing`. All work on the same table, folds, search spaces, fits and early stopping.
What differs is ours to show: layout and pinning, the pruner, known good starting points, a multivariate sampler that
knows what runs, binned data kept between fits. Stock has Optuna's defaults there, and is given the encoded table in
memory, which most scripts read again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import optuna

from benchmarks import stock
from benchmarks.place import Stopwatch, with_environment
from benchmarks.shared import Dataset
from optimizer.datasets.table import Table
from optimizer.models import load_family
from optimizer.study.frozen import suggest
from tests.chaos.evidence import read_journal

FAMILIES = ("xgboost", "lightgbm", "catboost")
#: A sampler of ours for benchmarks only, planted in the frozen copy of the package: a recorded list.
RECORDED = {"strategies/samplers/recorded.py": '''"""The points of a recorded list, for benchmarks."""

import json
import os


class Recorded:
    begins_at_starts = goes_on = False

    def optuna_sampler(self, space, seed, workers):
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)

    def points(self, space, best):
        with open(os.environ["OPTIMIZER_RECORDED_POINTS"], encoding="utf-8") as stream:
            return iter(json.load(stream)[space.hash()])


STRATEGY = Recorded()
'''}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all contestants do in one round."""

    dataset: str
    train: Path
    target: str
    metric: str
    families: tuple[str, ...]
    seed: int
    #: The table as it was encoded once, for those who do not encode it themselves.
    table: Path
    #: When to stop; ``None`` for when the points are used.
    seconds: float | None = None
    #: Most rounds of boosting, where those that are usual take too long; with a recorded list only.
    iterations: int | None = None
    #: Family to points, in place of a search.
    points: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    #: Hash of each family's search space, for the recorded list.
    spaces: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One trial that was decided in time."""

    #: Seconds since the command was given.
    at: float
    family: str
    state: str
    score: float
    fit_seconds: float
    fit_cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Showing:
    """What a contestant did in one round."""

    contestant: str
    dataset: str
    seed: int
    wall_s: float
    #: Of every process, start and end included.
    cpu_s: float
    trials: tuple[Decided, ...]
    #: CPU seconds inside fits of trials that were not decided in time, by the share of those that were.
    partial_cpu_s: float = 0.0
    #: Share of all cores' seconds that a hypervisor gave to others meanwhile.
    stolen: float = 0.0

    def count(self, state: str) -> int:
        """Trials that ended in this state."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def fit_s(self) -> float:
        """Seconds inside fits."""
        return sum(trial.fit_seconds for trial in self.trials)

    @property
    def fit_cpu_s(self) -> float:
        """CPU seconds inside fits, those of trials that were cut off at the end included."""
        return sum(trial.fit_cpu_seconds for trial in self.trials) + self.partial_cpu_s

    @property
    def warm_up_s(self) -> float:
        """Seconds from the command to the first fit: libraries, the table, and for us its encoding."""
        return min((trial.at - trial.fit_seconds for trial in self.trials), default=0.0)

    @property
    def per_hour(self) -> float:
        """Trials that were decided in time, by the hour from the command on."""
        return 3600 * len(self.trials) / self.wall_s

    def best(self, maximize: bool) -> float | None:
        """Best score of a complete trial."""
        scores = [trial.score for trial in self.trials if trial.state == "complete"]
        return (max(scores) if maximize else min(scores)) if scores else None

    def reached(self, score: float, maximize: bool) -> float | None:
        """Seconds after which a complete trial was at least as good as this; ``None`` for never."""
        return min((trial.at for trial in self.trials if trial.state == "complete"
                    and (trial.score >= score if maximize else trial.score <= score)), default=None)


def encoded(name: str, dataset: Dataset, folder: Path, environment: dict[str, str], seed: int = 1) -> Task:
    """The table encoded by a first short run of ours, which also warms the disk; its trials count for nobody.

    Folds follow the seed, so that each round has a table of its own.
    """
    study = folder / f"{name}-{seed}-encoded.toml"
    study.write_text(f'trials = 1\nseed = {seed}\nfolds = 5\nfamilies = ["lightgbm"]\n[[datasets]]\nname = "{name}"\n'
                     f'train = "{dataset.train}"\ntarget = "{dataset.target}"\nmetric = "{dataset.metric}"\n'
                     "[family.lightgbm.space]\niterations = 5\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], cwd=folder, check=True,
                   env=with_environment(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    (table,) = (study.with_suffix("") / "data").glob("*/meta.json")
    return Task(dataset=name, train=dataset.train, target=dataset.target, metric=dataset.metric, families=FAMILIES,
                seed=seed, table=table.parent)


def recorded(task: Task, points: int) -> Task:
    """The task with a list of points, drawn at random from each family's space."""
    summary = Table.open(task.table).meta.summary(task.metric)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lists, spaces = {}, {}
    for family in task.families:
        space = load_family(family).describe(summary).space
        if task.iterations is not None:
            space = space.narrowed(family, {"iterations": task.iterations})
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=task.seed))
        lists[family] = [suggest(study.ask(), space) for _ in range(points)]
        spaces[family] = space.hash()
    return replace(task, points=lists, spaces=spaces)


def ours(task: Task, folder: Path, environment: dict[str, str], *, resources: str = "", pruner: str = "",
         sampler: str = "", name: str = "ours") -> Showing:
    """``optimizer run``, from an empty folder: it reads and encodes the table itself.

    Args:
        resources: lines for the study file's table of that name.
        pruner: another one than the usual, as for ``sampler``.
    """
    study = folder / "ours.toml"
    budget = f"trials = {sum(map(len, task.points.values()))}" if task.points else 'time_per_dataset = "10h"'
    lines = [f'deadline = "{task.seconds:.0f}s"' if task.seconds else "", budget,
             f"seed = {task.seed}", "folds = 5", f"families = {json.dumps(list(task.families))}"]
    # What an earlier round has measured of the machine is not known to this one.
    extra = {**environment, "XDG_CACHE_HOME": str(folder / "cache")}
    if task.points:
        lines += ['sampler = "recorded"', 'pruner = "none"']
        points = folder / "points.json"
        points.write_text(json.dumps({task.spaces[f]: list(p) for f, p in task.points.items()}), encoding="utf-8")
        extra["OPTIMIZER_RECORDED_POINTS"] = str(points)
    lines += [f'{key} = "{value}"' for key, value in (("pruner", pruner), ("sampler", sampler)) if value]
    lines += ["[resources]", resources, "[[datasets]]", f'name = "{task.dataset}"',
              f'train = "{task.train}"', f'target = "{task.target}"',
              f'metric = "{task.metric}"']
    if task.iterations is not None:
        lines += [f"[family.{family}.space]\niterations = {task.iterations}" for family in task.families]
    study.write_text("\n".join(lines) + "\n", encoding="utf-8")
    begun = time.time()
    wall, cpu, stolen = _carried_out([[sys.executable, "-m", "optimizer", "run", str(study), "--plain"]], folder,
                                     folder / "ours.log", extra)
    journal = read_journal(study.with_suffix(""))
    told = [r for r in journal.of("trial_told") if r["state"] != "failed"]
    trials = [Decided(at=r["t"] - begun, family=r["trial"].split("/")[1], state=r["state"], score=r["score"],
                      fit_seconds=r["fit_seconds"], fit_cpu_seconds=r["fit_cpu_seconds"]) for r in told]
    return _showing(name, task, wall, cpu, trials, lost_in_fits(told, journal.of("job_lost")), stolen)


def lost_in_fits(told: Sequence[Mapping[str, Any]], lost: Sequence[Mapping[str, Any]]) -> float:
    """CPU seconds inside fits of our jobs that were cut off: of their slot-seconds the share that others had."""
    used = sum(r["seconds"] * r["slots"] for r in told)
    return sum(r["seconds"] for r in lost) * sum(r["fit_cpu_seconds"] for r in told) / used if used else 0.0


def stock_as_written(task: Task, folder: Path, environment: dict[str, str]) -> Showing:
    """One process per family, each with the threads that the libraries take by themselves: all cores."""
    return _stock("stock as written", task, folder, environment, threads=os.cpu_count() or 1, pruner="none")


def stock_by_hand(task: Task, folder: Path, environment: dict[str, str]) -> Showing:
    """One process per family with one thread each, and Optuna's median pruner."""
    return _stock("stock by hand", task, folder, environment, threads=1, pruner="none" if task.points else "median")


def _stock(name: str, task: Task, folder: Path, environment: dict[str, str], *, threads: int,
           pruner: str) -> Showing:
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    until = None if task.seconds is None else begun + task.seconds
    commands, outs = [], []
    for family in task.families:
        outs.append(folder / f"{family}.jsonl")
        settings = stock.Settings(
            table=str(task.table), metric=task.metric, family=family, threads=threads, pruner=pruner, seed=task.seed,
            database=str(folder / f"{family}.db"), out=str(outs[-1]), until=until,
            points=tuple(task.points.get(family, ())))
        commands.append([sys.executable, "-m", "benchmarks.stock", msgspec.json.encode(settings).decode()])
    own = {**environment, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))}
    wall, cpu, stolen = _carried_out(commands, Path(environment["PYTHONPATH"]), folder / "stock.log", own)
    decided = [msgspec.json.decode(line, type=stock.Trial) for out in outs if out.exists()
               for line in out.read_bytes().splitlines()]
    trials = [Decided(at=t.at - begun, family=t.family, state=t.state, score=t.score, fit_seconds=t.fit_seconds,
                      fit_cpu_seconds=t.fit_cpu_seconds) for t in decided]
    return _showing(name, task, wall, cpu, trials, _cut_off(task, trials), stolen)


def _cut_off(task: Task, trials: list[Decided]) -> float:
    """CPU seconds inside the fits of those that ran when the time was up: as busy as each family was until then."""
    partial = 0.0
    for family in task.families:
        own = [t for t in trials if t.family == family and (task.seconds is None or t.at <= task.seconds)]
        if own and task.seconds is not None:
            last = max(t.at for t in own)
            partial += (task.seconds - last) * sum(t.fit_cpu_seconds for t in own) / last
    return partial


def _showing(name: str, task: Task, wall: float, cpu: float, trials: list[Decided], partial_cpu: float,
             stolen: float) -> Showing:
    if task.seconds is not None:
        wall = min(wall, task.seconds)  # stock lets its last trial finish, which does not count
    in_time = [t for t in trials if task.seconds is None or t.at <= task.seconds]
    return Showing(contestant=name, dataset=task.dataset, seed=task.seed, wall_s=wall, cpu_s=cpu,
                   partial_cpu_s=partial_cpu, stolen=stolen, trials=tuple(sorted(in_time, key=lambda t: t.at)))


def _carried_out(commands: list[list[str]], cwd: Path, log: Path, environment: dict[str, str],
                 ) -> tuple[float, float, float]:
    """Run commands side by side to their ends.

    Returns wall seconds of all, CPU seconds of each with its descendants, and the share of all cores' seconds that was
    stolen.
    """
    watch = Stopwatch()
    with log.open("ab") as stream:
        processes = [subprocess.Popen(command, cwd=cwd, env=with_environment(environment), stdin=subprocess.DEVNULL,
                                      stdout=stream, stderr=stream) for command in commands]
    cpu, failed = 0.0, 0
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        failed = failed or process.returncode
    if failed:
        raise RuntimeError(f"a contestant ended with {failed}; see {log}")
    wall, stolen = watch.read()
    return wall, cpu, stolen
