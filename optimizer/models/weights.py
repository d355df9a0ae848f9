"""What each row of a fold weighs: the person's weights, weights for rare classes, and for the relative error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimizer.models.base import FoldData, TableSummary
from optimizer.search_space import Categorical, Parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Weights = npt.NDArray[np.float64]

#: Metrics on which weights for rare classes can help. Not accuracy, whose best decision is the likelier class,
#: and not log loss and Brier, which punish the probabilities that weights have shifted.
_HELPED = frozenset({"balanced_accuracy", "f1", "f1_macro", "mcc", "qwk", "roc_auc", "average_precision"})

#: Rarest over commonest class, below which classes count as imbalanced.
_IMBALANCED = 0.5


def parameters(summary: TableSummary) -> tuple[Parameter, ...]:
    """``class_weight`` (``none`` or ``balanced``) where classes are imbalanced and the metric can gain from it."""
    if summary.balance < _IMBALANCED and summary.metric in _HELPED:
        return (Parameter("class_weight", Categorical(("none", "balanced"))),)
    return ()


def weights_key(metric: str, params: Mapping[str, Any]) -> tuple[bool, str]:
    """What the weights of a fold depend on besides its rows: belongs into the key of anything cached with them."""
    return metric == "mape", params.get("class_weight", "none")


def fold_weights(data: FoldData, metric: str, params: Mapping[str, Any]) -> tuple[Weights | None, Weights | None]:
    """Weights of the training and the validation rows; ``None`` where every row weighs the same.

    The person's weights, times the class weights, times 1 / \\|y\\| for the relative error MAPE. The validation
    rows get the factors of the training rows, so that early stopping judges the loss that the fit minimises.
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


def _times(weights: Weights | None, factors: Weights) -> Weights:
    return factors if weights is None else weights * factors
