"""The documentation names everything that a person can type."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from optimizer.cli import cli

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_is_in_the_reference_and_has_help(name: str) -> None:
    assert f"`optimizer {name}" in COMMANDS
    assert cli.commands[name].help


@pytest.mark.parametrize(("name", "option"), [
    (name, option) for name, command in sorted(cli.commands.items()) for parameter in command.params
    if isinstance(parameter, click.Option) for option in parameter.opts if option.startswith("--")])
def test_every_option_is_in_the_reference(name: str, option: str) -> None:
    assert f"`{option}" in COMMANDS or f" {option}" in COMMANDS


def test_every_page_that_is_linked_is_there() -> None:
    import re

    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_schema_for_editors_is_the_one_that_is_shipped(tmp_path: Path) -> None:
    """`make docs` writes it anew."""
    from click.testing import CliRunner

    done = CliRunner().invoke(cli, ["schema", "--out", str(tmp_path / "schema.json")])
    assert done.exit_code == 0
    shipped = ROOT / "docs" / "reference" / "study-file.schema.json"
    assert (tmp_path / "schema.json").read_text() == shipped.read_text()
