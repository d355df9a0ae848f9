"""Threads inside a fit against trials side by side: timed by a command, measured in passing, carried out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from optimizer.remembered import of_this_machine, shape_of
from optimizer.resources import usable_cores
from tests.acceptance.studies import QUICK, database_trials, events, optimizer, told_counts, write_study

FAMILIES = ("lightgbm", "xgboost")
TOP = 'sampler = "random"\ntrials = 9\nfolds = 3\nseed = 1\nfamilies = ["lightgbm", "xgboost"]\npruner = "none"\n'
TWO_CORES = f'{QUICK}\n[resources]\ncores = 2\nmemory_limit = "4GB"\n'

pytestmark = [pytest.mark.whole_machine,
              pytest.mark.skipif(len(usable_cores()) < 2, reason="joining slots takes two cores")]


def test_calibrate_times_every_family_at_every_layout_and_a_run_remembers_it(tmp_path: Path, own_cache: Path) -> None:
    study = write_study(tmp_path, TOP, extra=TWO_CORES)

    done = optimizer("calibrate", study, "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    *timings, chosen = json.loads(done.stdout)
    assert [(t["family"], t["slots"], t["threads"]) for t in timings] == [
        (family, slots, threads) for slots, threads in ((2, 1), (1, 2)) for family in FAMILIES]
    assert all(0 < t["alone_s"] < 60 and 0 < t["beside_s"] < 60 and t["peak_mb"] > 50 for t in timings)
    assert (chosen["dataset"], chosen["slots"] * chosen["threads"]) == ("binary", 2)
    assert (own_cache / "optimizer" / "layouts.json").is_file()
    assert not study.with_suffix("").exists(), "no run was begun"

    assert optimizer("run", study, cwd=tmp_path).returncode == 0
    (layout,) = events(study.with_suffix(""), "layout_chosen")
    assert layout["remembered"]
    assert (layout["slots"], layout["threads"]) == (chosen["slots"], chosen["threads"])


def test_a_run_measures_on_folds_of_its_own_trials(tmp_path: Path) -> None:
    study = write_study(tmp_path, TOP.replace("trials = 9", "trials = 150").replace("folds = 3", "folds = 10"),
                        extra=TWO_CORES)

    assert optimizer("run", study, cwd=tmp_path).returncode == 0

    folder = study.with_suffix("")
    measured = events(folder, "layout_measured")
    assert {m["family"] for m in measured} <= set(FAMILIES)
    assert measured
    assert all(m["threads"] == 2 and m["single_s"] > 0 and m["joined_s"] > 0 for m in measured)
    told = told_counts(folder)
    assert len(told) == 150
    assert {m["trial"] for m in measured} <= set(told), "they are trials as any other"
    assert set(told.values()) == {1}
    (chosen,) = events(folder, "layout_chosen")
    assert not chosen["remembered"]


def test_joined_slots_run_one_job_on_all_their_cores_and_score_the_same(tmp_path: Path) -> None:
    scores: dict[int, dict[str, Any]] = {}
    for width in (1, 2):
        study = write_study(tmp_path / str(width), TOP, extra=TWO_CORES)
        known = of_this_machine(os.environ, 4000 * 1e6 / 2**20)
        known.keep(shape_of(rows=426, columns=8, task="binary", classes=2, folds=3, families=sorted(FAMILIES),
                            threads=1), 2, width)
        assert optimizer("run", study, cwd=tmp_path).returncode == 0
        folder = study.with_suffix("")
        assert events(folder, "layout_chosen")[0]["threads"] == width
        scores[width] = {r["trial"]: r["fold_scores"] for r in events(folder, "trial_told")
                         if int(r["trial"].rpartition("/")[2]) < 2}
        if width == 2:
            started = {r["trial"]: r["slot"] for r in events(folder, "job_started")}
            # Each slot had its first job before the present dataset was known.
            assert set(list(started.values())[3:]) == {"cpu0"}
            assert [r["threads"] for r in events(folder, "step_finished")][-9:] == [2] * 9
        assert sum(told_counts(folder).values()) == 9 == sum(
            n for t, n in database_trials(folder).items() if not t.startswith("state:"))

    shared = set(scores[1]) & set(scores[2])
    assert len(shared) >= 3
    assert {t: scores[1][t] for t in shared} == {t: scores[2][t] for t in shared}
