"""Proves what is promised of a run from what it has left: ``python tests/chaos/checker.py RUN_FOLDER``.

It shares no code with the product. Every claim is printed with what was found; the exit code is 0 where all hold.
``--live`` looks at a run that goes on: only what is true at every moment is asked then. ``--resume STUDY`` at last
runs the study again with two more trials than were decided.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __package__ in (None, ""):  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.chaos.evidence import (
    Database,
    Journal,
    Record,
    integrity,
    processes_of,
    read_database,
    read_journal,
    told_now,
)

#: Bounds that are promised: attempts of a trial in all, and workers that it may take with it.
MOST_ATTEMPTS, MOST_FAULTS = 12, 3
_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
#: Fields of a journal line that are not the record's.
_OF_THE_LINE = frozenset({"t", "event"})
#: Files of predictions are written in binary32 or binary64; a score is computed in binary64.
_CLOSE = 1e-9


@dataclass(frozen=True)
class Claim:
    """A promise, whether it holds, and what was looked at."""

    name: str
    broken: tuple[str, ...]
    seen: str

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.broken


@dataclass(frozen=True)
class Evidence:
    """Everything that the claims are judged by."""

    folder: Path
    journal: Journal
    database: Database

    @property
    def told(self) -> list[Record]:
        """The lines of told trials, in their order."""
        return self.journal.of("trial_told")


def gather(folder: Path) -> Evidence:
    """Read a run's folder once."""
    return Evidence(folder=folder, journal=read_journal(folder), database=read_database(folder))


def told_once(e: Evidence) -> Claim:
    """No trial is told twice in the journal."""
    counts = Counter(r["trial"] for r in e.told)
    twice = tuple(f"{t} is told {n} times" for t, n in counts.items() if n > 1)
    return Claim("each told trial is in the journal once", twice, f"{len(counts)} told")


def alike(e: Evidence) -> Claim:
    """Journal and database hold the same trials, each once."""
    told = {r["trial"] for r in e.told}
    stored = Counter(t.trial for t in e.database.trials)
    broken = [f"{t} is told and not in optuna.db" for t in sorted(told - set(stored))]
    broken += [f"{t or 'a trial without our id'} is in optuna.db and was never told"
               for t in stored if t not in told]
    broken += [f"{t} is {n} times in optuna.db" for t, n in stored.items() if n > 1]
    return Claim("optuna.db holds each told trial once, and no other", tuple(broken), f"{stored.total()} stored")


def same_content(e: Evidence) -> Claim:
    """The record in the database is the one of the journal, and Optuna's state and value follow from it."""
    lines = {r["trial"]: {k: v for k, v in r.items() if k not in _OF_THE_LINE} for r in e.told}
    broken = []
    for trial in e.database.trials:
        line = lines.get(trial.trial or "")
        if line is None:
            continue  # another claim says so
        if trial.record is None:
            broken.append(f"{trial.trial} has no record in optuna.db")
        elif trial.record != line:
            differ = sorted(k for k in {*line, *trial.record} if line.get(k) != trial.record.get(k))
            broken.append(f"{trial.trial}: journal and optuna.db differ in {', '.join(differ)}")
        if trial.state != _STATES[line["state"]]:
            broken.append(f"{trial.trial} is {line['state']} in the journal and {trial.state} in optuna.db")
        if line["state"] == "complete" and trial.value != line["score"]:
            broken.append(f"{trial.trial}: score {line['score']} in the journal, {trial.value} in optuna.db")
    return Claim("both say the same of it", tuple(broken), f"{len(e.database.trials)} compared")


def nothing_runs_for_ever(e: Evidence) -> Claim:
    """No Optuna trial is left RUNNING or WAITING."""
    left = tuple(f"{t.trial} is {t.state}" for t in e.database.trials if t.state in ("RUNNING", "WAITING"))
    return Claim("no trial is left RUNNING or WAITING", left,
                 ", ".join(f"{n} {s}" for s, n in sorted(Counter(t.state for t in e.database.trials).items())))


def sound(e: Evidence) -> Claim:
    """SQLite finds no fault in the database."""
    fine = e.database.integrity == "ok"
    return Claim("PRAGMA integrity_check", () if fine else (e.database.integrity,), e.database.integrity)


def predictions_are_there(e: Evidence) -> Claim:
    """What a told trial predicted is the file whose checksum was told, or is recorded as evicted."""
    evictions = e.journal.of("predictions_evicted")
    evicted = {r["trial"] for r in evictions}
    # Nobody but the run itself may take a file away: one that a start did not find was lost.
    broken = [f"{r['trial']}: a start did not find its predictions" for r in evictions if r["reason"] == "missing"]
    kept = gone = 0
    for r in e.told:
        trial = r["trial"]
        if r["predictions"] == "none":
            if r["state"] == "complete":
                broken.append(f"{trial} is complete and has no predictions")
        elif trial in evicted or r["predictions"] == "evicted":
            gone += 1
        else:
            kept += 1
            dataset, family, number = trial.split("/")
            path = e.folder / "predictions" / dataset / family / f"{number}-{r['attempt']}.npz"
            broken += [f"{trial}: {fault}" for fault in _file_faults(path, r)]
    return Claim("predictions of each are there as told, or recorded as evicted", tuple(broken),
                 f"{kept} files, {gone} evicted")


