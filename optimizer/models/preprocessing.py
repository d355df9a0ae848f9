"""What families that do not split raw columns need before them: no gaps, like scales, numbers for categories.

Of a spectrum also what takes the light's scatter out of it and brings out its bands, by chemotools.
The choices are parameters of the search. Everything is learned from the training rows of a fold alone, target encoding
included, which scikit-learn fits crosswise within them (Micci-Barreca 2001; `sklearn.preprocessing.TargetEncoder`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optimizer.models.base import FoldCache, FoldData, TableSummary
from optimizer.search_space import Categorical, Int, Parameter, When

if TYPE_CHECKING:
    import numpy as np

    from optimizer.models.base import Floats

#: Columns that one category column becomes at most; the rarest categories share one.
_MOST_COLUMNS = 64
#: Steps of the quantile transform.
_QUANTILES = 200
#: Whatever the trial: what is kept of a fold is used by all, and draws nothing of its own.
_SEED = 0

#: Half the window of Savitzky and Golay (1964), in columns; its polynomial is of the second degree.
_WINDOWS = (2, 15)
_DERIVATIVES = {"smoothed": 0, "first": 1, "second": 2}
#: A line through the first and the last column; or a parabola through all, which is a detrend (Barnes et al. 1989).
_BASELINES = ("linear", "detrend")

NAMES = frozenset({"scatter", "baseline", "derivative", "half_window", "scaling", "imputation", "missing_flags",
                   "encoding"})


def parameters(summary: TableSummary, *, trees: bool = False) -> tuple[Parameter, ...]:
    """The choices that a table leaves.

    Args:
        trees: for trees that take gaps and any scale; of them only the encoding is chosen, and ``ordinal`` is one.
    """
    found = []
    if summary.spectral and not trees:
        found += [
            Parameter("scatter", Categorical(("none", "snv", "msc"))),
            Parameter("derivative", Categorical(("none", *_DERIVATIVES))),
            Parameter("half_window", Int(*_WINDOWS), When("derivative", tuple(_DERIVATIVES))),
            Parameter("baseline", Categorical(("none", *_BASELINES))),
            Parameter("scaling", Categorical(("center", "standard"))),
        ]
    elif summary.numeric and not trees:
        found.append(Parameter("scaling", Categorical(("standard", "robust", "quantile"))))
        if summary.missing:
            found.append(Parameter("imputation", Categorical(("median", "mean"))))
            found.append(Parameter("missing_flags", Categorical((False, True))))
    if summary.categorical:
        encodings = ("ordinal", "one-hot", "target") if trees else ("one-hot", "target")
        found.append(Parameter("encoding", Categorical(encodings)))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The training rows of a fold as an estimator takes them, and what makes other rows so."""

    transformer: Any
    #: float64, (rows, columns), without gaps; for trees float32, with them.
    cells: Floats
    #: Per column of the cells: its number of categories where it holds their codes, else 0.
    cardinalities: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Of the cells; what the transformer has learned is small beside them."""
        return self.cells.nbytes


def prepared(data: FoldData, params: Mapping[str, Any], cache: FoldCache, *, trees: bool = False) -> Prepared:
    """Learn the preprocessing from a fold's training rows, or take what the cache has of it."""
    chosen = tuple(sorted((name, params[name]) for name in NAMES & params.keys()))

    def make() -> Prepared:
        cells = _cells(data.x_train, trees=trees)
        transformer = _transformer(cells, data, params, trees=trees)
        with warnings.catch_warnings():
            # Of rare classes that not every inner fold of the target encoder has, and of columns without a value.
            warnings.simplefilter("ignore", UserWarning)
            made = transformer.fit_transform(cells, _target(data))
        return Prepared(transformer=transformer, cells=made, cardinalities=_cardinalities(transformer, data, made))

    made: Prepared = cache.get(("preprocessing", data.key, trees, chosen), make)
    return made


