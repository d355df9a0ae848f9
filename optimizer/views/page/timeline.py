"""Who ran what where: the jobs of each slot with their beginning and end, from the journal's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optimizer.journal import Record

#: Seconds that a message may have waited to be written down; beyond, the job stood still, or the slot had none.
_LATE_S = 2.0


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
    #: Slot to the job that began there last.
    _in_slot: dict[str, Ran] = field(default_factory=dict)
    _latest: float = 0.0
    _starts: int = 0

    def take_in(self, record: Record, change: int) -> None:
        """Apply the next event, noted under this number of update; a damaged one is passed over."""
        try:
            at = float(record["t"])
            event = record["event"]
            if event == "job_started":
                self._open(Ran(slot=str(record["slot"]), trial=str(record["trial"]), attempt=int(record["attempt"]),
                               start=at, slots=int(record.get("slots", 1)), began_by=self._starts, change=change),
                           record.get("gap_s"))
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

    def _open(self, job: Ran, gap_s: float | None) -> None:
        before = self._in_slot.get(job.slot)
        if gap_s is not None and before is not None and before.end is not None:
            job.start = _by_its_word(before.end + gap_s, job.start)
        self.jobs.append(job)
        self._running[job.trial] = self._in_slot[job.slot] = job

    def _close(self, trial: str, outcome: str, at: float, change: int, *, seconds: float | None = None,
               slots: int | None = None) -> None:
        job = self._running.pop(trial, None)
        if job is None:
            return
        job.end = max(job.start, at if seconds is None else _by_its_word(job.start + seconds, at))
        # Journals of earlier versions tell the slots at the end only.
        job.outcome, job.slots, job.change = outcome, slots or job.slots, change


def _by_its_word(counted: float, written: float) -> float:
    """When something was, by the seconds that a worker counted and by when its message was written down.

    The first where they are near, for a message may wait until what came before it is on the disk. A worker does not
    count what it stood still.
    """
    return counted if 0 <= written - counted < _LATE_S else written
