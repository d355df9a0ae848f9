"""How a process that must end is ended: which signal is due when, and when there is no hope left."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

#: Seconds after it was asked for, and the signal then: stacks into the log, a chance to leave, the end.
BY_STEPS = ((0.0, signal.SIGUSR1), (1.0, signal.SIGTERM), (6.0, signal.SIGKILL))
AT_ONCE = ((0.0, signal.SIGKILL),)
#: For one that has said that it leaves: its exit comes a moment after the end of its channel.
LEAVING = ((0.5, signal.SIGKILL),)
#: Seconds after SIGKILL at which a process that is still there is given up; it waits for a device that does not answer.
HOPELESS_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How far the end of a process has come; times are monotonic seconds."""

    since: float
    steps: tuple[tuple[float, signal.Signals], ...]
    killed: float | None = None

    def due(self, now: float) -> tuple[tuple[signal.Signals, ...], Ending]:
        """The signals to send now, and what is left to do after them."""
        signals = tuple(number for after, number in self.steps if now >= self.since + after)
        if not signals:
            return (), self
        if signal.SIGKILL in signals:
            # Two steps may come due at once where nobody looked for long: the last is enough.
            return (signal.SIGKILL,), replace(self, steps=(), killed=now)
        return signals, replace(self, steps=self.steps[len(signals):])

    def wait_s(self, now: float) -> float:
        """Seconds until it makes sense to look again: at the next step, and often where the exit is expected."""
        if self.killed is not None:
            return 0.02 if now - self.killed < 1.0 else 0.5
        after, number = self.steps[0]
        left = max(0.0, self.since + after - now)
        return min(left, 0.02) if number == signal.SIGKILL else left

    def is_hopeless(self, now: float) -> bool:
        """Whether even SIGKILL has not ended it."""
        return self.killed is not None and now - self.killed >= HOPELESS_S

    def kills_by(self) -> float:
        """When SIGKILL is sent, or was."""
        return self.killed if self.killed is not None else self.since + self.steps[-1][0]


def sooner(present: Ending | None, other: Ending) -> Ending:
    """Of two ways to end, the one that comes to SIGKILL first."""
    if present is None or other.kills_by() < present.kills_by():
        return other
    return present
