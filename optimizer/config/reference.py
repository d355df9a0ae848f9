"""The tables of the study file's reference page, made of the schema so that they cannot fall behind it.

``python -m optimizer.config.reference docs/reference/study-file.md`` writes them anew between their markers.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer.config.schema import DatasetKeys, json_schema, sections
from optimizer.metrics import METRICS

_MARKED = re.compile(r"(<!-- begin (\S+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
#: Name of a table's marker in the page, and which of `sections` it shows.
_TABLES = {"top": "", "datasets": "[[datasets]]", "stop": "[stop]", "resources": "[resources]",
           "family": "[family.<name>]"}


def written_page(page: str) -> str:
    """The page with every marked table made anew."""
    tables = {**{mark: _key_table(header) for mark, header in _TABLES.items()}, "metrics": _metric_table()}
    return _MARKED.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}", page)


def _key_table(header: str) -> str:
    """Key, values, default and meaning; the shared keys of datasets are shown with the datasets only."""
    schema = json_schema()
    model = sections()[header]
    own = schema if not header else schema["$defs"][model.__name__]
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    shared = DatasetKeys.model_fields
    keys = [key for key in own["properties"] if key not in shared]
    for key in keys + [key for key in own["properties"] if header and key in shared]:
        definition = own["properties"][key]
        default = "required" if key in own.get("required", ()) else _default(definition)
        rows.append(f"| `{key}` | {_value(definition)} | {default} | {_cell(definition['description'])} |")
    return "\n".join(rows) + "\n"


def _metric_table() -> str:
    rows = ["| metric | better is | judges | for |", "|---|---|---|---|"]
    for metric in METRICS.values():
        better = "higher" if metric.direction == "maximize" else "lower"
        note = " (families are trained on `log1p` of the target)" if metric.log_target else ""
        rows.append(f"| `{metric.name}` | {better} | {metric.needs}{note} | {', '.join(metric.tasks)} |")
    return "\n".join(rows) + "\n"


def _value(definition: Mapping[str, Any]) -> str:
    """What may stand behind the key."""
    if "enum" in definition:
        return " or ".join(f"`{_toml(word)}`" for word in definition["enum"])
    if "$ref" in definition or definition.get("type") == "object":
        return "table"
    if definition.get("type") == "array":
        return "list of tables" if "$ref" in definition["items"] else "list of texts"
    if definition.get("type") == "boolean":
        return "`true` or `false`"
    if definition.get("type") == "integer":
        low, high = definition.get("minimum"), definition.get("maximum")
        return f"whole number, {low} to {high}"
    if "pattern" not in definition and definition.get("type") == "string":
        return "one character" if definition.get("maxLength") == 1 else "text"
    examples = definition.get("examples")
    return ", ".join(f"`{_toml(example)}`" for example in examples) if examples else "text"


def _default(definition: Mapping[str, Any]) -> str:
    return f"`{_toml(definition['default'])}`" if "default" in definition else ""


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(written_page(path.read_text(encoding="utf-8")), encoding="utf-8")
