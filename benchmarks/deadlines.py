"""Whether a run ends when it said it would: runs with a random deadline each, several at once.

    make deadlines RUNS=50
    .venv/bin/python -m benchmarks.deadlines --runs 4 --at-once 4 --low 20 --high 30

A deadline counts from the start of the command. The overrun is the end of the command minus what was promised; beside
it stands the same counted from ``run_started`` in the journal. Every told trial must be in ``optuna.db``,
and the summary and the best submission must be written.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.place import frozen_package, markdown, with_environment, working_folder, write_json
from tests.acceptance.studies import write_study
from tests.chaos import checker
from tests.chaos.evidence import read_journal

#: What is allowed: one per cent or so many seconds, whichever is more.
ALLOWED_S, ALLOWED_SHARE = 10.0, 0.01
#: Seconds after its deadline at which a run is given up.
_PATIENCE_S = 180.0
#: Long enough that jobs are under way when the deadline comes.
SLOW = "\n".join(f"[family.{name}.space]\niterations = 600\nlearning_rate = 0.02"
                 for name in ("catboost", "lightgbm", "xgboost"))


def one_run(number: int, promised_s: int, folder: Path, environment: dict[str, str], ended: threading.Event,
            kind: str) -> dict[str, Any]:
    """Carry out one run and say how it ended."""
    found: dict[str, Any] = {"run": number, "promised_s": promised_s, "data": kind}
    study = write_study(folder / f"run-{number}", f'time_per_dataset = "1h"\ndeadline = "{promised_s}s"\nfolds = 3',
                        kinds=(kind,), extra=SLOW)
    begun, begun_wall = time.monotonic(), time.time()
    with study.with_suffix(".out").open("wb") as log:
        run = subprocess.Popen([sys.executable, "-m", "optimizer", "run", str(study), "--plain"], env=environment,
                               cwd=study.parent.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               start_new_session=True)
    until = begun + promised_s + _PATIENCE_S
    while run.poll() is None and time.monotonic() < until and not ended.wait(0.05):
        pass
    seconds = time.monotonic() - begun
    if run.poll() is None:
        run.send_signal(signal.SIGKILL)
        run.wait()
        found["given_up"] = True
    return {**found, **judged(study, promised_s, seconds, begun_wall), "exit_code": run.returncode}


def judged(study: Path, promised_s: int, seconds: float, begun_wall: float) -> dict[str, Any]:
    """What the folder tells of it."""
    folder = study.with_suffix("")
    journal = read_journal(folder)
    started = next((r["t"] for r in journal.of("run_started")), begun_wall)
    ended = begun_wall + seconds
    claims = checker.check(folder, checker.ENDED)
    missing = [] if (folder / "summary.txt").is_file() and (folder / "summary.json").is_file() else ["no summary"]
    return {
        "seconds": round(seconds, 2), "overrun_command_s": round(seconds - promised_s, 2),
        "overrun_started_s": round(ended - started - promised_s, 2), "told": len(journal.of("trial_told")),
        "reason": next((r["reason"] for r in journal.of("run_ended")), "no run_ended"),
        "broken": [f"{c.name}: {fault}" for c in claims for fault in c.broken] + missing,
    }


def allowed_s(promised_s: float) -> float:
    """How late a run may end."""
    return max(ALLOWED_S, ALLOWED_SHARE * promised_s)


def summary_of(seed: int, code: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures over all runs so far."""
    if not results:
        return {"runs": 0}
    from_start = [r["overrun_started_s"] for r in results]
    return {
        "seed": seed, "code": code, "runs": len(results),
        "largest_overrun_s": max(r["overrun_command_s"] for r in results),
        "largest_overrun_from_run_started_s": max(from_start),
        "median_overrun_from_run_started_s": statistics.median(from_start),
        "earliest_s": min(from_start),
        **{f"late_{since}": [r["run"] for r in results if r[f"overrun_{since}_s"] > allowed_s(r["promised_s"])]
           for since in ("command", "started")},
        "exit_codes": {str(code): sum(r["exit_code"] == code for r in results)
                       for code in sorted({r["exit_code"] for r in results})},
        "told": sum(r["told"] for r in results), "without_a_trial": sum(not r["told"] for r in results),
        "broken": [f"run {r['run']}: {text}" for r in results for text in r["broken"]],
    }


def main() -> int:
    """Carry out all runs and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--low", type=int, default=20)
    parser.add_argument("--high", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "deadlines")
    frozen = frozen_package(folder)
    environment = with_environment(frozen)
    chance = random.Random(options.seed)
    plan = [(n, chance.randint(options.low, options.high), chance.choice(("binary", "multiclass", "regression")))
            for n in range(options.runs)]
    print(f"seed {options.seed}, {options.runs} runs, {options.at_once} at once, code {frozen['CODE']}; in {folder}",
          flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    results: list[dict[str, Any]] = []
    lock = threading.Lock()

    def carry_out(number: int, promised_s: int, kind: str) -> None:
        if ended.is_set():
            return
        result = one_run(number, promised_s, folder, environment, ended, kind)
        with lock:
            if ended.is_set():
                return  # cut short by us
            results.append(result)
            print(f"{len(results):3} of {options.runs}: run {number}, promised {promised_s} s, "
                  f"overrun {result['overrun_command_s']:+.1f} s (from run_started "
                  f"{result['overrun_started_s']:+.1f} s), exit {result['exit_code']}, {result['told']} told"
                  f"{', BROKEN: ' + result['broken'][0] if result['broken'] else ''}", flush=True)
            write_json(folder / "report.json", {"summary": summary_of(options.seed, frozen["CODE"], results),
                                                "runs": results})

    with ThreadPoolExecutor(options.at_once) as pool:
        for task in [pool.submit(carry_out, *one) for one in plan]:
            task.result()
    summary = summary_of(options.seed, frozen["CODE"], results)
    print(markdown(("what", "found"), list(summary.items())))
    good = len(results) == options.runs and not summary["late_command"] and not summary["broken"]
    return 0 if good and set(summary["exit_codes"]) <= {"0"} else 1


if __name__ == "__main__":
    sys.exit(main())
