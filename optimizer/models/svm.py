"""Support vector machines, linear or with a kernel; probabilities by Platt's sigmoid (Platt 1999), fitted crosswise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Categorical, Choice, Float, Parameter, When

#: Megabytes for rows of the kernel.
_CACHE_MB = 200


class SVM(EstimatorFamily):
    """The family."""

    name = "svm"
    #: A fit takes time by the square of the rows.
    most_rows = 30_000

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """The kernel, ``C``, ``gamma`` for one divided by the number of columns, and ``epsilon`` of a regression."""
        own = [
            Parameter("kernel", Categorical(("rbf", "linear"))),
            Parameter("C", Float(1e-2, 1e3, log=True)),
            Parameter("gamma", Float(1e-3, 30.0, log=True), When("kernel", ("rbf",))),
        ]
        if summary.task == "regression":
            own.append(Parameter("epsilon", Float(1e-3, 0.5, log=True)))
        return tuple(own)

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """The library's own, a stiffer one, and a linear one."""
        return ({"kernel": "rbf", "C": 1.0, "gamma": 1.0, "epsilon": 0.1},
                {"kernel": "rbf", "C": 10.0, "gamma": 0.1, "epsilon": 0.05, "class_weight": "balanced"},
                {"kernel": "linear", "C": 0.1, "epsilon": 0.1, **OTHERWISE})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Steps of the solver; what has not come to rest by then is used as it is."""
        return {"max_iter": 20_000}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """See `EstimatorFamily.estimator`."""
        import numpy as np
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

        rest = own(params)
        if rest.pop("kernel") == "linear":
            kind = LinearSVC if data.n_classes else LinearSVR
            machine = kind(**rest, dual="auto", random_state=context.seed)
        else:
            rest["gamma"] /= rows.cells.shape[1]
            machine = (SVC if data.n_classes else SVR)(**rest, cache_size=_CACHE_MB)
        if not data.n_classes:
            return machine
        rarest = int(np.unique(data.y_train, return_counts=True)[1].min())
        return CalibratedClassifierCV(machine, cv=max(2, min(3, rarest)), ensemble=False)


FAMILY = SVM()
