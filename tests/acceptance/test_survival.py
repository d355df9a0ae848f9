"""Kills and stops: what was told stays told, what was not is run again, nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.journal import Record
from tests.acceptance.studies import (
    QUICK,
    Started,
    database_trials,
    events,
    optimizer,
    processes_of,
    start,
    told_counts,
    wait_until,
    write_study,
)

#: Slow enough to be hit in the middle.
SLOW = "\n".join(f"[family.{name}.space]\niterations = 400\nlearning_rate = 0.02"
                 for name in ("catboost", "lightgbm", "xgboost"))


def told_at_least(number: int):  # type: ignore[no-untyped-def]
    """A condition on the journal."""
    return lambda records: sum(r["event"] == "trial_told" for r in records) >= number


def busy_worker(run: Started) -> int:
    """The pid of a worker that runs a job now."""
    def open_jobs(records: list[Record]) -> list[str]:
        slots: dict[str, str] = {}
        for r in records:
            if r["event"] == "job_started":
                slots[r["trial"]] = r["slot"]
            elif r["event"] in ("trial_told", "job_lost"):
                slots.pop(r["trial"], None)
        return list(slots.values())

    records = run.until(lambda rs: bool(open_jobs(rs)))
    slot = open_jobs(records)[0]
    return [r["pid"] for r in records if r["event"] == "worker_ready" and r["slot"] == slot][-1]


def assert_all_told_once(folder: Path, number: int) -> None:
    """Journal and database agree, and nothing runs for ever."""
    told, database = told_counts(folder), database_trials(folder)
    assert set(told.values()) == {1}
    assert sum(told.values()) == number
    assert {t: n for t, n in database.items() if not t.startswith("state:")} == told
    assert database["state:RUNNING"] == 0


def test_a_killed_scheduler_leaves_nobody_and_the_same_command_goes_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 8\nfolds = 3", extra=SLOW)
    run = start(study)
    run.until(told_at_least(3))
    run.kill()
    before = told_counts(run.folder)
    assert wait_until(lambda: not processes_of(run.folder)), processes_of(run.folder)
    asked = {r["trial"] for r in events(run.folder, "trial_asked")}

    done = optimizer("run", study, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert_all_told_once(run.folder, 8)
    assert set(before) <= set(told_counts(run.folder))
    assert asked <= set(told_counts(run.folder)), "what was under way is run again"


def test_a_killed_worker_costs_an_attempt_and_not_the_trial(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 6\nfolds = 3\npruner = 'none'", extra=SLOW)
    run = start(study)
    run.until(told_at_least(1))
    os.kill(busy_worker(run), signal.SIGKILL)
    assert run.wait() == 0

    lost = events(run.folder, "job_lost")
    assert [r["reason"] for r in lost] == ["killed by SIGKILL"]
    assert_all_told_once(run.folder, 6)
    again = next(r for r in events(run.folder, "trial_told") if r["trial"] == lost[0]["trial"])
    assert (again["state"], again["attempt"]) == ("complete", 2)


@pytest.mark.parametrize("ask", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_stop_finishes_what_runs_and_says_how_to_resume(tmp_path: Path, ask: signal.Signals) -> None:
    study = write_study(tmp_path, "trials = 60\nfolds = 3", extra=SLOW)
    run = start(study)
    run.until(told_at_least(2))
    run.process.send_signal(ask)
    assert run.wait() == 3
    assert f"resume with: optimizer run {study}" in study.with_suffix(".out").read_text()
    assert not processes_of(run.folder)
    assert events(run.folder, "run_ended")[-1]["state"] == "stopped"
    assert not events(run.folder, "job_lost")
    assert_all_told_once(run.folder, sum(told_counts(run.folder).values()))


def test_a_second_signal_stops_at_once_and_what_ran_is_run_again(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 2\nfolds = 2\npruner = 'none'",
                        extra=SLOW.replace("400", "2000").replace("0.02", "0.0201"))
    run = start(study, "--families", "catboost")
    busy_worker(run)
    run.process.send_signal(signal.SIGTERM)
    run.until(lambda rs: any(r["event"] == "notice" and "stopping" in r["text"] for r in rs))
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 3
    assert not processes_of(run.folder)
    under_way = {r["trial"] for r in events(run.folder, "trial_asked")} - set(told_counts(run.folder))
    assert under_way

    assert optimizer("run", study, "--families", "catboost", cwd=tmp_path).returncode == 0
    assert under_way <= set(told_counts(run.folder))
    assert_all_told_once(run.folder, 2)


def test_a_second_scheduler_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 60\nfolds = 3", extra=SLOW)
    run = start(study)
    run.until(told_at_least(1))
    second = optimizer("run", study, cwd=tmp_path)
    assert second.returncode == 2
    assert f"pid {run.process.pid}" in second.stderr
    stopped = optimizer("stop", study, cwd=tmp_path)
    assert stopped.returncode == 0, stopped.stderr
    assert run.wait() == 3


@pytest.mark.whole_machine  # beside others it might not come to a first trial
def test_a_deadline_ends_the_run_with_everything_written(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'time_per_dataset = "1h"\ndeadline = "20s"\nfolds = 3', extra=SLOW)
    done = optimizer("run", study, cwd=tmp_path)
    assert done.returncode == 0
    assert "--deadline" in done.stdout
    folder = study.with_suffix("")
    assert events(folder, "run_ended")[-1]["reason"] == "the deadline has come"
    assert_all_told_once(folder, sum(told_counts(folder).values()))
    assert (folder / "scores" / "best-binary.csv").is_file()
    assert not processes_of(folder)


def test_a_database_that_is_gone_is_rebuilt_from_the_journal_and_the_other_way_round(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 4\nfolds = 2")
    folder = study.with_suffix("")
    assert optimizer("run", study, "--families", "lightgbm", cwd=tmp_path).returncode == 0

    (folder / "optuna.db").unlink()
    assert optimizer("run", study, "--families", "lightgbm", cwd=tmp_path).returncode == 0
    assert_all_told_once(folder, 4)

    (folder / "journal.jsonl").unlink()
    done = optimizer("run", study, "--families", "lightgbm", "--trials", 5, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_all_told_once(folder, 5)


STUBS = Path(__file__).resolve().parents[1] / "stubs"


def test_a_family_that_kills_its_workers_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    # Most of the time for the family that crashes, so that it soon has its turn again.
    study = write_study(tmp_path, "time_per_dataset = '10m'\nfolds = 2",
                        extra=f"{QUICK}\n[family.catboost]\nshare = 0.9")
    run = start(study, env={"PYTHONPATH": str(STUBS / "crashing")})

    def others_go_on(records: list[Record]) -> bool:
        stopped = next((i for i, r in enumerate(records) if r["event"] == "family_stopped"), len(records))
        return {r["trial"].split("/")[1] for r in records[stopped:] if r["event"] == "trial_told"} >= {
            "lightgbm", "xgboost"}

    run.until(others_go_on)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 3
    folder = run.folder

    failed = [r for r in events(folder, "trial_told") if r["state"] == "failed"]
    assert {(r["trial"].split("/")[1], r["kind"]) for r in failed} == {("catboost", "worker_lost")}
    assert all("SIGSEGV" in r["reason"] for r in failed)
    assert all(r["attempt"] <= 3 for r in events(folder, "job_started"))
    assert {r["family"] for r in events(folder, "family_stopped")} == {"catboost"}
    decided = [r for r in events(folder, "trial_told") if r["state"] != "failed"]
    assert {r["trial"].split("/")[1] for r in decided} == {"lightgbm", "xgboost"}
    assert_all_told_once(folder, len(decided) + len(failed))


def test_a_family_whose_library_is_broken_is_stopped_and_the_others_finish(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 6\nfolds = 2")
    done = optimizer("run", study, cwd=tmp_path, env={"PYTHONPATH": str(STUBS / "missing")})
    assert done.returncode == 0, done.stdout + done.stderr
    stopped = events(study.with_suffix(""), "family_stopped")
    assert [r["family"] for r in stopped] == ["catboost"]
    assert "libsomething.so.1" in stopped[0]["reason"]
    assert not events(study.with_suffix(""), "worker_lost")


def test_files_of_the_person_that_are_called_like_a_library_do_no_harm(tmp_path: Path) -> None:
    """A folder of a competition often has a numpy.py or an optuna.py in it."""
    study = write_study(tmp_path, "trials = 2\nfolds = 2")
    for name in ("optuna", "numpy", "lightgbm", "rich", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not the library')\n")
    program = Path(sys.executable).with_name("optimizer")
    done = subprocess.run([program, "run", study, "--families", "lightgbm"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_family_that_left_the_study_has_used_what_it_used(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 6\nfolds = 2")
    assert optimizer("run", study, cwd=tmp_path).returncode == 0
    assert optimizer("run", study, "--families", "xgboost", cwd=tmp_path).returncode == 0
    assert_all_told_once(study.with_suffix(""), 6)
