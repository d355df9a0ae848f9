"""Optuna's TPE without the work that it does again for every point, which is most of what a point costs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma
from optuna.search_space import IntersectionSearchSpace
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.search_space.intersection import _calculate
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optimizer.strategies import mixture
from optimizer.strategies.base import Outlook

#: Points that come of one model beside its first at most, and trials that may end meanwhile: as a share of those that
#: it knows, and in any case.
STALE, STALE_AT_MOST = 0.02, 6
#: Of a trial's seconds, what making models may take; where it takes more, several points come of one.
DEAR = 0.002

#: The values of a finished trial in Optuna's inner terms; ``None`` where it lacks one of the parameters.
_Row = tuple[float, ...] | None


class FrugalTPESampler(TPESampler):
    """Optuna's sampler that looks at a finished trial once, and makes one model for points that are wanted together.

    For one study: trials are told apart by their numbers. A point with a model of its own is the very one that Optuna's
    would give, but for last digits. Of several that are wanted at once, or soon after one another since their trials
    are short, the candidates are drawn from one model and weighed in one go, each point the best of its own candidates
    as ever; they lack what each would have been told of the others, and those that are left over wait for a few trials
    to end at most.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self._group:
            self._group_decomposed_search_space = _Groups()
        else:
            self._search_space = _Together(include_pruned=True)
        #: Set before each point is asked for.
        self.outlook = Outlook()
        self._rows: dict[tuple[str, ...], dict[int, _Row]] = {}
        self._ranks: dict[int, tuple[float, ...]] = {}
        #: By parameters: how many trials had ended when their model was made, and its points that are not used yet.
        self._drawn: dict[tuple[str, ...], tuple[int, list[dict[str, Any]]]] = {}
        self._ended = 0
        #: CPU seconds of the last point that had a model made.
        self._model_s = 0.0

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Count what models do not know of."""
        super().after_trial(study, trial, state, values)
        self._ended += 1

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        names = tuple(search_space)
        made_at, points = self._drawn.get(names, (0, []))
        if not points or self._ended - made_at > self._stale_after(names):
            begun = time.thread_time()
            with mixture.faster_normal():
                points = self._of_a_model(study, trial, search_space)
            self._drawn[names] = self._ended, points
            self._model_s = time.thread_time() - begun
        return {name: search_space[name].to_external_repr(value) for name, value in points.pop().items()}

    def _of_a_model(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution],
                    ) -> list[dict[str, Any]]:
        """The point that is asked for and the next ones, each the best of its own candidates, in inner terms."""
        liars = (TrialState.RUNNING,) if self._constant_liar else ()
        trials = {one.number: one for one in study._get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, *liars), use_cache=not liars)}
        trials.pop(trial.number, None)  # it runs, too
        good, others = self._split(study, trials)
        below = self._build_parzen_estimator(study, space, good, handle_below=True)
        above = self._build_parzen_estimator(study, space, others, handle_below=False)
        soon = math.ceil(self._model_s / (DEAR * self.outlook.trial_s))
        points = min(max(self.outlook.wanted, soon), 1 + self._stale_after(tuple(space)))
        each = self._n_ei_candidates
        candidates = below.sample(self._rng.rng, points * each)
        values = self._weigh(candidates, below, above)
        return [self._compare({name: column[i:i + each] for name, column in candidates.items()}, values[i:i + each])
                for i in range(0, len(values), each)]

    def _split(self, study: Study, trials: dict[int, FrozenTrial]) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
        """The good trials and the others, among them those that run, as Optuna parts them."""
        finished = [number for number, trial in trials.items() if trial.state is not TrialState.RUNNING]
        for number in finished:
            if number not in self._ranks:
                self._ranks[number] = _rank(trials[number], study.direction)
        ranked = sorted(finished, key=self._ranks.__getitem__)
        good = set(ranked[:(self._gamma or default_gamma)(len(finished))])
        return ([trial for number, trial in trials.items() if number in good],
                [trial for number, trial in trials.items() if number not in good])

    def _stale_after(self, names: tuple[str, ...]) -> int:
        return min(int(STALE * len(self._rows.get(names, ()))), STALE_AT_MOST)

    def _weigh(self, samples: dict[str, np.ndarray], mpe_below: _ParzenEstimator, mpe_above: _ParzenEstimator,
               ) -> np.ndarray:
        """How much each candidate promises."""
        ratios: np.ndarray = mixture.log_density(mpe_below, samples) - mixture.log_density(mpe_above, samples)
        return ratios

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, np.ndarray]:
        """The trials that have all these parameters: values by parameter, in inner terms."""
        known = self._rows.setdefault(tuple(search_space), {})
        rows: list[tuple[float, ...]] = []
        for trial in trials:
            number = trial.number
            if number in known:
                row = known[number]
            else:
                row = self._row(trial, search_space, study)
                if trial.state.is_finished():
                    known[number] = row
            if row is not None:
                rows.append(row)
        columns = np.array(rows, dtype=float).reshape(-1, len(search_space)).T
        return dict(zip(search_space, np.ascontiguousarray(columns), strict=True))

    def _row(self, trial: FrozenTrial, search_space: dict[str, BaseDistribution], study: Study) -> _Row:
        params = trial.params
        if not search_space.keys() <= params.keys():
            # Of one that runs, what was drawn together is noted before it is asked for.
            params = self._get_params(trial, study)
            if not search_space.keys() <= params.keys():
                return None
        return tuple(distribution.to_internal_repr(params[name]) for name, distribution in search_space.items())


def _rank(trial: FrozenTrial, direction: StudyDirection) -> tuple[float, ...]:
    """Orders trials that are finished: those within their limits first, complete ones before pruned ones."""
    sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
    violated = sum(value for value in trial.constraints.values() if value > 0)
    if violated:
        return 2, violated
    if trial.value is not None and trial.state == TrialState.COMPLETE:
        return 0, sign * trial.value
    step, value = max(trial.intermediate_values.items(), default=(-1, 0.0))
    return 1, -step, math.inf if math.isnan(value) else sign * value


class _Together(IntersectionSearchSpace):
    """Parameters that every trial has, as Optuna finds them, but not a copy of them for every point."""

    def calculate(self, study: Study, use_cache: bool = False) -> dict[str, BaseDistribution]:
        """The parameters of this study in order, to be read only."""
        self._search_space, self._cached_trial_number = _calculate(
            study._get_trials(deepcopy=False, use_cache=use_cache), self._include_pruned, self._search_space,
            self._cached_trial_number)
        return dict(sorted((self._search_space or {}).items()))


class _Groups(_GroupDecomposedSearchSpace):
    """Parameters that exist together, as Optuna finds them: a trial that was looked at once would change nothing."""

    def __init__(self) -> None:
        super().__init__(include_pruned=True)
        self._looked_at: set[int] = set()

    def calculate(self, study: Study, use_cache: bool = False) -> _SearchSpaceGroup:
        """The groups of this study, to be read only."""
        for trial in study._get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED),
                                       use_cache=use_cache):
            if trial.number not in self._looked_at:
                self._looked_at.add(trial.number)
                self._search_space.add_distributions(trial.distributions)
        return self._search_space
