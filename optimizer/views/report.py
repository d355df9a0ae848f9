"""The report of a run, ``summary.json`` and ``summary.txt``: what was found, what it cost, and how to go on."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from optimizer.records import TrialRecord
from optimizer.views import formats
from optimizer.views.formats import NOTHING, clean
from optimizer.views.grid import Cell, Column, Grid
from optimizer.views.results import RunView
from optimizer.views.spared import WHERE, spared, totals
from optimizer.views.submissions import best_path, replacing, why_not_submittable
from optimizer.views.told import DatasetView


def write_summary(view: RunView) -> None:
    """Write ``summary.json`` and ``summary.txt`` into the run's folder, each in one step.

    Raises:
        StorageFault: a file could not be written.
    """
    summary = summarize(view)
    data = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    for name, content in (("summary.json", data), ("summary.txt", as_text(summary).encode())):
        with replacing(view.folder / name) as file:
            file.write(content)


def summarize(view: RunView) -> dict[str, Any]:
    """The report as plain data: the content of ``summary.json``; the same journal gives the same report."""
    starts = view.incarnations
    trials = view.trials()
    slot_seconds = sum(i.seconds * i.slots for i in starts)
    fit_seconds = sum(t.fit_seconds * t.slots for t in trials)
    return {
        "run": view.name,
        "folder": str(view.folder),
        "study_file": str(view.study_file),
        "state": view.state,
        "reason": starts[-1].reason if starts else "",
        "version": starts[-1].version if starts else "",
        "starts": len(starts),
        "started": starts[0].started if starts else None,
        "ended": starts[-1].ended if starts else None,
        #: Without the pauses between a stop and the next start.
        "seconds": sum(i.seconds for i in starts),
        "slots": starts[-1].slots if starts else 0,
        "slot_seconds": slot_seconds,
        "fit_seconds": fit_seconds,
        "share_inside_fits": fit_seconds / slot_seconds if slot_seconds else None,
        "trials": view.counts(),
        "spared": totals(spared(trials, view.datasets, view.stops)),
        "datasets": [_dataset(view, d) for d in view.datasets.values()],
        "families": [_family(view, name, sum(t.seconds * t.slots for t in trials)) for name in view.families],
        "failures": _failures(trials),
        "jobs_lost": dict(view.jobs_lost),
        "notices": list(dict.fromkeys(view.notices)),
        "unreadable_events": view.unreadable,
        "next": _next_steps(view),
    }


def _dataset(view: RunView, d: DatasetView) -> dict[str, Any]:
    name = d.dataset
    best, submitted = view.best(name), view.best(name, submittable=True)
    path = best_path(view.folder, name)
    return {
        "dataset": name, "metric": d.metric, "direction": d.direction, "task": d.task, "rows": d.rows,
        "test_rows": d.test_rows, "columns": d.columns, "fingerprint": d.fingerprint, "same_as": d.same_as,
        "failed": d.failed, "finished": d.finished, "used_s": d.used_s,
        "best": None if best is None else {
            "trial": best.trial, "family": best.family, "score": best.score, "standard_error": best.standard_error,
            "pooled_score": best.pooled_score, "at": best.at, "models_kept": best.models_kept,
        },
        "within_one_standard_error": len(view.within_one_standard_error(name)),
        "trials": view.counts(name),
        "families": {f: {**view.counts(name, f), "seconds": sum(t.seconds * t.slots for t in view.trials(name, f))}
                     for f in view.families},
        "submission": str(path.relative_to(view.folder)) if submitted is not None and path.exists() else None,
        "submission_trial": None if submitted is None else submitted.trial,
        "submission_note": _submission_note(d, best, submitted, path),
    }


def _submission_note(d: DatasetView, best: TrialRecord | None, submitted: TrialRecord | None, path: Path) -> str:
    """Why there is no submission, or why it is not of the best trial; empty where all is as expected."""
    if d.failed:
        return ""
    if not d.test_rows:
        return "no test table, so no submission"
    if best is None:
        return "no complete trial yet"
    if submitted is None:
        return f"no submission: of {best.trial}, {why_not_submittable(best)}"
    if submitted.trial != best.trial:
        return (f"the submission is of {submitted.trial} ({formats.score(submitted.score)}): of the best trial, "
                f"{why_not_submittable(best)}")
    return "" if path.exists() else "the submission is yet to be written"


def _family(view: RunView, name: str, total_seconds: float) -> dict[str, Any]:
    trials = view.trials(family=name)
    seconds = sum(t.seconds * t.slots for t in trials)
    return {
        "family": name, "seconds": seconds, "share": seconds / total_seconds if total_seconds else 0.0,
        "fit_seconds": sum(t.fit_seconds * t.slots for t in trials), **view.counts(family=name),
        "stops": [{"dataset": s.dataset, "reason": s.reason, "moved": s.moved} for s in view.stops if s.family == name],
    }


def _failures(trials: list[TrialRecord]) -> list[dict[str, Any]]:
    """Failed trials by kind, the commonest first, each with its latest reason."""
    failed = [t for t in trials if t.state == "failed"]
    latest = {t.kind or "error": t for t in failed}
    return [{"kind": kind, "count": count, "example": clean(latest[kind].reason), "trial": latest[kind].trial}
            for kind, count in Counter(t.kind or "error" for t in failed).most_common()]


def _next_steps(view: RunView) -> list[dict[str, str]]:
    run, file = shlex.quote(view.folder.name), shlex.quote(str(_from_here(view.study_file)))
    steps = [("leaderboard", f"optimizer leaderboard {run} --top 20", "every model by rank")]
    if any(view.best(name, submittable=True) for name in view.datasets):
        steps.append(("export", f"optimizer export {run} --top 5", "submissions of the best five per dataset"))
    kept = [t.trial for name in view.datasets for t in view.ranked(name, where=lambda t: t.models_kept)[:1]]
    if kept:
        which = f" --model {shlex.quote(kept[0])}" if len(view.datasets) > 1 else ""
        steps.append(("predict", f"optimizer predict {run}{which} new.csv", "predict a new table with the kept models"))
    if view.state == "finished":
        steps.append(("resume", f"optimizer run {file} {more(view)}", "search on from here"))
    else:
        steps.append(("resume", f"optimizer run {file}", "go on where it stopped"))
    return [{"what": what, "command": command, "for": purpose} for what, command, purpose in steps]


def more(view: RunView) -> str:
    """The option that has a finished run go on: an hour, or as many trials again where they are counted."""
    trials = view.study.get("trials")
    return f"--trials {2 * trials}" if trials else "--time +1h"


# As text.


def as_text(summary: dict[str, Any], width: int | None = None) -> str:
    """``summary.txt``: the same report for a person.

    ``width``: of the terminal that it is shown on; ``None`` for a file, where no column is left out and no line folded.
    """
    # Not paths and commands: they are there to be copied.
    parts = [_folded(_headline(summary), width), _dataset_table(summary, width),
             _folded(_dataset_notes(summary), width), _submissions(summary), _family_table(summary, width),
             _folded(_cost(summary), width), *(_folded(text, width) for text in _troubles(summary)), _go_on(summary)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _folded(text: str, width: int | None) -> str:
    """Lines that are too long, broken between words and indented a little further."""
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False,
                               break_on_hyphens=False) or [""]
    return "\n".join(lines)


def _headline(summary: dict[str, Any]) -> str:
    trials = summary["trials"]
    counts = f"{trials['complete']:,} complete, {trials['pruned']:,} pruned, {trials['failed']:,} failed trials"
    starts = f" in {summary['starts']} starts" if summary["starts"] > 1 else ""
    state = summary["state"] or "not started"
    reason = f" ({clean(summary['reason'])})" if summary["reason"] not in ("", state) else ""
    return f"{clean(summary['run'])}: {state}{reason} after {formats.duration(summary['seconds'])}{starts}; {counts}"


def _dataset_table(summary: dict[str, Any], width: int | None) -> str:
    columns = (
        Column(header="dataset", elastic=True), Column(header="metric", leaves=3),
        Column(header="best score", right=True), Column(header="pooled", right=True, leaves=4),
        Column(header="best trial"), Column(header="within 1 s.e.", right=True, leaves=1),
        *(Column(header=f["family"], right=True, leaves=2) for f in summary["families"]),
    )
    rows = [_dataset_row(d, summary) for d in summary["datasets"]]
    if not rows:
        return "no dataset was read"
    table = _plain(Grid(columns, rows).lines(width))
    return f"{table}\n(trials per family: complete + pruned + failed)"


def _dataset_row(d: dict[str, Any], summary: dict[str, Any]) -> list[Cell]:
    best = d["best"] or {}
    per_family: list[Cell] = []
    for family in summary["families"]:
        counts = d["families"][family["family"]]
        per_family.append(f"{counts['complete']}+{counts['pruned']}+{counts['failed']}")
    trial = best.get("trial", NOTHING).removeprefix(f"{d['dataset']}/")
    return [
        d["dataset"], d["metric"] or NOTHING, formats.score(best.get("score"), best.get("standard_error")),
        formats.score(best.get("pooled_score")), trial, str(d["within_one_standard_error"] or NOTHING), *per_family,
    ]


def _dataset_notes(summary: dict[str, Any]) -> str:
    notes = []
    for d in summary["datasets"]:
        name = clean(d["dataset"])
        if d["failed"]:
            notes.append(f"{name} could not be used: {clean(d['failed'])}")
        if d["same_as"]:
            notes.append(f"{name} has the same content as {clean(d['same_as'])}")
        if d["finished"] not in ("", "finished", "budget used"):
            notes.append(f"{name} ended before its budget was used: {clean(d['finished'])}")
        if d["submission_note"]:
            notes.append(f"{name}: {clean(d['submission_note'])}")
    return "\n".join(notes)


def _submissions(summary: dict[str, Any]) -> str:
    folder = Path(summary["folder"])
    paths = [f"  {_from_here(folder / d['submission'])}" for d in summary["datasets"] if d["submission"]]
    return "\n".join(["best submissions", *paths]) if paths else ""


def _from_here(path: Path) -> Path:
    """Short where it can be: as a person would type it in the present directory."""
    whole = path.resolve()
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole


def _family_table(summary: dict[str, Any], width: int | None) -> str:
    columns = (
        Column(header="family"), Column(header="share of resource-seconds", right=True),
        Column(header="time", right=True), Column(header="complete", right=True), Column(header="pruned", right=True),
        Column(header="failed", right=True), Column(header="", leaves=1),
    )
    rows: list[list[Cell]] = [
        [f["family"], formats.percent(f["share"]), formats.span(f["seconds"]), str(f["complete"]), str(f["pruned"]),
         str(f["failed"]), "; ".join(_stop_text(stop) for stop in f["stops"])]
        for f in summary["families"]
    ]
    return _plain(Grid(columns, rows).lines(width)) if rows else ""


def _stop_text(stop: dict[str, Any]) -> str:
    where = f" on {stop['dataset']}" if stop["dataset"] else ""
    return f"{'moved' if stop['moved'] else 'stopped'}{where}: {stop['reason']}"


def _cost(summary: dict[str, Any]) -> str:
    share = summary["share_inside_fits"]
    if share is None:
        return ""
    return _tested(summary) + (f"{formats.count(summary['slots'], 'slot')}; {formats.percent(share)} of "
            f"{formats.duration(summary['slot_seconds'])} of slot time was spent inside fits")


def _tested(summary: dict[str, Any]) -> str:
    """How many models were tested, and what was not done of them on what evidence."""
    trials, spared_there = summary["trials"], summary["spared"]
    text = f"{formats.count(trials['complete'] + trials['pruned'], 'model')} tested"
    where = [f"{count:,} {WHERE[kind]}" for kind, count in spared_there["trials"].items()]
    if where:
        text += (f"; {formats.count(spared_there['folds'], 'fold')} and about "
                 f"{formats.duration(spared_there['seconds'])} spared, as trials were hopeless: {', '.join(where)}")
    if spared_there["not_begun"]:
        text += (f"; about {formats.count(spared_there['not_begun'], 'model')} not begun, as the best had not changed "
                 "for long")
    return f"{text}\n"


def _troubles(summary: dict[str, Any]) -> list[str]:
    lines = [f"{formats.count(f['count'], 'trial')} failed with {clean(f['kind'])}, lately {clean(f['trial'])}: "
             f"{f['example']}" for f in summary["failures"]]
    lines += [f"{formats.count(n, 'job')} lost with the worker and run again: {clean(reason)}"
              for reason, n in summary["jobs_lost"].items()]
    lines += [f"unreadable in the journal: {clean(text)}" for text in summary["unreadable_events"][:5]]
    parts = ["\n".join(lines)] if lines else []
    if summary["notices"]:
        parts.append("notices\n" + "\n".join(f"  {clean(n)}" for n in summary["notices"]))
    return parts


def _go_on(summary: dict[str, Any]) -> str:
    return "how to go on\n" + "\n".join(f"  {s['for']}:\n    {s['command']}" for s in summary["next"])


def _plain(lines: list[Text]) -> str:
    return "\n".join(line.plain.rstrip() for line in lines)
