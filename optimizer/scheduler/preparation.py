"""Datasets on their way to the first trial: each is read, encoded and folded, and its search spaces described, by
children, so that a table of 2 GB never blocks the scheduler. One child reads small tables one after the other, and
ends when all are read. A child that is killed, or meets a fault of the machine, is no reason to leave a dataset out:
it is tried again."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from optimizer.child import Child
from optimizer.config.resolved import FamilyChoice
from optimizer.datasets.problem import Prepared, Problem
from optimizer.errors import UserError
from optimizer.models.base import SpaceDescription, TableSummary
from optimizer.search_space import SearchSpace, widened

#: How often a dataset is tried again, and seconds before that.
RETRIES, RETRY_S = 2, 5.0
#: What a dataset is prepared by: the reader of its table, and who asks the families for their search spaces.
READERS = ("reader", "describer")
_CRASHED = "its reader ended without a word (exit code {code}); see logs/preparation.log"


@dataclass(frozen=True, kw_only=True)
class DatasetReady:
    """A dataset that trials can run on."""

    prepared: Prepared
    #: By family.
    spaces: Mapping[str, SpaceDescription]
    #: Families that could not describe their space here, and why.
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatasetRefused:
    """A dataset that cannot be used; the others go on."""

    dataset: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReadingOn:
    """A dataset that takes a while, and what is being done with it."""

    dataset: str
    doing: str


Outcome = DatasetReady | DatasetRefused | ReadingOn


class Preparation:
    """Prepares the datasets of a study, one after the other."""

    def __init__(self, problems: Sequence[Problem], families: Sequence[FamilyChoice], folder: Path,
                 cores: Sequence[int] | None = None) -> None:
        """``cores``: those that the children may use; ``None`` for all."""
        self._cores = cores
        self._waiting = deque(problems)
        self._families = families
        self._folder = folder
        self._log = folder / "logs" / "preparation.log"
        #: Reads `_problem`, or waits for the next one.
        self._reader: Child | None = None
        self._problem: Problem | None = None
        self._answer: dict[str, Any] = {}
        self._describer: Child | None = None
        self._described: Prepared | None = None
        self._description = b""
        self._faults: Counter[str] = Counter()
        #: Datasets that were begun before and wait for another try, and the monotonic second of that.
        self._put_off: dict[str, float] = {}
        #: What came of `begin`, `refuse`, `fail` and `put_off`.
        self._come: list[Outcome] = []
        #: Lines that children have said so far.
        self.heard = 0

    @property
    def reading(self) -> frozenset[str]:
        """The dataset that is being prepared now, and those that wait to be tried again."""
        again = [p.name for p in self._waiting if p.name in self._put_off]
        return frozenset(again if self._problem is None else [self._problem.name, *again])

    @property
    def left(self) -> int:
        """Datasets that are not decided yet."""
        return len(self._waiting) + (self._problem is not None)

    def waitables(self) -> list[Child]:
        """What to wait for."""
        return [child for child in (self._reader, self._describer) if child is not None]

    def pids(self) -> dict[str, int]:
        """The processes at work now, by what they are among `READERS`."""
        reader = self._reader if self._reads else None
        return {name: child.pid for name, child in zip(READERS, (reader, self._describer), strict=True)
                if child is not None}

    @property
    def _reads(self) -> bool:
        """Whether a table is being read: else the reader, if there is one, waits for the next."""
        return self._problem is not None and self._describer is None

    def begin(self) -> None:
        """Start reading the first dataset; `advance` tells what comes of it."""
        self._come = self.advance()

    def refuse(self, reason: str) -> None:
        """End what is under way, and leave its dataset out; `advance` tells it, as in the next two."""
        if (problem := self._ended()) is not None:
            self._come.append(self._refused(problem, reason))

    def fail(self, reason: str) -> None:
        """End what is under way for a fault that is not the dataset's own: it is tried again, not without end."""
        if (problem := self._ended()) is not None:
            self._come += self._failed(problem, reason)

    def put_off(self, reason: str, seconds: float) -> None:
        """End what is under way for no fault at all: it is begun again after so many seconds."""
        if (problem := self._ended()) is not None:
            self._come += self._again(problem, reason, seconds)

    def _ended(self) -> Problem | None:
        for child in self.waitables():
            child.kill()
        self._reader = self._describer = None
        return self._problem

    def advance(self, *, start: bool = True) -> list[Outcome]:
        """Start what can start, read what has come; never waits.

        ``start``: false while no other dataset shall be begun.
        """
        outcomes, self._come = self._come, []
        if self._describer is not None:
            outcomes += self._advance_describer(self._describer)
        if self._reader is not None:
            outcomes += self._advance_reader(self._reader)
        if start and self._problem is None and (due := self._due(time.monotonic())) is not None:
            self._waiting.remove(due)
            self._problem = due
            self._answer = {}
            outcomes += self._read(due)
        if not self.left and self._reader is not None:
            self._reader.kill()  # it waits, and nothing comes any more
            self._reader = None
        return outcomes

    def _read(self, problem: Problem) -> list[Outcome]:
        """Have a dataset read, by the reader that waits if there is one."""
        given = msgspec.json.encode(problem) + b"\n"
        if self._reader is not None:
            self._reader.tell(given)
            return []
        try:
            self._reader = Child("optimizer.datasets.prepare", [str(self._folder / "data")], given=given, more=True,
                                 log=self._log, cores=self._cores)
        except OSError as error:
            return self._failed(problem, f"its reader could not be started: {error}")
        return []

    def _due(self, now: float) -> Problem | None:
        return next((p for p in self._waiting if now >= self._put_off.get(p.name, 0.0)), None)

    def close(self) -> None:
        """End what is under way."""
        self._ended()

    def _advance_reader(self, reader: Child) -> list[Outcome]:
        if not self._reads:
            if reader.lines() or reader.ended:  # it shall wait, and has ended
                reader.kill()
                self._reader = None
            return []
        assert self._problem is not None  # noqa: S101 - for the type checker
        problem, name = self._problem, self._problem.name
        outcomes: list[Outcome] = []
        for line in reader.lines():
            self.heard += 1
            try:
                message = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue  # the half line of a reader that was killed: without an answer, its exit code is the reason
            if "progress" in message:
                outcomes.append(ReadingOn(dataset=name, doing=message["progress"]))
            else:
                self._answer = message
        if reader.ended:
            code = reader.exit_code()
            self._reader = None
        elif self._answer.get("next"):
            code = 0
        else:
            return outcomes
        if self._answer.get("kind") == "user":
            return [*outcomes, self._refused(problem, self._answer["error"])]
        if "prepared" not in self._answer:
            return outcomes + self._failed(problem, self._answer.get("error") or _CRASHED.format(code=code))
        self._described = msgspec.convert(self._answer["prepared"], Prepared)
        self._description = b""
        try:
            self._describer = Child("optimizer.models.describe", log=self._log, cores=self._cores, given=_asked_of(
                name, self._described.summary, self._families))
        except OSError as error:
            outcomes += self._failed(problem, f"its reader could not be started: {error}")
        return outcomes

    def _advance_describer(self, describer: Child) -> list[Outcome]:
        assert self._problem is not None  # noqa: S101 - for the type checker
        assert self._described is not None  # noqa: S101 - as above
        self._description += b"".join(describer.lines())
        if not describer.ended:
            return []
        code = describer.exit_code()
        problem, prepared = self._problem, self._described
        self._describer = None
        try:
            answers = msgspec.json.decode(self._description)
            spaces, refused = narrowed_spaces(answers, self._families, prepared.rows)
            prepared = msgspec.structs.replace(
                prepared, notices=(*prepared.notices, *_widened(answers, self._families), *_fitted_on_a_part(spaces)))
        except (msgspec.DecodeError, msgspec.ValidationError):
            return self._failed(problem, _CRASHED.format(code=code))
        except UserError as error:
            return [self._refused(problem, str(error))]
        self._problem = None
        return [DatasetReady(prepared=prepared, spaces=spaces, refused=refused)]

    def _failed(self, problem: Problem, reason: str) -> list[Outcome]:
        """Try it again in a while, or give it up."""
        self._faults[problem.name] += 1
        if self._faults[problem.name] > RETRIES:
            return [self._refused(problem, reason)]
        return self._again(problem, f"is read again: {reason}", RETRY_S)

    def _again(self, problem: Problem, doing: str, after_s: float) -> list[Outcome]:
        self._problem = None
        self._waiting.appendleft(problem)
        self._put_off[problem.name] = time.monotonic() + after_s
        return [ReadingOn(dataset=problem.name, doing=doing)]

    def _refused(self, problem: Problem, reason: str) -> DatasetRefused:
        self._problem = None
        return DatasetRefused(dataset=problem.name, reason=reason)


