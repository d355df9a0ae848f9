"""The state of a run as a `Status`: a function of values, so that a screen can be tested without a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from optimizer.budgets import shares
from optimizer.datasets.problem import Problem
from optimizer.dispatch import Lease, SlotState
from optimizer.gpus import GpuLoad
from optimizer.records import TrialRecord
from optimizer.resources import Slot
from optimizer.scheduler.ledger import DatasetLedger
from optimizer.scheduler.monitor import ProcessLoad
from optimizer.status import DatasetStatus, FamilyShare, RecentTrial, SlotStatus


def dataset_lines(
    problems: Sequence[Problem], ledgers: Mapping[str, DatasetLedger], notes: Mapping[str, str],
    reading: Collection[str], elapsed_s: Mapping[str, float],
) -> tuple[DatasetStatus, ...]:
    """One line per dataset, in the order of the study file.

    Args:
        notes: why a dataset failed, or what else is to be said of it.
        reading: those that are being read now, or wait to be read again.
        elapsed_s: slot-seconds of running jobs, by dataset; only datasets with jobs are in it.
    """
    lines = []
    for problem in problems:
        ledger = ledgers.get(problem.name)
        if ledger is None:
            # While it is read, its note says what is being done.
            state = "reading" if problem.name in reading else "failed" if problem.name in notes else "waiting"
            lines.append(DatasetStatus(name=problem.name, state=state, note=notes.get(problem.name, "")))
            continue
        state = "running" if problem.name in elapsed_s else "finished" if ledger.finished else "ready"
        best = ledger.best
        families = ledger.families.values()
        lines.append(DatasetStatus(
            name=problem.name, state=state, metric=ledger.prepared.metric, direction=ledger.prepared.direction,
            rows=ledger.prepared.rows, columns=ledger.prepared.columns,
            best_score=best.score if best else None, best_error=best.standard_error if best else None,
            best_trial=best.trial if best else None, within_error=ledger.within_error(),
            complete=sum(f.complete for f in families), pruned=sum(f.pruned for f in families),
            failed=sum(f.failed for f in families),
            used_s=sum(sum(f.seconds.values()) for f in families) + elapsed_s.get(problem.name, 0.0),
            budget_s=ledger.budget_s, budget_trials=ledger.budget_trials, note=notes.get(problem.name, ""),
        ))
    return tuple(lines)


def under_way_s(leases: Sequence[Lease], now: float) -> dict[str, float]:
    """Slot-seconds of running and waiting jobs by dataset; ``now`` is monotonic."""
    seconds: dict[str, float] = {}
    for lease in leases:
        seconds.setdefault(lease.dataset, 0.0)
        seconds[lease.dataset] += (now - lease.started) * lease.slots if lease.started is not None else 0.0
    return seconds


def family_lines(
    names: Sequence[str], ledgers: Mapping[str, DatasetLedger], notes: Mapping[str, str],
) -> tuple[FamilyShare, ...]:
    """One line per family, over all datasets."""
    seconds = shares([ledger.use({}, 0) for ledger in ledgers.values()])
    total = sum(seconds.values())
    lines = []
    for name in names:
        parts = [ledger.families[name] for ledger in ledgers.values() if name in ledger.families]
        best = [p.best.score for p in parts if p.best] if len(parts) == 1 else []
        lines.append(FamilyShare(
            name=name, seconds=seconds.get(name, 0.0), share=seconds.get(name, 0.0) / total if total else 0.0,
            complete=sum(p.complete for p in parts), pruned=sum(p.pruned for p in parts),
            failed=sum(p.failed for p in parts), best_score=best[0] if best else None, note=notes.get(name, ""),
        ))
    return tuple(lines)


def slot_lines(
    slots: Sequence[Slot], states: Mapping[str, SlotState], lent: Mapping[str, str], pids: Mapping[str, int | None],
    loads: Mapping[str, ProcessLoad], gpus: Mapping[str, GpuLoad | None], wall_offset: float,
) -> tuple[SlotStatus, ...]:
    """One line per slot.

    Args:
        lent: the slot that one lends its cores to; empty where it works itself.
        wall_offset: what is added to monotonic seconds to have UTC seconds.
    """
    lines = []
    for slot in slots:
        state = states[slot.name]
        lease = state.running
        shown = "busy" if lease else state.phase if state.phase != "up" else "lent" if lent.get(slot.name) else "idle"
        load = loads.get(slot.name, ProcessLoad())
        card = gpus.get(slot.name)
        lines.append(SlotStatus(
            name=slot.name, cores=slot.cores, gpu=slot.gpu.name if slot.gpu else None, state=shown,
            pid=pids.get(slot.name), cpu=load.cpu, rss_mb=load.rss_mb, gpu_load=card.load if card else None,
            gpu_memory_mb=card.memory_mb if card else None, trial=lease.trial if lease else None,
            attempt=lease.attempt if lease else 1, step=lease.steps_done if lease else 0,
            steps=lease.steps if lease else 0, since=lease.started + wall_offset if lease and lease.started else None,
            running_mean=lease.running_mean if lease else None,
        ))
    return tuple(lines)


def recent_line(record: TrialRecord, was_best: bool) -> RecentTrial:
    """A decided trial's line."""
    # The mean over a part of the folds, which may be the easier ones, would look like a score.
    score = record.score if record.state == "complete" else None
    return RecentTrial(trial=record.trial, state=record.state, score=score, seconds=record.seconds,
                       at=record.at, was_best=was_best, reason=record.reason)


def progress_and_left_s(ledgers: Sequence[DatasetLedger], missing: int, slots: int) -> tuple[float, float | None]:
    """How much of the budgets is used, 0 to 1, and how many seconds are left by what is known.

    Args:
        missing: datasets that are not prepared yet; each counts like the average prepared one.
        slots: slots that work.
    """
    if not ledgers:
        return 0.0, None
    done, left_s, known = 0.0, 0.0, True
    for ledger in ledgers:
        families = ledger.families.values()
        used = sum(sum(f.seconds.values()) for f in families)
        if ledger.budget_s is not None:
            done += min(1.0, used / ledger.budget_s) if not ledger.finished else 1.0
            left_s += 0.0 if ledger.finished else max(0.0, ledger.budget_s - used)
        elif ledger.budget_trials is not None:
            done += min(1.0, ledger.decided / ledger.budget_trials) if not ledger.finished else 1.0
            lengths = [f.typical_s for f in families if f.typical_s]
            known = known and (bool(lengths) or ledger.finished)
            if lengths and not ledger.finished:
                left_s += max(0, ledger.budget_trials - ledger.decided) * sum(lengths) / len(lengths)
    count = len(ledgers) + missing
    scale = count / len(ledgers) if missing else 1.0
    return min(1.0, done / count), left_s * scale / max(1, slots) if known else None


def expected_end(now: float, left_s: float | None, share: float, deadline: float | None) -> float | None:
    """When the run will end by what is known now, in UTC seconds.

    Args:
        left_s: seconds that it would need on all its cores; ``None`` while nobody knows.
        share: of its cores, what it may use now.
    """
    ends = [end for end in (now + left_s / share if left_s is not None and share > 0 else None, deadline)
            if end is not None]
    return min(ends) if ends else None
