"""The sampler that remembers converted values draws what Optuna's own draws."""

from __future__ import annotations

import math
import warnings
from collections import deque
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.trial import TrialState
from stubs.makers import SPACE

from optimizer.search_space import Categorical, Float, Int, Parameter, SearchSpace
from optimizer.strategies import parzen
from optimizer.strategies.base import Outlook
from optimizer.strategies.parzen import FrugalTPESampler
from optimizer.study.frozen import suggest

FLAT = SearchSpace((Parameter("x", Float(1e-3, 1.0, log=True)), Parameter("n", Int(1, 100)),
                    Parameter("c", Categorical((None, "a", 2.5)))))
TYPES: list[type[TPESampler]] = [TPESampler, FrugalTPESampler]


def drawn(kind: type[TPESampler], space: SearchSpace, **settings: Any) -> list[dict[str, Any]]:
    """Points of a search with trials of every state, some beyond a limit, some told late and one never."""
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
                ended.report(float(number % 7), 1 + number % 2)
            if number % 11 == 0:
                ended.set_constraint("memory", float(number % 3))
            study.tell(ended, float(number % 7) if state == TrialState.COMPLETE else None, state=state)
    return points


def rounded(point: dict[str, Any]) -> dict[str, Any]:
    """Without the last digits, which SciPy's normal distribution has otherwise."""
    return {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in point.items()}


@pytest.mark.parametrize(("space", "settings"), [
    (FLAT, {"multivariate": True}), (FLAT, {"multivariate": False}), (SPACE, {"multivariate": True, "group": True}),
], ids=["together", "one by one", "in groups"])
def test_it_draws_the_very_points_of_optunas_own(space: SearchSpace, settings: dict[str, Any]) -> None:
    theirs, ours = (drawn(kind, space, **settings) for kind in TYPES)

    assert [rounded(point) for point in ours] == [rounded(point) for point in theirs]
    assert len({str(point) for point in ours}) > 40


def test_optuna_is_left_as_it_was() -> None:
    before = dict(vars(_truncnorm))

    drawn(FrugalTPESampler, FLAT, multivariate=True)

    assert vars(_truncnorm) == before


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


@pytest.fixture
def a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model gives as many points beside its first as a tenth of the trials that it knows, ten at most."""
    monkeypatch.setattr(parzen, "STALE", 0.1)
    monkeypatch.setattr(parzen, "STALE_AT_MOST", 10)


def a_study_of(trials: int) -> tuple[optuna.Study, FrugalTPESampler, list[int]]:
    """A study with so many complete trials, and a list that grows with each model that its sampler makes."""
    sampler = FrugalTPESampler(seed=3, n_startup_trials=5, multivariate=True)
    study = optuna.create_study(sampler=sampler)
    for number in range(trials):
        ask_and_tell(study, float(number))
    made: list[int] = []
    weigh = sampler._weigh

    def counted(samples: Any, *models: Any) -> Any:
        made.append(len(samples))
        return weigh(samples, *models)

    sampler._weigh = counted  # type: ignore[method-assign]
    return study, sampler, made


def ask_and_tell(study: optuna.Study, score: float) -> None:
    trial = study.ask()
    suggest(trial, FLAT)
    study.tell(trial, score)


@pytest.mark.usefixtures("a_tenth")
def test_points_that_are_wanted_at_once_come_of_one_model() -> None:
    study, sampler, made = a_study_of(100)

    points = []
    for left in range(8, 0, -1):
        sampler.outlook = Outlook(wanted=left)
        points.append(suggest(study.ask(), FLAT))

    assert len(made) == 1
    assert len({str(point) for point in points}) == 8


@pytest.mark.usefixtures("a_tenth")
def test_one_model_gives_no_more_points_than_a_share_of_what_it_knows() -> None:
    study, sampler, made = a_study_of(100)

    for left in range(64, 0, -1):
        sampler.outlook = Outlook(wanted=left)
        suggest(study.ask(), FLAT)

    assert len(made) == math.ceil(64 / 11)


@pytest.mark.usefixtures("a_tenth")
def test_points_of_a_model_that_has_grown_old_are_not_used() -> None:
    study, sampler, made = a_study_of(100)
    running = [study.ask() for _ in range(16)]
    for trial in running[:15]:
        suggest(trial, FLAT)
    made.clear()
    sampler.outlook = Outlook(wanted=8)
    suggest(running[15], FLAT)

    for trial in running:
        study.tell(trial, 1000.0)
    sampler.outlook = Outlook()
    suggest(study.ask(), FLAT)

    assert len(made) == 2


@pytest.mark.usefixtures("a_tenth")
@pytest.mark.parametrize(("trial_s", "models"), [(0.001, 2), (math.inf, 20)], ids=["short", "long"])
def test_points_of_trials_that_are_short_beside_a_model_share_one(trial_s: float, models: int) -> None:
    study, sampler, made = a_study_of(100)

    sampler.outlook = Outlook(trial_s=trial_s)
    for _ in range(20):
        ask_and_tell(study, 1000.0)

    assert len(made) == models, "ten more are a tenth of what the first one knew"


@pytest.mark.parametrize(("known", "points"), [(40, 1), (100, 3), (600, 7)])
def test_a_model_gives_some_points_and_never_many(known: int, points: int) -> None:
    study, sampler, made = a_study_of(known)

    sampler.outlook = Outlook(wanted=64)
    for _ in range(points):
        suggest(study.ask(), FLAT)
    assert len(made) == 1

    suggest(study.ask(), FLAT)
    assert len(made) == 2


def test_where_one_point_is_wanted_it_has_a_model_of_its_own() -> None:
    study, _, made = a_study_of(100)

    for _ in range(20):
        ask_and_tell(study, 1000.0)

    assert len(made) == 20
