"""Fixtures for every ring."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from optimizer.models.base import StepsAside

ROOT = Path(__file__).resolve().parent.parent

# The same examples in every run; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test of a table that a family steps aside from does not apply, and is skipped with the family's words."""
    try:
        return (yield)
    except StepsAside as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def shared_datasets() -> Path:
    """The folder of real datasets beside the repository; skipped without it, and failed for it on CI."""
    folder = ROOT.parent / "shared" / "datasets"
    if not folder.is_dir():
        message = f"real datasets are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
