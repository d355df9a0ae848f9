"""Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate, aware of the trials that run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optimizer.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Tpe:
    """Random at first, then where good trials are dense and bad ones are not."""

    begins_at_starts = True

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """Optuna's TPE with every choice of ours written out."""
        import warnings

        from optuna.exceptions import ExperimentalWarning

        from optimizer.strategies.parzen import FrugalTPESampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return FrugalTPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=max(10, 2 * workers),
                # Parameters that exist only sometimes need a model per group of those that exist together.
                group=any(p.when is not None for p in space.parameters),
            )

    def points(
        self, space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
    ) -> Iterator[dict[str, Any]] | None:
        """None: it samples."""
        return None


STRATEGY = Tpe()
