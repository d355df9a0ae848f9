"""Claims about a family's search space."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from optimizer.contract.claim import Broken, Claim, Subject
from optimizer.contract.tables import METRIC, context, random_point, shortened, start, summary
from optimizer.models.base import TASKS, StepsAside
from optimizer.search_space import SearchSpace

#: Tables that are small, large, narrow, wide, weighted and spectra.
_SHAPES: tuple[dict[str, Any], ...] = (
    {}, {"rows": 20, "numeric": 1, "categorical": 0, "max_cardinality": 0}, {"rows": 2_000_000, "numeric": 400},
    {"rows": 60, "numeric": 0, "categorical": 1, "max_cardinality": 2}, {"weighted": True},
    {"rows": 190, "numeric": 650, "categorical": 0, "max_cardinality": 0, "missing": 0.0, "spectral": True},
)
_METRICS = {"binary": ("log_loss", "f1"), "multiclass": ("log_loss", "qwk"), "regression": ("rmse", "mae")}


def is_declared(subject: Subject) -> None:
    """See `CLAIMS`."""
    from importlib.metadata import PackageNotFoundError, version

    family = subject.family
    expected = {
        "tasks": ("a part of binary, multiclass and regression", set(family.tasks) <= TASKS and bool(family.tasks)),
        "devices": ("a tuple with 'cpu' in it", "cpu" in family.devices),
        "suffix": ("a file's ending with its dot", family.suffix[:1] == "." and len(family.suffix) > 1),
        "weighs": ("True or False", isinstance(family.weighs, bool)),
        "listens": ("True or False", isinstance(family.listens, bool)),
    }
    for name, (what, holds) in expected.items():
        if not holds:
            raise Broken(f"{name} = {getattr(family, name)!r}", what)
    try:
        version(family.library)
    except PackageNotFoundError:
        raise Broken(f"library = {family.library!r}, which is not installed under that name",
                     "the name that pip knows the library by") from None


def survives_the_way(subject: Subject) -> None:
    """See `CLAIMS`."""
    for shape in _SHAPES:
        for metric in _METRICS[subject.task]:
            table = summary(subject.task, metric, **shape)
            try:
                description = subject.family.describe(table)
            except StepsAside:
                if shape:
                    continue
                raise
            space = description.space
            where = (f"for a table of {table.rows:,} rows, {table.numeric} numeric columns and {table.categorical} "
                     "others")
            back = msgspec.json.decode(msgspec.json.encode(space), type=SearchSpace)
            if back != space or back.hash() != space.hash():
                raise Broken(f"{where} {_difference(space, back)} comes back from JSON as another value",
                             "numbers, texts, true and false: a space travels as JSON")
            both = {p.name for p in space.parameters} & set(space.fixed)
            if both:
                raise Broken(f"{where} {', '.join(sorted(both))} both fixed and searched", "one of the two")
            for point in description.starts:
                if not space.contains(point):
                    raise Broken(f"{where} the start {dict(point)} is no point of the space", "a value for each "
                                 "parameter that exists there, inside its domain, and no other")


def _difference(space: SearchSpace, back: SearchSpace) -> str:
    for before, after in zip(space.parameters, back.parameters, strict=True):
        if before != after:
            return before.name
    return "a fixed value"


def survives_random_points(subject: Subject) -> None:
    """See `CLAIMS`."""
    import numpy as np

    family, data = subject.family, subject.fold
    space, rng = family.describe(subject.table).space, random.Random(11)  # noqa: S311 - the same each time, no secrets
    for _ in range(8):
        point = random_point(space, rng)
        try:
            predicted = family.fit(data, shortened(space, point, 10), context(METRIC[subject.task])).predict(
                data.x_valid)
        except Exception as error:
            error.add_note(f"at the point {point}")
            raise Broken(f"{type(error).__name__}: {' '.join(str(error).split())}; at {point}",
                         "every point of the space can be fitted") from error
        if not np.isfinite(predicted).all():
            raise Broken(f"predictions that are infinite or no numbers; at {point}", "numbers, at every point")


def refuses_unknown_parameters(subject: Subject) -> None:
    """See `CLAIMS`."""
    params = {**start(subject.family, subject.table), "bogus": 1}
    try:
        subject.family.fit(subject.fold, params, context(METRIC[subject.task]))
    except Exception as error:
        if "bogus" in str(error):
            return
        raise Broken(f"{type(error).__name__}: {' '.join(str(error).split())}", "an error that names it") from error
    raise Broken("a fit with the parameter 'bogus' went through", "an error that names it")


CLAIMS = (
    Claim(name="declared", text="says what it is for and what it runs on", check=is_declared,
          advice="set this attribute of your class"),
    Claim(name="space", text="describes a search space that survives the way to the scheduler, with starts inside it",
          check=survives_the_way, advice="mend what describe (or parameters, starts and fixed) returns"),
    Claim(name="random-points", text="can be fitted at any point of its space", check=survives_random_points,
          advice="narrow the space, add a condition (When), or bring the value into range inside the fit"),
    Claim(name="unknown-parameter", text="refuses a parameter that it does not know", check=refuses_unknown_parameters,
          advice="hand all of own(params) on to the library: a slip in a study file must not be lost in silence"),
)