def _asked_of(dataset: str, summary: TableSummary, families: Sequence[FamilyChoice]) -> bytes:
    """Requests for their search spaces; a family that is fitted on a part of the rows is asked as if they were all."""
    return msgspec.json.encode([
        {"dataset": dataset, "family": f.name,
         "summary": msgspec.structs.replace(summary, rows=min(summary.rows, f.max_rows or summary.rows))}
        for f in families])


def narrowed_spaces(
    answers: Sequence[Mapping[str, Any]], families: Sequence[FamilyChoice], rows: int,
) -> tuple[dict[str, SpaceDescription], dict[str, str]]:
    """The described spaces with the person's narrowing applied, and the families that could not describe theirs.

    A narrowing of a parameter that a family has on other tables but not on this one is left aside; whether a name is
    known at all was checked before the start. A space says on how many rows it is fitted where those are not all of
    the table's ``rows``.
    """
    overrides = {f.name: f.space for f in families}
    limits = {f.name: f.max_rows for f in families if f.max_rows is not None and f.max_rows < rows}
    spaces, refused = {}, {}
    for answer in answers:
        family = answer["family"]
        if "error" in answer:
            refused[family] = str(answer["error"])
            continue
        described = msgspec.convert({"space": answer["space"], "starts": answer["starts"]}, SpaceDescription)
        known = {p.name for p in described.space.parameters} | set(described.space.fixed)
        space = described.space.narrowed(family, {k: v for k, v in overrides[family].items() if k in known})
        if family in limits:
            space = msgspec.structs.replace(space, max_rows=limits[family])
        starts = tuple(start for s in described.starts if (start := space.restricted(s)) and space.contains(start))
        spaces[family] = SpaceDescription(space=space, starts=starts)
    return spaces, refused


