"""Our search spaces and records in Optuna's terms."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from optimizer.records import TrialRecord
from optimizer.search_space import Categorical, Domain, Int, SearchSpace
from optimizer.strategies.base import running_means

#: The constraint that a trial which runs out of memory violates.
MEMORY_CONSTRAINT = "memory"
#: User attribute that carries our complete record, as JSON text.
RECORD_ATTRIBUTE = "record"
#: User attribute that carries the trial's identity.
TRIAL_ATTRIBUTE = "trial"

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class StudyKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial's Optuna study is called and how it is made."""

    dataset: str
    family: str
    direction: Literal["maximize", "minimize"]
    space: SearchSpace


def distribution(domain: Domain) -> BaseDistribution:
    """The Optuna distribution of a domain."""
    if isinstance(domain, Categorical):
        return CategoricalDistribution(domain.choices)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """Ask the trial for each parameter that exists, in order."""
    point: dict[str, Any] = {}
    for parameter in space.parameters:
        if not space.exists(parameter, point):
            continue
        domain = parameter.domain
        if isinstance(domain, Categorical):
            point[parameter.name] = trial.suggest_categorical(parameter.name, domain.choices)
        elif isinstance(domain, Int):
            point[parameter.name] = trial.suggest_int(parameter.name, domain.low, domain.high, log=domain.log)
        else:
            point[parameter.name] = trial.suggest_float(parameter.name, domain.low, domain.high, log=domain.log)
    return point


def distributions(space: SearchSpace, point: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """The distributions of the parameters of a point."""
    return {p.name: distribution(p.domain) for p in space.parameters if p.name in point}


def violated_mb(record: TrialRecord) -> float | None:
    """By how much a trial broke the constraint that is its memory, in MiB (all that it held); ``None`` if it did not.

    That a point does not fit says nothing of how good it would be, so it is told as a violated constraint.
    """
    if record.state == "failed" and record.kind in ("out_of_memory", "gpu_out_of_memory"):
        return max(1.0, record.peak_private_mb)
    return None


def frozen_trial(record: TrialRecord, space: SearchSpace) -> FrozenTrial:
    """A told trial as a finished Optuna trial: its running means as intermediate values, its record beside it."""
    violation = violated_mb(record)
    trial = _finished(
        record, space, state=_STATES[record.state],
        intermediate_values=dict(enumerate(running_means(record.fold_scores))),
        user_attrs={TRIAL_ATTRIBUTE: record.trial, RECORD_ATTRIBUTE: msgspec.json.encode(record).decode()},
        constraints=None if violation is None else {MEMORY_CONSTRAINT: violation},
    )
    # Optuna keeps naive local time, for people to read; budgets and durations are counted from our own records.
    trial.datetime_complete = datetime.datetime.fromtimestamp(record.at)
    trial.datetime_start = datetime.datetime.fromtimestamp(record.at - record.seconds)
    return trial


def lesson(record: TrialRecord, space: SearchSpace) -> FrozenTrial:
    """What a sampler learns of a told trial, and no more: it is kept in memory, and copied by Optuna.

    Samplers leave failed trials out. One that ran out of memory is a pruned one with a violated constraint, which they
    learn to avoid.
    """
    violation = violated_mb(record)
    if violation is not None:
        return _finished(record, space, state=TrialState.PRUNED, constraints={MEMORY_CONSTRAINT: violation})
    return _finished(record, space, state=_STATES[record.state], intermediate_values=last_report(record))


def last_report(record: TrialRecord) -> dict[int, float]:
    """How far a pruned trial came and how it stood there, by which samplers rank it; empty for any other."""
    if record.state != "pruned" or not record.fold_scores:
        return {}
    return {len(record.fold_scores) - 1: running_means(record.fold_scores)[-1]}


def _finished(record: TrialRecord, space: SearchSpace, *, state: TrialState, **fields: Any) -> FrozenTrial:
    point = space.restricted(record.params)
    value = record.score if record.state != "failed" else None
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{record.trial}: a told score is finite; found {value!r}")
    return optuna.create_trial(state=state, value=value, params=point, distributions=distributions(space, point),
                               **fields)


def record_of(trial: FrozenTrial) -> TrialRecord | None:
    """Our record in an Optuna trial, or ``None`` for a trial that is not ours."""
    text = trial.user_attrs.get(RECORD_ATTRIBUTE)
    try:
        return msgspec.json.decode(text, type=TrialRecord) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None
