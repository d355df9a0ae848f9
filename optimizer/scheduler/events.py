"""Where everything that happens in a run is told: first to the journal, then to whoever listens."""

from __future__ import annotations

import contextlib
import errno
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optimizer.errors import StorageFault
from optimizer.journal import Journal, Record, encode_line
from optimizer.scheduler.ballast import NEARLY_FULL, PLENTY, Ballast

#: Lines of the log that a screen can show.
_SHOWN = 50
#: Seconds between two tries while the journal takes nothing.
_TRY_EVERY_S = 1.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: What a person can do, by the system's error.
_ADVICE = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your quota on that disk",
    errno.EROFS: "mount that file system writable again",
    errno.EIO: "look at that disk: dmesg tells more",
    errno.EACCES: "make the run's folder writable",
    errno.EPERM: "make the run's folder writable",
}


@dataclass(frozen=True)
class _Line:
    record: Record
    encoded: bytes
    durable: bool


class EventLog:
    """The journal, the run's log file and the listeners, behind one call that never fails.

    While the journal cannot be written, lines wait in memory in their order, and `trouble` says why. Whoever listens
    hears of an event when it is in the journal, not before.
    """

    def __init__(
        self, journal: Journal, log_file: Path, narrate: Callable[[Record], str | None],
        listeners: Sequence[Callable[[Record], None]] = (), ballast: Ballast | None = None,
    ) -> None:
        """``narrate`` gives an event's line for the log, or ``None`` where it is not worth one."""
        self._journal = journal
        self._log_file = log_file
        self._narrate = narrate
        self._listeners = list(listeners)
        self._ballast = ballast
        #: The latest lines, oldest first.
        self.lines: deque[str] = deque(maxlen=_SHOWN)
        #: Empty while all is well; else why nothing new may be started, and what to do about it, in one line.
        self.trouble = ""
        self._waiting: deque[_Line] = deque()
        self._tried = 0.0
        if ballast is not None:
            ballast.make()

    @property
    def settled(self) -> bool:
        """Whether everything that was emitted is in the journal, and what is durable on the disk."""
        return not self._waiting

    def emit(self, event: str, *, durable: bool = False, **fields: object) -> None:
        """Journal an event (on the disk when this returns, if ``durable`` and `settled`), then tell whoever listens."""
        record = self._journal.record(event, **fields)
        line = self._narrate(record)
        if line is not None:
            self.lines.append(line)
            self.note(line)
        self._waiting.append(_Line(record, encode_line(record), durable))
        if len(self._waiting) == 1 or time.monotonic() >= self._tried + _TRY_EVERY_S:
            self._flush()

    def notice(self, text: str) -> None:
        """Tell something that the person should know."""
        self.emit("notice", text=text)

    def note(self, text: str) -> None:
        """Write to the log file alone; what a full disk does not take is in the journal all the same."""
        with contextlib.suppress(OSError), self._log_file.open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")

    def check_folder(self) -> None:
        """See that the run's folder is where it was.

        Raises:
            StorageFault: it is gone, and with it the run.
        """
        if not self._journal.is_in_its_folder():
            raise StorageFault(f"{self._journal.path.parent} was moved away or deleted while the run was going on, so "
                               "the run has ended; put the folder back and start it again, to go on from there")

    def retry(self) -> None:
        """Once a second: see that the journal is where it was and write what waits; say when things are well again.

        Raises:
            StorageFault: the run's folder is gone, and with it the run.
        """
        self.check_folder()
        try:
            found = self._journal.keep_in_place()
        except StorageFault as fault:
            self._refused(fault)
            return
        if found:
            self.notice(found)
        self._flush()
        if self.settled:
            self._look_at_space()

    def met_a_full_disk(self, error: OSError) -> None:
        """Another file of the run could not be written: where the disk is full, it gets the reserve too."""
        if error.errno in _FULL and self._gives_reserve():
            self._flush()

    def close(self, patience_s: float) -> str:
        """Write what waits, for so long; returns what is lost by it, or nothing. The reserve is given back."""
        until = time.monotonic() + patience_s
        # What happened to the file in the last second was not looked at yet.
        with contextlib.suppress(StorageFault):
            self.retry()
        while self._waiting and time.monotonic() < until:
            time.sleep(0.2)
            self._flush()
        if self._ballast is not None:
            self._ballast.give_back()
            self._flush()
        if not self._waiting:
            return ""
        told = [line.record["trial"] for line in self._waiting if line.record["event"] == "trial_told"]
        which = f", with the results of {', '.join(told)}: what optuna.db lacks of these runs again" if told else ""
        text = (f"{len(self._waiting)} lines could not be written to {self._journal.path}{which} ({self.trouble}); "
                "then run the same command again")
        self.note(text)
        return text

    def _flush(self) -> None:
        """Write what waits, in order, until it is done or refused."""
        while self._waiting:
            line = self._waiting[0]
            try:
                self._journal.write(line.encoded, durable=line.durable)
            except StorageFault as fault:
                if _errno(fault) in _FULL and self._gives_reserve():
                    continue
                self._refused(fault)
                return
            self._waiting.popleft()
            self._heard(line.record)

    def _gives_reserve(self) -> bool:
        """Give back the space held in reserve and say so; false where there is none left."""
        if self._ballast is None or not self._ballast.give_back():
            return False
        self._say(f"{self._journal.path.parent}: the disk is full; results are still written, into the space held in "
                  "reserve, and nothing new starts until you free some space on that disk")
        return True

    def _refused(self, fault: StorageFault) -> None:
        self._tried = time.monotonic()
        advice = _ADVICE.get(_errno(fault), "see that it can be written to")
        self._say(f"{fault}; nothing new starts, and what is finished waits in memory: {advice}")

    def _say(self, trouble: str) -> None:
        """Have it seen at once: on screens by the status, in the log, and in the journal when that is possible."""
        if trouble == self.trouble:
            return
        self.trouble = trouble
        self.lines.append(trouble)
        self.note(trouble)
        record = self._journal.record("notice", text=trouble)
        self._waiting.append(_Line(record, encode_line(record), durable=False))

    def _look_at_space(self) -> None:
        """Everything is written: is there space to go on?"""
        if self._ballast is None:
            self._well()
            return
        free = self._ballast.free()
        if free is not None and free < NEARLY_FULL and not self.trouble:
            self._say(f"{self._journal.path.parent}: the disk is nearly full, {free >> 20} MiB are left; nothing new "
                      f"starts until {PLENTY >> 20} MiB are free: free some space on that disk")
            self._flush()
        elif self.trouble and (free is None or free >= PLENTY) and self._ballast.make():
            self._well()

    def _well(self) -> None:
        if self.trouble:
            self.trouble = ""
            self.notice("the journal can be written again, and everything that waited is in it")

    def _heard(self, record: Record) -> None:
        for listener in list(self._listeners):
            try:
                listener(record)
            except Exception as error:
                # Whoever only listens must not end the run; it is heard no more, and that is said.
                self._listeners.remove(listener)
                self.notice(f"a listener failed and is told nothing more: {type(error).__name__}: {error}")


def _errno(fault: StorageFault) -> int:
    cause = fault.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0
