"""A run lets others go first: its processes are nice, and their sessions too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
from pathlib import Path
from optimizer.process import step_back, step_back_as_session
step_back()
step_back()
step_back_as_session()
group = Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), group.read_text().split()[-1] if group.exists() else "-")
"""


def nice_and_group(*, own_session: bool) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True,
                          start_new_session=own_session)
    return done.stdout.split()


def test_a_process_steps_back_once_and_not_further_each_time() -> None:
    assert nice_and_group(own_session=True)[0] == "10"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not group by sessions")
def test_a_session_of_its_own_steps_back_and_that_of_the_person_does_not() -> None:
    before = Path("/proc/self/autogroup").read_text().split()[-1]
    assert nice_and_group(own_session=True)[1] == "10"
    assert nice_and_group(own_session=False)[1] == before
    assert Path("/proc/self/autogroup").read_text().split()[-1] == before
