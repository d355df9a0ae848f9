"""Model families: those of this folder, found by their file names, and a person's own, named in the study file."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import sys
from collections.abc import Mapping
from functools import cache
from typing import cast

from optimizer.errors import UserError, did_you_mean
from optimizer.models.base import Family

#: Files of this folder that are not families.
_NOT_FAMILIES = frozenset({
    "base", "boosting", "describe", "estimators", "forests", "grownet", "opencl", "preprocessing", "weights",
})
#: Names and files of a person's own families as JSON, in the environment, so that every process started from here
#: knows them too.
OWN = "OPTIMIZER_FAMILIES"


@cache
def shipped_names() -> tuple[str, ...]:
    """Names of the families in this folder, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_FAMILIES))


def family_names() -> tuple[str, ...]:
    """The same with a person's own that were declared."""
    return tuple(sorted({*shipped_names(), *_own()}))


def declare(files: Mapping[str, str]) -> None:
    """Make a person's own families known here and in every process started from here; their files are not run yet."""
    if files:
        os.environ[OWN] = json.dumps({**_own(), **files})


def load_family(name: str) -> Family:
    """The family of this name; raises `UserError` for an unknown one, and for a file that defines none."""
    if name in (own := _own()):
        return _from_file(name, own[name])
    if name not in family_names():
        raise UserError(f"no model family is called {name!r}; {did_you_mean(name, family_names())}")
    return cast(Family, importlib.import_module(f"{__name__}.{name}").FAMILY)


def load_library(family: Family) -> None:
    """Import a family's library, and let it do what it does once in a process, where the family says what that is."""
    importlib.import_module(family.module)
    first_use = getattr(family, "first_use", None)
    if first_use is not None:
        first_use()


def _own() -> dict[str, str]:
    return dict(json.loads(os.environ.get(OWN, "{}")))


def _from_file(name: str, file: str) -> Family:
    """The ``FAMILY`` of a person's file, which is run once per process and leaves no bytecode beside it."""
    alias = f"optimizer_own_{name}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, file)
        if spec is None or spec.loader is None:
            raise UserError(f"{file}: not a Python file; its name ends in .py")
        module = importlib.util.module_from_spec(spec)
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        # Known before it runs, as skops finds the person's types by the module's name.
        sys.modules[alias] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[alias]
            raise
        finally:
            sys.dont_write_bytecode = before
    family = getattr(sys.modules[alias], "FAMILY", None)
    if family is None:
        raise UserError(f"{file}: defines no FAMILY; docs/families.md shows one")
    missing = [member for member in (*Family.__annotations__, "describe", "fit", "load") if not hasattr(family, member)]
    if missing:
        raise UserError(f"{file}: its FAMILY lacks {', '.join(missing)}; docs/families.md shows one")
    if family.name != name:
        raise UserError(f"{file}: its FAMILY is called {family.name!r} and the study file calls it {name!r}; "
                        "make them the same")
    return cast(Family, family)
