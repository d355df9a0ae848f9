"""What the planted families have in common: a small space, and a model that predicts what is commonest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer.models.base import TASKS, FitContext, FoldData, SpaceDescription, TableSummary
from optimizer.search_space import Float, Parameter, SearchSpace


class Constant:
    """Predicts the shares of the classes, or the mean, whatever the row."""

    best_iteration: int | None = None
    device = "cpu"

    def __init__(self, prediction: Any) -> None:
        self._prediction = prediction

    def predict(self, x: Any) -> Any:
        """The same for every row."""
        import numpy as np

        return np.repeat(self._prediction[None], len(x), axis=0)

    def save(self, path: Path) -> None:
        """Numbers as text."""
        import numpy as np

        np.savetxt(path, np.atleast_1d(self._prediction))


class Planted:
    """A family that would do no harm; the planted ones do something before or instead."""

    library = module = "numpy"
    runtime = "none"
    devices = ("cpu",)
    gpu_api = ""
    default_device = "cpu"
    suffix = ".txt"
    tasks = TASKS
    weighs = True
    listens = False

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self, summary: TableSummary) -> SpaceDescription:
        """One number that means nothing."""
        return SpaceDescription(space=SearchSpace((Parameter("x", Float(0.0, 1.0)),)), starts=({"x": 0.5},))

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> Constant:
        """The commonest."""
        import numpy as np

        if not data.n_classes:
            return Constant(np.asarray(data.y_train.mean()))
        return Constant(np.bincount(data.y_train.astype(np.intp), minlength=data.n_classes) / len(data.y_train))

    def load(self, path: Path, task: str, n_classes: int, threads: int, cardinalities: tuple[int, ...]) -> Constant:
        """The numbers again."""
        import numpy as np

        numbers = np.loadtxt(path, ndmin=1)
        return Constant(numbers if n_classes else numbers[0])
