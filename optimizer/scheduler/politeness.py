"""How much of the machine the run may use now: by its study file, by the hour, and by what it was asked meanwhile.

    study file, clock, control.json ──> Terms ──> throttle (stops workers), feeder (rests slots), memory budget
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from optimizer import rations
from optimizer.config.resolved import ResourceLimits
from optimizer.control import Control, read_control
from optimizer.resources import Slot
from optimizer.scheduler.events import EventLog
from optimizer.standstill import Standstill
from optimizer.status import Limits
from optimizer.throttle import Governing, Target, Throttle

#: Why a run stands still that somebody has paused.
ASKED = "paused by `optimizer pause`"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the run may use for now."""

    #: Cores; infinite for all, 0 for none.
    cores: float
    memory_mb: float
    #: Where the limit of the cores comes from; empty where there is none.
    because: str = ""

    @property
    def paused(self) -> bool:
        """Whether nothing of it may work."""
        return self.cores <= 0


def terms(*, limits: ResourceLimits, control: Control, at: datetime.time, cores: int, whole_mb: float) -> Terms:
    """What holds now.

    Args:
        at: local clock time.
        cores: that the run has, of which a per cent is taken.
        whole_mb: MiB of the machine.
    """
    memory_mb = replace(limits, memory_limit=control.memory or limits.memory_limit).memory_mb(whole_mb)
    if control.paused:
        return Terms(cores=0.0, memory_mb=memory_mb, because=ASKED)
    asked = control.cpu is not None
    own = replace(limits, cpu_limit=control.cpu if control.cpu is not None else limits.cpu_limit).cpu_cores(cores)
    calm, hours = limits.quiet_cores(at, cores)
    if calm < cores and calm <= own:
        return Terms(cores=calm, memory_mb=memory_mb, because=f"quiet hours {hours}")
    if own >= cores:
        return Terms(cores=math.inf, memory_mb=memory_mb)
    return Terms(cores=own, memory_mb=memory_mb, because="`optimizer limit`" if asked else "cpu_limit")


class Politeness:
    """Keeps the terms, and has them kept."""

    def __init__(self, *, limits: ResourceLimits, slots: Mapping[str, Slot], cores: tuple[int, ...], whole_mb: float,
                 folder: Path, standstill: Standstill, events: EventLog) -> None:
        """Starts nothing yet.

        Args:
            slots: the run's own, which change where GPUs are given up.
            cores: those that the run may use.
            whole_mb: MiB of the machine.
        """
        wanted = limits.step_back if limits.step_back is not None else not _is_container()
        # One that is not nice would take its own work for that of others.
        steps_back = wanted and os.getpriority(os.PRIO_PROCESS, 0) > 0
        self._limits, self._slots, self._events, self._folder = limits, slots, events, folder
        self._cores = cores
        self._whole_mb = whole_mb
        self._standstill = standstill
        self._throttle = Throttle(standstill, cores, folder / "logs" / "governor.log", steps_back=steps_back)
        self._stood = dict.fromkeys(slots, 0.0)
        self._state: Governing | None = None
        self.terms = Terms(cores=math.inf, memory_mb=limits.memory_mb(whole_mb))
        #: Slots that get no jobs, as fewer use what is allowed.
        self.resting: frozenset[str] = frozenset()

    @property
    def pause(self) -> str:
        """Why no job starts; empty where they do."""
        if not self.terms.paused:
            return ""
        asked = self.terms.because == ASKED
        return f"{self.terms.because}; `optimizer resume {self._folder.name}` lets it go on" if asked else (
            self.terms.because)

    def look(self, at: datetime.datetime, workers: Mapping[str, tuple[int, float]]) -> dict[str, float]:
        """See what holds now and have it kept; seconds that each slot's worker was stopped since the last look.

        Args:
            at: local time.
            workers: slot to the process that works in it, and the cores that it computes on.
        """
        control = read_control(self._folder, os.getpid())
        now = terms(limits=self._limits, control=control, at=at.time(), cores=len(self._cores),
                    whole_mb=self._whole_mb)
        if now != self.terms:
            self._say(now)
            self.terms = now
        self._throttle.limit(now.cores)
        self._state = self._throttle.look({
            name: Target(leader=pid, position=self._standstill.positions[name], cores=cores)
            for name, (pid, cores) in workers.items() if pid != os.getpid()})
        slots = {name: ("gpu" if slot.gpu else "cpu", float(len(slot.cores))) for name, slot in self._slots.items()}
        self.resting = rations.resting(slots, self.allowed)
        before = dict(self._stood)
        self._stood = {name: self._standstill.seconds(i) for name, i in self._standstill.positions.items()}
        return {name: self._stood[name] - before[name] for name in self._standstill.positions}

    @property
    def allowed(self) -> float:
        """Cores that the run may use now."""
        limit = min(self.terms.cores, float(len(self._cores)))
        return limit if self._state is None else min(limit, self._state.allowed)

    @property
    def share(self) -> float:
        """The same as a part of what it has, 0 to 1."""
        return self.allowed / len(self._cores)

    def status(self) -> Limits:
        """For viewers."""
        state = self._state
        return Limits(cores=self.allowed, of_cores=len(self._cores), memory_mb=self.terms.memory_mb,
                      because=self.terms.because, others=state.others if state is not None else 0.0,
                      stepping_back=state is not None and state.stepping_back)

    def close(self) -> None:
        """Let everybody go on."""
        self._throttle.close()

    def _say(self, now: Terms) -> None:
        if now.cores != self.terms.cores:
            share = f"{100 * now.cores / len(self._cores):.0f} % of its {len(self._cores)} cores"
            self._events.notice("the run uses all of its cores again" if math.isinf(now.cores) else
                                f"the run stands still: {now.because}" if now.paused else
                                f"the run uses at most {share}: {now.because}")
        if now.memory_mb != self.terms.memory_mb:
            self._events.notice(f"the run may hold {now.memory_mb / 1024:.1f} GiB of memory")
        self._events.emit("limits_changed", cores=None if math.isinf(now.cores) else round(now.cores, 3),
                          memory_mb=round(now.memory_mb), because=now.because)


def _is_container() -> bool:
    """Whether the kernel's counters tell of strangers' work on our cores, which is none of our business."""
    return (os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")
            or "KUBERNETES_SERVICE_HOST" in os.environ)
