"""Every point of a grid, in an order that covers the space early and is the same after a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from optimizer.search_space import SearchSpace
from optimizer.strategies.base import Sampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

#: Values per number.
LEVELS = 3
#: A grid up to this size is shuffled whole; a larger one is walked in its own order.
MOST_SHUFFLED = 200_000


class Grid(Sampler):
    """Our own enumeration: Optuna's grid sampler knows no conditions and repeats points when resumed."""

    begins_at_starts = False
    goes_on = False

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Never asked, since the points are enumerated; Optuna wants a sampler all the same."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)

    def points(
        self, space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
    ) -> Iterator[dict[str, Any]] | None:
        """Every point once, shuffled by its own hash, so that a night that ends early has seen all corners."""
        if space.grid_size(LEVELS) > MOST_SHUFFLED:
            return space.enumerated(LEVELS)
        return iter(sorted(space.enumerated(LEVELS), key=_shuffle_key))


def _shuffle_key(point: dict[str, Any]) -> bytes:
    return hashlib.sha256(msgspec.json.encode(point, order="sorted")).digest()


STRATEGY = Grid()
