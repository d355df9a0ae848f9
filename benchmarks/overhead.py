"""What the scheduler itself costs: jobs that do nothing, and jobs that sleep in place of cores that are not here.

    .venv/bin/python -m benchmarks.overhead nothing --trials 1200      # trials a second, and the like of stock Optuna
    .venv/bin/python -m benchmarks.overhead sleeping                    # how busy 64 slots of 1 s and 8 of 100 ms are
    .venv/bin/python -m benchmarks.overhead studies                     # fifty datasets and ten families: 500 studies

Everything is real but the fit: worker processes, folds, predictions on disk, journal, recorder and sampler. The family
of these jobs has ten parameters and predicts a constant; it and a machine of many cores exist in the frozen copy of the
package only. Rates are those of the journal, between one told trial and another, and over the whole run until
``optuna.db`` held every trial.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.place import frozen_package, markdown, with_environment, working_folder, write_json
from benchmarks.soak import measure, name_of
from optimizer.process import process_stat
from tests.chaos.evidence import children_of, processes, read_journal, scheduler_of

FAMILY = '''"""Sleeps, and predicts a constant: for benchmarks."""

import os
import time

from optimizer.models.base import TASKS, SpaceDescription
from optimizer.search_space import Float, Parameter, SearchSpace


class Model:
    best_iteration = None
    device = "cpu"

    def __init__(self, value):
        self.value = value

    def predict(self, x):
        import numpy as np

        return np.full(len(x), self.value)

    def save(self, path):
        path.write_text(repr(self.value))


class Sleeper:
    name, library, runtime, devices, gpu_api = "NAME", "numpy", "none", ("cpu",), ""
    module, default_device, suffix, tasks, weighs, listens = "numpy", "cpu", ".txt", TASKS, True, False

    def describe(self, summary):
        names = [f"x{i}" for i in range(10)]
        return SpaceDescription(space=SearchSpace(tuple(Parameter(n, Float(0.0, 1.0)) for n in names)),
                                starts=(dict.fromkeys(names, 0.5),))

    def fit(self, data, params, context):
        seconds = float(os.environ["OPTIMIZER_SLEEP_S"])
        if seconds:
            time.sleep(seconds)
        return Model(float(sum((value - 0.3) ** 2 for value in params.values())))

    def load(self, path, task, n_classes, threads, cardinalities):
        return Model(float(path.read_text()))


FAMILY = Sleeper()
'''
#: Seconds between two looks at its processes.
LOOK_S = 5.0
#: Trials over which a rate is taken.
WINDOW = 100
#: Of the run with many studies.
MANY_DATASETS, MANY_FAMILIES = 50, 10


def machine_of_many(code: Path) -> None:
    """In the frozen copy alone: as many cores as the environment says, and nobody is pinned to one."""
    for name, found, instead in (
        ("resources.py", "cores = sorted(os.sched_getaffinity(0))",
         'cores = list(range(int(os.environ["OPTIMIZER_CORES"])))'),
        ("worker.py", "os.sched_setaffinity(0, settings.reach)", "pass"),
        ("worker.py", "os.sched_setaffinity(int(thread), cores)", "pass"),
    ):
        path = code / "optimizer" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(found) == 1, f"{name} has changed: {found}"
        path.write_text(text.replace(found, instead), encoding="utf-8")


def write_study(folder: Path, *, trials: int, folds: int, sampler: str, name: str, families: int = 1,
                datasets: int = 1) -> Path:
    """A study of the sleeping families on tables of 60 rows."""
    tables = ""
    for number in range(datasets):
        chance = np.random.default_rng(number)
        rows = "\n".join(",".join(f"{value:.4f}" for value in row) for row in chance.normal(size=(60, 4)))
        (folder / f"table{number}.csv").write_text(f"a,b,c,y\n{rows}\n", encoding="utf-8")
        tables += f'[[datasets]]\ntrain = "table{number}.csv"\ntarget = "y"\nmetric = "rmse"\n'
    study = folder / f"{name}.toml"
    study.write_text(f'trials = {trials}\nfolds = {folds}\nseed = 1\nsampler = "{sampler}"\npruner = "none"\n'
                     f"families = {[f'sleeper{number}' for number in range(families)]}\n{tables}"
                     # Sleeping is no faster on two cores: nothing is to be measured in passing.
                     "[resources]\nthreads_per_slot = 1\n",
                     encoding="utf-8")
    return study


def run(study: Path, environment: dict[str, str], *, cores: int, sleep_s: float) -> dict[str, Any]:
    """Carry a study out; what its journal and its processes say."""
    own = {**environment, "OPTIMIZER_CORES": str(cores), "OPTIMIZER_SLEEP_S": str(sleep_s)}
    begun = time.monotonic()
    seen: dict[str, float] = {}
    memory: list[tuple[int, float]] = []
    with study.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "optimizer", "run", str(study), "--plain"],
                                   env=with_environment(own), cwd=study.parent, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)
        while process.poll() is None:
            time.sleep(LOOK_S)
            look(study.with_suffix(""), seen, memory)
    if process.returncode:
        raise RuntimeError(f"it ended with {process.returncode}; see {study.with_suffix('.log')}")
    journal = read_journal(study.with_suffix(""))
    told = [r["t"] for r in journal.of("trial_told")]
    gaps = [1000 * r["gap_s"] for r in journal.of("job_started") if r["gap_s"] is not None]
    return {"told": told, "gaps_ms": gaps, "records": journal.of("trial_told"), "cpu_s": seen, "memory": memory,
            "wall_s": time.monotonic() - begun}


def look(folder: Path, seen: dict[str, float], memory: list[tuple[int, float]]) -> None:
    """CPU seconds of each process of the run so far, and the scheduler's memory by the number of told trials."""
    scheduler = scheduler_of(folder)
    if scheduler is None:
        return
    everyone = processes()
    for one in [*(p for p in everyone if p.pid == scheduler), *children_of(scheduler, everyone)]:
        stat = process_stat(one.pid)
        if stat is not None:
            seen["scheduler" if one.pid == scheduler else name_of(one)] = stat.own_ticks / os.sysconf("SC_CLK_TCK")
    held = measure(scheduler)
    with contextlib.suppress(OSError, ValueError, KeyError):  # the run has just begun, or ended
        families = json.loads((folder / "status.json").read_bytes())["families"]
        if held is not None:
            memory.append((sum(family["complete"] for family in families), held["pss_mb"]))


