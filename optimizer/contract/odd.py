"""Claims about tables that are odd: they are survived."""

from __future__ import annotations

from collections.abc import Callable

from optimizer.contract.claim import Broken, Claim, NotAsked, Subject, heard
from optimizer.contract.tables import METRIC, ODD, context, fold_of, make_table, odd_fold, start, summary_of
from optimizer.models.base import FoldData, TableSummary

_ADVICE = "see to it in the fit, or step aside in describe (raise StepsAside with the reason) where it is no use"


def _survived(subject: Subject, data: FoldData, table: TableSummary) -> None:
    import numpy as np

    model = subject.family.fit(data, start(subject.family, table, iterations=8), context(METRIC[subject.task]))
    predicted = model.predict(data.x_valid)
    shape = (len(data.x_valid),) if subject.task == "regression" else (len(data.x_valid), data.n_classes)
    if predicted.shape != shape:
        raise Broken(f"predictions of shape {predicted.shape}", f"shape {shape}")
    if not np.isfinite(predicted).all():
        raise Broken("predictions that are infinite or no numbers", "numbers")


def _survives(shape: str) -> Callable[[Subject], None]:
    def check(subject: Subject) -> None:
        data = odd_fold(subject.task, shape)
        _survived(subject, data, summary_of(data))
    return check


def survives_what_training_lacked(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    x, y, cardinalities = make_table(subject.task)
    cut = len(y) * 3 // 4
    x[:cut, 5] = np.minimum(x[:cut, 5], 20)
    x[cut:, 5] = 39
    x[cut:, 0] = np.nan
    _survived(subject, fold_of(x, y, cardinalities, subject.task), subject.table)


def survives_a_lacking_class(subject: Subject) -> None:
    """See `CLAIMS`."""
    if subject.task != "multiclass":
        raise NotAsked("it is about several classes")
    x, y, cardinalities = make_table("multiclass")
    cut = len(y) * 3 // 4
    y[:cut][y[:cut] == 1] = 0
    with heard() as said:
        _survived(subject, fold_of(x, y, cardinalities, "multiclass", classes=3), subject.table)
    if said[0]:
        raise Broken(f"printed {said[0].strip()[:200]!r}", "nothing on standard output or error")


CLAIMS = (
    *(Claim(name=shape.replace(" ", "-"), text=f"survives {shape}", check=_survives(shape), advice=_ADVICE)
      for shape in ODD),
    Claim(name="unseen", text="survives categories and gaps that the training rows lack",
          check=survives_what_training_lacked,
          advice="a code that was not seen, or NaN, must give a prediction: see `optimizer.models.preprocessing`"),
    Claim(name="lacking-class", text="survives a class that the training rows lack", check=survives_a_lacking_class,
          advice="give the class that was not seen a column of zeros: data.n_classes counts all of them"),
)
