"""What families of boosted trees have in common: row weights, patience, and the loss a metric asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimizer.models.base import FoldData, TableSummary
from optimizer.search_space import Categorical, Parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Weights = npt.NDArray[np.float64]

#: Trees (per class) that a fit may grow at most; early stopping nearly always ends it before.
ITERATIONS = 2000

#: Metrics that an absolute error serves better than a squared one, or may.
_ABSOLUTE = frozenset({"mae", "medae", "mape"})

#: Metrics on which weights for rare classes can help. Not accuracy, whose best decision is the likelier class,
#: and not log loss and Brier, which punish the probabilities that weights have shifted.
_HELPED_BY_CLASS_WEIGHTS = frozenset({
    "balanced_accuracy", "f1", "f1_macro", "mcc", "qwk", "roc_auc", "average_precision",
})

#: Rarest over commonest class, below which classes count as imbalanced.
_IMBALANCED = 0.5


def patience(learning_rate: float) -> int:
    """Iterations without a better validation loss after which a fit ends: the smaller the steps, the more.

    3 / learning rate, within 20 to 150: 30 at 0.1, and 150 at 0.02.
    """
    return min(150, max(20, round(3 / learning_rate)))


def table_parameters(summary: TableSummary) -> tuple[Parameter, ...]:
    """The choices that depend on task, metric and classes and not on the library.

    ``class_weight`` (``none`` or ``balanced``) where classes are imbalanced and the metric can gain from it;
    ``objective`` (``absolute`` or ``squared``) where the metric is an absolute error.
    """
    parameters = []
    if summary.metric in _ABSOLUTE:
        parameters.append(Parameter("objective", Categorical(("absolute", "squared"))))
    if summary.balance < _IMBALANCED and summary.metric in _HELPED_BY_CLASS_WEIGHTS:
        parameters.append(Parameter("class_weight", Categorical(("none", "balanced"))))
    return tuple(parameters)


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


def weights_key(metric: str, params: Mapping[str, Any]) -> tuple[bool, str]:
    """What the weights of a fold depend on besides its rows: belongs into the key of anything cached with them."""
    return metric == "mape", params.get("class_weight", "none")


def fold_weights(data: FoldData, metric: str, params: Mapping[str, Any]) -> tuple[Weights | None, Weights | None]:
    """Weights of the training and the validation rows; ``None`` where every row weighs the same.

    The person's weights, times the class weights, times 1 / \\|y\\| for the relative error MAPE. The validation
    rows get the factors of the training rows, so that early stopping judges the loss that the trees minimise.
    """
    import numpy as np

    w_train = None if data.w_train is None else data.w_train.astype(np.float64)
    w_valid = None if data.w_valid is None else data.w_valid.astype(np.float64)
    relative, class_weight = weights_key(metric, params)
    if relative and data.task == "regression":
        size = np.abs(data.y_train)
        middling = float(np.median(size[size > 0])) if size.any() else 1.0
        # Values near 0 would outweigh all others: nothing counts more than a hundred times a middling row.
        w_train = _times(w_train, middling / np.maximum(size, 0.01 * middling))
        w_valid = _times(w_valid, middling / np.maximum(np.abs(data.y_valid), 0.01 * middling))
    if class_weight == "balanced" and data.n_classes:
        codes = data.y_train.astype(np.intp)
        mass = np.bincount(codes, weights=w_train, minlength=data.n_classes).astype(np.float64)
        factors = np.divide(mass.sum() / np.count_nonzero(mass), mass, out=np.ones_like(mass), where=mass > 0)
        w_train = _times(w_train, factors[codes])
        w_valid = _times(w_valid, factors[data.y_valid.astype(np.intp)])
    return w_train, w_valid


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


def _times(weights: Weights | None, factors: Weights) -> Weights:
    return factors if weights is None else weights * factors
