"""Histogram gradient boosting as scikit-learn has it: leaf-wise trees, gaps and categories split natively."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optimizer.models import boosting
from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import EstimatorFamily, Rows, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Choice, Float, Int, Parameter

#: Values that a column may have to be split as categories; one of more is split by its codes.
_MOST_CATEGORIES = 255


class HistGradientBoosting(EstimatorFamily):
    """The family."""

    name = "hist_gradient_boosting"
    trees = True

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """Size of the steps, of the trees and of their leaves, and what holds them small."""
        largest_leaf = min(200, max(10, summary.rows // 50))
        objective = boosting.objective(summary) if summary.task == "regression" else ()
        return (
            Parameter("learning_rate", Float(0.02, 0.3, log=True)),
            Parameter("max_leaf_nodes", Int(4, min(255, max(15, summary.rows // 20)), log=True)),
            Parameter("min_samples_leaf", Int(3, largest_leaf, log=True)),
            Parameter("l2_regularization", Float(1e-3, 30.0, log=True)),
            Parameter("max_features", Float(0.3, 1.0)),
            *objective,
        )

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """The library's own, and smaller steps of smaller trees."""
        return ({"learning_rate": 0.1, "max_leaf_nodes": 15, "min_samples_leaf": 10, "l2_regularization": 0.01,
                 "max_features": 1.0},
                {"learning_rate": 0.05, "max_leaf_nodes": 8, "min_samples_leaf": 8, "l2_regularization": 1.0,
                 "max_features": 0.6, "class_weight": "balanced", "encoding": "target"})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Early stopping nearly always ends it before."""
        return {"iterations": boosting.ITERATIONS}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        rest = own(params)
        shared = {"max_iter": rest.pop("iterations"), "early_stopping": True, "random_state": context.seed,
                  "n_iter_no_change": boosting.patience(params["learning_rate"]),
                  "categorical_features": [0 < n <= _MOST_CATEGORIES for n in rows.cardinalities]}
        if data.n_classes:
            return HistGradientBoostingClassifier(**rest, **shared)
        absolute = rest.pop("objective", "squared") == "absolute"
        return HistGradientBoostingRegressor(**rest, **shared,
                                             loss="absolute_error" if absolute else "squared_error")

    def train(self, estimator: Any, train: Rows, valid: Callable[[], Rows], params: Mapping[str, Any],
              context: FitContext) -> int | None:
        """Stop by the validation rows, and keep the trees up to the best iteration."""
        judges = valid()
        estimator.fit(train.cells, train.target, sample_weight=train.weights, X_val=judges.cells,
                      y_val=judges.target, sample_weight_val=judges.weights)
        best = max(1, int(estimator.validation_score_.argmax()))
        # The library keeps the trees that were of no more use; its own count of iterations is the length of this.
        estimator._predictors = estimator._predictors[:best]
        return best


FAMILY = HistGradientBoosting()
