"""A run as its journal tells it: the read-only view that every other view is made from.

Light on purpose: no NumPy, no screen, no database. A viewer may open a run at any time, also while it is being written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer import journal
from optimizer.errors import RunFolderError, UserError, did_you_mean
from optimizer.journal import Record
from optimizer.records import TrialRecord
from optimizer.status import Status, read_status
from optimizer.views.filters import conditions, in_order
from optimizer.views.told import DatasetView, FamilyStop, Incarnation, Told

#: Files that only a run's folder holds.
_MARKS = ("journal.jsonl", "status.json", "optuna.db")
#: Bytes at a journal's beginning by which it is known: its first line names the moment.
_HEAD = 256


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A trial's place on the board."""

    #: 1 for the best complete trial of its dataset; ``None`` for a trial that was pruned or failed.
    rank: int | None
    record: TrialRecord
    #: Whether its score is within one standard error of the best of its dataset; true of the best.
    within_one_standard_error: bool


class RunView:
    """A run, read from its folder; `follow` reads on from where the last reading ended."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet; raises nothing."""
        self.folder = folder
        #: How often the view began anew, since the journal was replaced by another.
        self.renewals = 0
        self._told = Told()

    @classmethod
    def open(cls, folder: Path) -> RunView:
        """The run in this folder, read to the journal's end; an empty view where nothing was written yet."""
        view = cls(folder)
        view.follow()
        return view

    def follow(self) -> list[Record]:
        """Read the records written since the last call and return them.

        A journal that was replaced by another (``--fresh``) is read from its start, and the view begins anew.
        """
        path = self.folder / "journal.jsonl"
        try:
            found = path.stat()
            with path.open("rb") as stream:
                head = stream.read(_HEAD)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return []
        # A new file may get the number of one that was deleted.
        if (found.st_ino != self._told.inode or found.st_size < self._told.offset
                or not head.startswith(self._told.head)):
            self.renewals += self._told.inode != -1
            self._told = Told(inode=found.st_ino)
        self._told.head = head
        records = []
        for record, offset in journal.read_from(path, self._told.offset):
            self._told.offset = offset
            self._told.take_in(record)
            records.append(record)
        return records

    # What the run is.

    @property
    def name(self) -> str:
        """The run's name: its study file without the ending."""
        return str(self.study.get("name") or self.folder.resolve().name)

    @property
    def study(self) -> dict[str, Any]:
        """The study as the latest start resolved it; empty before the first."""
        return self._told.incarnations[-1].study if self._told.incarnations else {}

    @property
    def study_file(self) -> Path:
        """The study file beside the run's folder, by the design's naming; it may have been deleted."""
        return self.folder.parent / f"{self.folder.name}.toml"

    @property
    def incarnations(self) -> list[Incarnation]:
        """Every start of the run, oldest first."""
        return self._told.incarnations

    @property
    def state(self) -> str:
        """``finished``, ``stopped``, or ``unfinished``: it runs, or was killed; empty before the first start."""
        return (self._told.incarnations[-1].state or "unfinished") if self._told.incarnations else ""

    @property
    def datasets(self) -> dict[str, DatasetView]:
        """Datasets by name, in the order of the study file."""
        order = {name: i for i, name in enumerate(self.study.get("datasets", ()))}
        names = sorted(self._told.datasets, key=lambda name: order.get(name, len(order)))
        return {name: self._told.datasets[name] for name in names}

    @property
    def families(self) -> tuple[str, ...]:
        """Families of the study file, then those that only have trials from before it was changed."""
        named = tuple(self.study.get("families", ()))
        return named + tuple(sorted({t.family for t in self._told.trials.values()} - set(named)))

    @property
    def stops(self) -> list[FamilyStop]:
        """Families that stopped or moved, in the order of events."""
        return self._told.stops

    @property
    def jobs_lost(self) -> Counter[str]:
        """How many jobs were lost with their workers, by reason."""
        return self._told.jobs_lost

    @property
    def notices(self) -> list[str]:
        """Sentences told to the person, oldest first."""
        return self._told.notices

    @property
    def unreadable(self) -> list[str]:
        """What could not be understood in the journal, a sentence each."""
        return self._told.unreadable

    def status(self) -> Status | None:
        """The latest ``status.json``."""
        return read_status(self.folder / "status.json")

    # Its trials.

    def trials(self, dataset: str | None = None, family: str | None = None) -> list[TrialRecord]:
        """Told trials in the order of telling."""
        told = self._told.trials if dataset is None else self._told.of_dataset.get(dataset, {})
        return [t for t in told.values() if family is None or t.family == family]

    def find(self, trial: str) -> TrialRecord | None:
        """The told trial of this id, if there is one."""
        return self._told.trials.get(trial)

    def trial(self, trial: str) -> TrialRecord:
        """The told trial of this id; raises `UserError` for an unknown one."""
        found = self.find(trial)
        if found is None:
            known = self._told.trials
            # Of thousands of trials, list none; name a near one.
            near = did_you_mean(trial, known) if len(known) < 30_000 else ""
            hint = near if near.startswith("did you mean") else "`optimizer leaderboard` lists them"
            raise UserError(f"run {self.name!r} has no told trial {trial!r}; {hint}")
        return found

    def counts(self, dataset: str | None = None, family: str | None = None) -> dict[str, int]:
        """Number of told trials by state: ``complete``, ``pruned``, ``failed``."""
        found = Counter(t.state for t in self.trials(dataset, family))
        return {"complete": found["complete"], "pruned": found["pruned"], "failed": found["failed"]}

    def ranked(self, dataset: str, *, where: Callable[[TrialRecord], bool] | None = None) -> list[TrialRecord]:
        """Complete trials of a dataset, best first; of equal scores, the one told first."""
        view = self._told.datasets.get(dataset)
        if view is None or not view.direction:
            return []
        sign = -1.0 if view.direction == "maximize" else 1.0
        complete = [
            (sign * t.score, t.at, i, t)
            for i, t in enumerate(self.trials(dataset))
            if t.state == "complete" and t.score is not None and math.isfinite(t.score)
            and (where is None or where(t))
        ]
        return [t for *_, t in sorted(complete, key=lambda entry: entry[:3])]

    def best(self, dataset: str, *, submittable: bool = False) -> TrialRecord | None:
        """The best complete trial of a dataset; with ``submittable``, the best whose test predictions are kept."""
        return next(iter(self.ranked(dataset, where=is_submittable if submittable else None)), None)

    def within_one_standard_error(self, dataset: str) -> list[TrialRecord]:
        """Complete trials whose score is within one standard error of the best, the best included, best first."""
        ranked = self.ranked(dataset)
        if not ranked:
            return []
        best, error = ranked[0].score, ranked[0].standard_error
        assert best is not None  # noqa: S101 - ranked trials have scores; said for the type checker
        reach = error if error is not None and math.isfinite(error) else 0.0
        return [t for t in ranked if t.score is not None and abs(t.score - best) <= reach]

    def leaderboard(
        self, dataset: str | None = None, family: str | None = None, top: int | None = None, *,
        where: Sequence[str] = (), sort: str | None = None, reverse: bool = False,
    ) -> list[Ranked]:
        """Trials dataset by dataset: complete ones by rank, then pruned ones, then failed ones.

        Args:
            dataset: only this one; raises `UserError` where the run has none of this name.
            family: only this one; ranks are still those among all families.
            top: that many trials per dataset.
            where: conditions that all must hold, see `optimizer.views.filters`; ranks stay those among all.
            sort: by this field or parameter rather than by rank, ``reverse`` for the largest first.
        """
        if dataset is not None and dataset not in self._told.datasets:
            raise UserError(f"run {self.name!r} has no dataset {dataset!r}; "
                            f"{did_you_mean(dataset, self._told.datasets)}")
        if family is not None and family not in self.families:
            raise UserError(f"run {self.name!r} has no family {family!r}; {did_you_mean(family, self.families)}")
        trials = self.trials()
        holds = conditions(where, trials)
        board: list[Ranked] = []
        for name in [dataset] if dataset is not None else self.datasets:
            rows = [r for r in self._board_of(name)
                    if (family is None or r.record.family == family) and holds(r.record)]
            if sort is not None:
                rows = in_order(rows, sort, trials, reverse=reverse)
            board += rows[:top]
        return board

    def _board_of(self, dataset: str) -> Iterable[Ranked]:
        near = {t.trial for t in self.within_one_standard_error(dataset)}
        ranked = self.ranked(dataset)
        placed = {t.trial for t in ranked}
        for rank, record in enumerate(ranked, start=1):
            yield Ranked(rank=rank, record=record, within_one_standard_error=record.trial in near)
        order = {"complete": 0, "pruned": 1, "failed": 2}
        rest = [t for t in self.trials(dataset) if t.trial not in placed]
        for record in sorted(rest, key=lambda t: (order[t.state], -len(t.fold_scores), t.at)):
            yield Ranked(rank=None, record=record, within_one_standard_error=False)

    def model(self, trial: str | None = None, dataset: str | None = None) -> TrialRecord:
        """The trial whose kept models shall predict: the one named, or the best of a dataset that still has them.

        Raises `UserError` where there is none, or where the run has several datasets and none is named.
        """
        if trial is not None:
            found = self.trial(trial)
            if found.models_kept:
                return found
            kept = [t.trial for t in self.ranked(found.dataset, where=lambda t: t.models_kept)]
            raise UserError(f"the models of {trial} were not kept; kept are: {', '.join(kept) or 'none'}")
        names = list(self._told.datasets) if dataset is None else [dataset]
        best = [t for name in names for t in self.ranked(name, where=lambda t: t.models_kept)[:1]]
        if not best:
            raise UserError(f"run {self.name!r} has kept no models{f' of {dataset}' if dataset else ''} yet")
        if len(names) > 1:
            raise UserError(f"run {self.name!r} has several datasets; name a model: "
                            f"{', '.join(t.trial for t in best)}")
        return best[0]


