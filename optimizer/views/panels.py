"""The parts of the screen: each a function of a `Status` and a size that returns lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.text import Text

from optimizer.status import DatasetStatus, FamilyShare, RecentTrial, SlotStatus, Status
from optimizer.views import formats
from optimizer.views.formats import NOTHING, clean
from optimizer.views.grid import Bar, Cell, Column, Grid, clipped, joined

#: At the start of a log's line: which day it was is no news on a screen.
_DATE = re.compile(r"^\d{4}-\d\d-\d\d[ T]")

#: What is going on comes first where not everything fits.
_ATTENTION = ("running", "reading", "ready", "failed", "finished", "waiting")

_STATE_STYLES = {
    "running": "green", "reading": "yellow", "ready": "", "waiting": "dim", "finished": "", "failed": "red",
    "busy": "", "idle": "dim", "lent": "dim", "starting": "yellow", "down": "red",
    "closed": "dim",
    "complete": "", "pruned": "dim",
}


def _state(text: str) -> Text:
    return Text(clean(text), style=_STATE_STYLES.get(text, ""))


def _family_of(trial: str | None) -> str:
    parts = (trial or "").split("/")
    return parts[1] if len(parts) == 3 else ""


# Datasets.


def datasets(status: Status, width: int, height: int, *, wide: bool = False) -> list[Text]:
    """One line per dataset; where they do not all fit, those in progress and a line that counts the others."""
    shown, hidden = _fitting(status.datasets, height - 1,
                             lambda d: _ATTENTION.index(d.state) if d.state in _ATTENTION else 9)
    columns, row = (_WIDE_DATASET, _wide_dataset) if wide else (_PLAIN_DATASET, _plain_dataset)
    parallel = max(1, len(status.slots))
    page = _grid(Grid(columns, [row(d, parallel) for d in shown]), width, height - bool(hidden))
    if hidden:
        states: dict[str, int] = {}
        for d in hidden:
            states[clean(d.state)] = states.get(clean(d.state), 0) + 1
        page.append(Text(f"and {len(hidden)} more: " + ", ".join(f"{n} {s}" for s, n in states.items()), "dim"))
    return page


_PLAIN_DATASET = (
    Column(header="dataset", elastic=True),
    Column(header="best score", right=True),
    Column(header="family", leaves=2),
    Column(header="trials", right=True, leaves=1),
    Column(header="tied", right=True, leaves=5),
    Column(header="state", leaves=3),
    Column(header="time", right=True, leaves=4),
)


def _plain_dataset(d: DatasetStatus, parallel: int) -> list[Cell]:
    decided = d.complete + d.pruned
    return [d.name, _best(d), _family_of(d.best_trial) or NOTHING, _of(decided, d.budget_trials), _within(d),
            _state(d.state), _time(d, parallel)]


_WIDE_DATASET = (
    Column(header="dataset", elastic=True),
    Column(header="metric", style="dim", leaves=6),
    Column(header="best score", right=True),
    Column(header="best trial", leaves=5),
    Column(header="within 1 s.e.", right=True, leaves=4),
    Column(header="trials", right=True),
    Column(header="pruned", right=True, leaves=3),
    Column(header="failed", right=True, leaves=3),
    Column(header="state"),
    Column(header="time", right=True),
    Column(header="", grows_to=24, leaves=8),
    Column(header="rows × columns", right=True, style="dim", leaves=7),  # noqa: RUF001
    Column(header="", style="dim", leaves=9),
)


def _wide_dataset(d: DatasetStatus, parallel: int) -> list[Cell]:
    failed = Text(f"{d.failed:,}", style="red" if d.failed else "dim")
    size = f"{d.rows:,} × {d.columns:,}" if d.rows else NOTHING  # noqa: RUF001
    short_id = (d.best_trial or "").removeprefix(f"{d.name}/") or NOTHING
    trials = _of(d.complete + d.pruned, d.budget_trials)
    return [d.name, d.metric, _best(d), short_id, _within(d), trials, f"{d.pruned:,}", failed, _state(d.state),
            _time(d, parallel), Bar(_used(d), "green" if d.state == "running" else ""), size, d.note]


def _best(d: DatasetStatus) -> Text:
    if d.state == "failed" and d.best_score is None:
        return Text(NOTHING, style="red")
    return Text(formats.score(d.best_score, d.best_error), style="bold" if d.best_score is not None else "dim")


def _within(d: DatasetStatus) -> str:
    return f"{d.within_error:,}" if d.within_error else NOTHING


def _of(done: int, budget: int | None) -> str:
    return f"{done:,}" if budget is None else f"{done:,}/{budget:,}"


def _used(d: DatasetStatus) -> float:
    if d.budget_trials:
        return (d.complete + d.pruned) / d.budget_trials
    budget = formats.finite(d.budget_s)
    return d.used_s / budget if budget else float(d.state == "finished")


def _time(d: DatasetStatus, parallel: int) -> str:
    """Slot-seconds are shown as the person gave them: as time on all slots."""
    if d.state == "waiting" and not d.used_s:
        return NOTHING
    budget = None if d.budget_s is None else d.budget_s / parallel
    return formats.of_budget(d.used_s / parallel, budget)


# Slots and what runs in them.


def slots(status: Status, width: int, height: int, now: float, *, wide: bool = False) -> list[Text]:
    """One line per slot, with its load and its task; where they do not all fit, the busy ones and a count."""
    order = {"busy": 0, "down": 1, "starting": 2, "idle": 3, "lent": 4, "closed": 5}
    shown, hidden = _fitting(status.slots, height - 1, lambda s: order.get(s.state, 6))
    cards = any(s.gpu for s in status.slots)
    columns = [c for c in (_WIDE_SLOT if wide else _PLAIN_SLOT) if cards or not c.header.startswith("gpu")]
    row = _wide_slot if wide else _plain_slot
    page = _grid(Grid(columns, [row(s, now, cards) for s in shown]), width, height - bool(hidden))
    if hidden:
        busy = sum(s.state == "busy" for s in hidden)
        page.append(Text(f"and {formats.count(len(hidden), 'more slot', 'more slots')}, {busy} of them busy", "dim"))
    return page


_PLAIN_SLOT = (
    Column(header="slot"),
    Column(header="cpu", right=True, leaves=4),
    Column(header="memory", right=True, leaves=5),
    Column(header="gpu", right=True, leaves=3),
    Column(header="running", elastic=True),
    Column(header="fold", right=True, leaves=1),
    Column(header="time", right=True, leaves=2),
)


def _plain_slot(s: SlotStatus, now: float, cards: bool) -> list[Cell]:
    gpu = [formats.percent(s.gpu_load)] if cards else []
    return [s.name, _cpu(s), formats.memory(s.rss_mb), *gpu, _task(s), _fold(s), _running_for(s, now)]


_WIDE_SLOT = (
    Column(header="slot"),
    Column(header="cores", style="dim", leaves=5),
    Column(header="cpu", right=True),
    Column(header="", grows_to=12, leaves=6),
    Column(header="memory", right=True),
    Column(header="gpu", leaves=4, style="dim"),
    Column(header="gpu load", right=True),
    Column(header="gpu memory", right=True),
    Column(header="running", elastic=True),
    Column(header="fold", right=True),
    Column(header="mean so far", right=True, leaves=3),
    Column(header="time", right=True),
    Column(header="pid", right=True, style="dim", leaves=8),
)


def _wide_slot(s: SlotStatus, now: float, cards: bool) -> list[Cell]:
    gpu: list[Cell] = [s.gpu or NOTHING, formats.percent(s.gpu_load), formats.memory(s.gpu_memory_mb)]
    return [s.name, _cores(s.cores), _cpu(s), Bar(_load(s), "cyan"), formats.memory(s.rss_mb), *(gpu if cards else []),
            _task(s), _fold(s), formats.score(s.running_mean), _running_for(s, now), str(s.pid or NOTHING)]


def _load(s: SlotStatus) -> float:
    return s.cpu / max(1, len(s.cores))


def _cpu(s: SlotStatus) -> str:
    return formats.percent(_load(s))


def _cores(cores: tuple[int, ...]) -> str:
    """``0-3,8``."""
    runs: list[list[int]] = []
    for core in sorted(cores):
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs) or NOTHING


def _task(s: SlotStatus) -> Text:
    if s.trial is None:
        return _state(s.state)
    again = f" (attempt {s.attempt})" if s.attempt > 1 else ""
    return Text(clean(s.trial) + again)


def _fold(s: SlotStatus) -> str:
    return f"{min(s.step + 1, s.steps)}/{s.steps}" if s.trial is not None and s.steps else NOTHING


def _running_for(s: SlotStatus, now: float) -> str:
    return NOTHING if s.trial is None or s.since is None else formats.span(now - s.since, whole=True)


# Families.


def shares(status: Status, width: int, height: int) -> list[Text]:
    """The families' shares in one line, and a line for each that stopped or moved."""
    line = joined(("share   ", "dim"))
    for family in status.families:
        style = "strike dim" if family.note else ""
        line.append(joined((clean(family.name), style), f" {formats.percent(family.share)}   "))
    if not status.families:
        line.append(NOTHING)
    machine_text = machine(status, width, brief=True)
    if line.cell_len + machine_text.cell_len <= width:
        line.append(" " * (width - line.cell_len - machine_text.cell_len))
        line.append_text(machine_text)
    notes = [Text(f"{clean(f.name)}: {clean(f.note)}", style="yellow") for f in status.families if f.note]
    return [line, *(clipped(n, width) for n in notes)][:height]


