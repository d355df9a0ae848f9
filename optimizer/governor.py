"""Holds a run to its share of the cores: stops workers and lets them go on, ten times a second.

    python -m optimizer.governor SCHEDULER DESCRIPTOR CORES STEPS_BACK

A process of its own, since the scheduler is busy for longer than that. Commands come on standard input, a line each:
``limit 0.8`` (cores; ``inf`` for none, ``0`` to pause), ``+ NAME POSITION GROUP START CORES`` and ``- NAME``. What it
does goes out as a JSON line a second. At the end of its input everybody goes on. While there is no limit, and nobody
else works on the cores, it sleeps.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from optimizer.process import descendants, process_stat, signal_group
from optimizer.rations import PERIOD_S, Others, Rations, allowed_cores
from optimizer.standstill import Standstill

#: Seconds between two looks at what others use.
_LOOK_S = 0.25
#: Seconds between two lines about what it does, and between two looks for new processes of the run.
_SAY_S = 1.0
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
#: Share of a core that a group which sleeps has used at most, where it has nothing to do.
_IDLE = 0.2


@dataclass(kw_only=True)
class Group:
    """A worker with what it started."""

    position: int
    leader: int
    start: int
    cores: float
    #: When it was stopped by us, monotonic; ``None`` while it may work.
    stopped: float | None = None
    ticks: int = 0
    #: It used next to nothing when it was last awake for a whole moment.
    idle: bool = False


class Governor:
    """The groups, and the clocks of what they use."""

    def __init__(self, scheduler: int, standstill: Standstill, cores: frozenset[int], *, steps_back: bool) -> None:
        self.limit = float("inf")
        self.groups: dict[str, Group] = {}
        self.others = Others()
        #: The same of each core.
        self.by_core = {core: Others() for core in cores}
        self._scheduler = scheduler
        self._standstill = standstill
        self._cores = cores
        self._steps_back = steps_back
        self._rations = Rations()
        #: Processes of the run and the ticks that each had used.
        self._tree: dict[int, int] = {}
        self._tree_at = 0.0
        self._last: float | None = None
        #: When it was last looked at what others use, and what they had used of each core.
        self._foreign: tuple[float, dict[int, float]] | None = None

    @property
    def allowed(self) -> float:
        """Cores that the run may use now."""
        return allowed_cores(limit=self.limit, cores=len(self._cores), others=self.others)

    @property
    def at_work(self) -> bool:
        """Whether anybody is held back now."""
        return self.allowed < len(self._cores)

    @property
    def wakes_after_s(self) -> float | None:
        """Seconds until it has to look again; ``None`` where only a command can change anything."""
        return PERIOD_S if self.at_work else _LOOK_S if self._steps_back else None

    def told(self, line: bytes) -> None:
        """Obey a command."""
        words = line.split()
        if words[0] == b"limit":
            self.limit = float(words[1])
        elif words[0] == b"+":
            name, (position, leader, start) = words[1].decode(), map(int, words[2:5])
            self.groups[name] = Group(position=position, leader=leader, start=start, cores=float(words[5]))
        elif words[0] == b"-" and (group := self.groups.pop(words[1].decode(), None)) is not None:
            self._go_on(group, time.monotonic())

    def look(self, now: float) -> None:
        """See who has used what since the last look, and decide who works until the next."""
        if self._steps_back:
            self._look_at_others(now)
        if not self.at_work:
            for group in self.groups.values():
                self._go_on(group, now)
            self._last = None
            return
        if self._last is None:
            self._rations = Rations()
        passed = 0.0 if self._last is None else now - self._last
        self._last = now
        used = self._used_s(now, counts=passed > 0)
        busy = [(name, group.cores) for name, group in self.groups.items() if self._is_busy(group, now, passed)]
        awake = self._rations.awake(allowed=self.allowed, passed_s=passed, used_s=used, wanting=busy,
                                    beside=self.beside_others(name for name, _ in busy))
        wanting = {name for name, _ in busy}
        for name, group in self.groups.items():
            # One that waits for a job costs next to nothing, and shall hear of it soon; but a pause is a pause.
            if name in awake or (name not in wanting and self.limit > 0 and self._rations.left_s >= 0):
                self._go_on(group, now)
            else:
                self._stop(group, now)

    def close(self) -> None:
        """Let everybody go on."""
        now = time.monotonic()
        for group in self.groups.values():
            self._go_on(group, now)

    def beside_others(self, names: Iterable[str]) -> frozenset[str]:
        """The groups that may run on a core that others use now."""
        taken = {core for core, others in self.by_core.items() if others.stepping_back}
        beside = set()
        for name in names if taken else ():
            with contextlib.suppress(ProcessLookupError):
                if taken & os.sched_getaffinity(self.groups[name].leader):
                    beside.add(name)
        return frozenset(beside)

    def _is_busy(self, group: Group, now: float, passed: float) -> bool:
        stat = process_stat(group.leader)
        if stat is None or stat.start != group.start:
            return False
        if group.stopped is None:
            # One that waits for a core because others have them all has used little, and is not idle.
            group.idle = stat.state != "R" and (stat.own_ticks - group.ticks) * _TICK_S < _IDLE * passed
        else:
            # Its clock is brought up to date now and then, for those who read it meanwhile.
            self._standstill.add(group.position, now - group.stopped)
            group.stopped = now
        group.ticks = stat.own_ticks
        return not group.idle

    def _stop(self, group: Group, now: float) -> None:
        if group.stopped is None and signal_group(group.leader, group.start, signal.SIGSTOP):
            group.stopped = now

    def _go_on(self, group: Group, now: float) -> None:
        if group.stopped is None:
            return
        # First the clock: as soon as it goes on it may read it.
        self._standstill.add(group.position, now - group.stopped)
        group.stopped = None
        signal_group(group.leader, group.start, signal.SIGCONT)

    def _used_s(self, now: float, *, counts: bool) -> float:
        """CPU seconds that the run's processes have used since the last call, this one included."""
        if not counts or now - self._tree_at >= _SAY_S:
            self._tree_at = now
            living = [self._scheduler, *descendants(self._scheduler)]
            known, self._tree = self._tree, {}
            for pid in living:
                self._tree[pid] = known.get(pid, 0) if counts else self._ticks(pid)
        used = 0
        for pid, before in self._tree.items():
            ticks = self._ticks(pid)
            used += max(0, ticks - before)
            self._tree[pid] = max(ticks, before)
        return used * _TICK_S

    @staticmethod
    def _ticks(pid: int) -> int:
        stat = process_stat(pid)
        return 0 if stat is None else stat.own_ticks

    def _look_at_others(self, now: float) -> None:
        if self._foreign is not None and now - self._foreign[0] < PERIOD_S:
            return
        user_s = user_seconds(_read_stat(), self._cores)
        if self._foreign is not None:
            passed = now - self._foreign[0]
            used = {core: (seconds - self._foreign[1].get(core, seconds)) / passed for core, seconds in user_s.items()}
            self.others.look(sum(used.values()), passed)
            for core, cores in used.items():
                self.by_core[core].look(cores, passed)
        self._foreign = now, user_s


