"""The scheduler computes on one thread: what the cores can do is the workers'."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.studies import write_study

#: A run that says, in place of running, how many threads a product of matrices would take.
SAYING = """
import sys
from pathlib import Path
from threadpoolctl import threadpool_info
from optimizer.cli.run import load
from optimizer.scheduler import start

def said(_scheduler):
    print({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
    return start.FINISHED

start.Scheduler.run = said
start.run(load(Path(sys.argv[1])), narrate=lambda record: None)
"""


def test_a_product_of_matrices_takes_no_second_thread_while_a_run_goes_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 1\nfamilies = ['lightgbm']", extra="")

    done = subprocess.run([sys.executable, "-c", SAYING, study], capture_output=True, text=True, check=False,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"})

    assert done.stdout == "{1}\n", done.stderr
