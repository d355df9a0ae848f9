"""GPU slots with an injected device list: what each worker has in truth, and what happens where a card is none."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from optimizer.models.opencl import OpenCLDevice
from tests.acceptance.studies import (
    FAMILIES,
    QUICK,
    Record,
    Started,
    events,
    optimizer,
    processes_of,
    start,
    write_study,
)

STUBS = Path(__file__).resolve().parents[1] / "stubs"
TWO_CARDS = {
    "driver": "580.1",
    "gpus": [{"uuid": f"GPU-{i:08d}-aaaa", "name": "Stub 9000", "memory_mb": 24000, "load": 40, "used_mb": 300,
              "pci": f"00000000:6{i}:00.0"} for i in range(2)],
}
ENVIRONMENT = {"PYTHONPATH": str(STUBS), "STUB_NVML": json.dumps(TWO_CARDS)}

pytestmark = pytest.mark.whole_machine
needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


def facts(pid: int) -> dict[str, str]:
    """What a process has, from the kernel and not from what it says."""
    environment = dict(entry.split("=", 1) for entry in
                       Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if "=" in entry)
    cores = {line.split()[1] for task in Path(f"/proc/{pid}/task").iterdir()
             for line in (task / "status").read_text().splitlines() if line.startswith("Cpus_allowed_list")}
    return {"cuda": environment["CUDA_VISIBLE_DEVICES"], "order": environment["CUDA_DEVICE_ORDER"],
            "omp": environment["OMP_NUM_THREADS"], "cores": ",".join(sorted(cores))}


def facts_of_workers(run: Started, number: int) -> dict[str, dict[str, str]]:
    """The facts of each slot's first worker, looked at as soon as it is ready."""
    seen: dict[str, dict[str, str]] = {}

    def all_seen(records: list[Record]) -> bool:
        for record in records:
            if record["event"] == "worker_ready" and record["slot"] not in seen:
                seen[record["slot"]] = facts(record["pid"])
        return len(seen) >= number

    run.until(all_seen)
    return seen


@needs_two_cores
def test_every_worker_has_its_own_card_and_cores_and_no_other(tmp_path: Path) -> None:
    # More than there is time for, and slow: after its first job a card is left alone here, and its worker ends.
    slow = QUICK.replace("40", "4000").replace("low = 0.1, high = 0.3", "low = 0.001, high = 0.002")
    study = write_study(tmp_path, 'trials = 5000\nfolds = 2\n[resources]\ncores = 2', extra=slow)
    run = start(study, env=ENVIRONMENT)
    have = facts_of_workers(run, 3)
    first, second = sorted(os.sched_getaffinity(0))[:2]

    assert have == {
        "gpu0": {"cuda": "GPU-00000000-aaaa", "order": "PCI_BUS_ID", "omp": "1", "cores": str(first)},
        "gpu1": {"cuda": "GPU-00000001-aaaa", "order": "PCI_BUS_ID", "omp": "1", "cores": str(first)},
        "cpu0": {"cuda": "", "order": "PCI_BUS_ID", "omp": "1", "cores": str(second)},
    }
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 3
    for record in events(run.folder, "worker_ready"):
        assert set(record["pools"].values()) == {1}, record
    assert any("share 1 feeder core" in r["text"] for r in events(run.folder, "notice"))


@needs_two_cores
def test_a_family_that_in_truth_trained_on_the_cpu_moves_there_and_its_trial_is_kept(tmp_path: Path) -> None:
    # More than there is time for: of a few trials none may be left when a card's worker is ready.
    run = start(write_study(tmp_path, 'trials = 5000\nfolds = 2'), env=ENVIRONMENT)
    run.until(lambda rs: any(r["event"] == "family_moved" for r in rs) and
              {r["trial"].split("/")[1] for r in rs if r["event"] == "trial_told"} == set(FAMILIES))
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 3
    folder = run.folder

    assert [r["family"] for r in events(folder, "family_moved")] == ["xgboost"]
    told = events(folder, "trial_told")
    assert {r["device"] for r in told} == {"cpu"}
    assert {r["state"] for r in told} <= {"complete", "pruned"}
    assert any(r["slot"].startswith("gpu") and r["trial"].startswith("binary/xgboost/") for r in told)
    assert any("lightgbm cannot use GPU 0" in r["text"] for r in events(folder, "notice"))
    assert not processes_of(folder)


def test_a_family_that_must_have_the_gpu_stops_with_the_reason(tmp_path: Path) -> None:
    # Enough for the card's worker to be ready before the other has used them up.
    study = write_study(tmp_path, 'trials = 60\nfolds = 2',
                        extra='[family.xgboost]\ndevice = "gpu"\n' + QUICK)
    done = optimizer("run", study, "--families", "xgboost,catboost", cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {(r["trial"].split("/")[1], r["state"], r["kind"]) for r in events(study.with_suffix(""), "trial_told")}
    assert ("xgboost", "failed", "wrong_device") in told
    assert {state for family, state, _ in told if family == "xgboost"} == {"failed"}
    assert any(family == "catboost" and state == "complete" for family, state, _ in told)
    assert "xgboost" in {r["family"] for r in events(study.with_suffix(""), "family_stopped")}


def test_a_card_that_must_be_there_and_is_not_is_refused_before_the_start(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 6', extra='[family.xgboost]\ndevice = "gpu"\n' + QUICK)
    done = optimizer("run", study, cwd=tmp_path, env={**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 2
    assert "xgboost" in done.stderr
    assert "no GPU" in done.stderr
    assert not events(study.with_suffix(""), "worker_ready")


def test_cuda_visible_devices_of_the_person_is_respected(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 3\nfolds = 2')
    done = optimizer("run", study, "--families", "xgboost", cwd=tmp_path,
                     env={**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": "1"})
    assert done.returncode == 0, done.stderr
    slots = events(study.with_suffix(""), "run_started")[0]["slots"]
    assert [s["gpu"] for s in slots if s["gpu"]] == ["GPU-00000001-aaaa"]


def test_lightgbm_runs_on_an_opencl_device_from_one_command(tmp_path: Path, pocl: OpenCLDevice) -> None:
    """The whole GPU path: a slot with a device, the probe, the fit, the truth check, the submission."""
    listed = tmp_path / "devices.json"
    listed.write_text(json.dumps([{"index": 0, "uuid": "pocl", "name": pocl.name, "kind": "opencl"}]))
    study = write_study(tmp_path, 'trials = 4\nfolds = 2', extra='[family.lightgbm]\ndevice = "gpu"\n' + QUICK)

    done = optimizer("run", study, "--families", "lightgbm,catboost", cwd=tmp_path,
                     env={"OPTIMIZER_DEVICES": str(listed)})

    assert done.returncode == 0, done.stdout + done.stderr
    folder = study.with_suffix("")
    devices_used = {(r["trial"].split("/")[1], r["device"], r["slot"]) for r in events(folder, "trial_told")}
    assert ("lightgbm", "gpu", "gpu0") in devices_used
    assert {(family, device) for family, device, _ in devices_used} == {("lightgbm", "gpu"), ("catboost", "cpu")}
    assert (folder / "scores" / "best-binary.csv").is_file()
