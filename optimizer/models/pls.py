"""Partial least squares: a few components of the columns that go with the target (Wold et al. 2001).

For classes, PLS-DA: components that go with indicators of the classes, told apart by linear discriminant analysis
(Barker & Rayens 2003), whose probabilities are proper ones where a regression on indicators gives none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Choice, Int, Parameter

if TYPE_CHECKING:
    from optimizer.models.base import Floats

#: Components that are looked at, at most.
_MOST = 30


class PLS(EstimatorFamily):
    """The family."""

    name = "pls"
    weighs = False

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """How many components."""
        columns = summary.numeric + summary.categorical * max(1, summary.max_cardinality // 2)
        most = max(2, min(_MOST, columns, summary.rows // 3))
        return (Parameter("n_components", Int(1, most)),)

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """As many components as chemists often need, few, and many."""
        return {"n_components": 7}, {"n_components": 3}, {"n_components": 12}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        import numpy as np
        from sklearn.cross_decomposition import PLSRegression
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        # There are no more of them than columns that say something.
        varied = int(np.count_nonzero(np.ptp(rows.cells, axis=0)))
        components = max(1, min(params["n_components"], varied, len(rows.cells) - 1))
        regression = PLSRegression(**{**own(params), "n_components": components}, scale=False)
        return PLSDA(regression, LinearDiscriminantAnalysis()) if data.n_classes else regression


class PLSDA:
    """Components that go with indicators of the classes, and a discriminant analysis of them."""

    def __init__(self, regression: Any, discriminant: Any) -> None:
        self.regression = regression
        self.discriminant = discriminant

    def fit(self, cells: Floats, codes: Any) -> None:
        """Fit both; ``codes`` are whole numbers, (rows,)."""
        import numpy as np

        self.classes_ = np.unique(codes)
        indicators = (codes[:, None] == self.classes_).astype(np.float64)
        self.regression.fit(cells, indicators)
        self.discriminant.fit(self.regression.transform(cells), codes)

    def predict_proba(self, cells: Floats) -> Floats:
        """(rows, classes), in the order of ``classes_``."""
        probabilities: Floats = self.discriminant.predict_proba(self.regression.transform(cells))
        return probabilities


FAMILY = PLS()
