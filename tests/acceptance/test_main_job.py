"""The main job: one command, and in the morning there are the best submissions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from optimizer.datasets.table import Table
from optimizer.metrics import get_metric
from optimizer.records import TrialRecord
from optimizer.store import Store, from_stored
from tests.acceptance.studies import (
    FAMILIES,
    database_trials,
    events,
    leaderboard,
    optimizer,
    told_counts,
    write_study,
    write_tables,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three tasks and three families, run to its end; the path of its file."""
    root = tmp_path_factory.mktemp("main")
    study = write_study(root, 'trials = 7\nfolds = 3', kinds=("binary", "multiclass", "regression"))
    done = optimizer("run", study, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout, "control characters where there is no terminal"
    return study


def rows_of(path: Path) -> list[list[str]]:
    """A CSV file."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def told(study: Path) -> list[TrialRecord]:
    """Records of the run's told trials."""
    import msgspec

    return [msgspec.convert(r, TrialRecord) for r in events(study.with_suffix(""), "trial_told")]


def test_every_family_is_tried_on_every_dataset(finished: Path) -> None:
    pairs = {(r.dataset, r.family) for r in told(finished)}
    assert pairs == {(d, f) for d in ("binary", "multiclass", "regression") for f in FAMILIES}
    assert all(r.state in ("complete", "pruned") for r in told(finished))


@pytest.mark.parametrize("dataset", ["binary", "multiclass", "regression"])
def test_the_best_submission_has_the_shape_of_the_sample(finished: Path, dataset: str) -> None:
    sample = rows_of(finished.parent.parent / "data" / dataset / "sample_submission.csv")
    best = rows_of(finished.with_suffix("") / "scores" / f"best-{dataset}.csv")

    assert best[0] == sample[0]
    assert [row[0] for row in best] == [row[0] for row in sample]
    if dataset == "regression":
        assert all(np.isfinite(float(row[1])) for row in best[1:])
    else:
        train = rows_of(finished.parent.parent / "data" / dataset / "train.csv")
        assert {row[1] for row in best[1:]} <= {row[-1] for row in train[1:]}


def test_a_told_score_follows_from_the_stored_predictions(finished: Path) -> None:
    store = Store(finished.with_suffix(""))
    for record in (r for r in told(finished) if r.state == "complete"):
        table = Table.open(store.table_folder(record.table))
        oof = from_stored(store.read_predictions(record.trial, record.attempt, record.predictions_sha256).oof[0],
                          table.meta.task)
        metric = get_metric(record.metric)
        scores = [metric.score(table.y[valid], oof[valid]) for _, valid in map(table.split, range(table.meta.steps))]
        assert tuple(scores) == record.fold_scores
        assert record.score == pytest.approx(np.mean(scores), rel=1e-12)


@pytest.mark.parametrize(
    ("dataset", "family"), list(zip(("binary", "multiclass", "regression"), FAMILIES, strict=True)))
def test_predicting_the_test_table_gives_the_exported_submission_again(
    finished: Path, tmp_path: Path, dataset: str, family: str,
) -> None:
    best = next(row for row in leaderboard(finished, "--dataset", dataset, "--family", family)
                if row["models_kept"] and row["test_predicted"])
    again = tmp_path / "again.csv"
    done = optimizer("predict", finished, finished.parent.parent / "data" / dataset / "test.csv",
                     "--model", best["trial"], "--out", again, cwd=finished.parent.parent)
    assert done.returncode == 0, done.stderr
    exported = optimizer("export", finished, "--top", 50, "--dataset", dataset, cwd=finished.parent.parent)
    assert exported.returncode == 0, exported.stderr
    ours = [Path(line) for line in exported.stdout.splitlines()
            if f"-{family}-{dataset}.csv" in line and f"subm-{best['score']:.6f}-" in line]
    assert again.read_bytes() in [(finished.parent.parent / path).read_bytes() for path in ours]


def test_journal_and_database_hold_the_same_trials(finished: Path) -> None:
    journal, database = told_counts(finished.with_suffix("")), database_trials(finished.with_suffix(""))
    assert set(journal.values()) == {1}
    assert {t: n for t, n in database.items() if not t.startswith("state:")} == journal
    assert database["state:RUNNING"] == 0


def test_a_budget_in_trials_is_kept_per_dataset(finished: Path) -> None:
    counts = {d: sum(r.dataset == d for r in told(finished)) for d in ("binary", "multiclass", "regression")}
    assert counts == {"binary": 7, "multiclass": 7, "regression": 7}


def test_models_of_the_best_three_per_family_are_kept(finished: Path) -> None:
    for dataset in ("binary", "multiclass", "regression"):
        for family in FAMILIES:
            complete = [r for r in leaderboard(finished, "--dataset", dataset, "--family", family, "--top", 100)
                        if r["state"] == "complete"]
            kept = {p.name for p in (finished.with_suffix("") / "models" / dataset / family).iterdir()}
            assert kept == {r["trial"].rpartition("/")[2] for r in complete[:3]}


def test_nothing_is_left_beside_the_run_folder(finished: Path) -> None:
    assert {p.name for p in finished.parent.iterdir()} == {"small.toml", "small"}
    assert {p.name for p in finished.parent.parent.iterdir()} == {"data", "studies"}


def test_a_finished_run_says_so_and_more_trials_go_on_from_there(finished: Path) -> None:
    before = told_counts(finished.with_suffix(""))
    again = optimizer("run", finished, cwd=finished.parent.parent)
    assert again.returncode == 0
    assert "finished" in again.stdout
    assert told_counts(finished.with_suffix("")) == before

    more = optimizer("run", finished, "--trials", 8, cwd=finished.parent.parent)
    assert more.returncode == 0, more.stderr
    assert sum(told_counts(finished.with_suffix("")).values()) == 24


def test_a_changed_seed_is_refused_with_what_differs(finished: Path) -> None:
    done = optimizer("run", finished, "--seed", 7, cwd=finished.parent.parent)
    assert done.returncode == 2
    assert "seed: was 42, is 7" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_status_is_there_for_machines(finished: Path) -> None:
    done = optimizer("status", finished, "--json", cwd=finished.parent.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["alive"] is False
    assert {d["name"] for d in json.loads(done.stdout)["status"]["datasets"]} == {"binary", "multiclass", "regression"}


def test_a_folder_becomes_a_study_and_is_run(tmp_path: Path) -> None:
    write_tables(tmp_path / "cells", kind="binary")
    done = optimizer("run", "cells", "--trials", 3, "--families", "lightgbm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    study = tmp_path / "studies" / "cells.toml"
    assert "diagnosis" in study.read_text()
    assert (tmp_path / "studies" / "cells" / "scores" / "best-cells.csv").is_file()

    written = study.read_bytes()
    again = optimizer("run", "cells", "--trials", 4, "--families", "lightgbm", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert study.read_bytes() == written


def test_debug_runs_everything_in_one_process(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 3\nfolds = 2')
    done = optimizer("run", study, "--debug", "--families", "lightgbm,ridge", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (aside,) = events(study.with_suffix(""), "family_stopped")
    assert (aside["family"], aside["reason"]) == ("ridge", "ridge is for regression, not for binary")
    assert len({r["pid"] for r in events(study.with_suffix(""), "worker_ready")}
               | {events(study.with_suffix(""), "run_started")[0]["pid"]}) == 1


def test_one_broken_dataset_does_not_stop_the_others(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 3\nfolds = 2', kinds=("binary", "multiclass"))
    train = tmp_path / "data" / "binary" / "train.csv"
    train.write_text(train.read_text() + "1,2,3\n")
    done = optimizer("run", study, "--families", "lightgbm", cwd=tmp_path)
    assert done.returncode == 0
    assert f"{train}:428" in done.stdout + done.stderr
    assert {r.dataset for r in told(study)} == {"multiclass"}


def test_a_study_without_a_usable_dataset_is_a_mistake_of_input(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 3')
    (tmp_path / "data" / "binary" / "train.csv").write_text("id,a,b\n")
    done = optimizer("run", study, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr


def test_fresh_starts_anew_and_keeps_the_old_run(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 3\nfolds = 2')
    assert optimizer("run", study, "--families", "lightgbm", cwd=tmp_path).returncode == 0
    done = optimizer("run", study, "--families", "lightgbm", "--fresh", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folders = sorted(p for p in study.parent.iterdir() if p.is_dir())
    assert len(folders) == 2
    assert [sum(told_counts(f).values()) for f in folders] == [3, 3]


def test_an_unknown_parameter_is_named_before_any_worker_starts(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 3', extra="[family.xgboost.space]\nmax_dept = 3\n")
    done = optimizer("run", study, cwd=tmp_path)
    assert done.returncode == 2
    assert "max_dept" in done.stderr
    assert f"{study}:6: family.xgboost.space.max_dept" in done.stderr
    assert "max_depth" in done.stderr
    assert not events(study.with_suffix(""), "worker_ready")


def test_an_hour_more_twice_is_two_hours_more(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'time_per_dataset = "1s"\nfolds = 2')
    for expected in (2.0, 3.0):
        done = optimizer("run", study, "--time", "+1s", "--families", "lightgbm", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert events(study.with_suffix(""), "run_started")[-1]["study"]["time_per_dataset_s"] == expected


def test_a_dataset_whose_best_no_longer_change_ends_before_its_budget_and_stays_ended(tmp_path: Path) -> None:
    study = write_study(tmp_path, "trials = 500\nfolds = 2\nfamilies = ['lightgbm']\n[stop]\nbest = 1\ndataset = 8")
    for _ in range(2):
        done = optimizer("run", study, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        ended = events(study.with_suffix(""), "dataset_finished")[-1]
        assert ended["reason"] == "its best 1 have not changed in 8 trials"
        assert 9 <= sum(told_counts(study.with_suffix("")).values()) < 200
    summary = (study.with_suffix("") / "summary.txt").read_text()
    assert "ended before its budget was used: its best 1 have not changed in 8 trials" in " ".join(summary.split())
