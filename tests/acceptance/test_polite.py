"""A run that shares the machine: it holds its limit, stands still when asked, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optimizer.process import NICE, NICE_WORKER, descendants, process_stat
from tests.acceptance.studies import Started, events, optimizer, processes_of, start, wait_until, write_study

TICKS = os.sysconf("SC_CLK_TCK")
#: Fits that take a while, so that whoever is stopped is stopped within one.
SLOW = "[family.lightgbm.space]\niterations = 4000\nlearning_rate = 0.002\n[resources]\n"


def used_s(pid: int) -> float:
    stats = [process_stat(p) for p in (pid, *descendants(pid))]
    return sum(stat.own_ticks for stat in stats if stat is not None) / TICKS


def share_of(run: Started, seconds: float) -> float:
    """Cores that a run and all that belongs to it keep busy."""
    before, begun = used_s(run.process.pid), time.monotonic()
    time.sleep(seconds)
    return (used_s(run.process.pid) - before) / (time.monotonic() - begun)


def started(tmp_path: Path, resources: str) -> Started:
    study = write_study(tmp_path, "trials = 500\nfolds = 5\nfamilies = ['lightgbm']\npruner = 'none'",
                        kinds=("binary",), extra=SLOW + resources)
    run = start(study)
    run.until(lambda records: any(r["event"] == "job_started" for r in records))
    return run


def said(tmp_path: Path, *words: str) -> str:
    done = optimizer(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_lets_others_go_first_and_its_workers_above_all(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1")
    (ready,) = events(run.folder, "worker_ready")
    worker = int(ready["pid"])
    assert os.getpriority(os.PRIO_PROCESS, run.process.pid) == NICE
    assert os.getpriority(os.PRIO_PROCESS, worker) == NICE_WORKER
    group = Path(f"/proc/{worker}/autogroup")
    if group.exists() and group.read_text():  # a kernel that groups by sessions
        assert group.read_text().split()[-1] == str(NICE_WORKER)
    run.stop_at_once()


def test_a_run_holds_its_limit_stands_still_when_asked_and_goes_on(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1\ncpu_limit = '40%'")
    time.sleep(2)
    assert share_of(run, 6) <= 0.46
    assert "up to 40 % of 1 core (cpu_limit)" in said(tmp_path, "limit", "studies/small")

    assert "up to 80 % of 1 core (`optimizer limit`)" in said(tmp_path, "limit", "studies/small", "--cpu", "80%")

    assert "stands still" in said(tmp_path, "pause", "studies/small")
    before = len(events(run.folder, "step_finished"))
    assert share_of(run, 3) <= 0.1
    assert len(events(run.folder, "step_finished")) <= before + 1
    assert "optimizer resume" in said(tmp_path, "status", "studies/small")

    assert "goes on" in said(tmp_path, "resume", "studies/small")
    assert wait_until(lambda: len(events(run.folder, "step_finished")) > before + 1, 30)
    state = json.loads(said(tmp_path, "limit", "studies/small", "--cpu", "off", "--json"))
    assert (state["cores"], state["because"]) == (0.4, "cpu_limit")
    run.stop_at_once()
    changes = [(r["cores"], r["because"]) for r in events(run.folder, "limits_changed")]
    assert changes == [(0.4, "cpu_limit"), (0.8, "`optimizer limit`"), (0, "paused by `optimizer pause`"),
                       (0.8, "`optimizer limit`"), (0.4, "cpu_limit")]


def test_seconds_of_a_pause_count_neither_for_a_trial_nor_against_it(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1\nfold_time_limit = '5s'")
    said(tmp_path, "pause", "studies/small")
    asked = len(events(run.folder, "job_started"))
    time.sleep(7)
    said(tmp_path, "resume", "studies/small")
    assert wait_until(lambda: len(events(run.folder, "job_started")) > asked, 60)
    run.process.send_signal(signal.SIGINT)
    run.wait()
    assert not events(run.folder, "job_lost"), "its fold took longer than its limit by the clock on the wall"
    begun = {r["trial"]: r["t"] for r in events(run.folder, "job_started")}
    assert max(r["at"] - begun[r["trial"]] - r["seconds"] for r in events(run.folder, "trial_told")) > 6


def test_a_paused_run_can_be_stopped_and_resumed_with_nothing_lost(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1")
    said(tmp_path, "pause", "studies/small")
    assert "stopped" in said(tmp_path, "stop", "studies/small")
    assert run.wait() == 3
    assert not [p for p in processes_of(run.folder) if (s := process_stat(p)) and s.state == "T"]
    again = start(run.folder.with_suffix(".toml"))
    assert wait_until(lambda: bool(events(again.folder, "trial_told")), 60), "a pause ends with its scheduler"
    again.kill()


def test_quiet_hours_that_last_all_day_let_nothing_start(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 5\nfolds = 2\nfamilies = ['lightgbm']", kinds=("binary",),
                        extra="[resources]\ncores = 1\nquiet_hours = ['00:00-12:00', '12:00-00:00']")
    run = start(study)
    run.until(lambda records: any(r["event"] == "limits_changed" for r in records))
    assert wait_until(lambda: "quiet hours" in said(tmp_path, "status", "studies/small"), 10)
    time.sleep(3)
    assert not events(run.folder, "trial_told")
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 3


@pytest.mark.whole_machine
def test_quiet_hours_may_leave_it_a_part(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1\nstep_back = false\nquiet_hours = ['00:00-12:00', '12:00-00:00']\n"
                            "quiet_cpu_limit = '40%'")
    time.sleep(2)
    assert 0.2 <= share_of(run, 6) <= 0.46
    run.kill()


def steps_back(run: Started) -> bool:
    return bool(json.loads((run.folder / "status.json").read_text())["limits"]["stepping_back"])


@pytest.mark.whole_machine
def test_it_steps_back_while_somebody_computes_on_its_core_and_takes_it_back_afterwards(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1\nstep_back = true")
    time.sleep(3)
    if steps_back(run):
        pytest.skip("the kernel counts somebody else's work on this core: a container, or a busy machine")
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(other.pid, {min(os.sched_getaffinity(0))})
        assert wait_until(lambda: steps_back(run), 15)
        assert share_of(run, 4) <= 0.3
    finally:
        other.kill()
        other.wait()
    assert wait_until(lambda: not steps_back(run), 15)
    assert share_of(run, 4) >= 0.6
    run.kill()


def test_a_wish_that_is_none_is_answered_with_what_was_expected(tmp_path: Path) -> None:
    run = started(tmp_path, "cores = 1")
    answers = {
        ("--cpu", "140%"): "--cpu '140%': expected a share of the cores such as \"40%\"",
        ("--memory", "lots"): "--memory 'lots': expected an amount of memory",
    }
    for words, answer in answers.items():
        done = optimizer("limit", "studies/small", *words, cwd=tmp_path)
        assert done.returncode == 2
        assert answer in done.stderr
    run.stop_at_once()
    gone = optimizer("pause", "studies/small", cwd=tmp_path)
    assert gone.returncode == 2
    assert "small is not running" in gone.stderr
