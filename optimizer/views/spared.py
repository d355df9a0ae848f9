"""What smart selection spared: fits that were not done, by the evidence that spoke against them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from optimizer.records import TrialRecord
from optimizer.views.told import DatasetView, FamilyStop

#: By what a trial was ended early, and what that is.
EVIDENCE = {
    "folds": "its mean over the folds so far could not catch up with the best",
    "fit": "its loss at a checkpoint inside a fit was hopeless",
    "look": "its first, cheap fit on a part of the rows was hopeless",
}
#: The same, as where that was.
WHERE = {"folds": "after a fold", "fit": "inside a fit", "look": "after a first look"}


def spared(trials: Sequence[TrialRecord], datasets: Mapping[str, DatasetView],
           stops: Sequence[FamilyStop]) -> dict[str, Any]:
    """The sums by dataset, family and evidence, and who has stopped.

    Seconds are an estimate: the folds that were not run, at what a fold of the same trial took, or of the same family
    where it has none.
    """
    usual = _usual_seconds(trials)
    sums: dict[tuple[str, str, str], dict[str, float]] = {}
    for trial in trials:
        if trial.state != "pruned" or (dataset := datasets.get(trial.dataset)) is None:
            continue
        left = max(0, dataset.folds * dataset.repeats - len(trial.fold_scores))
        entry = sums.setdefault((trial.dataset, trial.family, evidence_of(trial)),
                                {"trials": 0, "folds": 0, "seconds": 0.0, "spent": 0.0})
        whole = trial.step_seconds[:len(trial.fold_scores)]
        each = statistics.fmean(whole) if whole else usual.get((trial.dataset, trial.family), 0.0)
        entry["trials"] += 1
        entry["folds"] += left
        entry["seconds"] += left * each
        entry["spent"] += trial.seconds
    rows = [{"dataset": dataset, "family": family, "evidence": evidence, **found}
            for (dataset, family, evidence), found in sums.items()]
    return {
        "evidence": EVIDENCE,
        "rows": sorted(rows, key=lambda row: -row["seconds"]),
        "stops": [{"family": s.family, "dataset": s.dataset, "reason": s.reason, "moved": s.moved} for s in stops],
        "finished": [{"dataset": d.dataset, "reason": d.finished, "used_s": d.used_s, "spared": d.spared}
                     for d in datasets.values() if d.finished],
        "same_content": [{"dataset": d.dataset, "same_as": d.same_as} for d in datasets.values() if d.same_as],
        "repeated": _repeated(trials),
        "quarantined": [t.trial for t in trials if t.quarantined],
    }


def totals(found: Mapping[str, Any]) -> dict[str, Any]:
    """Over all datasets and families: trials by evidence, folds that were not run, and about how many seconds; and the
    models that were not begun, as the best had not changed for long."""
    rows = found["rows"]
    return {
        "trials": {evidence: count for evidence in EVIDENCE
                   if (count := sum(row["trials"] for row in rows if row["evidence"] == evidence))},
        "folds": sum(row["folds"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "not_begun": sum(dataset["spared"] for dataset in found["finished"]),
    }


def evidence_of(trial: TrialRecord) -> str:
    """Which of `EVIDENCE` ended a pruned trial."""
    if trial.cut:
        return "fit"
    return "look" if trial.look_score is not None and not trial.fold_scores else "folds"


def _usual_seconds(trials: Sequence[TrialRecord]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        if trial.state == "complete":
            found.setdefault((trial.dataset, trial.family), []).extend(trial.step_seconds)
    return {key: statistics.median(seconds) for key, seconds in found.items() if seconds}


def _repeated(trials: Sequence[TrialRecord]) -> int:
    """Points that were evaluated although the same one had been before: what could yet be spared."""
    # A live page counts them every few seconds, of thousands of trials.
    points = {(trial.trial.rpartition("/")[0], trial.space, msgspec.json.encode(trial.params, order="sorted"))
              for trial in trials}
    return len(trials) - len(points)
