"""Small made-up tables and points that families are judged on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optimizer.models.base import FitContext, FoldCache, FoldData, TableSummary
from optimizer.search_space import Categorical, Int, SearchSpace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from optimizer.models.base import Family

    Numbers = npt.NDArray[np.floating[Any]]

#: Tasks, and the metric that a family is judged with.
METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
#: Values of what families fix, short enough for a small table.
SHORT = {"iterations": 60, "epochs": 60, "n_estimators": 40, "learners": 15}


def make_table(task: str, rows: int = 400, seed: int = 0) -> tuple[Numbers, Numbers, tuple[int, ...]]:
    """Three numeric columns (one with gaps), a constant one, and two categorical ones that matter."""
    import numpy as np

    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 3))
    small, large = rng.integers(0, 3, rows), rng.integers(0, 40, rows)
    signal = numeric[:, 0] + 0.5 * numeric[:, 1] ** 2 + (small == 1) + 0.8 * (large % 4 == 0)
    noisy = signal + 0.3 * rng.normal(size=rows)
    numeric[rng.random(rows) < 0.2, 1] = np.nan
    x = np.column_stack([numeric, np.ones(rows), small, large]).astype(np.float32)
    x[rng.random(rows) < 0.1, 4] = np.nan
    if task == "regression":
        y = noisy
    elif task == "binary":
        y = (noisy > np.quantile(noisy, 0.75)).astype(np.float64)
    else:
        y = np.digitize(noisy, np.quantile(noisy, [0.4, 0.8])).astype(np.float64)
    return x, y, (0, 0, 0, 0, 3, 40)


def _columns(x: Numbers, *chosen: int) -> Numbers:
    import numpy as np

    return np.column_stack([x[:, number] if number >= 0 else np.full(len(x), np.nan) for number in chosen])


#: Tables that are odd, made of a made-up one: the columns, and the number of categories of each.
ODD: Mapping[str, Callable[[Numbers], tuple[Numbers, tuple[int, ...]]]] = {
    "one column": lambda x: (x[:, :1], (0,)),
    "one categorical column": lambda x: (_columns(x, 5), (40,)),
    "a column without a value": lambda x: (_columns(x, 0, -1), (0, 0)),
    "more columns than rows": lambda x: (_columns(x, *(0, 1, 2) * 150), (0,) * 450),
    "a category that is always missing": lambda x: (_columns(x, 0, -1), (0, 5)),
}


def fold_of(
    x: Numbers, y: Numbers, cardinalities: tuple[int, ...], task: str, *, weights: Numbers | None = None,
    classes: int | None = None, name: str = "made-up",
) -> FoldData:
    """The first three quarters of the rows to train on, and the rest to validate."""
    cut = len(y) * 3 // 4
    return FoldData(
        key=(name, 0, 0), x=x, train=slice(cut), valid=slice(cut, None),
        y_train=y[:cut], w_train=None if weights is None else weights[:cut],
        y_valid=y[cut:], w_valid=None if weights is None else weights[cut:],
        cardinalities=cardinalities, task=task,
        n_classes=classes if classes is not None else 0 if task == "regression" else int(y.max()) + 1,
    )


def made_up_fold(task: str, **options: Any) -> FoldData:
    """A fold of `make_table`."""
    return fold_of(*make_table(task), task, **options)


def odd_fold(task: str, shape: str) -> FoldData:
    """A fold of one of the `ODD` tables, of ninety training rows."""
    import numpy as np

    x, y, _ = make_table(task, rows=120)
    odd, cardinalities = ODD[shape](x)
    return fold_of(np.ascontiguousarray(odd, np.float32), y, cardinalities, task, name=shape)


def context(
    metric: str, *, seed: int = 7, cache: FoldCache | None = None, threads: int = 1, **options: Any,
) -> FitContext:
    """How to fit: on the CPU, with a cache of its own unless one is given."""
    return FitContext(threads=threads, device="cpu", seed=seed, metric=metric, cache=cache or FoldCache(), **options)


def summary(task: str, metric: str | None = None, **changes: Any) -> TableSummary:
    """What is known of `make_table`."""
    known = {
        "task": task, "metric": metric or METRIC[task], "rows": 400, "numeric": 4, "categorical": 2,
        "max_cardinality": 40, "missing": 0.05, "classes": {"binary": 2, "multiclass": 3, "regression": 0}[task],
        "balance": 1 / 3, "weighted": False,
    }
    return TableSummary(**{**known, **changes})


def summary_of(data: FoldData) -> TableSummary:
    """What a run would know of a fold's table."""
    import numpy as np

    categories = [number for number in data.cardinalities if number]
    return summary(data.task, rows=len(data.x), numeric=len(data.cardinalities) - len(categories),
                   categorical=len(categories), max_cardinality=max(categories, default=0),
                   missing=float(np.isnan(data.x).mean()))


def start(family: Family, table: TableSummary, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A complete point, short enough for a small table; of ``changes`` those that the family has."""
    description = family.describe(table)
    first = description.starts[number % len(description.starts)] if description.starts else next(
        description.space.enumerated(1))
    point = description.space.complete(first)
    shorter = {name: steps for name, steps in SHORT.items() if name in description.space.fixed}
    return point | shorter | {name: value for name, value in changes.items() if name in point}


def shortened(space: SearchSpace, point: dict[str, Any], steps: int) -> dict[str, Any]:
    """A complete point with so many iterations, epochs or trees."""
    return {**space.complete(point), **{name: steps for name in SHORT if name in space.fixed}}


def random_point(space: SearchSpace, rng: random.Random) -> dict[str, Any]:
    """Uniform over each domain, in the logarithm where the domain says so."""
    point: dict[str, Any] = {}
    for parameter in space.parameters:
        if not space.exists(parameter, point):
            continue
        domain = parameter.domain
        if isinstance(domain, Categorical):
            point[parameter.name] = rng.choice(domain.choices)
            continue
        value = (math.exp(rng.uniform(math.log(domain.low), math.log(domain.high))) if domain.log
                 else rng.uniform(domain.low, domain.high))
        point[parameter.name] = round(value) if isinstance(domain, Int) else min(max(value, domain.low), domain.high)
    return point
