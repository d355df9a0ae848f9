"""Says how far a long piece of work is, and nothing of a short one."""

from __future__ import annotations

import time
from collections.abc import Callable

Report = Callable[[str], None]


class Progress:
    """Passes a line on at most every ``every_s`` seconds, the first only after that time."""

    def __init__(self, report: Report, every_s: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._every_s, self._clock = report, every_s, clock
        self._last = clock()

    def say(self, line: str) -> None:
        """This is being done now; shown only if the last line is old enough."""
        now = self._clock()
        if now - self._last >= self._every_s:
            self._last = now
            self._report(line)


def silent() -> Progress:
    """A progress that nobody hears."""
    return Progress(lambda _: None)
