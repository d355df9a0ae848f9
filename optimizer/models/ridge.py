"""Ridge regression: a linear model whose coefficients are held small (Hoerl & Kennard 1970)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Choice, Float, Parameter


class Ridge(EstimatorFamily):
    """The family."""

    name = "ridge"
    tasks = frozenset({"regression"})

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """``alpha`` per row, as the lasso counts it, so that it means the same of few rows and of many."""
        return (Parameter("alpha", Float(1e-8, 10.0, log=True)),)

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """A weak penalty, a strong one, and one on ranks."""
        return {"alpha": 1e-3}, {"alpha": 0.3}, {"alpha": 0.03, **OTHERWISE}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.linear_model import Ridge as Estimator

        return Estimator(**{**own(params), "alpha": params["alpha"] * len(rows.cells)})


FAMILY = Ridge()
