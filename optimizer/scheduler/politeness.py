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
from optimizer.dispatch import SlotState
from optimizer.rations import Place
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
    # Whoever asks for cores at a quiet hour wants them now.
    if not asked and calm < cores and calm <= own:
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
        nice = os.getpriority(os.PRIO_PROCESS, 0) > 0
        if limits.step_back and not nice:
            events.notice('step_back needs priority = "low", by which a run tells its own work from that of others; it '
                          "does not step back")
        self._limits, self._slots, self._events, self._folder = limits, slots, events, folder
        self._cores = cores
        self._whole_mb = whole_mb
        self._standstill = standstill
        self._throttle = Throttle(standstill, cores, folder / "logs" / "governor.log", steps_back=wanted and nice)
        self._stood = dict.fromkeys(standstill.positions, 0.0)
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

    def look(self, workers: Mapping[str, tuple[int, int]], readers: Mapping[str, int],
             states: Mapping[str, SlotState]) -> dict[str, float]:
        """See what holds now and have it kept; seconds that each slot's worker was stopped since the last look.

        Args:
            workers: slot to the process that works there, and the slots that it has joined.
            readers: name to process, of those that prepare datasets on all cores.
            states: of every slot.
        """
        now = self._terms()
        if now != self.terms:
            self._say(now)
            self.terms = now
        self._throttle.limit(now.cores)
        groups = {name: (pid, len(self._slots[name].cores) * joined) for name, (pid, joined) in workers.items()}
        groups |= {name: (pid, len(self._cores)) for name, pid in readers.items()}
        self._state = self._throttle.look({
            name: Target(leader=pid, position=self._standstill.positions[name], cores=cores)
            for name, (pid, cores) in groups.items() if pid != os.getpid()})
        self.resting = rations.resting({
            name: Place(kind=state.kind, cores=len(self._slots[name].cores), up=state.phase == "up")
            for name, state in states.items() if state.phase != "closed"}, self.allowed)
        before, self._stood = self._stood, {n: self._standstill.seconds(i) for n, i in
                                            self._standstill.positions.items()}
        return {name: self._stood[name] - before[name] for name in states}

    def _terms(self) -> Terms:
        control = read_control(self._folder, os.getpid())
        try:
            return self._terms_by(control)
        except ValueError:  # nothing that `optimizer limit` would have written
            return self._terms_by(Control(pid=control.pid))

    def _terms_by(self, control: Control) -> Terms:
        return terms(limits=self._limits, control=control, at=datetime.datetime.now().time(), cores=len(self._cores),
                     whole_mb=self._whole_mb)

    @property
    def allowed(self) -> float:
        """Cores that the run may use now."""
        limit = min(self.terms.cores, float(len(self._cores)))
        state = self._state
        return min(limit, state.allowed) if state is not None and state.stepping_back else limit

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
    marks = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container", "/.singularity.d")
    return any(map(os.path.exists, marks)) or "KUBERNETES_SERVICE_HOST" in os.environ
