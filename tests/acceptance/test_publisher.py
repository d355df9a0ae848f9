"""The publisher as a process: it serves its parent and never outlives it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from stubs.runs import FakeRun

PATIENCE_S = 60.0

#: Starts a publisher, says its process id, and dies as by kill -9 when told to.
PARENT = """
import os, sys
from pathlib import Path
from optimizer.views.publisher import Publisher
publisher = Publisher(Path(sys.argv[1]))
print(publisher.pid, flush=True)
sys.stdin.readline()
os._exit(9)
"""


def until(condition: object, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_publisher_publishes_at_once_and_dies_with_its_parent(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    run.table()
    run.started("a")
    run.ready("a")
    run.told("a/xgboost/0", 0.9, **run.predicted("a/xgboost/0", [[1.0]] * 4))
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until((tmp_path / "summary.txt").exists, "nothing is published")
        assert (tmp_path / "scores" / "best-a.csv").read_text().splitlines()[1] == "9,Introvert"
        sizes = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        assert next(int(line.split()[1]) for line in sizes if line.startswith("Pss:")) < 100 * 1024
        parent.stdin.write("die\n")
        parent.stdin.flush()
        parent.wait(PATIENCE_S)
    stat = Path(f"/proc/{pid}/stat")
    until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z", "it outlives its parent")
    assert (tmp_path / "logs" / "publisher.log").read_text() == ""
