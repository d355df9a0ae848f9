"""Random forests: trees on resampled rows, each split chosen of some of the columns (Breiman 2001)."""

from __future__ import annotations

from typing import Any

from optimizer.models.base import TableSummary
from optimizer.models.forests import ForestFamily
from optimizer.search_space import Float, Parameter


class RandomForest(ForestFamily):
    """The family."""

    name = "random_forest"

    def parameters(self, summary: TableSummary) -> tuple[Parameter, ...]:
        """As of every forest, and the share of the rows that a tree is given."""
        return (*super().parameters(summary), Parameter("max_samples", Float(0.3, 1.0)))

    def kind(self, *, classifies: bool) -> Any:
        """See `ForestFamily.kind`."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        return RandomForestClassifier if classifies else RandomForestRegressor


FAMILY = RandomForest()
