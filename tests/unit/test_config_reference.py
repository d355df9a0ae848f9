"""The reference page and the JSON schema know every key; the study files that ship are sound."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optimizer.config.load import load_study
from optimizer.config.names import KnownNames
from optimizer.config.reference import written_page
from optimizer.config.resolved import Study
from optimizer.config.schema import DatasetKeys, json_schema, sections
from optimizer.datasets.problem import Problem
from optimizer.metrics import METRICS
from optimizer.models import family_names
from optimizer.strategies import pruner_names, sampler_names

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "study-file.md"
KNOWN = KnownNames(families=family_names(), samplers=sampler_names(), pruners=pruner_names())


def test_the_page_is_what_the_schema_says() -> None:
    """Write it anew with: python -m optimizer.config.reference docs/reference/study-file.md"""
    page = PAGE.read_text(encoding="utf-8")
    assert written_page(page) == page


@pytest.mark.parametrize("header", sections())
def test_every_key_is_in_the_page(header: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for key in sections()[header].model_fields:
        assert f"| `{key}` | " in page


def test_every_metric_family_sampler_and_pruner_is_in_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in [*METRICS, *KNOWN.families, *KNOWN.samplers, *KNOWN.pruners]:
        assert f"`{name}`" in page or f'"{name}"' in page


def test_every_key_has_a_description() -> None:
    for model in sections().values():
        for key, field in model.model_fields.items():
            assert field.description, key
            assert field.description.endswith(".")


def test_every_field_of_a_problem_can_be_said() -> None:
    """A field that no key sets could never be used."""
    said = {*DatasetKeys.model_fields, "name", "train", "folds", "repeats", "seed"}
    assert set(Problem.__struct_fields__) == said


def test_the_json_schema_is_json_without_null_and_knows_the_names() -> None:
    schema = json_schema(KNOWN)
    assert json.loads(json.dumps(schema)) == schema
    assert None not in list(_leaves(schema))
    assert schema["properties"]["sampler"]["enum"] == list(KNOWN.samplers)
    assert schema["properties"]["families"]["items"]["examples"] == list(KNOWN.families)
    assert "propertyNames" not in schema["properties"]["family"], "a person's own families have names of their own"
    assert schema["required"] == ["datasets"]
    assert schema["additionalProperties"] is False


def example(name: str, datasets: Path, folder: Path) -> Study:
    """A study that ships, in a checkout with its data."""
    (folder / "studies").mkdir()
    (folder / "datasets").symlink_to(datasets)
    shutil.copy(ROOT / "studies" / f"{name}.toml", folder / "studies")
    return load_study(folder / "studies" / f"{name}.toml", KNOWN)


@pytest.mark.parametrize("name", [
    "s5e7", "obesity_s4e2", "ames_house_prices", "adult", "mercedes_greener", "googleplay_messy",
])
def test_a_study_file_of_the_examples_is_sound(name: str, shared_datasets: Path, tmp_path: Path) -> None:
    study = example(name, shared_datasets, tmp_path)
    assert all(Path(problem.train).resolve().is_relative_to(shared_datasets.resolve()) for problem in study.datasets)
    assert study.time_per_dataset_s == 60
    assert (study.folds, study.seed) == (5, 42)


def test_the_study_of_the_eight_files_has_them_all(shared_datasets: Path, tmp_path: Path) -> None:
    study = example("s5e7", shared_datasets, tmp_path)
    assert [p.name for p in study.datasets] == [f"train_corrected_0{i}" for i in range(1, 9)]
    tables = shared_datasets.resolve() / "s5e7"
    assert {Path(p.test or "").resolve() for p in study.datasets} == {tables / "test.csv"}
    assert {Path(p.sample_submission or "").resolve() for p in study.datasets} == {tables / "sample_submission.csv"}
    assert {p.metric for p in study.datasets} == {"accuracy"}


def _leaves(value: Any) -> Iterator[Any]:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if members is None:
        yield value
        return
    for member in members:
        yield from _leaves(member)
