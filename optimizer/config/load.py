"""Reads a study file and checks it once, before anything starts: all mistakes at once, each with its place.

    text --tomllib--> data --command line--> data --schema: shape--> StudyFile --names, files--> Study

Mistakes are gathered on the way and raised together at its end.
"""

from __future__ import annotations

import codecs
import errno
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from optimizer.config import values
from optimizer.config.mistakes import Mistakes, shown, shown_path
from optimizer.config.names import FAMILY_RULE, NAME_RULE, KnownNames, is_family_name, is_name, is_utf8
from optimizer.config.place import Key
from optimizer.config.problems import Entry, absolute_path, resolve_datasets
from optimizer.config.resolved import FamilyChoice, ResourceLimits, StopRules, Study
from optimizer.config.schema import DatasetEntry, StudyFile
from optimizer.config.syntax import explained, unclosed
from optimizer.datasets.problem import Problem
from optimizer.errors import StudyFileError, did_you_mean

#: Fits of one trial; its messages, which tell of each, have a largest size.
MOST_STEPS = 1000
#: A study file is written by hand; what is larger is another kind of file.
MAX_BYTES = 2**20
#: Levels of tables and lists; the deepest key there is, ``family.x.space.y.low``, has five.
_MAX_DEPTH = 8
#: A key of more parts than any reader should be asked to take: `tomllib` needs memory by the square of them.
_ENDLESS_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*"|'[^'\n]*')[ \t]*+\.[ \t]*+){64}""")
_NUL, _LONE_RETURN = re.compile(rb"\0"), re.compile(rb"\r(?!\n)")
#: Budget where the file gives none.
_TIME_PER_DATASET = "1h"


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What the command line says instead of the file; ``None`` leaves the file's value."""

    #: Per dataset; with a leading ``+`` it is added to what the file says, or to ``time_before`` where that is more.
    time: str | None = None
    #: Seconds per dataset that the run finished with last; so ``+1h`` twice is two hours more.
    time_before: float = 0.0
    trials: int | None = None
    deadline: str | None = None
    families: tuple[str, ...] | None = None
    seed: int | None = None
    sampler: str | None = None
    pruner: str | None = None


def load_study(path: Path | str, known: KnownNames, overrides: Overrides | None = None) -> Study:
    """The study that this file describes.

    Raises:
        StudyFileError: with every mistake, one line each: file, line, key, what was found and what was expected;
            a mistake of the command line names its flag instead.
    """
    text = read_text(path)
    data = _parsed(path, text)
    data, flags, problems = _overridden(data, overrides or Overrides())
    mistakes = Mistakes(str(path), text, flags)
    for key, problem in problems:
        mistakes.add(key, problem)
    for key, problem in _not_plain(data):
        mistakes.add(key, problem)
    mistakes.raise_if_any()  # what follows may rely on sane nesting and numbers

    file, entries = _shaped(data, mistakes)
    absolute = Path(os.path.abspath(path))
    _check_names(file, known, mistakes, absolute.parent)
    if file.time_per_dataset is not None and file.trials is not None:
        mistakes.add(("trials",), "time_per_dataset is given too; a dataset's budget is one of the two")
    if file.folds * file.repeats > MOST_STEPS:
        mistakes.add(("repeats",), f"{file.folds} folds, drawn {file.repeats} times, are {file.folds * file.repeats} "
                                   f"fits of each trial; expected at most {MOST_STEPS}")
    if not is_utf8(str(absolute)):
        raise StudyFileError([f"{shown_path(absolute)}: a folder's name is not UTF-8; rename it"])
    datasets = resolve_datasets(entries, file, absolute.parent, mistakes)
    mistakes.raise_if_any()
    return _resolved(file, datasets, absolute)


