"""Who may ask the live page: a read-only gate in front of it, that decides from the request alone."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: On every answer: nothing is kept by a browser or a proxy, shown in another page, or told to another site.
HEADERS = (
    (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a request must fulfil."""

    #: Names by which the page may be asked for, besides addresses and ``localhost``.
    names: frozenset[str] = frozenset()
    #: Only loopback addresses are answered to, which a request from elsewhere cannot carry.
    loopback: bool = True
    #: ``None`` where none is needed.
    token: str | None = None
    #: Of the cookie that carries the token; browsers do not keep the cookies of two ports apart.
    cookie: str = "optimizer"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is answered instead of the page; with status 200 it is let through."""

    status: int = 200
    text: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def judge(rules: Rules, method: str, path: str, query: str, headers: Mapping[str, str]) -> Verdict:
    """Whether a request may see the page.

    Args:
        query: as in the address, without the question mark.
        headers: by their names in small letters.
    """
    if not is_ours(headers.get("host", ""), rules):
        # A page of somebody else that had its own name point here would carry that name.
        return Verdict(status=421, text="this address is not one of this server's\n")
    if method not in ("GET", "HEAD"):
        return Verdict(status=405, text="this page only shows\n", headers=((b"allow", b"GET, HEAD"),))
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        # Another page that is open in the same browser has it ask for something, as for a picture.
        return Verdict(status=403, text="this is asked for from another site\n")
    if rules.token is None:
        return Verdict()
    offered = (parse_qs(query).get("token") or [""])[-1]
    if offered and path == "/" and _same(offered, rules.token):
        # Out of the address line, where it would be seen and kept in the history.
        cookie = f"{rules.cookie}={rules.token}; Path=/; HttpOnly; SameSite=Lax"
        return Verdict(status=303, headers=((b"location", b"/"), (b"set-cookie", cookie.encode())))
    given = headers.get("authorization", "").removeprefix("Bearer ") or _cookie(headers.get("cookie", ""), rules.cookie)
    if _same(given, rules.token):
        return Verdict()
    return Verdict(status=401, text="a token is needed: open the address that `optimizer serve` printed\n",
                   headers=((b"www-authenticate", b"Bearer"),))


def is_ours(host: str, rules: Rules) -> bool:
    """Whether a ``Host`` header names this server: by an address, as localhost, or by a name it was given."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name == "localhost" or name in rules.names:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not rules.loopback


def _same(given: str, token: str) -> bool:
    """Takes as long for a wrong token as for the right one, whatever it begins with."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _cookie(header: str, name: str) -> str:
    # By hand: the standard library's reader gives all cookies up where one of another site is malformed.
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for found, _, value in pairs if found == name), "")


class Guard:
    """Answers what may not pass by itself, and puts `HEADERS` on everything."""

    def __init__(self, app: App, rules: Rules) -> None:
        """``app``: an ASGI application, which is asked only what may pass."""
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; nothing but HTTP is spoken."""
        if scope["type"] != "http":
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        verdict = judge(self._rules, scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)
        if verdict.status == 200:
            await self._app(scope, receive, guarded)
            return
        kind = (b"content-type", b"text/plain; charset=utf-8")
        await guarded({"type": "http.response.start", "status": verdict.status, "headers": [kind, *verdict.headers]})
        await guarded({"type": "http.response.body", "body": verdict.text.encode()})
