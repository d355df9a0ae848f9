"""Families described by a child: one answer per request, and one that fails hurts no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from optimizer.models import family_names, load_family
from optimizer.models.base import SpaceDescription, TableSummary
from optimizer.models.describe import DescribeRequest, describe

SUMMARY = TableSummary(
    task="binary", metric="accuracy", rows=1000, numeric=5, categorical=2, max_cardinality=9, missing=0.0, classes=2,
    balance=0.4, weighted=False,
)


def request(family: str) -> DescribeRequest:
    return DescribeRequest(dataset="d", family=family, summary=SUMMARY)


def test_the_child_answers_what_the_family_says(tmp_path: Path) -> None:
    given = msgspec.json.encode([request(name) for name in family_names()])
    child = subprocess.run(
        [sys.executable, "-m", "optimizer.models.describe"], input=given, capture_output=True, check=True, cwd=tmp_path,
    )
    answers = msgspec.json.decode(child.stdout)
    assert [a["family"] for a in answers] == list(family_names())
    for answer in answers:
        family = load_family(answer["family"])
        if "binary" not in family.tasks:
            assert answer["error"] == f"{family.name} is for {' and '.join(sorted(family.tasks))}, not for binary"
            continue
        assert "error" not in answer
        described = msgspec.convert({"space": answer["space"], "starts": answer["starts"]}, SpaceDescription)
        assert described == family.describe(SUMMARY)


def test_an_unknown_family_answers_with_its_error_and_hurts_no_other() -> None:
    wrong, right = describe([request("xgbost"), request("xgboost")])
    assert isinstance(wrong.error, str)
    assert "did you mean 'xgboost'" in wrong.error
    assert wrong.space is None
    assert right.error is msgspec.UNSET
    assert right.space is not None


def test_a_family_that_steps_aside_says_why_in_its_own_words() -> None:
    large = msgspec.structs.replace(SUMMARY, rows=300_000)
    (answer,) = describe([DescribeRequest(dataset="d", family="svm", summary=large)])
    assert answer.error == ("svm takes too long on 300,000 rows; it is for up to 30,000, and max_rows in [family.svm] "
                            "fits it on a part of them")
