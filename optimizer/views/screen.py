"""The state of a run as a terminal screen: a pure function of a `Status`, a size and the time.

Two layouts share their parts. The plain one, for 80x24 and below, has no boxes and gives every line to what
matters most; the wide one, from 120x32 up, puts the same parts side by side in boxes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from optimizer.status import Status
from optimizer.views import formats, panels
from optimizer.views.formats import NOTHING, clean
from optimizer.views.grid import Bar, bar, beside, boxed, joined, shortened

_WIDE, _TALL = 120, 32
#: A status older than this is said to be old.
_STALE_S = 15.0

_STATE_STYLES = {"running": "bold green", "finished": "bold green", "preparing": "bold yellow",
                 "stopping": "bold yellow", "stopped": "bold yellow"}


def lines(
    status: Status | None, *, width: int, height: int, now: float, title: str = "", note: str = "",
) -> list[Text]:
    """The screen, at most ``width`` cells wide and ``height`` lines high; never raises.

    Args:
        status: ``None`` shows that the run is starting.
        width: cells, at least 1.
        height: lines, at least 1.
        now: UTC seconds.
        title: the run's name, for a screen without status.
        note: a sentence that must be seen, for instance that the run is not running.
    """
    width, height = max(1, width), max(1, height)
    try:
        page = _page(status, width, height, now, title, note)
    except Exception as error:  # A frame that cannot be drawn says so; the next one may be well again.
        page = [Text(clean(f"this frame could not be drawn: {type(error).__name__}: {error}"))]
    for line in page:
        line.no_wrap, line.end = True, "\n"
        if line.cell_len > width:
            line.truncate(width, overflow="crop")
    return page[:height]


def _page(status: Status | None, width: int, height: int, now: float, title: str, note: str) -> list[Text]:
    if status is None:
        return _starting(title, note, width, height)
    if width >= _WIDE and height >= _TALL:
        return _wide(status, note, width, height, now)
    return _plain(status, note, width, height, now)


def _starting(title: str, note: str, width: int, height: int) -> list[Text]:
    words = [Text(clean(title), style="bold")] if title else []
    words.append(Text(clean(note) if note else "starting: looking at this machine and reading the datasets …"))
    top = max(0, (height - len(words)) // 2 - 1)
    shown = [shortened(w, width) for w in words]
    return [Text() for _ in range(top)] + [Text(" " * ((width - w.cell_len) // 2)) + w for w in shown]


# What both layouts begin with.


def _heading(status: Status, width: int, now: float) -> Text:
    left = joined((clean(status.run), "bold"), "  ",
                         (clean(status.state), _STATE_STYLES.get(status.state, "")))
    right = Text(_times(status, now))
    room = width - left.cell_len - 2
    if right.cell_len > room:
        # What is left matters more than what has passed.
        right = Text(_times(status, now).partition(", ")[2])
    if right.cell_len > room:
        return shortened(left, width) if left.cell_len > width else left
    return joined(left, " " * (width - left.cell_len - right.cell_len), right)


def _times(status: Status, now: float) -> str:
    # Of this start: a run that is resumed after days has not been at it for days.
    passed = formats.duration(now - status.started)
    if status.state in ("finished", "stopped"):
        return f"took {formats.duration(status.at - status.started)}, ended {_clock(status.at)}"
    eta = formats.finite(status.eta)
    if eta is None:
        return f"{passed} so far, end not known yet"
    return f"{passed} so far, about {formats.duration(eta - now)} left (until {_clock(eta)})"


def _clock(at: float) -> str:
    """Local time of day."""
    try:
        then = time.localtime(at)
    except (OverflowError, OSError, ValueError):
        return NOTHING
    return time.strftime("%H:%M", then)


def _progress(status: Status, width: int) -> Text:
    label = formats.percent(status.progress).rjust(5)
    return joined(bar(Bar(status.progress, "green"), max(1, width - 6)), " ", label)


def _warnings(status: Status, note: str, now: float) -> list[Text]:
    """Sentences that must not be missed: at most three lines."""
    found = [Text(clean(note), style="bold yellow")] if note else []
    silent = now - status.at
    if not note and silent > _STALE_S and status.state not in ("finished", "stopped"):
        found.append(Text(f"no news from the scheduler for {formats.duration(silent)}", style="bold yellow"))
    if status.trouble:
        found.append(Text(clean(status.trouble), style="bold red"))
    limits = status.limits
    if limits is not None and 0 < limits.cores < limits.of_cores:
        found.append(Text(f"uses {formats.limits_text(limits)}", style="yellow"))
    if status.recorder_lag > 20:
        found.append(Text(f"optuna.db is {formats.count(status.recorder_lag, 'trial')} behind the journal",
                          style="yellow"))
    return found


# The plain layout.


@dataclass
class _Part:
    """A part of the plain layout while lines are shared out."""

    draw: Callable[[int], list[Text]]
    #: Lines that it would fill.
    wants: int
    gets: int = 0
    blank_before: bool = False


def _plain(status: Status, note: str, width: int, height: int, now: float) -> list[Text]:
    page = [_heading(status, width, now), _progress(status, width), *_warnings(status, note, now)]
    family_notes = sum(bool(f.note) for f in status.families)
    datasets = _Part(lambda n: panels.datasets(status, width, n), len(status.datasets) + 1)
    if any(len(d.name) > width // 2 for d in status.datasets):
        datasets.wants = len(datasets.draw(1000))  # names will be folded
    slots = _Part(lambda n: panels.slots(status, width, n, now), len(status.slots) + 1)
    shares = _Part(lambda n: panels.shares(status, width, n), 1 + family_notes)
    recent = _Part(lambda n: panels.recent(status, width, n, now), len(status.recent) + 1)
    log = _Part(lambda n: panels.log(status, width, n), len(status.log))
    left = height - len(page)

    def give(part: _Part, lines: int) -> None:
        """Raise a part to so many lines, as far as it wants them and they are there."""
        nonlocal left
        more = min(left, max(0, min(part.wants, lines) - part.gets))
        part.gets, left = part.gets + more, left - more

    # In the order of what a person looks for; each part a little before any has all.
    for part, lines in ((datasets, 2), (slots, 2), (shares, 1), (datasets, 5), (slots, 5), (recent, 3),
                        (shares, 2), (datasets, 9), (log, 2), (recent, 4), (shares, 4)):
        give(part, lines)
    for part in (datasets, slots, recent, shares, log):
        part.blank_before = part.gets > 0 and left > 0
        left -= part.blank_before
    for part, lines in ((datasets, 13), (slots, 9), (recent, 7), (log, 4), (datasets, 25), (slots, 17)):
        give(part, lines)
    for part in (datasets, slots, log, recent):
        give(part, part.wants)
    for part in (datasets, slots, shares, recent, log):
        if part.gets:
            page += [Text()] * part.blank_before + part.draw(part.gets)
    return page


# The wide layout.


def _wide(status: Status, note: str, width: int, height: int, now: float) -> list[Text]:
    def title(text: str) -> Text:
        return Text(text, style="bold")

    head = [_progress(status, width - 4), *_warnings(status, note, now), panels.machine(status, width - 4)]
    page = boxed(_heading(status, width - 7, now), head, width, len(head) + 2)
    rows = _shared_out(height - len(page), [len(status.datasets) + 3, len(status.slots) + 3], keep=12)
    page += boxed(title("Datasets"), panels.datasets(status, width - 4, rows[0] - 2, wide=True), width, rows[0])
    page += boxed(title("Slots and running tasks"), panels.slots(status, width - 4, rows[1] - 2, now, wide=True),
                  width, rows[1])
    left, right, bottom = width // 2, width - width // 2, height - len(page)
    shares = panels.families(status, right - 4, max(1, bottom - 6))
    log_rows = bottom - len(shares) - 2
    trials = boxed(title("Recent trials"), panels.recent(status, left - 4, bottom - 2, now), left, bottom)
    families = boxed(title("Families, by share of resource-seconds"), shares, right, len(shares) + 2)
    log = boxed(title("Log"), panels.log(status, right - 4, log_rows - 2, fold=True), right, log_rows)
    return page + beside(trials, families + log)


def _shared_out(total: int, wants: Sequence[int], keep: int) -> list[int]:
    """Lines for each box so that ``keep`` are left: what it wants where all fits, else less for the greatest."""
    rows = list(wants)
    while sum(rows) > total - keep and max(rows) > 5:
        rows[rows.index(max(rows))] -= 1
    return rows
