"""A metric: its name, its direction, its function, and what it needs of a prediction.

One table, `METRICS`, over scikit-learn's functions, which are imported when the first score is computed. Those that are
one mean are NumPy's: scikit-learn looks at its arguments for half a millisecond, of a short trial as long as its fits.
Where a function is undefined on a fold (a class that the fold does not have), the sentence above the wrapper
says what we do instead; nothing here warns, and nothing returns NaN for finite input of at least two rows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optimizer.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

_CLASSIFICATION = ("binary", "multiclass")
_REGRESSION = ("regression",)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How predictions are judged."""

    name: str
    #: ``maximize`` or ``minimize``.
    direction: str
    #: The worst score there is: what a trial without a usable score counts as.
    worst: float
    #: ``labels``, ``probabilities`` or ``values``: what a submission must hold to be judged by it.
    needs: str
    #: Tasks it can judge: ``binary``, ``multiclass``, ``regression``.
    tasks: tuple[str, ...]
    #: Families are trained on ``log1p`` of the target, and predictions are turned back before scoring.
    log_target: bool = False
    _function: Callable[[Any, Any], float] = field(repr=False)

    def score(self, y_true: Floats, prediction: Floats) -> float:
        """The unweighted score of one prediction.

        For classification ``y_true`` holds class codes 0, 1, ..., and ``prediction`` probabilities of shape
        (rows, classes), binary included; a label is the first class of the highest probability. For regression both
        are (rows,), on the original scale of the target even where `log_target` is set. All are finite numbers.
        """
        import numpy as np

        truth, guess = np.asarray(y_true, np.float64), np.asarray(prediction, np.float64)
        expected = 1 if self.needs == "values" else 2
        if guess.ndim != expected or len(truth) != len(guess):
            raise ValueError(f"{self.name} of a prediction of shape {guess.shape} for {len(truth)} rows")
        return float(self._function(truth.astype(np.int64) if expected == 2 else truth, guess))

    def is_better(self, a: float, b: float) -> bool:
        """Whether score ``a`` is better than ``b``; NaN is worse than everything else."""
        if math.isnan(a) or math.isnan(b):
            return math.isnan(b) and not math.isnan(a)
        return a > b if self.direction == "maximize" else a < b

    def check_task(self, task: str) -> None:
        """Raise `UserError` unless this metric can judge such a task."""
        if task in self.tasks:
            return
        fitting = ", ".join(sorted(name for name, metric in METRICS.items() if task in metric.tasks))
        raise UserError(
            f"metric {self.name!r} is for {' and '.join(self.tasks)}, and the task is {task}; for {task}: {fitting}"
        )


def get_metric(name: str) -> Metric:
    """The metric of this name or alias; raises `UserError` for an unknown one."""
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    key = _ALIASES.get(key, key)
    if key not in METRICS:
        raise UserError(f"no metric is called {name!r}; {did_you_mean(key, [*METRICS, *_ALIASES])}")
    return METRICS[key]


def default_metric(task: str, submission_kind: str | None) -> str:
    """Name of the metric used where the person names none, by task and by what the submission holds."""
    if task == "regression":
        return "rmse"
    if submission_kind == "probability":
        return "roc_auc"
    return "log_loss" if submission_kind == "probabilities" else "accuracy"


def _by_scikit_learn(function: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    """Have it look at its arguments no longer than it must: they are numbers, and parameters are ours."""
    @functools.wraps(function)
    def scored(y: Any, p: Any) -> float:
        from sklearn import config_context

        with config_context(assume_finite=True, skip_parameter_validation=True):
            return function(y, p)

    return scored


def _labels(probabilities: Any) -> Any:
    return probabilities.argmax(axis=1)


def _accuracy(y: Any, p: Any) -> float:
    return float((y == _labels(p)).mean())


@_by_scikit_learn
def _balanced_accuracy(y: Any, p: Any) -> float:
    """Mean recall over the classes that the rows have; scikit-learn's own function warns of foreign predictions."""
    import numpy as np
    from sklearn.metrics import recall_score

    return float(recall_score(y, _labels(p), labels=np.unique(y), average="macro", zero_division=0))


@_by_scikit_learn
def _f1(y: Any, p: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, _labels(p), pos_label=1, average="binary", zero_division=0))


@_by_scikit_learn
def _f1_macro(y: Any, p: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, _labels(p), labels=range(p.shape[1]), average="macro", zero_division=0))


@_by_scikit_learn
def _mcc(y: Any, p: Any) -> float:
    """0 where the rows or the predictions have one class only, as scikit-learn says too, with a warning."""
    import numpy as np
    from sklearn.metrics import matthews_corrcoef

    guess = _labels(p)
    return 0.0 if len(np.unique(y)) < 2 or len(np.unique(guess)) < 2 else float(matthews_corrcoef(y, guess))


def _one_vs_rest(function: Callable[[Any, Any], float], y: Any, p: Any) -> float:
    """Macro mean over the classes that some rows have and others have not; NaN where there is no such class."""
    import numpy as np

    if p.shape[1] == 2:
        return function(y == 1, p[:, 1]) if 0 < (y == 1).sum() < len(y) else math.nan
    scores = [function(y == k, p[:, k]) for k in range(p.shape[1]) if 0 < (y == k).sum() < len(y)]
    return float(np.mean(scores)) if scores else math.nan


@_by_scikit_learn
def _roc_auc(y: Any, p: Any) -> float:
    from sklearn.metrics import roc_auc_score

    return _one_vs_rest(lambda truth, guess: float(roc_auc_score(truth, guess)), y, p)


