"""What a model family promises, and what it is given.

A family is one file in this folder; its file name is its name, and it defines one object called ``FAMILY``.
Importing the file must be cheap and must not import the model library: the library is imported by the first fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from optimizer.search_space import SearchSpace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Rows = npt.NDArray[np.intp] | slice


#: What there is to predict.
TASKS = frozenset({"binary", "multiclass", "regression"})


class TableSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a family may know of a table when it makes its search space."""

    #: ``binary``, ``multiclass`` or ``regression``.
    task: str
    metric: str
    rows: int
    numeric: int
    categorical: int
    #: Largest number of categories of a column; 0 without categorical columns.
    max_cardinality: int
    #: Share of cells that are missing, 0 to 1.
    missing: float
    #: 0 for regression.
    classes: int
    #: Rows of the rarest class over rows of the commonest; 1 for regression.
    balance: float
    #: Whether the person gave row weights.
    weighted: bool
    #: Whether the numeric columns are a spectrum: many, in an order, and smooth along it.
    spectral: bool = False


class SpaceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A family's search space on one table, and where a search starts."""

    space: SearchSpace
    #: Points of the space known to do well, best first; the first is the first trial.
    starts: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """One fold, ready to fit; arrays may share memory with the table and must not be written to.

    The rows themselves are taken out of the table when they are asked for: a family that has them binned from an
    earlier fit asks for none, and of a large table nobody holds copies that are not used.
    """

    #: Names the rows, for caches: the same key is the same data.
    key: tuple[str, int, int]
    #: The whole table: float32, (rows, columns), C order; missing is NaN; categorical columns hold codes 0, 1, ...
    x: Floats
    #: Which of its rows.
    train: Rows
    valid: Rows
    #: float64, (rows,): class codes for classification, values on the training scale for regression.
    y_train: Floats
    w_train: Floats | None
    y_valid: Floats
    w_valid: Floats | None
    #: Per column: 0 for a numeric one, else its number of categories.
    cardinalities: tuple[int, ...]
    task: str
    #: 0 for regression.
    n_classes: int

    @property
    def x_train(self) -> Floats:
        """float32, (training rows, columns), C order; a copy, made anew each time, unless the rows are a slice."""
        return self.x[self.train]

    @property
    def x_valid(self) -> Floats:
        """The same of the validation rows."""
        return self.x[self.valid]


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """How to fit: what is the slot's, and what is the trial's."""

    threads: int
    #: ``cpu`` or ``gpu``; a worker sees one GPU at most, and it is device 0.
    device: str
    seed: int
    #: Name in `optimizer.metrics`; for the choice of objective and early stopping.
    metric: str
    #: Lives as long as the worker; for binned data and the like. Bounded by its owner.
    cache: FoldCache
    #: ``(platform, device)`` of the slot's card in OpenCL's counting, where a probe has found it.
    opencl: tuple[int, int] | None = None
    #: Called after each iteration or epoch with (iteration, validation loss); returning True stops the fit.
    on_iteration: Callable[[int, float], bool] | None = None


@dataclass
class FoldCache:
    """Things worth keeping between fits of the same fold, such as binned data; least recently used go first.

    What does not fit at all is made and not kept.
    """

    max_entries: int = 128
    max_bytes: float = math.inf
    #: Bytes that the entries hold, by `_size_of`.
    held_bytes: int = 0
    _entries: dict[Any, tuple[Any, int]] = field(default_factory=dict)

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """The entry under this key, made now if it is not there."""
        if key in self._entries:
            self._entries[key] = self._entries.pop(key)
            return self._entries[key][0]
        self._make_room(self.max_entries - 1, self.max_bytes)
        made = make()
        size = _size_of(made)
        self._make_room(self.max_entries - 1, self.max_bytes - size)
        if size <= self.max_bytes:
            self._entries[key] = made, size
            self.held_bytes += size
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._make_room(0, 0)

    def _make_room(self, entries: int, size: float) -> None:
        while self._entries and (len(self._entries) > entries or self.held_bytes > size):
            self.held_bytes -= self._entries.pop(next(iter(self._entries)))[1]


