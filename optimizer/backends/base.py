"""What a backend promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from optimizer.messages import Command, Event
from optimizer.resources import Slot


class WorkerLost(msgspec.Struct, frozen=True, kw_only=True):
    """A slot's worker is gone, whatever the reason."""

    #: ``killed by SIGSEGV``, ``exit code 1``, ``sent bytes that are no message``.
    reason: str
    #: What a library wrote before it aborted the process; empty where it is not known.
    words: str = ""
    #: Even SIGKILL has not ended it, for it waits for a device: its slot must not be used again.
    abandoned: bool = False
    #: It has left by itself between two jobs, for a reason that it gave: nobody's fault, and another shall be started.
    orderly: bool = False


class Backend(Protocol):
    """Starts and ends workers, and carries messages to and from them.

    Duties: everything is called from one thread, the main thread; a worker sees the cores, the threads and the GPU
    of its slot and no others, but that it loads its libraries on every core within its reach; a message of one worker
    never waits for another worker; after `WorkerLost` was received for a slot nothing more comes from it until `start`
    is called again, and every process of that worker is gone, unless it is abandoned; nothing outlives `close`, nor
    the process that called it by more than a moment.
    """

    def start(self, slot: Slot, opencl: tuple[int, int] | None = None, reach: tuple[int, ...] = ()) -> None:
        """Start a worker in a slot that has none; it will say `WorkerReady`.

        Args:
            opencl: the slot's card in OpenCL's counting.
            reach: cores that the worker may be given later, its own included; only these by default.
        """
        ...

    def send(self, slot: str, command: Command) -> None:
        """Send a command; where the worker is gone, `WorkerLost` tells so soon."""
        ...

    def receive(self, timeout_s: float, others: Sequence[Any] = ()) -> list[tuple[str, Event | WorkerLost]]:
        """What came, by slot, in order; waits at most ``timeout_s``, less when one of the other waitables is ready."""
        ...

    def kill(self, slot: str, reason: str) -> None:
        """End a slot's worker at once, with everything it started; `WorkerLost` with this reason follows."""
        ...

    def end(self, slot: str, reason: str) -> None:
        """End a slot's worker that hangs: its stacks into its log, after a second SIGTERM, five later SIGKILL.

        Never waits: the steps are taken inside `receive`. `WorkerLost` with this reason follows.
        """
        ...

    def pid(self, slot: str) -> int | None:
        """The worker's process, or ``None`` where it has none."""
        ...

    def close(self, grace_s: float = 0.0) -> None:
        """End every worker: told to stop, waited for ``grace_s`` seconds, then killed."""
        ...
