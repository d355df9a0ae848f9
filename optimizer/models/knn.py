"""K nearest neighbours: what the most alike of the training rows say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Categorical, Choice, Int, Parameter


class KNN(EstimatorFamily):
    """The family."""

    name = "knn"
    weighs = False
    #: Each row that is predicted is compared with every row that was learned.
    most_rows = 200_000

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """How many neighbours, what each counts, and how distance is measured."""
        return (
            Parameter("n_neighbors", Int(1, max(2, min(100, summary.rows // 4)), log=True)),
            Parameter("weights", Categorical(("distance", "uniform"))),
            Parameter("p", Categorical((2, 1))),
        )

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """The library's five neighbours, and many."""
        return {"n_neighbors": 5}, {"n_neighbors": 25, "p": 1}, {"n_neighbors": 15, **OTHERWISE}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        kind = KNeighborsClassifier if data.n_classes else KNeighborsRegressor
        return kind(**{**own(params), "n_neighbors": min(params["n_neighbors"], len(rows.cells))})


FAMILY = KNN()
