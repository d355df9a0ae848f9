"""One family searched by Optuna alone, as a person writes it: one process, one study in a file, one loop.

    python -m benchmarks.stock SETTINGS

Data, folds, search space, starting seed, early stopping and the fits themselves are ours, so that what differs is who
runs them. The table is encoded already and held in memory, which is more than most scripts do. One line of JSON per
trial goes to ``out`` as soon as it is decided.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna

from optimizer.datasets.table import Table
from optimizer.evaluation import fold_data
from optimizer.metrics import get_metric
from optimizer.models import load_family
from optimizer.models.base import FitContext, FoldCache
from optimizer.prediction import on_original_scale
from optimizer.store import from_stored, to_stored
from optimizer.study.frozen import suggest


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is told."""

    #: Folder of the encoded table.
    table: str
    metric: str
    family: str
    threads: int
    #: ``none`` or ``median``: Optuna's own.
    pruner: str
    seed: int
    #: The study's database, and where results go.
    database: str
    out: str
    #: When to stop, by the clock of seconds since boot; ``None`` for when the points are used.
    until: float | None = None
    #: Points to evaluate in this order, in place of a search.
    points: tuple[dict[str, Any], ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How one trial ended."""

    #: Seconds since boot.
    at: float
    family: str
    #: ``complete`` or ``pruned``.
    state: str
    score: float
    folds: int
    fit_seconds: float
    fit_cpu_seconds: float


class Objective:
    """Five folds of one point, each reported."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        table = Table.open(Path(settings.table))
        self._table = dataclasses.replace(table, x=np.ascontiguousarray(table.x))  # in memory, not mapped
        self._metric = get_metric(settings.metric)
        self._family = load_family(settings.family)
        self.space = self._family.describe(self._table.meta.summary(settings.metric)).space
        self.fit_seconds = self.fit_cpu_seconds = 0.0
        self.scores: list[float] = []

    def __call__(self, trial: optuna.Trial) -> float:
        """The mean score over the folds."""
        point = self.space.complete(suggest(trial, self.space))
        self.scores, self.fit_seconds, self.fit_cpu_seconds = [], 0.0, 0.0
        steps = self._table.meta.steps
        for step in range(steps):
            self.scores.append(self.fold(step, point))
            mean = statistics.fmean(self.scores)
            trial.report(mean, step)
            if step < steps - 1 and trial.should_prune():
                raise optuna.TrialPruned
        return statistics.fmean(self.scores)

    def fold(self, step: int, point: dict[str, Any]) -> float:
        """Fit one fold and score it; its seconds are added to those of fits."""
        table, task, metric = self._table, self._table.meta.task, self._metric
        train, valid = table.split(step)
        data = fold_data(table, step, train, valid, name=table.meta.fingerprint, log_target=metric.log_target)
        context = FitContext(threads=self._settings.threads, device="cpu", seed=self._settings.seed + step,
                             metric=metric.name, cache=FoldCache(max_bytes=0))
        begun, cpu_begun = time.perf_counter(), time.process_time()
        model = self._family.fit(data, point, context)
        self.fit_seconds += time.perf_counter() - begun
        self.fit_cpu_seconds += time.process_time() - cpu_begun
        stored = to_stored(on_original_scale(model.predict(data.x_valid), log_target=metric.log_target), task)
        return metric.score(table.y[valid], from_stored(stored, task))


def main() -> None:
    """Search until the time is up or the points are used."""
    settings = msgspec.json.decode(sys.argv[1].encode(), type=Settings)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objective = Objective(settings)
    study = optuna.create_study(
        storage=f"sqlite:///{settings.database}", study_name=settings.family,
        direction=get_metric(settings.metric).direction,
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        pruner=optuna.pruners.MedianPruner() if settings.pruner == "median" else optuna.pruners.NopPruner())
    for point in settings.points:
        study.enqueue_trial(objective.space.restricted(point))
    with Path(settings.out).open("ab", buffering=0) as out:
        def tell(_study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            state = {"COMPLETE": "complete", "PRUNED": "pruned"}[trial.state.name]
            out.write(msgspec.json.encode(Trial(
                at=time.clock_gettime(time.CLOCK_BOOTTIME), family=settings.family, state=state,
                score=statistics.fmean(objective.scores), folds=len(objective.scores),
                fit_seconds=objective.fit_seconds, fit_cpu_seconds=objective.fit_cpu_seconds)) + b"\n")

        left = None if settings.until is None else settings.until - time.clock_gettime(time.CLOCK_BOOTTIME)
        study.optimize(objective, n_trials=len(settings.points) or None, timeout=left, callbacks=[tell])


if __name__ == "__main__":
    main()
