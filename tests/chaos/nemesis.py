"""The nemesis: carries out a run as a person would, and breaks it from outside while it goes on.

It starts the command, does what the timeline says, starts the command again whenever it has ended, and after every
death of a scheduler looks at what that has left. It waits for the run's end and for its own next act, and for nothing
else; it reads ``/proc`` once per act.
"""

from __future__ import annotations

import functools
import heapq
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import damage
from tests.chaos.checker import OnlyGrows, database_is_sound
from tests.chaos.evidence import (
    Process,
    children_of,
    process,
    processes,
    processes_of,
    read_journal,
    scheduler_of,
    ticks_since_boot,
)
from tests.chaos.faults import SCHEDULER_KILLS, WORKER_KILLS, Fault

#: Seconds after a scheduler's death from which on a process that it left behind is an orphan.
ORPHAN_S = 2.0
#: Starts in a row that end by themselves without a told trial, before nobody would try again.
_MOST_FUTILE = 8
_LOOK_AGAIN_S = 0.4
#: Seconds of peace after the last fault.
_CALM_S = 4.0
#: Seconds that a child may be a zombie: longer than we ever stop its scheduler.
_ZOMBIE_S = 10.0
_LONGEST_STOP_S = 8.0
DONE, REFUSED, STOPPED = 0, 2, 3


@dataclass
class Report:
    """What was done, and what was found."""

    seconds: float = 0.0
    #: Seconds in which no scheduler ran.
    down_s: float = 0.0
    starts: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    #: Faults that found nothing to hit.
    missed: Counter[str] = field(default_factory=Counter)
    #: Faults that were still to come when the run had finished.
    not_given: int = 0
    scheduler_kills: int = 0
    worker_kills: int = 0
    integrity: Counter[str] = field(default_factory=Counter)
    told: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    #: Processes that a live scheduler did not reap from one act to the next.
    zombies: list[str] = field(default_factory=list)
    #: Ended processes of a dead scheduler that the machine's init had not reaped after two seconds: not our doing.
    left_to_init: int = 0
    #: Ends by themselves with another exit code than 0 and 3: time, code, last words.
    refusals: list[str] = field(default_factory=list)
    #: What the person had to do besides starting the command again.
    helped: list[str] = field(default_factory=list)
    #: Faults after which SQLite found something wrong that the nemesis had not done.
    unsound: list[str] = field(default_factory=list)
    finished: bool = False

    @property
    def clean(self) -> bool:
        """Whether every promise was kept as far as can be seen while it went on."""
        return self.finished and not (self.lost or self.doubled or self.orphans or self.zombies or self.unsound)


