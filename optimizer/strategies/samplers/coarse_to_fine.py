"""A coarse grid over the whole space, then ever finer grids around the best few points.

Of a grid that is too large to be walked, as many points as the space has parameters to learn about are drawn; of the
fine ones always. Rounds are short, since a family among several may have no more than twenty trials: replayed on whole
grids (`benchmarks/selection.py`), longer ones found less with a sixth of the models. Everything follows from the space
and the told trials, so a resumed search goes on as it would have.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from optimizer.search_space import Categorical, Float, Int, SearchSpace, grid_values
from optimizer.strategies.base import Sampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

#: Values per number in the coarse grid.
LEVELS = 3
#: Points of the coarse round, times the number of parameters.
COARSE = 2
#: Best points that a round looks around, and points around each, times the number of parameters.
CENTERS, FINE = 2, 1
#: Of the whole range, the first round's step from a center; each round that finds nothing better halves it.
FIRST_STEP, LAST_STEP = 0.25, 0.25 / 2**6
#: Rounds that are drawn while no trial is complete yet; a space of a single point would have them without end.
_ROUNDS_UNKNOWN = 40
#: How often a point around a center keeps the center's choice.
_KEEP = 0.7


class CoarseToFine(Sampler):
    """Rounds of grids, each around the best points of those before."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Never asked, since the points are enumerated; Optuna wants a sampler all the same."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)

    def points(
        self, space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
    ) -> Iterator[dict[str, Any]] | None:
        """The coarse round, then fine ones until the steps are small; then around the next best, and so on."""
        return _rounds(space, best)


def _rounds(
    space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
) -> Iterator[dict[str, Any]]:
    chance = random.Random(space.hash())  # noqa: S311 - the same points after a restart, no secrets
    count = COARSE * max(1, len(space.parameters))
    if space.grid_size(LEVELS) <= count:
        coarse = list(space.enumerated(LEVELS))
        chance.shuffle(coarse)
        yield from coarse
    else:
        for _ in range(count):
            yield _drawn(space, lambda domain, name: chance.choice(grid_values(domain, LEVELS)))
    drawn: set[bytes] = set()
    for rank in itertools.count(step=CENTERS):
        known = len(drawn)
        for point in _ever_finer(space, best, rank, chance):
            drawn.add(msgspec.json.encode(point, order="sorted"))
            yield point
        if len(drawn) == known:
            return  # from the coarsest step to the finest, around other centers too, there was nothing new


def _ever_finer(
    space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]], rank: int, chance: random.Random,
) -> Iterator[dict[str, Any]]:
    """Rounds around the best points from this rank on (0 for the very best), from the first step to the last."""
    step, before = FIRST_STEP, best(1)
    patience = _ROUNDS_UNKNOWN
    while step >= LAST_STEP:
        # While nothing is known yet, the next coarse points; slots shall not wait.
        for center in best(rank + CENTERS)[rank:] or [{}]:
            for _ in range(FINE * max(1, len(space.parameters))):
                yield _drawn(space, lambda domain, name, center=center, step=step: _near(  # type: ignore[misc]
                    domain, center.get(name), step, chance))
        # A round that has found a better point is followed by one as wide around that one.
        now = best(1)
        patience -= not now
        if now == before and (now or not patience):
            step /= 2
            patience = 1
        before = now


def _drawn(space: SearchSpace, draw: Callable[[Any, str], Any]) -> dict[str, Any]:
    """A point of the space, parameter by parameter."""
    point: dict[str, Any] = {}
    for parameter in space.parameters:
        if space.exists(parameter, point):
            point[parameter.name] = draw(parameter.domain, parameter.name)
    return point


def _near(domain: Float | Int | Categorical, center: Any, step: float, chance: random.Random) -> Any:
    """The center's value, or one that is a step away on the domain's own scale; of choices now and then another.

    Where the center has no value, since the parameter does not exist there, any.
    """
    if isinstance(domain, Categorical):
        return center if center in domain.choices and chance.random() < _KEEP else chance.choice(domain.choices)
    if center is None:
        return chance.choice(grid_values(domain, LEVELS))
    if domain.low == domain.high:
        return domain.low
    low, high, at = (math.log(v) if domain.log else float(v) for v in (domain.low, domain.high, center))
    moved = min(max(at + chance.choice((-1, 0, 1)) * step * (high - low), low), high)
    value = math.exp(moved) if domain.log else moved
    if isinstance(domain, Int):
        return min(max(round(value), domain.low), domain.high)
    # The logarithm's way there and back must not leave the range.
    return min(max(value, domain.low), domain.high)


STRATEGY = CoarseToFine()
