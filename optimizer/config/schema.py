"""The keys of a study file: their types, ranges, defaults and meaning.

Only the shape is checked here. What depends on the world (which names are known, which files exist) or on
several keys at once is checked in `optimizer.config.load`. The JSON schema for editors and the tables of
``docs/reference/study-file.md`` are made of these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from optimizer.config.kinds import (
    Cores,
    CpuLimit,
    Deadline,
    Disk,
    Duration,
    FileOrNone,
    Gpus,
    Keys,
    Label,
    Labels,
    Memory,
    Override,
    QuietCpuLimit,
    QuietHours,
    Text,
    Texts,
)
from optimizer.config.names import NAME_PATTERN, KnownNames
from optimizer.metrics import METRICS


class DatasetKeys(Keys):
    """Keys of a dataset that may also stand at the top of the file, as the default for every dataset."""

    test: FileOrNone | None = Field(
        default=None,
        description="Table to predict. Beside a `train.csv` the file `test.csv` is taken by itself; "
        "`false` says that there is none.",
    )
    sample_submission: FileOrNone | None = Field(
        default=None,
        description="The example that a submission takes its shape from. Beside a `train.csv` "
        "the file `sample_submission.csv` is taken by itself; `false` says that there is none.",
    )
    target: Text | None = Field(
        default=None,
        description="Column to predict. Inferred from the sample submission, as the one column of the training "
        "table that the test table has not, or by a name such as `target`, `label` or `y`.",
    )
    id: Text | None = Field(
        default=None,
        description="Column that names the rows; never a feature. Inferred from the first column of the sample "
        "submission, or of the test table where it is called so.",
    )
    metric: Text | None = Field(
        default=None,
        description="What is optimised; see [metrics](#metrics). By default accuracy, ROC AUC where one probability "
        "is submitted, log loss where one per class is, and RMSE for regression.",
    )
    task: Literal["binary", "multiclass", "regression"] | None = Field(
        default=None, description="What kind of target it is. Inferred from its values.",
    )
    positive: Label | None = Field(
        default=None,
        description="Of two classes the one whose probability is submitted and that F1 and its kin look at. "
        "By default the later one in order.",
    )
    weights: Text | None = Field(
        default=None,
        description="Column of row weights. They are used for fitting; scores are not weighted.",
    )
    groups: Text | None = Field(
        default=None,
        description="Column whose equal values stay in the same fold: a customer, a patient, a well.",
    )
    time: Text | None = Field(
        default=None,
        description="Column of times. Each fold then trains on the past and validates on what follows.",
    )
    bad_rows: Literal["error", "drop"] = Field(
        default="error",
        description="A row with the wrong number of fields: `error` refuses the table and names the line; "
        "`drop` goes on without such rows and says which.",
    )
    missing_target: Literal["error", "drop"] = Field(
        default="error",
        description="A training row without a target: `error` refuses the table, `drop` leaves the row out.",
    )
    missing: Labels = Field(
        default=(), description="More markers of a missing value, as they stand in the table.",
    )
    drop: Texts = Field(default=(), description="Columns to leave out.")
    categorical: Texts = Field(
        default=(), description="Columns to take as categories, whatever they look like.",
    )
    numeric: Texts = Field(
        default=(), description="Columns that must be numbers; a cell that is none is an error.",
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        default=",", description="What separates the fields of a CSV file.",
    )
    submission: Literal["labels", "probability", "probabilities", "values"] | None = Field(
        default=None,
        description="What a submission holds: labels, one probability, one probability per class, or values. "
        "Inferred from the sample submission and the metric.",
    )


class DatasetEntry(DatasetKeys):
    """One ``[[datasets]]`` of a study file."""

    train: Text = Field(
        description="Training table: CSV (`.csv.gz` too) or Parquet. A pattern with `*`, `?` or `[...]` "
        "stands for one dataset per file. Paths are relative to the study file.",
        examples=["data/train.csv", "data/train_*.csv"],
    )
    name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = Field(
        default=None,
        description="What the dataset is called on screen and in file names. By default the name of its file "
        "without the ending, or of its folder where the file is called `train` or `data`.",
    )


class FamilySection(Keys):
    """A ``[family.<name>]`` of a study file: what the person wants of one model family."""

    device: Literal["gpu", "cpu", "any"] | None = Field(
        default=None,
        description="Where it runs: on GPU slots only, on CPU slots only, or on both. By default `any` for `xgboost` "
        "and `lightgbm` and `cpu` for `catboost`; the other families run on the CPU only.",
    )
    file: Text | None = Field(
        default=None,
        description="A Python file that defines the family, for one of your own; relative to the study file. It is run "
        "in workers, in the process that asks it for its search space, and by `predict` and `check-family`; see "
        "[your own](../families.md#your-own).",
        examples=["huber.py"],
    )
    max_rows: Annotated[int, Field(ge=100, le=1_000_000_000)] | None = Field(
        default=None,
        description="It is fitted on at most so many of each fold's training rows, drawn once and the same for all its "
        "trials; scores are of all validation rows. By default it is fitted on all. See "
        "[large tables](../families.md#large-tables).",
        examples=[20_000],
    )
    share: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Its part of each dataset's budget, in trials where the budget is in trials and else in time. "
        "Families without one share evenly what the others leave.",
        examples=[0.4],
    )
    space: dict[str, Override] = Field(
        default={},
        description="Its search space, narrowed: a value fixes a parameter, a list gives its choices, "
        "`{low = ..., high = ..., log = ...}` gives its range.",
    )


class ResourcesSection(Keys):
    """The ``[resources]`` of a study file: what of this machine the run may use."""

    gpus: Gpus = Field(
        default="all",
        description="`all`, `none`, or a list of indices (in PCI order) and UUIDs. One slot is made per GPU.",
    )
    cores: Cores = Field(
        default="100%",
        description="How many cores, as a number or as a share of those that affinity and cgroup leave.",
    )
    cpu_limit: CpuLimit = Field(
        default="100%",
        description="How much of those cores the run keeps busy, as a share or as a number of cores, with everything "
        "that belongs to it; see [a polite run](#a-polite-run). `optimizer limit` changes it while the run goes on.",
    )
    quiet_hours: QuietHours | None = Field(
        default=None,
        description="Hours of the day, by the local clock, in which the run uses `quiet_cpu_limit` at most.",
    )
    quiet_cpu_limit: QuietCpuLimit = Field(
        default=0, description="What the run may use in quiet hours, as `cpu_limit`; with `0` it stands still.",
    )
    memory_limit: Memory | None = Field(
        default=None,
        description="How much memory the run may take in all, as an amount or as a share of the machine's (or of "
        "the cgroup's, where that is less). By default all but 10 %, and at least 1 GiB is left to you; of less "
        "than 2 GiB, the half.",
    )
    disk_limit: Disk = Field(
        default="50%",
        description="How much the run's predictions and models may take on the disk, as an amount or as a share of "
        "the space that is free at the start; see [below](#disk).",
    )
    priority: Literal["low", "normal"] = Field(
        default="low",
        description="With `low`, whatever else runs on the machine goes first, at the cores and at the disk; what is "
        "left over is used in full.",
    )
    step_back: bool | None = Field(
        default=None,
        description="Whether workers stop while somebody else computes on the run's cores. By default they do with "
        "`priority = \"low\"`, but not in a container, where the kernel's counters tell of strangers too.",
    )
    threads_per_slot: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Cores, and so threads, of a CPU slot. By default one, and slots are joined where the run finds "
        "that this finishes more trials ([why](../why/layouts.md)); a number here fixes it.",
    )
    fold_time_limit: Duration | None = Field(
        default=None,
        description="How long one fold may take; a fit that takes longer is taken for hung and is ended. By default "
        "it is learned from what the family has needed on the dataset so far.",
    )
    trial_time_limit: Duration | None = Field(
        default=None,
        description="The same for a whole trial, all its folds together.",
    )


class StopSection(Keys):
    """The ``[stop]`` of a study file: when a search has gone on long enough without change."""

    best: int = Field(default=5, ge=1, le=100, description="How many of the best scores are looked at.")
    family: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="A family ends on a dataset when its best have not changed in so many of its decided trials.",
    )
    dataset: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="A dataset ends when its best, over all families, have not changed in so many decided trials.",
    )
    run: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="The run ends when no dataset's best have changed in so many decided trials of the run.",
    )


class StudyFile(DatasetKeys):
    """A study file as a whole."""

    datasets: Annotated[tuple[DatasetEntry, ...], Field(strict=False, min_length=1)] = Field(
        description="The datasets, in the order in which they are searched; see [datasets](#datasets).",
    )
    time_per_dataset: Duration | None = Field(
        default=None,
        description="Time on all slots for each dataset, over all families. Give this or `trials`; without "
        'either it is `"1h"`.',
    )
    trials: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="Finished and pruned trials for each dataset, over all families, instead of a time.",
    )
    deadline: Deadline | None = Field(
        default=None,
        description="When the whole run ends, running trials and all: a duration since its first start, or "
        "the next time that the local clock shows this. By default there is none.",
    )
    folds: int = Field(default=5, ge=2, le=1000, description="Folds of the cross-validation.")
    repeats: int = Field(
        default=1, ge=1, le=1000, description="How often the folds are drawn anew and fitted again.",
    )
    seed: int = Field(
        default=42, ge=0, le=2**32 - 1, description="Seed of the folds, the samplers and the models.",
    )
    families: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] = Field(
        default=("xgboost", "lightgbm", "catboost"), description="Model families to search.",
    )
    shares: Literal["even", "adaptive"] = Field(
        default="even",
        description="How families share a dataset's budget: evenly, or the more the nearer the best score of each is "
        "to the dataset's best, with 5 % for each at least. A family's own `share` goes before both.",
    )
    sampler: Text = Field(
        default="tpe",
        description="How the next point is chosen: `tpe` (random at first, the likelier the sooner a point is "
        "evaluated, then where good trials are dense), `thrifty_tpe` (the same, and of points that promise as much it "
        "always prefers what is evaluated sooner, as `tpe` does where there is time for few trials), `random`, `qmc` "
        "(quasi-random), `grid`, or `coarse_to_fine` (a coarse grid, then finer ones around the best).",
    )
    pruner: Text = Field(
        default="confidence",
        description="When a trial is given up: `confidence` (clearly worse than the best, after a fold), `racing` (the "
                    "same, and in the middle of a fit), `median` (worse than half of the others at the same fold) or "
                    "`none`.",
    )
    stop: StopSection = Field(
        default=StopSection(),
        description="When a search ends before its budget is used; see [stop](#stop).",
    )
    resources: ResourcesSection = Field(
        default=ResourcesSection(),
        description="What of this machine the run may use; see [resources](#resources).",
    )
    family: dict[str, FamilySection] = Field(
        default={}, description="One table per model family; see [families](#families).",
    )


def sections() -> Mapping[str, type[BaseModel]]:
    """The tables of a study file by the header that opens them; ``""`` is the top of the file."""
    return {
        "": StudyFile,
        "[[datasets]]": DatasetEntry,
        "[stop]": StopSection,
        "[resources]": ResourcesSection,
        "[family.<name>]": FamilySection,
    }


def json_schema(known: KnownNames | None = None) -> dict[str, Any]:
    """The JSON schema of a study file, for editors; names that are known here become enumerations."""
    schema: dict[str, Any] = _without_null(StudyFile.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Study file"
    schema["not"] = {"required": ["time_per_dataset", "trials"]}
    properties = schema["properties"]
    for keys in (properties, schema["$defs"]["DatasetEntry"]["properties"]):
        keys["metric"]["examples"] = list(METRICS)
    if known is not None:
        properties["sampler"]["enum"] = list(known.samplers)
        properties["pruner"]["enum"] = list(known.pruners)
        # Open: a person's own families have names of their own.
        properties["families"]["items"]["examples"] = list(known.families)
    return schema


def _without_null(schema: Any) -> Any:
    """The schema without null values: TOML has none, a key that is not given is not there.

    Nor are there defaults of whole tables, which an editor would write out.
    """
    if isinstance(schema, list):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: _without_null(part) for key, part in schema.items()}
    if "default" in parts and (parts["default"] is None or isinstance(parts["default"], dict)):
        del parts["default"]
    given = [part for part in parts.pop("anyOf", []) if part != {"type": "null"}]
    if len(given) == 1:
        return {**given[0], **parts}
    return {**parts, "anyOf": given} if given else parts