def is_submittable(record: TrialRecord) -> bool:
    """Whether a submission can be written from this trial: complete, with its test predictions on disk."""
    return record.state == "complete" and record.test_predicted and record.predictions == "kept"


def find_run(text: str, root: Path = Path()) -> Path:
    """The run's folder that a person means by a study file, a run's folder, or a bare name (``studies/<name>``).

    Args:
        text: as typed.
        root: where ``studies/`` lies.

    Raises:
        RunFolderError: there is no such run; the message names the nearest one, or says how to start it.
    """
    typed = root / Path(text).expanduser()
    folder = typed.with_suffix("") if typed.suffix == ".toml" else typed
    # `run FOLDER` writes studies/<folder's name>.toml, so a folder of data also names its run.
    named = root / "studies" / folder.resolve().name
    for candidate in (folder, named):
        if any((candidate / mark).exists() for mark in _MARKS):
            return candidate
    for candidate in (folder, named):
        file = candidate.parent / f"{candidate.name}.toml"
        if file.is_file():
            raise RunFolderError(f"{file} has not been run yet; start it with: optimizer run {file}")
    known = {p.parent.name for mark in _MARKS for p in (root / "studies").glob(f"*/{mark}")}
    hint = did_you_mean(folder.name, known) or "start one with: optimizer run STUDY_FILE"
    raise RunFolderError(f"no run {text!r} here; {hint}")
