"""The real datasets that benchmarks search: `../shared/datasets`, by name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.place import ROOT
from optimizer.metrics import get_metric

FOLDER = ROOT.parent / "shared" / "datasets"


@dataclass(frozen=True)
class Dataset:
    """A table on disk and what is to be predicted."""

    train: Path
    target: str
    metric: str

    @property
    def maximize(self) -> bool:
        """Whether more is better by its metric."""
        return get_metric(self.metric).direction == "maximize"


DATASETS = {
    "adult": Dataset(FOLDER / "adult/train.csv", "income", "roc_auc"),
    "ames_house_prices": Dataset(FOLDER / "ames_house_prices/train.csv", "SalePrice", "rmsle"),
    "california_housing": Dataset(FOLDER / "california_housing/data.csv", "median_house_value", "rmse"),
    "diamonds": Dataset(FOLDER / "diamonds/data.csv", "price", "rmse"),
    "gasoline_nir": Dataset(FOLDER / "gasoline_nir/data.csv", "octane", "rmse"),
    "letter": Dataset(FOLDER / "letter/data.csv", "letter", "accuracy"),
    "mercedes_greener": Dataset(FOLDER / "mercedes_greener/train.csv", "y", "r2"),
    "obesity_s4e2": Dataset(FOLDER / "obesity_s4e2/train.csv", "NObeyesdad", "accuracy"),
    "s5e7": Dataset(FOLDER / "s5e7/corrected/train_corrected_01.csv", "Personality", "accuracy"),
    "telco_churn": Dataset(FOLDER / "telco_churn/data.csv", "Churn", "roc_auc"),
}
#: Rows of a sample, where a fit on all of them is slow.
SAMPLES = {"obesity_s4e2": 5000, "letter": 5000}


def sampled(name: str, folder: Path, rows: int | None = None) -> Dataset:
    """The dataset of this name, or a sample of it, written into the folder: of so many rows, or as usual."""
    whole, rows = DATASETS[name], rows or SAMPLES.get(name)
    if rows is None:
        return whole
    train = folder / f"{name}.csv"
    pd.read_csv(whole.train, dtype=str, keep_default_na=False).sample(rows, random_state=0).to_csv(train, index=False)
    return dataclasses.replace(whole, train=train)
