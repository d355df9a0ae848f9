"""One channel between the scheduler and one worker: messages as JSON bytes over a connection of their own.

A worker that is killed in the middle of a message tears its own channel only; nothing is shared, so nothing
can be left locked.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from multiprocessing.connection import Connection, Pipe
from typing import Generic, TypeVar

from optimizer import messages
from optimizer.errors import ProtocolFault
from optimizer.messages import Command, Report

Received = TypeVar("Received", Command, Report)

#: How a connection announces a message: its length in bytes.
_LENGTH = struct.Struct("!i")
#: Seconds that the scheduler waits for the rest of a message, which is sent in one piece and so is there already.
REST_S = 5


class Disconnected(Exception):  # noqa: N818 - it is how a channel ends, not an error
    """The other end is gone."""


class Channel(Generic[Received]):
    """One end of a channel. Sending is safe from several threads, receiving is for one."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, message: Command | Report) -> None:
        """Send a message; raises `Disconnected` where nobody can receive it any more."""
        data = messages.encode(message)
        # In one piece: a connection of its own accord sends the length of a long message first, and whoever is stopped
        # between the two would hold the reader.
        frame = memoryview(_LENGTH.pack(len(data)) + data)
        with self._lock:
            try:
                while frame:
                    frame = frame[os.write(self.connection.fileno(), frame):]
            except OSError as error:
                raise Disconnected from error

    def ready(self) -> bool:
        """Whether a message, or the end, can be received without waiting."""
        try:
            return self.connection.poll(0)
        except OSError:
            return True

    def close(self) -> None:
        """Close this end."""
        self.connection.close()

    def _receive_bytes(self) -> bytes:
        try:
            return self.connection.recv_bytes(messages.MAX_BYTES)
        except (EOFError, OSError) as error:
            if not self.connection.closed and not self.connection.readable:
                # The connection has given up on a frame that announced more bytes than a message has.
                raise ProtocolFault(f"a frame of more than {messages.MAX_BYTES} bytes") from None
            # A torn or unfinished frame is an OSError, an orderly end an EOFError: either way nothing more comes.
            raise Disconnected from error


class SchedulerEnd(Channel[Report]):
    """The scheduler's end of a worker's channel."""

    def receive(self) -> Report:
        """The next event, which must come within `REST_S`.

        Raises:
            Disconnected: the worker is gone, or has announced a message and not sent it.
            ProtocolFault: for bytes that are no event.
        """
        return messages.decode_event(self._receive_bytes())


class WorkerEnd(Channel[Command]):
    """The worker's end of its channel."""

    @classmethod
    def of_descriptor(cls, descriptor: int) -> WorkerEnd:
        """The end that was inherited as this file descriptor."""
        return cls(Connection(descriptor))

    def receive(self) -> Command:
        """The next command; waits for it. Raises `Disconnected`, or `ProtocolFault` for bytes that are no command."""
        return messages.decode_command(self._receive_bytes())


def channel() -> tuple[SchedulerEnd, Connection]:
    """A new channel: the scheduler's end, and the connection whose descriptor the worker inherits."""
    ours, theirs = Pipe(duplex=True)
    # Whoever announces a message and keeps it back must not hold the scheduler.
    with socket.socket(fileno=os.dup(ours.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", REST_S, 0))
    return SchedulerEnd(ours), theirs
