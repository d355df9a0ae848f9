"""The lasso: a linear model that leaves columns out (Tibshirani 1996)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Choice, Float, Parameter


class Lasso(EstimatorFamily):
    """The family."""

    name = "lasso"
    tasks = frozenset({"regression"})

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """``alpha``, for a target of standard deviation 1."""
        return (Parameter("alpha", Float(1e-5, 0.3, log=True)),)

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """From many columns to few."""
        return {"alpha": 1e-3}, {"alpha": 0.03}, {"alpha": 1e-3, **OTHERWISE}

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Rounds of coordinate descent; what has not come to rest by then is used as it is."""
        return {"max_iter": 1000}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.linear_model import Lasso as Estimator

        return Estimator(**own(params))


FAMILY = Lasso()
