"""What a run costs beside its fits: peak proportional memory and CPU of each of its processes, sampled from outside.

    .venv/bin/python benchmarks/footprint.py studies/s5e7 &
    .venv/bin/optimizer run studies/s5e7.toml

Prints a table when the run ends.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

from optimizer.journal import read
from optimizer.scheduler.lock import holder

#: Part of the command line to the role that it names; the first that fits counts.
ROLES = (
    ("optimizer.worker", "worker"), ("optimizer.study.recorder", "recorder"),
    ("optimizer.views.publisher", "publisher"), ("optimizer.views.dashboard", "dashboard"),
    ("optimizer.gpus", "gpu watcher"),
    ("optimizer.datasets.prepare", "reader"), ("optimizer.models.describe", "describer"),
)


def role_of(process: psutil.Process, scheduler: int) -> str:
    """What a process of the run does."""
    if process.pid == scheduler:
        return "scheduler"
    line = " ".join(process.cmdline())
    return next((role for part, role in ROLES if part in line), "other")


def sample(scheduler: int, peak: dict[str, float], cpu: dict[str, dict[int, float]]) -> None:
    """Take one sample of every process of the run."""
    try:
        root = psutil.Process(scheduler)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return
    for process in processes:
        try:
            role = role_of(process, scheduler)
            name = f"{role} {process.pid}" if role == "worker" else role
            peak[name] = max(peak[name], process.memory_full_info().pss / 1e6)
            times = process.cpu_times()
            cpu[name][process.pid] = times.user + times.system
        except psutil.Error:
            continue  # it ended between the listing and the look


def main() -> None:
    """Wait for the run, sample it once a second, print the table."""
    folder = Path(sys.argv[1])
    while (scheduler := holder(folder)) is None:
        time.sleep(0.2)
    begun = time.time()
    peak: dict[str, float] = defaultdict(float)
    cpu: dict[str, dict[int, float]] = defaultdict(dict)
    while holder(folder) == scheduler:
        sample(scheduler, peak, cpu)
        time.sleep(1.0)
    wall = time.time() - begun
    print(f"{'process':<20}{'peak PSS MB':>12}{'CPU s':>10}{'% of a core':>13}")
    for name in sorted(peak):
        seconds = sum(cpu[name].values())
        print(f"{name:<20}{peak[name]:>12.0f}{seconds:>10.1f}{100 * seconds / wall:>13.2f}")
    told = [r for r in read(folder / "journal.jsonl") if r["event"] == "trial_told" and r["t"] >= begun]
    slots = next(r for r in read(folder / "journal.jsonl") if r["event"] == "run_started")["slots"]
    print(f"wall {wall:.0f} s, {len(told)} trials told, "
          f"{100 * sum(r['fit_seconds'] for r in told) / (wall * len(slots)):.1f} % of slot time inside fits, "
          f"{100 * sum(r['seconds'] for r in told) / (wall * len(slots)):.1f} % inside jobs")


if __name__ == "__main__":
    main()
