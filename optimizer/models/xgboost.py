"""XGBoost: depth-wise histogram trees, categories split natively, on the CPU or on one NVIDIA card."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.errors import Fault
from optimizer.models import boosting
from optimizer.models.base import TASKS, FitContext, FoldData, SpaceDescription, TableSummary
from optimizer.models.weights import fold_weights, weights_key
from optimizer.search_space import Categorical, Choice, Float, Int, Parameter, SearchSpace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xgboost as xgb

    from optimizer.models.base import Floats

#: Choices of ours that are not parameters of the library.
_OURS = frozenset({"iterations", "class_weight", "objective", "max_bin"})


class XGBoostModel:
    """One fold's trees, up to the best iteration and no further.

    They are evaluated on the CPU wherever they were grown, so that the same rows give the same bits on every
    machine.
    """

    def __init__(self, booster: xgb.Booster, *, task: str, device: str, threads: int,
                 known: tuple[int, Floats] | None = None) -> None:
        """``known``: of how many iterations training has kept the validation rows' margins, and those."""
        booster.set_param({"device": "cpu", "nthread": threads})
        self._booster = booster
        self._task = task
        self._known = known
        self.device = device
        self.best_iteration: int | None = booster.num_boosted_rounds()

    def predict(self, x: Floats) -> Floats:
        """See `FittedModel.predict`."""
        return self._widened(self._booster.inplace_predict(x))

    def predict_valid(self, x: Floats) -> Floats:
        """See `FittedModel`; the same bits as `predict`, for the library adds up tree after tree in float32."""
        if self._known is None:
            return self.predict(x)
        iterations, margin = self._known
        return self._widened(self._booster.inplace_predict(
            x, iteration_range=(iterations, self.best_iteration), base_margin=margin))

    def _widened(self, predicted: npt.NDArray[np.float32]) -> Floats:
        import numpy as np

        return boosting.probabilities(predicted) if self._task == "binary" else predicted.astype(np.float64)

    def save(self, path: Path) -> None:
        """Write UBJSON."""
        self._booster.save_model(path)


class XGBoost:
    """The family."""

    name = "xgboost"
    library = module = "xgboost"
    runtime = "openmp"
    devices = ("cpu", "gpu")
    gpu_api = "cuda"
    default_device = "any"
    suffix = ".ubj"
    tasks = TASKS
    weighs = listens = True

    def describe(self, summary: TableSummary) -> SpaceDescription:
        """See `Family.describe`."""
        # In a small table a leaf that must hold much would be the only leaf.
        heaviest = min(64.0, max(4.0, summary.rows / 100))
        weight = boosting.row_weight(summary.classes, times=2.0)
        parameters = [
            Parameter("learning_rate", Float(0.02, 0.3, log=True)),
            Parameter("max_depth", Int(3, 10)),
            Parameter("min_child_weight", Float(0.5 * weight, heaviest, log=True)),
            Parameter("subsample", Float(0.5, 1.0)),
            Parameter("colsample_bytree", Float(0.4, 1.0)),
            Parameter("reg_lambda", Float(0.001, 30.0, log=True)),
            Parameter("reg_alpha", Float(0.0001, 10.0, log=True)),
            Parameter("gamma", Float(0.0001, 5.0, log=True)),
            Parameter("max_bin", Categorical((64, 128, 256, 512))),
        ]
        categorical: dict[str, Any] = {}
        if summary.categorical:
            parameters += [
                Parameter("max_cat_to_onehot", Int(2, 32, log=True)),
                Parameter("max_cat_threshold", Int(8, 256, log=True)),
            ]
            categorical = {"max_cat_to_onehot": 4, "max_cat_threshold": 64}
        parameters += boosting.table_parameters(summary)
        common = {"reg_lambda": weight, "reg_alpha": 0.001, "gamma": 0.001, **categorical}
        starts = (
            {"learning_rate": 0.1, "max_depth": 6, "min_child_weight": weight, "subsample": 0.8,
             "colsample_bytree": 0.8, "max_bin": 256, **common, **boosting.table_start(summary)},
            {"learning_rate": 0.07, "max_depth": 4, "min_child_weight": weight, "subsample": 0.9,
             "colsample_bytree": 0.6, "max_bin": 256, **common, "reg_lambda": 0.3 * weight,
             **boosting.table_start(summary, balanced=True)},
            {"learning_rate": boosting.small_steps(summary), "max_depth": min(8, max(4, boosting.deep(summary, 80))),
             "min_child_weight": 4 * weight, "subsample": 0.8, "colsample_bytree": 0.6, "max_bin": 256, **common,
             **boosting.table_start(summary)},
        )
        fixed: dict[str, Choice] = {"iterations": boosting.ITERATIONS}
        return SpaceDescription(space=SearchSpace(tuple(parameters), fixed), starts=starts)

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> XGBoostModel:
        """See `Family.fit`."""
        import xgboost as xgb

        native = _native_parameters(data, params, context)
        with _unknown_parameters_are_errors():
            train, valid = _binned(data, params, context)
            stop = xgb.callback.EarlyStopping(rounds=boosting.patience(params["learning_rate"]))
            known = boosting.Known()
            # A card adds up in another order, so that its margins are not those of the model on the CPU.
            watch = _watch(context.on_iteration, None if context.device == "gpu" else known, valid)
            booster = xgb.train(
                native, train, params["iterations"], evals=[(valid, "valid")], verbose_eval=False,
                callbacks=[stop, watch],
            )
        used = str(json.loads(booster.save_config())["learner"]["generic_param"]["device"])
        # A slice keeps neither the later trees nor the binned data.
        best = booster[: booster.best_iteration + 1]
        return XGBoostModel(
            best, task=data.task, device="gpu" if used.startswith("cuda") else "cpu", threads=context.threads,
            known=known.until(best.num_boosted_rounds() - 1),  # it turns margins into what it predicts with a tree
        )

    def load(self, path: Path, task: str, n_classes: int, threads: int,
             cardinalities: tuple[int, ...]) -> XGBoostModel:
        """See `Family.load`."""
        import xgboost as xgb

        return XGBoostModel(xgb.Booster(model_file=path), task=task, device="cpu", threads=threads)


