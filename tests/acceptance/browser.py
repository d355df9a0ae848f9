"""A real browser that looks at a page, and holds on to everything that it complains of or asks for."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

BROWSER = "/usr/bin/chromium"


@dataclass
class Watched:
    """A tab of the browser with what happened in it."""

    tab: Any
    #: What stands in the console as an error or a warning, and what was thrown.
    complaints: list[str] = field(default_factory=list)
    #: Addresses that were asked for.
    requests: list[str] = field(default_factory=list)

    def rows(self) -> list[str]:
        """The trials on the board, from top to bottom, on the page that is shown."""
        found: list[str] = self.tab.eval_on_selector_all("#board-table tbody tr[data-trial]",
                                                         "lines => lines.map(line => line.dataset.trial)")
        return found

    def total(self) -> int:
        """How many models the board says that it shows."""
        words = self.tab.inner_text("#board-table .dt-info").replace(",", "").split()
        return int(words[words.index("of") + 1]) if "of" in words else 0

    def column(self, name: str) -> list[str]:
        """The cells below a heading, from top to bottom."""
        found: list[str] = self.tab.evaluate("""name => {
            const heads = [...document.querySelectorAll(".models thead th")];
            const place = heads.findIndex(th => th.textContent.trim() === name);
            return [...document.querySelectorAll(".models tbody tr")].map(tr => tr.children[place].textContent);
        }""", name)
        return found

    def heading(self, name: str) -> Any:
        """The heading of a column, to click on."""
        return self.tab.locator(".models thead th", has_text=name).first

    def until(self, true: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until something about the page is true."""
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, f"not seen within {timeout_s} s; complaints: {self.complaints}"
            self.tab.wait_for_timeout(50)

    def drawn(self, count: int = 1) -> None:
        """Wait until so many plots are drawn."""
        self.until(lambda: self.tab.locator(".chart[data-drawn]").count() >= count)


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium; skipped by name where there is none, and failed for it on CI."""
    program = BROWSER if os.access(BROWSER, os.X_OK) else shutil.which("chromium")
    if program is None:
        message = "no chromium is installed; apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its own sandbox needs rights that a container's root does not have; it sees pages of ours alone.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


def watch(found: Any, address: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Watched:
    """Open an address in a profile of its own and wait for the board's first rows."""
    context = found.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True)
    context.set_default_timeout(30_000)
    watched = Watched(context.new_page())
    watched.tab.on("console", lambda m: watched.complaints.append(m.text) if m.type in ("error", "warning") else None)
    watched.tab.on("pageerror", lambda error: watched.complaints.append(str(error)))
    watched.tab.on("request", lambda request: watched.requests.append(request.url))
    watched.tab.goto(address)
    watched.tab.wait_for_selector("#board-table tbody tr[data-trial]")
    return watched