def read_text(path: Path | str) -> str:
    """The content of a study file; raises `StudyFileError` where it is not one."""
    place = Path(path)
    if place.suffix != ".toml" or not is_name(place.stem):
        raise StudyFileError([f"{shown(str(path))}: the run is called after its study file, whose name is "
                              f"{NAME_RULE} characters, and ends in .toml; rename it"])
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise StudyFileError([f"{path}: not a file; expected a study file (.toml)"])
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise StudyFileError([f"{path}: there is no such file; `optimizer init FOLDER` writes one"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        looped = isinstance(error, OSError) and error.errno == errno.ELOOP
        following = "replace the link by the file" if looped else "look whether you may read it"
        raise StudyFileError([f"{path}: cannot be read: {reason}; {following}"]) from None
    if len(content) > MAX_BYTES:
        raise StudyFileError([f"{path}: larger than {MAX_BYTES // 1024} KiB; this is no study file"])
    return _as_text(path, content)


def _as_text(path: Path | str, content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise StudyFileError([f"{path}:1: the file is UTF-16; save it as UTF-8"])
    for found, what in ((_NUL, "a NUL byte; this is no text, or not UTF-8: save the file in that encoding"),
                        (_LONE_RETURN, "a carriage return by itself; save the file with Unix or Windows line ends")):
        if mark := found.search(content):
            line = content.count(b"\n", 0, mark.start()) + 1
            raise StudyFileError([f"{path}:{line}: found {what}"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StudyFileError([f"{path}:{line}: not UTF-8; save the file in that encoding"]) from None


def _parsed(path: Path | str, text: str) -> dict[str, Any]:
    if endless := _ENDLESS_KEY.search(text):
        line = text.count("\n", 0, endless.start()) + 1
        raise StudyFileError([f"{path}:{line}: lists or tables nested too deep; write a key of fewer parts"])
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise StudyFileError([f"{path}: lists or tables nested too deep; write them as [tables]"]) from None
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        lines = text.splitlines() or [""]
        if place.startswith("line "):
            number = min(int(place[5:].partition(",")[0]), len(lines))
            raise StudyFileError([f"{path}:{number}: {explained(message, lines[number - 1])}"]) from None
        number, told = unclosed(message, lines)
        raise StudyFileError([f"{path}:{number}: {told}"]) from None
    except ValueError:  # Python reads no integer of more than some thousand digits
        raise StudyFileError([f"{path}: found a number of thousands of digits; expected at most 64 bits"]) from None


def _overridden(
    data: dict[str, Any], overrides: Overrides,
) -> tuple[dict[str, Any], dict[str, str], list[tuple[Key, str]]]:
    """The data with the command line's values in it, which flag has set which key, and mistakes."""
    data, flags = dict(data), {}
    problems: list[tuple[Key, str]] = []
    given = {
        "time_per_dataset": ("--time", overrides.time),
        "trials": ("--trials", overrides.trials),
        "deadline": ("--deadline", overrides.deadline),
        "families": ("--families", None if overrides.families is None else list(overrides.families)),
        "seed": ("--seed", overrides.seed),
        "sampler": ("--sampler", overrides.sampler),
        "pruner": ("--pruner", overrides.pruner),
    }
    if overrides.time is not None and overrides.time.startswith("+"):
        given["time_per_dataset"] = ("--time", _extended(data, overrides, problems))
    for key, (flag, value) in given.items():
        if value is not None:
            data[key], flags[key] = value, flag
    # The command line's budget replaces the file's, of whichever kind that is.
    if "time_per_dataset" in flags and "trials" not in flags:
        data.pop("trials", None)
    if "trials" in flags and "time_per_dataset" not in flags:
        data.pop("time_per_dataset", None)
    return data, flags, problems


def _extended(data: Mapping[str, Any], overrides: Overrides, problems: list[tuple[Key, str]]) -> str:
    """The time per dataset so far with ``+1h`` added to it."""
    more = overrides.time or ""
    if "trials" in data:
        problems.append((("time_per_dataset",), f"{more} adds to time_per_dataset, and the study file counts trials; "
                         "give --trials, or --time without the +"))
        return more[1:]
    try:
        file_s = values.duration(data.get("time_per_dataset", _TIME_PER_DATASET))
        return values.written_duration(max(file_s, overrides.time_before) + values.duration(more[1:]))
    except ValueError:
        return more  # the mistake is found again where the value is checked


def _not_plain(data: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """What no key may hold: endless nesting, numbers that are none or that TOML does not have."""
    waiting: list[tuple[Key, Any]] = [((), data)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict | list):
            if len(key) >= _MAX_DEPTH:
                yield key, f"nested deeper than {_MAX_DEPTH} levels; no key lies so deep"
                continue
            members = value.items() if isinstance(value, dict) else enumerate(value)
            waiting.extend(((*key, name), member) for name, member in members)
        elif isinstance(value, float) and not math.isfinite(value):
            yield key, f"found {value}, expected a finite number"
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield key, "found a number of more than 64 bits; write a smaller one, or text in quotes"


def _shaped(data: dict[str, Any], mistakes: Mistakes) -> tuple[StudyFile, list[Entry]]:
    """The file in its shape, and its datasets with their positions.

    Where there are mistakes, what is sound is returned for further checks, so that all are shown at once.
    """
    try:
        file = StudyFile.model_validate(data)
        return file, list(enumerate(file.datasets))
    except ValidationError as error:
        mistakes.add_all(error)
    raw = data.get("datasets")
    entries: list[Entry] = []
    for position, one in enumerate(raw if isinstance(raw, list) else []):
        sound = _sound_keys(DatasetEntry, one) if isinstance(one, dict) else {}
        # Without its own name it would be checked under another one.
        if "train" in sound and ("name" in sound) == ("name" in one):
            entries.append((position, DatasetEntry.model_validate(sound)))
    # For what is checked further, only the names of the families matter, and datasets are checked by themselves.
    families = data.get("family")
    names: dict[str, object] = {name: {} for name in families} if isinstance(families, dict) else {}
    rest = {**data, "datasets": [{"train": "none"}], "family": names}
    return StudyFile.model_validate(_sound_keys(StudyFile, rest)), entries


def _sound_keys(model: type[BaseModel], raw: dict[str, Any]) -> dict[str, Any]:
    """The keys of a table that have no mistake in them."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        broken = {detail["loc"][0] for detail in error.errors()}
        return {key: value for key, value in raw.items() if key not in broken}
    return raw


def _check_names(file: StudyFile, known: KnownNames, mistakes: Mistakes, folder: Path) -> None:
    """Families, sampler and pruner are known here, and no family is named twice."""
    seen = set()
    own = {name: section.file for name, section in file.family.items() if section.file is not None}
    for name, source in own.items():
        if name in known.families:
            mistakes.add(("family", name, "file"), f"{name!r} is a family that ships; call your own otherwise")
        elif not is_family_name(name):
            mistakes.add(("family", name), f"found {shown(name)}; {FAMILY_RULE}")
        elif not os.path.isfile(path := absolute_path(source, folder)):
            mistakes.add(("family", name, "file"), f"there is no file {shown(path)}")
    families = (*known.families, *own)
    for position, name in enumerate(file.families):
        if name not in families:
            mistakes.add(("families", position), _unknown("family", name, families))
        elif name in seen:
            mistakes.add(("families", position), f"{name!r} is listed twice; once will do")
        seen.add(name)
    for name in file.family:
        if name not in families:
            mistakes.add(("family", name), _unknown("family", name, families))
    given = {name: file.family[name].share for name in file.families if name in file.family}
    named = {name: share for name, share in given.items() if share is not None}
    total, others = sum(named.values()), len(set(file.families)) - len(named)
    if named and (total > 1 + 1e-9 or (others and total > 1 - 1e-9)):
        left = f" and leave nothing for the {others} without one" if others and total < 1 + 1e-9 else ""
        mistakes.add(("family", max(named, key=lambda name: named[name]), "share"),
                     f"the shares of {', '.join(named)} add up to {total:g}{left}; expected less than 1")
    if file.sampler not in known.samplers:
        mistakes.add(("sampler",), _unknown("sampler", file.sampler, known.samplers))
    if file.pruner not in known.pruners:
        mistakes.add(("pruner",), _unknown("pruner", file.pruner, known.pruners))


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> str:
    return f"no {kind} is called {shown(name)}; {did_you_mean(name, known)}"


def _resolved(file: StudyFile, datasets: tuple[Problem, ...], path: Path) -> Study:
    time_s = file.time_per_dataset
    if time_s is None and file.trials is None:
        time_s = values.duration(_TIME_PER_DATASET)
    choices = tuple(
        FamilyChoice(name=name, device=file.family[name].device, space=file.family[name].space,
                     share=file.family[name].share, max_rows=file.family[name].max_rows,
                     file=None if (own := file.family[name].file) is None else absolute_path(own, path.parent))
        if name in file.family else FamilyChoice(name=name)
        for name in file.families
    )
    resources = ResourceLimits(
        gpus=file.resources.gpus, cores=file.resources.cores, memory_limit=file.resources.memory_limit,
        threads_per_slot=file.resources.threads_per_slot, disk_limit=file.resources.disk_limit,
        priority=file.resources.priority, step_back=file.resources.step_back, cpu_limit=file.resources.cpu_limit,
        quiet_hours=file.resources.quiet_hours or (), quiet_cpu_limit=file.resources.quiet_cpu_limit,
        fold_time_limit_s=file.resources.fold_time_limit, trial_time_limit_s=file.resources.trial_time_limit,
    )
    return Study(
        name=path.stem, path=path, datasets=datasets, time_per_dataset_s=time_s, trials=file.trials,
        deadline=file.deadline, folds=file.folds, repeats=file.repeats, seed=file.seed, families=choices,
        sampler=file.sampler, pruner=file.pruner, resources=resources,
        stop=StopRules(**file.stop.model_dump()), shares=file.shares,
    )
