"""Claims that take a process of their own: what is loaded, how many threads there are, and what is held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from optimizer.contract.claim import Broken, Claim, NotAsked, Subject

#: Seconds that such a process may take.
_LIMIT_S = 120.0
_LOAD = """
import sys
from optimizer.contract.tables import summary
from optimizer.models import load_family
family = load_family(sys.argv[1])
family.describe(summary(sys.argv[2]))
print("\\n", family.module in sys.modules)
"""
_SET_UP = """
import gc, importlib, os, sys
import numpy as np
from optimizer.contract.tables import METRIC, SHORT, context, fold_of, summary_of
from optimizer.models import load_family
from optimizer.models.base import StepsAside

family, task = load_family(sys.argv[1]), sys.argv[2]
importlib.import_module(family.module)
for rows in map(int, sys.argv[3:]):
    x = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    y = x[:, 0].astype(np.float64) if task == "regression" else (x[:, 0] > 0).astype(np.float64)
    data = fold_of(x, y, (0,) * 5, task)
    try:
        description = family.describe(summary_of(data))
        break
    except StepsAside:
        pass
params = description.space.complete(description.starts[0] if description.starts else next(
    description.space.enumerated(1)))
params |= {name: 5 for name in SHORT if name in description.space.fixed}
"""
_COUNT = _SET_UP + """
seen = []

def count(*_):
    seen.append(len(os.listdir("/proc/self/task")))
    return False

count()
more = []
for threads in (1, 2):
    model = family.fit(data, params, context(METRIC[task], threads=threads, on_iteration=count))
    count()
    model.predict(x)
    count()
    more.append(max(seen) - seen[0])
print("\\n", *more)
"""
_HOLD = _SET_UP + """
def held():
    gc.collect()
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) // 1024

sizes = [held()]
for _ in range(8):
    model = family.fit(data, params, context(METRIC[task]))
    model.predict(x)
    del model
    sizes.append(held())
print("\\n", *sizes)
"""
#: MiB that are left behind by a first fit, and that each later one may add.
MOST_LEFT, MOST_MORE = 512, 5
#: Rows to count threads by, more first: libraries use one for few, and some families are for few.
ROWS = (4000, 1000, 400)


def describes_without_its_library(subject: Subject) -> None:
    """See `CLAIMS`."""
    if _run(_LOAD, subject.family.name, _task(subject)) != "False":
        raise Broken(f"describing it loads {subject.family.module}", "the library is loaded by the first fit")


def starts_no_more_threads(subject: Subject) -> None:
    """See `CLAIMS`."""
    if not Path("/proc/self/task").is_dir():
        raise NotAsked("threads are counted through /proc, which this system has not")
    one, two = map(int, _run(_COUNT, subject.family.name, _task(subject), *map(str, ROWS)).split())
    # A pool of joblib's brings three threads that hand out work and compute nothing.
    more = 3 if subject.family.library == "scikit-learn" else 0
    for given, found, most in ((1, one, 1), (2, two, 2 + more)):
        if found > most:
            raise Broken(f"{found} threads more where a fit was given {given}", f"at most {most} more")


def holds_on_to_no_memory(subject: Subject) -> None:
    """See `CLAIMS`."""
    if not Path("/proc/self/status").is_file():
        raise NotAsked("memory is measured through /proc, which this system has not")
    if subject.task == "binary" and "regression" in subject.family.tasks:
        raise NotAsked("asked once of a family, on another of its tasks")
    before, first, *_, third, _, _, _, _, last = map(
        int, _run(_HOLD, subject.family.name, _task(subject), *map(str, ROWS)).split())
    if first - before > MOST_LEFT:
        raise Broken(f"{first - before} MiB stay behind after a fit of a few thousand rows", f"at most {MOST_LEFT} MiB")
    if (last - third) / 5 > MOST_MORE:
        raise Broken(f"{(last - third) / 5:.0f} MiB more are held after each fit", f"at most {MOST_MORE} MiB")


def _task(subject: Subject) -> str:
    """The subject's task; two classes stand for many."""
    if subject.task == "multiclass" and "binary" in subject.family.tasks:
        raise NotAsked("asked on two classes")
    return subject.task


def _run(code: str, *arguments: str) -> str:
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=False,
            timeout=_LIMIT_S, stdin=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "8"})
    except subprocess.TimeoutExpired:
        raise Broken(f"fits of a few thousand rows took more than {_LIMIT_S:.0f} s",
                     "seconds, or a limit of rows above which the family steps aside (most_rows)") from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise Broken(last, "no error")
    # The family may have printed before.
    return child.stdout.strip().splitlines()[-1].strip()


CLAIMS = (
    Claim(name="light", text="is described without its library being loaded", check=describes_without_its_library,
          advice="import the library inside the functions that fit and predict, not at the top of the file"),
    Claim(name="threads", text="starts no more threads than it is given", check=starts_no_more_threads,
          advice="give the library context.threads (n_jobs, num_threads, ...): slots beside it own the other cores"),
    Claim(name="memory", text="holds on to no memory from fit to fit", check=holds_on_to_no_memory,
          advice="keep nothing of a fit in globals or on the family; what is worth keeping goes into context.cache, "
                 "which is bounded"),
)
