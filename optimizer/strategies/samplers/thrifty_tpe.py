"""TPE that prefers what is known sooner, where it promises as much: for searches that time ends, not trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search_space import SearchSpace
from optimizer.strategies.base import Sampler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

#: In simulated searches of four kinds (good points anywhere, dear, in the middle, cheap; five seeds each) plain TPE's
#: last best was there after 0.31, 0.71, 0.77 and 0.96 of its time. With 1 some were never reached.
_THRIFT = 0.3


class ThriftyTpe(Sampler):
    """As `tpe`, and the seconds of a fold are weighed after the start, too."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """TPE with the same settings, and its thrift."""
        from optimizer.strategies.samplers.tpe import made
        from optimizer.strategies.thrift import ThriftyTPESampler

        return made(ThriftyTPESampler, space, seed, workers, thrift=_THRIFT)


STRATEGY = ThriftyTpe()
