"""Keeps the recorder of ``optuna.db`` alive, and passes on what it says; whatever becomes of it, the run goes on."""

from __future__ import annotations

import time
from typing import Any

from optimizer.backoff import pause_s
from optimizer.scheduler.events import EventLog
from optimizer.study.recording import Added, Reconciled, Recorder, RecorderNotice, RecorderTrouble

#: Told trials that optuna.db may lack: as many as can still be written at the end, within what a deadline leaves.
MOST_LAG = 200


class Recording:
    """The recorder that lives now, and when there may be another."""

    def __init__(self, recorder: Recorder, events: EventLog) -> None:
        self.recorder = recorder
        self._events = events
        #: When it may be started again, and how often it was.
        self._start_from = 0.0
        self._starts = 0
        #: Why ``optuna.db`` is behind now; empty where it is not.
        self._trouble = ""

    @property
    def keeps_up(self) -> bool:
        """Whether more may be told: one that is slow is waited for; one that cannot write is not, for the journal has
        everything."""
        return self.recorder.lag < MOST_LAG or bool(self._trouble)

    def waitables(self) -> list[Any]:
        """What to wait for; of a dead one nothing, for that is always ready."""
        if time.monotonic() < self._start_from or self.recorder.connection.closed:
            return []
        return [self.recorder.connection]

    def hear(self) -> None:
        """Take in what it has said, and start another where it is gone."""
        while self.recorder.connection.closed or self.recorder.connection.poll(0):
            reply = None if self.recorder.connection.closed else self.recorder.receive()
            if reply is None:
                self._restart()
                return
            if isinstance(reply, RecorderTrouble):
                if reply.reason != self._trouble:
                    self._events.notice(f"optuna.db cannot be written and is tried again; the journal has everything, "
                                        f"and the run goes on ({reply.reason})")
                self._trouble = reply.reason
            elif isinstance(reply, RecorderNotice):
                self._events.notice(reply.text)
            elif self._trouble and isinstance(reply, Added | Reconciled):
                self._trouble = ""
                self._events.notice("optuna.db is written again")
        if self.recorder.lag >= MOST_LAG and self.recorder.hangs:
            self.recorder.kill()

    def _restart(self) -> None:
        """Once a second at most: one that cannot live must not keep the scheduler busy; the journal has everything."""
        now = time.monotonic()
        if now < self._start_from:
            return
        if not self._start_from:
            self._events.notice("the recorder of optuna.db is gone and is started again; see logs/recorder.log")
        self._starts += 1
        self._start_from = now + pause_s(self._starts, first_s=1.0, most_s=60.0)
        # Until the next one has brought journal and database together.
        self._trouble = self._trouble or "its recorder has ended"
        try:
            self.recorder = self.recorder.restarted()
        except OSError as error:  # too many processes or too little memory now
            self._trouble = f"its recorder cannot be started: {error}"
