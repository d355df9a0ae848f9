"""What many workers hold of one large table: it is mapped, so that all of them share what each has read.

    .venv/bin/python -m benchmarks.large --gigabytes 2 --workers 8

Workers are started by the backend of a run, with the libraries of all families loaded. Measured is the sum of their
proportional set sizes without data; then when each has been given a fold and has read every cell of the table, just
before the first fit; then the most that one worker holds inside a fit of each family. The family that only reads exists
in the frozen copy of the package.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.place import fresh, frozen_package, markdown, working_folder
from benchmarks.soak import measure
from optimizer.backends import make_backend
from optimizer.backends.base import Backend, WorkerLost
from optimizer.datasets.table import Feature, TableMeta
from optimizer.messages import CrossValidation, Event, Job, JobFailed, JobFinished, RunJob, WorkerReady
from optimizer.models import load_family
from optimizer.resources import Slot

FAMILIES = ("lightgbm", "xgboost", "catboost")
COLUMNS = 512
READING = '''"""Reads every cell, and waits until it may go on: for benchmarks."""

import time
from pathlib import Path

import numpy as np

from optimizer.models.base import TASKS, SpaceDescription
from optimizer.search_space import SearchSpace


class Model:
    best_iteration, device = None, "cpu"

    def predict(self, x):
        return np.zeros(len(x))

    def save(self, path):
        path.write_text("")


class Reading:
    name, library, runtime, devices, gpu_api = "reading", "numpy", "none", ("cpu",), ""
    module, default_device, suffix, tasks, weighs, listens = "numpy", "cpu", ".txt", TASKS, True, False

    def describe(self, summary):
        return SpaceDescription(space=SearchSpace(()), starts=({},))

    def fit(self, data, params, context):
        total = sum(float(data.x[i : i + 10_000].sum()) for i in range(0, len(data.x), 10_000))
        Path(params["mark"]).write_text(str(total))
        while not Path(params["go"]).exists():
            time.sleep(0.05)
        return Model()

    def load(self, path, task, n_classes, threads, cardinalities):
        return Model()


FAMILY = Reading()
'''


def write_table(root: Path, gigabytes: float) -> float:
    """An encoded regression table as a store keeps it, made in pieces; its bytes of cells in MiB."""
    rows = int(gigabytes * 1e9 / 4 / COLUMNS)
    folder = root / "data" / "large"
    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    x = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.float32, shape=(rows, COLUMNS))
    y = np.empty(rows)
    for begin in range(0, rows, 20_000):
        part = chance.normal(size=(min(20_000, rows - begin), COLUMNS)).astype(np.float32)
        x[begin : begin + len(part)] = part
        y[begin : begin + len(part)] = part[:, 0] + part[:, 1] * part[:, 2]
    x.flush()
    np.save(folder / "y.npy", y)
    np.save(folder / "folds.npy", (np.arange(rows) % 5).astype(np.int16)[None])
    (folder / "meta.json").write_bytes(msgspec.json.encode(TableMeta(
        fingerprint="large", task="regression", target="y", classes=(), class_counts=(),
        features=tuple(Feature(name=f"x{i}", kind="numeric", source=f"x{i}") for i in range(COLUMNS)), rows=rows,
        test_rows=0, fold_kind="plain", folds=5, repeats=1, seed=0, missing=0.0, weighted=False, submission=None)))
    return x.nbytes / 2**20


class Bench:
    """Workers of a run, without its scheduler."""

    def __init__(self, backend: Backend, slots: list[str]) -> None:
        self.backend, self.slots = backend, slots
        self._lease = 0

    def events(self, until: float = 3600.0) -> Iterator[tuple[str, Event]]:
        """What they say."""
        end = time.monotonic() + until
        while time.monotonic() < end:
            for slot, event in self.backend.receive(0.1):
                if isinstance(event, WorkerLost | JobFailed):
                    raise RuntimeError(f"{slot}: {event.reason}")
                yield slot, event
        raise RuntimeError("nothing came for an hour")

    def wait_for(self, kind: type, count: int) -> list[Event]:
        """So many events of a kind."""
        found: list[Event] = []
        for _, event in self.events():
            if isinstance(event, kind):
                found.append(event)
            if len(found) == count:
                break
        return found

    def send(self, slot: str, family: str, params: dict[str, object]) -> None:
        """One fold: a limit that nothing reaches ends the job after it."""
        self._lease += 1
        self.backend.send(slot, RunJob(job=Job(
            trial=f"large/{family}/{self._lease}", attempt=1, lease=self._lease, workload=CrossValidation(
                table="large", family=family, metric="rmse", params=params, seed=1, limits=(-1e300,)))))

    def pss_mb(self) -> float:
        """Of all workers."""
        pids = [pid for slot in self.slots if (pid := self.backend.pid(slot)) is not None]
        return sum(held["pss_mb"] for pid in pids if (held := measure(pid)) is not None)


def compare(folder: Path, gigabytes: float, workers: int) -> str:
    """Measure, and make the table."""
    for name in ("logs", "predictions", "models"):
        (folder / name).mkdir()
    data_mb = write_table(folder, gigabytes)
    cores = sorted(os.sched_getaffinity(0))
    slots = [Slot(name=f"cpu{i}", cores=(cores[i % len(cores)],), threads=1) for i in range(workers)]
    bench = Bench(make_backend("local", folder=folder, families=FAMILIES), [slot.name for slot in slots])
    try:
        for slot in slots:
            bench.backend.start(slot)
        bench.wait_for(WorkerReady, workers)
        without = bench.pss_mb()
        print(f"{workers} workers without data: {without:.0f} MiB", flush=True)
        marks = [folder / f"mark-{slot}" for slot in bench.slots]
        for slot, mark in zip(bench.slots, marks, strict=True):
            bench.send(slot, "reading", {"mark": str(mark), "go": str(folder / "go")})
        while not all(mark.exists() for mark in marks):
            time.sleep(0.2)
        before = bench.pss_mb()
        print(f"each has read the whole table of {data_mb:.0f} MiB: {before:.0f} MiB", flush=True)
        (folder / "go").write_text("")
        bench.wait_for(JobFinished, workers)
        rows: list[tuple[object, ...]] = [
            (f"{workers} workers without data", f"{without:.0f}", ""),
            (f"before the first fit, with a table of {data_mb:.0f} MiB", f"{before:.0f}",
             f"{before / (1.25 * data_mb + without):.2f} of 1.25 tables and the workers")]
        for family in FAMILIES:
            described = load_family(family).describe(TableMeta.summary(
                msgspec.json.decode((folder / "data" / "large" / "meta.json").read_bytes(), type=TableMeta), "rmse"))
            point = {**described.space.complete(described.starts[0]), "iterations": 3}
            bench.send(bench.slots[0], family, point)
            (finished,) = bench.wait_for(JobFinished, 1)
            assert isinstance(finished, JobFinished)
            rows.append((f"most of one worker in a fold of {family}, three trees", f"{finished.peak_rss_mb:.0f}",
                         f"{finished.peak_rss_mb / data_mb:.2f} tables, its mapped one included"))
            print(rows[-1], flush=True)
        return markdown(("what", "MiB", ""), rows)
    finally:
        bench.backend.close()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, "large")
    frozen = frozen_package(folder, {"models/reading.py": READING})
    os.environ.update(frozen)
    text = compare(fresh(folder / "run"), options.gigabytes, options.workers)
    (folder / "large.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
