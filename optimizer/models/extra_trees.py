"""Extremely randomised trees: as a random forest, with cuts drawn at random (Geurts, Ernst & Wehenkel 2006)."""

from __future__ import annotations

from typing import Any

from optimizer.models.forests import ForestFamily


class ExtraTrees(ForestFamily):
    """The family."""

    name = "extra_trees"

    def kind(self, *, classifies: bool) -> Any:
        """See `ForestFamily.kind`."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        return ExtraTreesClassifier if classifies else ExtraTreesRegressor


FAMILY = ExtraTrees()
