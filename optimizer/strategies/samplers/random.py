"""Independent uniform draws; the yardstick for every other sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimizer.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Random:
    """Uniform over each domain, in the logarithm where the domain says so."""

    begins_at_starts = True
    goes_on = True

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Optuna's random sampler."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)

    def points(
        self, space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
    ) -> Iterator[dict[str, Any]] | None:
        """None: it samples."""
        return None


STRATEGY = Random()
