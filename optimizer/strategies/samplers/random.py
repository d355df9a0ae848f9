"""Independent uniform draws; the yardstick for every other sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search_space import SearchSpace
from optimizer.strategies.base import Sampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Random(Sampler):
    """Uniform over each domain, in the logarithm where the domain says so."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Optuna's random sampler."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)


STRATEGY = Random()
