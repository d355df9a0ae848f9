"""An hour with the nemesis: one study undisturbed and, beside it on another core, the same study under faults.

    make chaos                                         # 200 faults, 20 s apart on average, at least an hour
    .venv/bin/python -m benchmarks.chaos --faults 20 --mean-gap 5 --minutes 2      # to try it

Both run the same study file and the same frozen copy of the package, each bound to one core and on a small disk of
its own. The number of trials is found by a short calibration, so that the undisturbed run takes ``--minutes``.

What a trial costs must not depend on luck, or the ratio of the two would. So points are drawn at random, for a sampler
that learns is seeded anew by each start and may then look where a trial costs eight times as much and scores alike;
and trials are pruned by the median of the others, for the other rules prune the harder the sooner a good trial was
found, and of two runs without a fault one may prune twice as hard. ``--sampler`` and ``--pruner`` say otherwise.

The report, ``report.json`` and ``report.md`` in the folder that is printed, is rewritten as things happen, so
that an interrupted benchmark has a partial one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.place import frozen_package, markdown, working_folder, write_json
from benchmarks.shared import FOLDER
from tests.chaos import checker, damage
from tests.chaos.evidence import read_journal, told_now
from tests.chaos.faults import timeline
from tests.chaos.nemesis import Nemesis, Report

DATA = FOLDER / "s5e7"
#: The first trials of a run are no measure: the worker starts, the table is read, the start points are tried.
_WARM_UP_S = 30.0
#: More trials than the calibration says, for the pruner makes the later ones shorter: by a tenth where it was measured.
_MARGIN = 1.2


#: What a full chaos run has at least, and how much longer it may take than the undisturbed one.
FULL = {"faults": 200, "scheduler kills": 60, "worker kills": 100, "undisturbed seconds": 3600}
MOST_TIMES = 1.5


class Side:
    """One of the two runs, carried out in a thread of its own that is bound to its core."""

    def __init__(self, name: str, folder: Path, nemesis: Nemesis, core: int) -> None:
        self.name, self.folder, self.nemesis, self.core = name, folder, nemesis, core
        self.claims: list[checker.Claim] = []
        self.error = ""
        self.thread = threading.Thread(target=self._carry_out, name=name)

    @property
    def report(self) -> Report:
        """As far as it is known by now."""
        return self.nemesis.report

    def _carry_out(self) -> None:
        # Of this thread alone, and inherited by every process that it starts.
        os.sched_setaffinity(0, {self.core})
        try:
            self.nemesis.run()
        except Exception as error:  # the other side must still be heard, and the report written
            self.error = f"{type(error).__name__}: {error}"
            raise


def write_study(root: Path, data: Path, trials: int, seed: int, search: str, extra: str = "") -> Path:
    """The study file of one side; normal spaces, all families, pruning on. ``search``: lines on sampler and pruner."""
    path = root / "studies" / "chaos.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    train = data / "train.csv" if (data / "train.csv").is_file() else data / "data.csv"
    path.write_text(f'trials = {trials}\nseed = {seed}\n{search}\n{extra}\n[[datasets]]\n'
                    f'name = "{data.name}"\ntrain = "{train.resolve()}"\n', encoding="utf-8")
    return path


def search_of(options: argparse.Namespace) -> str:
    """How both sides search, as lines of a study file."""
    return f'sampler = "{options.sampler}"\npruner = "{options.pruner}"'


def calibrate(root: Path, options: argparse.Namespace, cores: tuple[int, int],
              environment: dict[str, str]) -> float:
    """Trials per second of one core while the other is busy with the same."""
    sides = []
    for core in cores:
        study = write_study(root / f"calibration-{core}", options.data, 10**6, options.seed, search_of(options),
                            f'deadline = "{math.ceil(options.calibrate)}s"')
        shutil.rmtree(study.with_suffix(""), ignore_errors=True)
        sides.append(Side(f"calibration on core {core}", study.with_suffix(""),
                          Nemesis(study, [], say=lambda text: None, environment=environment), core))
    with stopped_with_us(sides):
        for side in sides:
            side.thread.start()
        for side in sides:
            side.thread.join()
    rates: list[float] = []
    for side in sides:
        told = [float(r["t"]) for r in read_journal(side.folder).of("trial_told")]
        late = [t for t in told if t >= told[0] + _WARM_UP_S] or told
        rates.append((len(late) - 1) / max(1.0, late[-1] - late[0]))
    return sum(rates) / len(rates)


@contextlib.contextmanager
def stopped_with_us(sides: list[Side]) -> Any:
    """Ctrl-C and SIGTERM end both runs; what is known by then is reported."""
    def end(_number: int, _frame: object) -> None:
        print("interrupted: ending both runs", flush=True)
        for side in sides:
            side.nemesis.stop()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        # Whatever went wrong with us: their disks must not be taken away under them.
        for side in sides:
            if side.thread.is_alive():
                side.nemesis.stop()
                side.thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def as_markdown(facts: dict[str, Any], calm: Side, disturbed: Side) -> str:
    """What is to be said of it."""
    c, d = calm.report, disturbed.report
    ratio = f"{d.seconds / c.seconds:.2f}" if c.finished and d.finished else "unknown"
    rows: list[tuple[object, ...]] = [
        ("seed, trials, sampler, pruner, data, code",
         ", ".join(str(facts[name]) for name in ("seed", "trials", "sampler", "pruner", "data", "code"))),
        ("faults given, missed, not given", f"{sum(d.given.values())}, {sum(d.missed.values())}, {d.not_given}"),
        ("scheduler kills, worker kills", f"{d.scheduler_kills}, {d.worker_kills}"),
        ("by kind", ", ".join(f"{kind} {n}" for kind, n in sorted(d.given.items()))),
        ("told, lost, doubled", f"{d.told}, {len(d.lost)}, {len(d.doubled)}"),
        ("zombie processes, orphans", f"{len(d.zombies)}, {len(d.orphans)}"),
        ("integrity_check", ", ".join(f"{what}: {n}" for what, n in d.integrity.items() if n)),
        ("starts; ends", f"{d.starts}; " + ", ".join(f"{name}: {n}" for name, n in sorted(d.exits.items()))),
        ("refused or broke by itself; helped by hand", f"{len(d.refusals)}; {len(d.helped)}"),
        ("undisturbed", f"{c.seconds:.0f} s, {'finished' if c.finished else 'not finished'}, {c.told} told"),
        ("disturbed", f"{d.seconds:.0f} s, {'finished' if d.finished else 'not finished'}, {d.told} told, "
                      f"{d.down_s:.0f} s without a scheduler"),
        ("disturbed / undisturbed", ratio),
    ]
    for side in (calm, disturbed):
        rows += [(f"{side.name}: {claim.name}", f"{'holds' if claim.holds else 'BROKEN'} ({claim.seen})")
                 for claim in side.claims]
    found = [f"- {side.name}: {fault}" for side in (calm, disturbed) for claim in side.claims for fault in claim.broken]
    found += [f"- {text}" for text in (*d.zombies, *d.orphans, *d.unsound, *d.refusals, *d.helped, calm.error,
                                       disturbed.error) if text]
    return markdown(("what", "found"), rows) + "\n" + "".join(f"\n{line}" for line in found) + "\n"


def write_reports(folder: Path, facts: dict[str, Any], calm: Side, disturbed: Side) -> None:
    """Rewrite both reports with what is known by now."""
    write_json(folder / "report.json", {
        **facts, **{side.name: {**vars(side.report), "error": side.error, "claims": [
            dataclasses.asdict(c) for c in side.claims]} for side in (calm, disturbed)}})
    (folder / "report.md").write_text(as_markdown(facts, calm, disturbed), encoding="utf-8")


def judge(side: Side, *, resume: bool) -> None:
    """Have the checker look at what a side has left."""
    finished = side.report.finished
    side.claims = checker.check(side.folder, checker.FINISHED if finished else checker.ALWAYS)
    if finished and resume:
        side.claims.append(checker.restarts_cleanly(side.nemesis.study, environment=side.nemesis.environment))
        side.claims += checker.check(side.folder, (checker.told_once, checker.alike, checker.nobody_is_left))


def options_of() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--mean-gap", type=float, default=20.0, help="seconds between two faults on average")
    parser.add_argument("--minutes", type=float, default=62.0, help="that the undisturbed run shall take")
    parser.add_argument("--trials", type=int, help="the budget, instead of a calibration")
    parser.add_argument("--calibrate", type=float, default=240.0, metavar="S", help="seconds of calibration")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with train.csv or data.csv")
    parser.add_argument("--sampler", default="random", help="of both")
    parser.add_argument("--pruner", default="median", help="the same")
    parser.add_argument("--cores", default="0,1", help="one for the undisturbed run, one for the other")
    parser.add_argument("--disk-mb", type=int, default=2000, help="size of the small disk of each run")
    parser.add_argument("--without", default="", metavar="KIND,...", help="kinds of fault to leave out")
    parser.add_argument("--folder", type=Path, help="where to work; by default among the temporary files")
    return parser.parse_args()


def main() -> int:
    """Calibrate, run both, judge both."""
    options = options_of()
    folder = working_folder(options.folder, "chaos")
    environment = frozen_package(folder)
    first, second = (int(core) for core in options.cores.split(","))
    print(f"seed {options.seed}, {options.faults} faults {options.mean_gap:.0f} s apart, code {environment['CODE']}; "
          f"report in {folder}", flush=True)
    trials = options.trials
    if trials is None:
        print(f"calibrating for {options.calibrate:.0f} s on both cores", flush=True)
        rate = calibrate(folder, options, (first, second), environment)
        trials = max(10, math.ceil(rate * options.minutes * 60 * _MARGIN))
        print(f"{60 * rate:.1f} trials a minute; budget {trials} trials", flush=True)
    without = frozenset(filter(None, options.without.split(",")))
    with contextlib.ExitStack() as disks:
        mounted = [disks.enter_context(damage.tmpfs(folder / name, options.disk_mb)) for name in ("calm", "disturbed")]
        if not all(mounted):
            print("no small disk could be mounted: fill_disk is left out", flush=True)
            without |= {"fill_disk"}
        return run_both(options, folder, environment, trials, (first, second), without,
                        folder / "disturbed" if all(mounted) else None)


def run_both(options: argparse.Namespace, folder: Path, environment: dict[str, str], trials: int,
             cores: tuple[int, int], without: frozenset[str], disk: Path | None) -> int:
    """Both runs side by side, then the checker over both."""
    faults = timeline(options.seed, options.faults, options.mean_gap, without=without)
    facts = {"seed": options.seed, "trials": trials, "data": str(options.data), "code": environment["CODE"],
             "sampler": options.sampler, "pruner": options.pruner, "faults": options.faults,
             "mean_gap_s": options.mean_gap, "without": sorted(without), "began": time.time(), "cores": list(cores)}

    def side(name: str, core: int, given: list[Any], on: Path | None) -> Side:
        study = write_study(folder / name, options.data, trials, options.seed, search_of(options))
        shutil.rmtree(study.with_suffix(""), ignore_errors=True)
        return Side(name, study.with_suffix(""), Nemesis(
            study, given, disk=on, environment=environment,
            say=lambda text: print(f"{name:<10} {text}", flush=True)), core)

    calm, disturbed = side("calm", cores[0], [], None), side("disturbed", cores[1], faults, disk)
    sides = [calm, disturbed]
    with stopped_with_us(sides):
        for one in sides:
            one.thread.start()
        said: set[str] = set()
        while any(one.thread.is_alive() for one in sides):
            for one in sides:
                one.thread.join(timeout=30.0)
                if not one.thread.is_alive() and one.name not in said:
                    said.add(one.name)
                    print(f"{one.name}: {one.report.seconds:.0f} s, {one.report.told} told, "
                          f"{'finished' if one.report.finished else 'not finished'}"
                          f"{f', {one.report.not_given} faults were still to come' if one.report.not_given else ''}",
                          flush=True)
                elif one.thread.is_alive():
                    one.report.told = len(told_now(one.folder))
            print(f"told: calm {calm.report.told}, disturbed {disturbed.report.told} of {trials}", flush=True)
            write_reports(folder, facts, calm, disturbed)
    for one in sides:
        judge(one, resume=one is disturbed)
        write_reports(folder, facts, calm, disturbed)
        print(f"{one.name}:\n{checker.as_table(one.claims)}", flush=True)
    print(as_markdown(facts, calm, disturbed))
    shutil.copytree(disturbed.folder / "logs", folder / "logs", dirs_exist_ok=True)
    for name in ("journal.jsonl", "optuna.db"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(disturbed.folder / name, folder / name)
    good = disturbed.report.clean and all(c.holds for one in sides for c in one.claims)
    lacking = shortcomings(calm.report, disturbed.report, options)
    print(*lacking, sep="\n")
    return 0 if good and not lacking else 1


def shortcomings(calm: Report, disturbed: Report, options: argparse.Namespace) -> list[str]:
    """What of a full hour with its 200 faults was not reached; nothing for a shorter trial of the benchmark."""
    if options.faults < FULL["faults"]:
        return []
    measured = {
        "faults": sum(disturbed.given.values()), "scheduler kills": disturbed.scheduler_kills,
        "worker kills": disturbed.worker_kills, "undisturbed seconds": calm.seconds,
    }
    lacking = [f"{name}: {measured[name]:.0f}, and {least} were asked for" for name, least in FULL.items()
               if measured[name] < least]
    if not calm.finished or disturbed.seconds > MOST_TIMES * calm.seconds:
        lacking.append(f"disturbed took {disturbed.seconds:.0f} s, more than {MOST_TIMES} times {calm.seconds:.0f} s")
    return lacking


if __name__ == "__main__":
    sys.exit(main())
