"""Who may see the live page, decided from the request alone."""

from __future__ import annotations

import pytest

from optimizer.errors import UserError
from optimizer.views.page.guard import Rules, judge
from optimizer.views.page.serving import open_place

LOOPBACK = Rules()
OPEN = Rules(loopback=False, token="right-token", names=frozenset({"big-box"}), cookie="optimizer-1")


def status(rules: Rules, host: str, *, method: str = "GET", path: str = "/", query: str = "", **headers: str) -> int:
    return judge(rules, method, path, query, {"host": host, **headers}).status


@pytest.mark.parametrize(("host", "expected"), [
    ("127.0.0.1:8321", 200), ("localhost:8321", 200), ("LOCALHOST", 200), ("[::1]:8321", 200), ("127.0.0.1", 200),
    ("evil.example:8321", 421), ("127.0.0.1.evil.example", 421), ("10.0.0.5:8321", 421), ("", 421), ("big-box", 421),
])
def test_on_loopback_only_names_of_this_machine_are_answered_to(host: str, expected: int) -> None:
    """A page of somebody else whose name was made to lead here says its own name."""
    assert status(LOOPBACK, host) == expected


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_the_page_is_read_only(method: str) -> None:
    assert status(LOOPBACK, "localhost", method=method) == 405
    assert status(LOOPBACK, "localhost", method="HEAD") == 200


def test_elsewhere_a_token_is_needed_on_every_address() -> None:
    for host in ("10.0.0.5:8321", "big-box:8321"):
        for path in ("/", "/changes", "/plots"):
            assert status(OPEN, host, path=path) == 401
            assert status(OPEN, host, path=path, authorization="Bearer right-token") == 200
            assert status(OPEN, host, path=path, cookie="a=b; optimizer-1=right-token") == 200
            assert status(OPEN, host, path=path, cookie='of[another="site; optimizer-1=right-token') == 200
            for wrong in ("", "right-toke", "right-tokens", "tökén"):
                assert status(OPEN, host, path=path, authorization=f"Bearer {wrong}") == 401
                assert status(OPEN, host, path=path, cookie=f"optimizer-1={wrong}") == 401
    assert status(OPEN, "evil.example", authorization="Bearer right-token") == 421


@pytest.mark.parametrize(("site", "mode", "expected"), [
    ("cross-site", "no-cors", 403), ("cross-site", "cors", 403), ("cross-site", "navigate", 200),
    ("same-origin", "cors", 200), ("none", "navigate", 200),
])
def test_another_page_in_the_same_browser_cannot_have_it_ask(site: str, mode: str, expected: int) -> None:
    verdict = judge(LOOPBACK, "GET", "/importance", "dataset=x", {
        "host": "localhost", "sec-fetch-site": site, "sec-fetch-mode": mode})
    assert verdict.status == expected


def test_the_token_leaves_the_address_line_at_once() -> None:
    verdict = judge(OPEN, "GET", "/", "token=right-token", {"host": "big-box"})
    assert verdict.status == 303
    headers = dict(verdict.headers)
    assert headers[b"location"] == b"/"
    assert headers[b"set-cookie"] == b"optimizer-1=right-token; Path=/; HttpOnly; SameSite=Lax"
    assert status(OPEN, "big-box", query="token=wrong-token") == 401


@pytest.mark.parametrize("token", ["", "short", "with space in it", "a;b=cdefgh", "ünïcödelong"])
def test_a_token_that_a_header_cannot_carry_is_refused(token: str) -> None:
    with pytest.raises(UserError, match="eight or more"):
        open_place("127.0.0.1", 0, token)


def test_an_address_that_is_not_ours_is_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match="no address of this machine"):
        open_place("no-such-host.invalid", None, None)
    with pytest.raises(UserError, match="cannot be listened on"):
        open_place("203.0.113.7", None, None)


def test_a_port_that_is_taken_is_passed_over_unless_it_was_asked_for() -> None:
    first = open_place("127.0.0.1", 0, None)
    try:
        taken = first.sock.getsockname()[1]
        assert first.address == f"http://127.0.0.1:{taken}/"
        with pytest.raises(UserError, match="--port"):
            open_place("127.0.0.1", taken, None)
    finally:
        first.sock.close()


def test_away_from_loopback_a_token_is_made() -> None:
    place = open_place("0.0.0.0", 0, None)  # noqa: S104 - what is tested is that it asks for a token
    place.sock.close()
    assert place.rules.token is not None
    assert len(place.rules.token) >= 32
    assert place.rules.token in place.address
    assert not place.rules.loopback
