"""A library whose major version changed is said; a minor one is not worth a word."""

from __future__ import annotations

from optimizer.records import TrialRecord
from optimizer.scheduler.past import Past, major_changes


def past_with(**versions: str) -> Past:
    record = TrialRecord(trial="d/f/0", state="complete", attempt=1, params={}, space="", seed=0, metric="rmse",
                         table="t", versions=versions)
    return Past(told={record.trial: record})


def test_a_changed_major_version_is_named_with_both() -> None:
    before = past_with(xgboost="3.2.0", numpy="2.4.6").latest_versions
    assert major_changes(before, {"xgboost": "4.0.1", "numpy": "2.5.0"}) == ["xgboost was 3.2.0 and is 4.0.1"]


def test_a_first_start_has_nothing_to_compare_with() -> None:
    assert major_changes(Past().latest_versions, {"xgboost": "4.0.1"}) == []
