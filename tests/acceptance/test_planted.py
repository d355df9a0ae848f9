"""Families with every fault that a library can have, beside the real ones: each costs itself only."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from optimizer.journal import Record
from tests.acceptance.studies import FAMILIES, QUICK, events, optimizer, processes_of, start, write_study

PLANTED = Path(__file__).resolve().parents[1] / "stubs" / "planted"
BAD = ("planted_hang", "planted_hoard", "planted_nan", "planted_segfault", "planted_shout")
#: Budget of the dataset, and when the run ends whatever its workers do.
SECONDS, DEADLINE = 36, 90
LIMITS = '[resources]\nfold_time_limit = "6s"\nmemory_limit = "2GiB"\n'


def family_of(record: Record) -> str:
    """The family of the trial that a record is about."""
    return str(record["trial"].split("/")[1])


def logged(folder: Path) -> str:
    """What is in the workers' logs now."""
    texts = []
    for log in (folder / "logs").glob("worker-*.log*"):
        with contextlib.suppress(FileNotFoundError):  # it was cut just now
            texts.append(log.read_text(errors="replace"))
    return "".join(texts)


@pytest.mark.whole_machine
def test_five_bad_families_cost_themselves_only_and_the_run_ends_on_time(tmp_path: Path) -> None:
    alone = write_study(tmp_path / "alone", "trials = 6\nfolds = 3\npruner = 'none'")
    assert optimizer("run", alone, cwd=tmp_path).returncode == 0
    study = write_study(
        tmp_path, f"time_per_dataset = '{SECONDS}s'\ndeadline = '{DEADLINE}s'\nfolds = 3\npruner = 'none'\n"
        f"families = {[*FAMILIES, *BAD]}", extra=f"{LIMITS}\n{QUICK}")
    folder = study.with_suffix("")

    run = start(study, env={"PYTHONPATH": os.pathsep.join(
        filter(None, [str(PLANTED), os.environ.get("PYTHONPATH")]))})
    # The family that prints without end has the logs cut, so the stacks of the one that hangs are looked for meanwhile.
    stacks_seen = False
    while run.process.poll() is None:
        stacks_seen = stacks_seen or "planted_hang.py" in logged(folder)
        time.sleep(0.5)

    assert run.wait() == 0, study.with_suffix(".out").read_text()
    started, ended = events(folder, "run_started")[0], events(folder, "run_ended")[-1]
    print(f"{ended['t'] - started['t']:.1f} s, deadline {DEADLINE} s: {ended['reason']}")
    # What a deadline promises, not how fast anything is.
    assert ended["t"] - started["t"] < DEADLINE + 10
    assert not processes_of(folder)
    told: dict[str, list[Record]] = {name: [] for name in (*FAMILIES, *BAD)}
    for record in events(folder, "trial_told"):
        told[family_of(record)].append(record)
    print({name: Counter(r["state"] for r in records) for name, records in told.items()})

    # The real ones: as many trials as there was time for, and the very scores that they have without the others.
    scores = {r["trial"]: r["score"] for r in events(alone.with_suffix(""), "trial_told")}
    for name in FAMILIES:
        assert len(told[name]) > 2
        assert {r["state"] for r in told[name]} == {"complete"}
        first = told[name][0]
        assert first["score"] == scores[first["trial"]]

    # The bad ones: each with its reason.
    lost: dict[str, list[str]] = {}
    for record in events(folder, "job_lost"):
        lost.setdefault(family_of(record), []).append(record["reason"])
    assert told["planted_hang"]
    assert all("hung" in reason for reason in lost["planted_hang"]), lost
    assert stacks_seen
    assert {r["kind"] for r in told["planted_hoard"]} == {"out_of_memory"}
    assert all("MiB" in r["reason"] for r in told["planted_hoard"])
    assert {r["kind"] for r in told["planted_segfault"]} == {"worker_lost"}
    assert all("SIGSEGV" in r["reason"] for r in told["planted_segfault"])
    assert {r["kind"] for r in told["planted_nan"]} == {"not_finite"}
    assert {r["state"] for r in told["planted_shout"]} == {"complete"}
    assert sum(log.stat().st_size for log in (folder / "logs").iterdir()) < 64 << 20
    stopped = {r["family"] for r in events(folder, "family_stopped")}
    assert "planted_nan" in stopped
    assert stopped <= set(BAD)
    assert all(r["attempt"] <= 3 for r in events(folder, "job_started"))