def user_seconds(stat: Iterable[bytes], cores: frozenset[int]) -> dict[int, float]:
    """CPU seconds of processes that are not nice, by core, as ``/proc/stat`` tells; those of a run are nice."""
    found = {}
    for line in stat:
        words = line.split()
        if words and words[0].startswith(b"cpu") and words[0][3:].isdigit() and int(words[0][3:]) in cores:
            found[int(words[0][3:])] = int(words[1]) * _TICK_S
    return found


def _read_stat() -> list[bytes]:
    with open("/proc/stat", "rb") as stream:
        return stream.read().splitlines()


def main() -> None:
    """Obey and look until the input ends."""
    scheduler, descriptor, cores, steps_back = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)  # the end of its input is its end
    governor = Governor(int(scheduler), Standstill(int(descriptor)), frozenset(map(int, cores.split(","))),
                        steps_back=steps_back == "1")
    os.set_blocking(1, False)
    rest, said, allowed = b"", 0.0, math.nan
    while True:
        if select.select([0], [], [], governor.wakes_after_s)[0]:
            block = os.read(0, 1 << 16)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                governor.told(line)
        now = time.monotonic()
        governor.look(now)
        # A change is told at once: it may be followed by a long sleep.
        if now - said >= _SAY_S or governor.allowed != allowed:
            said, allowed = now, governor.allowed
            state = json.dumps({"allowed": governor.allowed, "others": round(governor.others.cores, 3),
                               "stepping_back": governor.others.stepping_back})
            with contextlib.suppress(BlockingIOError, BrokenPipeError):  # a scheduler that is busy reads a later one
                os.write(1, state.encode() + b"\n")
    governor.close()


if __name__ == "__main__":
    main()
