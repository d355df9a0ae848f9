"""Writes a study file for a folder of tables: what was inferred, and why, for a person to look through."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optimizer.config import values
from optimizer.config.names import as_name
from optimizer.datasets.infer import Inspection, dataset_name, inspect_folder
from optimizer.errors import UserError

#: Fields of a problem that stand at the top of a study file, for all of its datasets.
_RUN_WIDE = {"folds": 5, "repeats": 1, "seed": 42}
_FILES = ("train", "test", "sample_submission")
#: Column at which the reasons begin.
_REASONS_AT = 44

_HEAD = """\
# What `optimizer init` found in {folder}
# Look it through, change what you like, then: optimizer run {study}
# `optimizer schema` prints every key for your editor.

{budget:<43} # on all slots; or trials = 200
# deadline = "06:30"                        # or "8h"; the whole run ends then
"""
_TAIL = """
# [resources]
# gpus = "all"                              # "none", or a list such as [0, 1]
# cores = "100%"                            # or a number
# memory_limit = "12GB"                     # or a share such as "50%"
# disk_limit = "50%"                        # of the free space, for predictions and models; or "20GB"

# [family.lightgbm]
# device = "cpu"                            # "gpu", "cpu" or "any"
# [family.lightgbm.space]
# num_leaves = {low = 8, high = 64}         # a range, a list of choices, or one value
"""


def study_file_for(folder: Path, directory: Path, name: str | None = None) -> Path:
    """Where in ``directory`` the study file of a folder of tables is, or is to be."""
    return directory / f"{as_name(name or dataset_name(folder))}.toml"


def init_study(folder: Path, directory: Path, given: Mapping[str, Any]) -> Path:
    """Write the study file of a folder of tables, and say where.

    Args:
        directory: where the study file goes; made if it is not there. Usually ``studies``.
        given: fields of `optimizer.datasets.problem.Problem` that the person says, and ``time_per_dataset``;
            ``None`` is inferred.

    Raises:
        UserError: the file is there already, or something can be neither inferred nor written.
    """
    path = study_file_for(folder, directory, given.get("name"))
    if path.exists():
        raise _exists(path)
    fields = {key: value for key, value in given.items() if key != "time_per_dataset"}
    text = study_text(folder, inspect_folder(folder, **fields), path, given.get("time_per_dataset") or "1h")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); change to a folder where you may write"
                        ) from error
    return path


def study_text(folder: Path, found: Inspection, path: Path, time_per_dataset: str = "1h") -> str:
    """The study file as text; paths are written as seen from ``path``."""
    try:
        values.duration(time_per_dataset)
    except ValueError as error:
        raise UserError(f"--time: found {time_per_dataset!r}, {error}") from None
    budget = f"time_per_dataset = {_toml(time_per_dataset)}"
    head = _HEAD.format(folder=_on_one_line(str(folder)), study=_on_one_line(str(path)), budget=budget)
    lines = [head.rstrip("\n")]
    for key, default in _RUN_WIDE.items():
        lines.append(f"{key} = {_toml(found.given.get(key, default))}")
    lines += ['families = ["xgboost", "lightgbm", "catboost"]', ""]
    lines += [f"# Note: {_on_one_line(notice)}" for notice in found.notices]
    lines += ["[[datasets]]", *_dataset_lines(found, path.parent), _TAIL.rstrip("\n")]
    text = "\n".join(lines) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{_on_one_line(str(folder))}: a name in it is not UTF-8; rename it") from None
    return text


def _dataset_lines(found: Inspection, base: Path) -> Iterator[str]:
    yield f"name = {_toml(as_name(found.name))}"
    for key, field in found.fields.items():
        value = _as_seen_from(base, str(field.value)) if key in _FILES else field.value
        yield f"{f'{key} = {_toml(value)}':<{_REASONS_AT - 1}} # {_on_one_line(field.why)}"
    for key, value in found.given.items():
        if key not in _RUN_WIDE and value not in ((), []):
            yield f"{f'{key} = {_toml(value)}':<{_REASONS_AT - 1}} # as given"


def _as_seen_from(base: Path, path: str) -> str:
    """The path relative to the study file, unless only the root is common to both."""
    absolute = os.path.abspath(base)
    if os.path.commonpath([absolute, path]) == os.path.sep:
        return path
    relative = os.path.relpath(path, absolute)
    return f"./{relative}" if relative.startswith("~") else relative


def _toml(value: object) -> str:
    """A value in TOML. JSON's text is TOML's too, but for the one control character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _on_one_line(text: str) -> str:
    """Text that may stand in a comment."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _exists(path: Path) -> UserError:
    return UserError(f"{path} is there already and is left as it is; `optimizer run {path}` runs it; "
                     "remove it to have it written anew")
