"""Scrambled Sobol' points, which cover a space more evenly than random draws (Bergstra and Bengio 2012)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimizer.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Qmc:
    """A low-discrepancy sequence over numbers; choices are drawn at random."""

    begins_at_starts = True
    goes_on = True

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Optuna's quasi-Monte Carlo sampler."""
        import warnings

        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import QMCSampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False,
                              warn_asynchronous_seeding=False)

    def points(
        self, space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
    ) -> Iterator[dict[str, Any]] | None:
        """None: it samples."""
        return None


STRATEGY = Qmc()
