"""The sampler that remembers converted values draws what Optuna's own draws."""

from __future__ import annotations

import warnings
from collections import deque
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from stubs.makers import SPACE

from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace
from optimizer.strategies.parzen import FrugalTPESampler
from optimizer.study.frozen import suggest

FLAT = SearchSpace((Parameter("x", Float(1e-3, 1.0, log=True)), Parameter("n", Int(1, 100)),
                    Parameter("c", Categorical((None, "a", 2.5)))))
TYPES: list[type[TPESampler]] = [TPESampler, FrugalTPESampler]


def drawn(kind: type[TPESampler], space: SearchSpace, **settings: Any) -> list[dict[str, Any]]:
    """Points of a search with trials of every state, some told late and one never."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=kind(seed=3, n_startup_trials=5, constant_liar=True, **settings))
    points: list[dict[str, Any]] = []
    running: deque[optuna.Trial] = deque()
    study.ask()
    for number in range(60):
        trial = study.ask()
        points.append(suggest(trial, space))
        running.append(trial)
        if len(running) > 3:
            ended = running.popleft()
            state = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)[0 if number % 5 else number % 3]
            if state == TrialState.PRUNED:
                ended.report(float(number % 7), 1)
            study.tell(ended, float(number % 7) if state == TrialState.COMPLETE else None, state=state)
    return points


@pytest.mark.parametrize(("space", "settings"), [
    (FLAT, {"multivariate": True}), (FLAT, {"multivariate": False}), (SPACE, {"multivariate": True, "group": True}),
], ids=["together", "one by one", "in groups"])
def test_it_draws_the_very_points_of_optunas_own(space: SearchSpace, settings: dict[str, Any]) -> None:
    theirs, ours = (drawn(kind, space, **settings) for kind in TYPES)

    assert ours == theirs
    assert len({str(point) for point in ours}) > 40


def test_the_values_of_a_finished_trial_are_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    converted = 0
    original = FrugalTPESampler._row

    def counted(self: FrugalTPESampler, *given: Any) -> Any:
        nonlocal converted
        converted += 1
        return original(self, *given)

    monkeypatch.setattr(FrugalTPESampler, "_row", counted)

    drawn(FrugalTPESampler, FLAT, multivariate=True)

    # Each of 60 once when it is finished, and four that run for each point asked.
    assert converted <= 60 + 4 * 60
