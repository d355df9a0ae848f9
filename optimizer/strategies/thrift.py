"""TPE that also asks what a point costs: at the start, and where it shall, of two that promise as much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optimizer.curves import STEP_SIZE
from optimizer.strategies.parzen import FrugalTPESampler

#: Random points of which one is drawn while there is no model.
_DRAWS = 24
#: How strongly parameters are held to cost nothing more: as much as so many trials say.
_RIDGE = 1.0


class ThriftyTPESampler(FrugalTPESampler):
    """Begins where points are known soon, and weighs what a later one promises against the seconds that it takes.

    The random points at the start are drawn with a density of one over their cost, so that every region gets as much
    time, and not as many points (an initial design by cost, as in Lee et al. 2020). Later candidates are ranked by
    expected improvement per second (Snoek, Larochelle and Adams 2012), in the terms of TPE: by the density of the good
    trials over that of the others (Bergstra et al. 2011), here over a power of the cost, too.

    What a fold takes is learned from those so far: its logarithm, linear and square in each parameter, and taken
    beforehand to be inverse to the learning rate and the same whatever the others. The chance itself that a candidate
    is a good one, which that ratio gives, was tried in its place and lost: it is near one for all candidates, so that
    cost alone decided.
    """

    def __init__(self, *, thrift: float, few: float = math.inf, **settings: Any) -> None:
        """``thrift``: power of the cost; where time allows more trials than ``few``, plain TPE after the start."""
        super().__init__(**settings)
        self._thrift, self._few = thrift, few
        #: Logarithm of the seconds of a fold, by the number of its trial.
        self._costs: dict[int, float] = {}
        self._space: dict[str, BaseDistribution] = {}
        #: By parameters: at how many known costs the model was made, and the model.
        self._models: dict[tuple[str, ...], tuple[int, np.ndarray]] = {}

    def note_cost(self, number: int, seconds: float) -> None:
        """Learn what a fold of this trial took."""
        self._costs[number] = math.log(max(seconds, 1e-6))

    def _sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution],
                         ) -> dict[str, Any]:
        point: dict[str, Any] = super()._sample_relative(study, trial, search_space)
        return point or (self._drawn_early(study, trial, search_space) if search_space else {})

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        self._space = search_space
        return super()._sample(study, trial, search_space)

    def _drawn_early(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """One of some random points, the likelier the sooner it is known."""
        self._space = space
        self._get_internal_repr(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)),
                                space, study)
        samples = {name: np.asarray([
            domain.to_internal_repr(self._random_sampler.sample_independent(study, trial, name, domain))
            for _ in range(_DRAWS)]) for name, domain in space.items()}
        costs = self._expected_costs(samples)
        weights = np.exp(costs.min() - costs)
        chosen = self._rng.rng.choice(_DRAWS, p=weights / weights.sum())
        return {name: domain.to_external_repr(samples[name][chosen].item()) for name, domain in space.items()}

    def _weigh(self, samples: dict[str, np.ndarray], mpe_below: _ParzenEstimator, mpe_above: _ParzenEstimator,
               ) -> np.ndarray:
        ratios = super()._weigh(samples, mpe_below, mpe_above)
        # Both are logarithms.
        return ratios - self._thrift * self._expected_costs(samples) if self.outlook.in_time <= self._few else ratios

    def _expected_costs(self, samples: dict[str, np.ndarray]) -> np.ndarray:
        """Logarithms of seconds, up to a constant."""
        names, features = tuple(samples), self._features(samples)
        rows = [(row, self._costs[number]) for number, row in self._rows.get(names, {}).items()
                if row is not None and number in self._costs]
        made_at, weights = self._models.get(names, (0, np.zeros(features.shape[1])))
        if made_at != len(rows):
            points = np.asarray([row for row, _ in rows])
            known = {name: points[:, i] for i, name in enumerate(names)}
            known_features = self._features(known)
            left = np.asarray([cost for _, cost in rows]) - self._held_beforehand(known)
            centred = known_features - known_features.mean(axis=0)
            weights = np.linalg.solve(centred.T @ centred + _RIDGE * np.eye(centred.shape[1]),
                                      centred.T @ (left - left.mean()))
            self._models[names] = len(rows), weights
        expected: np.ndarray = self._held_beforehand(samples) + features @ weights
        return expected

    def _held_beforehand(self, columns: dict[str, np.ndarray]) -> np.ndarray | float:
        """What is expected of costs while nothing is known: half the step, twice the steps."""
        domain = self._space.get(STEP_SIZE)
        is_scale = isinstance(domain, FloatDistribution) and domain.log
        return -np.log(columns[STEP_SIZE]) if is_scale and STEP_SIZE in columns else 0.0

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
