"""Everything the page shows of a run but the plots of predictions, gathered from its journal and kept up to date.

    journal --RunView.follow()--> Gathered --everything()--> the page, when it is opened
                                           --since(change)--> an open page, every few seconds
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from optimizer.journal import Record
from optimizer.views.filters import FIELDS
from optimizer.views.page.rows import COLUMNS, row_of
from optimizer.views.page.timeline import Timeline
from optimizer.views.results import RunView
from optimizer.views.spared import spared

#: Events after which a trial's row reads otherwise.
_CHANGES_A_ROW = {"trial_told", "models_dropped", "predictions_evicted"}


class Gathered:
    """What is known of one run; not safe for several threads at once."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet."""
        self.view = RunView(folder)
        self._begin_anew()

    @classmethod
    def of(cls, folder: Path) -> Gathered:
        """A run read to the end of its journal."""
        found = cls(folder)
        found.follow()
        return found

    def follow(self) -> bool:
        """Read on; whether anything was there. A journal that was replaced makes all begin anew."""
        before = self.view.renewals
        records = self.view.follow()
        if self.view.renewals != before:
            self._begin_anew()
        if records:
            self.change += 1
            for record in records:
                self._take_in(record)
        return bool(records)

    @property
    def generation(self) -> int:
        """Another number for each journal that was found in the folder."""
        return self.view.renewals

    def everything(self) -> dict[str, Any]:
        """All there is."""
        return {"columns": list(COLUMNS), "fields": list(FIELDS), **self.since(0)}

    def since(self, change: int) -> dict[str, Any]:
        """What changed after this update, and the small rest whole."""
        changed = [trial for trial, last in self._changes.items() if last > change]
        return {
            "generation": self.generation, "change": self.change,
            "rows": [row_of(record) for trial in changed if (record := self.view.find(trial)) is not None],
            "jobs": self.timeline.changed_since(change),
            **self._rest(),
        }

    def _rest(self) -> dict[str, Any]:
        view = self.view
        starts = view.incarnations
        return {
            "run": {
                "name": view.name, "state": view.state, "reason": starts[-1].reason if starts else "",
                "version": starts[-1].version if starts else "", "starts": len(starts),
                "started": starts[0].started if starts else None, "ended": starts[-1].ended if starts else None,
                "seconds": sum(i.seconds for i in starts), "study": _plain(view.study),
                # Of each start, when it began and ended.
                "times": [(i.started, i.ended) for i in starts],
            },
            "datasets": [_dataset(d) for d in view.datasets.values()],
            "families": list(view.families),
            "slots": self.slots,
            "spaces": self.spaces,
            "layouts": self.layouts, "layouts_measured": self.layouts_measured,
            "spared": spared(view.trials(), view.datasets, view.stops),
            "jobs_lost": dict(view.jobs_lost), "workers_lost": dict(self.workers_lost),
            "notices": list(dict.fromkeys(view.notices)), "unreadable": view.unreadable[:20],
        }

    def _begin_anew(self) -> None:
        self.change = 0
        self.timeline = Timeline()
        self._changes: dict[str, int] = {}
        self.slots: list[dict[str, Any]] = []
        self.spaces: dict[str, dict[str, Any]] = {}
        self.layouts: list[dict[str, Any]] = []
        self.layouts_measured: list[dict[str, Any]] = []
        self.workers_lost: Counter[str] = Counter()

    def _take_in(self, record: Record) -> None:
        event = record.get("event")
        self.timeline.take_in(record, self.change)
        if event in _CHANGES_A_ROW:
            self._changes[str(record.get("trial"))] = self.change
        elif event == "run_started":
            self.slots = [_plain(slot) for slot in record.get("slots", ()) if isinstance(slot, dict)]
        elif event == "space_described":
            self.spaces[f"{record.get('dataset')}/{record.get('family')}"] = _scales(record.get("space"))
        elif event == "layout_chosen":
            self.layouts.append({name: record.get(name) for name in ("dataset", "slots", "threads", "reason")})
        elif event == "layout_measured":
            self.layouts_measured.append({name: record.get(name) for name in (
                "dataset", "family", "trial", "threads", "single_s", "joined_s")})
        elif event == "worker_lost":
            self.workers_lost[str(record.get("reason"))] += 1


def _dataset(view: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    # Paths of the person's machine are nobody's affair whom a report is sent to.
    del found["problem"]
    return found


def _plain(value: Any) -> Any:
    """As JSON takes it: a deadline without end is none."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _scales(space: Any) -> dict[str, Any]:
    """Of each parameter that is searched, its kind and whether its scale is logarithmic."""
    found = {}
    for parameter in space.get("parameters", ()) if isinstance(space, dict) else ():
        domain = parameter.get("domain") or {}
        found[str(parameter.get("name"))] = {"type": str(domain.get("type", "")), "log": bool(domain.get("log"))}
    return found
