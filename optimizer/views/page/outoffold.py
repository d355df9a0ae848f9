"""What the out-of-fold predictions of a trial look like: curves, tables and points of a bounded number of bytes.

Every row was predicted by a model that did not see it, so that these plots are honest about new rows. Of repeated
folds the first repeat is shown; rows that were never validated (of time-ordered folds) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimizer.datasets.table import Table
from optimizer.errors import StorageFault
from optimizer.records import TrialRecord
from optimizer.store import Store, from_stored

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Ints = npt.NDArray[np.integer[Any]]

#: Points of a curve, and of a cloud of points.
CURVE_POINTS = 160
CLOUD_POINTS = 1500
#: Bins of a calibration curve and of a histogram.
CALIBRATION_BINS = 12
HISTOGRAM_BINS = 41
#: Classes that get a curve each, and rows of a confusion matrix; the others are put together.
CURVE_CLASSES = 8
MATRIX_CLASSES = 24
#: Rows that are looked at: of a larger table evenly spread ones, for a curve does not change any more.
MOST_ROWS = 400_000


def plots_of(store: Store, record: TrialRecord) -> dict[str, Any]:
    """The plots that fit the task of a trial; where there are none, ``missing`` says why in a sentence."""
    if record.state != "complete":
        return {"missing": f"a {record.state} trial has no out-of-fold predictions of every row"}
    if record.predictions != "kept":
        why = "were evicted to keep the disk limit" if record.predictions == "evicted" else "were not kept"
        return {"missing": f"its predictions {why}"}
    try:
        table = Table.open(store.table_folder(record.table))
        oof = store.read_predictions(record.trial, record.attempt).oof
    except StorageFault as fault:
        return {"missing": f"its predictions cannot be read: {fault}"}
    if oof.ndim != 3 or oof.shape[1] != len(table.y):
        return {"missing": f"its predictions are of {oof.shape}, and the table has {len(table.y)} rows"}
    return plots(table.y, oof[0], table.meta.task, table.meta.classes)


def plots(y: Floats, stored: Floats, task: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """The plots of predictions as they are stored, (rows, k), against the truth (rows,)."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(stored).all(axis=1))
    rows = len(known)
    if rows > MOST_ROWS:
        known = known[np.linspace(0, rows - 1, MOST_ROWS).astype(np.intp)]
    if not rows:
        return {"missing": "no row was validated"}
    truth = np.asarray(y[known], np.float64)
    guess = from_stored(stored[known], task)
    found: dict[str, Any] = {"task": task, "rows": rows, "shown": len(known)}
    if task == "regression":
        return {**found, **_regression(truth, guess)}
    return {**found, **_classification(truth.astype(np.int64), guess, classes)}


def _classification(truth: Ints, guess: Floats, classes: tuple[str, ...]) -> dict[str, Any]:
    import numpy as np

    if guess.shape[1] == 2:
        shown = [1]
    else:
        counts = np.bincount(truth, minlength=guess.shape[1])
        shown = sorted(np.argsort(-counts, kind="stable")[:CURVE_CLASSES].tolist())
    curves = [{"label": _label(classes, k), **_ranking_curves(truth == k, guess[:, k])}
              for k in shown if 0 < (truth == k).sum() < len(truth)]
    return {
        "curves": curves,
        "calibration": [{"label": _label(classes, k), **_calibration(truth == k, guess[:, k])} for k in shown],
        "confusion": _confusion(truth, guess.argmax(axis=1), classes),
        "positive": _label(classes, 1) if guess.shape[1] == 2 else None,
    }


def _label(classes: tuple[str, ...], code: int) -> str:
    return classes[code] if code < len(classes) else str(code)


def _ranking_curves(positive: Any, scores: Floats) -> dict[str, Any]:
    """ROC and precision-recall of one class against the others."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    false, true, _ = roc_curve(positive, scores)
    precision, recall, _ = precision_recall_curve(positive, scores)
    return {
        "roc": {"x": _thinned(false), "y": _thinned(true), "auc": float(auc(false, true))},
        "pr": {"x": _thinned(recall[::-1]), "y": _thinned(precision[::-1]),
               "ap": float(average_precision_score(positive, scores)), "share": float(positive.mean())},
    }


def _thinned(values: Floats) -> list[float]:
    """Points evenly spread over a curve, its ends among them."""
    import numpy as np

    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), CURVE_POINTS)).astype(np.intp))
    return [round(float(v), 5) for v in values[places]]


def _calibration(positive: Any, scores: Floats) -> dict[str, Any]:
    """Bins of equally many rows: mean of what was predicted, share that came true, and how many."""
    import numpy as np

    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, min(CALIBRATION_BINS, len(order))) if len(part)]
    return {
        "predicted": [round(float(scores[part].mean()), 5) for part in parts],
        "observed": [round(float(positive[part].mean()), 5) for part in parts],
        "rows": [len(part) for part in parts],
    }


def _confusion(truth: Ints, guess: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    """Counts, rows are the truth; of very many classes the commonest, and the others as one."""
    import numpy as np

    width = max(len(classes), int(truth.max()) + 1, int(guess.max()) + 1)
    labels = [_label(classes, k) for k in range(width)]
    counts = np.zeros((width, width), np.int64)
    np.add.at(counts, (truth, guess), 1)
    if width > MATRIX_CLASSES:
        kept = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:MATRIX_CLASSES - 1])
        group = np.full(width, len(kept))
        group[kept] = np.arange(len(kept))
        small = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
        np.add.at(small, (group[:, None], group[None, :]), counts)
        counts, labels = small, [*(labels[k] for k in kept), f"{width - len(kept)} others"]
    return {"labels": labels, "counts": counts.tolist()}


def _regression(truth: Floats, guess: Floats) -> dict[str, Any]:
    import numpy as np

    residual = guess - truth
    places = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), CLOUD_POINTS)).astype(np.intp))
    # The tails are what one looks at: the largest residuals are among the points however many rows there are.
    largest = np.argsort(-np.abs(residual), kind="stable")[:50]
    places = np.union1d(places, largest)
    counts, edges = np.histogram(residual, bins=HISTOGRAM_BINS)
    return {
        "points": {"truth": _digits(truth[places]), "predicted": _digits(guess[places])},
        "residuals": {"edges": _digits(edges), "counts": counts.tolist(), "mean": float(residual.mean()),
                      "spread": float(residual.std())},
    }


def _digits(values: Floats) -> list[float]:
    return [float(f"{v:.6g}") for v in values]
