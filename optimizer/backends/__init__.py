"""Where workers live, found by file name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from optimizer.backends.base import Backend
from optimizer.errors import UserError, did_you_mean
from optimizer.standstill import Standstill


def backend_names() -> tuple[str, ...]:
    """Names of the backends, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base"))


def make_backend(name: str, *, folder: Path, families: Sequence[str], standstill: Standstill | None = None) -> Backend:
    """A backend of this name for a run's folder; raises `UserError` for an unknown one.

    Args:
        standstill: where a slot's worker reads how long it was stopped on the run's order.
    """
    if name not in backend_names():
        raise UserError(f"no backend is called {name!r}; {did_you_mean(name, backend_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return cast(Backend, module.BACKEND(folder=folder, families=families, standstill=standstill))
