"""When a search has settled: the best few scores have not changed in so many trials."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from optimizer.config.resolved import StopRules
from optimizer.records import TrialRecord


class Unchanged:
    """Counts decided trials since the best few scores changed."""

    def __init__(self, best: int, *, maximize: bool) -> None:
        self._most, self._sign = best, -1.0 if maximize else 1.0
        #: Scores, better ones first, as numbers of which less is better.
        self._best: list[float] = []
        self.trials = 0

    def add(self, score: float | None) -> bool:
        """Count a decided trial, ``None`` for one that was pruned; whether the best few have changed."""
        self.trials += 1
        if score is None or (len(self._best) == self._most and self._sign * score >= self._best[-1]):
            return False
        bisect.insort(self._best, self._sign * score)
        del self._best[self._most:]
        self.trials = 0
        return True


class Settling:
    """The rules of a study, applied to what is told."""

    def __init__(self, rules: StopRules) -> None:
        self._rules = rules
        #: By dataset, and by dataset and family.
        self._unchanged: dict[tuple[str, ...], Unchanged] = {}
        self._in_run = 0

    def tell(self, record: TrialRecord, *, maximize: bool) -> None:
        """Count a told trial; a failed one says nothing."""
        if record.state == "failed":
            return
        score = record.score if record.state == "complete" else None
        changed = [self._unchanged.setdefault(key, Unchanged(self._rules.best, maximize=maximize)).add(score)
                   for key in ((record.dataset, record.family), (record.dataset,))]
        self._in_run = 0 if changed[-1] else self._in_run + 1

    def restore(self, records: Iterable[TrialRecord], *, maximize: bool) -> None:
        """Count what was told of a dataset before this start."""
        for record in sorted(records, key=lambda r: r.at):
            self.tell(record, maximize=maximize)

    def family(self, dataset: str, family: str) -> str:
        """Why a family is done on a dataset; empty while it is not."""
        return self._reason(self._count(dataset, family), self._rules.family, "its")

    def dataset(self, dataset: str) -> str:
        """Why a dataset is done; empty while it is not."""
        return self._reason(self._count(dataset), self._rules.dataset, "its")

    def run(self) -> str:
        """Why the whole run is done; empty while it is not."""
        return self._reason(self._in_run, self._rules.run, "every dataset's")

    def _count(self, *key: str) -> int:
        unchanged = self._unchanged.get(key)
        return unchanged.trials if unchanged else 0

    def _reason(self, trials: int, limit: int | None, whose: str) -> str:
        if limit is None or trials < limit:
            return ""
        return f"{whose} best {self._rules.best} have not changed in {limit} trials"
