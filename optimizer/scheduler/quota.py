"""Which predictions go when the disk limit nears: functions of values, and the account that they look at.

What counts are the predictions of told trials and the kept models. Encoded tables, the journal and ``optuna.db`` do not
count: without them the run could not go on.

The least useful goes first. The dataset whose predictions take most pays, with its worst-ranked trial, again and
again, until enough is free; so a dataset of huge predictions pays before one of small ones. What is never taken: the
best trial of each family on each dataset, the best of them with test predictions, every trial whose models are kept,
whatever was once the best of its dataset, and whatever was exported.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from optimizer.metrics import METRICS
from optimizer.records import TrialRecord, split_trial_id
from optimizer.store import StoredFile, submission_name

#: Shares of the limit: from where on predictions go, and how much below that they go to.
START, STEP = 0.95, 0.10
#: Most trials whose predictions go at once; the scheduler waits meanwhile.
MOST_AT_ONCE = 500
#: Trials per dataset that are counted on before anybody knows how many the budget is good for.
FEW_TRIALS = 100


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A told trial whose predictions are on the disk."""

    trial: str
    dataset: str
    family: str
    #: Larger is better, whatever the metric; a trial without a usable score has minus infinity.
    merit: float
    size: int
    #: Name of the submission that can be written of it, see `submission_name`; empty without test predictions.
    submission: str


@dataclass(kw_only=True)
class DiskUse:
    """What the run holds on the disk, kept up to date by what is told, evicted and dropped: nobody walks the disk."""

    limit: float = math.inf
    #: In the order in which they were told.
    predictions: dict[str, Kept] = field(default_factory=dict)
    #: Trial to bytes of its kept models.
    models: dict[str, int] = field(default_factory=dict)
    used: int = 0
    #: Most that a trial has taken so far, its models included.
    largest: int = 0

    def add(self, kept: Kept | None, models: int | None, trial: str) -> None:
        """Count what a told trial has left; ``None`` for what it has not."""
        if kept is not None:
            self.predictions[trial] = kept
        if models is not None:
            self.models[trial] = models
        size = (kept.size if kept else 0) + (models or 0)
        self.used += size
        self.largest = max(self.largest, size)

    def evicted(self, trial: str) -> None:
        """The predictions of a trial are gone."""
        if trial in self.predictions:
            self.used -= self.predictions.pop(trial).size

    def models_dropped(self, trial: str) -> None:
        """The models of a trial are gone."""
        self.used -= self.models.pop(trial, 0)

    def marks(self, at_once: int) -> tuple[float, float]:
        """From where on predictions go, and down to where.

        Room is left for what ``at_once`` running trials will write before anybody has heard of it, up to half of the
        limit.
        """
        reserve = min(self.limit / 2, self.largest * at_once)
        start = min(START * self.limit, self.limit - reserve)
        return start, max(0.0, start - STEP * self.limit)


def kept_of(record: TrialRecord, size: int | None = None) -> Kept | None:
    """A told trial as the quota sees it; ``None`` where its predictions are not kept."""
    if record.predictions != "kept":
        return None
    score = record.score if record.score is not None and math.isfinite(record.score) else None
    metric = METRICS.get(record.metric)
    sign = -1.0 if metric is not None and metric.direction == "minimize" else 1.0
    return Kept(
        trial=record.trial, dataset=record.dataset, family=record.family,
        merit=-math.inf if score is None else sign * score,
        size=record.predictions_bytes if size is None else size,
        submission=submission_name(record) if record.test_predicted else "")


def protected(kept: Iterable[Kept], models: Collection[str], exported: Collection[str]) -> set[str]:
    """The trials whose predictions are never evicted; of equals the one told first.

    Args:
        kept: in the order of telling.
        models: trials whose models are kept.
        exported: names of the submissions that were written; of two trials that share a name both are spared.
    """
    best: dict[tuple[str, str, bool], Kept] = {}
    # Whatever was once the best of its dataset is exported by another process, perhaps at this very moment.
    submitted: dict[str, Kept] = {}
    written = set()
    for one in kept:
        for key in ((one.dataset, one.family, False), (one.dataset, one.family, True))[: 1 + bool(one.submission)]:
            if key not in best or one.merit > best[key].merit:
                best[key] = one
        if one.submission and (one.dataset not in submitted or one.merit > submitted[one.dataset].merit):
            submitted[one.dataset] = one
            written.add(one.trial)
        if one.submission in exported:
            written.add(one.trial)
    return {one.trial for one in best.values()} | written | set(models)


def to_evict(kept: Iterable[Kept], spared: Collection[str], used: float, low: float) -> list[Kept]:
    """The predictions that are to go, the least useful first, so that what is used falls to ``low``.

    Fewer where too much is spared, and at most `MOST_AT_ONCE`.
    """
    sizes: defaultdict[str, int] = defaultdict(int)
    of_dataset: defaultdict[str, list[Kept]] = defaultdict(list)
    for one in kept:
        sizes[one.dataset] += one.size
        if one.trial not in spared:
            of_dataset[one.dataset].append(one)
    for candidates in of_dataset.values():
        candidates.sort(key=lambda one: one.merit, reverse=True)  # worst last; of equals the one told last
    largest = [(-sizes[dataset], dataset) for dataset in of_dataset]
    heapq.heapify(largest)
    gone: list[Kept] = []
    while largest and used > low and len(gone) < MOST_AT_ONCE:
        size, dataset = heapq.heappop(largest)
        one = of_dataset[dataset].pop()
        gone.append(one)
        used -= one.size
        if of_dataset[dataset]:
            heapq.heappush(largest, (size + one.size, dataset))
    return gone


def is_leftover(file: StoredFile, told: Mapping[str, TrialRecord], models_dropped: Collection[str],
                numbers: Mapping[tuple[str, str], int]) -> bool:
    """Whether a stored file is of no use: half written, of an attempt that was never told, evicted or dropped.

    A trial that the journal has never heard of is no leftover: the journal may be the one that is incomplete.

    Args:
        numbers: the largest number ever used, by dataset and family.
    """
    dataset, family, number = split_trial_id(file.trial)
    if number > numbers.get((dataset, family), -1):
        return False
    record = told.get(file.trial)
    if file.half or record is None:
        return True
    if file.kind == "models":
        return not record.models_kept or file.trial in models_dropped
    return record.predictions != "kept" or file.attempt != record.attempt


def size_text(size: float) -> str:
    """Bytes as a person reads them."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB") if size >= 1e5 else (1e3, "kB")
    return f"{size / unit:,.1f} {name}"
