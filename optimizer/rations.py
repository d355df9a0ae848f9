"""Who may work for the next moment, where a run may not use all the cores that it has.

A bucket of core-seconds: the limit fills it, use empties it. Groups of processes that want to work are let go on one
after the other while there is something in the bucket, so that a limit of one core on two is one worker at work and
one stopped, in turns, rather than both at work half of the time. Values in, values out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

#: Seconds between two decisions.
PERIOD_S = 0.1
#: Unused seconds of the limit that are kept for later, and used ones that are paid back later.
SAVED_S, OWED_S = 0.5, 10.0
#: Seconds after which it is another group's turn to be the last one that fits.
TURN_S = 5.0
#: Cores that others use from which on a run steps back, and below which it takes them back.
OTHERS_FROM, OTHERS_UNTIL = 0.3, 0.15
#: What a run keeps of its cores, whatever others use.
FLOOR = 0.05
#: What is left free beside others, so that they need not push us aside first.
SPARE = 0.1
#: Weight of the past second in what others use: they shall be felt at once, and not at every hiccup.
_SMOOTHING_S = 1.0


@dataclass(kw_only=True)
class Rations:
    """The bucket."""

    #: Core-seconds that may be used now; below 0 where too many were.
    left_s: float = 0.0
    _first: int = 0
    _turn_s: float = 0.0

    def awake(self, *, allowed: float, passed_s: float, used_s: float, wanting: Sequence[tuple[str, float]],
              beside: Collection[str] = ()) -> frozenset[str]:
        """The groups that may work until the next call.

        Args:
            allowed: cores that the whole run may use.
            passed_s: seconds since the last call.
            used_s: CPU seconds that the whole run has used in them, scheduler and all.
            wanting: groups with work to do, and the cores that each would use.
            beside: those of them whose cores others use now; they come last, whoever's turn it is.
        """
        # As much is kept as lets the widest of them begin.
        kept_s = max(allowed * SAVED_S, *(cores * PERIOD_S for _, cores in wanting), 0.0)
        self.left_s = min(self.left_s + allowed * passed_s - used_s, kept_s)
        self.left_s = max(self.left_s, -OWED_S * max(allowed, 0.0))
        self._turn_s += passed_s
        if self._turn_s >= TURN_S:
            self._turn_s = 0.0
            self._first += 1
        if not wanting or allowed <= 0:
            return frozenset()
        first = self._first % len(wanting)
        left, chosen = self.left_s, set()
        for name, cores in sorted((*wanting[first:], *wanting[:first]), key=lambda group: group[0] in beside):
            cost = cores * PERIOD_S
            if left < cost / 2:  # half: what is left over is as often too little as too much
                break
            left -= cost
            chosen.add(name)
        return frozenset(chosen)


@dataclass(kw_only=True)
class Others:
    """How much of some cores, or of one, somebody else uses, and whether a run steps back for them."""

    cores: float = 0.0
    stepping_back: bool = False

    def look(self, used: float, passed_s: float) -> None:
        """Take in what others have used: cores, on average over the seconds that passed."""
        weight = 1 - math.exp(-passed_s / _SMOOTHING_S)
        self.cores += weight * (used - self.cores)
        self.stepping_back = self.cores >= (OTHERS_UNTIL if self.stepping_back else OTHERS_FROM)


def allowed_cores(*, limit: float, cores: int, others: Others) -> float:
    """Cores that a run may use now.

    Args:
        limit: what the person allows; infinite where nothing is said, 0 while the run is paused.
        cores: how many the run has.
    """
    if not others.stepping_back:
        return min(limit, float(cores))
    return min(limit, max(FLOOR * cores, cores - others.cores - SPARE))


@dataclass(frozen=True, kw_only=True)
class Place:
    """A slot that works or will."""

    #: ``gpu`` or ``cpu``.
    kind: str
    cores: float
    #: Its worker is there.
    up: bool = True


def resting(places: Mapping[str, Place], allowed: float) -> frozenset[str]:
    """Slots that need no jobs, as fewer use what is allowed in full: half-idle slots would hold memory for nothing.

    Those with a worker come first, and GPU slots before others; of each kind one works whatever the limit is.
    """
    working: set[str] = set()
    kinds: set[str] = set()
    used = 0.0
    for name, place in sorted(places.items(), key=lambda item: (not item[1].up, item[1].kind != "gpu")):
        if used < allowed - 1e-9 or place.kind not in kinds:
            working.add(name)
            kinds.add(place.kind)
            used += place.cores
    return frozenset(places) - working
