"""A person's file judged claim by claim, in a process that may hang, die or print: only this one runs the file.

``python -m optimizer.contract.check`` reads a `CheckRequest` from standard input and writes JSON lines to standard
output: ``{"begun": [claim, task]}`` before each claim, then its verdict, and ``{"done": true}`` at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from optimizer.contract.claim import Verdict, in_a_line, judge, place_of
from optimizer.contract.claims import CLAIMS
from optimizer.models import declare, load_family
from optimizer.models.base import Family

#: The claim that the file can be run at all, which is judged first.
LOADS = "loads"
LOADS_TEXT = "is a file that defines a family"


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which file is to be judged, and what of it was judged before a process of this kind was lost."""

    #: Absolute.
    file: str
    #: As the study file calls it.
    name: str
    #: Claims and tasks.
    judged: tuple[tuple[str, str], ...] = ()


def checked(request: CheckRequest) -> Iterator[dict[str, Any]]:
    """What is to be said, line by line."""
    if (LOADS, "") not in request.judged:
        yield {"begun": (LOADS, "")}
    family, verdict = _loaded(request)
    if (LOADS, "") not in request.judged:
        yield msgspec.to_builtins(verdict)
    if family is not None:
        for claim in CLAIMS:
            for task in (task for task in ("binary", "multiclass", "regression") if task in family.tasks):
                if (claim.name, task) not in request.judged:
                    yield {"begun": (claim.name, task)}
                    yield msgspec.to_builtins(judge(claim, family, task, request.file))
    yield {"done": True}


def _loaded(request: CheckRequest) -> tuple[Family | None, Verdict]:
    declare({request.name: request.file})
    advice = "docs/families.md#your-own shows a file that works"
    try:
        family = load_family(request.name)
        if not family.tasks:
            raise ValueError("its FAMILY has no tasks")
    except Exception as error:  # whatever a person's file raises
        return None, Verdict(claim=LOADS, text=LOADS_TEXT, task="", passed=False, advice=advice,
                             found=in_a_line(error), expected="a Python file that defines FAMILY",
                             place=place_of(error, request.file))
    return family, Verdict(claim=LOADS, text=LOADS_TEXT, task="", passed=True)


def main() -> None:
    """Judge what standard input asks for; whatever the file prints goes to standard error."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=CheckRequest)
    with os.fdopen(os.dup(1), "wb", buffering=0) as out:
        os.dup2(2, 1)
        for line in checked(request):
            out.write(msgspec.json.encode(line) + b"\n")


if __name__ == "__main__":
    main()