FAMILY = XGBoost()


def _native_parameters(data: FoldData, params: Mapping[str, Any], context: FitContext) -> dict[str, Any]:
    native: dict[str, Any] = {name: value for name, value in params.items() if name not in _OURS}
    native |= {
        "tree_method": "hist", "max_bin": params["max_bin"], "nthread": context.threads, "seed": context.seed,
        "validate_parameters": True, "verbosity": 1,
    }
    # With rows that weigh 1 / unit², see `_binned`, these mean the same whatever the target's unit.
    unit = boosting.target_scale(data, params)
    native["reg_alpha"] /= unit
    native["reg_lambda"] /= unit**2
    native["min_child_weight"] /= unit**2
    if data.task == "binary":
        native |= {"objective": "binary:logistic", "eval_metric": "logloss"}
    elif data.task == "multiclass":
        native |= {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": data.n_classes}
    else:
        absolute = boosting.is_absolute(params)
        native["objective"] = "reg:absoluteerror" if absolute else "reg:squarederror"
        native["eval_metric"] = "mae" if boosting.stops_on_absolute(context.metric) else "rmse"
    if context.device == "gpu":
        # The worker sees one card; without the second entry a missing one would be replaced in silence.
        native |= {"device": "cuda", "fail_on_invalid_gpu_id": True}
    return native


def _binned(data: FoldData, params: Mapping[str, Any], context: FitContext) -> tuple[Any, Any]:
    """Training and validation rows in bins. The cuts are drawn from weighted rows, hence the weights in the key.

    The library makes no split whose gain is below 1e-6, in squared units of the target: nothing could be learned of
    values as small as daily returns. Dividing all weights by the target's variance makes gains free of its unit.
    """
    import numpy as np
    import xgboost as xgb

    max_bin = params["max_bin"]
    shared = {
        "feature_types": ["c" if n else "q" for n in data.cardinalities], "enable_categorical": True,
        "max_bin": max_bin, "nthread": context.threads,
    }

    def make() -> tuple[Any, Any]:
        w_train, w_valid = fold_weights(data, context.metric, params)
        unit = boosting.target_scale(data, params)
        if unit != 1.0:
            w_train = (np.ones(len(data.y_train)) if w_train is None else w_train) / unit**2
        train = xgb.QuantileDMatrix(data.x_train, data.y_train, weight=w_train, **shared)
        return train, xgb.QuantileDMatrix(data.x_valid, data.y_valid, weight=w_valid, ref=train, **shared)

    key = ("xgboost", data.key, max_bin, context.device, boosting.is_absolute(params),
           weights_key(context.metric, params))
    binned: tuple[Any, Any] = context.cache.get(key, make)
    return binned


@contextmanager
def _unknown_parameters_are_errors() -> Iterator[None]:
    """Turn the library's warning about a name that it does not know into a `Fault`; pass other warnings on.

    Its warnings come out of a C callback, where an exception would be lost, so they are gathered and looked at
    afterwards. The one about a missing card is dropped: the model says where it was trained.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = str(warning.message)
        if "are not used" in text:
            raise Fault(f"xgboost: {' '.join(text.split('Parameters:')[-1].split())}")
        if "No visible GPU" not in text and "from GPU to CPU" not in text:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _watch(
    on_iteration: Callable[[int, float], bool] | None, known: boosting.Known | None, valid: xgb.DMatrix,
) -> xgb.callback.TrainingCallback:
    """Passes the validation loss of every iteration on, ends the fit when told to, and looks at what it predicts."""
    import xgboost as xgb

    class Watch(xgb.callback.TrainingCallback):
        lowest = float("inf")

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            (losses,) = evals_log["valid"].values()
            loss = float(losses[-1])
            if loss < self.lowest:
                self.lowest = loss
                if known is not None and known.is_due(epoch + 1):
                    # The library has it, for the loss, and works nothing out.
                    known.add(epoch + 1, model.predict(valid, output_margin=True))
            return on_iteration is not None and on_iteration(epoch, loss)

    return Watch()
