"""Logistic regression with ridge, lasso or mixed penalty; of many classes, multinomial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Categorical, Choice, Float, Parameter, When


class Logistic(EstimatorFamily):
    """The family."""

    name = "logistic"
    tasks = frozenset({"binary", "multiclass"})

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """The kind of penalty, and ``C``, the inverse of its strength, as scikit-learn counts it."""
        return (
            Parameter("penalty", Categorical(("l2", "l1", "elasticnet"))),
            Parameter("C", Float(1e-4, 1e3, log=True)),
            Parameter("l1_ratio", Float(0.05, 0.95), When("penalty", ("elasticnet",))),
        )

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """The library's own, a strong penalty, and one that leaves columns out."""
        return ({"penalty": "l2", "C": 1.0}, {"penalty": "l2", "C": 0.02, "class_weight": "balanced"},
                {"penalty": "l1", "C": 0.5, **OTHERWISE})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Passes of the solver; what has not come to rest by then is used as it is."""
        return {"max_iter": 200}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.linear_model import LogisticRegression

        rest = own(params)
        penalty = rest.pop("penalty")
        ratio = {"l2": 0.0, "l1": 1.0}.get(penalty) if penalty != "elasticnet" else rest.pop("l1_ratio")
        if ratio == 0.0:
            return LogisticRegression(**rest, l1_ratio=0.0, solver="lbfgs")
        return LogisticRegression(**rest, l1_ratio=ratio, solver="saga", tol=1e-3, random_state=context.seed)


FAMILY = Logistic()