class Nemesis:
    """One run and what is done to it."""

    def __init__(self, study: Path, faults: list[Fault], *, disk: Path | None = None,
                 say: Callable[[str], None] = print, environment: Mapping[str, str] | None = None,
                 stop_at_last: bool = False, patience_s: float = 90.0) -> None:
        """``disk``: a small disk of its own that the run's folder is on; without it, filling is not possible.

        ``stop_at_last``: once every fault was given and set right, stop the run politely, and do not wait for its end.
        ``patience_s``: how long a fault waits for what it is to hit; then it is left out, and counted so.
        """
        self.study = study
        self.folder = study.with_suffix("")
        self.report = Report()
        self._disk = disk
        self._say = say
        self.environment = {**os.environ, **(environment or {})}
        self._log = study.with_suffix(".out")
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._left = len(faults)
        self._faults = faults
        self._run: subprocess.Popen[bytes] | None = None
        self._grows = OnlyGrows(self.folder)
        self._begun = time.monotonic()
        self._down_since: float | None = None
        #: What is to be done before the next start, and why the scheduler was killed.
        self._before_restart: Callable[[], str] | None = None
        #: Number of `run_started` when the database was last corrupted: a later start must have mended it.
        self._corrupted_at: int | None = None
        self._futile, self._told_at_start = 0, 0
        #: Children in state Z, by pid and start, and when they were first seen so.
        self._unreaped: dict[tuple[int, int], float] = {}
        self._stop_at_last = stop_at_last
        self._patience_s = patience_s
        self._asked_to_stop: int | None = None
        self._stop, self._stopper = os.pipe()
        self._stopping = False

    # The frame.

    def run(self) -> Report:
        """Go on until the run has finished, or `stop` is called."""
        self._begun = time.monotonic()
        try:
            self._go_on()
        finally:
            self._set_right()
        self.report.seconds = time.monotonic() - self._begun
        self.report.not_given = self._left
        self._look()
        return self.report

    def _go_on(self) -> None:
        self._start()
        # The timeline begins with the first told trial, so that there is something to lose.
        self._later(0.0, self._when_told)
        while not self._stopping:
            now = time.monotonic()
            if self._run is not None and self._run.poll() is not None:
                if self._ended(self._run.returncode):
                    break
            elif self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
                if not self._due and not self._left and self._stop_at_last and self._asked_to_stop is None:
                    self._later(_CALM_S, self._stop_politely)
            else:
                self._wait(self._due[0][0] - now if self._due else None)

    def stop(self) -> None:
        """End `run` from another thread or a signal handler, and the run with it."""
        self._stopping = True
        os.write(self._stopper, b"x")

    def _stop_politely(self) -> None:
        """Once per start, and not before it has begun: it would end without a word."""
        if self._run is None or self._asked_to_stop == self._run.pid:
            return
        if any(r["pid"] == self._run.pid for r in read_journal(self.folder).of("run_started")):
            self._note("every fault was given; stopping it politely")
            self._asked_to_stop = self._run.pid
            self._run.terminate()
        else:
            self._later(_LOOK_AGAIN_S, self._stop_politely)

    def _wait(self, seconds: float | None) -> None:
        watched = select.poll()
        watched.register(self._stop, select.POLLIN)
        descriptor = None
        if self._run is not None:
            descriptor = os.pidfd_open(self._run.pid)
            watched.register(descriptor, select.POLLIN)
        try:
            watched.poll(None if seconds is None else max(0.0, seconds) * 1000 + 1)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._due, (time.monotonic() + seconds, self._number, action))

    def _set_right(self) -> None:
        """Nothing stays stopped, full or running because of us."""
        if self._disk is not None:
            damage.empty(self._disk)
        if self._run is not None and self._run.poll() is None:
            self._run.send_signal(signal.SIGKILL)
            self._run.wait()
        for one in processes_of(self.folder):
            if one.state == "T":
                os.kill(one.pid, signal.SIGCONT)

    def _note(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._begun:8.1f} s  {text}")

    # Starting, and what an end has left.

    def _start(self) -> None:
        command = [sys.executable, "-m", "optimizer", "run", str(self.study), "--plain"]
        with self._log.open("ab") as stream:
            self._said_from = stream.tell()
            self._run = subprocess.Popen(command, cwd=self.study.parent.parent, stdin=subprocess.DEVNULL,
                                         stdout=stream, stderr=stream, start_new_session=True, env=self.environment)
        self.report.starts += 1
        if self._stop_at_last and self._faults and not self._left:
            self._asked_to_stop = None
            self._later(_CALM_S, self._stop_politely)
        self._told_at_start = len(self._grows.told)
        if self._down_since is not None:
            self.report.down_s += time.monotonic() - self._down_since
            self._down_since = None

    def _when_told(self) -> None:
        self._grows.look()
        if not self._grows.told:
            self._later(_LOOK_AGAIN_S, self._when_told)
            return
        for fault in self._faults:
            self._later(fault.at_s, functools.partial(self._strike, fault))

    def _ended(self, code: int) -> bool:
        """Look at what an end has left, and see to the next start; whether there is none to be."""
        self._run, self._down_since = None, time.monotonic()
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        self.report.exits[name] += 1
        self._look()
        if code == DONE or (code == STOPPED and self._stop_at_last and not self._left):
            self._note(f"finished with {len(self._grows.told)} told")
            self.report.finished = True
            return True
        futile = code > 0 and code != STOPPED and len(self._grows.told) == self._told_at_start
        self._futile = self._futile + 1 if futile else 0
        if code > 0 and code != STOPPED:
            words = self._last_words()
            self.report.refusals.append(f"{time.monotonic() - self._begun:.0f} s, {name}: {words}")
            self._note(f"ended by itself with {name}: {words}")
            self._help(words)
        if self._futile >= _MOST_FUTILE:
            self._note("it cannot be started any more; given up")
            return True
        # A person is sometimes quick and sometimes not; after a refusal nobody is.
        self._later(2.0 if futile else 0.3 + 1.2 * (self.report.starts % 5) / 5, self._restart)
        return False

    def _look(self) -> None:
        """What was told is told; the database is sound."""
        claim = self._grows.look()
        self.report.told = len(self._grows.told)
        self.report.lost, self.report.doubled = sorted(self._grows.lost), sorted(self._grows.doubled)
        if not claim.holds:
            self._note(f"BROKEN: {claim.broken[0]}")
        sound = database_is_sound(self.folder)
        self.report.integrity["ok" if sound.holds else "damaged"] += 1
        if not sound.holds:
            ours = self._corrupted_at is not None and self._starts_so_far() <= self._corrupted_at
            if ours:
                self.report.integrity["damaged"] -= 1
                self.report.integrity["as we left it"] += 1
            else:
                self.report.unsound.append(f"{time.monotonic() - self._begun:.0f} s: {sound.seen}")
                self._note(f"BROKEN: integrity_check says {sound.seen}")

    def _starts_so_far(self) -> int:
        return len(read_journal(self.folder).of("run_started"))

    def _last_words(self) -> str:
        with self._log.open("rb") as stream:
            stream.seek(self._said_from)
            return " ".join(stream.read().decode(errors="replace").split())[-300:]

    def _help(self, words: str) -> None:
        """Do what the message asks a person to do."""
        database = self.folder / "optuna.db"
        if "move it away" in words and "optuna.db" in words and database.exists():
            for path in self.folder.glob("optuna.db*"):
                if ".moved" not in path.name:
                    path.rename(path.with_name(f"{path.name}.moved-{self.report.starts}"))
            self.report.helped.append("moved optuna.db away, as asked")

    def _restart(self) -> None:
        if self._before_restart is not None:
            # What is left of the old run must be gone before its files are damaged.
            if any(p.role in ("recorder", "worker") for p in processes_of(self.folder)):
                self._later(0.1, self._restart)
                return
            self._note(f"          {self._before_restart()}")
            self._before_restart = None
        self._start()

    # Faults.

    def _strike(self, fault: Fault, since: float | None = None) -> None:
        """Do it, or try again a little later where there is nothing to hit yet."""
        since = time.monotonic() if since is None else since
        hit = self._hit(fault)
        if hit is None:
            if time.monotonic() - since < self._patience_s:
                self._later(_LOOK_AGAIN_S, functools.partial(self._strike, fault, since))
                return
            self.report.missed[fault.kind] += 1
            self._left -= 1
            self._note(f"{fault.kind}: there was nothing to hit")
            return
        self.report.given[fault.kind] += 1
        self.report.scheduler_kills += fault.kind in SCHEDULER_KILLS
        self.report.worker_kills += fault.kind in WORKER_KILLS
        self._left -= 1
        self._note(f"{fault.kind}: {hit}; {len(self._grows.told)} told at the last look, {self._left} faults to come")

    def _hit(self, fault: Fault) -> str | None:
        if fault.kind == "fill_disk":
            return self._fill(fault.hold_s)
        if self._run is None or (fault.kind != "kill_scheduler" and scheduler_of(self.folder) != self._run.pid):
            return None
        mine = children_of(self._run.pid)
        self._count_zombies(mine)
        action, _, role = fault.kind.partition("_")
        if fault.kind in SCHEDULER_KILLS or role == "scheduler":
            return self._strike_scheduler(fault, action, mine)
        targets = [p for p in mine if p.role == role and p.state not in "ZT"]
        if not targets:
            return None
        target = targets[int(fault.draw * len(targets))]
        if action == "stop":
            return self._hold(target, fault.hold_s)
        os.kill(target.pid, signal.SIGSEGV if action == "segv" else signal.SIGKILL)
        return f"pid {target.pid}"

    def _strike_scheduler(self, fault: Fault, action: str, mine: list[Process]) -> str | None:
        assert self._run is not None
        me = process(self._run.pid)
        if me is None or me.state == "T":
            return None
        if action == "stop":
            return self._hold(me, min(fault.hold_s, _LONGEST_STOP_S))
        if action == "term":
            self._run.terminate()
            return f"pid {me.pid}"
        damages: dict[str, Callable[[Path, float], str]] = {
            "corrupt": damage.corrupt_database, "cut": damage.cut_journal, "garbage": damage.garbage_in_journal}
        if action in damages:
            self._before_restart = lambda: damages[action](self.folder, fault.draw)
            if action == "corrupt":
                self._corrupted_at = self._starts_so_far()
        self._run.kill()
        killed = ticks_since_boot()
        self._later(ORPHAN_S, lambda: self._count_orphans([me, *mine], killed))
        return f"pid {me.pid} with {len(mine)} children"

    def _hold(self, target: Process, seconds: float) -> str:
        os.kill(target.pid, signal.SIGSTOP)

        def go_on() -> None:
            now = process(target.pid)
            if now is not None and now.started == target.started:
                os.kill(target.pid, signal.SIGCONT)

        self._later(seconds, go_on)
        return f"pid {target.pid} for {seconds:.1f} s"

    def _fill(self, seconds: float) -> str | None:
        disk = self._disk
        if disk is None:
            return None
        taken = damage.fill(disk)
        self._later(seconds, lambda: damage.empty(disk))
        return f"{taken / 2**20:.0f} MiB for {seconds:.1f} s"

    def _count_orphans(self, old: list[Process], killed: int) -> None:
        """Whoever belonged to the scheduler that was killed (at `killed`, in ticks) and lives still.

        What began after that belongs to a later scheduler, which may have been killed since: its own count is to come.
        """
        present = {(p.pid, p.started): p for p in processes()}
        left = [one for p in old if (one := present.get((p.pid, p.started))) is not None]
        # Those that were started after the last look, too.
        left += [p for p in processes_of(self.folder) if p not in left and p.started <= killed]
        self.report.left_to_init += sum(p.state == "Z" for p in left)
        for p in left:
            if p.state != "Z":
                text = f"{time.monotonic() - self._begun:.0f} s: {p.role} {p.pid} in state {p.state}"
                self.report.orphans.append(text)
                self._note(f"BROKEN: orphan: {text}")

    def _count_zombies(self, mine: list[Process]) -> None:
        """Children that have been in state Z for longer than their scheduler can have been stopped."""
        now = time.monotonic()
        zombies = {(p.pid, p.started) for p in mine if p.state == "Z"}
        self._unreaped = {key: self._unreaped.get(key, now) for key in zombies}
        for key, since in self._unreaped.items():
            if now - since >= _ZOMBIE_S:
                self._unreaped[key] = math.inf  # said once
                self.report.zombies.append(f"{now - self._begun:.0f} s: {key[0]}, not reaped by its scheduler")
                self._note(f"BROKEN: zombie {key[0]}")
