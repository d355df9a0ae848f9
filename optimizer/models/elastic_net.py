"""The elastic net: between ridge regression and the lasso (Zou & Hastie 2005)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Choice, Float, Parameter


class ElasticNet(EstimatorFamily):
    """The family."""

    name = "elastic_net"
    tasks = frozenset({"regression"})

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """``alpha``, for a target of standard deviation 1, and the lasso's share of it."""
        return Parameter("alpha", Float(1e-5, 1.0, log=True)), Parameter("l1_ratio", Float(0.01, 0.99))

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """Half of each, and nearly ridge."""
        return ({"alpha": 1e-3, "l1_ratio": 0.5}, {"alpha": 0.03, "l1_ratio": 0.1},
                {"alpha": 1e-3, "l1_ratio": 0.5, **OTHERWISE})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Rounds of coordinate descent; what has not come to rest by then is used as it is."""
        return {"max_iter": 1000}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.linear_model import ElasticNet as Estimator

        return Estimator(**own(params))


FAMILY = ElasticNet()
