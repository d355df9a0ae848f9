"""Evaluates a job step by step: fit a fold, predict it, score it, report it. No processes here, and no Optuna."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optimizer.curves import WATCHED_STEPS, FitWatch, step_size, watched
from optimizer.errors import NotFiniteFault, WrongDeviceFault
from optimizer.messages import CrossValidation, Job, JobFinished, StepFinished
from optimizer.metrics import Metric, get_metric
from optimizer.models.base import Family, FitContext, FittedModel, FoldCache, FoldData
from optimizer.models.boosting import patience
from optimizer.prediction import FoldMean, on_original_scale
from optimizer.process import peak_rss_mb
from optimizer.standstill import working_time
from optimizer.store import ModelInfo, Store, from_stored, to_stored

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from optimizer.datasets.table import Table

    Floats = npt.NDArray[np.floating[Any]]
    Rows = npt.NDArray[np.intp]

#: Bytes of a table up to which the rows of its folds are kept from trial to trial; of a larger one they are taken out
#: of the mapped file each time, which all workers share.
_KEPT_BYTES = 16 * 2**20
#: Share of its fits' seconds above which predicting the test rows is for promising trials only.
_COSTLY = 0.02


def evaluate(
    job: Job, *, store: Store, family: Family, threads: Callable[[], int], opencl: tuple[int, int] | None,
    cache: FoldCache, emit: Callable[[StepFinished], None],
) -> JobFinished:
    """Cross-validate the job's point, reporting every fold; what it returns is on disk before.

    ``threads`` is asked before each fold.

    Raises:
        WrongDeviceFault: the GPU was required, and the first fit ran on the CPU.
        NotFiniteFault: a prediction or score is no number, or the metric is undefined on a fold.
        StorageFault: the table cannot be read, or the predictions not be written.
    """
    meter = _Meter()
    table = open_table(store, job.workload.table, cache)
    trial = _Trial(job.workload, table, family, threads, opencl, cache)
    if job.workload.look and trial.look_is_hopeless():
        return _finished(job, trial, meter, outcome="pruned")
    for step in range(table.meta.steps):
        seconds = trial.take(step)
        if trial.cut:
            return _finished(job, trial, meter, outcome="pruned")
        mean = statistics.fmean(trial.scores)
        emit(StepFinished(
            lease=job.lease, step=step, score=trial.scores[-1], running_mean=mean, seconds=seconds,
            threads=trial.threads_used, iterations=trial.iterations(step),
        ))
        last = step == table.meta.steps - 1
        if not last and _is_hopeless(mean, step, job.workload.limits, trial.metric):
            return _finished(job, trial, meter, outcome="pruned")
    trial.predict_test_rows()
    return _stored(job, trial, meter, store)


def open_table(store: Store, fingerprint: str, cache: FoldCache) -> Table:
    """An encoded table, mapped once and kept; raises `StorageFault` where it is missing or torn."""
    from optimizer.datasets.table import Table

    table: Table = cache.get(("table", fingerprint), lambda: Table.open(store.table_folder(fingerprint)))
    return table


def _is_hopeless(mean: float, step: int, limits: tuple[float | None, ...], metric: Metric) -> bool:
    limit = limits[step] if step < len(limits) else None
    return limit is not None and metric.is_better(limit, mean)


class _Split(NamedTuple):
    """Which rows of the table a step is fitted on and scored on."""

    train: Rows
    valid: Rows
    #: The latter themselves; ``None`` where the table is so large that they are taken out of it each time.
    x_valid: Floats | None


@dataclass
class _Share:
    """Of a trial's fits' seconds, what predicting its test rows takes; ``None`` before that was seen."""

    value: float | None = None


@dataclass
class _Trial:
    """A trial under way: the models, predictions and scores of the folds so far."""

    workload: CrossValidation
    table: Table
    family: Family
    threads: Callable[[], int]
    opencl: tuple[int, int] | None
    cache: FoldCache
    models: list[FittedModel] = field(default_factory=list)
    #: Of each fit so far, the first look's too.
    devices: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    fit_seconds: float = 0.0
    fit_cpu_seconds: float = 0.0
    #: By the latest fit.
    threads_used: int = 0
    #: Of each watched fold so far.
    curves: list[tuple[float, ...]] = field(default_factory=list)
    #: The last fit was stopped as hopeless.
    cut: bool = False
    #: Of the first, cheap fit on a part of the rows.
    look_score: float | None = None

    def __post_init__(self) -> None:
        import numpy as np

        meta = self.table.meta
        self.metric = get_metric(self.workload.metric)
        self.metric.check_task(meta.task)
        # Two datasets may share a table and differ in the metric, and so in the scale of what is cached of it; families
        # differ in the rows that they are fitted on.
        scale = "/log1p" if self.metric.log_target else ""
        part = f"/{self.workload.max_rows} rows" if self.workload.max_rows else ""
        self._rows_name = f"{self.workload.table}{scale}{part}"
        self._test = FoldMean(log_target=self.metric.log_target)
        self._predicted_steps = 0
        width = len(meta.classes) if meta.task == "multiclass" else 1
        kind = np.float64 if meta.task == "regression" else np.float32
        self.oof: Floats = np.full((meta.repeats, meta.rows, width), np.nan, kind)

    @property
    def exported_steps(self) -> tuple[int, ...]:
        """Steps whose models predict rows without a fold: all, but of time-ordered folds only the last window."""
        meta = self.table.meta
        if meta.fold_kind == "time":
            return tuple(range(meta.folds - 1, meta.steps, meta.folds))
        return tuple(range(meta.steps))

    @property
    def score(self) -> float:
        """Mean over the folds so far."""
        return statistics.fmean(self.scores)

    @property
    def device(self) -> str:
        """Where the fits ran: ``gpu`` only if all of them did."""
        return "gpu" if self.devices and all(device == "gpu" for device in self.devices) else "cpu"

    def iterations(self, step: int) -> int:
        """Iterations that a fold's fit took, about: those until its best, and those that it waited for a better one."""
        best, rate = self.models[step].best_iteration, step_size(self.workload.params)
        return 1 if best is None else max(1, best) + (patience(rate) if rate is not None else 0)

    def look_is_hopeless(self) -> bool:
        """Fit the first fold on a part of its training rows, and say whether its score is worse than the limit."""
        from optimizer.datasets.subsample import subsample

        split = self._split(0)
        # The same rows for every trial, so that looks can be compared.
        rows = subsample(self.table, 0, split.train, max(1, round(self.workload.look * len(split.train))))
        data = fold_data(self.table, 0, rows, split.valid, name=f"{self._rows_name}/look",
                         log_target=self.metric.log_target)
        model = self._fitted(0, data, None)
        _, self.look_score = self._scored(model, split, "the first look")
        limit = self.workload.look_limit
        return limit is not None and self.metric.is_better(limit, self.look_score)

    def take(self, step: int) -> float:
        """Fit one fold and, unless the fit was cut short, predict and score it; returns its seconds."""
        begun = working_time()
        split = self._split(step)
        model = self._fit(step, split)
        if not self.cut:
            self._record_fold(step, model, split)
        self.step_seconds.append(working_time() - begun)
        return self.step_seconds[-1]

    def predict_test_rows(self) -> None:
        """Predict the test rows with the models of all exported steps, or find that the score is not worth the time.

        At the end, since most trials are pruned, and nobody asks for their test rows.
        """
        if self.table.x_test is None:
            return
        begun = working_time()
        # As the family's latest trial had it: where that was far too much, this one's need not be looked at.
        share: _Share = self.cache.get(("share of test rows", self._rows_name, self.family.name), _Share)
        if share.value is not None and share.value > 2 * _COSTLY and not self._is_promising():
            return
        for step in self.exported_steps:
            self._test.add(_finite(self.models[step].predict(self.table.x_test), "test rows", "predictions"))
            self._predicted_steps += 1
            if self._predicted_steps == 1:
                seconds = (working_time() - begun) * len(self.exported_steps)
                share.value = seconds / max(self.fit_seconds, 1e-9)
                if share.value > _COSTLY and not self._is_promising():
                    return

    def _is_promising(self) -> bool:
        """Whether somebody may want to submit it: among the dataset's best, or its models are kept."""
        return self._beats(self.workload.predict_test_beyond) or self.keeps_models

    @property
    def keeps_models(self) -> bool:
        """Whether it is among the best of its family so far."""
        return self._beats(self.workload.keep_models_beyond)

    def _beats(self, score: float | None) -> bool:
        return score is None or self.metric.is_better(self.score, score)

    def test_prediction(self) -> Floats | None:
        """The stored form of the mean over the exported models; ``None`` where it was not predicted by all."""
        if self._predicted_steps < len(self.exported_steps):
            return None  # there are no test rows, or they were not worth the time
        return _finite(to_stored(self._test.result(), self.table.meta.task), "test rows", "mean predictions")

    def pooled_score(self) -> float | None:
        """Mean over repeats of the score of all out-of-fold predictions together; ``None`` where undefined."""
        import numpy as np

        scores = []
        for oof in self.oof:
            rows = np.flatnonzero(~np.isnan(oof[:, 0]))
            scores.append(self.metric.score(self.table.y[rows], from_stored(oof[rows], self.table.meta.task)))
        mean = statistics.fmean(scores)
        return mean if math.isfinite(mean) else None

    def _split(self, step: int) -> _Split:
        """The rows of this step, which are the same in every trial."""
        if self.table.x.nbytes + self.table.y.nbytes > _KEPT_BYTES:
            return _Split(*self._rows(step), x_valid=None)

        def make() -> _Split:
            train, valid = self._rows(step)
            return _Split(train, valid, x_valid=self.table.x[valid])

        split: _Split = self.cache.get(("split", self._rows_name, step), make)
        return split

    def _rows(self, step: int) -> tuple[Rows, Rows]:
        from optimizer.datasets.subsample import subsample

        train, valid = self.table.split(step)
        if self.workload.max_rows is not None:
            train = subsample(self.table, step, train, self.workload.max_rows)
        return train, valid

    def _fit(self, step: int, split: _Split) -> FittedModel:
        workload = self.workload
        data = fold_data(self.table, step, split.train, split.valid, name=self._rows_name,
                         log_target=self.metric.log_target)
        watch = None
        if workload.fit_limits is not None and step < WATCHED_STEPS:
            watch = watched(workload.params, workload.fit_limits[step] if step < len(workload.fit_limits) else ())
        model = self._fitted(step, data, watch)
        self.models.append(model)
        if watch is not None:
            self.cut = watch.cut
            self.curves.append(watch.completed_curve())
        return model

    def _fitted(self, step: int, data: FoldData, watch: FitWatch | None) -> FittedModel:
        workload = self.workload
        self.threads_used = self.threads()
        context = FitContext(
            threads=self.threads_used, device=workload.device, seed=(workload.seed + step) % 2**31,
            metric=self.metric.name, cache=self.cache, opencl=self.opencl, on_iteration=watch,
        )
        begun, cpu_begun = working_time(), time.process_time()
        model = self.family.fit(data, workload.params, context)
        self.fit_seconds += working_time() - begun
        self.fit_cpu_seconds += time.process_time() - cpu_begun
        self.devices.append(model.device)
        if workload.device == "gpu" and workload.device_required and model.device != "gpu":
            raise WrongDeviceFault(
                f"{self.family.name} was given a GPU and trained on the CPU; `optimizer doctor` says what is missing"
            )
        return model

    def _record_fold(self, step: int, model: FittedModel, split: _Split) -> None:
        stored, score = self._scored(model, split, f"fold {step}")
        self.oof[step // self.table.meta.folds, split.valid] = stored
        self.scores.append(score)

    def _scored(self, model: FittedModel, split: _Split, place: str) -> tuple[Floats, float]:
        """Predictions of the validation rows as they are stored, and their score."""
        meta, log_target = self.table.meta, self.metric.log_target
        predict = getattr(model, "predict_valid", model.predict)
        x_valid = self.table.x[split.valid] if split.x_valid is None else split.x_valid
        raw = _finite(predict(x_valid), place, "predictions")
        stored = _finite(to_stored(on_original_scale(raw, log_target=log_target), meta.task), place,
                         "predictions, as they are stored,")
        score = self.metric.score(self.table.y[split.valid], from_stored(stored, meta.task))
        if not math.isfinite(score):
            raise NotFiniteFault(
                f"{self.metric.name} is {score} on {place} with its {len(split.valid)} validation rows; "
                "fewer folds or another metric may help"
            )
        return stored, score


def fold_data(table: Table, step: int, train: Any, valid: Any, *, name: str, log_target: bool) -> FoldData:
    """One fold of a table, its target on the training scale; ``name`` is what caches know its rows by."""
    import numpy as np

    meta, weights = table.meta, table.weights
    y = np.log1p(table.y) if log_target else table.y
    return FoldData(
        key=(name, *divmod(step, meta.folds)),
        x=table.x, train=train, valid=valid,
        y_train=y[train], w_train=None if weights is None else weights[train],
        y_valid=y[valid], w_valid=None if weights is None else weights[valid],
        cardinalities=meta.cardinalities, task=meta.task, n_classes=len(meta.classes),
    )


def _finite(prediction: Floats, place: str, what: str) -> Floats:
    import numpy as np

    good = np.isfinite(prediction)
    if not good.all():
        raise NotFiniteFault(f"{place}: {int((~good).sum())} of {good.size} {what} are infinite or no numbers")
    return prediction


def _stored(job: Job, trial: _Trial, meter: _Meter, store: Store) -> JobFinished:
    """Write what is kept of a complete trial, and say so."""
    workload, meta = job.workload, trial.table.meta
    test = trial.test_prediction()
    if trial.keeps_models:
        store.write_models(job.trial, trial.models, ModelInfo(
            trial=job.trial, attempt=job.attempt, family=trial.family.name, suffix=trial.family.suffix,
            table=workload.table, metric=trial.metric.name, task=meta.task, classes=meta.classes,
            cardinalities=meta.cardinalities, log_target=trial.metric.log_target,
            exported_steps=trial.exported_steps, best_iterations=tuple(m.best_iteration for m in trial.models),
            score=trial.score, params=workload.params,
        ))
    written = store.write_predictions(job.trial, job.attempt, trial.oof, test)
    return _finished(
        job, trial, meter, outcome="complete", pooled_score=trial.pooled_score(), written=written,
        test_predicted=test is not None, models_kept=trial.keeps_models,
    )


def _finished(
    job: Job, trial: _Trial, meter: _Meter, *, outcome: str, pooled_score: float | None = None,
    written: tuple[str | None, int] = (None, 0), test_predicted: bool = False, models_kept: bool = False,
) -> JobFinished:
    scores = trial.scores
    return JobFinished(
        lease=job.lease, outcome=outcome, score=trial.score if scores else None,
        standard_error=statistics.stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else None,
        fold_scores=tuple(scores), pooled_score=pooled_score,
        best_iterations=tuple(m.best_iteration for m in trial.models), step_seconds=tuple(trial.step_seconds),
        seconds=meter.seconds(), fit_seconds=trial.fit_seconds, cpu_seconds=meter.cpu_seconds(),
        fit_cpu_seconds=trial.fit_cpu_seconds,
        peak_rss_mb=meter.peak_rss_mb(), device=trial.device, predictions_sha256=written[0],
        predictions_bytes=written[1], test_predicted=test_predicted, models_kept=models_kept, cut=trial.cut,
        # Of a pruned trial nobody learns how its fits would have ended.
        curves=tuple(trial.curves) if outcome == "complete" and all(trial.curves) else (),
        look_score=trial.look_score,
    )


class _Meter:
    """What one job costs this process: time, CPU, and the highest resident memory."""

    def __init__(self) -> None:
        self._begun = working_time()
        self._cpu_begun = time.process_time()
        # 5 sets the peak back to the present size, so that it is this job's and not the worker's.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def seconds(self) -> float:
        """Since the job's first work."""
        return working_time() - self._begun

    def cpu_seconds(self) -> float:
        """Of all threads, since the job's first work."""
        return time.process_time() - self._cpu_begun

    def peak_rss_mb(self) -> float:
        """Of the job; of the worker's whole life where the kernel does not let it be set back."""
        return peak_rss_mb()
