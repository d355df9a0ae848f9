"""The page of a run of thousands of models in a real browser: how large, how soon a table, how quick to sort, filter.

    .venv/bin/python -m benchmarks.results_page                        # a minute of searching first, then 5,000 models
    .venv/bin/python -m benchmarks.results_page --run studies/demo     # the trials of a run that is there
    .venv/bin/python -m benchmarks.results_page --run studies/s5e7 --as-it-is    # a run as it is

The run is made of real trials, repeated with other scores, times and parameters until there are enough, and written by
the project's own journal; predictions are those of the real trials. The browser is headless Chromium without a
connection, a fresh profile each time: what is timed is from the start of navigation, or from an input, to the frame
after the table has changed. Each figure is a median of several with the least and the largest.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.place import ROOT, fresh, markdown, note_code, spread, working_folder
from optimizer.journal import Journal, Record, read
from optimizer.records import trial_id
from optimizer.store import Store
from optimizer.views.page.build import write_report

MODELS = 5000
BROWSER = "/usr/bin/chromium"
#: Until the next frame is on its way to the screen.
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"


def searched(folder: Path) -> Path:
    """A minute of searching on three real datasets; the run's folder."""
    subprocess.run([sys.executable, str(ROOT / "tools" / "demo_data.py"), str(folder / "datasets")], check=True)
    study = folder / "studies" / "demo.toml"
    study.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "studies" / "demo.toml", study)
    subprocess.run([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], check=True, cwd=folder,
                   stdout=subprocess.DEVNULL)
    return study.with_suffix("")


def many(source: Path, target: Path, models: int, *, seed: int = 0) -> Path:
    """A run's folder with so many told trials, made of those of another."""
    records = list(read(source / "journal.jsonl"))
    told = [r for r in records if r["event"] == "trial_told"]
    if not told:
        raise SystemExit(f"{source} has no told trial")
    shutil.copytree(source / "data", target / "data")
    chance = random.Random(seed)
    now = [float(records[0]["t"])]
    journal = Journal(target / "journal.jsonl", lambda: round(now[0], 3))
    slots = [slot["name"] for slot in records[0]["slots"]]
    free = dict.fromkeys(slots, now[0] + 1.0)
    for record in records:
        if record["event"] in ("run_started", "dataset_ready", "space_described"):
            journal.append(record["event"], **{k: v for k, v in record.items() if k not in ("event", "t", "crc")})
    worse = {r["dataset"]: -1.0 if r["direction"] == "maximize" else 1.0 for r in records
             if r["event"] == "dataset_ready"}
    for trial in _trials(told, models, worse, chance):
        slot = min(free, key=lambda name: free[name])
        now[0] = free[slot]
        journal.append("job_started", trial=trial["trial"], attempt=1, slot=slot, gap_s=0.01)
        free[slot] += trial["seconds"] + 0.01 + (5.0 if chance.random() < 0.002 else 0.0)
        now[0] = free[slot] - 0.005
        _linked(Store(source), source, target, trial)
        fields = {k: v for k, v in trial.items() if k not in ("event", "t", "crc", "source")}
        journal.append("trial_told", **{**fields, "slot": slot, "attempt": 1, "at": now[0]})
    now[0] = max(free.values())
    journal.append("run_ended", durable=True, state="finished", reason="budget used", trials=models)
    journal.close()
    return target


def _trials(
    told: list[Record], models: int, worse: dict[str, float], chance: random.Random,
) -> Iterator[dict[str, Any]]:
    """Real trials first, then others like them under new numbers, whose scores are a little worse."""
    numbers: dict[tuple[str, str], int] = {}
    for i in range(models):
        one = told[i % len(told)]
        dataset, family, _ = one["trial"].split("/")
        number = numbers[dataset, family] = numbers.get((dataset, family), -1) + 1
        made: dict[str, Any] = {**one, "source": one["trial"], "trial": trial_id(dataset, family, number)}
        if i >= len(told):
            shift = worse[dataset] * abs(chance.gauss(0.0, one.get("standard_error") or 0.0))
            scale = chance.lognormvariate(0.0, 0.25)
            made |= {
                "params": {k: v * chance.lognormvariate(0.0, 0.2) if isinstance(v, float) else v
                           for k, v in one["params"].items()},
                "fold_scores": [s + shift for s in one["fold_scores"]], "seconds": one["seconds"] * scale,
                "step_seconds": [s * scale for s in one["step_seconds"]], "fit_seconds": one["fit_seconds"] * scale,
                "models_kept": False,
            }
            for name in ("score", "pooled_score"):
                made[name] = None if one.get(name) is None else one[name] + shift
        yield made


