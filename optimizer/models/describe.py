"""Families described in a throw-away process, so that the scheduler loads no model library and no person's own code.

``python -m optimizer.models.describe`` reads a JSON list of requests from standard input and writes one JSON list of
answers, in the same order, to standard output.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from optimizer.models import load_family
from optimizer.models.base import StepsAside, TableSummary
from optimizer.search_space import SearchSpace


class DescribeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which family is to be described for which table."""

    dataset: str
    family: str
    summary: TableSummary


class DescribeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The family's search space on that table, or why there is none."""

    dataset: str
    family: str
    space: SearchSpace | None = None
    starts: tuple[dict[str, Any], ...] = ()
    #: One line; not there where there is a space.
    error: str | msgspec.UnsetType = msgspec.UNSET


def describe(requests: Sequence[DescribeRequest]) -> list[DescribeAnswer]:
    """One answer per request, in order; a family that raises answers with its error and hurts no other."""
    return [_described(request) for request in requests]


def _described(request: DescribeRequest) -> DescribeAnswer:
    try:
        family = load_family(request.family)
        if request.summary.task not in family.tasks:
            raise StepsAside(f"{request.family} is for {' and '.join(sorted(family.tasks))}, not for "
                             f"{request.summary.task}")
        description = family.describe(request.summary)
        for start in description.starts:
            if not description.space.contains(start):
                raise ValueError(f"the start {start} is not a point of its own search space")
        # A space that a person's family has made must survive the way to the scheduler.
        space = msgspec.json.decode(msgspec.json.encode(description.space), type=SearchSpace)
    except StepsAside as aside:
        return DescribeAnswer(dataset=request.dataset, family=request.family, error=str(aside))
    except Exception as error:  # whatever a person's own family raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return DescribeAnswer(dataset=request.dataset, family=request.family, error=reason)
    return DescribeAnswer(
        dataset=request.dataset, family=request.family, space=space, starts=description.starts,
    )


def main() -> None:
    """Answer the requests on standard input; what families print goes to standard error."""
    requests = msgspec.json.decode(sys.stdin.buffer.read(), type=list[DescribeRequest])
    with contextlib.redirect_stdout(sys.stderr):
        answers = describe(requests)
    sys.stdout.buffer.write(msgspec.json.encode(answers) + b"\n")


if __name__ == "__main__":
    main()
