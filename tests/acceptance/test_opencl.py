"""LightGBM's GPU path for real, on pocl: OpenCL carried out by the CPU (``apt-get install pocl-opencl-icd``)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from optimizer.datasets.table import Feature, TableMeta
from optimizer.evaluation import evaluate
from optimizer.messages import CrossValidation, Job, JobFinished
from optimizer.models import load_family
from optimizer.models.base import FoldCache
from optimizer.models.opencl import OpenCLDevice
from optimizer.store import Store

TRIAL = "made-up/lightgbm/0"


def probe(**wanted: str | None) -> dict[str, object]:
    child = subprocess.run(
        [sys.executable, "-m", "optimizer.models.opencl", json.dumps(wanted)], capture_output=True, check=True,
    )
    answer: dict[str, object] = json.loads(child.stdout)
    return answer


@pytest.fixture(scope="module")
def probed(pocl: OpenCLDevice) -> tuple[int, int]:
    answer = probe(pci_bus_id=None, name=pocl.name)
    assert answer == {"platform": pocl.platform, "device": pocl.device, "name": pocl.name}
    return pocl.platform, pocl.device


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run's folder with one table: four columns, one of them categorical, and two classes."""
    root = tmp_path_factory.mktemp("run")
    folder = root / "data" / "t0"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4)).astype(np.float32)
    x[:, 3] = rng.integers(0, 6, 2000)
    y = (x[:, 0] + (x[:, 3] % 2) + 0.5 * rng.normal(size=2000) > 0.5).astype(np.float64)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    np.save(folder / "folds.npy", (np.arange(2000) % 3)[None].astype(np.int16))
    np.save(folder / "x_test.npy", x[:100])
    meta = TableMeta(
        fingerprint="t0", task="binary", target="y", classes=("no", "yes"), class_counts=(1000, 1000),
        features=tuple(
            Feature(name=f"x{i}", kind="numeric", cardinality=6 if i == 3 else 0, source=f"x{i}") for i in range(4)
        ),
        rows=2000, test_rows=100, fold_kind="plain", folds=3, repeats=1, seed=0, missing=0.0, weighted=False,
        submission=None,
    )
    (folder / "meta.json").write_bytes(msgspec.json.encode(meta))
    return Store(root)


def evaluated(store: Store, device: str, opencl: tuple[int, int] | None, *, attempt: int) -> JobFinished:
    from optimizer.datasets.table import read_meta

    family = load_family("lightgbm")
    description = family.describe(read_meta(store.table_folder("t0")).summary("accuracy"))
    params = {**description.space.complete(description.starts[0]), "max_bin": 63, "iterations": 40}
    job = Job(trial=TRIAL, attempt=attempt, lease=1, workload=CrossValidation(
        table="t0", family="lightgbm", metric="accuracy", params=params, seed=1, device=device,
        device_required=device == "gpu",
    ))
    return evaluate(
        job, store=store, family=family, threads=lambda: 1, opencl=opencl, cache=FoldCache(), emit=lambda event: None,
    )


def test_a_trial_on_the_probed_device_is_a_gpu_trial_and_as_good_as_on_the_cpu(
    store: Store, probed: tuple[int, int],
) -> None:
    on_cpu = evaluated(store, "cpu", None, attempt=1)
    on_gpu = evaluated(store, "gpu", probed, attempt=2)
    assert (on_cpu.device, on_gpu.device) == ("cpu", "gpu")
    assert on_gpu.score == pytest.approx(on_cpu.score, abs=0.02)
    assert on_gpu.score > 0.8


def test_models_of_the_gpu_predict_the_same_bits_without_it(store: Store, probed: tuple[int, int]) -> None:
    evaluated(store, "gpu", probed, attempt=3)
    info = store.model_info(TRIAL)
    x = np.load(store.table_folder("t0") / "x_test.npy")
    models = [
        load_family("lightgbm").load(store.model_folder(TRIAL) / f"fold-{k}.txt", info.task, 2, 1, info.cardinalities)
        for k in info.exported_steps
    ]
    mean = sum(m.predict(x) for m in models) / len(models)
    stored = store.read_predictions(TRIAL, 3).test
    assert stored is not None
    np.testing.assert_array_equal(mean[:, 1].astype(np.float32), stored[:, 0])


def test_a_cpu_is_never_taken_for_the_card_that_is_looked_for(pocl: OpenCLDevice) -> None:
    answer = probe(pci_bus_id="0000:ff:1f.7", name=pocl.name)
    assert list(answer) == ["error"]
    assert "no GPU at PCI bus id 0000:ff:1f.7" in str(answer["error"])


def test_a_table_that_opencl_cannot_bin_is_fitted_on_the_cpu_and_says_so(
    probed: tuple[int, int], tmp_path: Path,
) -> None:
    from optimizer.models.base import FitContext, FoldData

    rng = np.random.default_rng(0)
    x = rng.integers(0, 600, size=(3000, 1)).astype(np.float32)
    y = (x[:, 0] % 2).astype(np.float64)
    data = FoldData(key=("wide", 0, 0), x=x, train=slice(None), valid=slice(None), y_train=y, w_train=None, y_valid=y,
                    w_valid=None, cardinalities=(600,), task="binary", n_classes=2)
    family = load_family("lightgbm")
    table = TableMeta(
        fingerprint="wide", task="binary", target="y", classes=("0", "1"), class_counts=(1500, 1500),
        features=(Feature(name="x0", kind="categorical", cardinality=600, source="x0"),), rows=3000, test_rows=0,
        fold_kind="plain", folds=3, repeats=1, seed=0, missing=0.0, weighted=False, submission=None,
    )
    description = family.describe(table.summary("accuracy"))
    model = family.fit(
        data, {**description.space.complete(description.starts[0]), "iterations": 5},
        FitContext(threads=1, device="gpu", seed=1, metric="accuracy", cache=FoldCache(), opencl=probed),
    )
    assert model.device == "cpu"
