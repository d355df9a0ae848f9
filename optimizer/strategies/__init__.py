"""Samplers and pruners by name."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any, cast

from optimizer.errors import UserError, did_you_mean
from optimizer.strategies.base import Pruner, Sampler


def sampler_names() -> tuple[str, ...]:
    """Names of the samplers, sorted."""
    return _names("samplers")


def pruner_names() -> tuple[str, ...]:
    """Names of the pruners, sorted."""
    return _names("pruners")


def load_sampler(name: str) -> Sampler:
    """The sampler of this name; raises `UserError` for an unknown one."""
    return cast(Sampler, _load("samplers", name))


def load_pruner(name: str) -> Pruner:
    """The pruner of this name; raises `UserError` for an unknown one."""
    return cast(Pruner, _load("pruners", name))


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).with_name(folder))])))


def _load(folder: str, name: str) -> Any:
    if name not in _names(folder):
        raise UserError(f"no {folder[:-1]} is called {name!r}; {did_you_mean(name, _names(folder))}")
    return importlib.import_module(f"{__name__}.{folder}.{name}").STRATEGY
