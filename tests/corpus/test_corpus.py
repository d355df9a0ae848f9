"""Bad input of every kind is answered with one clear message: where it is, what was found, what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus import datasets, study_files
from tests.corpus.case import SAID, Case
from tests.corpus.driver import meet

#: How a message goes on to what can be done: a line of its own, a clause, what was expected, or what was meant.
NEXT_STEPS = ("\n  ", "; ", "expected", "did you mean")

CASES: tuple[Case, ...] = (*study_files.CASES, *datasets.CASES)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.fault) for case in CASES])
def test_bad_input_is_answered(case: Case, tmp_path: Path) -> None:
    answer = meet(case, tmp_path)
    print(answer.message)
    assert answer.answer == case.answer, answer.message
    lacking = [word for word in case.words if word not in answer.message]
    assert not lacking, f"the message says nothing of {lacking}: {answer.message}"
    if answer.answer != SAID:
        lines = [line for line in answer.message.split("\n") if not line.startswith("  ")]
        assert len(lines) == 1 or "more mistakes" in lines[-1], f"more than one message: {answer.message}"
        assert any(step in answer.message for step in NEXT_STEPS), f"no next step: {answer.message}"


def test_there_are_at_least_150_distinct_faults() -> None:
    faults = [case.fault for case in CASES]
    assert len(set(faults)) == len(faults)
    print(f"{len(faults)} cases")
    assert len(faults) >= 150