def _file_faults(path: Path, told: Record) -> Iterator[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        yield f"{path.name} cannot be read: {error.strerror}"
        return
    if hashlib.sha256(content).hexdigest() != told["predictions_sha256"] or len(content) != told["predictions_bytes"]:
        yield f"{path.name} is not the file that was told"
        return
    with np.load(path, allow_pickle=False) as arrays:
        if "oof" not in arrays:
            yield f"{path.name} has no out-of-fold predictions"
        elif bool(told["test_predicted"]) != ("test" in arrays):
            yield f"{path.name}: test predictions are not as told"


def bounds(e: Evidence) -> Claim:
    """Attempts and lost workers per trial stay within what is promised, and attempts count up."""
    attempts: dict[str, list[int]] = defaultdict(list)
    blamed: Counter[str] = Counter()
    for r in e.journal.records:
        if r["event"] == "job_started":
            attempts[r["trial"]].append(r["attempt"])
        elif r["event"] == "job_lost":
            blamed[r["trial"]] += bool(r["blame"])
    broken = [f"{t} lost {n} workers" for t, n in blamed.items() if n > MOST_FAULTS]
    broken += [f"{t} had {max(a)} attempts" for t, a in attempts.items() if max(a) > MOST_ATTEMPTS]
    broken += [f"{t}: attempts {a} do not count up" for t, a in attempts.items() if a != sorted(set(a))]
    most = max((max(a) for a in attempts.values()), default=0)
    return Claim("no bound of attempts is broken", tuple(broken),
                 f"at most {most} attempts and {max(blamed.values(), default=0)} lost workers")


def asked_once(e: Evidence) -> Claim:
    """A trial's number is used once, and what is told was asked."""
    asked = Counter(r["trial"] for r in e.journal.of("trial_asked"))
    broken = [f"{t} was asked {n} times" for t, n in asked.items() if n > 1]
    broken += [f"{r['trial']} is told and was never asked" for r in e.told if r["trial"] not in asked]
    return Claim("each number is used once", tuple(broken), f"{len(asked)} asked")


def all_decided(e: Evidence) -> Claim:
    """Of a finished run every trial that was asked is told."""
    told = {r["trial"] for r in e.told}
    left = tuple(f"{r['trial']} was asked and not told" for r in e.journal.of("trial_asked") if r["trial"] not in told)
    return Claim("each asked trial is told", left, f"{len(told)} told")


def scores_follow(e: Evidence) -> Claim:
    """A score is the mean of its folds, its error follows from them, and a complete trial has every fold."""
    steps = {r["dataset"]: r["folds"] * r["repeats"] for r in e.journal.of("dataset_ready")}
    broken = []
    for r in e.told:
        scores, trial = r["fold_scores"], r["trial"]
        if r["state"] == "failed":
            continue
        if r["state"] == "pruned" and r.get("cut") and not scores and r["score"] is None:
            continue  # its first fit was cut short
        if not scores or not _same(r["score"], statistics.fmean(scores)):
            broken.append(f"{trial}: score {r['score']}, its folds give {scores}")
        elif len(scores) > 1 and not _same(r["standard_error"], statistics.stdev(scores) / math.sqrt(len(scores))):
            broken.append(f"{trial}: standard error {r['standard_error']} does not follow from its folds")
        if r["state"] == "complete" and len(scores) != steps.get(trial.split("/")[0], len(scores)):
            broken.append(f"{trial} is complete with {len(scores)} folds")
    return Claim("each score follows from its folds", tuple(broken), f"{len(e.told)} computed again")


def _same(one: float | None, other: float) -> bool:
    return one is not None and math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)


def best_files(e: Evidence) -> Claim:
    """Each dataset with a best trial and test rows has a valid submission."""
    datasets = {r["dataset"]: r for r in e.journal.of("dataset_ready") if r["test_rows"]}
    broken, seen = [], 0
    for name, ready in datasets.items():
        if any(r["state"] == "complete" and r["test_predicted"] and r["trial"].split("/")[0] == name for r in e.told):
            seen += 1
            broken += [f"best-{name}.csv: {fault}" for fault in
                       _submission_faults(e.folder / "scores" / f"best-{name}.csv", ready)]
    return Claim("the best submission of each dataset is there and valid", tuple(broken), f"{seen} files")


def _submission_faults(path: Path, ready: Record) -> Iterator[str]:
    try:
        rows = _table(path)
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
        return
    if len(rows) != ready["test_rows"] + 1:
        yield f"{len(rows) - 1} rows, expected {ready['test_rows']}"
    if any(len(r) != len(rows[0]) or not all(cell.strip() for cell in r) for r in rows):
        yield "a row is short or has an empty cell"
    sample = ready["problem"].get("sample_submission")
    if sample and Path(sample).is_file():
        expected = _table(Path(sample))
        if rows[0] != expected[0]:
            yield f"its columns are {rows[0]}, expected {expected[0]}"
        elif [r[0] for r in rows[1:]] != [r[0] for r in expected[1:]]:
            yield "its ids are not those of the sample submission in their order"


