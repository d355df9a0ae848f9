"""Standard input, output and error, of which a run needs none: closed, full, broken or unread, it goes on."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

import click

#: Seconds that a line waits for a terminal or a pipe that nobody reads.
_PATIENCE_S = 5.0


def fill_gaps() -> None:
    """Put the null device where a standard stream was closed.

    Else the next file that is opened, perhaps the journal, gets its number, and with it whatever is printed.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is given out, so this is it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115


def say(text: str, *, err: bool = False) -> None:
    """Print a line, if anybody takes it; what cannot be printed must not change how a run ends."""
    stream = sys.stderr if err else sys.stdout
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        data = f"{text}\n".encode(stream.encoding or "utf-8", "replace")
        # Past the stream's buffer: what it could not get rid of, it would try again, and fail again, at the end.
        # In a thread, because nothing else bounds a write to a terminal that has stopped reading.
        writer = threading.Thread(target=_write, args=(stream.fileno(), data), daemon=True)
        writer.start()
        writer.join(_PATIENCE_S)


def _write(fd: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(fd, data):]


class OutputLost(Exception):  # noqa: N818 - most often nobody's fault
    """Standard output takes no more."""


def show(text: str, *, nl: bool = True) -> None:
    """Print what a command is for; raises `OutputLost` where that cannot be done."""
    try:
        click.echo(text, nl=nl)
    except OSError as error:
        # What is still in the buffer would be tried once more at the end, and fail once more.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        raise OutputLost(error.strerror) from error
