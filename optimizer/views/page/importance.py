"""Which parameters matter: how much worse a forest predicts the score once a parameter's values are shuffled.

Permutation importance (Breiman 2001) of a random forest over the told trials of one dataset and family, on a third of
them that the forest did not see. It stands beside how well the forest explains those scores at all: where that is
nothing, so are the importances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimizer.records import TrialRecord

#: Trials below which nothing is said, and above which evenly spread ones stand for all.
FEWEST = 24
MOST = 900
_TREES = 80
_SHUFFLES = 8


def importance(trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """Parameters by importance, the largest first, as shares of one; ``missing`` says why where there are none.

    Args:
        trials: of one dataset and family, in the order of telling; failed ones are left out.
    """
    scored = [t for t in trials if t.state != "failed" and t.score is not None and t.fold_scores]
    if len(scored) < FEWEST:
        return {"missing": f"{len(scored)} scored trials, and {FEWEST} are needed", "trials": len(scored)}
    if len(scored) > MOST:
        scored = [scored[i * len(scored) // MOST] for i in range(MOST)]
    names, columns = _columns(scored)
    if not names:
        return {"missing": "no parameter took two values", "trials": len(scored)}
    return {"trials": len(scored), **_permuted(names, columns, [float(t.score or 0.0) for t in scored])}


def _columns(trials: Sequence[TrialRecord]) -> tuple[list[str], list[list[float]]]:
    """Parameters that vary, as numbers: choices by their rank among the words, what does not exist below all."""
    names, columns = [], []
    for name in dict.fromkeys(name for t in trials for name in t.params):
        values = [t.params.get(name) for t in trials]
        numeric = all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values)
        if numeric:
            there = [float(v) for v in values if v is not None]
            below = min(there, default=0.0) - 1.0
            column = [below if v is None else float(v) for v in values]
        else:
            words = {word: float(i) for i, word in enumerate(sorted({str(v) for v in values if v is not None}))}
            column = [-1.0 if v is None else words[str(v)] for v in values]
        if len(set(column)) > 1:
            names.append(name)
            columns.append(column)
    return names, columns


def _permuted(names: list[str], columns: list[list[float]], scores: list[float]) -> dict[str, Any]:
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import train_test_split

    x, y = np.array(columns).T, np.array(scores)
    # One hopeless trial must not be all that there is to explain.
    low, high = np.quantile(y, [0.02, 0.98])
    y = np.clip(y, low, high)
    if low == high:
        return {"missing": "every score is the same"}
    x_fit, x_held, y_fit, y_held = train_test_split(x, y, test_size=1 / 3, random_state=0)
    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=0, n_jobs=1).fit(x_fit, y_fit)
    found = permutation_importance(forest, x_held, y_held, n_repeats=_SHUFFLES, random_state=0, n_jobs=1)
    means = np.maximum(found.importances_mean, 0.0)
    total = float(means.sum())
    order = np.argsort(-means, kind="stable")
    return {
        "explained": float(forest.score(x_held, y_held)),
        "parameters": [{"name": names[i], "share": float(means[i]) / total if total else 0.0,
                        "spread": float(found.importances_std[i]) / total if total else 0.0} for i in order],
    }
