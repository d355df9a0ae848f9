"""What a sampler and a pruner promise. Each is one file whose name is its name, with one object ``STRATEGY``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from optimizer.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is known of the trials to come when a point is asked for; a sampler may heed it."""

    #: Points that are wanted now, this one included: they may be prepared together.
    wanted: int = 1
    #: Trials that time allows the search in all: with few, what each costs counts.
    in_time: float = math.inf
    #: Slot-seconds of a trial, lately: asking shall cost little beside it.
    trial_s: float = math.inf


class Sampler(Protocol):
    """Where the next point comes from: an Optuna sampler, or an enumeration of our own."""

    def optuna_sampler(self, space: SearchSpace, seed: int, workers: int) -> BaseSampler:
        """The Optuna sampler; its state is rebuilt from finished trials, so it must not need to be stored."""
        ...

    #: Whether a search begins at the points that the family knows to do well.
    begins_at_starts: bool = True

    #: Whether one that enumerates goes on with any points where it has no more of its own.
    goes_on: bool = True

    def points(
        self, space: SearchSpace, best: Callable[[int], Sequence[Mapping[str, Any]]],
    ) -> Iterator[dict[str, Any]] | None:
        """Every point in turn, where the sampler enumerates; ``None`` where it samples.

        One that was asked before is passed over, so an iterator may repeat itself.

        Args:
            best: gives so many of the best points that are complete by then, best first.
        """
        return None


class DecidedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a pruner sees of a trial that was decided, complete or pruned."""

    complete: bool
    #: Mean of the first 1, 2, ... fold scores.
    running_means: tuple[float, ...]
    #: Validation losses by watched fold and checkpoint.
    curves: tuple[tuple[float, ...], ...] = ()
    #: Score of the first, cheap fit on a part of the rows; ``None`` where there was none.
    look: float | None = None


#: By watched step, then by checkpoint of `optimizer.curves`.
FitLimits = tuple[tuple[float | None, ...], ...]


class Pruner(Protocol):
    """Says, before a trial starts, how bad its running mean may get at each fold, and its loss inside a fit.

    The limits travel with the job, so that no worker waits for an answer. Runs on plain numbers: no Optuna.
    """

    def limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> tuple[float | None, ...]:
        """For each step the running mean worse than which a trial is pruned; ``None`` where it never is.

        The last step has no limit: a trial that got there is complete.
        """
        ...

    #: Whether a first, cheap fit on a part of the rows shall be made of a large table.
    looks_first: bool = False

    def look_limit(self, history: Sequence[DecidedTrial], *, maximize: bool) -> float | None:
        """The score of that first fit worse than which a trial is pruned; ``None`` where it never is."""
        return None

    #: Whether it looks into fits, so that they have to be watched.
    looks_inside: bool = False

    def fit_limits(self, history: Sequence[DecidedTrial], *, steps: int, maximize: bool) -> FitLimits:
        """For each watched step and checkpoint the loss above which the fit is cut short and the trial pruned.

        Asked only of those that look into fits. The history holds only trials whose losses are of the kind of the one
        that is to start.
        """
        return ()


def running_means(scores: Sequence[float]) -> tuple[float, ...]:
    """Mean of the first 1, 2, ... scores."""
    means, total = [], 0.0
    for count, score in enumerate(scores, start=1):
        total += score
        means.append(total / count)
    return tuple(means)
