"""A run as plain lines: one for every event worth reading, for logs and pipes.

``python -m optimizer.views.dashboard`` ends up here where standard output is no terminal.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from optimizer.journal import Record, read_from
from optimizer.views import formats
from optimizer.views.formats import clean

#: Seconds between two lines that only tell how far the run is.
PROGRESS_EVERY_S = 300.0


class Narrator:
    """Turns journal records into lines; a listener that only needs to be called with each record in order.

    It keeps counts alone, so it can be given a run of any length.
    """

    def __init__(self, *, progress_every_s: float = PROGRESS_EVERY_S, zone: datetime.tzinfo | None = None) -> None:
        """``zone``: of the times shown; ``None`` for the machine's own."""
        self._progress_every_s = progress_every_s
        self._zone = zone
        self._last_progress: float | None = None
        self._told: dict[str, int] = {}
        self._dataset = ""

    def line(self, record: Record) -> str | None:
        """The line for this event, without line break, or ``None`` where it is not worth one."""
        at = record.get("t")
        at = float(at) if isinstance(at, int | float) else 0.0
        text = self._event(record)
        if text is None:
            text = self._progress(at)
        if text is None:
            return None
        stamp = datetime.datetime.fromtimestamp(at, self._zone).strftime("%Y-%m-%d %H:%M:%S")
        return clean(f"{stamp}  {text}")

    def _event(self, record: Record) -> str | None:
        get = record.get
        match get("event"):
            case "run_started":
                study = get("study") or {}
                again = "resumed" if get("resumed") else "started"
                names = ", ".join(str(f) for f in study.get("families", ()))
                self._last_progress = get("t")
                return (f"run {study.get('name', '')} {again}: "
                        f"{formats.count(len(study.get('datasets', ())), 'dataset')}, {names}, "
                        f"{formats.count(len(get('slots') or ()), 'slot')}")
            case "dataset_ready":
                same = f"; same content as {get('same_as')}" if get("same_as") else ""
                return (f"dataset {get('dataset')} ready: {get('rows', 0):,} rows, {get('columns', 0):,} columns, "
                        f"{get('task')}, {get('metric')}{same}")
            case "dataset_failed":
                return f"dataset {get('dataset')} cannot be used: {get('reason')}"
            case "notice":
                return f"notice: {get('text')}"
            case "trial_told":
                self._count(str(get("trial", "")))
                return f"trial {get('trial')} failed: {get('reason')}" if get("state") == "failed" else None
            case "best_improved":
                return (f"{get('dataset')}: new best {formats.score(get('score'))} by {get('trial')}"
                        f"{_than_before(get('score'), get('previous'))}")
            case "job_lost":
                return f"job of {get('trial')} lost on slot {get('slot')} (attempt {get('attempt')}): {get('reason')}"
            case "family_stopped":
                where = f" on {get('dataset')}" if get("dataset") else ""
                return f"family {get('family')} stopped{where}: {get('reason')}"
            case "family_moved":
                return f"family {get('family')} moved: {get('reason')}"
            case "dataset_finished":
                return (f"dataset {get('dataset')} finished after "
                        f"{formats.count(get('trials', self._told.get(str(get('dataset')), 0)), 'trial')}: "
                        f"{get('reason')}")
            case "run_ended":
                total = formats.count(get("trials", sum(self._told.values())), "trial")
                reason = f": {get('reason')}" if get("reason") not in (None, "", get("state")) else ""
                return f"run {get('state')} with {total}{reason}"
        return None

    def _count(self, trial: str) -> None:
        self._dataset = trial.split("/")[0]
        self._told[self._dataset] = self._told.get(self._dataset, 0) + 1

    def _progress(self, at: float) -> str | None:
        if self._last_progress is None or at < self._last_progress:
            # The first, or the clock was set back: else there would be silence until it has caught up.
            self._last_progress = at
        if at - self._last_progress < self._progress_every_s:
            return None
        self._last_progress = at
        here = formats.count(self._told.get(self._dataset, 0), "trial")
        where = f", {here} of them on {self._dataset}" if self._dataset else ""
        return f"so far {formats.count(sum(self._told.values()), 'trial')}{where}"


def _than_before(score: float | None, previous: float | None) -> str:
    if previous is None:
        return ""
    before = formats.score(previous)
    return f", was {before}" if before != formats.score(score) else ", better by less than is shown"


def follow(folder: Path, parent: int | None, out: TextIO | None = None) -> int:
    """Print a run's lines until it ends; returns the exit code.

    Args:
        folder: the run's folder.
        parent: the process that carries the run out and started this one; lines of its own start alone are printed,
            and this ends with it. ``None`` prints from the run's latest start on.
        out: standard output unless said otherwise; a closed one ends this, a full disk costs lines.
    """
    printer = _Printer(sys.stdout if out is None else out)
    leaving = _Leaving()
    narrator = Narrator()
    offset, ours = 0, False
    while True:
        # Looked at before reading: what was written until then is still printed.
        last = leaving.asked or (parent is not None and os.getppid() != parent)
        read = list(read_from(folder / "journal.jsonl", offset))
        records = [record for record, _ in read]
        offset = read[-1][1] if read else offset
        first = 0 if ours else _latest_start(records, parent)
        ours = ours or first < len(records)
        for i, record in enumerate(records):
            line = narrator.line(record)
            if line is not None and i >= first and not printer.print(line):
                return 0
            last = last or (i >= first and record.get("event") == "run_ended")
        if last:
            return 0
        time.sleep(0.5)


def _latest_start(records: list[Record], parent: int | None) -> int:
    """Index of the last start of the run, or behind the end where that is not the parent's."""
    for i in range(len(records) - 1, -1, -1):
        if records[i].get("event") == "run_started":
            return i if parent is None or records[i].get("pid") == parent else len(records)
    return len(records)


class _Printer:
    """Prints lines to something that may close or be full."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        reconfigure = getattr(out, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")

    def print(self, line: str) -> bool:
        """Whether anybody may still be reading."""
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except BrokenPipeError:
            # Else the interpreter would fail to flush once more at its end, and say so.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return False
        except OSError as error:
            with contextlib.suppress(OSError):  # the same disk may be full for it
                sys.stderr.write(f"a line is lost: {error}\n")
        return True


class _Leaving:
    """Whether someone asked this process to leave; SIGTERM still lets it print what is in the journal."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            # Ignored ones stay so: Ctrl-C is the parent's business, and nohup means it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
