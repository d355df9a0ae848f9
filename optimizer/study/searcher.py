"""The search in one study: asks points and learns from told trials, in memory.

The sampler reads an in-memory Optuna study with a bounded history, the best and the latest trials: with the full one,
asking grows from 9 ms at 100 trials to 200 ms at 10,000.
"""

from __future__ import annotations

import hashlib
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import optuna
from optuna.trial import TrialState

from optimizer.curves import kind_of_loss
from optimizer.records import TrialRecord
from optimizer.search_space import SearchSpace
from optimizer.strategies.base import DecidedTrial, Outlook, Sampler, running_means
from optimizer.strategies.parzen import FrugalTPESampler
from optimizer.strategies.thrift import ThriftyTPESampler
from optimizer.study.frozen import MEMORY_CONSTRAINT, distributions, last_report, lesson, suggest, violated_mb

#: Told trials that the sampler keeps when its history is trimmed.
KEEP_BEST = 100
KEEP_LATEST = 400
#: Trimming rebuilds the in-memory study, so it waits until this many are over.
TRIM_SLACK = 125
#: How often the sampler is asked again where its point was asked before, and how many are drawn at random then.
RETRIES, DRAWS = 5, 100
#: A space of no more points is walked through for those that are left.
WALKED = 100_000


class Searcher:
    """One dataset and family: where the next point comes from."""

    def __init__(
        self, *, space: SearchSpace, starts: Sequence[Mapping[str, Any]], sampler: Sampler, maximize: bool,
        seed: int, workers: int,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space = space
        self._maximize = maximize
        self._sampler = sampler
        self._seed = seed
        self._workers = workers
        self._points = sampler.points(space, self._best)
        self._starts = [dict(s) for s in starts if sampler.begins_at_starts]
        self._told: list[TrialRecord] = []
        #: What a pruner sees of them, in the same order, with the kind of their losses; ``None`` of failed ones.
        self._decided: list[tuple[str, DecidedTrial] | None] = []
        #: Points that were asked: none is asked again, those that took their workers with them least of all.
        self._seen: set[bytes] = set()
        #: Points of the space; ``None`` before it was counted.
        self._size: float | None = None
        #: Trials that run, by our id.
        self._running: dict[str, optuna.Trial] = {}
        self._rebuilt = 0
        self._study = self._new_study()

    @property
    def told(self) -> Sequence[TrialRecord]:
        """Told trials that are still in the history, oldest first."""
        return self._told

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Learn from trials told before, as far as their points fit this space and were fitted on as many rows."""
        for record in records:
            point = self.space.restricted(record.params)
            if self.space.contains(point) and record.max_rows == (self.space.max_rows or None):
                self._remember(record)
                self._seen.add(_key(point))
        self._trim()
        for record in self._told:
            self._add(record)

    def ask(self, trial: str, outlook: Outlook | None = None) -> dict[str, Any] | None:
        """A complete point for this trial, or ``None`` where every point has been asked."""
        point = self._listed()
        if point is not None:
            self._add_running(trial, point)
        elif self._points is None:
            point = self._sampled(trial, outlook or Outlook())
        elif self._sampler.goes_on and (point := self._unseen()) is not None:
            self._add_running(trial, point)
        return None if point is None else self._asked(point)

    def resume(self, trial: str, params: Mapping[str, Any]) -> None:
        """Count a trial that was asked before a restart among the running ones again."""
        point = self.space.restricted(params)
        if self.space.contains(point):
            self._seen.add(_key(point))
            self._add_running(trial, point)

    def tell(self, record: TrialRecord) -> None:
        """Learn how a trial ended."""
        asked = self._running.pop(record.trial, None)
        if asked is None:
            point = self.space.restricted(record.params)
            if not self.space.contains(point):
                return
            self._seen.add(_key(point))
            self._add(record)
        elif (violation := violated_mb(record)) is not None:
            # A failed trial would teach the sampler nothing, and it would ask for the like again.
            asked.set_constraint(MEMORY_CONSTRAINT, violation)
            self._study.tell(asked, state=TrialState.PRUNED)
        elif record.state == "failed":
            self._study.tell(asked, state=TrialState.FAIL)
        elif record.state == "complete":
            self._study.tell(asked, record.score, state=TrialState.COMPLETE)
        else:
            # A pruned trial takes its last reported value, which is its score.
            for step, mean in last_report(record).items():
                asked.report(mean, step)
            self._study.tell(asked, state=TrialState.PRUNED)
        if asked is not None:
            self._note_cost(asked.number, record)
        self._remember(record)
        if len(self._told) > KEEP_BEST + KEEP_LATEST + TRIM_SLACK:
            self._rebuild()

    def history(self, kind: str | None = None) -> list[DecidedTrial]:
        """What a pruner may learn from.

        Args:
            kind: only trials whose losses are of this `kind_of_loss`; ``None`` for all.
        """
        return [decided[1] for decided in self._decided if decided and (kind is None or decided[0] == kind)]

    def _listed(self) -> dict[str, Any] | None:
        """The next point that needs no sampling: a start, or one that the sampler enumerates."""
        while self._starts:
            start = self.space.restricted(self._starts.pop(0))
            if self.space.contains(start) and _key(start) not in self._seen:
                return start
        return None if self._points is None else next((p for p in self._points if _key(p) not in self._seen), None)

    def _best(self, count: int) -> list[dict[str, Any]]:
        """The points of the best complete trials, best first."""
        complete = [r for r in self._told if r.state == "complete" and r.score is not None]
        ranked = sorted(complete, key=lambda r: r.score or 0.0, reverse=self._maximize)
        return [self.space.restricted(record.params) for record in ranked[:count]]

    def _remember(self, record: TrialRecord) -> None:
        self._told.append(record)
        self._decided.append(None if record.state == "failed" else (kind_of_loss(record.params), DecidedTrial(
            complete=record.state == "complete", running_means=running_means(record.fold_scores),
            curves=record.curves, look=record.look_score)))

    def _sampled(self, trial: str, outlook: Outlook) -> dict[str, Any] | None:
        """A point that was never asked: the sampler's where it has one, else any; ``None`` where there is none left."""
        if self._size is None:
            self._size = self.space.size()
        if len(self._seen) >= self._size:
            return None
        if isinstance(self._study.sampler, FrugalTPESampler):
            self._study.sampler.outlook = outlook
        for _ in range(RETRIES):
            asked = self._study.ask()
            point = suggest(asked, self.space)
            if _key(point) not in self._seen:
                self._running[trial] = asked
                return point
            # A point that was evaluated before teaches nothing: close it and draw again.
            self._study.tell(asked, state=TrialState.FAIL)
        unseen = self._unseen()
        if unseen is not None:
            self._add_running(trial, unseen)
        return unseen

    def _unseen(self) -> dict[str, Any] | None:
        """A point that the sampler would not have come to, in a space that is all but walked through."""
        chance = random.Random(f"{self._seed}/{len(self._seen)}")  # noqa: S311 - the same after a restart, no secret
        drawn = (self.space.random_point(chance) for _ in range(DRAWS))
        point = next((p for p in drawn if _key(p) not in self._seen), None)
        if self._size is None:
            self._size = self.space.size()
        if point is None and self._size <= WALKED:
            point = next((p for p in self.space.all_points() if _key(p) not in self._seen), None)
        return point

    def _asked(self, point: dict[str, Any]) -> dict[str, Any]:
        self._seen.add(_key(point))
        return self.space.complete(point)

    def _add(self, record: TrialRecord) -> None:
        self._study.add_trial(lesson(record, self.space))
        self._note_cost(len(self._study.get_trials(deepcopy=False)) - 1, record)

    def _note_cost(self, number: int, record: TrialRecord) -> None:
        whole = record.step_seconds[:-1] if record.cut else record.step_seconds
        if whole and isinstance(self._study.sampler, ThriftyTPESampler):
            self._study.sampler.note_cost(number, statistics.fmean(whole))

    def _add_running(self, trial: str, point: Mapping[str, Any]) -> None:
        self._study.enqueue_trial(dict(point))
        self._running[trial] = self._study.ask(distributions(self.space, point))

    def _new_study(self) -> optuna.Study:
        # A sampler of its own for each study: some count in the study what they have drawn, and the next one of the
        # same seed would draw it all again.
        sampler = self._sampler.optuna_sampler(self.space, self._seed + self._rebuilt, self._workers)
        return optuna.create_study(
            sampler=sampler, direction="maximize" if self._maximize else "minimize",
            pruner=optuna.pruners.NopPruner(),
        )

    def _trim(self) -> None:
        if len(self._told) <= KEEP_BEST + KEEP_LATEST:
            return
        sign = -1.0 if self._maximize else 1.0
        older = self._told[:-KEEP_LATEST]
        ranked = sorted((r for r in older if r.state == "complete" and r.score is not None),
                        key=lambda r: sign * (r.score or 0.0))
        kept = {r.trial for r in (*ranked[:KEEP_BEST], *self._told[-KEEP_LATEST:])}
        self._decided = [d for r, d in zip(self._told, self._decided, strict=True) if r.trial in kept]
        self._told = [r for r in self._told if r.trial in kept]

    def _rebuild(self) -> None:
        """A new in-memory study with the trimmed history; Optuna's own would keep every trial in memory."""
        self._trim()
        self._rebuilt += 1
        running = {trial: asked.params for trial, asked in self._running.items()}
        self._study = self._new_study()
        for record in self._told:
            self._add(record)
        for trial, point in running.items():
            self._add_running(trial, point)


def trial_seed(seed: int, trial: str) -> int:
    """The seed of one trial, from the study's seed and the trial's identity, so that a second attempt fits the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{trial}".encode()).digest()[:4], "big") % (2**31 - 1)


def _key(point: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(msgspec.json.encode(dict(point), order="sorted")).digest()
