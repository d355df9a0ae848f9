"""A multilayer perceptron: one to three layers of rectified units, trained by Adam, stopped by the validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, Rows, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Categorical, Choice, Float, Int, Parameter

#: Epochs without a better validation loss after which a fit ends.
_PATIENCE = 12
#: Smallest probability that a loss is computed of.
_SMALLEST = 1e-15


class MLP(EstimatorFamily):
    """The family."""

    name = "mlp"
    listens = True

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """The shape of the network, and how it is trained."""
        return (
            Parameter("layers", Int(1, 3)),
            Parameter("units", Int(8, 256, log=True)),
            Parameter("learning_rate_init", Float(3e-4, 0.03, log=True)),
            Parameter("alpha", Float(1e-6, 1.0, log=True)),
            Parameter("batch_size", Categorical((64, 32, 256))),
        )

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """One middling layer, and two larger ones held small."""
        return ({"layers": 1, "units": 64, "learning_rate_init": 5e-3, "alpha": 1e-3},
                {"layers": 2, "units": 96, "learning_rate_init": 2e-3, "alpha": 0.1, "class_weight": "balanced",
                 **OTHERWISE})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Passes over the rows; early stopping nearly always ends it before."""
        return {"epochs": 200}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        rest = own(params)
        del rest["epochs"]
        shape = (rest.pop("units"),) * rest.pop("layers")
        rest["batch_size"] = min(rest["batch_size"], len(rows.cells))
        return (MLPClassifier if data.n_classes else MLPRegressor)(**rest, hidden_layer_sizes=shape,
                                                                   random_state=context.seed)

    def train(self, estimator: Any, train: Rows, valid: Callable[[], Rows], params: Mapping[str, Any],
              context: FitContext) -> int | None:
        """Epoch by epoch, until the validation loss has not fallen for a while; the best epoch's weights are kept."""
        import numpy as np

        judges = valid()
        codes = hasattr(estimator, "predict_proba")
        more: dict[str, Any] = {"classes": np.unique(train.target)} if codes else {}
        lowest, best, kept = math.inf, 1, None
        for epoch in range(params["epochs"]):
            estimator.partial_fit(train.cells, train.target, sample_weight=train.weights, **more)
            more = {}
            loss = _loss(estimator, judges)
            if loss < lowest or kept is None:
                lowest, best = loss, epoch + 1
                kept = [a.copy() for a in estimator.coefs_], [a.copy() for a in estimator.intercepts_]
            told = context.on_iteration is not None and context.on_iteration(epoch, loss)
            if told or epoch + 1 - best >= _PATIENCE:
                break
        if kept is not None:
            estimator.coefs_, estimator.intercepts_ = kept
        return best


def _loss(estimator: Any, rows: Rows) -> float:
    """Weighted mean of the log loss or of the squared error; not finite where the weights have run away."""
    import numpy as np

    if not len(rows.target):
        return math.inf
    if hasattr(estimator, "predict_proba"):
        found = estimator.predict_proba(rows.cells)
        columns = np.searchsorted(estimator.classes_, rows.target)
        losses = -np.log(np.maximum(found[np.arange(len(columns)), columns], _SMALLEST))
    else:
        losses = (estimator.predict(rows.cells) - rows.target) ** 2
    return float(np.average(losses, weights=rows.weights))


FAMILY = MLP()
