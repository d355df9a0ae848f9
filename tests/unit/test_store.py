"""The store: files appear whole, come back as they were, and go when dropped."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from optimizer.errors import ProtocolFault, StorageFault
from optimizer.store import ModelInfo, Store, from_stored, predictions_size, to_stored

TRIAL = "iris/xgboost/12"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def oof_and_test() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((2, 50, 3), dtype=np.float32), rng.random((20, 3), dtype=np.float32)


class StubModel:
    best_iteration: int | None = 3
    device = "cpu"

    def __init__(self, text: str) -> None:
        self.text = text

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(len(x))

    def save(self, path: Path) -> None:
        path.write_text(self.text)


def info(attempt: int = 1) -> ModelInfo:
    return ModelInfo(
        trial=TRIAL, attempt=attempt, family="xgboost", suffix=".ubj", table="t0", metric="log_loss", task="binary",
        classes=("no", "yes"), cardinalities=(0, 4), log_target=False, exported_steps=(0, 1), best_iterations=(3, 3),
        score=0.4, params={"max_depth": 3},
    )


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_predictions_come_back_as_they_were(store: Store) -> None:
    oof, test = oof_and_test()
    digest, size = store.write_predictions(TRIAL, 2, oof, test)
    back = store.read_predictions(TRIAL, 2, digest)
    np.testing.assert_array_equal(back.oof, oof)
    np.testing.assert_array_equal(back.test, test)
    assert back.oof.dtype == np.float32
    assert 0 <= size - predictions_size(task="multiclass", classes=3, rows=50, test_rows=20, repeats=2) < 1000


def test_the_same_predictions_have_the_same_checksum(store: Store) -> None:
    oof, test = oof_and_test()
    assert store.write_predictions(TRIAL, 1, oof, test) == store.write_predictions(TRIAL, 2, oof, test)


def test_predictions_may_lack_the_test_rows(store: Store) -> None:
    oof, _ = oof_and_test()
    store.write_predictions(TRIAL, 1, oof, None)
    assert store.read_predictions(TRIAL, 1).test is None


def test_a_file_that_is_not_what_was_told_is_refused(store: Store, tmp_path: Path) -> None:
    oof, test = oof_and_test()
    digest, _ = store.write_predictions(TRIAL, 1, oof, test)
    path = tmp_path / "predictions" / "iris" / "xgboost" / "12-1.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(StorageFault, match="not the file that was told"):
        store.read_predictions(TRIAL, 1, digest)
    with pytest.raises(StorageFault, match=TRIAL):
        store.read_predictions(TRIAL, 1)


def test_missing_predictions_are_a_fault_that_names_the_trial(store: Store) -> None:
    with pytest.raises(StorageFault, match=TRIAL):
        store.read_predictions(TRIAL, 1)


def test_a_file_that_cannot_be_written_is_a_fault_and_leaves_the_old_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    oof, test = oof_and_test()
    digest, _ = store.write_predictions(TRIAL, 1, oof, test)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageFault, match="No space left"):
            store.write_predictions(TRIAL, 1, oof * 0, test)
        with pytest.raises(StorageFault, match="No space left"):
            store.write_models(TRIAL, [StubModel("a")], info())
    store.read_predictions(TRIAL, 1, digest)
    assert files(tmp_path) == ["predictions/iris/xgboost/12-1.npz"], "half a file was left on the full disk"


def test_dropping_predictions_takes_every_attempt_of_that_trial_alone(store: Store, tmp_path: Path) -> None:
    oof, test = oof_and_test()
    for trial, attempt in ((TRIAL, 1), (TRIAL, 2), ("iris/xgboost/120", 1), ("iris/xgboost/1", 2)):
        store.write_predictions(trial, attempt, oof, test)
    store.drop_predictions(TRIAL)
    store.drop_predictions(TRIAL)
    assert files(tmp_path / "predictions") == ["iris/xgboost/1-2.npz", "iris/xgboost/120-1.npz"]


def test_models_of_a_later_attempt_replace_those_of_an_earlier_one(store: Store, tmp_path: Path) -> None:
    store.write_models(TRIAL, [StubModel("a"), StubModel("b"), StubModel("c")], info())
    store.write_models(TRIAL, [StubModel("d"), StubModel("e")], info(attempt=2))
    assert files(tmp_path) == [f"models/{TRIAL}/fold-0.ubj", f"models/{TRIAL}/fold-1.ubj", f"models/{TRIAL}/model.json"]
    assert (store.model_folder(TRIAL) / "fold-1.ubj").read_text() == "e"
    assert store.model_info(TRIAL) == info(attempt=2)


def test_dropped_models_are_gone_and_dropping_again_is_no_error(store: Store, tmp_path: Path) -> None:
    store.write_models(TRIAL, [StubModel("a")], info())
    store.drop_models(TRIAL)
    store.drop_models(TRIAL)
    assert files(tmp_path) == []
    with pytest.raises(StorageFault, match=TRIAL):
        store.model_info(TRIAL)


@pytest.mark.parametrize("trial", ["../../etc/1", "iris/../1", "/xgboost/1"])
def test_a_trial_never_leads_out_of_the_run(store: Store, trial: str) -> None:
    with pytest.raises((StorageFault, ProtocolFault)):
        store.drop_models(trial)


@pytest.mark.parametrize(("task", "columns"), [("binary", 2), ("multiclass", 4)])
def test_probabilities_are_stored_in_32_bits_and_scored_as_stored(task: str, columns: int) -> None:
    raw = np.random.default_rng(0).dirichlet(np.ones(columns), 30)
    stored = to_stored(raw, task)
    assert stored.dtype == np.float32
    assert stored.shape == (30, 1 if task == "binary" else columns)
    back = from_stored(stored, task)
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, raw, atol=1e-7)
    np.testing.assert_array_equal(to_stored(back, task), stored)


def test_values_are_stored_in_64_bits() -> None:
    raw = np.random.default_rng(0).normal(size=30) * 1e9
    np.testing.assert_array_equal(from_stored(to_stored(raw, "regression"), "regression"), raw)
