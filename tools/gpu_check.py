"""Every check that needs an NVIDIA card; writes what it found into docs/gpu.md. Exits with 2 where there is no card."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from optimizer.gpus import Gpu, find_gpus

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


def python(code: str, timeout_s: float = 120, **environment: str) -> str:
    """Output of a program, or why it failed."""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
                          text=True, timeout=timeout_s, check=False)
    return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[-200:]}"


def xgboost_on_its_card(gpu: Gpu) -> str:
    """Whether XGBoost trains on the card that it is shown."""
    return python(_XGBOOST, CUDA_VISIBLE_DEVICES=gpu.uuid, CUDA_DEVICE_ORDER="PCI_BUS_ID")


def xgboost_without_a_card(gpu: Gpu) -> str:
    """What `fail_on_invalid_gpu_id` does where no card is visible."""
    return python(_XGBOOST, CUDA_VISIBLE_DEVICES="")


def lightgbm_probe(gpu: Gpu) -> str:
    """Which OpenCL device the probe takes for the card."""
    done = subprocess.run([sys.executable, "-m", "optimizer.models.opencl", json.dumps({"pci_bus_id": gpu.pci_bus_id})],
                          capture_output=True, text=True, timeout=120, check=False)
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


CHECKS: tuple[tuple[str, Callable[[Gpu], str]], ...] = (
    ("XGBoost trains on the card that it is shown", xgboost_on_its_card),
    ("XGBoost with `fail_on_invalid_gpu_id` and no visible card", xgboost_without_a_card),
    ("LightGBM's probe finds the card by its PCI bus id", lightgbm_probe),
    ("OpenCL devices with `CUDA_VISIBLE_DEVICES=\"\"`", lightgbm_and_visibility),
    ("card memory after SIGKILL of a worker", memory_after_kill),
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
    head = text[: text.index("| check |")].replace("**Nothing here has run on an NVIDIA card yet.**",
                                                    f"Checked on {time.strftime('%Y-%m-%d')}, {platform.platform()}, "
                                                    f"driver {report.driver}.")
    page.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
