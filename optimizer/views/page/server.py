"""The live page as a web application: the page, what changed since, and plots of a trial when they are asked for.

==================  ==========================================================================================
address             answer
==================  ==========================================================================================
``/``               the page with all there is now
``/changes``        JSON: what changed after ``change`` of ``generation``; all, where that was another journal
``/plots``          JSON: the out-of-fold plots of ``trial``
``/importance``     JSON: which parameters matter, of ``dataset`` and ``family``
==================  ==========================================================================================
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from optimizer.errors import OptimizerError, UserError
from optimizer.records import TrialRecord
from optimizer.scheduler.lock import holder
from optimizer.store import Store
from optimizer.views.page import assets, build
from optimizer.views.page.gather import Gathered
from optimizer.views.page.guard import Guard, Rules

#: Seconds between two questions of an open page.
POLL_S = 2.0
#: Plots that are kept for whoever looks at them again.
_PLOTS_KEPT = 64


class LivePage:
    """One run, followed for as many pages as are open; every method may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """Reads the journal as far as it goes."""
        self.folder = folder
        self._lock = threading.Lock()
        self._gathered = Gathered.of(folder)
        # A page that was open before this server started must not take its updates for those of the last one.
        self._begun = time.time_ns() // 1_000_000
        self._plots: dict[tuple[str, int, str], dict[str, Any]] = {}
        self._importances: dict[tuple[str, str, int], dict[str, Any]] = {}

    def page(self) -> str:
        """The page as it is now."""
        with self._lock:
            self._gathered.follow()
            content = {**self._gathered.everything(), **self._state(), "generation": self._generation}
        return build.render({**content, "live": {"poll_s": POLL_S}, "plots": {}, "importance": {}})

    def changes(self, generation: int, change: int) -> bytes:
        """What an open page that knows so much has to learn, as JSON."""
        with self._lock:
            self._gathered.follow()
            known = generation == self._generation and change <= self._gathered.change
            if known and change == self._gathered.change:
                return msgspec.json.encode({"generation": generation, "change": change, **self._state()})
            found = self._gathered.since(change if known else 0)
            return msgspec.json.encode({**found, **self._state(), "generation": self._generation, "anew": not known})

    def plots(self, trial: str) -> dict[str, Any]:
        """The out-of-fold plots of a trial; raises `UserError` for an unknown one."""
        from optimizer.views.page.outoffold import plots_of

        with self._lock:
            record = self._gathered.view.find(trial)
        if record is None:
            raise UserError(f"this run has no told trial {trial!r}")
        key = (trial, record.attempt, record.predictions)
        found = self._plots.get(key)
        if found is None:
            found = plots_of(Store(self.folder), record)
            with self._lock:
                while len(self._plots) >= _PLOTS_KEPT:
                    self._plots.pop(next(iter(self._plots)))
                self._plots[key] = found
        return found

    def importance(self, dataset: str, family: str) -> dict[str, Any]:
        """Which parameters matter; weighed anew once there are a tenth more trials."""
        from optimizer.views.page.importance import importance

        with self._lock:
            trials: list[TrialRecord] = self._gathered.view.trials(dataset, family)
            if not trials:
                return {"missing": "no trial"}  # nothing is kept of names that anybody may ask for
            for (known_dataset, known_family, count), found in self._importances.items():
                if (known_dataset, known_family) == (dataset, family) and count <= len(trials) < count * 1.1:
                    return found
        found = importance(trials)
        with self._lock:
            for old in [key for key in self._importances if key[:2] == (dataset, family)]:
                del self._importances[old]
            self._importances[dataset, family, len(trials)] = found
        return found

    @property
    def _generation(self) -> int:
        return self._begun + self._gathered.generation

    def _state(self) -> dict[str, Any]:
        """What is true now whether or not the journal grew."""
        return {"at": time.time(), "alive": holder(self.folder) is not None, "there": self.folder.is_dir()}


def application(folder: Path, rules: Rules) -> Guard:
    """The application of one run, behind its gate."""
    live = LivePage(folder)

    def page(_: Request) -> Response:
        headers = {"content-security-policy": f"{assets.policy(live=True)}; frame-ancestors 'none'"}
        return Response(live.page(), media_type="text/html", headers=headers)

    def changes(request: Request) -> Response:
        return Response(live.changes(_whole(request, "generation"), _whole(request, "change")),
                        media_type="application/json")

    def plots(request: Request) -> Response:
        return _json(live.plots(request.query_params.get("trial", "")))

    def importance(request: Request) -> Response:
        asked = request.query_params
        return _json(live.importance(asked.get("dataset", ""), asked.get("family", "")))

    def refused(_: Request, error: Exception) -> Response:
        return _json({"missing": str(error)}, status=404 if isinstance(error, UserError) else 503)

    routes = [Route("/", page), Route("/changes", changes), Route("/plots", plots), Route("/importance", importance)]
    return Guard(Starlette(routes=routes, exception_handlers={OptimizerError: refused, OSError: refused}), rules)


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")


def _whole(request: Request, name: str) -> int:
    """A whole number of the question; -1, which is never up to date, for anything else."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
