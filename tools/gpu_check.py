"""Every check that needs an NVIDIA card; writes what it found into docs/gpu.md. Exits with 2 where there is no card."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from optimizer.gpus import Gpu, find_gpus
from optimizer.journal import read

#: Fits a small table on the visible card and says where the library trained.
_XGBOOST = """
import json, numpy, xgboost
x = numpy.random.default_rng(0).random((20000, 20), dtype="f"); y = x.sum(1)
b = xgboost.train({"device": "cuda", "fail_on_invalid_gpu_id": True, "verbosity": 0}, xgboost.DMatrix(x, y), 20)
print(json.loads(b.save_config())["learner"]["generic_param"]["device"])
"""
_HOLD = """
import time, numpy, xgboost
x = numpy.random.default_rng(0).random((2000000, 50), dtype="f")
d = xgboost.QuantileDMatrix(x, x.sum(1), max_bin=256)
b = xgboost.train({"device": "cuda"}, d, 1000000, verbose_eval=False)
"""
#: Fits one fold of a family and says where and how long; of an error, what kind we take it for.
_FOLD = """
import json, sys, time
import numpy as np
from optimizer.failures import kind_of
from optimizer.models import load_family
from optimizer.models.base import FitContext, FoldCache, FoldData, TableSummary
name, device, rows, trees, threads, opencl = json.loads(sys.argv[1])
x = np.random.default_rng(0).normal(size=(rows, 40)).astype(np.float32)
y = (x[:, :5].sum(axis=1) + x[:, 5] * x[:, 6] > 0).astype(np.float64)
cut = rows * 4 // 5
data = FoldData(key=("check", 0, 0), x=x, train=slice(0, cut), valid=slice(cut, rows), y_train=y[:cut], w_train=None,
                y_valid=y[cut:], w_valid=None, cardinalities=(0,) * 40, task="binary", n_classes=2)
family = load_family(name)
described = family.describe(TableSummary(
    task="binary", metric="log_loss", rows=rows, numeric=40, categorical=0, max_cardinality=0, missing=0.0, classes=2,
    balance=1.0, weighted=False))
context = FitContext(threads=threads, device=device, seed=0, metric="log_loss", cache=FoldCache(),
                     opencl=tuple(opencl) if opencl else None)
params = described.space.complete(described.starts[0]) | {"iterations": trees}
try:
    for warm in (True, False):
        begun = time.monotonic()
        model = family.fit(data, params, context)
        took = time.monotonic() - begun
    right = float((model.predict(data.x_valid)[:, 1].round() == data.y_valid).mean())
    print(f"{model.device} {took:.1f} s, accuracy {right:.3f}")
except Exception as error:
    print(f"{kind_of(error, device)}: {' '.join(str(error).split())[:160]}")
"""
#: Takes all of the card's memory but a few MiB, and holds it.
_FILL = """
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
def done(status):
    if status:
        sys.exit(f"CUDA answers {status}")
device, context, held = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
done(cuda.cuInit(0))
done(cuda.cuDeviceGet(ctypes.byref(device), 0))
done(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
done(cuda.cuCtxSetCurrent(context))
done(cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)))
done(cuda.cuMemAlloc_v2(ctypes.byref(held), ctypes.c_size_t(free.value - (int(sys.argv[1]) << 20))))
print("full", flush=True)
time.sleep(600)
"""
#: Both families that use a card by default, told to use nothing else.
_STUDY = """
trials = 10
folds = 3
families = ["xgboost", "lightgbm"]
[[datasets]]
train = "train.csv"
metric = "roc_auc"
[family.xgboost]
device = "gpu"
space = {iterations = 200}
[family.lightgbm]
device = "gpu"
space = {iterations = 200}
"""
_ON_CARDS = ("xgboost", "lightgbm", "catboost")


def python(code: str, *arguments: str, timeout_s: float = 120, **environment: str) -> str:
    """Output of a program, or why it failed."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=timeout_s, check=False)
    return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[-200:]}"


