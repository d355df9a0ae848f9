"""What families of boosted trees have in common: patience, and the loss a metric asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimizer.models import weights
from optimizer.models.base import FoldData, TableSummary
from optimizer.search_space import Categorical, Parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from optimizer.models.base import Floats

#: Trees (per class) that a fit may grow at most; early stopping nearly always ends it before.
ITERATIONS = 2000

#: Iterations between two looks at what training predicts of the validation rows, and between two where a new best comes
#: after an iteration that was none, as the last one often does.
LOOK_EVERY, LOOK_NEAR = 16, 3

#: Metrics that an absolute error serves better than a squared one, or may.
_ABSOLUTE = frozenset({"mae", "medae", "mape"})


class Known:
    """What training predicted of the validation rows at some of its best iterations, the last two of them.

    It knows that anyway, for their loss. So they walk only the trees between such a look and the best iteration, in
    place of all: that saves 2 to 7 % of a fold of LightGBM and 2 to 6 % of XGBoost. To look at every iteration costs
    what it saves.
    """

    def __init__(self) -> None:
        self._looks: list[tuple[int, Floats]] = []
        self._best = 0

    def is_due(self, iterations: int) -> bool:
        """Whether to look at the best model so far, which has so many iterations; asked at each that is the best."""
        after_others, self._best = iterations > self._best + 1, iterations
        since = iterations - (self._looks[-1][0] if self._looks else 0)
        return since >= (LOOK_NEAR if after_others else LOOK_EVERY)

    def add(self, iterations: int, predicted: Floats) -> None:
        """Keep what a model of so many iterations predicts, on whatever scale its library adds trees up."""
        self._looks = [*self._looks[-1:], (iterations, predicted)]

    def until(self, iterations: int) -> tuple[int, Floats] | None:
        """The latest look at so many iterations at most; ``None`` without one."""
        return next((look for look in reversed(self._looks) if look[0] <= iterations), None)


def patience(learning_rate: float) -> int:
    """Iterations without a better validation loss after which a fit ends: the smaller the steps, the more.

    3 / learning rate, within 20 to 150: 30 at 0.1, and 150 at 0.02.
    """
    return min(150, max(20, round(3 / learning_rate)))


def small_steps(summary: TableSummary) -> float:
    """A small learning rate to start with: 0.04, or 0.07 where each iteration grows a tree for every class."""
    return 0.04 if summary.classes <= 2 else 0.07


def deep(summary: TableSummary, rows_of_leaf: int) -> int:
    """Depth at which the leaves of a full tree would hold so many rows each: the more rows, the deeper it may be."""
    return round(math.log2(max(summary.rows / rows_of_leaf, 1.0)))


def row_weight(classes: int, times: float = 1.0) -> float:
    """What a row of so many even classes weighs in a leaf beside one of two; 1 where it would weigh more.

    Losses of classes have p (1 - p) as second derivative, (K - 1) / K^2 of K classes and a quarter of two, and leaves
    sum it up. So what is held against that sum, as penalties of leaves and their least weight are, is made smaller by
    as much where there are many classes; what that gains is in ``docs/why/search.md``.

    Args:
        times: by what the library multiplies that derivative: 2 in XGBoost, 1 in CatBoost.
    """
    return min(1.0, times * 4 * (classes - 1) / classes**2) if classes > 2 else 1.0


def table_parameters(summary: TableSummary) -> tuple[Parameter, ...]:
    """The choices that depend on task, metric and classes and not on the library.

    ``class_weight`` (``none`` or ``balanced``) where classes are imbalanced and the metric can gain from it;
    ``objective`` (``absolute`` or ``squared``) where the metric is an absolute error.
    """
    return objective(summary) + weights.parameters(summary)


def objective(summary: TableSummary) -> tuple[Parameter, ...]:
    """``objective`` (``absolute`` or ``squared``) where the metric is an absolute error."""
    return (Parameter("objective", Categorical(("absolute", "squared"))),) if summary.metric in _ABSOLUTE else ()


def table_start(summary: TableSummary, *, balanced: bool = False) -> dict[str, Any]:
    """Values of `table_parameters` for a start: an absolute objective, and class weights if ``balanced``."""
    values = {"objective": "absolute", "class_weight": "balanced" if balanced else "none"}
    return {p.name: values[p.name] for p in table_parameters(summary)}


def is_absolute(params: Mapping[str, Any]) -> bool:
    """Whether a regression minimises the absolute error rather than the squared one."""
    return params.get("objective") == "absolute"


def stops_on_absolute(metric: str) -> bool:
    """Whether a regression is stopped by its absolute error, whichever error its trees minimise."""
    return metric in _ABSOLUTE


def target_scale(data: FoldData, params: Mapping[str, Any]) -> float:
    """Size of the gradients of the first tree: the target's standard deviation for a squared error, else 1.

    Penalties are measured in it, so that one search space fits house prices and growth rates alike.
    """
    import numpy as np

    if data.n_classes or is_absolute(params):
        return 1.0
    return float(np.std(data.y_train)) or 1.0


def probabilities(positive: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """(rows, 2) of the probability of the last of two classes."""
    import numpy as np

    p = positive.astype(np.float64)
    return np.column_stack([1.0 - p, p])