def _table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def nobody_is_left(e: Evidence) -> Claim:
    """No process of a run that has ended lives on."""
    left = processes_of(e.folder)
    return Claim("no process is left", tuple(f"{p.role} {p.pid} ({p.state})" for p in left), f"{len(left)} found")


#: True at every moment, of a run that goes on as well; `optuna.db` may lag then.
ALWAYS: tuple[Callable[[Evidence], Claim], ...] = (
    told_once, asked_once, bounds, scores_follow, predictions_are_there)
#: True whenever a run has ended in good order.
ENDED: tuple[Callable[[Evidence], Claim], ...] = (
    *ALWAYS, sound, alike, same_content, nothing_runs_for_ever, best_files, nobody_is_left)
#: True once its budgets are used.
FINISHED: tuple[Callable[[Evidence], Claim], ...] = (*ENDED, all_decided)


def check(folder: Path, claims: Iterable[Callable[[Evidence], Claim]] = FINISHED) -> list[Claim]:
    """Judge these claims by what the folder holds now."""
    evidence = gather(folder)
    return [claim(evidence) for claim in claims]


class OnlyGrows:
    """What was told at the last look is told still."""

    def __init__(self, folder: Path) -> None:
        """Look for the first time."""
        self._folder = folder
        #: What was told at the last look.
        self.told = set(told_now(folder))
        #: Trials that were told once and are no more.
        self.lost: set[str] = set()
        #: Trials that were told twice.
        self.doubled: set[str] = set()

    def look(self) -> Claim:
        """Look again."""
        counts = told_now(self._folder)
        lost = self.told - set(counts)
        doubled = {t for t, n in counts.items() if n > 1}
        self.lost |= lost
        self.doubled |= doubled
        self.told |= set(counts)
        return Claim("what was told is told still, and once",
                     (*(f"{t} is no longer told" for t in sorted(lost)),
                      *(f"{t} is told twice" for t in sorted(doubled))), f"{len(counts)} told")


def database_is_sound(folder: Path) -> Claim:
    """``PRAGMA integrity_check`` on a copy, as a scheduler's death has left it."""
    verdict = integrity(folder)
    return Claim("PRAGMA integrity_check", () if verdict in ("ok", "missing") else (verdict,), verdict)


def restarts_cleanly(study: Path, more: int = 2, timeout_s: float = 600.0,
                     environment: Mapping[str, str] | None = None) -> Claim:
    """The same command with a few more trials than were decided ends with 0, and has written them."""
    folder = study.with_suffix("")
    before = read_journal(folder)
    decided: Counter[str] = Counter(
        r["trial"].split("/")[0] for r in before.of("trial_told") if r["state"] != "failed")
    wanted = max(decided.values(), default=0) + more
    done = subprocess.run([sys.executable, "-m", "optimizer", "run", str(study), "--trials", str(wanted), "--plain"],
                          cwd=study.parent.parent, capture_output=True, text=True, timeout=timeout_s, check=False,
                          stdin=subprocess.DEVNULL, env=None if environment is None else dict(environment))
    broken = []
    if done.returncode != 0:
        broken.append(f"exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    told = set(told_now(folder))
    lost = {r["trial"] for r in before.of("trial_told")} - told
    broken += [f"{t} is no longer told" for t in sorted(lost)]
    if not broken and len(told) < sum(decided.values()) + more:
        broken.append(f"{len(told)} told, expected {more} more than {sum(decided.values())}")
    return Claim("it can still write and restarts cleanly", tuple(broken), f"exit code {done.returncode}")


def as_table(claims: Iterable[Claim], most: int = 5) -> str:
    """One line per claim, and the first few faults of those that do not hold."""
    lines = []
    for claim in claims:
        lines.append(f"{'holds ' if claim.holds else 'BROKEN'}  {claim.name:<66}  {claim.seen}")
        lines += [f"        {fault}" for fault in claim.broken[:most]]
        if len(claim.broken) > most:
            lines.append(f"        and {len(claim.broken) - most} more")
    return "\n".join(lines)


def main() -> int:
    """Check a folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--live", action="store_true", help="the run goes on: ask only what is true at every moment")
    parser.add_argument("--stopped", action="store_true", help="the run was stopped: asked trials may be undecided")
    parser.add_argument("--resume", type=Path, metavar="STUDY", help="at last run this study file a little further")
    options = parser.parse_args()
    folder = options.folder.resolve()
    claims = check(folder, ALWAYS if options.live else ENDED if options.stopped else FINISHED)
    if options.resume is not None:
        claims.append(restarts_cleanly(options.resume.resolve()))
    print(as_table(claims))
    return 0 if all(c.holds for c in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