def xgboost_on_its_card(gpu: Gpu) -> str:
    """Whether XGBoost trains on the card that it is shown."""
    return python(_XGBOOST, CUDA_VISIBLE_DEVICES=gpu.uuid, CUDA_DEVICE_ORDER="PCI_BUS_ID")


def xgboost_without_a_card(gpu: Gpu) -> str:
    """What `fail_on_invalid_gpu_id` does where no card is visible."""
    return python(_XGBOOST, CUDA_VISIBLE_DEVICES="")


@functools.cache
def lightgbm_probe(gpu: Gpu) -> str:
    """Which OpenCL device the probe takes for the card; asked once, while the card has room."""
    done = subprocess.run([sys.executable, "-m", "optimizer.models.opencl", json.dumps({"pci_bus_id": gpu.pci_bus_id})],
                          capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu.uuid})
    return done.stdout.strip() or done.stderr.strip()[-200:]


def lightgbm_and_visibility(gpu: Gpu) -> str:
    """Whether OpenCL respects CUDA_VISIBLE_DEVICES."""
    return python("from optimizer.models.opencl import list_devices; print([d.name for d in list_devices()])",
                  CUDA_VISIBLE_DEVICES="")


def memory_after_kill(gpu: Gpu) -> str:
    """How long the card's memory takes to come back after a worker was killed."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)

    def used() -> float:
        return float(pynvml.nvmlDeviceGetMemoryInfo(handle).used) / 2**20

    before = used()
    holder = subprocess.Popen([sys.executable, "-c", _HOLD], env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu.uuid})
    deadline = time.monotonic() + 60
    while used() < before + 200 and time.monotonic() < deadline and holder.poll() is None:
        time.sleep(0.2)
    held, begun = used() - before, time.monotonic()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    while used() > before + 50 and time.monotonic() - begun < 30:
        time.sleep(0.02)
    return f"{held:.0f} MiB held, back after {time.monotonic() - begun:.2f} s"


def fold(gpu: Gpu, family: str, device: str, *, rows: int = 200_000, trees: int = 300) -> str:
    """One fold of a family, the second time that the process fits it."""
    opencl = None
    if family == "lightgbm" and device == "gpu":
        found = json.loads(lightgbm_probe(gpu))
        if "error" in found:
            return str(found["error"])
        opencl = [found["platform"], found["device"]]
    threads = min(8, len(os.sched_getaffinity(0)))
    return python(_FOLD, json.dumps([family, device, rows, trees, threads, opencl]), timeout_s=300,
                  CUDA_VISIBLE_DEVICES=gpu.uuid if device == "gpu" else "", CUDA_DEVICE_ORDER="PCI_BUS_ID")


def folds_on_card_and_cores(gpu: Gpu) -> str:
    """What a fold of 200,000 rows, 40 columns and 300 trees takes on the card and on up to eight cores."""
    return "; ".join(f"{family}: {fold(gpu, family, 'gpu')}, {fold(gpu, family, 'cpu')}" for family in _ON_CARDS)


@contextmanager
def full(gpu: Gpu, left_mb: int) -> Iterator[None]:
    """The card with this much of its memory left."""
    holder = subprocess.Popen([sys.executable, "-c", _FILL, str(left_mb)], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu.uuid})
    try:
        if holder.stdout is None or holder.stdout.readline() != "full\n":
            raise RuntimeError("the card could not be filled")
        yield
    finally:
        holder.kill()
        holder.wait()


def errors_on_a_full_card(gpu: Gpu) -> str:
    """What each library says of a card without memory, and what we take it for."""
    said = []
    for left_mb in (100, 700):
        with full(gpu, left_mb):
            said += [f"{family}, {left_mb} MiB left: {fold(gpu, family, 'gpu', rows=2_000_000, trees=20)}"
                     for family in _ON_CARDS]
    return "; ".join(said)


def a_run_whose_worker_is_killed(gpu: Gpu) -> str:
    """A study on this card alone: where its trials trained, what the worker sees, and what a SIGKILL costs."""
    with tempfile.TemporaryDirectory() as folder:
        study, journal = Path(folder, "card.toml"), Path(folder, "card", "journal.jsonl")
        study.write_text(_STUDY, encoding="utf-8")
        python("import sys; from sklearn.datasets import make_classification as m; import pandas as pd;"
               "x, y = m(50000, 30, n_informative=10, random_state=0);"
               "pd.DataFrame(x).add_prefix('x').assign(y=y).to_csv(sys.argv[1], index=False)", f"{folder}/train.csv")
        run = subprocess.Popen([sys.executable, "-m", "optimizer", "run", str(study)], cwd=folder,
                               env={**os.environ, "CUDA_VISIBLE_DEVICES": gpu.uuid}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        sees, killed = "nothing", False
        while run.poll() is None:
            records = list(read(journal)) if journal.exists() else []
            ready = [r for r in records if r["event"] == "worker_ready" and r["slot"].startswith("gpu")]
            if ready and not killed and sum(r["event"] == "trial_told" for r in records) >= 4:
                environment = Path(f"/proc/{ready[-1]['pid']}/environ").read_bytes().decode().split("\0")
                sees = next(e for e in environment if e.startswith("CUDA_VISIBLE_DEVICES"))
                os.kill(ready[-1]["pid"], signal.SIGKILL)
                killed = True
            time.sleep(0.2)
        records = list(read(journal))
        told = Counter((r["trial"].split("/")[1], r["state"], r["device"]) for r in records
                       if r["event"] == "trial_told")
        lost = [r["reason"] for r in records if r["event"] == "job_lost"]
        notes = [r["text"] for r in records if r["event"] == "notice"]
        return (f"exit {run.returncode}; the worker sees {sees}; told: "
                + ", ".join(f"{n} {' '.join(map(str, what))}" for what, n in sorted(told.items(), key=str))
                + f"; lost: {lost}; said: {notes}")


CHECKS: tuple[tuple[str, Callable[[Gpu], str]], ...] = (
    ("XGBoost trains on the card that it is shown", xgboost_on_its_card),
    ("XGBoost with `fail_on_invalid_gpu_id` and no visible card", xgboost_without_a_card),
    ("LightGBM's probe finds the card by its PCI bus id", lightgbm_probe),
    ("OpenCL devices with `CUDA_VISIBLE_DEVICES=\"\"`", lightgbm_and_visibility),
    ("card memory after SIGKILL of a worker", memory_after_kill),
    ("a fold on the card, and on up to eight cores", folds_on_card_and_cores),
    ("errors on a full card, and what they are taken for", errors_on_a_full_card),
    ("a run on the card alone, its worker killed once", a_run_whose_worker_is_killed),
)


def main() -> int:
    """Run the checks on every card and replace the table of the page."""
    report = find_gpus(os.environ)
    if not report.gpus:
        print(f"nothing to check: {report.note}", file=sys.stderr)
        return 2
    rows = ["| check | card | result |", "|---|---|---|"]
    for gpu in report.gpus:
        for title, check in CHECKS:
            try:
                result = check(gpu)
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
            rows.append(f"| {title} | {gpu.index}: {gpu.name} | {' '.join(result.split())} |")
            print(rows[-1], flush=True)
    page = Path(sys.argv[1])
    text = page.read_text(encoding="utf-8")
    checked = (f"Checked on {time.strftime('%Y-%m-%d')} on {', '.join(gpu.name for gpu in report.gpus)} (driver "
               f"{report.driver}, {platform.platform()}, Python {platform.python_version()}).")
    # The first paragraph says what was checked; what it has not seen is for a person to say.
    head = re.sub(r"Checked on .*?\)\.", lambda _: checked, text[: text.index("| check |")], count=1, flags=re.DOTALL)
    page.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
