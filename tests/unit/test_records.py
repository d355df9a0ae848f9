"""A trial's identity, and its record on the way to the journal and back."""

from __future__ import annotations

import msgspec
import pytest
from stubs.makers import a_record

from optimizer.errors import ProtocolFault
from optimizer.records import TrialRecord, split_trial_id, trial_id


def test_an_id_goes_both_ways() -> None:
    assert split_trial_id(trial_id("cars", "xgboost", 12)) == ("cars", "xgboost", 12)


@pytest.mark.parametrize("text", ["", "cars", "cars/xgboost", "cars/xgboost/x", "cars/xgboost/-1", "a/b/c/1", "a/b/²"])
def test_anything_else_is_no_trial(text: str) -> None:
    with pytest.raises(ProtocolFault, match="expected <dataset>/<family>/<number>"):
        split_trial_id(text)


def test_a_record_knows_its_dataset_and_family() -> None:
    record = a_record("cars/xgboost/3")

    assert (record.dataset, record.family) == ("cars", "xgboost")


def test_a_record_survives_the_journal_whole() -> None:
    record = a_record(best_iterations=(3, None), standard_error=0.25, versions={"python": "3.11"}, models_kept=True)

    assert msgspec.convert(msgspec.to_builtins(record), TrialRecord) == record
    assert msgspec.json.decode(msgspec.json.encode(record), type=TrialRecord) == record
