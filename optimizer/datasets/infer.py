"""What a person need not say of a folder: files, target, id, task and metric, each with the reason for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from optimizer.datasets.problem import Problem
from optimizer.datasets.read import TextTable, read_header, read_table
from optimizer.datasets.roles import GIVEN, Inferred, Roles, read_roles
from optimizer.datasets.scan import table_format
from optimizer.datasets.submission import shape_of
from optimizer.datasets.target import infer_task
from optimizer.errors import DatasetError, UserError
from optimizer.metrics import default_metric, get_metric


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds, as a study file would say it."""

    #: Of the dataset: the folder's, made fit for a name.
    name: str
    #: Fields of `Problem` that were found or asked for, in the order to write them; paths absolute.
    fields: dict[str, Inferred]
    #: The other fields that the person gave, as given.
    given: dict[str, Any]
    notices: tuple[str, ...] = ()

    @property
    def problem(self) -> Problem:
        """The problem that these fields make."""
        values = {key: field.value for key, field in self.fields.items()}
        return msgspec.convert({"name": self.name, **self.given, **values}, Problem)


_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq")
_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("test", "testing")
_SAMPLE_NAMES = ("sample_submission", "samplesubmission", "submission_sample", "sample", "gender_submission")
_DELIMITERS = (",", ";", "\t", "|")


def inspect_folder(folder: Path, **given: Any) -> Inspection:
    """Look at a Kaggle-style folder: ``train``, ``test`` and ``sample_submission``, or one table alone.

    ``given`` are fields of `Problem` that the person says; paths may be relative to the folder. Of the tables only
    headers, the target and the sample are looked at, so rows that a run will refuse are found then, and a notice
    says so now. Raises `DatasetError` where a field must be given, and says by which option.
    """
    if not folder.is_dir():
        raise DatasetError("there is no such folder", path=folder)
    given = {key: value for key, value in given.items() if value is not None}
    named = {key: _file(folder, key, given) for key in ("train", "test", "sample_submission")}
    fields = {key: field for key, field in named.items() if field is not None}
    if "train" not in fields:
        fields["train"] = _single_table(folder)
    path = Path(str(fields["train"].value))
    delimiter = _delimiter(path, given)
    if delimiter.value != ",":
        fields["delimiter"] = delimiter
    name = given.pop("name", None) or dataset_name(folder)
    problem = msgspec.convert(
        {"name": name, **given, **{key: field.value for key, field in fields.items()}}, Problem)
    found, notices = _describe_target(problem)
    fields = {"train": fields.pop("train"), **fields, **found}
    return Inspection(name=name, fields=fields, notices=notices,
                      given={key: value for key, value in given.items() if key not in fields})


def dataset_name(folder: Path) -> str:
    """The folder's name with whatever a dataset's name may not have made ``_``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", folder.resolve().name).strip("._-") or "dataset"


def _describe_target(problem: Problem) -> tuple[dict[str, Inferred], tuple[str, ...]]:
    """Target, id, task and metric with their reasons, and notices.

    Lenient where a run is strict: rows that a run refuses are left out here, and a notice says so.
    """
    import pyarrow.compute as pc

    roles = read_roles(problem)
    target = str(roles.target.value)
    table = read_table(Path(problem.train), delimiter=problem.delimiter, on_bad_rows="drop", only=[target])
    notices = [f'{notice} here; a run refuses them unless bad_rows = "drop"' for notice in table.notices
               if problem.bad_rows == "error"]
    metric = None if problem.metric is None else get_metric(problem.metric)
    task = infer_task(table, target, problem, metric)
    cells = table.column(target)
    labels = [text for text in pc.unique(cells).to_pylist() if text is not None and text.strip()]
    classes = () if task.name == "regression" else tuple(sorted(labels))
    sample = None if problem.sample_submission is None else \
        read_table(Path(problem.sample_submission), delimiter=problem.delimiter)
    found = {"target": roles.target, "id": roles.id, "task": Inferred(task.name, task.why)}
    if metric is not None:
        metric.check_task(task.name)
        found["metric"] = Inferred(metric.name, GIVEN)
    else:
        kind = _submission_kind(problem, sample, roles, target, task.name, classes)
        name = default_metric(task.name, kind)
        holds = f" where a submission holds {kind}" if sample is not None and classes else ""
        found["metric"] = Inferred(name, f"the usual one for {task.name}{holds}")
    return {key: field for key, field in found.items() if field.value is not None}, tuple(notices)


def _submission_kind(
    problem: Problem, sample: TextTable | None, roles: Roles, target: str, task: str, classes: tuple[str, ...]
) -> str | None:
    if sample is None and problem.test is None:
        return None
    return shape_of(problem, sample, roles.id.value, target, task, classes, None).shape.kind


def _file(folder: Path, key: str, given: dict[str, Any]) -> Inferred | None:
    if key in given:
        path = Path(given.pop(key))
        path = path if path.is_absolute() else folder / path
        if not path.is_file():
            raise DatasetError("there is no such file", path=path)
        return Inferred(str(path.resolve()), GIVEN)
    names = {"train": _TRAIN_NAMES, "test": _TEST_NAMES, "sample_submission": _SAMPLE_NAMES}[key]
    for stem in names:
        for file, file_stem in _tables(folder):
            if file_stem.lower() == stem:
                return Inferred(str(file.resolve()), "by its name")
    return None


def _single_table(folder: Path) -> Inferred:
    tables = [file for file, _ in _tables(folder)]
    if len(tables) == 1:
        return Inferred(str(tables[0].resolve()), "the only table in the folder")
    raise DatasetError(
        f"no train.csv, and {len(tables) or 'no'} other tables"
        + (f": {', '.join(file.name for file in tables[:8])}" if tables else ""), path=folder,
        hint="name the training table with --train FILE" if tables else "expected .csv, .csv.gz or .parquet")


def _tables(folder: Path) -> list[tuple[Path, str]]:
    return [(file, file.name[: -len(suffix)]) for file in sorted(folder.iterdir()) for suffix in _SUFFIXES
            if file.name.lower().endswith(suffix) and file.is_file()]


def _delimiter(path: Path, given: dict[str, Any]) -> Inferred:
    if "delimiter" in given:
        return Inferred(given.pop("delimiter"), GIVEN)
    if table_format(path) == "parquet":
        return Inferred(",", "not used by Parquet")
    widths = {}
    for delimiter in _DELIMITERS:
        try:
            widths[delimiter] = len(read_header(path, delimiter))
        except UserError:
            widths[delimiter] = 0
    best = max(_DELIMITERS, key=lambda delimiter: widths[delimiter])
    # A header that cannot be read with any is refused later, with its own words.
    return Inferred(best if widths[best] > 1 else ",", f"the header has {widths[best]} columns then")
