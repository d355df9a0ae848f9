"""GrowNet: gradient boosting whose weak learners are small neural networks (Badirli et al. 2020, arXiv:2002.07971).

Each learner is a network of two hidden layers. It is fitted to the Newton step of the loss, as in second-order
boosting, and sees besides the columns the last hidden layer of the learner before it. After each learner comes the
corrective step: the weights of all learners so far, and what each counts in the sum, are trained together on the loss
itself. Written on NumPy and scikit-learn's interfaces; minibatches and Adam (Kingma & Ba 2015) throughout.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

Floats = npt.NDArray[np.float64]
#: Rows, their values or labels, and their weights or ``None``.
Validation = tuple[Any, Any, Any]

#: Largest Newton step, as LogitBoost clips it (Friedman, Hastie & Tibshirani 2000).
_LARGEST_STEP = 4.0
#: Smallest probability and curvature that is computed with.
_SMALLEST = 1e-6
#: Batches that an epoch has at least, so that a few hundred rows are learned in more than a few steps.
_BATCHES = 8
#: Learners without a better validation loss after which a fit ends.
_PATIENCE = 4


class _GrowNet(BaseEstimator):  # type: ignore[misc]
    """What both have in common; the sum starts from the mean, or from the logarithms of the classes' shares."""

    #: Of a classifier, set by the fit.
    classes_: npt.NDArray[Any] | None

    def __init__(self, *, learners: int = 40, units: int = 16, learning_rate: float = 0.3, adam_rate: float = 2e-3,
                 alpha: float = 0.03, epochs: int = 4, corrective_epochs: int = 2, batch_size: int = 256,
                 random_state: int | np.random.RandomState | None = None) -> None:
        """How it is fitted.

        Args:
            learners: at most; with validation rows it ends earlier where their loss falls no more.
            units: of each hidden layer.
            learning_rate: what a new learner counts in the sum before the corrective step learns better.
            adam_rate: of Adam for a new learner; the corrective step takes a third of it.
            alpha: squared weights in the loss.
            epochs: passes over the rows for a new learner.
            corrective_epochs: passes over the rows for all learners together, after each new one.
            batch_size: rows of a step at most; of few rows an epoch has eight steps.
        """
        self.learners, self.units, self.learning_rate = learners, units, learning_rate
        self.adam_rate, self.alpha = adam_rate, alpha
        self.epochs, self.corrective_epochs, self.batch_size = epochs, corrective_epochs, batch_size
        self.random_state = random_state

    def _fit(self, x: Floats, truth: Floats, weights: Floats | None, validation: Validation | None,
             on_iteration: Callable[[int, float], bool] | None) -> Self:
        """Grow learner by learner, and keep those up to the best validation loss.

        Args:
            truth: (rows, outputs), see `_truth`.
        """
        chance = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        w = np.ones(len(x)) if weights is None else weights / weights.mean()
        mean = np.average(truth, axis=0, weights=w)
        self.start_ = np.log(np.maximum(mean, _SMALLEST)) if is_classifier(self) else mean
        self.learners_: list[dict[str, Floats]] = []
        self.counts_ = np.zeros(0)
        lowest, best, kept = math.inf, 0, None
        for number in range(self.learners):
            self._grow(x, truth, w, chance)
            self._correct(x, truth, w, chance)
            if validation is None:
                best = number + 1
                continue
            x_valid, y_valid, w_valid = validation
            loss = self._loss(x_valid, self._truth(y_valid), w_valid)
            if loss < lowest or kept is None:
                lowest, best, kept = loss, number + 1, copy.deepcopy((self.learners_, self.counts_))
            told = on_iteration is not None and on_iteration(number, loss)
            if told or number + 1 - best >= _PATIENCE or not math.isfinite(loss):
                break
        if kept is not None:
            self.learners_, self.counts_ = kept
        self.n_iter_ = best
        return self

    def _checked(self, x: Any) -> Floats:
        check_is_fitted(self)
        cells: Floats = validate_data(self, x, dtype=np.float64, reset=False)
        return cells

    def _truth(self, y: npt.NDArray[Any]) -> Floats:
        """(rows, outputs): indicators of the classes, or the values."""
        if not is_classifier(self):
            return np.asarray(y, dtype=np.float64)[:, None]
        indicators: Floats = (y[:, None] == self.classes_).astype(np.float64)
        return indicators

    def _sum(self, x: Floats) -> Floats:
        scores, _ = self._forward(x)
        return scores

    def _forward(self, x: Floats) -> tuple[Floats, list[tuple[Floats, Floats, Floats, Floats]]]:
        """The sum over all learners, and of each its input, both hidden layers and its output."""
        scores = np.broadcast_to(self.start_, (len(x), len(self.start_))).copy()
        layers = []
        features = None
        for learner, count in zip(self.learners_, self.counts_, strict=True):
            given = x if features is None else np.hstack([x, features])
            passed = _through(learner, given)
            features = passed[1]
            scores += count * passed[2]
            layers.append((given, *passed))
        return scores, layers

    def _loss(self, x: Floats, truth: Floats, weights: Floats | None) -> float:
        """Weighted mean of the log loss, or of half the squared error."""
        if not len(x):
            return math.inf
        scores = self._sum(x)
        if not is_classifier(self):
            losses = 0.5 * ((scores - truth) ** 2).sum(axis=1)
        else:
            losses = -(truth * np.log(np.maximum(_softmax(scores), 1e-15))).sum(axis=1)
        return float(np.average(losses, weights=weights))

    def _gradient(self, scores: Floats, truth: Floats) -> tuple[Floats, Floats]:
        """First and second derivative of the loss by the scores; of the second the diagonal."""
        if not is_classifier(self):
            return scores - truth, np.ones_like(scores)
        found = _softmax(scores)
        return found - truth, np.maximum(found * (1.0 - found), _SMALLEST)

    def _grow(self, x: Floats, truth: Floats, weights: Floats, chance: np.random.Generator) -> None:
        """Fit one more learner to the Newton step, by squared error weighted with the curvature."""
        scores, layers = self._forward(x)
        slope, curvature = self._gradient(scores, truth)
        step = np.clip(-slope / curvature, -_LARGEST_STEP, _LARGEST_STEP)
        given = np.hstack([x, layers[-1][2]]) if layers else x
        heft = weights[:, None] * curvature
        heft /= heft.mean()
        learner = _new_learner(given.shape[1], self.units, truth.shape[1], chance)
        adam = _Adam(self.adam_rate, list(learner.values()))
        for _ in range(self.epochs):
            for rows in _batches(len(x), self.batch_size, chance):
                first, second, out = _through(learner, given[rows])
                error = heft[rows] * (out - step[rows]) / len(rows)
                gradients, _ = _back(learner, (given[rows], first, second), error, None, self.alpha)
                adam.step(gradients)
        self.learners_.append(learner)
        self.counts_ = np.append(self.counts_, self.learning_rate)

    def _correct(self, x: Floats, truth: Floats, weights: Floats, chance: np.random.Generator) -> None:
        """Train all learners and their counts together on the loss."""
        adam = _Adam(self.adam_rate / 3, [self.counts_, *(a for learner in self.learners_ for a in learner.values())])
        for _ in range(self.corrective_epochs):
            for rows in _batches(len(x), self.batch_size, chance):
                adam.step(self._slopes(x[rows], truth[rows], weights[rows]))

    def _slopes(self, x: Floats, truth: Floats, weights: Floats) -> list[Floats]:
        """Gradients of the mean loss by what each learner counts, and by the weights of each, those before it reached
        through the features that they hand on."""
        scores, layers = self._forward(x)
        slope = weights[:, None] * self._gradient(scores, truth)[0] / len(x)
        by_learner: list[list[Floats]] = []
        back_to_features = None
        for k in range(len(layers) - 1, -1, -1):
            gradients, by_given = _back(self.learners_[k], layers[k][:3], self.counts_[k] * slope, back_to_features,
                                        self.alpha)
            back_to_features = by_given[:, x.shape[1]:] if k else None
            by_learner.insert(0, gradients)
        by_count = np.array([(slope * out).sum() for *_, out in layers])
        return [by_count, *(gradient for gradients in by_learner for gradient in gradients)]


