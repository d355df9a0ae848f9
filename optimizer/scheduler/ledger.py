"""What a run knows of its datasets and families: told trials, bests, thresholds, seconds. No I/O, no clock."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from optimizer.budgets import DatasetUse, FamilyUse
from optimizer.datasets.problem import Prepared
from optimizer.records import TrialRecord

#: Trials per dataset and family whose fold models are kept.
KEEP_MODELS = 3
#: Test rows are predicted for trials in this top share of a dataset, and for its best so many, where that is more.
TOP_SHARE, SURE_OF_TEST = 0.1, 10
#: Complete trials of a family from which on its best says what it is worth.
ENOUGH_TO_JUDGE = 5
#: Decided trials that the mean length of a family's trials is taken over.
_RECENT = 20
#: Decided trials on a kind of slot from which on its folds there are compared with those elsewhere.
_ENOUGH = 3


@dataclass(kw_only=True)
class FamilyLedger:
    """One family on one dataset."""

    name: str
    kinds: frozenset[str]
    #: Steps of a trial.
    steps: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    #: Failures in a row from the start; a family that only fails is stopped.
    failed_in_a_row: int = 0
    #: Slot-seconds of ended jobs, by kind of slot.
    seconds: dict[str, float] = field(default_factory=dict)
    begun: int = 0
    best: TrialRecord | None = None
    #: Best complete trials whose models are kept, best first.
    models: list[TrialRecord] = field(default_factory=list)
    #: Why no trial starts any more; empty while they do.
    closed: str = ""
    #: What the person gave it of the budget, 0 to 1.
    share: float | None = None
    #: Longest step so far, and how many there were.
    longest_step_s: float = 0.0
    steps_seen: int = 0
    #: Most private memory that a recent trial has held, in MiB; 0 while unknown.
    peak_mb: float = 0.0
    _recent_mb: list[float] = field(default_factory=list)
    _recent_s: list[float] = field(default_factory=list)
    _recent_step_s: list[float] = field(default_factory=list)
    #: By kind of slot.
    _recent_fold_s: dict[str, list[float]] = field(default_factory=dict)

    @property
    def typical_s(self) -> float:
        """Mean slot-seconds of recent trials."""
        return sum(self._recent_s) / len(self._recent_s) if self._recent_s else 0.0

    @property
    def typical_step_s(self) -> float:
        """Mean seconds of recent steps."""
        return sum(self._recent_step_s) / len(self._recent_step_s) if self._recent_step_s else 0.0

    @property
    def fold_s(self) -> dict[str, float]:
        """Median seconds of recent folds by kind of slot, of kinds with enough trials to tell."""
        return {kind: statistics.median(folds) for kind, folds in self._recent_fold_s.items() if len(folds) >= _ENOUGH}

    def charge(self, kind: str, seconds: float) -> None:
        """Add slot-seconds of a job that ended."""
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds

    def note_length(self, record: TrialRecord, kind: str) -> None:
        """Remember how long a trial and its steps took, and how much memory."""
        if record.peak_private_mb and record.kind != "out_of_memory":
            self._recent_mb = [*self._recent_mb, record.peak_private_mb][-_RECENT:]
            self.peak_mb = max(self._recent_mb)
        self.steps_seen += len(record.step_seconds)
        self.longest_step_s = max(self.longest_step_s, *record.step_seconds, 0.0)
        if record.state != "failed" and record.step_seconds:
            self._recent_s = [*self._recent_s, record.seconds * record.slots][-_RECENT:]
            self._recent_step_s = [*self._recent_step_s, *record.step_seconds][-_RECENT:]
            mean = sum(record.step_seconds) / len(record.step_seconds)
            self._recent_fold_s[kind] = [*self._recent_fold_s.get(kind, ()), mean][-_RECENT:]


@dataclass(kw_only=True)
class DatasetLedger:
    """One dataset: what was prepared, and what came of it."""

    prepared: Prepared
    families: dict[str, FamilyLedger]
    budget_s: float | None
    budget_trials: int | None
    best: TrialRecord | None = None
    #: Scores of complete trials, ascending.
    scores: list[float] = field(default_factory=list)
    finished: bool = False
    #: Why no trial starts any more before the budget is used; empty while they do.
    settled: str = ""
    #: Whether families share the budget by what they have found.
    adaptive: bool = False
    #: Whether the person was told how many trials to expect.
    projected: bool = False

    @property
    def maximize(self) -> bool:
        """Whether more is better."""
        return self.prepared.direction == "maximize"

    @property
    def decided(self) -> int:
        """Complete and pruned trials."""
        return sum(f.complete + f.pruned for f in self.families.values())

    @property
    def used_s(self) -> float:
        """Slot-seconds of ended jobs."""
        return sum(sum(family.seconds.values()) for family in self.families.values())

    def better(self, a: float, b: float) -> bool:
        """Whether score ``a`` is better than ``b``."""
        return a > b if self.maximize else a < b

    def tell(self, record: TrialRecord, *, kind: str) -> bool:
        """Count a told trial; whether it is the dataset's best now."""
        family = self.families[record.family]
        family.charge(kind, record.seconds * record.slots)
        family.note_length(record, kind)
        if record.state == "failed":
            family.failed += 1
            family.failed_in_a_row += 1
            return False
        family.failed_in_a_row = 0
        if record.state == "pruned":
            family.pruned += 1
            return False
        assert record.score is not None  # noqa: S101 - for the type checker
        family.complete += 1
        bisect.insort(self.scores, record.score)
        if family.best is None or family.best.score is None or self.better(record.score, family.best.score):
            family.best = record
        if self.best is None or self.best.score is None or self.better(record.score, self.best.score):
            self.best = record
            return True
        return False

    def keep_models(self, record: TrialRecord) -> list[str]:
        """Count a trial's kept models among the family's; return the trials whose models are to be dropped."""
        family = self.families[record.family]
        family.models.append(record)
        family.models.sort(key=lambda r: r.score or 0.0, reverse=self.maximize)
        dropped = [r.trial for r in family.models[KEEP_MODELS:]]
        del family.models[KEEP_MODELS:]
        return dropped

    def keep_models_beyond(self, family: str) -> float | None:
        """The score that a trial must beat for its models to be kept; ``None`` for any.

        One as good came later, and would be the first whose models go.
        """
        models = self.families[family].models
        return models[-1].score if len(models) >= KEEP_MODELS else None

    def predict_test_beyond(self) -> float | None:
        """The score that a trial must beat to be among the best now; ``None`` for any, while there are few.

        The bar only rises, so that whoever is among the best `SURE_OF_TEST` in the end, of equal ones the first, was
        there when it was told.
        """
        if len(self.scores) < SURE_OF_TEST:
            return None
        count = max(SURE_OF_TEST, int(len(self.scores) * TOP_SHARE))
        return self.scores[-count] if self.maximize else self.scores[count - 1]

    def within_error(self) -> int:
        """Complete trials whose score lies within one standard error of the best, the best included."""
        if self.best is None or self.best.score is None:
            return 0
        error = self.best.standard_error or 0.0
        if self.maximize:
            return len(self.scores) - bisect.bisect_left(self.scores, self.best.score - error)
        return bisect.bisect_right(self.scores, self.best.score + error)

    def promise(self, family: FamilyLedger) -> float:
        """How near a family's best is to the dataset's: 1 for the best itself and for one with few trials yet.

        Half for every two standard errors of the best score that it lacks.
        """
        if family.complete < ENOUGH_TO_JUDGE or family.best is None or self.best is None:
            return 1.0
        assert family.best.score is not None  # noqa: S101 - for the type checker
        assert self.best.score is not None  # noqa: S101 - as above
        error = self.best.standard_error or 0.0
        behind = abs(self.best.score - family.best.score)
        return 0.5 ** (behind / (2 * error)) if error else float(behind == 0)

    def projected_trials(self) -> float | None:
        """Trials that the budget is good for, were all like those so far; ``None`` before every family had one."""
        if self.budget_trials is not None:
            return self.budget_trials
        # Families share seconds, so each has its own number of trials.
        trials = sum(self.trials_in_time(f.name, math.inf) for f in self.families.values() if not f.closed)
        return trials if 0 < trials < math.inf else None

    def whole_s(self, left_s: float) -> float | None:
        """Slot-seconds that it has in all; ``None`` while nobody knows.

        Args:
            left_s: slot-seconds that the run has left for it.
        """
        most_s = self.used_s + left_s
        if self.budget_s is not None:
            return min(most_s, self.budget_s)
        lengths = [f.typical_s for f in self.families.values() if f.typical_s]
        return None if not lengths or self.budget_trials is None else min(
            most_s, self.budget_trials * statistics.fmean(lengths))

    def trials_in_time(self, family: str, left_s: float) -> float:
        """Trials that time allows a family in all, were they like its recent ones; infinite where they are counted."""
        typical_s, whole_s = self.families[family].typical_s, self.whole_s(left_s)
        if self.budget_trials is not None or whole_s is None or not typical_s:
            return math.inf
        return whole_s / max(1, sum(not f.closed for f in self.families.values())) / typical_s

    def spared_models(self) -> int:
        """Models that the budget was good for when the best had not changed for long; 0 where that did not end it.

        Where the budget is time, as many as there were in the time that was used.
        """
        if not self.settled:
            return 0
        if self.budget_trials is not None:
            return max(0, self.budget_trials - self.decided)
        used_s = self.used_s
        return max(0, round((self.budget_s - used_s) / used_s * self.decided)) if self.budget_s and used_s else 0

    def use(self, under_way: Mapping[str, Mapping[str, float]], jobs: int) -> DatasetUse:
        """What the budgets see.

        Args:
            under_way: family to kind of slot to seconds that its running and waiting jobs are charged with.
            jobs: how many of them there are.
        """
        uses = {}
        for family in self.families.values():
            seconds = dict(family.seconds)
            for kind, extra in under_way.get(family.name, {}).items():
                seconds[kind] = seconds.get(kind, 0.0) + extra
            uses[family.name] = FamilyUse(
                name=family.name, kinds=family.kinds, seconds=seconds, begun=family.begun,
                typical_s=family.typical_s, fold_s=family.fold_s if len(family.kinds) > 1 else {},
                closed=bool(family.closed) or self.finished or bool(self.settled), share=family.share,
                promise=self.promise(family) if self.adaptive else None,
            )
        return DatasetUse(
            name=self.prepared.dataset, families=uses, budget_s=self.budget_s, budget_trials=self.budget_trials,
            decided=self.decided, under_way=jobs,
        )
