"""A run lets others go first: its processes are nice, and their sessions too."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEP_BACK = """
from optimizer.process import step_back, step_back_as_session
step_back()
step_back()
step_back_as_session()
"""
#: Where a kernel does not group by sessions the file is missing, or empty for a process of the root group.
TELL = """
import os
from pathlib import Path
group = Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), ((group.read_text() if group.exists() else "").split() or ["-"])[-1])
"""


def nice_and_group(code: str, *, own_session: bool = False) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          start_new_session=own_session)
    return done.stdout.split()


def test_a_process_steps_back_once_and_not_further_each_time() -> None:
    assert nice_and_group(STEP_BACK + TELL)[0] == "10"


def test_a_session_of_its_own_steps_back_and_that_of_the_person_does_not() -> None:
    before = nice_and_group(TELL)[1]
    if before == "-":
        pytest.skip("this kernel does not group by sessions")
    assert nice_and_group(STEP_BACK + TELL, own_session=True)[1] == "10"
    assert nice_and_group(STEP_BACK + TELL)[1] == before
    assert nice_and_group(TELL)[1] == before