class GrowNetRegressor(RegressorMixin, _GrowNet):  # type: ignore[misc]
    """Boosted networks for one value, by the squared error."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation: Validation | None = None,
            on_iteration: Callable[[int, float], bool] | None = None) -> Self:
        """Fit all learners, or with validation rows as many as serve these best.

        Args:
            X: (rows, columns) of finite numbers, of like scales.
            y: (rows,).
            validation: the same three of other rows.
            on_iteration: told of each learner's number and validation loss; returning True ends the fit.
        """
        x, values = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
        return self._fit(x, self._truth(values), weights, validation, on_iteration)

    def predict(self, X: Any) -> Floats:
        """Values, (rows,)."""
        return self._sum(self._checked(X))[:, 0]


class GrowNetClassifier(ClassifierMixin, _GrowNet):  # type: ignore[misc]
    """Boosted networks for classes, by softmax and the log loss."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation: Validation | None = None,
            on_iteration: Callable[[int, float], bool] | None = None) -> Self:
        """As of `GrowNetRegressor`; ``y`` holds labels. Validation rows of labels that it lacks count for nothing."""
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x)
        self.classes_ = np.unique(labels)
        return self._fit(x, self._truth(labels), weights, validation, on_iteration)

    def predict_proba(self, X: Any) -> Floats:
        """(rows, classes), in the order of ``classes_``."""
        return _softmax(self._sum(self._checked(X)))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likeliest labels, (rows,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[likeliest]  # type: ignore[index]
        return labels


class _Adam:
    """Adam's two running means for a list of arrays, which it changes in place."""

    def __init__(self, rate: float, arrays: Sequence[Floats]) -> None:
        self._rate, self._steps, self._arrays = rate, 0, arrays
        self._mean = np.zeros(sum(array.size for array in arrays))
        self._square = np.zeros_like(self._mean)

    def step(self, gradients: Sequence[Floats]) -> None:
        """Move every array against its gradient; the gradients come in the order of the arrays."""
        self._steps += 1
        # One long vector: of so many small arrays, calls would cost more than sums.
        slope = np.concatenate([gradient.ravel() for gradient in gradients])
        self._mean += 0.1 * (slope - self._mean)
        self._square += 0.001 * (slope * slope - self._square)
        rate = self._rate * math.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        move = rate * self._mean / (np.sqrt(self._square) + 1e-8)
        begin = 0
        for array in self._arrays:
            array -= move[begin:begin + array.size].reshape(array.shape)
            begin += array.size


def _new_learner(inputs: int, units: int, outputs: int, chance: np.random.Generator) -> dict[str, Floats]:
    """Weights drawn as He et al. (2015) draw them for rectified units; the output starts at zero."""
    return {
        "w1": chance.normal(scale=math.sqrt(2 / inputs), size=(inputs, units)), "b1": np.zeros(units),
        "w2": chance.normal(scale=math.sqrt(2 / units), size=(units, units)), "b2": np.zeros(units),
        "w3": np.zeros((units, outputs)), "b3": np.zeros(outputs),
    }


def _through(learner: dict[str, Floats], given: Floats) -> tuple[Floats, Floats, Floats]:
    """Both hidden layers and the output."""
    first = np.maximum(given @ learner["w1"] + learner["b1"], 0.0)
    second = np.maximum(first @ learner["w2"] + learner["b2"], 0.0)
    return first, second, second @ learner["w3"] + learner["b3"]


def _back(learner: dict[str, Floats], layers: tuple[Floats, Floats, Floats], by_out: Floats,
          by_second: Floats | None, alpha: float) -> tuple[list[Floats], Floats]:
    """Gradients of a learner's weights, in their order, and of its input.

    Args:
        layers: its input and both hidden layers.
        by_second: what comes back to its second hidden layer from the learner after it.
        alpha: times the weights themselves, added to their gradients.
    """
    given, first, second = layers
    at_second = by_out @ learner["w3"].T
    if by_second is not None:
        at_second += by_second
    before_second = at_second * (second > 0)
    before_first = (before_second @ learner["w2"].T) * (first > 0)
    gradients = [
        given.T @ before_first + alpha * learner["w1"], before_first.sum(axis=0),
        first.T @ before_second + alpha * learner["w2"], before_second.sum(axis=0),
        second.T @ by_out + alpha * learner["w3"], by_out.sum(axis=0),
    ]
    return gradients, before_first @ learner["w1"].T


def _batches(rows: int, size: int, chance: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    size = max(1, min(size, rows // _BATCHES))
    order = chance.permutation(rows)
    for begin in range(0, rows, size):
        yield order[begin:begin + size]


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
