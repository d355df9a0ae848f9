"""The leaderboard: every told trial of a run by dataset and rank, as a table or as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from optimizer.records import TrialRecord
from optimizer.views import formats
from optimizer.views.formats import NOTHING
from optimizer.views.grid import Cell, Column, Grid, clipped
from optimizer.views.results import Ranked, RunView

_COLUMNS = (
    Column(header="rank", right=True),
    Column(header="trial", elastic=True),
    Column(header="dataset", leaves=9),
    Column(header="family", leaves=8),
    Column(header="score", right=True),
    Column(header="pooled", right=True, leaves=6),
    Column(header="folds", right=True, leaves=5),
    Column(header="seconds", right=True, leaves=3),
    Column(header="state", leaves=4),
    Column(header="within 1 s.e.", leaves=2),
)


def lines(view: RunView, board: Iterable[Ranked], width: int | None = None) -> list[Text]:
    """The board as lines: a heading and a table per dataset, and what there is to say of it below.

    ``width``: of the terminal; ``None`` where the output is none, and nothing is left out or shortened.
    """
    page: list[Text] = []
    for dataset, rows in _by_dataset(board):
        info = view.datasets[dataset]
        if page:
            page.append(Text())
        near = len(view.within_one_standard_error(dataset))
        counts = view.counts(dataset)
        better = "higher" if info.direction == "maximize" else "lower"
        page.append(Text.assemble((formats.clean(dataset), "bold"), f"  {info.metric}, {better} is better"))
        page += Grid(_COLUMNS, [_row(r) for r in rows]).lines(width)
        evicted = sum(t.predictions == "evicted" for t in view.trials(dataset))
        page.append(Text(
            f"{counts['complete']:,} complete, {counts['pruned']:,} pruned, {counts['failed']:,} failed; "
            f"{near:,} within one standard error of the best"
            + (f"; predictions of {evicted:,} evicted to keep the disk limit" if evicted else "")
            + _parts(view.trials(dataset)), style="dim"))
    return page if width is None else [clipped(line, width) for line in page]


def _parts(trials: Iterable[TrialRecord]) -> str:
    """Families with trials whose fits were made on a part of the rows."""
    parts = {(t.family, t.max_rows) for t in trials if t.max_rows is not None}
    return "".join(f"; {family} fitted on at most {rows:,} rows of a fold" for family, rows in sorted(parts))


def _by_dataset(board: Iterable[Ranked]) -> list[tuple[str, list[Ranked]]]:
    found: dict[str, list[Ranked]] = {}
    for row in board:
        found.setdefault(row.record.dataset, []).append(row)
    return list(found.items())


def _row(row: Ranked) -> list[Cell]:
    t = row.record
    style = "bold green" if row.rank == 1 else "" if row.rank else "dim"
    return [
        str(row.rank or NOTHING), Text(formats.clean(t.trial), style=style), t.dataset, t.family,
        Text(formats.score(t.score, t.standard_error), style=style), formats.score(t.pooled_score),
        str(len(t.fold_scores)), f"{t.seconds:.1f}", _state(t), "yes" if row.within_one_standard_error else "",
    ]


def _state(t: TrialRecord) -> str:
    if t.predictions == "evicted":
        return f"{t.state}, evicted"
    return f"{t.state}: {t.kind or t.reason}" if t.state == "failed" else t.state


def text(view: RunView, board: Iterable[Ranked]) -> str:
    """The board for a pipe or a file: plain, whole, nothing shortened."""
    return "\n".join(line.plain.rstrip() for line in lines(view, board))


def as_data(board: Iterable[Ranked]) -> list[dict[str, Any]]:
    """The board for ``--json``: one object per trial, numbers at full precision, ``None`` where there is none."""
    return [
        {
            "rank": row.rank, "trial": t.trial, "dataset": t.dataset, "family": t.family, "state": t.state,
            "metric": t.metric, "score": t.score, "standard_error": t.standard_error, "pooled_score": t.pooled_score,
            "fold_scores": list(t.fold_scores), "folds": len(t.fold_scores), "seconds": t.seconds,
            "fit_seconds": t.fit_seconds, "peak_rss_mb": t.peak_rss_mb, "slot": t.slot, "device": t.device,
            "within_one_standard_error": row.within_one_standard_error, "test_predicted": t.test_predicted,
            "predictions": t.predictions, "models_kept": t.models_kept, "params": t.params,
            "max_rows": t.max_rows, "reason": t.reason, "at": t.at,
        }
        for row in board for t in (row.record,)
    ]
