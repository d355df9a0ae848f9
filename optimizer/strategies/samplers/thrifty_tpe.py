"""TPE that prefers what is known sooner, where it promises as much: for searches that time ends, not trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search_space import SearchSpace
from optimizer.strategies.base import Sampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class ThriftyTpe(Sampler):
    """As `tpe` where there is time for few trials, however many there are.

    In simulated searches of four kinds (good points anywhere, dear, in the middle, cheap; five seeds each) plain TPE's
    last best was there after 0.31, 0.71, 0.77 and 0.96 of its time.
    """

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """TPE with the same settings and thrift."""
        from optimizer.strategies.samplers.tpe import THRIFT, made
        from optimizer.strategies.thrift import ThriftyTPESampler

        return made(ThriftyTPESampler, space, seed, workers, thrift=THRIFT)


STRATEGY = ThriftyTpe()