def rate_at(told: list[float], number: int) -> float | None:
    """Trials a second over a window that ends with this one."""
    if len(told) < number or number <= WINDOW:
        return None
    return WINDOW / (told[number - 1] - told[number - 1 - WINDOW])


STOCK = '''
import sys, time
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
sampler = optuna.samplers.TPESampler(seed=int(sys.argv[2]))
study = optuna.load_study(study_name="s", storage=sys.argv[1], sampler=sampler)
def objective(trial):
    value = sum((trial.suggest_float(f"x{i}", 0, 1) - 0.3) ** 2 for i in range(10))
    for step in range(5):
        trial.report(value, step)
    return value
study.optimize(objective, n_trials=int(sys.argv[3]))
'''


def stock_rate(folder: Path, before: int) -> float:
    """Trials a second of two processes on one file that holds so many already; by the trials' own times."""
    url = f"sqlite:///{folder / f'stock-{before}.db'}"
    study = optuna.create_study(study_name="s", storage=url)
    chance = np.random.default_rng(before)
    spaces = {f"x{i}": optuna.distributions.FloatDistribution(0, 1) for i in range(10)}
    points = chance.uniform(size=(before, 10))
    study.add_trials([
        optuna.create_trial(params={f"x{i}": float(x) for i, x in enumerate(point)}, distributions=spaces,
                            value=float(((point - 0.3) ** 2).sum()),
                            intermediate_values=dict.fromkeys(range(5), float(((point - 0.3) ** 2).sum())))
        for point in points])
    runs = [subprocess.Popen([sys.executable, "-c", STOCK, url, str(seed), str(WINDOW // 2)]) for seed in (1, 2)]
    codes = [process.wait() for process in runs]
    if any(codes):
        raise RuntimeError("stock Optuna failed")
    new = sorted(t.datetime_complete for t in study.get_trials(deepcopy=False)[before:] if t.datetime_complete)
    return (len(new) - 1) / (new[-1] - new[0]).total_seconds()


def gaps_of(gaps_ms: list[float]) -> tuple[str, str]:
    """Median and 99th percentile."""
    return f"{statistics.median(gaps_ms):.2f}", f"{sorted(gaps_ms)[len(gaps_ms) * 99 // 100]:.1f}"


def nothing(folder: Path, environment: dict[str, str], trials: int, *, stock: bool) -> str:
    """Part one: no-op jobs."""
    result = run(write_study(folder, trials=trials, folds=5, sampler="tpe", name="nothing"), environment, cores=2,
                 sleep_s=0.0)
    rows: list[tuple[object, ...]] = []
    for number in (n for n in (200, 1000, 5000, 10000) if n <= trials):
        ours = rate_at(result["told"], number)
        theirs = stock_rate(folder, number - WINDOW) if stock else None
        rows.append((number, f"{ours:.1f}" if ours else "", f"{theirs:.1f}" if theirs else "",
                     f"{ours / theirs:.1f}" if ours and theirs else ""))
    gaps = result["gaps_ms"]
    text = markdown(("trials so far", "ours, trials/s", "stock, trials/s", "ratio"), rows)
    text += f"\n\n{len(result['told']) / result['wall_s']:.1f} trials/s over the whole run, start and drained database."
    text += f"\n\nGap between two jobs: {gaps_of(gaps)[0]} ms, p99 {gaps_of(gaps)[1]} ms."
    used = ", ".join(f"{name} {value:.1f}" for name, value in sorted(result["cpu_s"].items()))
    text += f"\n\nCPU seconds: {used}."
    memory = [(told, mb) for told, mb in result["memory"] if told]
    if memory:
        (first, at_first), (last, at_last) = memory[0], memory[-1]
        text += f"\n\nThe scheduler held {at_first:.0f} MB at {first} trials, {at_last:.0f} MB at {last}."
    write_json(folder / "nothing.json", {k: v for k, v in result.items() if k != "records"})
    return text


def sleeping(folder: Path, environment: dict[str, str], seconds: float) -> str:
    """Part two: how much of the slots' time is spent in jobs, warm-up apart."""
    rows: list[tuple[object, ...]] = []
    for slots, job_s in ((64, 1.0), (8, 0.1)):
        for sampler in ("random", "tpe"):
            trials = int(slots / job_s * seconds)
            study = write_study(folder, trials=trials, folds=2, sampler=sampler, name=f"sleeping-{slots}-{sampler}")
            result = run(study, environment, cores=slots, sleep_s=job_s / 2)
            told, ends = result["told"], result["records"]
            # From when every slot has ended a job to when the first finds none.
            warm = max({r["slot"]: r["at"] for r in reversed(ends)}.values())
            middle = [r for r in ends if warm <= r["at"] <= told[-1] - 2 * job_s]
            span = middle[-1]["at"] - middle[0]["at"]
            # What was asked for, not what it took: waiting for a core is not work.
            busy = len(middle[1:]) * job_s / (slots * span)
            rows.append((slots, job_s, sampler, len(middle), f"{100 * busy:.1f}", *gaps_of(result["gaps_ms"]),
                         f"{100 * result['cpu_s'].get('scheduler', 0.0) / result['wall_s']:.1f}"))
    return markdown(("slots", "job s", "sampler", "trials", "busy %", "gap ms, median", "gap ms, p99",
                     "scheduler, % of a core"), rows)


def studies(folder: Path, environment: dict[str, str]) -> str:
    """Part three: many studies in one run, each with few trials."""
    study = write_study(folder, trials=2 * MANY_FAMILIES, folds=2, sampler="tpe", name="studies",
                        families=MANY_FAMILIES, datasets=MANY_DATASETS)
    result = run(study, environment, cores=2, sleep_s=0.0)
    journal = read_journal(study.with_suffix(""))
    begun = journal.of("run_started")[0]["t"]
    begins: dict[str, float] = {}
    for record in journal.of("job_started"):
        begins.setdefault(record["trial"].rpartition("/")[0], record["t"] - begun)
    ready = [r["t"] - begun for r in journal.of("dataset_ready")]
    told = [t - begun for t in result["told"]]
    rows = [(len(begins), len(told), f"{min(begins.values()):.1f}", f"{max(ready):.1f}", f"{max(begins.values()):.1f}",
             f"{told[-1]:.1f}", f"{len(told) / told[-1]:.1f}", f"{result['cpu_s'].get('scheduler', 0.0):.1f}",
             f"{max((mb for _, mb in result['memory']), default=0.0):.0f}",
             f"{(study.with_suffix('') / 'status.json').stat().st_size / 1024:.0f}")]
    return markdown(("studies", "trials", "first job after s", "all tables read after s", "every study begun after s",
                     "all told after s", "trials/s", "scheduler, CPU s", "scheduler, MB", "status.json, KB"), rows)


def main() -> None:
    """Measure one part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("nothing", "sleeping", "studies"))
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of sleeping jobs per slot")
    parser.add_argument("--without-stock", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "overhead")
    frozen = frozen_package(folder, {f"models/sleeper{number}.py": FAMILY.replace("NAME", f"sleeper{number}")
                                     for number in range(MANY_FAMILIES)})
    machine_of_many(Path(frozen["PYTHONPATH"]))
    print(f"{options.part}, code {frozen['CODE']}, {os.cpu_count()} cores; in {folder}", flush=True)
    text = {"nothing": lambda: nothing(folder, frozen, options.trials, stock=not options.without_stock),
            "sleeping": lambda: sleeping(folder, frozen, options.seconds),
            "studies": lambda: studies(folder, frozen)}[options.part]()
    (folder / f"{options.part}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