def families(status: Status, width: int, height: int) -> list[Text]:
    """A table of the families with a bar for each share."""
    columns = (
        Column(header="family", elastic=True), Column(header="share", right=True), Column(header="", grows_to=30),
        Column(header="time", right=True, leaves=5), Column(header="complete", right=True, leaves=1),
        Column(header="pruned", right=True, leaves=2), Column(header="failed", right=True, leaves=3),
    )
    rows = [_family_row(f) for f in status.families]
    page = _grid(Grid(columns, rows), width, height)
    notes = [Text(f"{clean(f.name)}: {clean(f.note)}", style="yellow") for f in status.families if f.note]
    return [*page, *(clipped(n, width) for n in notes)][:height]


def _family_row(f: FamilyShare) -> list[Cell]:
    return [f.name, formats.percent(f.share), Bar(f.share, "cyan"), formats.span(f.seconds), f"{f.complete:,}",
            f"{f.pruned:,}", Text(f"{f.failed:,}", style="red" if f.failed else "dim")]


def machine(status: Status, width: int, *, brief: bool = False) -> Text:
    """The whole machine's load."""
    m = status.machine
    cpu = formats.finite(m.cpu) or 0.0
    if brief:
        filled = (formats.finite(m.memory_used_mb) or 0.0) / (formats.finite(m.memory_mb) or 1.0)
        return Text(f"cpu {formats.percent(cpu / max(1, m.cores))}  memory {formats.percent(filled)}", style="dim")
    busy = sum(s.state == "busy" for s in status.slots)
    words = [f"{busy} of {formats.count(len(status.slots), 'slot')} busy", f"{cpu:.1f} of {m.cores} cores in use",
             f"{formats.memory(m.memory_used_mb)} of {formats.memory(m.memory_mb)} memory in use"]
    if m.gpus:
        words.append(formats.count(m.gpus, "GPU"))
    words += [f"scheduler {status.pid}", f"version {clean(status.version)}"]
    return clipped(Text("   ".join(words), style="dim"), width)


