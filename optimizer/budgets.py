"""Who is next: budgets of datasets and fair shares of families, as functions of values.

The first round gives every family one trial on every dataset; of a budget in trials one is kept for each family whose
kind of slot is not up yet. Then dataset after dataset. ``time_per_dataset`` is counted in slot-seconds on all slots;
``trials`` counts decided ones. Among the families that may use a kind of slot, the one with the least resource-seconds
is next; those that are clearly faster on another kind leave it to the others. A person's shares weigh these seconds, or
the numbers of trials where the budget is in trials; so do promises, where shares follow what families have found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

#: Share of a dataset's budget that a family has at least, however little it promises.
FLOOR = 0.05
#: How many times as fast another kind of slot is, to be the better place for a family.
CLEARLY = 1.1


@dataclass(kw_only=True)
class FamilyUse:
    """What a family has used, on one dataset."""

    name: str
    #: Kinds of slot that it may use: ``cpu``, ``gpu``.
    kinds: frozenset[str]
    #: Slot-seconds by kind of slot, running jobs included.
    seconds: dict[str, float] = field(default_factory=dict)
    #: Trials that were started or are about to be.
    begun: int = 0
    #: Mean slot-seconds of a decided trial; 0 while unknown.
    typical_s: float = 0.0
    #: Seconds of a fold by kind of slot, where it has run often enough to tell.
    fold_s: dict[str, float] = field(default_factory=dict)
    #: It failed for good here, its space is exhausted, or it has settled.
    closed: bool = False
    #: What the person gave it of the budget, 0 to 1.
    share: float | None = None
    #: How near its best is to the dataset's, 0 to 1, where shares follow that; ``None`` where they are even.
    promise: float | None = None

    def is_faster_elsewhere(self, kind: str) -> bool:
        """Whether another kind of slot that it may use has been clearly faster than this one."""
        here = self.fold_s.get(kind)
        return here is not None and any(
            CLEARLY * there < here for other, there in self.fold_s.items() if other != kind and other in self.kinds)


@dataclass(kw_only=True)
class DatasetUse:
    """What a dataset has used, and what it may."""

    name: str
    families: dict[str, FamilyUse]
    #: Slot-seconds; ``None`` where the budget is in trials.
    budget_s: float | None = None
    budget_trials: int | None = None
    #: Decided trials, and those under way.
    decided: int = 0
    under_way: int = 0

    @property
    def used_s(self) -> float:
        """Slot-seconds used by all families, running jobs included."""
        return sum(sum(f.seconds.values()) for f in self.families.values())

    @property
    def trials_left(self) -> int | None:
        """Trials that may still start; ``None`` where they are not counted."""
        return None if self.budget_trials is None else self.budget_trials - self.decided - self.under_way

    @property
    def spent(self) -> bool:
        """Whether no new job may start."""
        if self.trials_left is not None:
            return self.trials_left <= 0
        return self.budget_s is not None and self.used_s >= self.budget_s

    def has_room_for(self, family: FamilyUse, kept: int = 0) -> bool:
        """Whether a job of this family may start: one that would run over by more than half of itself may not.

        So trials that are long for their budget end half a trial early or late, rather than always late.

        Args:
            kept: trials of the budget that are for others.
        """
        if self.spent or (self.trials_left is not None and self.trials_left <= kept):
            return False
        return self.budget_s is None or self.used_s + family.typical_s / 2 <= self.budget_s


def next_pair(datasets: Sequence[DatasetUse], kind: str, open_kinds: Set[str] = frozenset()) -> tuple[str, str] | None:
    """The dataset and family that a free slot of this kind shall work on, or ``None`` where there is no work for it.

    Args:
        open_kinds: those of slot that work or are about to.
    """
    for dataset in datasets:
        for family in dataset.families.values():
            # The first round starts even on a budget of seconds, but never goes over a budget of trials.
            over = dataset.budget_trials is not None and dataset.spent
            if kind in family.kinds and not family.closed and family.begun == 0 and not over:
                return dataset.name, family.name
    for dataset in datasets:
        # Here they have all begun: the others wait for a worker that takes longer to start, such as a card's.
        kept = sum(f.begun == 0 and not f.closed and bool(f.kinds & open_kinds) for f in dataset.families.values())
        able = [f for f in dataset.families.values()
                if kind in f.kinds and not f.closed and dataset.has_room_for(f, kept)]
        # A card or a core that is slow for one family may be the only place of another.
        able = [f for f in able if not f.is_faster_elsewhere(kind)] or able
        if able:
            weights = _weights(tuple(dataset.families.values()))
            if dataset.budget_trials is not None and any(f.share or f.promise is not None for f in able):
                return dataset.name, min(able, key=lambda f: f.begun / weights[f.name]).name
            return dataset.name, min(able, key=lambda f: (_standing(datasets, able, f, kind, weights), f.begun)).name
    return None


def _weights(families: Sequence[FamilyUse]) -> dict[str, float]:
    """What a second of each family counts less: its share, times their number, so that even shares weigh 1."""
    others = [f for f in families if f.share is None]
    left = 1.0 - sum(f.share for f in families if f.share is not None)
    promises = {f.name: 1.0 if f.promise is None else f.promise for f in others if not f.closed}
    total = sum(promises.values())
    floor = min(FLOOR, 1.0 / max(1, len(promises)))
    shares = {f.name: f.share for f in families if f.share is not None}
    for f in others:
        # One that is closed takes nothing; it only must not divide by nothing.
        part = promises[f.name] / total if total and f.name in promises else 1.0 / len(others)
        shares[f.name] = left * (floor + (1.0 - floor * len(promises)) * part)
    return {name: len(families) * share for name, share in shares.items()}


def _standing(
    datasets: Sequence[DatasetUse], able: Sequence[FamilyUse], family: FamilyUse, kind: str,
    weights: Mapping[str, float],
) -> float:
    """Seconds that a family has had here, with what it is ahead or behind over the whole run.

    What is carried over from other datasets is bounded by the length of a few trials: long ones make shares uneven
    here and are made good there, but a family that joins late does not take every slot until it has caught up.
    """
    def elsewhere(one: FamilyUse) -> float:
        whole_run = sum(d.families[one.name].seconds.get(kind, 0.0) for d in datasets if one.name in d.families)
        return (whole_run - one.seconds.get(kind, 0.0)) / weights[one.name]

    here = family.seconds.get(kind, 0.0) / weights[family.name]
    mean = sum(map(elsewhere, able)) / len(able)
    bound = 3 * max((f.typical_s for f in able), default=0.0)
    return here + max(-bound, min(bound, elsewhere(family) - mean))


def shares(datasets: Sequence[DatasetUse]) -> dict[str, float]:
    """Resource-seconds per family over the whole run."""
    total: dict[str, float] = {}
    for dataset in datasets:
        for family in dataset.families.values():
            total[family.name] = total.get(family.name, 0.0) + sum(family.seconds.values())
    return total
