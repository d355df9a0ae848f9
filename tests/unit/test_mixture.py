"""What TPE's mixtures hold of a point is what Optuna says, but for last digits."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from scipy import special

from optimizer.strategies.mixture import log_density, log_mass

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 10.0, log=True), "far": FloatDistribution(1e3, 1e3 + 1),
    "leaves": IntDistribution(6, 255, log=True), "depth": IntDistribution(3, 10),
    "half": FloatDistribution(0.0, 5.0, step=0.5), "bins": CategoricalDistribution((64, 128, None)),
}


def observed(space: dict[str, BaseDistribution], count: int, seed: int) -> dict[str, np.ndarray]:
    """Points of the space in Optuna's inner terms, one at each bound among them."""
    chance, points = np.random.default_rng(seed), {}
    for name, domain in space.items():
        if isinstance(domain, CategoricalDistribution):
            points[name] = chance.integers(len(domain.choices), size=count).astype(float)
            continue
        assert isinstance(domain, FloatDistribution | IntDistribution)
        values = chance.uniform(domain.low, domain.high, count)
        step = domain.step or 0
        points[name] = np.r_[domain.low, domain.high, np.round(values[2:] / step) * step if step else values[2:]]
    return points


def mixture(space: dict[str, BaseDistribution], count: int, *, multivariate: bool) -> _ParzenEstimator:
    """As TPE makes one of so many trials."""
    return _ParzenEstimator(observed(space, count, seed=1), space, _ParzenEstimatorParameters(
        prior_weight=1.0, consider_magic_clip=True, consider_endpoints=False, weights=np.ones,
        multivariate=multivariate))


@pytest.mark.parametrize("names", [SPACE, ["rate", "far"], ["leaves"], ["bins", "half"]], ids=",".join)
@pytest.mark.parametrize("count", [3, 500])
@pytest.mark.parametrize("multivariate", [True, False], ids=["together", "one by one"])  # these kernels are narrower
def test_a_density_is_the_one_that_optuna_finds(names: list[str], count: int, multivariate: bool) -> None:
    space = {name: SPACE[name] for name in names}
    estimator, samples = mixture(space, count, multivariate=multivariate), observed(space, 120, seed=2)

    np.testing.assert_allclose(log_density(estimator, samples), estimator.log_pdf(samples), rtol=1e-9, atol=1e-9)


def test_the_normal_distribution_of_scipy_says_what_optunas_says() -> None:
    values = np.concatenate([np.linspace(-40, 10, 501), [-1000.0, -0.0]])
    within = values[values > -36]  # beyond, a mass is nothing
    a, b = (side.ravel() for side in np.meshgrid(within, within))
    a, b = a[a < b], b[a < b]

    # Optuna's distribution itself has errors of 1e-15, which are all that is left of 1 near the upper end.
    np.testing.assert_allclose(special.log_ndtr(values), _truncnorm._log_ndtr(values), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(log_mass(a, b), _truncnorm._log_gauss_mass(a, b), rtol=1e-9, atol=1e-15)
    logarithms = np.log(np.linspace(1e-9, 1 - 1e-9, 501))
    np.testing.assert_allclose(special.ndtri_exp(logarithms), _truncnorm._ndtri_exp(logarithms), rtol=1e-7, atol=1e-12)


def test_what_lies_beyond_all_digits_has_no_mass() -> None:
    assert log_mass(np.array([-50.0, 40.0]), np.array([-45.0, 41.0])).tolist() == [-np.inf, -np.inf]
