"""Values made up for the tests: each maker gives a plain one, and takes the fields that a test is about."""

from __future__ import annotations

from typing import Any

from optimizer.datasets.problem import Prepared
from optimizer.gpus import Gpu
from optimizer.messages import CrossValidation, Job, JobFinished
from optimizer.models.base import TableSummary
from optimizer.records import TrialRecord
from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace, When

#: Three kinds of parameter, one of them conditional.
SPACE = SearchSpace(
    (
        Parameter("rate", Float(0.01, 1.0, log=True)),
        Parameter("depth", Int(2, 8)),
        Parameter("bootstrap", Categorical(("bayesian", "bernoulli", "no"))),
        Parameter("temperature", Float(0.0, 2.0), When("bootstrap", ("bayesian",))),
    ),
    {"iterations": 100},
)


def a_record(trial: str = "cars/tree/0", *, score: float | None = 0.5, **fields: Any) -> TrialRecord:
    """A told trial: complete on two folds unless said otherwise."""
    given: dict[str, Any] = {
        "state": "complete", "attempt": 1, "space": SPACE.hash(), "seed": 7, "metric": "accuracy", "table": "f00d",
        "params": {"rate": 0.1, "depth": 3, "bootstrap": "no", "iterations": 100}, "slot": "cpu0", "device": "cpu",
        "seconds": 2.0, "step_seconds": (1.0, 1.0), "at": 1_700_000_000.0,
        "fold_scores": () if score is None else (score, score),
    }
    return TrialRecord(trial=trial, score=score, **{**given, **fields})


def a_summary(**fields: Any) -> TableSummary:
    """What a family may know of a small binary table."""
    given = {"task": "binary", "metric": "accuracy", "rows": 100, "numeric": 3, "categorical": 0, "max_cardinality": 0,
             "missing": 0.0, "classes": 2, "balance": 1.0, "weighted": False}
    return TableSummary(**{**given, **fields})


def a_prepared(dataset: str = "cars", **fields: Any) -> Prepared:
    """A prepared dataset of two folds."""
    given: dict[str, Any] = {
        "fingerprint": "f00d", "metric": "accuracy", "direction": "maximize", "task": "binary", "target": "y",
        "classes": ("no", "yes"), "rows": 100, "test_rows": 0, "columns": 3, "folds": 2, "repeats": 1, "seed": 42,
        "weighted": False, "notices": (), "reused": False, "table_bytes": 1000, "submission_kind": None,
        "summary": a_summary(), "parts": {},
    }
    return Prepared(dataset=dataset, **{**given, **fields})


def a_job(lease: int = 1, **workload: Any) -> Job:
    """A job of the first trial."""
    given: dict[str, Any] = {"table": "f00d", "family": "xgboost", "metric": "accuracy", "params": {}, "seed": 7}
    return Job(trial="cars/xgboost/0", attempt=1, lease=lease, workload=CrossValidation(**{**given, **workload}))


def a_finish(lease: int = 1, **fields: Any) -> JobFinished:
    """How a job of two folds ended well."""
    given: dict[str, Any] = {
        "outcome": "complete", "score": 0.5, "standard_error": 0.1, "fold_scores": (0.4, 0.6), "pooled_score": 0.5,
        "best_iterations": (10, None), "step_seconds": (1.0, 1.0), "seconds": 2.0, "fit_seconds": 1.5,
        "cpu_seconds": 1.5, "peak_rss_mb": 100.0, "device": "cpu", "predictions_sha256": "ab", "predictions_bytes": 9,
        "test_predicted": True, "models_kept": False,
    }
    return JobFinished(lease=lease, **{**given, **fields})


def some_gpus(count: int) -> tuple[Gpu, ...]:
    """Cards with different UUIDs."""
    return tuple(Gpu(index=i, uuid=f"GPU-{i:08x}", name="Tensor 9000", memory_mb=1000.0) for i in range(count))
