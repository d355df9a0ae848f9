"""A spectrum is told from other wide tables by its order and smoothness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimizer.datasets.spectra import is_spectrum
from optimizer.models import preprocessing


def bands(rows: int, columns: int, noise: float = 0.0) -> np.ndarray:
    """Two absorption bands of changing height over a sloping baseline."""
    rng = np.random.default_rng(0)
    at = np.linspace(0.0, 1.0, columns)
    shapes = np.array([np.exp(-((at - center) / 0.08) ** 2) for center in (0.3, 0.7)])
    spectra = rng.uniform(0.5, 2.0, (rows, 2)) @ shapes + rng.uniform(0.0, 1.0, (rows, 1)) * at
    return spectra + noise * rng.normal(size=spectra.shape)


def test_smooth_columns_in_an_order_are_a_spectrum() -> None:
    assert is_spectrum(bands(40, 100, noise=0.01), (0,) * 100)


def test_a_column_of_categories_beside_it_does_no_harm() -> None:
    x = np.column_stack([np.arange(40) % 3, bands(40, 100)])
    assert is_spectrum(x, (3, *(0,) * 100))


def test_the_same_columns_in_another_order_are_none() -> None:
    x = bands(40, 100)[:, np.random.default_rng(1).permutation(100)]
    assert not is_spectrum(x, (0,) * 100)


def test_few_columns_gaps_and_noise_are_none() -> None:
    assert not is_spectrum(bands(40, 20), (0,) * 20)
    assert not is_spectrum(np.random.default_rng(0).normal(size=(40, 100)), (0,) * 100)
    holes = bands(40, 100)
    holes[3, 5] = np.nan
    assert not is_spectrum(holes, (0,) * 100)


@pytest.mark.parametrize("scatter", ["none", "snv"])
def test_a_detrend_takes_a_bent_baseline_away_and_leaves_the_bands(scatter: str) -> None:
    x, at = bands(40, 100), np.linspace(0.0, 1.0, 100)
    bent = x + np.linspace(0.0, 3.0, 40)[:, None] * at**2
    params = {"scatter": scatter, "baseline": "detrend", "derivative": "none", "scaling": "center"}

    straight, straightened = (_corrected(cells, params) for cells in (x, bent))

    if scatter == "none":
        np.testing.assert_allclose(straightened, straight, atol=1e-9)
    assert np.abs(np.polyfit(at, straightened.T, 2)).max() < 1e-9, "nothing of a parabola is left"
    assert straightened.std(axis=1).min() > 0.01, "the bands are"


def _corrected(cells: np.ndarray, params: dict[str, str]) -> np.ndarray:
    for step in preprocessing._spectral(params):
        cells = step.fit_transform(cells)
    return cells


@pytest.mark.parametrize(("file", "drop", "expected"), [
    ("nir_shootout2002/train.csv", ("id", "assay"), True), ("gasoline_nir/data.csv", ("octane",), True),
    ("mercedes_greener/train.csv", ("ID", "y"), False), ("letter/data.csv", ("letter",), False),
])
def test_real_spectra_are_told_from_real_tables(
    shared_datasets: Path, file: str, drop: tuple[str, ...], expected: bool,
) -> None:
    import pandas as pd

    numbers = pd.read_csv(shared_datasets / file).drop(columns=list(drop)).select_dtypes("number").to_numpy(float)
    assert is_spectrum(numbers, (0,) * numbers.shape[1]) is expected
