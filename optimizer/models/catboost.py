"""CatBoost: symmetric trees with ordered statistics of categories; on the CPU unless a study asks for its GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.models import boosting
from optimizer.models.base import TASKS, FitContext, FoldData, SpaceDescription, TableSummary
from optimizer.models.weights import fold_weights, weights_key
from optimizer.search_space import Categorical, Choice, Float, Int, Parameter, SearchSpace, When

if TYPE_CHECKING:
    import catboost as cb
    import numpy as np
    import numpy.typing as npt

    from optimizer.models.base import Floats

#: Half as many trees as other families may grow: a symmetric one costs more, above all with many classes.
_ITERATIONS = 1000

#: Choices of ours that are not parameters of the library.
_OURS = frozenset({"class_weight", "objective"})


class CatBoostModel:
    """One fold's trees, up to the best iteration and no further."""

    def __init__(
        self, model: cb.CatBoost, *, task: str, device: str, threads: int, cardinalities: tuple[int, ...],
    ) -> None:
        self._model = model
        self._task = task
        self._threads = threads
        self._cardinalities = cardinalities
        self.device = device
        self.best_iteration: int | None = model.tree_count_

    def predict(self, x: Floats) -> Floats:
        """See `FittedModel.predict`."""
        import numpy as np

        kind = "RawFormulaVal" if self._task == "regression" else "Probability"
        pool = _pool(x, self._cardinalities, threads=self._threads)
        predicted = self._model.predict(pool, prediction_type=kind, thread_count=self._threads)
        return np.asarray(predicted, dtype=np.float64)

    def save(self, path: Path) -> None:
        """Write CatBoost's binary format."""
        self._model.save_model(str(path), format="cbm")


class CatBoost:
    """The family."""

    name = "catboost"
    library = module = "catboost"
    runtime = "catboost"
    devices = ("cpu", "gpu")
    gpu_api = "cuda"
    default_device = "cpu"
    suffix = ".cbm"
    tasks = TASKS
    weighs = listens = True

    def first_use(self) -> None:
        """See `Family`. The library counts the cores that it sees once, and uses no more threads from then on."""
        import catboost as cb

        cb.Pool([[0.0]], [0.0], thread_count=1)

    def describe(self, summary: TableSummary) -> SpaceDescription:
        """See `Family.describe`."""
        # A symmetric tree has 2^depth leaves whatever the data; deeper ones cost much and rarely gain. With fewer than
        # five rows for a leaf they were not better on any of six tables (60 to 569 rows), worse on four, and took
        # two to ten times as long.
        deepest = min(8, max(4, int(math.log2(summary.rows / 5))))
        # One tree serves all classes, and it takes more of them.
        rate, small, columns = (0.2, 0.1, 0.6) if summary.classes > 2 else (0.1, 0.07, 1.0)
        weight = boosting.row_weight(summary.classes)
        parameters = [
            Parameter("learning_rate", Float(0.03, 0.3, log=True)),
            Parameter("depth", Int(3, deepest)),
            Parameter("l2_leaf_reg", Float(0.3 * weight, 30.0 * weight, log=True)),
            Parameter("random_strength", Float(0.01, 10.0, log=True)),
            Parameter("bootstrap_type", Categorical(("Bernoulli", "Bayesian"))),
            Parameter("subsample", Float(0.5, 1.0), When("bootstrap_type", ("Bernoulli",))),
            Parameter("bagging_temperature", Float(0.0, 2.0), When("bootstrap_type", ("Bayesian",))),
            Parameter("rsm", Float(0.4, 1.0)),
            Parameter("border_count", Categorical((32, 64, 128, 254))),
            Parameter("leaf_estimation_iterations", Int(1, 8, log=True)),
        ]
        categorical: dict[str, Any] = {}
        if summary.categorical:
            # Up to this many categories a column is split by single categories, which is many times faster than
            # by statistics of the target; the sizes that matter lie between the smallest and the largest column.
            parameters += [
                Parameter("one_hot_max_size", Int(2, 64, log=True)),
                Parameter("max_ctr_complexity", Int(1, 2)),
            ]
            categorical = {"one_hot_max_size": 16, "max_ctr_complexity": 1}
        parameters += boosting.table_parameters(summary)
        common = {"random_strength": 1.0, "leaf_estimation_iterations": 1, **categorical}
        starts = (
            {"learning_rate": rate, "depth": min(6, deepest), "l2_leaf_reg": 3.0 * weight,
             "bootstrap_type": "Bernoulli", "subsample": 0.8, "rsm": columns, "border_count": 64, **common,
             **boosting.table_start(summary)},
            {"learning_rate": small, "depth": min(deepest, max(5, boosting.deep(summary, 40))),
             "l2_leaf_reg": 3.0 * weight, "bootstrap_type": "Bernoulli", "subsample": 0.85, "rsm": 0.6,
             "border_count": 254, **common, "random_strength": 0.2, "leaf_estimation_iterations": 2,
             **boosting.table_start(summary)},
            {"learning_rate": small, "depth": min(5, deepest), "l2_leaf_reg": 0.5 * weight,
             "bootstrap_type": "Bayesian", "bagging_temperature": 0.3, "rsm": 0.6, "border_count": 64, **common,
             "random_strength": 3.0, **boosting.table_start(summary, balanced=True)},
        )
        fixed: dict[str, Choice] = {"iterations": _ITERATIONS}
        return SpaceDescription(space=SearchSpace(tuple(parameters), fixed), starts=starts)

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> CatBoostModel:
        """See `Family.fit`."""
        import catboost as cb

        train, valid = _pools(data, params, context)
        native = _native_parameters(data, params, context)
        model = cb.CatBoost(native)
        listener = None
        # The library calls nobody from a card.
        if context.on_iteration is not None and context.device == "cpu":
            listener = [_Listener(context.on_iteration, native.get("eval_metric", native["loss_function"]))]
        # Silent or not, it prints about classes that a fold does not have.
        model.fit(train, eval_set=valid, callbacks=listener, log_cout=_Nowhere(), log_cerr=_Nowhere())
        used = model.get_all_params()["task_type"]
        return CatBoostModel(
            model, task=data.task, device="gpu" if used == "GPU" else "cpu", threads=context.threads,
            cardinalities=data.cardinalities,
        )

    def load(self, path: Path, task: str, n_classes: int, threads: int,
             cardinalities: tuple[int, ...]) -> CatBoostModel:
        """See `Family.load`."""
        import catboost as cb

        model = cb.CatBoost()
        model.load_model(str(path), format="cbm")
        return CatBoostModel(model, task=task, device="cpu", threads=threads, cardinalities=cardinalities)


