"""Encoded tables made up for tests: written as a store keeps them, without any CSV."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from optimizer.datasets.table import Feature, TableMeta


def write_table(
    root: Path, x: np.ndarray, y: np.ndarray, *, task: str, folds: int = 4, repeats: int = 1, fold_kind: str = "plain",
    x_test: np.ndarray | None = None, weights: np.ndarray | None = None, fingerprint: str = "t0",
) -> str:
    """Write a table of numeric columns; row r of repeat k is validated in fold (r + k) mod folds. Returns its name."""
    folder = root / "data" / fingerprint
    folder.mkdir(parents=True)
    rows = np.arange(len(y))
    if fold_kind == "time":
        values = np.array([rows * (folds + 1) // len(y) for _ in range(repeats)])
    else:
        values = np.array([(rows + k) % folds for k in range(repeats)])
    arrays = {"x": x.astype(np.float32), "y": y.astype(np.float64), "folds": values.astype(np.int16),
              "x_test": None if x_test is None else x_test.astype(np.float32), "weights": weights}
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    classes = tuple(f"class {k}" for k in range(int(y.max()) + 1)) if task != "regression" else ()
    meta = TableMeta(
        fingerprint=fingerprint, task=task, target="y", classes=classes,
        class_counts=tuple(int((y == k).sum()) for k in range(len(classes))),
        features=tuple(Feature(name=f"x{i}", kind="numeric", source=f"x{i}") for i in range(x.shape[1])),
        rows=len(y), test_rows=0 if x_test is None else len(x_test), fold_kind=fold_kind, folds=folds, repeats=repeats,
        seed=0, missing=0.0, weighted=weights is not None, submission=None,
    )
    (folder / "meta.json").write_bytes(msgspec.json.encode(meta))
    return fingerprint
