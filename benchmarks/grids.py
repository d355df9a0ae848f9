"""Grids of models that are searched whole, and the same spaces as ranges for searches that choose.

A grid is a list of values for each parameter that is searched; one value fixes it. The whole grid is every combination
that exists. As ranges, a list of numbers is from its least to its largest, on the family's own scale.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.shared import FOLDER

Values = Mapping[str, Any]

#: Of a spectrum, for the families that are not trees: 30 ways.
_BEFORE = {"scatter": ["none", "snv", "msc"], "derivative": ["none", "smoothed", "first", "second"],
           "half_window": [3, 7, 12], "baseline": "none", "scaling": "standard"}
_ONE_WAY = {"scatter": "snv", "derivative": "first", "half_window": 7, "baseline": "none", "scaling": "standard"}
_COLUMNS = [0.4, 0.55, 0.7, 0.85, 1.0]
#: Bins as few as a family allows: a fold of 156 rows has no more values than that.
NIR: dict[str, Values] = {
    "ridge": {"alpha": [1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.1, 1.0], **_BEFORE},
    "lasso": {"alpha": [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1], **_BEFORE},
    "elastic_net": {"alpha": [1e-4, 5e-4, 2e-3, 0.01, 0.05], "l1_ratio": [0.2, 0.8], **_BEFORE},
    "pls": {"n_components": [2, 3, 4, 5, 6, 7, 9, 12, 16, 20], **_BEFORE},
    "xgboost": {
        "learning_rate": [0.05, 0.1, 0.2], "max_depth": [3, 4, 5, 6, 8], "min_child_weight": [1.0, 2.0, 4.0],
        "colsample_bytree": _COLUMNS, "subsample": 0.8, "reg_lambda": 1.0, "reg_alpha": 0.001, "gamma": 0.001,
        "max_bin": 64},
    "lightgbm": {
        "learning_rate": [0.05, 0.1, 0.2], "num_leaves": [6, 8, 10, 12, 15], "min_data_in_leaf": [3, 5, 10],
        "feature_fraction": _COLUMNS, "bagging_fraction": 0.8, "lambda_l2": 0.01, "lambda_l1": 0.001,
        "min_gain_to_split": 0.001, "extra_trees": False, "max_bin": 63},
    "catboost": {
        "learning_rate": [0.05, 0.1, 0.2], "depth": [3, 4, 5, 6, 7], "l2_leaf_reg": [1.0, 3.0, 10.0], "rsm": _COLUMNS,
        "bootstrap_type": "Bernoulli", "subsample": 0.8, "random_strength": 1.0, "border_count": 32,
        "leaf_estimation_iterations": 1},
    "hist_gradient_boosting": {
        "learning_rate": [0.05, 0.1, 0.2], "max_leaf_nodes": [4, 6, 8, 11, 15], "min_samples_leaf": [3, 5, 10],
        "max_features": _COLUMNS, "l2_regularization": 0.01},
    "random_forest": {
        "min_samples_leaf": [1, 2, 3, 4, 6, 9], "max_features": [round(0.1 * step, 1) for step in range(1, 11)],
        "max_samples": [0.4, 0.55, 0.7, 0.85, 1.0]},
    "extra_trees": {
        "min_samples_leaf": [1, 2, 3, 4, 6, 9],
        "max_features": [round(0.05 + 0.95 * step / 49, 3) for step in range(50)]},
    "mlp": {"layers": [1, 2, 3], "units": [16, 32, 64, 128, 256], "learning_rate_init": [3e-4, 1e-3, 3e-3, 0.01, 0.03],
            "alpha": 1e-3, "batch_size": 64, **_ONE_WAY},
    "neuralboost": {"learning_rate": [0.1, 0.3, 1.0], "units": [4, 8, 16, 32, 64],
                    "adam_rate": [1e-3, 2e-3, 5e-3, 0.01, 0.03], "alpha": 0.03, "epochs": 4, "corrective_epochs": 2,
                    **_ONE_WAY},
    "svm": {"kernel": "rbf", "C": [0.1, 1.0, 10.0, 100.0, 1000.0], "gamma": [1e-3, 0.01, 0.1, 1.0, 10.0],
            "epsilon": 0.05, **_ONE_WAY, "scatter": ["none", "snv", "msc"], "derivative": ["none", "first"]},
}
_RATES = [0.03, 0.06, 0.12, 0.25]
BOOSTING: dict[str, Values] = {
    "xgboost": {
        "learning_rate": _RATES, "max_depth": [3, 5, 6, 8, 10], "colsample_bytree": _COLUMNS, "min_child_weight": 2.0,
        "subsample": 0.8, "reg_lambda": 1.0, "reg_alpha": 0.001, "gamma": 0.001, "max_bin": 256,
        "max_cat_to_onehot": 4, "max_cat_threshold": 64},
    "lightgbm": {
        "learning_rate": _RATES, "num_leaves": [8, 16, 32, 64, 128], "feature_fraction": _COLUMNS,
        "min_data_in_leaf": 10, "bagging_fraction": 0.8, "lambda_l2": 0.01, "lambda_l1": 0.001,
        "min_gain_to_split": 0.001, "extra_trees": False, "max_bin": 255, "cat_smooth": 10.0, "cat_l2": 10.0,
        "max_cat_threshold": 32, "min_data_per_group": 100},
    "catboost": {
        "learning_rate": _RATES, "depth": [4, 5, 6, 7, 8], "l2_leaf_reg": [0.5, 1.0, 3.0, 10.0, 30.0], "rsm": 1.0,
        "bootstrap_type": "Bernoulli", "subsample": 0.8, "random_strength": 1.0, "border_count": 64,
        "leaf_estimation_iterations": 1, "one_hot_max_size": 16, "max_ctr_complexity": 1},
    "hist_gradient_boosting": {
        "learning_rate": _RATES, "max_leaf_nodes": [8, 16, 32, 64, 128], "max_features": _COLUMNS,
        "min_samples_leaf": 10, "l2_regularization": 0.01, "encoding": "ordinal"},
}


@dataclass(frozen=True)
class Grid:
    """A table and every model that is to be made of it."""

    name: str
    about: str
    families: Mapping[str, Values]
    #: Of each family's models among all.
    mix: Mapping[str, float]
    models: int

    def study(self, folder: Path, name: str, keys: Mapping[str, Any], *, ranges: bool = False) -> Path:
        """Write a study file of this grid: its lists, or with ``ranges`` what lies between them."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"folds": 5, **keys}.items()]
        lines += [f"families = {json.dumps(list(self.families))}", self._dataset(folder)]
        for family, values in self.families.items():
            if "shares" not in keys:
                lines += [f"[family.{family}]", f"share = {self.mix[family]:.6f}"]
            lines.append(f"[family.{family}.space]")
            lines += [f"{parameter} = {_written(given, ranges=ranges)}" for parameter, given in values.items()]
        path = folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def of(self, names: Sequence[str]) -> Grid:
        """The part of it that is these families'."""
        total = sum(self.mix[name] for name in names)
        return dataclasses.replace(
            self, families={name: self.families[name] for name in names}, models=round(total * self.models),
            mix={name: self.mix[name] / total for name in names}, about=f"{self.about}, of which {', '.join(names)}")

    def _dataset(self, folder: Path) -> str:
        if self.name == "nir":
            # The labels of the test rows lie beside it, where no run looks.
            nir = FOLDER / "nir_shootout2002"
            return (f'[[datasets]]\nname = "nir"\ntrain = "{nir}/train.csv"\ntest = "{nir}/test.csv"\n'
                    'target = "assay"\nid = "id"\nmetric = "rmse"')
        train = folder / "housing.csv"
        if not train.exists():
            whole = pd.read_csv(FOLDER / "california_housing" / "data.csv", dtype=str, keep_default_na=False)
            whole.sample(5000, random_state=0).to_csv(train, index=False)
        return (f'[[datasets]]\nname = "housing"\ntrain = "{train}"\ntest = false\ntarget = "median_house_value"\n'
                'metric = "rmse"')


def _mix(parts: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    return {family: share / len(families) for families, share in parts.items() for family in families}


GRIDS = {
    "nir": Grid("nir", "195 spectra of 650 columns, thirteen families", NIR, _mix({
        ("ridge", "lasso", "elastic_net", "pls"): 0.4,
        ("xgboost", "lightgbm", "catboost", "hist_gradient_boosting"): 0.3,
        ("random_forest", "extra_trees"): 0.2, ("mlp", "neuralboost"): 0.05, ("svm",): 0.05}), 3000),
    "boosting": Grid("boosting", "5,000 rows of California housing, four boosting families", BOOSTING,
                     _mix({tuple(BOOSTING): 1.0}), 400),
}


def _written(given: Any, *, ranges: bool) -> str:
    """A list as it is, or the range that it spans."""
    if ranges and isinstance(given, list) and not isinstance(given[0], str | bool):
        return f"{{low = {json.dumps(min(given))}, high = {json.dumps(max(given))}}}"
    return json.dumps(given)
