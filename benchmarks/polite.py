"""What a run takes of the machine that it was told to share, and what it costs the person beside it.

    .venv/bin/python -m benchmarks.polite                            # 20 minutes
    .venv/bin/python -m benchmarks.polite --minutes 1 --rounds 1     # a short one

A run of boosting on california_housing has ``cpu_limit = "40%"`` for ten minutes; then `optimizer limit` allows 80 %,
and `optimizer pause` nothing. The CPU time of all its processes is read from outside, each half second. After that a
job of one thread, in a session of its own, is timed alone and beside runs that are polite in different ways, in turn.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.place import frozen_package, markdown, spread, with_environment, working_folder
from benchmarks.shared import DATASETS
from optimizer.process import descendants, process_stat
from tests.chaos.evidence import read_journal

TICKS = os.sysconf("SC_CLK_TCK")
STUDY = """time_per_dataset = "2h"
families = ["lightgbm", "xgboost", "catboost"]
[[datasets]]
train = "{train}"
target = "{target}"
[resources]
{resources}
"""
#: The job of the person: so many additions take about ten seconds.
JOB = """
import time
begun, x = time.perf_counter(), 0
for i in range({count}):
    x += i
print(time.perf_counter() - begun)
"""
COUNT = 150_000_000
#: Beside which runs it is timed.
BESIDE = {
    "no run": None,
    "a run that is not polite": 'priority = "normal"\nstep_back = false',
    "a run that is nice": "step_back = false",
    "a run that is nice and steps back": "step_back = true",
    "the same with cpu_limit = 40 %": 'step_back = true\ncpu_limit = "40%"',
}
#: Seconds that a run has to load its libraries and come to its pace.
_WARM_S = 15.0
#: A limit holds when a half second lies within this much of it.
_NEAR = 0.08


class Run:
    """A run in the background, looked at from outside."""

    def __init__(self, name: str, resources: str, folder: Path, environment: dict[str, str]) -> None:
        dataset = DATASETS["california_housing"]
        self.study = folder / "studies" / f"{name}.toml"
        self.study.parent.mkdir(parents=True, exist_ok=True)
        self.study.write_text(STUDY.format(train=dataset.train, target=dataset.target, resources=resources),
                              encoding="utf-8")
        self._environment = environment
        with self.study.with_suffix(".out").open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "optimizer", "run", str(self.study)], stdout=log,
                                            stderr=log, env=environment, cwd=folder, start_new_session=True)
        self._ticks: dict[int, int] = {}
        self._total = 0

    def used_s(self) -> float:
        """CPU seconds of all its processes so far, as far as they were seen."""
        for pid in (self.process.pid, *descendants(self.process.pid)):
            stat = process_stat(pid)
            if stat is not None:
                self._total += max(0, stat.own_ticks - self._ticks.get(pid, 0))
                self._ticks[pid] = stat.own_ticks
        return self._total / TICKS

    def shares(self, seconds: float, every_s: float = 0.5) -> Iterator[tuple[float, float]]:
        """Seconds that passed, and cores in use in the last stretch."""
        begun = last = time.monotonic()
        before = self.used_s()
        while (now := time.monotonic()) - begun < seconds:
            time.sleep(max(0.0, last + every_s - now))
            now, used = time.monotonic(), self.used_s()
            yield now - begun, (used - before) / (now - last)
            last, before = now, used

    def tell(self, *words: str) -> None:
        """A command of `optimizer` for this run."""
        command, *options = words
        subprocess.run([sys.executable, "-m", "optimizer", command, str(self.study.with_suffix("")), *options],
                       env=self._environment, cwd=self.study.parent.parent, check=True, stdout=subprocess.DEVNULL)

    def started(self) -> None:
        """Wait until trials have run for a while."""
        while not list(read_journal(self.study.with_suffix("")).of("job_started")):
            time.sleep(0.2)
        time.sleep(_WARM_S)

    def end(self) -> None:
        """At once."""
        for _ in range(2):
            self.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        self.process.wait()


@contextmanager
def a_run(name: str, resources: str | None, folder: Path, environment: dict[str, str]) -> Iterator[Run | None]:
    """A run that is at work; none where there are no words for it."""
    if resources is None:
        yield None
        return
    run = Run(name, resources, folder, environment)
    try:
        run.started()
        yield run
    finally:
        run.end()


def limits(folder: Path, environment: dict[str, str], minutes: float) -> str:
    """Whether limits hold, and when."""
    cores = len(os.sched_getaffinity(0))
    rows: list[tuple[object, ...]] = []
    with a_run("limits", 'cpu_limit = "40%"', folder, environment) as run:
        assert run is not None
        found = [used for _, used in run.shares(60 * minutes)]
        rows.append(('cpu_limit = "40%"', f"{60 * minutes:.0f}", f"{100 * statistics.fmean(found) / cores:.1f}",
                     f"{100 * min(found) / cores:.0f} to {100 * max(found) / cores:.0f}", ""))
        for words, limit in ((("limit", "--cpu", "80%"), 0.8), (("pause",), 0.0), (("resume",), 0.8),
                             (("limit", "--cpu", "40%"), 0.4)):
            begun = time.monotonic()
            run.tell(*words)
            told = time.monotonic() - begun
            found_at = list(run.shares(20))
            # From the answer of the command on: it answers when the scheduler has taken the wish up.
            holds = next((at for at, used in found_at if abs(used / cores - limit) <= _NEAR), None)
            rest = [used for at, used in found_at if at > 2]
            rows.append((f"optimizer {' '.join(words)}", "20", f"{100 * statistics.fmean(rest) / cores:.1f}",
                         f"{100 * min(rest) / cores:.0f} to {100 * max(rest) / cores:.0f}",
                         f"{told:.1f} + {'never' if holds is None else f'{max(0.0, holds - 0.5):.1f}'}"))
    return markdown(("asked", "seconds", "share of the cores used, %", "in half seconds, %",
                     "s until answered + until it held"), rows)


def beside(folder: Path, environment: dict[str, str], rounds: int) -> str:
    """What a job of one thread takes beside runs that are polite in different ways."""
    took: dict[str, list[float]] = {name: [] for name in BESIDE}
    back: dict[str, list[float]] = {name: [] for name in BESIDE}
    for number in range(rounds):
        for position, (name, resources) in enumerate(BESIDE.items()):
            with a_run(f"beside-{number}-{position}", resources, folder, environment) as run:
                usual = statistics.fmean(used for _, used in run.shares(5)) if run is not None else 0.0
                done = subprocess.run([sys.executable, "-c", JOB.format(count=COUNT)], capture_output=True, text=True,
                                      check=True, start_new_session=True)
                took[name].append(float(done.stdout))
                if run is not None:
                    back[name].append(next((at for at, used in run.shares(20) if used >= 0.9 * usual), float("inf")))
            print(f"round {number + 1}: beside {name}: {took[name][-1]:.2f} s", flush=True)
    alone = statistics.median(took["no run"])
    rows = [(name, spread(seconds), f"{100 * (statistics.median(seconds) / alone - 1):+.0f}", spread(back[name]))
            for name, seconds in took.items()]
    return markdown(("beside", "the job takes s", "% more than alone", "s until the run has its cores again"), rows)


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="under the first limit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "polite")
    frozen = frozen_package(folder)
    print(f"code {frozen['CODE']}, in {folder}", flush=True)
    environment = with_environment(frozen)
    text = f"{limits(folder, environment, options.minutes)}\n\n{beside(folder, environment, options.rounds)}"
    (folder / "polite.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
