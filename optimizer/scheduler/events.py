"""Where everything that happens in a run is told: first to the journal, then to whoever listens."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from optimizer.journal import Journal, Record

#: Lines of the log that a screen can show.
_SHOWN = 50


class EventLog:
    """The journal, the run's log file and the listeners, behind one call."""

    def __init__(
        self, journal: Journal, log_file: Path, narrate: Callable[[Record], str | None],
        listeners: Sequence[Callable[[Record], None]] = (),
    ) -> None:
        """``narrate`` gives an event's line for the log, or ``None`` where it is not worth one."""
        self._journal = journal
        self._log_file = log_file
        self._narrate = narrate
        self._listeners = list(listeners)
        #: The latest lines, oldest first.
        self.lines: deque[str] = deque(maxlen=_SHOWN)

    def emit(self, event: str, *, durable: bool = False, **fields: object) -> None:
        """Journal an event (on the disk when this returns, if ``durable``), then tell whoever listens."""
        record = self._journal.append(event, durable=durable, **fields)
        line = self._narrate(record)
        if line is not None:
            self.lines.append(line)
            self.note(line)
        for listener in list(self._listeners):
            try:
                listener(record)
            except Exception as error:
                # Whoever only listens must not end the run; it is heard no more, and that is said.
                self._listeners.remove(listener)
                self.notice(f"a listener failed and is told nothing more: {type(error).__name__}: {error}")

    @property
    def trouble(self) -> str:
        """Why the journal does not take what it is given; empty while it does."""
        return ""

    def retry(self) -> None:
        """Write what waits for the journal."""

    def notice(self, text: str) -> None:
        """Tell something that the person should know."""
        self.emit("notice", text=text)

    def note(self, text: str) -> None:
        """Write to the log file alone; what a full disk does not take is in the journal all the same."""
        with contextlib.suppress(OSError), self._log_file.open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
