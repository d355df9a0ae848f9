"""The journal's page names every event and field that the program writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer.datasets.problem import Prepared
from optimizer.records import TrialRecord

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "reference" / "journal.md").read_text(encoding="utf-8")


def _written_events() -> Iterator[tuple[str, set[str]]]:
    """Every ``emit("event", field=...)`` and ``append("event", field=...)`` of the package."""
    for path in sorted((ROOT / "optimizer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("emit", "append") and node.args and node.keywords
                and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
            ):
                fields = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                yield node.args[0].value, fields - {"durable"}


def _section(event: str) -> str:
    _, found, rest = PAGE.partition(f"\n### {event}")
    assert found, f"docs/reference/journal.md has no section on {event}"
    return rest.split("\n##")[0]


@pytest.mark.parametrize(("event", "fields"), list(_written_events()))
def test_every_event_that_is_written_is_on_the_page_with_its_fields(event: str, fields: set[str]) -> None:
    section = _section(event)
    assert {field for field in fields if f"`{field}`" not in section} == set()


def test_every_field_of_a_told_trial_and_of_a_ready_dataset_is_on_the_page() -> None:
    for event, fields in {"trial_told": TrialRecord.__struct_fields__, "dataset_ready": Prepared.__struct_fields__,
                          "run_started": ("incarnation", "pid", "version", "resumed", "study", "slots")}.items():
        section = _section(event)
        assert [field for field in fields if f"`{field}`" not in section] == []


def test_the_page_speaks_of_no_event_that_is_not_written() -> None:
    written = {event for event, _ in _written_events()}
    on_page = {line.removeprefix("### ").split(" ")[0] for line in PAGE.splitlines() if line.startswith("### ")}
    assert on_page - written == set()
