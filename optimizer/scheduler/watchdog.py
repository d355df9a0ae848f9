"""Sees from outside that a job hangs: too long for a fold or a trial, or neither progress nor CPU time.

A thread of the worker that says "alive" would prove only that the interpreter's lock is free, so nothing is asked of
the worker. Seconds are counted look by look, and one look counts for `LOOK_S` at most: while this process or the
whole machine slept, was stopped or was throttled, nobody hung. Seconds in which others had a worker's core count for
nothing either: a run lets others go first, and is not to blame for what that takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Longest stretch that one look counts.
LOOK_S = 2.0
#: Most seconds of standing still that are set against the next looks.
OWED_S = 0.5
#: Seconds without progress and without CPU time after which a job hangs.
IDLE_S = 60.0
#: CPU seconds in that time that are none: timers tick in a process that only waits.
IDLE_CPU_S = 0.1
#: A job that is stopped for being slow has worked if it used this share of a core; else it hung, and is run again.
WORKED = 0.5
#: A worker that is not ready after this many seconds hangs in its imports.
READY_S = 300.0
#: The limit of a fold while little is known of its family, and the least that is ever learned, in seconds.
UNKNOWN_FOLD_S = 3600.0
LEAST_FOLD_S = 300.0
#: Steps after which a family's limit is learned, and how many times the longest of them a fold may take.
KNOWN_STEPS = 20
TIMES_LONGEST = 10.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a job may take, in seconds of wall time in which it could work."""

    fold_s: float
    trial_s: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is seen of a slot's worker now."""

    #: Number of the running lease; ``None`` while the worker loads its libraries.
    lease: int | None
    steps_done: int
    #: CPU seconds of the worker and what it started, so far.
    cpu_s: float
    #: Whether its GPU is at work.
    gpu_busy: bool
    limits: Limits
    #: Seconds that it was ready to go on and others had its core, so far.
    waited_s: float = 0.0
    #: Seconds since the last look that the run had it stopped.
    stood_s: float = 0.0
    #: What it does, in words; by default which fold it fits.
    doing: str = ""


@dataclass(frozen=True, kw_only=True)
class Hung:
    """A worker to be ended."""

    slot: str
    reason: str
    #: It worked all the time and would do so again: another attempt is of no use.
    too_slow: bool


@dataclass(kw_only=True)
class _Watch:
    """What was counted of one job, in seconds that were watched."""

    lease: int | None
    steps_done: int
    cpu_s: float
    waited_s: float
    trial_s: float = 0.0
    fold_s: float = 0.0
    fold_cpu_s: float = 0.0
    idle_s: float = 0.0
    idle_cpu_s: float = 0.0
    #: Seconds that it stood still and that no look has covered yet, 0 or less.
    owed_s: float = 0.0
    told: bool = False


@dataclass(kw_only=True)
class Watchdog:
    """Keeps count between two looks."""

    _watches: dict[str, _Watch] = field(default_factory=dict)
    _last: float | None = None

    def look(self, now: float, looks: Mapping[str, Look]) -> list[Hung]:
        """Count on, and name the workers that hang; each is named once.

        Args:
            now: monotonic seconds.
            looks: by slot, those whose worker starts or runs a job.
        """
        passed = 0.0 if self._last is None else min(now - self._last, LOOK_S)
        self._last = now
        self._watches = {slot: self._counted(slot, look, passed) for slot, look in looks.items()}
        hung = []
        for slot, watch in self._watches.items():
            verdict = None if watch.told else _verdict(slot, watch, looks[slot])
            if verdict is not None:
                watch.told = True
                hung.append(verdict)
        return hung

    def _counted(self, slot: str, look: Look, passed: float) -> _Watch:
        watch = self._watches.get(slot)
        if watch is None or watch.lease != look.lease:
            return _Watch(lease=look.lease, steps_done=look.steps_done, cpu_s=look.cpu_s, waited_s=look.waited_s)
        used = max(0.0, look.cpu_s - watch.cpu_s)
        waited = min(passed, max(0.0, look.waited_s - watch.waited_s))
        watch.cpu_s, watch.waited_s = look.cpu_s, look.waited_s
        # Standing still is told in steps of its own, so that what one look has too little the next has too much:
        # clipped look by look, hours of a pause would add up to a hang.
        worked = passed - waited - look.stood_s + watch.owed_s
        watch.owed_s = max(-OWED_S, min(0.0, worked))
        passed = max(0.0, worked)
        watch.trial_s += passed
        if look.steps_done != watch.steps_done:
            watch.steps_done = look.steps_done
            watch.fold_s = watch.fold_cpu_s = watch.idle_s = watch.idle_cpu_s = 0.0
            return watch
        watch.fold_s += passed
        watch.fold_cpu_s += used
        watch.idle_s += passed
        watch.idle_cpu_s += used
        if watch.idle_cpu_s > IDLE_CPU_S or look.gpu_busy:
            watch.idle_s = watch.idle_cpu_s = 0.0
        return watch


def _verdict(slot: str, watch: _Watch, look: Look) -> Hung | None:
    limits, doing = look.limits, look.doing or f"fold {watch.steps_done}"
    if watch.lease is None:
        if watch.trial_s > READY_S:
            return Hung(slot=slot, reason=f"hung: not ready after {READY_S:.0f} s", too_slow=False)
        return None
    if watch.idle_s > IDLE_S:
        reason = f"hung: {doing} made no progress and used no CPU time for {IDLE_S:.0f} s"
        return Hung(slot=slot, reason=reason, too_slow=False)
    if watch.fold_s > limits.fold_s:
        return _over(slot, watch, doing, watch.fold_s, limits.fold_s)
    if watch.trial_s > limits.trial_s:
        return _over(slot, watch, "the trial", watch.trial_s, limits.trial_s)
    return None


def _over(slot: str, watch: _Watch, what: str, took_s: float, limit_s: float) -> Hung:
    worked = watch.fold_cpu_s >= WORKED * watch.fold_s
    return Hung(slot=slot, too_slow=worked, reason=(
        f"{'time limit' if worked else 'hung'}: {what} took longer than its limit of {limit_s:.0f} s, "
        f"with {watch.fold_cpu_s:.1f} s of CPU time in the last {watch.fold_s:.0f} s"))


def limits_of(*, fold_limit_s: float | None, trial_limit_s: float | None, longest_step_s: float, steps_seen: int,
              steps: int) -> Limits:
    """The limits of a job: the person's, or learned from the family's own folds on this dataset.

    Args:
        fold_limit_s: what the study file says; ``None`` to learn it.
        trial_limit_s: the same for a whole trial.
        longest_step_s: of the folds seen so far.
        steps: folds of a trial.
    """
    if fold_limit_s is None and steps_seen < KNOWN_STEPS:
        fold_s = max(UNKNOWN_FOLD_S, TIMES_LONGEST * longest_step_s)
    elif fold_limit_s is None:
        fold_s = max(LEAST_FOLD_S, TIMES_LONGEST * longest_step_s)
    else:
        fold_s = fold_limit_s
    return Limits(fold_s=fold_s, trial_s=fold_s * steps if trial_limit_s is None else trial_limit_s)
