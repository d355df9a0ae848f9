"""Write a picture of a run's results page as it opens: the board, 1280 pixels wide.

    .venv/bin/python tools/page_picture.py studies/demo docs/results-page.png
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from optimizer.views.page.build import write_report
from optimizer.views.results import find_run


def main() -> None:
    """Make the page, open it in Chromium, and take the picture."""
    run, out = find_run(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        page = Path(scratch) / "report.html"
        write_report(run, page, now=time.time())
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.goto(page.as_uri())
        tab.wait_for_selector("#board-table tbody tr[data-trial]")
        tab.screenshot(path=out)
        browser.close()
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
