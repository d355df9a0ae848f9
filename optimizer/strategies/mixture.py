"""How likely TPE's mixtures of kernels hold a point to be, and the normal distribution that they are made of.

The numbers are Optuna's but for their last digits, which tests hold; Optuna does without SciPy and works each of them
out in Python, for every candidate, kernel and parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import _BatchedCategoricalDistributions

#: Logarithm of a share that adds nothing to one.
_NOTHING = -60.0
_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)


@contextmanager
def faster_normal() -> Iterator[None]:
    """SciPy's normal distribution in place of Optuna's."""
    from scipy import special  # at the first model: it takes a fifth of a second, and many runs make none

    before = _truncnorm._log_ndtr, _truncnorm._ndtri_exp, _truncnorm._log_gauss_mass
    _truncnorm._log_ndtr, _truncnorm._ndtri_exp = special.log_ndtr, special.ndtri_exp
    _truncnorm._log_gauss_mass = log_mass
    try:
        yield
    finally:
        _truncnorm._log_ndtr, _truncnorm._ndtri_exp, _truncnorm._log_gauss_mass = before


def log_mass(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Logarithm of what the normal distribution has between ``a`` and ``b``; minus infinity beyond 37 spreads."""
    from scipy import special

    in_right_tail = a > 0  # where probabilities are near 1 and their differences have few digits
    low, high = np.where(in_right_tail, -b, a), np.where(in_right_tail, -a, b)
    with np.errstate(divide="ignore"):
        mass: np.ndarray = np.log(special.ndtr(high) - special.ndtr(low))
    return mass


def log_density(estimator: _ParzenEstimator, samples: dict[str, np.ndarray]) -> np.ndarray:
    """Logarithm of the density of each sample under a mixture whose kernels are products over the parameters.

    ``samples``: by parameter, in Optuna's inner terms, none beyond the bounds.
    """
    mixture, columns = estimator._mixture_distribution, estimator._transform(samples).T
    pairs = list(zip(columns, mixture.distributions, strict=True))
    density = _of_products([(column, kernels) for column, kernels in pairs if _is_continuous(kernels)],
                           np.log(mixture.weights), len(columns[0]))
    for column, kernels in pairs:
        if not _is_continuous(kernels):
            # Samples have few values between them, and kernels say the same of a value each time.
            values, which = np.unique(column, return_inverse=True)
            density += _of_values(values, kernels)[which]
    highest = density.max(axis=1, keepdims=True)
    density -= highest
    # What is cut off would not change a sum's last digit, and numbers that underflow take ten times as long.
    shares = np.exp(np.maximum(density, _NOTHING, out=density), out=density)
    total: np.ndarray = np.log(shares.sum(axis=1)) + highest[:, 0]
    return total


def _is_continuous(kernels: Any) -> bool:
    return not isinstance(kernels, _BatchedCategoricalDistributions) and not kernels.step


def _of_products(pairs: Sequence[tuple[np.ndarray, Any]], log_weights: np.ndarray, samples: int) -> np.ndarray:
    """Of numbers without steps, all parameters together and weighted: logarithm of the density, (samples, kernels).

    The square of a difference is a sum of products, and the sum of those over the parameters one of matrices.
    """
    if not pairs:
        return np.tile(log_weights, (samples, 1))
    columns = np.column_stack([np.log(column) if kernels.is_log else column for column, kernels in pairs])
    mu, sigma = (np.column_stack([getattr(kernels, part) for _, kernels in pairs]) for part in ("mu", "sigma"))
    low, high = np.array([(kernels.adapted_low, kernels.adapted_high) for _, kernels in pairs]).T
    centre = mu.mean(axis=0)  # squares of numbers far from 0 would lose digits against each other
    apart, precision = mu - centre, 1.0 / sigma**2
    of_kernel = log_weights - (
        (apart / sigma) ** 2 / 2 + _HALF_LOG_TAU + np.log(sigma) + log_mass((low - mu) / sigma, (high - mu) / sigma)
    ).sum(axis=1)
    x = columns - centre
    density: np.ndarray = np.column_stack([x, x**2, np.ones(samples)]) @ np.column_stack(
        [apart * precision, precision / -2, of_kernel]).T
    return density


def _of_values(values: np.ndarray, kernels: Any) -> np.ndarray:
    """Of a choice or a number with steps: logarithm of the probability of each value, (values, kernels)."""
    if isinstance(kernels, _BatchedCategoricalDistributions):
        chances: np.ndarray = np.log(kernels.weights[:, values.astype(int)]).T
        return chances
    # Kernels stand on steps, most on one where others stand.
    alike, kind = np.unique(kernels.mu + 1j * kernels.sigma, return_inverse=True)
    mu, sigma, half = alike.real, alike.imag, kernels.step / 2
    low, high = (np.log(values + side) if kernels.is_log else values + side for side in (-half, half))
    within = log_mass((kernels.adapted_low - mu) / sigma, (kernels.adapted_high - mu) / sigma)
    of_alike: np.ndarray = log_mass((low[:, np.newaxis] - mu) / sigma, (high[:, np.newaxis] - mu) / sigma) - within
    return of_alike[:, kind]
