"""Boosted neural networks: see `optimizer.models.grownet` for the method and its paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optimizer.models.base import FitContext, FoldData, TableSummary
from optimizer.models.estimators import OTHERWISE, EstimatorFamily, Rows, own
from optimizer.models.preprocessing import Prepared
from optimizer.search_space import Choice, Float, Int, Parameter

if TYPE_CHECKING:
    from optimizer.models.grownet import GrowNetClassifier, GrowNetRegressor


class NeuralBoost(EstimatorFamily):
    """The family."""

    name = "neuralboost"
    listens = True

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """The size of the learners, how fast they are trained, and how much each counts at first."""
        return (
            Parameter("learning_rate", Float(0.1, 1.0, log=True)),
            Parameter("units", Int(4, 64, log=True)),
            Parameter("adam_rate", Float(1e-3, 0.03, log=True)),
            Parameter("alpha", Float(1e-5, 0.3, log=True)),
            Parameter("epochs", Int(1, 8, log=True)),
            Parameter("corrective_epochs", Int(1, 3)),
        )

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """Held small, as few rows need it; as the paper has it; and smaller learners."""
        held = {"learning_rate": 0.3, "adam_rate": 2e-3, "alpha": 0.03, "epochs": 4, "corrective_epochs": 2}
        return ({**held, "units": 12},
                {**held, "units": 16, "learning_rate": 1.0, "adam_rate": 5e-3, "alpha": 1e-3,
                 "class_weight": "balanced"},
                {**held, "units": 8, **OTHERWISE})

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """Early stopping nearly always ends it before all learners are grown."""
        return {"learners": 40, "batch_size": 256}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext,
                  ) -> GrowNetClassifier | GrowNetRegressor:
        """See `EstimatorFamily.estimator`."""
        from optimizer.models.grownet import GrowNetClassifier, GrowNetRegressor

        kind = GrowNetClassifier if data.n_classes else GrowNetRegressor
        return kind(random_state=context.seed, **own(params))

    def train(self, estimator: Any, train: Rows, valid: Callable[[], Rows], params: Mapping[str, Any],
              context: FitContext) -> int | None:
        """Learner by learner, stopped by the validation rows."""
        judges = valid()
        estimator.fit(train.cells, train.target, train.weights, on_iteration=context.on_iteration,
                      validation=(judges.cells, judges.target, judges.weights))
        best: int = estimator.n_iter_
        return best


FAMILY = NeuralBoost()