# Recent trials and the log.


def recent(status: Status, width: int, height: int, now: float) -> list[Text]:
    """The trials decided last, newest first."""
    columns = (
        Column(header="recent trial", elastic=True), Column(header="score", right=True),
        Column(header="", leaves=1), Column(header="took", right=True, leaves=2),
        Column(header="ago", right=True, leaves=3, style="dim"),
    )
    with_reasons = width >= 90
    newest = sorted(status.recent, key=lambda r: -(formats.finite(r.at) or 0.0))[: max(0, height - 1)]
    return _grid(Grid(columns, [_recent_row(r, now, with_reasons) for r in newest]), width, height)


def _recent_row(r: RecentTrial, now: float, with_reason: bool) -> list[Cell]:
    style = "dim" if r.state != "complete" else "bold" if r.was_best else ""
    outcome = Text("new best", style="bold green") if r.was_best else \
        Text("") if r.state == "complete" else Text(clean(r.state), style="red" if r.state == "failed" else "dim")
    if r.state == "failed" and r.reason and with_reason:
        outcome.append(f": {clean(r.reason)}")
    return [Text(clean(r.trial), style=style), Text(formats.score(r.score), style=style), outcome,
            formats.span(r.seconds), formats.span(now - r.at, whole=True)]


def log(status: Status, width: int, height: int, *, fold: bool = False) -> list[Text]:
    """The last lines of the run's log, oldest first; with ``fold``, a long line takes several."""
    page: list[Text] = []
    for line in reversed(status.log):
        if len(page) >= height:
            break
        text = _DATE.sub("", clean(line))
        parts = textwrap.wrap(text, max(8, width), subsequent_indent="  ") if fold else [text]
        page[:0] = [clipped(Text(part), width) for part in parts]
    return page[-height:] if height > 0 else []


# Helpers.


_Item = TypeVar("_Item")


def _fitting(
    items: Sequence[_Item], room: int, urgency: Callable[[_Item], int],
) -> tuple[list[_Item], list[_Item]]:
    """The items to show, in their own order, and those left out; a line is kept free to say so."""
    if len(items) <= room:
        return list(items), []
    ranked = sorted(range(len(items)), key=lambda i: urgency(items[i]))
    chosen = set(ranked[: max(0, room - 1)])
    return [items[i] for i in sorted(chosen)], [x for i, x in enumerate(items) if i not in chosen]


def _grid(grid: Grid, width: int, height: int) -> list[Text]:
    """The grid's lines, long names folded where there is room for it, else shortened."""
    folded = grid.lines(width, fold=True)
    return (folded if len(folded) <= height else grid.lines(width))[: max(0, height)]