def _linked(store: Store, source: Path, target: Path, trial: dict[str, Any]) -> None:
    """The predictions of the real trial, under the name of the one made of it."""
    if trial["predictions"] != "kept":
        return
    found = source / "predictions" / f"{trial['source']}-{trial['attempt']}.npz"
    if not found.exists():
        return
    place = target / "predictions" / f"{trial['trial']}-1.npz"
    place.parent.mkdir(parents=True, exist_ok=True)
    os.link(found, place)


def measured(page: Path, times: int) -> dict[str, Any]:
    """What a browser needs for the page, and what it complains of."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {"complaints": [], "requests": [], "table": [], "sort": [], "filter": [], "search": [],
                             "views": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for _ in range(times):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            tab = context.new_page()
            tab.on("console", lambda m: found["complaints"].append(m.text) if m.type in ("error", "warning") else None)
            tab.on("pageerror", lambda error: found["complaints"].append(str(error)))
            tab.on("request", lambda r: found["requests"].append(r.url[:80]) if not r.url.startswith(
                (page.as_uri(), "data:", "blob:")) else None)
            tab.goto(page.as_uri())
            tab.wait_for_selector("#board-table tbody tr[data-trial]")
            found["table"].append(tab.evaluate("() => performance.getEntriesByName('table-ready')[0].startTime"))
            for name in ("score", "time", "trial", "memory"):
                found["sort"].append(_timed(tab, "name => [...document.querySelectorAll('.models th')]"
                                                 ".find(th => th.textContent.trim() === name).click()", name))
            for text in ("family = lightgbm", "learning_rate < 0.1, folds = 5", "score > 0.5"):
                found["filter"].append(_timed(tab, _TYPE.replace("ID", "where"), text))
            tab.evaluate(f"({_TYPE.replace('ID', 'where')})('')")
            for text in ("xgboost", "failed", "cpu0 depth=6"):
                found["search"].append(_timed(tab, _TYPE.replace("ID", "search"), text))
            tab.evaluate(f"({_TYPE.replace('ID', 'search')})('')")
            for name in ("progress", "cost", "parameters", "families", "slots"):
                began = time.monotonic()
                tab.evaluate("name => { location.hash = '#' + name; }", name)
                tab.wait_for_selector(".chart[data-drawn]", timeout=60_000)
                tab.evaluate(f"() => {FRAME}")
                found["views"].setdefault(name, []).append(1000 * (time.monotonic() - began))
            context.close()
        browser.close()
    return found


_TYPE = ("text => { const box = document.getElementById('ID'); box.value = text; "
         "box.dispatchEvent(new Event('input', {bubbles: true})); }")


def _timed(tab: Any, action: str, argument: str) -> float:
    """Milliseconds from an action to the frame that shows the table as it was drawn because of it."""
    return float(tab.evaluate(f"""async argument => {{
        const drawn = new Promise(done => window.optimizerTable.jQuery(".models").one("draw.dt", done));
        const began = performance.now();
        ({action})(argument);
        await drawn;
        return await {FRAME} - began;
    }}""", argument))


def main() -> None:
    """Make the run, write its page, and look at it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, help="folder of a run whose trials are taken")
    parser.add_argument("--as-it-is", action="store_true", help="its page, however many models it has")
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--times", type=int, default=5, help="that the page is opened")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "results-page")
    note_code(folder)
    source = options.run.resolve() if options.run else searched(fresh(folder / "search"))
    run = source if options.as_it_is else many(source, fresh(folder / "run"), options.models)
    page, began = folder / "report.html", time.monotonic()
    size = write_report(run, page, now=time.time())
    written = time.monotonic() - began
    models = sum(r["event"] == "trial_told" for r in read(run / "journal.jsonl"))
    found = measured(page, options.times)
    text = markdown(("what", f"{models:,} models"), [
        ("`report.html`", f"{size / 1e6:.2f} MB"), ("written in", f"{written:.1f} s"),
        *((f"{label}, ms", spread(found[name])) for label, name in (
            ("from opening to the first table", "table"), ("to sort", "sort"), ("to filter by conditions", "filter"),
            ("to search", "search"))),
        *((f"to open {name}, ms", spread(values)) for name, values in found["views"].items()),
        ("complaints in the console", len(found["complaints"])), ("requests that leave", len(found["requests"]))])
    for complaint in dict.fromkeys([*found["complaints"], *found["requests"]]):
        print(f"complaint: {complaint}")
    (folder / "results_page.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
