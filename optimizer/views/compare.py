"""Chosen trials side by side: scores fold by fold, what they took, and where their parameters differ."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from optimizer.errors import UserError
from optimizer.records import TrialRecord
from optimizer.views import formats
from optimizer.views.formats import NOTHING


def compared(trials: Sequence[TrialRecord], *, maximize: bool) -> dict[str, Any]:
    """The trials as plain data, each with its paired difference to the first over the folds that both have.

    Folds are the same for every trial of a dataset, so that differences fold by fold say more than two scores and
    their errors. Raises `UserError` for trials of several datasets.
    """
    first = trials[0]
    others = sorted({t.dataset for t in trials} - {first.dataset})
    if others:
        raise UserError(f"{first.trial} is on {first.dataset}, and others on {', '.join(others)}; scores on different "
                        "datasets cannot be compared")
    names = list(dict.fromkeys(name for t in trials for name in t.params))
    return {
        "dataset": first.dataset, "metric": first.metric, "better": "higher" if maximize else "lower",
        "trials": [{
            "trial": t.trial, "family": t.family, "state": t.state, "score": t.score,
            "standard_error": t.standard_error, "pooled_score": t.pooled_score, "fold_scores": list(t.fold_scores),
            "seconds": t.seconds, "cpu_seconds": t.cpu_seconds, "peak_rss_mb": t.peak_rss_mb, "device": t.device,
            "best_iterations": list(t.best_iterations), "models_kept": t.models_kept, "predictions": t.predictions,
            "max_rows": t.max_rows,
            "difference": None if t is first else _difference(first, t), "params": t.params,
        } for t in trials],
        "differing": [name for name in names if len({repr(t.params.get(name)) for t in trials}) > 1],
    }


def _difference(first: TrialRecord, other: TrialRecord) -> dict[str, float | int | None] | None:
    """Mean of the folds' differences, their standard error, and how many folds there are; ``None`` without any."""
    pairs = [b - a for a, b in zip(first.fold_scores, other.fold_scores, strict=False)]
    if not pairs:
        return None
    error = statistics.stdev(pairs) / math.sqrt(len(pairs)) if len(pairs) > 1 else None
    return {"mean": statistics.fmean(pairs), "standard_error": error, "folds": len(pairs)}


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A table of text: a header of trials, and a row per figure and per parameter that differs."""
    trials = found["trials"]
    folds = max((len(t["fold_scores"]) for t in trials), default=0)

    def row(name: str, cells: Sequence[object]) -> list[str]:
        return [name, *(NOTHING if cell in (None, "") else str(cell) for cell in cells)]

    def signed(difference: dict[str, Any] | None) -> str | None:
        if difference is None:
            return None
        mean, error = difference["mean"], difference["standard_error"]
        return f"{mean:+.5g}" + ("" if error is None else f" ± {error:.2g}")

    table = [row("", [t["trial"] for t in trials]), row("state", [t["state"] for t in trials]),
             row("score", [formats.score(t["score"], t["standard_error"]) for t in trials]),
             row("pooled", [formats.score(t["pooled_score"]) for t in trials]),
             row("fold by fold, to the first", [signed(t["difference"]) for t in trials])]
    table += [row(f"fold {fold}", [formats.score(t["fold_scores"][fold]) if fold < len(t["fold_scores"]) else None
                                   for t in trials]) for fold in range(folds)]
    table += [row("seconds", [f"{t['seconds']:.1f}" for t in trials]),
              row("CPU seconds", [f"{t['cpu_seconds']:.1f}" for t in trials]),
              row("memory", [f"{t['peak_rss_mb']:,.0f} MB" for t in trials]),
              row("device", [t["device"] for t in trials]),
              *([row("fitted on at most, rows", [t["max_rows"] and f"{t['max_rows']:,}" for t in trials])]
                if any(t["max_rows"] for t in trials) else []),
              row("models kept", ["yes" if t["models_kept"] else "no" for t in trials])]
    return table + [row(name, [_param(t["params"].get(name)) for t in trials]) for name in found["differing"]]


def _param(value: object) -> str | None:
    if isinstance(value, float):
        return f"{value:.5g}"
    return None if value is None else formats.clean(value)
