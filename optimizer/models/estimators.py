"""What families have in common that are a scikit-learn estimator behind its preprocessing."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optimizer.models import preprocessing
from optimizer.models.base import TASKS, FitContext, FoldData, SpaceDescription, StepsAside, TableSummary
from optimizer.models.preprocessing import Prepared, prepared, transformed
from optimizer.models.weights import fold_weights, parameters
from optimizer.search_space import Categorical, Choice, Float, Int, Parameter, SearchSpace

if TYPE_CHECKING:
    import numpy.typing as npt
    from threadpoolctl import ThreadpoolController

    from optimizer.models.base import Floats

#: What a file of ours may hold besides what skops itself trusts: plain types of NumPy and scikit-learn.
TRUSTED = (
    "chemotools.baseline._linear_correction.LinearCorrection",
    "chemotools.baseline._polynomial_correction.PolynomialCorrection",
    "chemotools.derivative._savitzky_golay.SavitzkyGolay",
    "chemotools.scatter._multiplicative_scatter_correction.MultiplicativeScatterCorrection",
    "chemotools.scatter._standard_normal_variate.StandardNormalVariate", "functools.partial", "numpy.dtype",
    "optimizer.models.grownet.GrowNetClassifier", "optimizer.models.grownet.GrowNetRegressor",
    "optimizer.models.pls.PLSDA",
    "sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.neighbors._kd_tree.KDTree", "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree", "sklearn.utils.validation.check_array",
)


#: Preprocessing of a start that shall be unlike the others.
OTHERWISE: dict[str, Choice] = {
    "scaling": "quantile", "encoding": "target", "scatter": "snv", "derivative": "first", "half_window": 5,
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as an estimator takes them."""

    cells: Floats
    #: Codes of classes as whole numbers, or values of mean 0 and standard deviation 1 in the training rows.
    target: npt.NDArray[Any]
    weights: Floats | None


@dataclass(frozen=True, kw_only=True)
class EstimatorModel:
    """One fold's estimator with the preprocessing before it."""

    transformer: Any
    estimator: Any
    #: Of the target: the estimator was fitted on what is left of it after both.
    center: float
    unit: float
    n_classes: int
    trees: bool
    threads: int
    device: str = "cpu"
    best_iteration: int | None = None

    def predict(self, x: Floats) -> Floats:
        """See `FittedModel.predict`."""
        import numpy as np

        with _limited(self.threads):
            cells = transformed(self.transformer, x, trees=self.trees)
            if not self.n_classes:
                values = np.asarray(self.estimator.predict(cells), dtype=np.float64).reshape(len(x))
                return self.center + self.unit * values
            found = np.asarray(self.estimator.predict_proba(cells), dtype=np.float64)
        probabilities = np.zeros((len(x), self.n_classes))
        # A class that the training rows lacked is not foreseen.
        probabilities[:, self.estimator.classes_.astype(np.intp)] = found
        return probabilities

    def save(self, path: Path) -> None:
        """Write skops' format: a zip of JSON and arrays, from which nothing is unpickled."""
        import skops.io

        skops.io.dump({"transformer": self.transformer, "estimator": self.estimator, "center": self.center,
                       "unit": self.unit, "best_iteration": self.best_iteration}, path)


