"""Whatever single operation of a run fails: what was told is there once, and the run ends well or is ended clearly.

`failing` makes it so. Every N takes long: ``make fail-nth`` does that; here it is some of them, others for each mode.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.failing import MODES

#: Steps between two N; without it as many as take a few seconds.
STRIDE = int(os.environ.get("FAIL_NTH_STRIDE", "193"))


def every(place: Path, mode: str, start: int) -> list[dict[str, Any]]:
    """What became of each N, the last being larger than the number of operations."""
    command = [sys.executable, "-m", "tests.acceptance.failing", str(place), mode, str(start), str(STRIDE)]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study is prepared once for all modes."""
    return tmp_path_factory.mktemp("failing")


@pytest.mark.timeout(0 if STRIDE < 20 else 300)
@pytest.mark.parametrize("mode", MODES)
def test_an_operation_that_fails_costs_nothing_that_was_told(place: Path, mode: str) -> None:
    # So that the modes, each with few N, do not all look at the same operations.
    start = 1 + list(MODES).index(mode) * STRIDE // len(MODES)

    results = every(place, mode, start)

    assert results[-1]["operations"] < results[-1]["n"]
    assert results[-1]["operations"] > 50
    wrong = [r for r in results if r["wrong"]]
    assert not wrong, json.dumps(wrong, indent=1)
    ended = {f"{r['failed'][:1]}: {r['why']}" for r in results if r["how"] != "finished"}
    print(f"{mode}: {len(results)} runs, {results[-1]['operations']} operations; ended early:")
    print(*sorted(ended), sep="\n")
