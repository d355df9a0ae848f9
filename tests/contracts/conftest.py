"""Tests that ask for a ``family`` are run with every one, and with a ``task`` on those that it is for."""

from __future__ import annotations

import pytest

from optimizer.models import family_names, load_family

TASKS = ("binary", "multiclass", "regression")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """By the names of the test's arguments."""
    names = set(metafunc.fixturenames)
    families = [load_family(name) for name in family_names()]
    if {"family", "task"} <= names:
        pairs = [(family, task) for family in families for task in TASKS if task in family.tasks]
        metafunc.parametrize(("family", "task"), pairs, ids=[f"{family.name}-{task}" for family, task in pairs])
    elif "family" in names and "table" not in names:
        metafunc.parametrize("family", families, ids=family_names())
