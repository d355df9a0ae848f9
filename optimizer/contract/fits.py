"""Claims about what a fit gives: its predictions, the same again, and its model file."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from optimizer.contract.claim import Broken, Claim, NotAsked, Subject, heard
from optimizer.contract.tables import (
    METRIC,
    context,
    fold_of,
    make_table,
    random_point,
    shortened,
    start,
)
from optimizer.models.base import FittedModel, FoldCache, FoldData

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.floating[Any]]


def fitted(subject: Subject, data: FoldData | None = None, number: int = 0, **how: Any) -> FittedModel:
    """A model of the made-up table, or of another, at one of the family's starts."""
    params = start(subject.family, subject.table, number)
    return subject.family.fit(subject.fold if data is None else data, params, context(METRIC[subject.task], **how))


def same(first: Numbers, second: Numbers, expected: str) -> None:
    """Raise `Broken` where two predictions differ in any bit."""
    import numpy as np

    differ = ~((first == second) | (np.isnan(first) & np.isnan(second)))
    if differ.any():
        raise Broken(f"{int(differ.sum())} of {differ.size} predictions differ, by up to "
                     f"{float(np.nanmax(np.abs(first - second))):.3g}", expected)


def has_shape(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    data = subject.fold
    model = fitted(subject, data)
    predicted = model.predict(data.x_valid)
    shape = (100,) if subject.task == "regression" else (100, data.n_classes)
    if predicted.dtype != np.float64 or predicted.shape != shape:
        raise Broken(f"predictions of {predicted.dtype} and shape {predicted.shape}", f"float64 and shape {shape}")
    if not np.isfinite(predicted).all():
        raise Broken("predictions that are infinite or no numbers", "numbers")
    if subject.task != "regression" and np.abs(predicted.sum(axis=1) - 1.0).max() > 1e-6:
        raise Broken(f"probabilities of a row that sum to {predicted.sum(axis=1).max():.6g}", "to one")
    if model.device != "cpu":
        raise Broken(f"device = {model.device!r} of a fit on the CPU", "'cpu'")
    if model.best_iteration is not None and model.best_iteration < 1:
        raise Broken(f"best_iteration = {model.best_iteration}", "at least 1, or None where there are no iterations")


def learns(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    data = subject.fold
    for number in range(max(1, len(subject.family.describe(subject.table).starts))):
        predicted = fitted(subject, data, number).predict(data.x_valid)
        if subject.task == "regression":
            found, mean, most = np.mean((predicted - data.y_valid) ** 2), np.var(data.y_valid), 0.6
        else:
            indicators = np.eye(data.n_classes)
            prior = indicators[data.y_train.astype(int)].mean(axis=0)
            truth = indicators[data.y_valid.astype(int)]
            found, mean, most = ((predicted - truth) ** 2).sum(), ((prior - truth) ** 2).sum(), 0.9
        if not found < most * mean:
            raise Broken(f"start {number} has {100 * found / mean:.0f} % of the squared error of predicting the mean",
                         f"less than {100 * most:.0f} %")


def repeats_itself(subject: Subject) -> None:
    """See `CLAIMS`."""
    data = subject.fold
    for number in range(3):
        first, second = (fitted(subject, data, number).predict(data.x_valid) for _ in range(2))
        same(first, second, "the same bits from the same seed, data and parameters")


def is_the_same_with_more_threads(subject: Subject) -> None:
    """See `CLAIMS`."""
    data = subject.fold
    for number in range(3):
        one = fitted(subject, data, number).predict(data.x_valid)
        for threads in (2, 3):
            same(one, fitted(subject, data, number, threads=threads).predict(data.x_valid),
                 f"the same bits with {threads} threads as with one")


def is_the_same_with_a_warm_cache(subject: Subject) -> None:
    """See `CLAIMS`."""
    family, data, metric = subject.family, subject.fold, METRIC[subject.task]
    space, rng = family.describe(subject.table).space, random.Random(3)  # noqa: S311 - the same each time
    points = [shortened(space, random_point(space, rng), 15) for _ in range(4)]
    shared = FoldCache()
    for point in (*points, *points):
        warm = family.fit(data, point, context(metric, cache=shared)).predict(data.x_valid)
        same(warm, family.fit(data, point, context(metric)).predict(data.x_valid),
             "the same bits whatever earlier fits have left in context.cache")


def is_the_same_from_its_file(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    family, data = subject.family, subject.fold
    unseen = data.x_valid.copy()
    unseen[:20, 5] = 39
    unseen[20:40] = np.nan
    model = fitted(subject, data)
    path = subject.folder / f"fold-0{family.suffix}"
    model.save(path)
    if not path.is_file():
        raise Broken(f"no file {path.name} after save", "the model, at the path that is given")
    loaded = family.load(path, subject.task, data.n_classes, 1, data.cardinalities)
    for rows in (data.x_valid, unseen, data.x_valid[:1]):
        same(model.predict(rows), loaded.predict(rows), "the same bits from a model that was saved and loaded")
    if loaded.best_iteration != model.best_iteration:
        raise Broken(f"best_iteration = {loaded.best_iteration} after loading, {model.best_iteration} before",
                     "the same")


def predicts_the_rows_that_training_knows_alike(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    x, y, cardinalities = make_table(subject.task)
    odd = x.copy()
    odd[-100:-80, 5] = 39
    odd[-80:-60] = np.nan
    folds = [fold_of(columns, y, counts, subject.task, name=name) for name, columns, counts in (
        ("usual", x, cardinalities), ("odd", odd, cardinalities), ("plain", x[:, [0, 2]], (0, 0)))]
    for number in range(max(1, len(subject.family.describe(subject.table).starts))):
        for fold in folds:
            model = fitted(subject, fold, number)
            if not hasattr(model, "predict_valid"):
                raise NotAsked("its models have no predict_valid")
            known, predicted = model.predict_valid(fold.x_valid), model.predict(fold.x_valid)
            if known.dtype != predicted.dtype or known.shape != predicted.shape:
                raise Broken(f"predict_valid returns {known.dtype} and shape {known.shape}",
                             f"what predict returns: {predicted.dtype} and shape {predicted.shape}")
            differ = np.abs(known - predicted) > 1e-6 * np.ptp(predicted)
            if differ.any():
                raise Broken(f"{int(differ.sum())} of {differ.size} values of predict_valid that predict does not "
                             f"return, off by up to {float(np.abs(known - predicted).max()):.3g}",
                             "the same but for rounding")


def leaves_its_data_alone(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    data = subject.fold
    for array in (data.x, data.y_train, data.y_valid):
        array.flags.writeable = False
    if not np.isfinite(fitted(subject, data).predict(data.x_valid)).all():
        raise Broken("predictions that are infinite or no numbers", "numbers")


def is_quiet(subject: Subject) -> None:
    """See `CLAIMS`."""
    before = os.getcwd()
    os.chdir(subject.folder)
    try:
        data = subject.fold
        with heard() as said:
            fitted(subject, data).predict(data.x_valid)
        left = os.listdir(subject.folder)
    finally:
        os.chdir(before)
    if said[0]:
        raise Broken(f"printed {said[0].strip()[:200]!r}", "nothing on standard output or error")
    if left:
        raise Broken(f"left {', '.join(sorted(left))} in the working folder", "no file")


def ends_when_told(subject: Subject) -> None:
    """See `CLAIMS`."""
    if not subject.family.listens:
        raise NotAsked("it says that it does not listen")
    told: list[tuple[int, float]] = []

    def listen(iteration: int, loss: float) -> bool:
        told.append((iteration, loss))
        return iteration == 4

    model = fitted(subject, on_iteration=listen)
    if [iteration for iteration, _ in told] != [0, 1, 2, 3, 4]:
        raise Broken(f"on_iteration was called with {[i for i, _ in told]}", "0, 1, 2, 3, 4, at the last of which it "
                     "asks for an end")
    if model.best_iteration is None or model.best_iteration > 5:
        raise Broken(f"best_iteration = {model.best_iteration} of five", "1 to 5")


def follows_weights(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    family, task = subject.family, subject.task
    if not family.weighs:
        raise NotAsked("it says that it cannot weigh rows")
    x, y, cardinalities = make_table(task)
    high = y > np.median(y) if task == "regression" else y == y.max()
    plain = fitted(subject, fold_of(x, y, cardinalities, task)).predict(x)
    heavy = fitted(subject, fold_of(x, y, cardinalities, task, weights=np.where(high, 20.0, 1.0))).predict(x)
    before, after = (p.mean() if task == "regression" else p[:, -1].mean() for p in (plain, heavy))
    if not after > before + (0.02 if task == "regression" else 0.05):
        raise Broken(f"a mean prediction of {after:.3g} where rows of high values weigh twenty times as much, "
                     f"{before:.3g} without weights", "clearly more")


CLAIMS = (
    Claim(name="shape", text="predicts float64 in the promised shape; probabilities sum to one", check=has_shape,
          advice="see FittedModel.predict in optimizer/models/base.py: both columns of two classes, 1-d values"),
    Claim(name="learns", text="predicts better than the mean of the training rows at each of its starts", check=learns,
          advice="look at the scale of the target and the order of the classes, or choose another start"),
    Claim(name="same-seed", text="predicts the same bits with the same seed", check=repeats_itself,
          advice="give the library context.seed (random_state, seed), and draw from no generator that is shared"),
    Claim(name="same-threads", text="predicts the same bits with any number of threads",
          check=is_the_same_with_more_threads,
          advice="keep linear algebra on one thread, as EstimatorFamily does, or fit with one thread"),
    Claim(name="same-cache", text="predicts the same bits whatever is in the cache",
          check=is_the_same_with_a_warm_cache,
          advice="put everything that the entry depends on into the key of context.cache, data.key first"),
    Claim(name="saved", text="predicts the same bits from its model file", check=is_the_same_from_its_file,
          advice="save all that predict uses; types that skops does not know are named in `trusted` of the class"),
    Claim(name="known", text="predicts the validation rows, of which training knows something, like any others",
          check=predicts_the_rows_that_training_knows_alike,
          advice="predict_valid is of the iterations that predict uses, and of no later ones; or leave it out"),
    Claim(name="read-only", text="leaves the arrays that it is given alone", check=leaves_its_data_alone,
          advice="copy before writing: they are mapped from a file that all workers share"),
    Claim(name="quiet", text="prints nothing and leaves no file", check=is_quiet,
          advice="turn the library's messages off (verbose=0) and its files too"),
    Claim(name="listens", text="reports each iteration and ends when it is told to", check=ends_when_told,
          advice="call context.on_iteration(i, loss) after each from 0 on, and stop where it returns True; or say "
          "listens = False"),
    Claim(name="weights", text="follows the weights of rows", check=follows_weights,
          advice="hand w_train on to the library; or say weighs = False, and it steps aside where there are weights"),
)
