"""Kinds of value in a study file: each a parser of `optimizer.config.values` with its JSON schema."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from optimizer.config import values


class Keys(BaseModel):
    """A table of a study file: its keys are known, and nothing is converted on the quiet."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Text = Annotated[str, Field(min_length=1)]
# strict=False lets TOML's list become a tuple; what is in it stays strict.
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
Label = Annotated[
    str,
    PlainValidator(values.label),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["yes", 1]}),
]
Labels = Annotated[tuple[Label, ...], Field(strict=False)]
FileOrNone = Annotated[
    str | bool,
    PlainValidator(values.file_or_none),
    WithJsonSchema({
        "anyOf": [{"type": "string", "minLength": 1}, {"const": False}],
        "examples": ["path/to/file.csv", False],
    }),
]
Duration = Annotated[
    float,
    PlainValidator(values.duration),
    WithJsonSchema({"type": "string", "pattern": values.DURATION_PATTERN, "examples": ["90s", "1h30m"]}),
]
Deadline = Annotated[
    float | datetime.time,
    PlainValidator(values.deadline),
    WithJsonSchema({
        "anyOf": [
            {"type": "string", "pattern": values.DURATION_PATTERN},
            {"type": "string", "pattern": values.CLOCK_PATTERN},
        ],
        "examples": ["8h", "06:30"],
    }),
]
_GPU = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1}]}
Gpus = Annotated[
    str | tuple[int | str, ...],
    PlainValidator(values.gpus),
    WithJsonSchema({
        "anyOf": [{"enum": ["all", "none"]}, {"type": "array", "uniqueItems": True, "items": _GPU}],
        "examples": ["all", "none", [0, 1]],
    }),
]
Cores = Annotated[
    int | str,
    PlainValidator(values.cores),
    WithJsonSchema({
        "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": values.PERCENT_PATTERN}],
        "examples": [6, "50%"],
    }),
]
_CORES_OR_PERCENT = [
    {"type": "number", "minimum": 0}, {"type": "string", "pattern": values.PERCENT_PATTERN}]
CpuLimit = Annotated[
    int | float | str, PlainValidator(values.cpu_limit),
    WithJsonSchema({"anyOf": _CORES_OR_PERCENT, "examples": ["40%", 1.5]})]
QuietCpuLimit = Annotated[
    int | float | str, PlainValidator(values.quiet_cpu_limit),
    WithJsonSchema({"anyOf": _CORES_OR_PERCENT, "examples": ["20%", 0]})]
_HOURS = {"type": "string", "pattern": values.HOURS_PATTERN}
QuietHours = Annotated[
    tuple[str, ...], PlainValidator(values.quiet_hours),
    WithJsonSchema({"anyOf": [_HOURS, {"type": "array", "minItems": 1, "items": _HOURS}],
                    "examples": ["08:00-18:00", ["08:00-12:00", "13:00-18:00"]]})]
_SIZE_OR_PERCENT = {"anyOf": [
    {"type": "string", "pattern": values.SIZE_PATTERN},
    {"type": "string", "pattern": values.PERCENT_PATTERN},
]}
Memory = Annotated[
    str, PlainValidator(values.memory), WithJsonSchema({**_SIZE_OR_PERCENT, "examples": ["12GB", "50%"]})]
Disk = Annotated[str, PlainValidator(values.disk), WithJsonSchema({**_SIZE_OR_PERCENT, "examples": ["20GB", "50%"]})]
Number = Annotated[int | float, PlainValidator(values.number), WithJsonSchema({"type": "number"})]


class Range(Keys):
    """A range for one parameter of a family; what is left out stays as the family has it."""

    low: Number | None = Field(default=None, description="Smallest value, included.")
    high: Number | None = Field(default=None, description="Largest value, included.")
    log: bool | None = Field(default=None, description="Whether the logarithm is searched evenly.")


Scalar = bool | int | float | str


def _override(value: object) -> object:
    """What the study file says of one parameter; raises `ValueError` with what was expected."""
    if isinstance(value, Scalar):
        return value
    if isinstance(value, list) and value and all(isinstance(choice, Scalar) for choice in value):
        return tuple(value)
    if isinstance(value, dict) and value:
        # Mistakes inside keep their place: pydantic puts the key of the parameter before theirs.
        given = Range.model_validate(value).model_dump(exclude_none=True)
        if "low" in given and "high" in given and given["low"] > given["high"]:
            raise ValueError("expected low to be at most high; swap them")
        return given
    raise ValueError("expected a value, a list of values, or a range such as {low = 3, high = 8}")


_SCALAR = {"type": ["boolean", "integer", "number", "string"]}
Override = Annotated[
    Any,
    PlainValidator(_override),
    WithJsonSchema({
        "anyOf": [
            _SCALAR,
            {"type": "array", "minItems": 1, "items": _SCALAR},
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "low": {"type": "number"}, "high": {"type": "number"}, "log": {"type": "boolean"},
                },
            },
        ],
        "examples": [6, [4, 6, 8], {"low": 3, "high": 8}],
    }),
]
