"""A told trial as a row of the page: plain values in a fixed order, so that thousands of them stay small."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from optimizer.records import TrialRecord


def _number(value: float | None) -> float | None:
    """JSON knows no infinity, and a browser would refuse the whole page for one."""
    return value if value is not None and math.isfinite(value) else None


def _seconds(value: float) -> float | None:
    found = _number(value)
    return None if found is None else round(found, 3)


def _plain(value: Any) -> Any:
    return _number(value) if isinstance(value, float) else value


#: What a row holds, in its order. Names that `optimizer.views.filters` knows mean the same here.
COLUMNS: dict[str, Callable[[TrialRecord], Any]] = {
    "trial": lambda t: t.trial,
    "dataset": lambda t: t.dataset,
    "family": lambda t: t.family,
    "state": lambda t: t.state,
    "score": lambda t: _number(t.score),
    "error": lambda t: _number(t.standard_error),
    "pooled": lambda t: _number(t.pooled_score),
    "fold_scores": lambda t: [_number(score) for score in t.fold_scores],
    "step_seconds": lambda t: [_seconds(s) for s in t.step_seconds],
    "best_iterations": lambda t: list(t.best_iterations),
    "seconds": lambda t: _seconds(t.seconds),
    "fit_seconds": lambda t: _seconds(t.fit_seconds),
    "cpu_seconds": lambda t: _seconds(t.cpu_seconds),
    "memory": lambda t: _seconds(t.peak_rss_mb),
    "private_memory": lambda t: _seconds(t.peak_private_mb),
    "max_rows": lambda t: t.max_rows,
    "slot": lambda t: t.slot,
    "slots": lambda t: t.slots,
    "device": lambda t: t.device,
    "attempt": lambda t: t.attempt,
    "seed": lambda t: t.seed,
    "look": lambda t: _number(t.look_score),
    "cut": lambda t: t.cut,
    "predictions": lambda t: t.predictions,
    "models_kept": lambda t: t.models_kept,
    "kind": lambda t: t.kind,
    "reason": lambda t: t.reason,
    "at": lambda t: _seconds(t.at),
    "params": lambda t: {name: _plain(value) for name, value in t.params.items()},
}


def row_of(record: TrialRecord) -> list[Any]:
    """The row of a trial, in the order of `COLUMNS`."""
    return [read(record) for read in COLUMNS.values()]
