"""Scrambled Sobol' points, which cover a space more evenly than random draws (Bergstra and Bengio 2012)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search_space import SearchSpace
from optimizer.strategies.base import Sampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Qmc(Sampler):
    """A low-discrepancy sequence over numbers; choices are drawn at random."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Optuna's quasi-Monte Carlo sampler."""
        import warnings

        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import QMCSampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False,
                              warn_asynchronous_seeding=False)


STRATEGY = Qmc()