class EstimatorFamily:
    """A family whose fits are those of one estimator; a subclass says which, and what of it is searched."""

    name: ClassVar[str]
    library = "scikit-learn"
    module = "sklearn"
    runtime = "openmp"
    devices = ("cpu",)
    gpu_api = ""
    default_device = "cpu"
    suffix = ".skops"
    tasks: ClassVar[frozenset[str]] = TASKS
    #: It takes gaps, any scale and codes of categories.
    trees: ClassVar[bool] = False
    weighs: ClassVar[bool] = True
    listens: ClassVar[bool] = False
    #: Types that its model files may hold besides `TRUSTED`, by their full names.
    trusted: ClassVar[tuple[str, ...]] = ()
    #: Rows above which its fits take too long for a search.
    most_rows: ClassVar[float] = math.inf

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """What is searched besides the preprocessing."""
        raise NotImplementedError

    def starts(self, summary: TableSummary) -> tuple[dict[str, Choice], ...]:
        """Where the search starts; what a start leaves out is at the middle of its domain or the first choice."""
        raise NotImplementedError

    def fixed(self, summary: TableSummary) -> dict[str, Choice]:
        """What is not searched unless the person says so."""
        return {}

    def estimator(self, params: Mapping[str, Any], rows: Prepared, data: FoldData, context: FitContext) -> Any:
        """The estimator to fit on these rows."""
        raise NotImplementedError

    def describe(self, summary: TableSummary) -> SpaceDescription:
        """See `Family.describe`."""
        if summary.rows > self.most_rows:
            raise StepsAside(f"{self.name} takes too long on {summary.rows:,} rows; it is for up to "
                             f"{self.most_rows:,}, and max_rows in [family.{self.name}] fits it on a part of them")
        if summary.weighted and not self.weighs:
            raise StepsAside(f"{self.name} cannot weigh rows, and this dataset has weights")
        weights = parameters(summary) if self.weighs else ()
        before = preprocessing.parameters(summary, trees=self.trees)
        space = SearchSpace((*self.parameters(summary), *weights, *before), self.fixed(summary))
        starts = []
        for given in self.starts(summary):
            point: dict[str, Choice] = {}
            for parameter in space.parameters:
                if space.exists(parameter, point):
                    point[parameter.name] = _inside(parameter.domain, given.get(parameter.name))
            starts.append(point)
        return SpaceDescription(space=space, starts=tuple(starts))

    def train(self, estimator: Any, train: Rows, valid: Callable[[], Rows], params: Mapping[str, Any],
              context: FitContext) -> int | None:
        """Fit the estimator; returns the iterations that it predicts with, if it has any.

        ``valid`` makes the validation rows, of classes that the training rows have, for families that stop by them.
        """
        weights = {} if train.weights is None else {"sample_weight": train.weights}
        estimator.fit(train.cells, train.target, **weights)
        return None

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> EstimatorModel:
        """See `Family.fit`."""
        import numpy as np

        w_train, w_valid = fold_weights(data, context.metric, params) if self.weighs else (None, None)
        center, unit = (0.0, 1.0) if data.n_classes else _center_and_unit(data.y_train, w_train)

        def target(y: Floats) -> npt.NDArray[Any]:
            return y.astype(np.intp) if data.n_classes else (y - center) / unit

        with _limited(context.threads), warnings.catch_warnings():
            # That a fit has not come to rest within its iterations is for its score to tell.
            warnings.simplefilter("ignore")
            rows = prepared(data, params, context.cache, trees=self.trees)

            def valid() -> Rows:
                known = np.isin(data.y_valid, data.y_train) if data.n_classes else np.full(len(data.y_valid), True)
                return Rows(cells=transformed(rows.transformer, data.x_valid[known], trees=self.trees),
                            target=target(data.y_valid[known]), weights=None if w_valid is None else w_valid[known])

            estimator = self.estimator(params, rows, data, context)
            best = self.train(estimator, Rows(cells=rows.cells, target=target(data.y_train), weights=w_train), valid,
                              params, context)
        return EstimatorModel(transformer=rows.transformer, estimator=estimator, center=center, unit=unit,
                              n_classes=data.n_classes, trees=self.trees, threads=context.threads, best_iteration=best)

    def load(self, path: Path, task: str, n_classes: int, threads: int,
             cardinalities: tuple[int, ...]) -> EstimatorModel:
        """See `Family.load`."""
        import skops.io

        parts = skops.io.load(path, trusted=[*TRUSTED, *self.trusted])
        return EstimatorModel(**parts, n_classes=n_classes, trees=self.trees, threads=threads)


def own(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the estimator itself: not those of the preprocessing and of the rows' weights."""
    return {name: value for name, value in params.items() if name not in preprocessing.NAMES | {"class_weight"}}


def _inside(domain: Float | Int | Categorical, value: Choice) -> Choice:
    """A start's value, or the nearest that the table leaves; the middle or the first choice where it names none."""
    if isinstance(domain, Categorical):
        return value if value in domain.choices else domain.choices[0]
    if value is None:
        value = math.sqrt(domain.low * domain.high) if domain.log else (domain.low + domain.high) / 2
    assert isinstance(value, int | float)  # noqa: S101 - for the type checker
    value = min(max(value, domain.low), domain.high)
    return round(value) if isinstance(domain, Int) else value


def _center_and_unit(y: Floats, weights: Floats | None) -> tuple[float, float]:
    """Mean and standard deviation, so that penalties mean the same whatever the target's unit."""
    import numpy as np

    center = float(np.average(y, weights=weights))
    return center, float(np.sqrt(np.average((y - center) ** 2, weights=weights))) or 1.0


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """So many threads for scikit-learn's own loops, and one for linear algebra, whose sums depend on their number."""
    with _pools().limit(limits={"openmp": threads, "blas": 1}):
        yield


@functools.cache
def _pools() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401 - loads the library whose threads are to be limited
    import sklearn.utils._openmp_helpers  # noqa: F401 - as above
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
