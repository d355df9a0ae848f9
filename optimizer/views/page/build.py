"""The page of a run, put together: one file that holds its data, its code and its plots, and asks for nothing."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from optimizer.errors import StorageFault
from optimizer.records import TrialRecord
from optimizer.store import Store
from optimizer.views.page import assets
from optimizer.views.page.gather import Gathered
from optimizer.views.results import RunView
from optimizer.views.submissions import replacing

#: Of each family on each dataset, so many have their plots in the file.
BEST = 3
#: Bytes of plots above which no more are added.
_PLOT_BYTES = 6_000_000


def quiet(_: str) -> None:
    """Say nothing of the progress."""


def write_report(folder: Path, path: Path, *, now: float, say: Callable[[str], None] = quiet) -> int:
    """Write the page of a run into one file that opens without a network; returns its size in bytes.

    Args:
        now: UTC seconds, which the page names as its own time.
        say: told what is being done, a few times.

    Raises:
        StorageFault: the file could not be written; an earlier one is still there.
    """
    say("reading the journal")
    found = Gathered.of(folder)
    content = {**found.everything(), "at": now, "live": None, "alive": None}
    say("drawing the out-of-fold predictions of the best models")
    content["plots"] = _plots_of_the_best(found.view, Store(folder))
    say("weighing the parameters")
    content["importance"] = all_importances(found.view)
    say("writing the page")
    page = render(without_places(content, folder)).encode()
    with replacing(path) as file:
        file.write(page)
    return len(page)


def render(content: dict[str, Any]) -> str:
    """The page of this content; what a person named is data in it, never markup."""
    live = bool(content.get("live"))
    return Template(assets.template()).substitute(
        policy=html.escape(assets.policy(live=live), quote=True), title=html.escape(str(content["run"]["name"])),
        style=assets.our_style(), data=embedded(content), code=assets.our_code(), table=assets.packed_table(),
        plots=assets.packed_plots())


def without_places(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content without where things lie on this machine, which is nobody's affair whom a report is sent to.

    Reasons and notices name files: below the study's folder from there on, others from the home folder.
    """
    text = msgspec.json.encode(content).decode()
    for place, short in ((folder.resolve().parent, ""), (Path.home(), "~/")):
        if place != Path(place.anchor):
            text = text.replace(msgspec.json.encode(f"{place}/").decode()[1:-1], short)
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


def embedded(content: Any) -> str:
    """JSON that may stand in a ``<script>``: no tag begins or ends in it."""
    return msgspec.json.encode(content).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")


def all_importances(view: RunView) -> dict[str, Any]:
    """`importance` of every dataset and family that has trials, by ``<dataset>/<family>``."""
    from optimizer.views.page.importance import importance

    found: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in view.trials():
        found.setdefault((trial.dataset, trial.family), []).append(trial)
    return {f"{dataset}/{family}": importance(trials) for (dataset, family), trials in found.items()}


def _plots_of_the_best(view: RunView, store: Store) -> dict[str, Any]:
    """Plots by trial: the best of every family first, then the second of each, as long as they are not too many."""
    from optimizer.views.page.outoffold import plots_of

    places: dict[int, list[TrialRecord]] = {}
    for dataset in view.datasets:
        for family in view.families:
            kept = view.ranked(dataset, where=lambda t, f=family: t.family == f and t.predictions == "kept")  # type: ignore[misc]
            for place, trial in enumerate(kept[:BEST]):
                places.setdefault(place, []).append(trial)
    found: dict[str, Any] = {}
    size = 0
    for trial in (t for place in sorted(places) for t in places[place]):
        if size > _PLOT_BYTES:
            break
        try:
            found[trial.trial] = plots_of(store, trial)
        except StorageFault as fault:
            found[trial.trial] = {"missing": str(fault)}
        size += len(msgspec.json.encode(found[trial.trial]))
    return found