def _widened(answers: Sequence[Mapping[str, Any]], families: Sequence[FamilyChoice]) -> list[str]:
    overrides = {f.name: f.space for f in families}
    return [notice for answer in answers if "error" not in answer
            for notice in widened(answer["family"], msgspec.convert(answer["space"], SearchSpace),
                                  overrides[answer["family"]])]


def _fitted_on_a_part(spaces: Mapping[str, SpaceDescription]) -> list[str]:
    return [f"{family} is fitted on at most {described.space.max_rows:,} of each fold's training rows, as max_rows in "
            f"[family.{family}] says; its scores are of all validation rows"
            for family, described in spaces.items() if described.space.max_rows]


def check_narrowing(families: Sequence[FamilyChoice], folder: Path) -> list[tuple[tuple[str, ...], str]]:
    """Mistakes in the narrowed search spaces by their key, found before any worker starts, on tables made up for it."""
    narrowed = [f for f in families if f.space]
    if not narrowed:
        return []
    # Metrics and balance with which a family offers all that it has, class weights too.
    summaries = [_example("binary", "f1", 2), _example("multiclass", "f1_macro", 3),
                 _example("regression", "mae", 0)]
    # Of a spectrum they offer what is for spectra alone.
    summaries += [msgspec.structs.replace(s, numeric=500, categorical=0, max_cardinality=0, missing=0.0, spectral=True)
                  for s in summaries]
    child = Child("optimizer.models.describe", log=folder / "logs" / "preparation.log", given=msgspec.json.encode(
        [{"dataset": s.task, "family": f.name, "summary": s} for f in narrowed for s in summaries]))
    output = child.output()
    answers = msgspec.json.decode(output) if child.exit_code() == 0 else []
    mistakes: list[tuple[tuple[str, ...], str]] = []
    for family in narrowed:
        #: Spaces that have the name; on some tables its choices are others.
        known: dict[str, list[SearchSpace]] = {}
        for answer in answers:
            if answer["family"] == family.name and "error" not in answer:
                space = msgspec.convert(answer["space"], SearchSpace)
                for name in [p.name for p in space.parameters] + list(space.fixed):
                    known.setdefault(name, []).append(space)
        first = next(iter(known.values()), [])[:1]
        for name, value in family.space.items():
            said = [_mistake(space, family.name, {name: value}) for space in known.get(name, first)]
            if said and all(said):
                mistakes.append((("family", family.name, "space", name), said[0]))
    return mistakes


def _mistake(space: SearchSpace, family: str, override: Mapping[str, Any]) -> str:
    """What is wrong with narrowing a space so; empty where nothing is."""
    try:
        space.narrowed(family, override)
    except UserError as error:
        return str(error)
    return ""


def _example(task: str, metric: str, classes: int) -> TableSummary:
    return TableSummary(task=task, metric=metric, rows=10_000, numeric=10, categorical=5, max_cardinality=50,
                        missing=0.05, classes=classes, balance=0.2, weighted=False)
