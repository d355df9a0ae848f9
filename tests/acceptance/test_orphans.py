"""Nothing that a run has started outlives its scheduler by more than two seconds, whatever it is doing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from optimizer.process import descendants, start_time
from tests.acceptance.studies import Started, start, wait_until, write_study

STUBS = Path(__file__).resolve().parent.parent / "stubs"
#: The promise; what is measured is some hundredths of a second.
PROMISED_S = 2.0


def started_with_a_grandchild(tmp_path: Path, *, in_c: str = "", hides: str = "") -> tuple[Started, list[int]]:
    """A run whose worker's library started a process and waits for ever; worker and grandchild."""
    study = write_study(tmp_path, "trials = 4\nfolds = 2", extra="[family.unruly_spawn]")
    told = tmp_path / "spawned"
    run = start(study, "--families", "unruly_spawn", env={
        "PYTHONPATH": f"{STUBS / 'unruly'}:{STUBS / 'planted'}", "STUB_SPAWNED": str(told), "STUB_IN_C": in_c,
        "STUB_HIDES": hides})
    run.until(lambda records: told.exists() and any(r["event"] == "job_started" for r in records))
    return run, [int(word) for word in told.read_text().split()]


def all_of(run: Started) -> list[int]:
    """The scheduler's whole family, the guard included."""
    return [run.process.pid, *descendants(run.process.pid)]


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if start_time(pid) is not None]


@pytest.mark.parametrize("in_c", ["", "yes"], ids=["in Python", "in C with the interpreter's lock"])
def test_what_a_worker_has_started_ends_with_a_killed_scheduler(tmp_path: Path, in_c: str) -> None:
    run, pids = started_with_a_grandchild(tmp_path, in_c=in_c)
    family = all_of(run)
    assert set(pids) <= set(family)

    run.kill()

    assert wait_until(lambda: not living(pids), PROMISED_S), living(pids)
    assert wait_until(lambda: not living(family)), [Path(f"/proc/{p}/cmdline").read_bytes() for p in living(family)]


def test_what_hides_in_a_session_of_its_own_ends_with_a_killed_scheduler_too(tmp_path: Path) -> None:
    run, pids = started_with_a_grandchild(tmp_path, in_c="yes", hides="yes")
    assert len({os.getsid(pid) for pid in pids}) == 2

    run.kill()

    assert wait_until(lambda: not living(pids), PROMISED_S), living(pids)


def test_a_worker_that_was_stopped_ends_with_a_killed_scheduler_too(tmp_path: Path) -> None:
    run, pids = started_with_a_grandchild(tmp_path)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    run.kill()

    assert wait_until(lambda: not living(pids), PROMISED_S), living(pids)


def test_a_scheduler_killed_with_its_workers_leaves_no_grandchild(tmp_path: Path) -> None:
    run, (worker, grandchild) = started_with_a_grandchild(tmp_path)

    os.kill(worker, signal.SIGKILL)
    run.kill()

    assert wait_until(lambda: not living([worker, grandchild]), PROMISED_S)


def test_a_guard_that_was_killed_first_has_a_successor_that_does_its_work(tmp_path: Path) -> None:
    run, pids = started_with_a_grandchild(tmp_path, in_c="yes")

    def guards() -> list[int]:
        return [pid for pid in descendants(run.process.pid)
                if b"guard.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    (first,) = guards()
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: bool(set(guards()) - {first}))

    run.kill()

    assert wait_until(lambda: not living(pids), PROMISED_S), living(pids)


def test_a_signal_to_the_whole_terminal_session_leaves_nobody(tmp_path: Path) -> None:
    run, _ = started_with_a_grandchild(tmp_path)
    family = all_of(run)

    os.killpg(run.process.pid, signal.SIGINT)
    run.until(lambda records: any(r["event"] == "notice" and "stopping" in r["text"] for r in records))
    os.killpg(run.process.pid, signal.SIGINT)
    run.wait(60)

    assert wait_until(lambda: not living(family)), living(family)