@_by_scikit_learn
def _average_precision(y: Any, p: Any) -> float:
    from sklearn.metrics import average_precision_score

    return _one_vs_rest(lambda truth, guess: float(average_precision_score(truth, guess)), y, p)


@_by_scikit_learn
def _log_loss(y: Any, p: Any) -> float:
    """Rows are made to sum to one first: probabilities kept in 32 bits are off by more than scikit-learn allows."""
    from sklearn.metrics import log_loss

    return float(log_loss(y, p / p.sum(axis=1, keepdims=True), labels=range(p.shape[1])))


@_by_scikit_learn
def _brier(y: Any, p: Any) -> float:
    """For two classes of the last one alone (0 to 1); for more the sum over classes (0 to 2), as Brier wrote it."""
    import numpy as np
    from sklearn.metrics import brier_score_loss

    if p.shape[1] == 2:
        return float(brier_score_loss(y, np.clip(p[:, 1], 0.0, 1.0), pos_label=1))
    truth = np.zeros_like(p)
    truth[np.arange(len(y)), y] = 1.0
    return float(np.mean(np.sum((truth - p) ** 2, axis=1)))


@_by_scikit_learn
def _qwk(y: Any, p: Any) -> float:
    """Quadratic weighted kappa over class codes; 0 where chance cannot be told from agreement (one class alone)."""
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    guess = _labels(p)
    if len(np.union1d(y, guess)) < 2:
        return 0.0
    return float(cohen_kappa_score(y, guess, labels=range(p.shape[1]), weights="quadratic"))


def _rmse(y: Any, v: Any) -> float:
    return math.sqrt(_mse(y, v))


def _mse(y: Any, v: Any) -> float:
    return float(((y - v) ** 2).mean())


@_by_scikit_learn
def _rmsle(y: Any, v: Any) -> float:
    """Predictions of -1 or less have no logarithm and count as the next number above -1."""
    import numpy as np
    from sklearn.metrics import root_mean_squared_log_error

    return float(root_mean_squared_log_error(y, np.maximum(v, np.nextafter(-1.0, 0.0))))


def _mae(y: Any, v: Any) -> float:
    return float(abs(y - v).mean())


@_by_scikit_learn
def _medae(y: Any, v: Any) -> float:
    from sklearn.metrics import median_absolute_error

    return float(median_absolute_error(y, v))


@_by_scikit_learn
def _mape(y: Any, v: Any) -> float:
    from sklearn.metrics import mean_absolute_percentage_error

    return float(mean_absolute_percentage_error(y, v))


@_by_scikit_learn
def _r2(y: Any, v: Any) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(y, v))


def _row(
    name: str, direction: str, worst: float, needs: str, tasks: tuple[str, ...],
    function: Callable[[Any, Any], float], *, log_target: bool = False,
) -> tuple[str, Metric]:
    return name, Metric(name=name, direction=direction, worst=worst, needs=needs, tasks=tasks,
                        log_target=log_target, _function=function)


_UP, _DOWN, _INF = "maximize", "minimize", math.inf

#: Every metric by name.
METRICS: dict[str, Metric] = dict([
    _row("accuracy", _UP, 0.0, "labels", _CLASSIFICATION, _accuracy),
    _row("balanced_accuracy", _UP, 0.0, "labels", _CLASSIFICATION, _balanced_accuracy),
    _row("f1", _UP, 0.0, "labels", ("binary",), _f1),
    _row("f1_macro", _UP, 0.0, "labels", _CLASSIFICATION, _f1_macro),
    _row("mcc", _UP, -1.0, "labels", _CLASSIFICATION, _mcc),
    _row("qwk", _UP, -1.0, "labels", _CLASSIFICATION, _qwk),
    _row("roc_auc", _UP, 0.0, "probabilities", _CLASSIFICATION, _roc_auc),
    _row("average_precision", _UP, 0.0, "probabilities", _CLASSIFICATION, _average_precision),
    _row("log_loss", _DOWN, _INF, "probabilities", _CLASSIFICATION, _log_loss),
    _row("brier", _DOWN, 2.0, "probabilities", _CLASSIFICATION, _brier),
    _row("rmse", _DOWN, _INF, "values", _REGRESSION, _rmse),
    _row("mse", _DOWN, _INF, "values", _REGRESSION, _mse),
    _row("rmsle", _DOWN, _INF, "values", _REGRESSION, _rmsle, log_target=True),
    _row("mae", _DOWN, _INF, "values", _REGRESSION, _mae),
    _row("medae", _DOWN, _INF, "values", _REGRESSION, _medae),
    _row("mape", _DOWN, _INF, "values", _REGRESSION, _mape),
    _row("r2", _UP, -_INF, "values", _REGRESSION, _r2),
])

_ALIASES = {
    "acc": "accuracy", "bal_acc": "balanced_accuracy",
    "f1_binary": "f1", "macro_f1": "f1_macro", "matthews_corrcoef": "mcc", "matthews": "mcc",
    "kappa": "qwk", "quadratic_weighted_kappa": "qwk", "quadratic_kappa": "qwk",
    "auc": "roc_auc", "rocauc": "roc_auc", "auroc": "roc_auc", "roc_auc_ovr": "roc_auc",
    "ap": "average_precision", "pr_auc": "average_precision", "auprc": "average_precision",
    "logloss": "log_loss", "cross_entropy": "log_loss", "brier_score": "brier",
    "root_mean_squared_error": "rmse", "mean_squared_error": "mse", "root_mean_squared_log_error": "rmsle",
    "mean_absolute_error": "mae", "median_absolute_error": "medae", "mean_absolute_percentage_error": "mape",
    "r_squared": "r2", "r2_score": "r2",
}
