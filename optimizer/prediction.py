"""Predictions of several fold models as one: for the test rows of a trial, and for a new table later.

Evaluation and `predict` average through the same `FoldMean`, so that predicting a study's own test file with the
kept models gives the stored predictions again, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.store import Store, to_stored

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]


class FoldMean:
    """The mean over fold models, summed in the order in which they are added, in float64.

    Probabilities are averaged as they are; values on the scale that the models are trained on, and turned back
    afterwards.
    """

    def __init__(self, *, log_target: bool) -> None:
        self._log_target = log_target
        self._sum: Floats | None = None
        self._count = 0

    def add(self, prediction: Floats) -> None:
        """Take what one model predicts, as `FittedModel.predict` returns it."""
        import numpy as np

        self._count += 1
        self._sum = prediction.astype(np.float64) if self._sum is None else self._sum + prediction

    def result(self) -> Floats:
        """The mean on the original scale; at least one prediction must have been added."""
        if self._sum is None:
            raise ValueError("the mean of no predictions")
        return on_original_scale(self._sum / self._count, log_target=self._log_target)


def on_original_scale(prediction: Floats, *, log_target: bool) -> Floats:
    """What a model predicts, turned back where it was trained on ``log1p`` of the target, and then not below 0.

    (A metric that needs the logarithm of the target has no use for values below 0.)
    """
    import numpy as np

    if not log_target:
        return prediction
    with np.errstate(over="ignore"):  # whoever stores the result looks for infinite values
        return np.maximum(np.expm1(prediction), 0.0)


@dataclass(frozen=True, kw_only=True)
class NewPrediction:
    """What the kept models of a trial say of a new table."""

    #: (rows, k), as the store keeps predictions, in the order of the new table.
    stored: Floats
    #: Ids as written in the new table; ``None`` where it has no id column.
    ids: npt.NDArray[np.str_] | None
    #: ``binary``, ``multiclass`` or ``regression``.
    task: str
    #: In code order; empty for regression.
    classes: tuple[str, ...]


def predict(store: Store, trial: str, path: Path, *, threads: int = 1) -> NewPrediction:
    """Predict a new table of the same columns with the models kept of a trial.

    Raises:
        StorageFault: the trial's models are not kept, or cannot be read.
        DatasetError: the new table lacks columns, or cannot be read.
    """
    from optimizer.datasets.encode import encode_new
    from optimizer.models import load_family

    info = store.model_info(trial)
    family = load_family(info.family)
    x, ids = encode_new(store.table_folder(info.table), path)
    mean = FoldMean(log_target=info.log_target)
    for step in info.exported_steps:
        model = family.load(
            store.model_folder(trial) / f"fold-{step}{info.suffix}", info.task, len(info.classes), threads,
            info.cardinalities,
        )
        mean.add(model.predict(x))
    return NewPrediction(stored=to_stored(mean.result(), info.task), ids=ids, task=info.task, classes=info.classes)
