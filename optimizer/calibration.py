"""Times one fold of each family at every layout of the CPU slots, alone and beside its neighbours.

What `optimizer calibrate` does before a run, where a run measures the same in passing, on folds of its own trials.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from optimizer.backends import make_backend
from optimizer.backends.base import Backend, WorkerLost
from optimizer.config.resolved import Study
from optimizer.layout import Choice, Measured, blocks, choose, memory_for, widths
from optimizer.messages import CrossValidation, Event, Job, JobFailed, JobFinished, RunJob, WorkerReady
from optimizer.models.base import SpaceDescription
from optimizer.remembered import Remembered, shape_of
from optimizer.resources import Slot
from optimizer.scheduler.preparation import DatasetReady, DatasetRefused, Preparation

#: Seconds of a first fold, from which on it is not repeated once everything is loaded and binned.
_LONG_S = 20.0
#: Seconds that a worker may take to be ready, and a fold to be done.
_READY_S, _FOLD_S = 120.0, 3600.0
#: A limit that every fold misses, so that a job ends after its first.
_UNREACHABLE = 1e300


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A fold of one family at one layout."""

    dataset: str
    family: str
    slots: int
    threads: int
    #: Seconds with the other cores idle, and with a fold on each of the other slots.
    alone_s: float
    beside_s: float
    #: Most memory of a worker, in MiB.
    peak_mb: float

    @property
    def folds_per_hour(self) -> float:
        """On all slots."""
        return 3600 * self.slots / self.beside_s


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What is best for a dataset."""

    dataset: str
    choice: Choice
    slots: int
    threads: int


class FoldLost(Exception):  # noqa: N818 - a fold that could not be timed
    """Why a family could not be timed at a layout."""


def calibrate(
    study: Study, slots: Sequence[Slot], memory_mb: float, folder: Path, remembered: Remembered,
    say: Callable[[str], None],
) -> Iterator[Timing | Calibrated]:
    """Time every dataset of a study, one after the other, and remember what is best for its shape.

    Args:
        slots: the CPU slots as a run would have them.
        folder: where tables are encoded and workers log; nothing of it is needed afterwards.
        say: told of what takes a while.
    """
    for ready in _prepared(study, folder, [core for slot in slots for core in slot.cores], say):
        timings = []
        for width in widths(len(slots)):
            for timing in _at_width(ready, slots, width, folder, say):
                timings.append(timing)
                yield timing
        yield _decided(ready, timings, slots, memory_mb, remembered)


def _prepared(study: Study, folder: Path, cores: Sequence[int], say: Callable[[str], None]) -> Iterator[DatasetReady]:
    preparation = Preparation(study.datasets, study.families, folder, cores)
    try:
        while preparation.left:
            for outcome in preparation.advance():
                if isinstance(outcome, DatasetReady):
                    for family, reason in outcome.refused.items():
                        say(f"{outcome.prepared.dataset}: {family} is left out: {reason}")
                    yield outcome
                elif isinstance(outcome, DatasetRefused):
                    say(f"{outcome.dataset} could not be used: {outcome.reason}")
                else:
                    say(f"{outcome.dataset}: {outcome.doing}")
            waitables: list[Any] = list(preparation.waitables())
            connection.wait(waitables, 0.5)
    finally:
        preparation.close()


def _at_width(ready: DatasetReady, slots: Sequence[Slot], width: int, folder: Path,
              say: Callable[[str], None]) -> Iterator[Timing]:
    by_name = {slot.name: slot for slot in slots}
    joined = [Slot(name=block[0], cores=tuple(c for name in block for c in by_name[name].cores),
                   threads=sum(by_name[name].threads for name in block))
              for block in blocks([slot.name for slot in slots], width)]
    bench = _Bench(make_backend("local", folder=folder, families=list(ready.spaces)), ready)
    try:
        bench.start(joined)
        for family, described in ready.spaces.items():
            name = f"{ready.prepared.dataset}: {family}, {len(joined)} x {joined[0].threads}"
            try:
                say(f"{name} alone")
                (alone,) = bench.fold(family, described, [joined[0].name])
                if alone.seconds < _LONG_S:
                    (alone,) = bench.fold(family, described, [joined[0].name])
                beside = [alone]
                if len(joined) > 1:
                    say(f"{name} beside its neighbours")
                    if alone.seconds < _LONG_S:
                        bench.fold(family, described, [slot.name for slot in joined[1:]])
                    beside = bench.fold(family, described, [slot.name for slot in joined])
            except FoldLost as lost:
                say(f"{name}: {lost}")
                continue
            yield Timing(
                dataset=ready.prepared.dataset, family=family, slots=len(joined), threads=joined[0].threads,
                alone_s=alone.step_seconds[0], beside_s=statistics.fmean(f.step_seconds[0] for f in beside),
                peak_mb=max(f.peak_rss_mb for f in (alone, *beside)))
    finally:
        bench.backend.close()


class _Bench:
    """Workers that evaluate what they are told, once."""

    def __init__(self, backend: Backend, ready: DatasetReady) -> None:
        self.backend = backend
        self._ready = ready
        self._lease = 0

    def start(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self.backend.start(slot)
        waiting = {slot.name for slot in slots}
        for slot_name, event in self._until(_READY_S):
            if isinstance(event, WorkerLost):
                raise FoldLost(f"a worker ended at its start: {event.reason}")
            if isinstance(event, WorkerReady):
                waiting.discard(slot_name)
            if not waiting:
                return

    def fold(self, family: str, described: SpaceDescription, slots: Sequence[str]) -> list[JobFinished]:
        """The first fold of the family's first start, in all these slots at once."""
        prepared = self._ready.prepared
        point = described.starts[0] if described.starts else next(described.space.enumerated(1))
        limit = _UNREACHABLE if prepared.direction == "maximize" else -_UNREACHABLE
        self._lease += 1
        for number, slot in enumerate(slots):
            self.backend.send(slot, RunJob(job=Job(
                trial=f"{prepared.dataset}/{family}/{number}", attempt=1, lease=self._lease,
                workload=CrossValidation(
                    table=prepared.fingerprint, family=family, metric=prepared.metric,
                    params=described.space.complete(point), seed=prepared.seed, limits=(limit,),
                    max_rows=described.space.max_rows or None))))
        finished: list[JobFinished] = []
        for _, event in self._until(_FOLD_S):
            if isinstance(event, WorkerLost):
                raise FoldLost(f"its worker ended: {event.reason}")
            if isinstance(event, JobFailed):
                raise FoldLost(event.reason)
            if isinstance(event, JobFinished) and event.lease == self._lease:
                finished.append(event)
            if len(finished) == len(slots):
                break
        return finished

    def _until(self, seconds: float) -> Iterator[tuple[str, Event | WorkerLost]]:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            yield from self.backend.receive(left)
        raise FoldLost(f"nothing came for {seconds:.0f} s")


def _decided(ready: DatasetReady, timings: Sequence[Timing], slots: Sequence[Slot], memory_mb: float,
             remembered: Remembered) -> Calibrated:
    prepared = ready.prepared
    single = {t.family: t.beside_s for t in timings if t.slots == len(slots)}
    measured = [Measured(family=t.family, width=len(slots) // t.slots, single_s=single[t.family], joined_s=t.beside_s)
                for t in timings if t.slots < len(slots) and t.family in single]
    # The table is mapped by all workers and counts for none.
    needed_mb = max((t.peak_mb for t in timings), default=0.0) - prepared.table_bytes / 2**20
    choice = choose(measured, len(slots), memory_for(memory_mb, needed_mb, len(slots)))
    if measured:
        remembered.keep(shape_of(
            rows=prepared.rows, columns=prepared.columns, task=prepared.task, classes=len(prepared.classes),
            folds=prepared.folds, families=sorted(single), threads=slots[0].threads), len(slots),
            choice.width, choice.reason)
    return Calibrated(dataset=prepared.dataset, choice=choice, slots=len(slots) // choice.width,
                      threads=slots[0].threads * choice.width)
