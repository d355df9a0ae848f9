"""What is exported is what was scored: every family's kept models give the stored test predictions again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.datasets.prepare import prepare
from optimizer.datasets.problem import Prepared, Problem
from optimizer.errors import StorageFault
from optimizer.evaluation import evaluate
from optimizer.messages import CrossValidation, Job, JobFinished
from optimizer.models import load_family
from optimizer.models.base import Family, FoldCache
from optimizer.prediction import predict
from optimizer.store import Store

TRIAL = "real/family/0"


def write_csv(path: Path, x: np.ndarray, y: np.ndarray | None, first: int) -> Path:
    """Numbers, a column of words made of the first one, gaps in both, and an id."""
    words = np.digitize(x[:, 0], np.quantile(x[:, 0], np.linspace(0, 1, 12)))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"x [{i}]" for i in range(x.shape[1])), "word", *([] if y is None else ["target"])])
        for r, row in enumerate(x):
            cells: list[Any] = [first + r, *(float(v) for v in row), f"w{words[r]}"]
            if r % 7 == 0:
                cells[2] = ""
            if r % 11 == 0:
                cells[-1] = ""
            writer.writerow(cells if y is None else [*cells, y[r]])
    return path


def prepared(folder: Path, task: str) -> tuple[Store, Prepared, Path]:
    """One of scikit-learn's sets as files, encoded in a run's folder."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    load, metric = {
        "binary": (load_breast_cancer, "roc_auc"), "multiclass": (load_wine, "f1_macro"),
        "regression": (load_diabetes, "rmsle"),
    }[task]
    x, y = load(return_X_y=True)
    x, order = x[:, :6], np.random.default_rng(0).permutation(len(y))
    cut = len(y) * 3 // 4
    labels = y if task == "regression" else np.array([f"class {k}" for k in y])
    train = write_csv(folder / "train.csv", x[order[:cut]], labels[order[:cut]], 0)
    test = write_csv(folder / "test.csv", x[order[cut:]], None, cut)
    problem = Problem(
        name="real", train=str(train), test=str(test), target="target", id="id", metric=metric, task=task, folds=3,
    )
    return Store(folder), prepare(problem, folder / "data", lambda line: None), test


def evaluated(store: Store, dataset: Prepared, family: Family, **workload: Any) -> JobFinished:
    description = family.describe(dataset.summary)
    space = description.space
    params = space.complete(description.starts[0]) | {
        name: 60 for name in ("iterations", "epochs", "n_estimators") if name in space.fixed}
    job = Job(trial=TRIAL, attempt=1, lease=1, workload=CrossValidation(
        table=dataset.fingerprint, family=family.name, metric=dataset.metric, params=params, seed=5, **workload,
    ))
    return evaluate(job, store=store, family=family, threads=lambda: 1, opencl=None, cache=FoldCache(),
                    emit=lambda event: None)


def test_the_test_file_is_predicted_as_it_was_scored_bit_for_bit(
    tmp_path: Path, family: Family, task: str,
) -> None:
    store, dataset, test = prepared(tmp_path, task)
    finished = evaluated(store, dataset, family)
    assert finished.test_predicted
    assert finished.models_kept
    stored = store.read_predictions(TRIAL, 1, finished.predictions_sha256)
    again = predict(store, TRIAL, test)
    np.testing.assert_array_equal(again.stored, stored.test)
    assert again.stored.dtype == (np.float64 if task == "regression" else np.float32)
    assert again.classes == dataset.classes
    assert again.ids is not None
    assert len(again.ids) == dataset.test_rows


def test_the_same_job_gives_the_same_file(tmp_path: Path, family: Family) -> None:
    store, dataset, _ = prepared(tmp_path, "binary" if "binary" in family.tasks else "regression")
    first = evaluated(store, dataset, family)
    second = evaluated(store, dataset, family)
    assert first.predictions_sha256 == second.predictions_sha256
    assert first.fold_scores == second.fold_scores
    assert first.score > 0.9 or dataset.direction == "minimize"


def test_models_that_were_not_kept_are_a_fault_that_names_the_trial(tmp_path: Path) -> None:
    store, dataset, test = prepared(tmp_path, "binary")
    evaluated(store, dataset, load_family("lightgbm"), keep_models_beyond=1.1)
    with pytest.raises(StorageFault, match=TRIAL):
        predict(store, TRIAL, test)
