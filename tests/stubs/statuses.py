"""Statuses made up for the tests of the views."""

from __future__ import annotations

import random

from optimizer.status import DatasetStatus, FamilyShare, MachineStatus, RecentTrial, SlotStatus, Status

#: A moment: 2026-11-22 06:13:20 UTC.
NOW = 1_795_328_000.0
FAMILIES = ("xgboost", "lightgbm", "catboost")


def dataset(i: int, state: str = "finished", name: str = "") -> DatasetStatus:
    """The i-th of a few datasets."""
    name = name or f"train_corrected_{i:02d}"
    begun = state in ("running", "finished")
    return DatasetStatus(
        name=name, state=state, metric="accuracy", direction="maximize", rows=18524, columns=7,
        best_score=0.97365 - 0.0003 * i if begun else None, best_error=0.00051 if begun else None,
        best_trial=f"{name}/{FAMILIES[i % 3]}/{131 + i}" if begun else None, within_error=41 + 7 * i if begun else 0,
        complete=212 + i if begun else 0, pruned=188 if begun else 0, failed=1 if begun and i == 2 else 0,
        used_s=14400.0 if state == "finished" else 5520.0 if state == "running" else 0.0, budget_s=14400.0,
        note="same content as train_corrected_01" if i == 5 else "",
    )


def status(*, datasets: int = 8, slots: int = 4, **changes: object) -> Status:
    """A run in its third dataset: two GPU slots and the rest on cores."""
    rng = random.Random(7)
    running = 2 if datasets > 2 else 0
    fields: dict[str, object] = {
        "run": "s5e7", "state": "running", "pid": 40123, "version": "0.1.0", "at": NOW - 0.4,
        "first_started": NOW - 8040.0,
        "started": NOW - 8040.0, "eta": NOW + 20_700.0, "progress": 0.2986,
        "machine": MachineStatus(cores=16, cpu=14.9, memory_mb=128_000, memory_used_mb=41_300, gpus=2),
        "datasets": tuple(dataset(i, "finished" if i < running else "running" if i == running else "waiting")
                       for i in range(datasets)),
        "families": tuple(
            FamilyShare(name=n, seconds=s, share=s / 32160, complete=c, pruned=p, failed=f, best_score=0.9736)
            for n, s, c, p, f in (("xgboost", 10820.0, 301, 240, 0), ("lightgbm", 10700.0, 240, 251, 0),
                                  ("catboost", 10640.0, 97, 73, 1))
        ),
        "slots": tuple(slot(i, rng) for i in range(slots)),
        "recent": tuple(recent(i, rng) for i in range(40)),
        "log": (
            "2026-11-22 06:02:11 dataset train_corrected_01 finished: its time is used",
            "06:02:11 train_corrected_02/catboost/42 to slot cpu1",
            "06:04:59 new best on train_corrected_02: 0.97365 (train_corrected_02/catboost/133)",
            "06:10:20 worker of slot cpu1 was killed by signal 9; train_corrected_02/lightgbm/87 runs again",
            "06:11:03 GPU gpu1 at 64 °C",
        ),
    }
    return Status(**{**fields, **changes})  # type: ignore[arg-type]


def slot(i: int, rng: random.Random) -> SlotStatus:
    """The i-th slot; the first two have a card, the fourth is idle."""
    gpu = f"NVIDIA H100 {i}" if i < 2 else None
    cores = tuple(range(4 * i, 4 * i + 4))
    if i == 3:
        return SlotStatus(name="cpu1", cores=cores, state="idle", pid=40131, cpu=0.01, rss_mb=312.0)
    return SlotStatus(
        name=f"gpu{i}" if gpu else f"cpu{i - 2}", cores=cores, gpu=gpu, state="busy", pid=40128 + i,
        cpu=round(rng.uniform(3.2, 4.0), 2), rss_mb=rng.uniform(300, 1400), gpu_load=0.78 if gpu else None,
        gpu_memory_mb=2100.0 if gpu else None, trial=f"train_corrected_02/{FAMILIES[i % 3]}/{140 + i}",
        attempt=2 if i == 2 else 1, step=i % 5, steps=5, since=NOW - 3.7 * (i + 1), running_mean=0.97311 if i else None,
    )


def recent(i: int, rng: random.Random) -> RecentTrial:
    """The i-th newest decided trial."""
    state = "failed" if i == 4 else "pruned" if i % 3 == 1 else "complete"
    return RecentTrial(
        trial=f"train_corrected_02/{FAMILIES[i % 3]}/{139 - i}", state=state,
        score=None if state == "failed" else 0.97305 if i == 3 else 0.9729 - rng.uniform(0, 0.004),
        seconds=rng.uniform(1.5, 31.0),
        at=NOW - 4.0 - 9.0 * i, was_best=i == 3, reason="out of memory" if state == "failed" else "",
    )
