"""Conditions on trials as a person types them, such as ``score > 0.97`` or ``max_depth <= 6``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from optimizer.errors import UserError, did_you_mean
from optimizer.records import TrialRecord

_CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.ASCII)
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}


class _HasRecord(Protocol):
    @property
    def record(self) -> TrialRecord: ...


Row = TypeVar("Row", bound=_HasRecord)

#: What a trial has besides its parameters, by the words of the board.
FIELDS: Mapping[str, Callable[[TrialRecord], Any]] = {
    "trial": lambda t: t.trial, "dataset": lambda t: t.dataset, "family": lambda t: t.family,
    "state": lambda t: t.state, "score": lambda t: t.score, "pooled": lambda t: t.pooled_score,
    "error": lambda t: t.standard_error, "folds": lambda t: len(t.fold_scores), "seconds": lambda t: t.seconds,
    "fit_seconds": lambda t: t.fit_seconds, "cpu_seconds": lambda t: t.cpu_seconds, "memory": lambda t: t.peak_rss_mb,
    "max_rows": lambda t: t.max_rows, "slot": lambda t: t.slot, "device": lambda t: t.device,
    "reason": lambda t: t.reason, "at": lambda t: t.at,
}


def value_of(record: TrialRecord, name: str) -> Any:
    """A field or a parameter of a trial; ``None`` where it has none of this name."""
    return FIELDS[name](record) if name in FIELDS else record.params.get(name)


def conditions(words: Iterable[str], trials: Sequence[TrialRecord]) -> Callable[[TrialRecord], bool]:
    """What holds where all of the conditions hold; a trial without the field or parameter meets none on it.

    ``=`` and ``!=`` compare as numbers where both are; ``~`` looks for the text anywhere, whatever its case.

    Args:
        trials: of the run, whose parameters may be named.

    Raises:
        UserError: not a condition, or about something that no trial has.
    """
    tests = [_test(word, trials) for word in words]
    return lambda record: all(test(record) for test in tests)


def in_order(rows: Sequence[Row], name: str, trials: Sequence[TrialRecord], *, reverse: bool) -> list[Row]:
    """Rows of a board by a field or parameter of their trials, those without it last whatever the direction.

    Raises `UserError` for a name that no trial of the run has.
    """
    _check(name, trials)
    there = [(value, row) for row in rows if (value := value_of(row.record, name)) is not None]
    numbers = all(isinstance(value, int | float) for value, _ in there)
    there.sort(key=lambda entry: entry[0] if numbers else str(entry[0]), reverse=reverse)
    return [*(row for _, row in there), *(row for row in rows if value_of(row.record, name) is None)]


def _test(word: str, trials: Sequence[TrialRecord]) -> Callable[[TrialRecord], bool]:
    found = _CONDITION.fullmatch(word)
    if found is None:
        raise UserError(f"{word!r} is no condition; expected a name, one of = != < <= > >= ~, and a value, such as "
                        "'score > 0.97'")
    name, sign, text = found.groups()
    _check(name, trials)
    number = _number(text)
    if sign in _ORDERS and number is None:
        raise UserError(f"{word!r}: {sign} compares numbers; found {text!r}")

    def holds(record: TrialRecord) -> bool:
        value = value_of(record, name)
        if value is None:
            return False
        if sign == "~":
            return text.lower() in str(value).lower()
        if sign in _ORDERS:
            return isinstance(value, int | float) and _ORDERS[sign](value, number)
        same = value == number if number is not None and isinstance(value, int | float) else str(value) == text
        return same == (sign == "=")

    return holds


def _check(name: str, trials: Sequence[TrialRecord]) -> None:
    params = sorted({param for record in trials for param in record.params})
    if name not in FIELDS and name not in params:
        raise UserError(f"no trial has {name!r}; {did_you_mean(name, [*FIELDS, *params])}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
