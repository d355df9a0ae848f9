"""Model families, found by their file names."""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

from optimizer.errors import UserError, did_you_mean
from optimizer.models.base import Family

#: Files of this folder that are not families.
_NOT_FAMILIES = frozenset({
    "base", "boosting", "describe", "estimators", "forests", "grownet", "opencl", "preprocessing", "weights",
})


def family_names() -> tuple[str, ...]:
    """Names of the families in this folder, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_FAMILIES))


def load_family(name: str) -> Family:
    """The family of this name; raises `UserError` for an unknown one."""
    if name not in family_names():
        raise UserError(f"no model family is called {name!r}; {did_you_mean(name, family_names())}")
    return cast(Family, importlib.import_module(f"{__name__}.{name}").FAMILY)
