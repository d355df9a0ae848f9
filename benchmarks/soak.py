"""A long run of very short trials, looked at from outside: what grows?

    make soak MINUTES=60
    .venv/bin/python -m benchmarks.soak --minutes 3 --every 10

Every ``--every`` seconds: memory (proportional and resident) and open file descriptors of the scheduler, each worker,
the recorder, the publisher, the guard and a dashboard (``optimizer watch`` on a terminal of its own that is read),
and the sizes of journal, ``optuna.db`` and predictions. At the end a table of the first, the middle and the last
sample, and the slope per hour over the second half, when everything has been loaded and every cache is full.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.place import frozen_package, markdown, with_environment, working_folder, write_json
from tests.acceptance.studies import write_study
from tests.chaos import checker
from tests.chaos.evidence import Process, children_of, processes, scheduler_of

#: Two families whose fits take hundredths of a second here, with enough left to search.
SHORT = """
families = ["xgboost", "lightgbm"]
[family.xgboost.space]
iterations = 40
[family.lightgbm.space]
iterations = 40
"""
_ROWS, _COLUMNS = 40, 140
#: What a sample measures of a process, and of a file.
OF_PROCESS, OF_FILE = ("pss_mb", "rss_mb", "descriptors"), ("mb",)


class Watcher:
    """``optimizer watch`` on a terminal of its own, which is read as a person's would be."""

    def __init__(self, study: Path, environment: dict[str, str]) -> None:
        self._fd, terminal = pty.openpty()
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "optimizer", "watch", str(study)], cwd=study.parent.parent, stdin=terminal,
            stdout=terminal, stderr=terminal, start_new_session=True, env={**environment, "TERM": "xterm-256color"})
        os.close(terminal)
        self.bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # EIO is how a terminal says that nobody is on it any more.
        with contextlib.suppress(OSError):
            while block := os.read(self._fd, 65536):
                self.bytes += len(block)

    def close(self) -> None:
        """End it and the terminal."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._fd)


def measure(pid: int) -> dict[str, float] | None:
    """Memory and descriptors of a process, or ``None`` where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    held = {line.split()[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
    return {"pss_mb": round(held["Pss:"], 2), "rss_mb": round(held["Rss:"], 2), "descriptors": descriptors}


def size_mb(path: Path) -> float:
    """Of a file, or of all files in a folder."""
    try:
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        return round(sum(p.stat().st_size for p in files) / 2**20, 3)
    except OSError:
        return math.nan  # something was replaced while we looked


def name_of(one: Process) -> str:
    """Role, and for workers their slot: a worker that was started anew goes on in the same line."""
    if one.role == "worker":
        settings = next((a for a in one.arguments if a.startswith("{")), "")
        slot = settings.partition('"slot":"')[2].partition('"')[0]
        return f"worker {slot}"
    return one.role


def sample(folder: Path, watcher: Watcher, begun: float) -> dict[str, Any] | None:
    """One look at everything; ``None`` where no scheduler runs now."""
    scheduler = scheduler_of(folder)
    if scheduler is None:
        return None
    everyone = processes()
    pids = {"scheduler": scheduler}
    for one in children_of(scheduler, everyone):
        # The run's own dashboard prints plain lines here; the one that draws is the watcher's.
        if one.role in ("worker", "recorder", "publisher", "guard") and one.state != "Z":
            pids[name_of(one)] = one.pid
    watching = [watcher.process.pid, *(p.pid for p in children_of(watcher.process.pid, everyone))]
    pids["dashboard (watch)"] = watching[-1]
    found: dict[str, Any] = {"at_s": round(time.monotonic() - begun, 1), "pids": pids}
    found["processes"] = {name: seen for name, pid in pids.items() if (seen := measure(pid)) is not None}
    found["files"] = {name: {"mb": size_mb(folder / name)}
                      for name in ("journal.jsonl", "optuna.db", "predictions", "models", "logs")}
    found["recorder"] = {"told, not in optuna.db yet": {"trials": lag(folder)}}
    return found


def lag(folder: Path) -> float:
    """Told trials that the recorder has yet to write, as the run itself says."""
    try:
        return float(json.loads((folder / "status.json").read_bytes())["recorder_lag"])
    except (OSError, ValueError, KeyError):
        return math.nan


def slope_per_hour(samples: list[dict[str, Any]], group: str, name: str, what: str) -> float | None:
    """Of a line through the second half of the samples; ``None`` with too few of them."""
    late = [(s["at_s"], s[group][name][what]) for s in samples[len(samples) // 2 :] if name in s[group]]
    late = [(t, v) for t, v in late if math.isfinite(v)]
    if len(late) < 4:
        return None
    t, v = np.array(late).T
    return round(float(np.polyfit(t / 3600, v, 1)[0]), 2)


def rows_of(samples: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """First, middle, last and slope of everything that was measured."""
    rows: list[tuple[object, ...]] = []
    for group, measures in (("processes", OF_PROCESS), ("files", OF_FILE), ("recorder", ("trials",))):
        for name in dict.fromkeys(name for s in samples for name in s[group]):
            seen = [s for s in samples if name in s[group]]
            for what in measures:
                first, middle, last = (seen[i][group][name][what] for i in (0, len(seen) // 2, -1))
                rows.append((name, what, first, middle, last, slope_per_hour(samples, group, name, what)))
    return rows


def summary_of(folder: Path, samples: list[dict[str, Any]], seconds: float, code: int | None) -> dict[str, Any]:
    """How much was done meanwhile, and whether anything was started anew."""
    status = checker.gather(folder).journal if code is not None else None
    told = status.of("trial_told") if status is not None else []
    trial_s = sorted(r["seconds"] for r in told)
    return {
        "seconds": round(seconds, 1), "exit_code": code, "samples": len(samples), "told": len(told),
        "median_trial_s": trial_s[len(trial_s) // 2] if trial_s else None,
        "restarts": {name: len({s["pids"].get(name) for s in samples if name in s["pids"]}) - 1
                     for name in dict.fromkeys(n for s in samples for n in s["pids"])},
        "events": len(status.records) if status is not None else None,
    }


def main() -> int:
    """Run, look, say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two samples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "soak")
    frozen = frozen_package(folder)
    environment = with_environment(frozen)
    seconds = math.ceil(options.minutes * 60)
    lines = SHORT.strip().splitlines()
    study = write_study(folder, f'deadline = "{seconds}s"\ntime_per_dataset = "100h"\nfolds = 2\n'
                                f"seed = {options.seed}\n{lines[0]}", kinds=("multiclass",), name="soak",
                        extra="\n".join(lines[1:]))
    run_folder = study.with_suffix("")
    print(f"{options.minutes:g} minutes, code {frozen['CODE']}; in {folder}", flush=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with study.with_suffix(".out").open("wb") as log:
        run = subprocess.Popen([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], env=environment,
                               cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    begun = time.monotonic()
    while scheduler_of(run_folder) is None and run.poll() is None and not stopped.wait(0.5):
        pass
    watcher = Watcher(study, environment)
    samples = look_on(run, run_folder, watcher, begun, options.every, stopped, folder)
    watcher.close()
    summary = {**summary_of(run_folder, samples, time.monotonic() - begun, run.returncode), "code": frozen["CODE"],
               "terminal_mb": round(watcher.bytes / 2**20, 1)}
    summary["told_and_not_stored_at_the_end"] = len(checker.alike(checker.gather(run_folder)).broken)
    # The same command again: its deadline has come, so that it only brings journal and database together.
    subprocess.run([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], env=environment, cwd=folder,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    claims = checker.check(run_folder, checker.ENDED)
    table = markdown(("of", "what", "first", "middle", "last", "per hour, second half"), rows_of(samples))
    write_json(folder / "report.json", {"summary": summary, "samples": samples})
    (folder / "report.md").write_text(table + "\n\n" + markdown(("what", "found"), list(summary.items())) + "\n",
                                      encoding="utf-8")
    print(f"{table}\n\n{markdown(('what', 'found'), list(summary.items()))}\n\n{checker.as_table(claims)}")
    return 0 if run.returncode == 0 and all(c.holds for c in claims) else 1


def look_on(run: subprocess.Popen[bytes], run_folder: Path, watcher: Watcher, begun: float, every_s: float,
            stopped: threading.Event, folder: Path) -> list[dict[str, Any]]:
    """Take samples until the run ends; when we are asked to stop, so is the run."""
    samples: list[dict[str, Any]] = []
    next_at = time.monotonic() + min(10.0, every_s)
    while run.poll() is None:
        if stopped.wait(min(1.0, max(0.0, next_at - time.monotonic()))):
            run.terminate()
            run.wait()
        elif time.monotonic() >= next_at:
            next_at += every_s
            one = sample(run_folder, watcher, begun)
            if one is not None:
                samples.append(one)
                held = {name: seen["pss_mb"] for name, seen in one["processes"].items()}
                print(f"{one['at_s']:8.0f} s  {held}  {one['files']['journal.jsonl']['mb']} MiB of journal", flush=True)
                write_json(folder / "report.json", {"samples": samples})
    return samples


if __name__ == "__main__":
    sys.exit(main())