def transformed(transformer: Any, x: Floats, *, trees: bool = False) -> Floats:
    """Other rows in the same way, those of categories that were not there included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cells: Floats = transformer.transform(_cells(x, trees=trees))
    return cells


def _cells(x: Floats, *, trees: bool) -> Floats:
    import numpy as np

    return x if trees else x.astype(np.float64)


def _target(data: FoldData) -> np.ndarray[Any, Any]:
    import numpy as np

    return data.y_train.astype(np.intp) if data.n_classes else data.y_train


def _transformer(x: Floats, data: FoldData, params: Mapping[str, Any], *, trees: bool) -> Any:
    import numpy as np
    from sklearn.compose import ColumnTransformer

    # A column without a value says nothing, and not every library takes one.
    with_values = np.flatnonzero(~np.isnan(x).all(axis=0)).tolist()
    numeric = [i for i in with_values if not data.cardinalities[i]]
    categorical = [i for i in with_values if data.cardinalities[i]]
    parts: list[tuple[str, Any, list[int]]] = []
    if numeric:
        parts.append(("numeric", "passthrough" if trees else _numeric(params, len(data.y_train)), numeric))
    if categorical and params["encoding"] == "ordinal":
        parts.append(("codes", "passthrough", categorical))
    elif categorical:
        parts.append(("categorical", _categorical(params["encoding"], data, trees=trees), categorical))
    return ColumnTransformer(parts, sparse_threshold=0.0)


def _cardinalities(transformer: Any, data: FoldData, cells: Floats) -> tuple[int, ...]:
    found = [0] * cells.shape[1]
    columns: list[int] = next((list(part[2]) for part in transformer.transformers_ if part[0] == "codes"), [])
    if columns:
        found[-len(columns):] = [data.cardinalities[i] for i in columns]
    return tuple(found)


def _numeric(params: Mapping[str, Any], rows: int) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

    scaler = {
        "center": lambda: StandardScaler(with_std=False), "standard": StandardScaler, "robust": RobustScaler,
        "quantile": lambda: QuantileTransformer(n_quantiles=min(_QUANTILES, rows), output_distribution="normal",
                                                random_state=_SEED),
    }[params["scaling"]]()
    imputer = SimpleImputer(strategy=params.get("imputation", "median"), keep_empty_features=True,
                            add_indicator=params.get("missing_flags", False))
    return make_pipeline(imputer, *(_spectral(params) if "scatter" in params else ()), scaler)


def _spectral(params: Mapping[str, Any]) -> list[Any]:
    """Scatter correction, baseline and derivative, in the order in which chemists take them (Rinnan et al. 2009)."""
    from chemotools.baseline import LinearCorrection, PolynomialCorrection
    from chemotools.derivative import SavitzkyGolay
    from chemotools.scatter import MultiplicativeScatterCorrection, StandardNormalVariate

    scatter = {"none": [], "snv": [StandardNormalVariate()], "msc": [MultiplicativeScatterCorrection()]}
    baseline = {"none": [], "linear": [LinearCorrection()], "detrend": [PolynomialCorrection(order=2)]}
    steps = [*scatter[params["scatter"]], *baseline[params["baseline"]]]
    if params["derivative"] != "none":
        steps.append(SavitzkyGolay(window_length=2 * params["half_window"] + 1, polyorder=2,
                                   deriv=_DERIVATIVES[params["derivative"]]))
    return steps


def _categorical(encoding: str, data: FoldData, *, trees: bool) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

    if encoding == "one-hot":
        return OneHotEncoder(max_categories=_MOST_COLUMNS, handle_unknown="infrequent_if_exist", sparse_output=False)
    task = {"regression": "continuous"}.get(data.task, data.task)
    if data.n_classes:
        import numpy as np

        # A class that the training rows lack makes fewer.
        task = "binary" if len(np.unique(data.y_train)) <= 2 else "multiclass"
    encoder = TargetEncoder(target_type=task, random_state=_SEED)
    return encoder if trees else make_pipeline(encoder, StandardScaler())
