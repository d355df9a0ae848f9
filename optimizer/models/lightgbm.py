"""LightGBM: leaf-wise histogram trees, categories split natively, on the CPU or through OpenCL on one card."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.errors import Fault
from optimizer.models import boosting
from optimizer.models.base import TASKS, FitContext, FoldData, SpaceDescription, TableSummary
from optimizer.models.weights import fold_weights, weights_key
from optimizer.search_space import Categorical, Choice, Float, Int, Parameter, SearchSpace

if TYPE_CHECKING:
    import lightgbm as lgb

    from optimizer.models.base import Floats

#: Choices of ours that are not parameters of the library.
_OURS = frozenset({"iterations", "class_weight", "objective", "max_bin"})

#: Bins that a column may have on OpenCL; a column of more categories has more.
_OPENCL_BINS = 255

#: Trees of a model that predict together.
_TREES_AT_ONCE = 16

#: Up to this size a booster stays as training left it: writing its trees as text and reading them back, as the library
#: would do, takes up to 15 % of a fit (26 classes), and only the models of the best trials are ever saved.
_MOST_BYTES_OF_TRAINING = 16 * 2**20


class LightGBMModel:
    """One fold's trees; only those up to the best iteration predict and are saved."""

    def __init__(self, booster: lgb.Booster, *, task: str, device: str, threads: int, best: int,
                 known: tuple[int, Floats] | None = None) -> None:
        """``known``: of how many iterations training has kept the validation rows' raw scores, and those."""
        self._booster = booster
        self._task = task
        self._threads = threads
        self._known = known
        self.device = device
        self.best_iteration: int | None = best

    def predict(self, x: Floats) -> Floats:
        """See `FittedModel.predict`."""
        return self._from_raw(self._raw(x, 0))

    def predict_valid(self, x: Floats) -> Floats:
        """See `FittedModel`."""
        if self._known is None:
            return self.predict(x)
        iterations, raw = self._known
        return self._from_raw(raw + self._raw(x, iterations))

    def _raw(self, x: Floats, behind: int) -> Floats:
        """Sum of the trees behind so many iterations.

        Some trees at a time: the library has each row walk all of them before the next row begins, and two thousand
        trees do not stay in a core's cache from row to row. With 16 they do, and it takes half as long or less.
        """
        import numpy as np

        iterations = self.best_iteration or 1
        step = max(1, _TREES_AT_ONCE // self._booster.num_model_per_iteration())
        raw: Floats = np.sum([self._booster.predict(
            x, start_iteration=first, num_iteration=min(step, iterations - first), raw_score=True,
            num_threads=self._threads,
        ) for first in range(behind, iterations, step)], axis=0)
        return raw

    def _from_raw(self, raw: Floats) -> Floats:
        import numpy as np
        from scipy.special import expit, softmax

        if self._task == "binary":
            return boosting.probabilities(expit(raw))
        return np.asarray(softmax(raw, axis=1)) if self._task == "multiclass" else raw

    def save(self, path: Path) -> None:
        """Write LightGBM's text format."""
        self._booster.save_model(path, num_iteration=self.best_iteration)


class LightGBM:
    """The family."""

    name = "lightgbm"
    library = module = "lightgbm"
    runtime = "openmp"
    devices = ("cpu", "gpu")
    gpu_api = "opencl"
    default_device = "any"
    suffix = ".txt"
    tasks = TASKS
    weighs = listens = True

    def describe(self, summary: TableSummary) -> SpaceDescription:
        """See `Family.describe`."""
        # In a small table a leaf that must hold much would be the only leaf, and many leaves would hold nothing.
        largest_leaf = min(200, max(10, summary.rows // 50))
        most_leaves = min(255, max(15, summary.rows // 20))
        parameters = [
            Parameter("learning_rate", Float(0.02, 0.3, log=True)),
            Parameter("num_leaves", Int(6, most_leaves, log=True)),
            Parameter("min_data_in_leaf", Int(3, largest_leaf, log=True)),
            Parameter("bagging_fraction", Float(0.5, 1.0)),
            Parameter("feature_fraction", Float(0.4, 1.0)),
            Parameter("lambda_l2", Float(0.001, 30.0, log=True)),
            Parameter("lambda_l1", Float(0.0001, 10.0, log=True)),
            Parameter("min_gain_to_split", Float(0.0001, 2.0, log=True)),
            Parameter("extra_trees", Categorical((False, True))),
            Parameter("max_bin", Categorical((63, 127, 255))),
        ]
        categorical: dict[str, Any] = {}
        if summary.categorical:
            parameters += [
                Parameter("cat_smooth", Float(1.0, 100.0, log=True)),
                Parameter("cat_l2", Float(0.1, 50.0, log=True)),
                Parameter("max_cat_threshold", Int(8, 128, log=True)),
                Parameter("min_data_per_group", Int(10, 200, log=True)),
            ]
            categorical = {"cat_smooth": 10.0, "cat_l2": 10.0, "max_cat_threshold": 32, "min_data_per_group": 100}
        parameters += boosting.table_parameters(summary)
        common = {"lambda_l2": 0.01, "lambda_l1": 0.001, "min_gain_to_split": 0.001, "extra_trees": False,
                  **categorical}
        small = boosting.small_steps(summary)
        starts = (
            {"learning_rate": 0.1, "num_leaves": min(31, most_leaves), "min_data_in_leaf": min(20, largest_leaf),
             "bagging_fraction": 0.8, "feature_fraction": 0.8, "max_bin": 255, **common,
             **boosting.table_start(summary)},
            {"learning_rate": small, "num_leaves": min(63, max(15, summary.rows // 625)), "min_data_in_leaf": 5,
             "bagging_fraction": 0.9, "feature_fraction": 0.8, "max_bin": 255, **common,
             **boosting.table_start(summary)},
            {"learning_rate": small, "num_leaves": 15, "min_data_in_leaf": 5, "bagging_fraction": 0.7,
             "feature_fraction": 0.9, "max_bin": 255, **common, "lambda_l2": 0.1, "extra_trees": True,
             **boosting.table_start(summary, balanced=True)},
        )
        fixed: dict[str, Choice] = {"iterations": boosting.ITERATIONS}
        return SpaceDescription(space=SearchSpace(tuple(parameters), fixed), starts=starts)

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> LightGBMModel:
        """See `Family.fit`.

        Without a probed OpenCL device, or with a column of more categories than OpenCL's bins, a fit that was given a
        card runs on the CPU, and says so.
        """
        import lightgbm as lgb

        log = NativeLog.installed()
        fits_bins = max(data.cardinalities, default=0) <= _OPENCL_BINS
        card = context.opencl if context.device == "gpu" and fits_bins else None
        binning = _binning_parameters(params, context, card)
        train, valid = _binned(data, params, context, binning)
        watch = _Watch(context.on_iteration, data.task)
        stop = lgb.early_stopping(boosting.patience(params["learning_rate"]), verbose=False)
        booster = lgb.train(
            {**_native_parameters(data, params, context), **binning}, train, params["iterations"],
            valid_sets=[valid], valid_names=["valid"], callbacks=[watch, stop], keep_training_booster=True,
        )
        log.raise_for_unknown_parameters()
        best = watch.best
        # What it holds of a card it holds until then, too.
        if card is not None or _bytes_of_training(train, valid, params, data.n_classes) > _MOST_BYTES_OF_TRAINING:
            booster.model_from_string(booster.model_to_string(num_iteration=best)).free_dataset()
        return LightGBMModel(
            booster, task=data.task, device="gpu" if log.device() else "cpu", threads=context.threads, best=best,
            known=watch.known.until(best),
        )

    def load(self, path: Path, task: str, n_classes: int, threads: int,
             cardinalities: tuple[int, ...]) -> LightGBMModel:
        """See `Family.load`."""
        import lightgbm as lgb

        NativeLog.installed()
        booster = lgb.Booster(model_file=path)
        return LightGBMModel(booster, task=task, device="cpu", threads=threads, best=booster.current_iteration())


FAMILY = LightGBM()


def _binning_parameters(
    params: Mapping[str, Any], context: FitContext, card: tuple[int, int] | None,
) -> dict[str, Any]:
    """What is decided when rows are put into bins; given to the data and to the training alike, or it is an error."""
    binning = {
        "max_bin": params["max_bin"],
        # Else a later trial could not lower min_data_in_leaf on the same binned data.
        "feature_pre_filter": False,
        # Else it would follow the seed, and with it the sample of rows that the bins are drawn from.
        "data_random_seed": 1,
        "num_threads": context.threads,
    }
    if card is None:
        # Warnings, for the names of unknown parameters.
        return binning | {"device_type": "cpu", "verbosity": 0}
    # Information too, for the name of the device. Left alone, OpenCL might choose the CPU.
    return binning | {"device_type": "gpu", "verbosity": 1, "gpu_platform_id": card[0], "gpu_device_id": card[1]}


def _native_parameters(data: FoldData, params: Mapping[str, Any], context: FitContext) -> dict[str, Any]:
    native: dict[str, Any] = {name: value for name, value in params.items() if name not in _OURS}
    # Row-wise or column-wise histograms differ in the last bits; left alone, the library chooses by a stopwatch.
    native |= {"bagging_freq": 1, "seed": context.seed, "deterministic": True, "force_row_wise": True}
    scale = boosting.target_scale(data, params)
    native["lambda_l1"] *= scale
    native["min_gain_to_split"] *= scale**2
    if data.task == "binary":
        native |= {"objective": "binary", "metric": "binary_logloss"}
    elif data.task == "multiclass":
        native |= {"objective": "multiclass", "metric": "multi_logloss", "num_class": data.n_classes}
    else:
        native["objective"] = "regression_l1" if boosting.is_absolute(params) else "regression"
        native["metric"] = "l1" if boosting.stops_on_absolute(context.metric) else "rmse"
    return native


def _binned(
    data: FoldData, params: Mapping[str, Any], context: FitContext, binning: Mapping[str, Any],
) -> tuple[Any, Any]:
    """Training and validation rows in bins, with their weights."""
    import lightgbm as lgb

    categorical = [i for i, n in enumerate(data.cardinalities) if n]

    def make() -> tuple[Any, Any]:
        w_train, w_valid = fold_weights(data, context.metric, params)
        train = lgb.Dataset(
            data.x_train, data.y_train, weight=w_train, params=dict(binning), categorical_feature=categorical,
        )
        valid = lgb.Dataset(
            data.x_valid, data.y_valid, weight=w_valid, params=dict(binning), categorical_feature=categorical,
            reference=train,
        )
        return train.construct(), valid.construct()

    key = ("lightgbm", data.key, *binning.values(), weights_key(context.metric, params))
    binned: tuple[Any, Any] = context.cache.get(key, make)
    return binned


def _bytes_of_training(train: lgb.Dataset, valid: lgb.Dataset, params: Mapping[str, Any], classes: int) -> int:
    """What a booster that can be trained on holds, about: histograms of every leaf, scores and gradients."""
    histograms: int = params["num_leaves"] * train.num_feature() * params["max_bin"] * 16
    return histograms + 16 * max(1, classes) * (train.num_data() + valid.num_data())


class _Watch:
    """Passes the validation loss of every iteration on, ends the fit when told to, and knows the best model."""

    #: Before the library's early stopping, which may end the fit by raising.
    order = 20
    before_iteration = False

    def __init__(self, on_iteration: Callable[[int, float], bool] | None, task: str) -> None:
        self._on_iteration = on_iteration
        self._task = task
        self._lowest = float("inf")
        #: Iterations of the best model. An iteration that finds no split leaves no tree, and the library's early
        #: stopping counts it all the same: its best iteration may be one that a later tree has spoiled.
        self.best = 0
        #: Raw scores of the validation rows: (rows, classes) or, of two classes and of values, (rows,).
        self.known = boosting.Known()

    def __call__(self, env: Any) -> None:
        import lightgbm as lgb

        loss = float(env.evaluation_result_list[0][2])
        if loss < self._lowest or env.iteration == 0:
            self._lowest, self.best = loss, env.model.current_iteration()
            if self.known.is_due(self.best):
                env.model.eval_valid(feval=self._look)
        if self._on_iteration is not None and self._on_iteration(env.iteration, loss):
            raise lgb.callback.EarlyStopException(self.best - 1, env.evaluation_result_list)  # it counts from 0

    def _look(self, predicted: Floats, _valid: lgb.Dataset) -> list[Any]:
        """Called by the library as if for a loss of ours, of which there is none."""
        import numpy as np
        from scipy.special import logit

        # What is beyond the last digit of 1, or underflows to 0, is as certain a class as there is.
        with np.errstate(divide="ignore"):
            raw = {"binary": logit, "multiclass": np.log}.get(self._task, np.copy)(predicted)
        self.known.add(self.best, raw)
        return []


class NativeLog:
    """Takes the library's log lines in place of the terminal; one for the whole process, as the library's is."""

    _installed: NativeLog | None = None

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=200)

    @classmethod
    def installed(cls) -> NativeLog:
        """The process's log, emptied."""
        import lightgbm as lgb

        if cls._installed is None:
            cls._installed = cls()
            lgb.register_logger(cls._installed)
        cls._installed._lines.clear()
        return cls._installed

    def info(self, message: str) -> None:
        """Called by the library; native warnings come here too. Those of long training would push out the rest."""
        if "Stopped training" not in message and "No further splits" not in message:
            self._lines.append(message)

    def warning(self, message: str) -> None:
        """Called by the library's Python part."""
        self._lines.append(message)

    def raise_for_unknown_parameters(self) -> None:
        """Raise `Fault` if the library has complained of a name it does not know."""
        unknown = sorted({line.split("Unknown parameter:")[1].strip() for line in self._lines
                          if "Unknown parameter:" in line})
        if unknown:
            raise Fault(f"lightgbm does not know the parameter {', '.join(unknown)}")

    def device(self) -> str | None:
        """Name of the OpenCL device that was used since the log was emptied; ``None`` for the CPU."""
        for line in reversed(self._lines):
            if "Using GPU Device:" in line:
                return line.split("Using GPU Device:")[1].split(", Vendor:")[0].strip()
        return None
