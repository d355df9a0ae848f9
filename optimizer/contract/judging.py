"""A person's file held to the claims from outside: by children that may hang or die, of which each costs one claim."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path

import msgspec

from optimizer.child import Child
from optimizer.contract.check import LOADS, LOADS_TEXT, CheckRequest
from optimizer.contract.claim import Verdict
from optimizer.contract.claims import CLAIMS

_TEXTS = {LOADS: LOADS_TEXT, **{claim.name: claim.text for claim in CLAIMS}}


def judged(file: Path, name: str, folder: Path, *, limit_s: float,
           begin: Callable[[str, str], None] = lambda claim, task: None) -> list[Verdict]:
    """A verdict on every claim and task that the file is for; the file is run in children only.

    Args:
        name: what the study file calls the family.
        folder: for what the children print.
        limit_s: seconds that one claim may take.
        begin: told of each claim and task when it is begun.
    """
    verdicts: list[Verdict] = []
    while True:
        request = CheckRequest(file=str(file), name=name, judged=tuple((v.claim, v.task) for v in verdicts))
        child = Child("optimizer.contract.check", given=msgspec.json.encode(request), log=folder / "check.log")
        try:
            found, lost = _heard(child, limit_s, begin)
        finally:
            child.kill()
        verdicts += found
        if lost is None:
            return verdicts
        verdicts.append(lost)
        if lost.claim == LOADS:
            return verdicts


def _heard(child: Child, limit_s: float, begin: Callable[[str, str], None]) -> tuple[list[Verdict], Verdict | None]:
    """Verdicts of one child, and that on the claim with which it was lost; ``None`` where it came to its end."""
    verdicts: list[Verdict] = []
    under_way, until, finished = (LOADS, ""), time.monotonic() + limit_s, False
    while not child.ended and not finished:
        left = until - time.monotonic()
        if left <= 0:
            return verdicts, _lost(under_way, f"it has not ended after {limit_s:.0f} s", "an end within that time; "
                                   "--limit gives it more", "fit fewer iterations, or look for what it waits for")
        connection.wait([child.fileno()], left)
        for line in child.lines():
            said = msgspec.json.decode(line)
            until = time.monotonic() + limit_s
            if "begun" in said:
                under_way = tuple(said["begun"])
                begin(*under_way)
            elif "done" in said:
                finished = True
            else:
                verdicts.append(msgspec.convert(said, Verdict))
    if finished:
        return verdicts, None
    code = child.exit_code()
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return verdicts, _lost(under_way, f"its process died ({how})", "no end of the process",
                           "a library crashed: try the same fit by itself, with another version or one thread")


def _lost(under_way: tuple[str, str], found: str, expected: str, advice: str) -> Verdict:
    claim, task = under_way
    return Verdict(claim=claim, text=_TEXTS[claim], task=task, passed=False, found=found, expected=expected,
                   advice=advice)
