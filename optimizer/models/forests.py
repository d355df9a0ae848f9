"""What random forests and extremely randomised trees have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import EstimatorFamily, EstimatorModel, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Categorical, Choice, Float, Int, Parameter


class ForestFamily(EstimatorFamily):
    """A family of averaged trees."""

    trees = True

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """Size of the leaves, share of the columns that a split may choose of, and how splits are judged."""
        own = [
            Parameter("min_samples_leaf", Int(1, max(2, min(100, summary.rows // 20)), log=True)),
            Parameter("max_features", Float(0.05, 1.0)),
        ]
        if summary.task != "regression":
            own.append(Parameter("criterion", Categorical(("gini", "entropy"))))
        return tuple(own)

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """Small leaves and some columns, and leaves of one row and most."""
        few = max(0.05, max(1, summary.numeric + summary.categorical) ** -0.5)
        return ({"min_samples_leaf": 3, "max_features": few if summary.task != "regression" else 0.4},
                {"min_samples_leaf": 1, "max_features": 0.7, "class_weight": "balanced", "encoding": "target"})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """More trees are never worse, only slower."""
        return {"n_estimators": 200}

    def kind(self, *, classifies: bool) -> Any:
        """The estimator's class."""
        raise NotImplementedError

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        kind = self.kind(classifies=bool(data.n_classes))
        return kind(**own(params), random_state=context.seed, n_jobs=context.threads)

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> EstimatorModel:
        """See `Family.fit`."""
        model = super().fit(data, params, context)
        # Threads would add the trees' votes in any order, and no sum would be the same twice.
        model.estimator.n_jobs = 1
        return model
