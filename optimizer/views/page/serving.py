"""Listening for the live page: on which address, until when, and how it ends."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import secrets
import signal
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

from optimizer.errors import UserError
from optimizer.views.page.guard import Rules

#: Taken where it is free and no other was asked for.
PORT = 8321
#: What an address, a cookie and a header carry unchanged.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the page is to be had."""

    sock: socket.socket
    #: As a person opens it, the token in it where one is needed.
    address: str
    rules: Rules


def open_place(host: str, port: int | None, token: str | None) -> Place:
    """Listen on this address; away from loopback a token is made where none was given.

    Args:
        port: ``None`` takes `PORT`, or any free one where that is taken.

    Raises:
        UserError: the address cannot be had, or the token is none.
    """
    if token is not None and not _TOKEN.fullmatch(token):
        raise UserError("--token takes eight or more letters, digits, - and _; leave it away to have one made")
    sock = _listening(host, port)
    bound = ipaddress.ip_address(sock.getsockname()[0])
    number = int(sock.getsockname()[1])
    if token is None and not bound.is_loopback:
        token = secrets.token_urlsafe(24)
    names = {socket.gethostname().lower(), host.lower()} if not bound.is_loopback else set()
    rules = Rules(names=frozenset(names), loopback=bound.is_loopback, token=token, cookie=f"optimizer-{number}")
    shown = socket.gethostname() if bound.is_unspecified else f"[{bound}]" if bound.version == 6 else str(bound)
    return Place(sock=sock, rules=rules,
                 address=f"http://{shown}:{number}/" + (f"?token={token}" if token is not None else ""))


def serve(place: Place, application: Any) -> None:
    """Answer until Ctrl-C or SIGTERM; requests under way have a second to end."""
    logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
    config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off", ws="none", http="h11",
                            loop="asyncio", server_header=False, timeout_graceful_shutdown=1, limit_concurrency=64)
    _Server(config).run(sockets=[place.sock])


class _Server(uvicorn.Server):
    """Ends well on a signal, rather than raising it once more at the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Until the block ends, signals ask the server to end."""
        def end(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before: dict[int, Callable[..., Any] | int | None] = {
            number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listening(host: str, port: int | None) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, PORT if port is None else port, type=socket.SOCK_STREAM,
                                   flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host: {host!r} is no address of this machine ({error}); try 127.0.0.1") from error
    family, _, _, _, address = found
    for number in (address[1], 0) if port is None else (address[1],):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address[0], number))
            sock.listen(64)
        except OSError as error:
            sock.close()
            failed = error
        else:
            return sock
    raise UserError(f"{host} port {port or PORT} cannot be listened on: {failed.strerror}; "
                    "name another with --port, or leave it away") from failed
