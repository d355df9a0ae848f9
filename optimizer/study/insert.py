"""A finished trial into Optuna's tables, in one transaction of a handful of statements.

Optuna's own way to add one asks the database for each parameter and attribute whether it is there already, some forty
statements and 30 ms for ten parameters and five folds; a trial that is added whole has nothing there yet. The rows are
the same, which a test compares, and Optuna's models name tables and columns; that part of Optuna is not public, so the
test also tells when it changes.
"""

from __future__ import annotations

import datetime
import json
from functools import cache
from typing import Any

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial

_COUNT = sqlalchemy.select(sqlalchemy.func.count()).select_from(models.TrialModel).where(
    models.TrialModel.study_id == sqlalchemy.bindparam("study"))


def insert_trial(engine: sqlalchemy.Engine, study: int, trial: FrozenTrial) -> None:
    """Add a finished trial of one objective to the study with this number; nothing of it is there if this raises.

    There must be no other writer: the trial's number is the count of those before.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be written.
    """
    with engine.begin() as connection:
        added = connection.execute(_insert(models.TrialModel), {
            "study_id": study, "number": connection.execute(_COUNT, {"study": study}).scalar_one(),
            "state": trial.state, "datetime_start": _utc(trial.datetime_start),
            "datetime_complete": _utc(trial.datetime_complete)})
        assert added.inserted_primary_key is not None  # noqa: S101 - for the type checker
        (trial_id,) = added.inserted_primary_key
        for model, rows in _rows(trial).items():
            if rows:
                connection.execute(_insert(model), [{"trial_id": trial_id, **row} for row in rows])


@cache
def _insert(model: Any) -> sqlalchemy.Insert:
    """Kept, for SQLAlchemy remembers of a statement how it is compiled."""
    return sqlalchemy.insert(model.__table__)


def _rows(trial: FrozenTrial) -> dict[Any, list[dict[str, Any]]]:
    """What belongs to a trial, by Optuna's model of its table."""
    values = [] if trial.values is None else [
        dict(zip(("value", "value_type"), models.TrialValueModel.value_to_stored_repr(value), strict=True),
             objective=objective) for objective, value in enumerate(trial.values)]
    stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    return {
        models.TrialValueModel: values,
        models.TrialParamModel: [
            {"param_name": name, "param_value": trial.distributions[name].to_internal_repr(value),
             "distribution_json": distribution_to_json(trial.distributions[name])}
            for name, value in trial.params.items()],
        models.TrialUserAttributeModel: _attributes(trial.user_attrs),
        models.TrialSystemAttributeModel: _attributes(trial.system_attrs),
        models.TrialIntermediateValueModel: [
            dict(zip(("intermediate_value", "intermediate_value_type"), stored(value), strict=True), step=step)
            for step, value in trial.intermediate_values.items()],
    }


def _attributes(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _utc(when: datetime.datetime | None) -> datetime.datetime | None:
    """Optuna keeps naive local time in its trials and naive UTC in its tables."""
    return None if when is None else when.astimezone(datetime.UTC).replace(tzinfo=None)
