"""``optimizer doctor``, ``calibrate`` and ``schema``: what this machine has and does best, and what a study may say."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click
import msgspec

from optimizer.cli import cli
from optimizer.cli.streams import say, show
from optimizer.errors import UserError
from optimizer.layout import slot_words

_LIBRARIES = ("optuna", "xgboost", "lightgbm", "catboost", "scikit-learn", "numpy", "pandas", "pyarrow", "sqlalchemy")


@cli.command()
@click.argument("study", required=False)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(study: str | None, *, as_json: bool) -> None:
    """Say what this machine has, what is missing, and what a study would use."""
    from optimizer.cli.run import study_file
    from optimizer.config.values import default_memory_mb
    from optimizer.gpus import find_gpus
    from optimizer.models import family_names
    from optimizer.resources import usable_cores, usable_memory_mb

    cores, memory = usable_cores(), usable_memory_mb()
    gpus = find_gpus(os.environ)
    facts = {
        "python": sys.version.split()[0],
        "cores": f"{len(cores)} usable of {os.cpu_count()} ({_ranges(cores)})",
        "memory": f"{memory / 1024:.1f} GiB, {default_memory_mb(memory) / 1024:.1f} of them for a run by default",
        "disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here",
        "gpus": ", ".join(f"{g.index}: {g.name} ({g.uuid}, {g.memory_mb / 1024:.0f} GiB)" for g in gpus.gpus)
                or gpus.note,
        "driver": gpus.driver or "none",
        "opencl": _opencl(),
        "families": ", ".join(family_names()),
        **{name: version(name) for name in _LIBRARIES},
    }
    advice = _advice()
    plan = _plan_of(study_file(study)) if study is not None else None
    if as_json:
        show(json.dumps({"facts": facts, "advice": advice, "plan": plan}))
        return
    for name, fact in facts.items():
        show(f"{name:14}{fact}")
    for line in advice:
        show(f"note: {line}")
    if plan is not None:
        show(f"\n{study} would use")
        for line in plan:
            show(f"  {line}")


@cli.command()
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def calibrate(study: str, *, as_json: bool) -> None:
    """Time a fold of each family at every number of threads, and remember what suits a study's tables best."""
    from optimizer.calibration import Timing
    from optimizer.calibration import calibrate as measure
    from optimizer.cli.run import load, study_file
    from optimizer.errors import ResourceError
    from optimizer.remembered import of_this_machine
    from optimizer.scheduler.folder import make_folder
    from optimizer.scheduler.start import survey

    loaded = load(study_file(study))
    with tempfile.TemporaryDirectory(prefix="optimizer-calibrate-") as scratch:
        folder = Path(scratch) / "run"
        make_folder(folder)
        machine = survey(loaded, os.environ, folder / "logs" / "probe.log")
        slots = [slot for slot in machine.plan.slots if slot.gpu is None]
        if not slots:
            raise ResourceError("this study has GPU slots only, and how many threads feed one is no choice")
        found: list[object] = []
        for one in measure(loaded, slots, machine.memory_mb, folder, of_this_machine(os.environ, machine.memory_mb),
                           lambda text: say(text, err=True)):
            if as_json:
                found.append(one)
            elif isinstance(one, Timing):
                show(f"{one.dataset}: {one.family}, {slot_words(one.slots, one.threads)}: a fold takes "
                     f"{one.alone_s:.3f} s alone, {one.beside_s:.3f} s beside its neighbours; "
                     f"{one.folds_per_hour:,.0f} folds an hour, {one.peak_mb:.0f} MiB")
            else:
                show(f"{one.dataset}: {slot_words(one.slots, one.threads)}: {one.choice.reason}")
        if as_json:
            show(msgspec.json.encode(found).decode())


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), help="File to write; by default standard output.")
def schema(out: Path | None) -> None:
    """Print the JSON schema of study files, for editors."""
    from optimizer.config.names import KnownNames
    from optimizer.config.schema import json_schema
    from optimizer.models import family_names
    from optimizer.strategies import pruner_names, sampler_names

    known = KnownNames(families=family_names(), samplers=sampler_names(), pruners=pruner_names())
    text = json.dumps(json_schema(known), indent=2) + "\n"
    if out is None:
        show(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def _plan_of(path: Path) -> list[str]:
    from optimizer.cli.run import load
    from optimizer.scheduler.quota import size_text
    from optimizer.scheduler.start import survey

    study = load(path)
    with tempfile.TemporaryDirectory() as scratch:
        machine = survey(study, os.environ, Path(scratch) / "probe.log")
    lines = [f"slot {slot.name}: cores {_ranges(slot.cores)}, {slot.threads} thread(s), "
             f"{slot.memory_mb / 1024:.1f} GiB" + (f", GPU {slot.gpu.index} {slot.gpu.name}" if slot.gpu else "")
             for slot in machine.plan.slots]
    lines += [f"{family}: {' and '.join(sorted(kinds))} slots" for family, kinds in machine.kinds.items()]
    lines += [f"note: {notice}" for notice in machine.notices]
    budget = f"{study.trials} trials" if study.trials else f"{study.time_per_dataset_s:.0f} s on all slots"
    disk = study.resources.disk_bytes(shutil.disk_usage(path.absolute().parent).free)
    return [*lines, f"up to {size_text(disk)} of the disk for predictions and models",
            f"{len(study.datasets)} dataset(s), {budget} each"]


def _advice() -> list[str]:
    lines = []
    if os.environ.get("XDG_SESSION_ID") and shutil.which("loginctl"):
        lines.append("this login session may be ended with everything in it at logout, nohup and tmux included; run "
                     "`loginctl enable-linger` once, and start with `systemd-run --user --scope optimizer run ...`")
    if (limit := os.environ.get("OMP_NUM_THREADS")) is not None:
        lines.append(f"OMP_NUM_THREADS={limit} is set here; each slot sets its own")
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        lines.append(f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} is respected")
    return lines


def _opencl() -> str:
    from optimizer.models.opencl import list_devices

    try:
        devices = list_devices()
    except (OSError, UserError) as error:
        return f"none ({error})"
    return ", ".join(d.name for d in devices) or "none"


def _ranges(numbers: tuple[int, ...]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
