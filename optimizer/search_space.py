"""A search space as a value: typed parameters with conditions, that can be narrowed, hashed and enumerated.

It is plain data: no model library and no Optuna is needed to make, send, show or compare one.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from optimizer.errors import UserError, did_you_mean

Choice = bool | int | float | str | None


class Float(msgspec.Struct, frozen=True, tag="float"):
    """Real numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False


class Int(msgspec.Struct, frozen=True, tag="int"):
    """Whole numbers from ``low`` to ``high``, both included."""

    low: int
    high: int
    log: bool = False


class Categorical(msgspec.Struct, frozen=True, tag="categorical"):
    """One of a few choices, without order."""

    choices: tuple[Choice, ...]


Domain = Float | Int | Categorical


class When(msgspec.Struct, frozen=True):
    """The parameter exists only where an earlier one has one of these values."""

    parameter: str
    values: tuple[Choice, ...]


class Parameter(msgspec.Struct, frozen=True):
    """A name, what it may be, and when it exists."""

    name: str
    domain: Domain
    when: When | None = None


class SearchSpace(msgspec.Struct, frozen=True):
    """Parameters in the order in which they are suggested, and values that are fixed."""

    parameters: tuple[Parameter, ...]
    #: Name to value, for parameters that the person or the family has fixed.
    fixed: dict[str, Choice] = {}
    #: Of each fold's training rows, how many a fit is made on at most; unset for all of them. A point that is fitted on
    #: fewer rows is another point. (Not ``None``: what is not set is not hashed either.)
    max_rows: int | msgspec.UnsetType = msgspec.UNSET

    def narrowed(self, family: str, overrides: Mapping[str, Any]) -> SearchSpace:
        """This space with the overrides of the study file applied.

        A single value fixes a parameter, a list gives its choices, and a table with ``low`` and ``high``
        (``log`` too) gives a range inside or outside the family's own.

        Raises:
            UserError: a name that the family does not have, or a value that does not fit its parameter.
        """
        unknown = set(overrides) - {p.name for p in self.parameters} - set(self.fixed)
        for name in sorted(unknown):
            known = [p.name for p in self.parameters] + list(self.fixed)
            raise UserError(f"{family} has no parameter {name!r}; {did_you_mean(name, known)}")
        fixed = dict(self.fixed)
        parameters = []
        for parameter in self.parameters:
            if parameter.name not in overrides:
                parameters.append(parameter)
                continue
            domain = _narrowed_domain(f"{family}.{parameter.name}", parameter.domain, overrides[parameter.name])
            if isinstance(domain, Float | Int | Categorical):
                parameters.append(Parameter(parameter.name, domain, parameter.when))
            else:
                fixed[parameter.name] = domain
        for name in self.fixed:
            if name in overrides:
                fixed[name] = _fixed_anew(f"{family}.{name}", self.fixed[name], overrides[name])
        return SearchSpace(tuple(parameters), fixed, self.max_rows)

    def hash(self) -> str:
        """Sixteen hex digits that change whenever a point could mean something else."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    def complete(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The point with the fixed values added: what a family is given."""
        return {**self.fixed, **point}

    def contains(self, point: Mapping[str, Any]) -> bool:
        """Whether exactly the parameters that exist at this point are there, each inside its domain."""
        seen: set[str] = set()
        for parameter in self.parameters:
            if not self.exists(parameter, point):
                continue
            if parameter.name not in point or not _inside(parameter.domain, point[parameter.name]):
                return False
            seen.add(parameter.name)
        return seen == set(point)

    def exists(self, parameter: Parameter, point: Mapping[str, Any]) -> bool:
        """Whether the parameter exists, given the earlier ones (a fixed value counts as an earlier one)."""
        when = parameter.when
        if when is None:
            return True
        if when.parameter in point:
            return point[when.parameter] in when.values
        return when.parameter in self.fixed and self.fixed[when.parameter] in when.values

    def restricted(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Only those of the parameters that this space has and that exist at this point, fixed ones left out."""
        point: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name in params and self.exists(parameter, point):
                point[parameter.name] = params[parameter.name]
        return point

    def enumerated(self, levels: int = 3) -> Iterator[dict[str, Any]]:
        """Every point of a grid with ``levels`` values per number, all choices per categorical, no repeats."""
        yield from self._enumerate(0, {}, lambda domain: grid_values(domain, levels))

    def grid_size(self, levels: int = 3) -> int:
        """How many points `enumerated` yields."""
        return self._count(lambda domain: grid_values(domain, levels))

    def all_points(self) -> Iterator[dict[str, Any]]:
        """Every point of a space whose `size` is finite."""
        yield from self._enumerate(0, {}, _all_values)

    def size(self) -> float:
        """How many points there are; infinite with a range of real numbers."""
        if any(isinstance(p.domain, Float) and p.domain.low < p.domain.high for p in self.parameters):
            return math.inf
        return self._count(_all_values)

    def random_point(self, chance: random.Random) -> dict[str, Any]:
        """A point drawn evenly, in the logarithm where a domain says so."""
        point: dict[str, Any] = {}
        for parameter in self.parameters:
            if self.exists(parameter, point):
                point[parameter.name] = _random_value(parameter.domain, chance)
        return point

    def _count(self, values_of: Callable[[Domain], Sequence[Any]]) -> int:
        conditions = {p.when.parameter for p in self.parameters if p.when is not None}
        # Partial points that agree in all that later conditions ask for go on in the same way: count them together.
        counts: dict[tuple[tuple[str, Any], ...], int] = {(): 1}
        for parameter in self.parameters:
            values = values_of(parameter.domain)
            following: dict[tuple[tuple[str, Any], ...], int] = {}
            for decided, count in counts.items():
                if not self.exists(parameter, dict(decided)):
                    following[decided] = following.get(decided, 0) + count
                elif parameter.name in conditions:
                    for value in values:
                        key = (*decided, (parameter.name, value))
                        following[key] = following.get(key, 0) + count
                else:
                    following[decided] = following.get(decided, 0) + count * len(values)
            counts = following
        return sum(counts.values())

    def _enumerate(self, position: int, point: dict[str, Any], values_of: Callable[[Domain], Sequence[Any]],
                   ) -> Iterator[dict[str, Any]]:
        if position == len(self.parameters):
            yield dict(point)
            return
        parameter = self.parameters[position]
        if not self.exists(parameter, point):
            yield from self._enumerate(position + 1, point, values_of)
            return
        for value in values_of(parameter.domain):
            yield from self._enumerate(position + 1, {**point, parameter.name: value}, values_of)


def widened(family: str, own: SearchSpace, overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each number that overrides set outside a family's own range: allowed, and easily a slip."""
    notices = []
    for parameter in own.parameters:
        domain, given = parameter.domain, overrides.get(parameter.name)
        if given is None or isinstance(domain, Categorical):
            continue
        ends = given.values() if isinstance(given, Mapping) else given if isinstance(given, list | tuple) else [given]
        beyond = [str(end) for end in ends if not isinstance(end, bool) and not domain.low <= end <= domain.high]
        if beyond:
            notices.append(f"{family}.{parameter.name}: {' and '.join(beyond)}, outside the {domain.low} to "
                           f"{domain.high} in which {family} searches by itself; taken as given")
    return tuple(notices)


def grid_values(domain: Domain, levels: int) -> tuple[Any, ...]:
    """Values of a domain for a grid: all choices, or ``levels`` numbers evenly spaced (in the logarithm if so)."""
    if isinstance(domain, Categorical):
        return domain.choices
    if levels < 2 or domain.low == domain.high:
        return (domain.low,)
    steps = [i / (levels - 1) for i in range(levels)]
    if domain.log:
        ratio = math.log(domain.high / domain.low)
        values = [domain.low * math.exp(s * ratio) for s in steps]
    else:
        values = [domain.low + s * (domain.high - domain.low) for s in steps]
    if isinstance(domain, Int):
        return tuple(dict.fromkeys(min(max(round(v), domain.low), domain.high) for v in values))
    # In a range of few floating-point numbers, levels can fall together.
    return tuple(dict.fromkeys([domain.low, *values[1:-1], domain.high]))


def _all_values(domain: Domain) -> Sequence[Any]:
    if isinstance(domain, Categorical):
        return domain.choices
    return range(domain.low, domain.high + 1) if isinstance(domain, Int) else (domain.low,)


def _random_value(domain: Domain, chance: random.Random) -> Any:
    if isinstance(domain, Categorical):
        return chance.choice(domain.choices)
    if isinstance(domain, Int) and not domain.log:
        return chance.randint(domain.low, domain.high)
    low, high = (math.log(end) if domain.log else end for end in (domain.low, domain.high))
    value = chance.uniform(low, high)
    value = math.exp(value) if domain.log else value
    # The logarithm's way there and back must not leave the range.
    return min(max(round(value) if isinstance(domain, Int) else value, domain.low), domain.high)


def _inside(domain: Domain, value: Any) -> bool:
    if isinstance(domain, Categorical):
        return any(value == choice and type(value) is type(choice) for choice in domain.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(domain, Int) and not isinstance(value, int):
        return False
    return domain.low <= value <= domain.high


def _narrowed_domain(place: str, domain: Domain, override: Any) -> Domain | Choice:
    if isinstance(override, Mapping):
        return _range(place, domain, override)
    if isinstance(override, list | tuple):
        if not override:
            raise UserError(f"{place}: an empty list leaves nothing to choose from; give at least one value")
        for value in override:
            _check_value(place, domain, value)
        return Categorical(tuple(dict.fromkeys(override)))
    _check_value(place, domain, override)
    return override  # type: ignore[no-any-return]


def _range(place: str, domain: Domain, override: Mapping[str, Any]) -> Domain:
    if isinstance(domain, Categorical):
        raise UserError(f"{place} is a choice among {list(domain.choices)}; give one value or a list of them")
    unknown = set(override) - {"low", "high", "log"}
    for key in sorted(unknown):
        raise UserError(f"{place}: a range has low, high and log; found {key!r}")
    low, high = override.get("low", domain.low), override.get("high", domain.high)
    log = override.get("log", domain.log)
    if not isinstance(log, bool):
        raise UserError(f"{place}.log: found {log!r}, expected true or false")
    for key, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{place}.{key}: found {value!r}, expected a number")
        if isinstance(domain, Int) and value != int(value):
            raise UserError(f"{place}.{key}: found {value!r}, expected a whole number")
    if low > high:
        raise UserError(f"{place}: low {low} is above high {high}; swap them")
    if log and low <= 0:
        raise UserError(f"{place}: a logarithmic range starts above 0; low is {low}")
    return Int(int(low), int(high), log) if isinstance(domain, Int) else Float(float(low), float(high), log)


def _check_value(place: str, domain: Domain, value: Any) -> None:
    if isinstance(domain, Categorical):
        if not _inside(domain, value):
            raise UserError(f"{place}: found {value!r}, expected one of {list(domain.choices)}")
        return
    kind = "a whole number" if isinstance(domain, Int) else "a number"
    numbers = int if isinstance(domain, Int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, numbers) or not math.isfinite(value):
        raise UserError(f"{place}: found {value!r}, expected {kind}")


def _fixed_anew(place: str, now: Choice, override: Any) -> Choice:
    if isinstance(override, Mapping | list | tuple):
        raise UserError(f"{place} is not searched, it is {now!r}; give one value")
    alike = (int, float) if isinstance(now, float) else type(now)
    if now is not None and (not isinstance(override, alike) or isinstance(override, bool) != isinstance(now, bool)):
        raise UserError(f"{place}: found {override!r}, expected a value like {now!r}")
    return override  # type: ignore[no-any-return]
