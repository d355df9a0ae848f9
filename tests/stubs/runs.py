"""A run's folder made up for the tests of the views: its journal, and where wanted its tables and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optimizer.journal import Journal, Record

FAMILIES = ("xgboost", "lightgbm", "catboost")
#: When every made-up run starts, UTC seconds: 2026-11-22 06:13:20.
START = 1_795_328_000.0


class FakeRun:
    """Writes the events of a run, a second apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.now = START
        self.journal = Journal(folder / "journal.jsonl", self._tick)

    def _tick(self) -> float:
        self.now += 1.0
        return self.now

    def event(self, name: str, **fields: Any) -> Record:
        """Append any event."""
        return self.journal.append(name, **fields)

    def started(self, *datasets: str, slots: int = 2, pid: int = 4242, resumed: bool = False) -> None:
        """The run starts."""
        study = {"name": self.folder.name, "datasets": list(datasets), "families": list(FAMILIES), "folds": 5,
                 "repeats": 1, "seed": 42, "sampler": "tpe", "pruner": "median", "time_per_dataset_s": 60.0,
                 "trials": None, "deadline_s": None}
        self.event("run_started", incarnation=2 if resumed else 1, pid=pid, version="0.1.0", resumed=resumed,
                   study=study, slots=[{"name": f"cpu{i}", "cores": [i], "gpu": None} for i in range(slots)])

    def ready(self, dataset: str, **changes: Any) -> None:
        """A dataset is encoded."""
        fields: dict[str, Any] = {
            "fingerprint": "f00d", "task": "binary", "metric": "accuracy", "direction": "maximize", "rows": 1000,
            "test_rows": 4, "columns": 7, "classes": ["Extrovert", "Introvert"], "same_as": None, "notices": [],
            "folds": 5, "repeats": 1, "seed": 42, "problem": {"name": dataset, "train": f"/data/{dataset}.csv"},
        }
        self.event("dataset_ready", dataset=dataset, **{**fields, **changes})

    def told(self, trial: str, score: float | None, state: str = "complete", **changes: Any) -> None:
        """A trial is decided."""
        complete = state == "complete"
        fields: dict[str, Any] = {
            "attempt": 1, "params": {"depth": 6}, "space": "abc", "seed": 1, "metric": "accuracy",
            "standard_error": 0.002 if complete else None, "fold_scores": [score] * 5 if complete else [],
            "pooled_score": score if complete else None, "seconds": 10.0, "fit_seconds": 8.0, "slot": "cpu0",
            "device": "cpu", "table": "f00d", "predictions": "kept" if complete else "none", "test_predicted": complete,
            "models_kept": complete,
        }
        self.event("trial_told", trial=trial, state=state, score=score, **{**fields, **changes})

    def ended(self, state: str = "finished", reason: str = "") -> None:
        """The run ends."""
        self.event("run_ended", state=state, reason=reason)

    def table(
        self, *, kind: str = "labels", task: str = "binary", classes: Sequence[str] = ("Extrovert", "Introvert"),
        columns: Sequence[str] = ("Personality",), id_column: str | None = "id",
        ids: Sequence[str] | None = ("9", "7", "8", "6"),
        id_rows: Sequence[int] = (0, 1, 2, 3), class_of_column: Sequence[int] = (), fingerprint: str = "f00d",
    ) -> Path:
        """The encoded table's folder, with what a submission needs of it."""
        import msgspec
        import numpy as np

        from optimizer.datasets.table import SubmissionShape, TableMeta

        folder = self.folder / "data" / fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        shape = SubmissionShape(
            kind=kind, id_column=id_column, columns=tuple(columns), class_of_column=tuple(class_of_column),
        )
        meta = TableMeta(
            fingerprint=fingerprint, task=task, target="Personality", classes=tuple(classes),
            class_counts=tuple(10 for _ in classes), features=(), rows=1000, test_rows=len(id_rows),
            fold_kind="stratified", folds=5, repeats=1, seed=42, missing=0.0, weighted=False, submission=shape,
        )
        (folder / "meta.json").write_bytes(msgspec.json.encode(meta))
        if ids is not None:
            np.save(folder / "ids.npy", np.array(ids))
        np.save(folder / "id_rows.npy", np.array(id_rows, np.int64))
        return folder

    def predicted(self, trial: str, test: Sequence[Sequence[float]], *, attempt: int = 1) -> dict[str, Any]:
        """Store test predictions (rows, k); returns the fields of the trial's record that go with them."""
        import numpy as np

        from optimizer.store import Store

        oof = np.zeros((1, 3, len(test[0])), np.float32)
        sha256, size = Store(self.folder).write_predictions(trial, attempt, oof, np.array(test, np.float32))
        return {"predictions_sha256": sha256, "predictions_bytes": size, "attempt": attempt}