FAMILY = CatBoost()


def _native_parameters(data: FoldData, params: Mapping[str, Any], context: FitContext) -> dict[str, Any]:
    native: dict[str, Any] = {name: value for name, value in params.items() if name not in _OURS}
    native |= {
        "random_seed": context.seed, "thread_count": context.threads, "logging_level": "Silent",
        # Else every fit writes catboost_info/ into the working directory, parallel ones over each other.
        "allow_writing_files": False,
        "use_best_model": True, "od_type": "Iter", "od_wait": boosting.patience(params["learning_rate"]),
        "boosting_type": "Plain", "sampling_frequency": "PerTree",
    }
    if data.task == "binary":
        native["loss_function"] = "Logloss"
    elif data.task == "multiclass":
        native |= {"loss_function": "MultiClass", "classes_count": data.n_classes}
    else:
        native["loss_function"] = "MAE" if boosting.is_absolute(params) else "RMSE"
        native["eval_metric"] = "MAE" if boosting.stops_on_absolute(context.metric) else "RMSE"
        if boosting.is_absolute(params):
            # The leaves of an absolute error are medians, found in one go.
            native["leaf_estimation_iterations"] = 1
    if context.device == "gpu":
        native |= {"task_type": "GPU", "devices": "0"}
        # On a card the library samples columns for ranking only, and refuses it for all else.
        native.pop("rsm", None)
    return native


def _pools(data: FoldData, params: Mapping[str, Any], context: FitContext) -> tuple[Any, Any]:
    """Training and validation rows as the library takes them.

    They are kept raw: a pool that was put into bins once would overrule ``border_count`` without a word.
    """
    def make() -> tuple[Any, Any]:
        w_train, w_valid = fold_weights(data, context.metric, params)
        return (
            _pool(data.x_train, data.cardinalities, data.y_train, w_train, threads=context.threads),
            _pool(data.x_valid, data.cardinalities, data.y_valid, w_valid, threads=context.threads),
        )

    key = ("catboost", data.key, weights_key(context.metric, params))
    pools: tuple[Any, Any] = context.cache.get(key, make)
    return pools


def _pool(
    x: Floats, cardinalities: tuple[int, ...], y: Floats | None = None,
    w: npt.NDArray[np.float64] | None = None, *, threads: int,
) -> cb.Pool:
    import catboost as cb

    categorical = [i for i, n in enumerate(cardinalities) if n]
    return cb.Pool(
        _frame(x, cardinalities) if categorical else x, y, cat_features=categorical, weight=w, thread_count=threads,
    )


def _frame(x: Floats, cardinalities: tuple[int, ...]) -> Any:
    """The rows with codes as categories; a missing category is one more category.

    A pandas categorical is taken over ten times faster than a column of whole numbers.
    """
    import numpy as np
    import pandas as pd

    def categories(codes: Floats, n: int) -> Any:
        known = np.where(np.isnan(codes), n, codes).astype(np.int32)
        return pd.Categorical.from_codes(known, categories=pd.RangeIndex(max(n, int(known.max(initial=0))) + 1))

    return pd.DataFrame(
        {i: categories(x[:, i], n) if n else x[:, i] for i, n in enumerate(cardinalities)}, copy=False,
    )


class _Listener:
    """Passes the validation loss of every iteration on."""

    def __init__(self, on_iteration: Callable[[int, float], bool], loss: str) -> None:
        self._on_iteration = on_iteration
        self._loss = loss

    def after_iteration(self, info: Any) -> bool:
        """Called by the library, which counts from 1; False ends the fit."""
        return not self._on_iteration(info.iteration - 1, float(info.metrics["validation"][self._loss][-1]))


class _Nowhere:
    """A stream that forgets."""

    def write(self, text: str) -> None:
        """Forget."""

    def flush(self) -> None:
        """Nothing to do."""