def _size_of(entry: Any) -> int:
    """Bytes of what is kept, known of arrays and estimated of a library's own data.

    Of a raw cell four; of one in bins two, for some keep them by rows and by columns; of a row twelve, for its target
    and its weight.
    """
    if isinstance(entry, tuple | list):
        return sum(map(_size_of, entry))
    if hasattr(entry, "nbytes"):
        return int(entry.nbytes)
    for rows, columns, binned in (("num_data", "num_feature", True),
                                  ("num_row", "num_col", hasattr(entry, "get_quantile_cut"))):
        if hasattr(entry, rows) and hasattr(entry, columns):
            cells = int(getattr(entry, rows)()) * int(getattr(entry, columns)())
            return (2 if binned else 4) * cells + 12 * int(getattr(entry, rows)())
    return 0


class StepsAside(Exception):  # noqa: N818 - not an error: a family that is not for a table says so, and the others go on
    """Why a family takes no part on a table, in one line for the person."""


class FittedModel(Protocol):
    """One fold's model.

    One may have a method ``predict_valid(x)`` as well, where training knows part of what it predicts of the validation
    rows: it is given those, and returns what `predict` would, but for rounding.
    """

    #: Iterations the model predicts with; ``None`` where the family has none.
    best_iteration: int | None
    #: Where the fit in truth ran: ``cpu`` or ``gpu``, by what the library reports, not by what was asked.
    device: str

    def predict(self, x: Floats) -> Floats:
        """float64 predictions of rows encoded like the training rows.

        Shape (rows, classes) with rows summing to one for classification, binary included;
        (rows,) on the training scale for regression.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the model to ``path`` in the library's native format, so that `Family.load` predicts the same bits."""
        ...


class Family(Protocol):
    """A kind of model with its search space.

    Duties: the same seed, data and device give the same scores, on the CPU with any number of threads; no more threads
    than the context says; nothing on standard output or error beyond warnings; no file outside the working directory;
    constant columns, missing values, a single column, more columns than rows, and categories that the training rows
    do not have are survived; a name in ``params`` that it does not know is an error.

    One may have a method ``first_use()`` as well, for what its library does once in a process, such as counting cores:
    a worker calls it while it sees every core that it may be given.
    """

    name: str
    #: Distribution whose version is recorded with each trial.
    library: str
    #: What is imported of it before a worker says that it is ready.
    module: str
    #: Thread runtime; families with different runtimes never share a process.
    runtime: str
    #: What it can run on: ``cpu``, ``gpu`` or both.
    devices: tuple[str, ...]
    #: What it reaches a GPU through: ``cuda`` or ``opencl``; empty where it runs on the CPU only.
    gpu_api: str
    #: ``gpu``, ``cpu`` or ``any``, unless the study file says otherwise.
    default_device: str
    #: With the dot, for model files.
    suffix: str
    #: Of `TASKS`, those that it is for.
    tasks: frozenset[str]
    #: Whether its fits take weights of rows.
    weighs: bool
    #: Whether its fits call `FitContext.on_iteration`.
    listens: bool

    def describe(self, summary: TableSummary) -> SpaceDescription:
        """The search space for such a table, and where a search starts.

        Raises:
            StepsAside: the family is not for such a table.
        """
        ...

    def fit(self, data: FoldData, params: Mapping[str, Any], context: FitContext) -> FittedModel:
        """Fit one fold with early stopping on its validation rows; ``params`` is a complete point."""
        ...

    def load(self, path: Path, task: str, n_classes: int, threads: int,
             cardinalities: tuple[int, ...]) -> FittedModel:
        """The model that `FittedModel.save` wrote."""
        ...
