"""Who ran what where: the jobs of each slot with their beginning and end, from the journal's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optimizer.journal import Record


@dataclass(kw_only=True)
class Ran:
    """One job in one slot."""

    slot: str
    trial: str
    attempt: int
    #: UTC seconds.
    start: float
    #: ``None`` while it runs.
    end: float | None = None
    #: ``running``, ``lost``, ``lent``, or how the trial was decided.
    outcome: str = "running"
    #: Slots that were joined for it.
    slots: int = 1
    #: By which start of the run, 1 for the first.
    began_by: int = 1
    #: In which update it last changed, see `Timeline.changed_since`.
    change: int = 0

    def row(self) -> list[Any]:
        """Its values in the order in which the page reads them."""
        end = None if self.end is None else round(self.end, 3)
        return [self.slot, self.trial, self.attempt, round(self.start, 3), end, self.outcome, self.slots,
                self.began_by]


@dataclass
class Timeline:
    """The jobs of a run, taken in event by event; events of other kinds are passed over."""

    jobs: list[Ran] = field(default_factory=list)
    _running: dict[str, Ran] = field(default_factory=dict)
    _latest: float = 0.0
    _starts: int = 0

    def take_in(self, record: Record, change: int) -> None:
        """Apply the next event, noted under this number of update; a damaged one is passed over."""
        try:
            at = float(record["t"])
            event = record["event"]
            if event == "job_started":
                self._open(Ran(slot=str(record["slot"]), trial=str(record["trial"]), attempt=int(record["attempt"]),
                               start=at, began_by=self._starts, change=change))
            elif event == "trial_told":
                self._close(record["trial"], str(record["state"]), at, change, seconds=float(record["seconds"]),
                            slots=int(record.get("slots", 1)))
            elif event == "job_lost":
                self._close(record["trial"], "lost", at, change)
            elif event == "slot_lent":
                self.jobs.append(Ran(slot=str(record["slot"]), trial=str(record["trial"]), attempt=0,
                                     start=at - float(record["seconds"]), end=at, outcome="lent",
                                     began_by=self._starts, change=change))
            elif event == "run_started":
                self._starts += 1
                # What the scheduler before this one left running went with it.
                for trial in list(self._running):
                    self._close(trial, "lost", self._latest, change)
            self._latest = at
        except (LookupError, TypeError, ValueError):
            return

    def changed_since(self, change: int) -> list[list[Any]]:
        """Rows of the jobs that changed after this update, each with its place in `jobs` before it."""
        return [[place, *job.row()] for place, job in enumerate(self.jobs) if job.change > change]

    def _open(self, job: Ran) -> None:
        self.jobs.append(job)
        self._running[job.trial] = job

    def _close(self, trial: str, outcome: str, at: float, change: int, *, seconds: float | None = None,
               slots: int = 1) -> None:
        job = self._running.pop(trial, None)
        if job is None:
            return
        # Told is written a little after the work is done, when the slot is at the next job already.
        job.end = max(job.start, at if seconds is None else min(at, job.start + seconds))
        job.outcome, job.slots, job.change = outcome, slots, change
