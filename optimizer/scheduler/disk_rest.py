"""A disk that refuses results (a full quota, no inodes, an input/output error) is left alone, longer and longer."""

from __future__ import annotations

from collections.abc import Callable

from optimizer.backoff import pause_s

_FIRST_S, _MOST_S = 5.0, 300.0


class DiskRest:
    """Whether the disk is left alone now, and why."""

    def __init__(self) -> None:
        self.until = 0.0
        self._reason = ""
        #: How often in a row it has refused.
        self._refusals = 0

    def refused(self, reason: str, now: float) -> None:
        """A file was refused; what others meet at the same time is the same refusal."""
        if now < self.until:
            return
        self._reason = reason
        self._refusals += 1
        self.until = now + pause_s(self._refusals, first_s=_FIRST_S, most_s=_MOST_S)

    def accepted(self) -> None:
        """A trial's results were taken: the next refusal is a first one."""
        self._refusals = 0

    def trouble(self, now: float, refuses: Callable[[], str]) -> str:
        """Why nothing shall be started for its sake; empty where it may.

        ``refuses``: asked when the rest is over; why the disk would not take a file of ours now, for each attempt of
        a trial counts.
        """
        if self._reason and now >= self.until:
            refusal = refuses()
            if refusal:
                self.refused(refusal, now)
            else:
                self._reason = ""
        if not self._reason:
            return ""
        return f"the results of a trial could not be written ({self._reason}); it is tried again in a while"
