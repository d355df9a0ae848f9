"""TPE that also asks what a point costs: of two that promise as much, the one that is known sooner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.study import Study
from optuna.trial import FrozenTrial

from optimizer.strategies.parzen import FrugalTPESampler

#: Trials with a known cost from which on costs are weighed.
ENOUGH = 15
#: How strongly parameters are held to cost nothing: as much as so many trials say.
_RIDGE = 1.0


class ThriftyTPESampler(FrugalTPESampler):
    """Weighs what a candidate promises against the seconds that it takes.

    Expected improvement per second (Snoek, Larochelle and Adams 2012), in the terms of TPE: candidates are ranked by
    the density of the good trials over that of the others (Bergstra et al. 2011), here over a power of the cost, too.
    What a fold takes is learned from those so far: its logarithm, linear and square in each parameter. The chance
    itself that a candidate is a good one, which that ratio gives, was tried in its place and lost: it is near one for
    all candidates, so that cost alone decided.
    """

    def __init__(self, *, thrift: float, **settings: Any) -> None:
        """``thrift``: power of the cost; 0 for plain TPE."""
        super().__init__(**settings)
        self._thrift = thrift
        #: Logarithm of the seconds of a fold, by the number of its trial.
        self._costs: dict[int, float] = {}
        self._space: dict[str, BaseDistribution] = {}
        #: By parameters: at how many known costs the model was made, and the model.
        self._models: dict[tuple[str, ...], tuple[int, np.ndarray]] = {}

    def note_cost(self, number: int, seconds: float) -> None:
        """Learn what a fold of this trial took."""
        self._costs[number] = math.log(max(seconds, 1e-6))

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        self._space = search_space
        return super()._sample(study, trial, search_space)

    def _weigh(self, samples: dict[str, np.ndarray], mpe_below: _ParzenEstimator, mpe_above: _ParzenEstimator,
               ) -> np.ndarray:
        ratios = super()._weigh(samples, mpe_below, mpe_above)
        costs = self._expected_costs(samples)
        # Both are logarithms.
        return ratios if costs is None else ratios - self._thrift * costs

    def _expected_costs(self, samples: dict[str, np.ndarray]) -> np.ndarray | None:
        """Logarithms of seconds, up to a constant; ``None`` while too little is known."""
        names = tuple(samples)
        rows = [(row, self._costs[number]) for number, row in self._rows.get(names, {}).items()
                if row is not None and number in self._costs]
        if len(rows) < ENOUGH:
            return None
        made_at, weights = self._models.get(names, (0, np.empty(0)))
        if made_at != len(rows):
            points = np.asarray([row for row, _ in rows])
            features = self._features({name: points[:, i] for i, name in enumerate(names)})
            costs = np.asarray([cost for _, cost in rows])
            centred = features - features.mean(axis=0)
            weights = np.linalg.solve(centred.T @ centred + _RIDGE * np.eye(centred.shape[1]),
                                      centred.T @ (costs - costs.mean()))
            self._models[names] = len(rows), weights
        expected: np.ndarray = self._features(samples) @ weights
        return expected

    def _features(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """Each parameter from 0 to 1 and its square; of a choice, which one it is."""
        features: list[np.ndarray] = []
        for name, values in columns.items():
            domain = self._space[name]
            if isinstance(domain, CategoricalDistribution):
                features += [(values == i).astype(float) for i in range(len(domain.choices))]
            elif isinstance(domain, FloatDistribution | IntDistribution) and domain.high > domain.low:
                low, high = float(domain.low), float(domain.high)
                scaled = (np.log(values / low) / math.log(high / low) if domain.log else (values - low) / (high - low))
                features += [scaled, scaled**2]
        return np.column_stack(features) if features else np.zeros((len(next(iter(columns.values()))), 1))
