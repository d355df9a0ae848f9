"""A backend in which nothing lives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from optimizer.backends.base import WorkerLost
from optimizer.messages import Command, Event
from optimizer.resources import Slot


class QuietBackend:
    """Notes what it is sent and asked to end; nothing is ever received, a little at a time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.sent: list[tuple[str, Command]] = []

    def start(self, slot: Slot, opencl: tuple[int, int] | None = None, reach: tuple[int, ...] = ()) -> None:
        """Nothing lives here."""

    def send(self, slot: str, command: Command) -> None:
        """Nobody listens."""
        self.sent.append((slot, command))

    def receive(self, timeout_s: float, others: Sequence[Any] = ()) -> list[tuple[str, Event | WorkerLost]]:
        time.sleep(0.001)
        return []

    def kill(self, slot: str, reason: str) -> None:
        self.asked.append(("kill", slot, reason))

    def end(self, slot: str, reason: str) -> None:
        self.asked.append(("end", slot, reason))

    def pid(self, slot: str) -> int | None:
        return 1

    def close(self, grace_s: float = 0.0) -> None:
        """Nothing lives here."""
