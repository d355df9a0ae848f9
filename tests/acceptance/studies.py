"""Small studies on real data, run as a person would run them: through the command, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.journal import Record, read

FAMILIES = ("catboost", "lightgbm", "xgboost")
#: Fast enough for a test, real enough to be a model.
QUICK = "\n".join(f"[family.{name}.space]\niterations = 40\nlearning_rate = {{low = 0.1, high = 0.3}}"
                  for name in FAMILIES)


#: Every run that a test has started and looks at; what a failed test leaves going is killed from this list.
STARTED: list[Started] = []


def write_tables(folder: Path, *, kind: str = "binary", columns: int = 8) -> None:
    """``train.csv``, ``test.csv`` and ``sample_submission.csv`` of a set that scikit-learn carries."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    load, target = {"binary": (load_breast_cancer, "diagnosis"), "multiclass": (load_wine, "cultivar"),
                    "regression": (load_diabetes, "progression")}[kind]
    bunch = load(as_frame=True)
    frame = bunch.data.iloc[:, :columns].copy()
    frame.insert(0, "id", range(1000, 1000 + len(frame)))
    frame[target] = bunch.target if kind == "regression" else bunch.target.map(dict(enumerate(bunch.target_names)))
    frame = frame.sample(frac=1.0, random_state=0)
    cut = len(frame) * 3 // 4
    folder.mkdir(parents=True, exist_ok=True)
    frame[:cut].to_csv(folder / "train.csv", index=False)
    test = frame[cut:].sort_values("id", ascending=False)
    test.drop(columns=target).to_csv(folder / "test.csv", index=False)
    # In another order than the test table, so that a submission that follows the wrong one is seen.
    sample = test[["id"]].sort_values("id").assign(**{target: frame[target].iloc[0]})
    sample.to_csv(folder / "sample_submission.csv", index=False)


def write_study(root: Path, text: str, *, kinds: Sequence[str] = ("binary",), name: str = "small",
                extra: str = QUICK) -> Path:
    """A study file over tables of these kinds, with this at its top."""
    datasets = ""
    for kind in kinds:
        write_tables(root / "data" / kind, kind=kind)
        datasets += f'[[datasets]]\ntrain = "../data/{kind}/train.csv"\n'
    path = root / "studies" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n{datasets}\n{extra}\n", encoding="utf-8")
    return path


def command(*arguments: object) -> list[str]:
    """The command line of ``optimizer``."""
    return [sys.executable, "-m", "optimizer", *map(str, arguments)]


def optimizer(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None,
              timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command(*arguments), cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True,
                          text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)


@dataclass
class Started:
    """A run that goes on while the test looks at it."""

    process: subprocess.Popen[bytes]
    folder: Path

    def __post_init__(self) -> None:
        STARTED.append(self)

    def wait(self, timeout_s: float = 240) -> int:
        """Its exit code."""
        return self.process.wait(timeout=timeout_s)

    def until(self, found: Callable[[list[Record]], bool], timeout_s: float = 120) -> list[Record]:
        """Wait for something in the journal."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            records = events(self.folder)
            if found(records):
                return records
            assert self.process.poll() is None, f"the run ended early: {self.process.returncode}"
            time.sleep(0.05)
        raise AssertionError(f"not seen within {timeout_s} s; events: {Counter(r['event'] for r in records)}")

    def stop_at_once(self) -> None:
        """Two signals: what runs is not waited for."""
        for number in (signal.SIGINT, signal.SIGTERM):  # two of one kind might be taken for one
            self.process.send_signal(number)
        assert self.wait() == 3

    def kill(self) -> None:
        """As a power cut would end the scheduler."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def start(study: Path, *arguments: object, env: Mapping[str, str] | None = None) -> Started:
    """Start ``optimizer run`` in a session of its own, without a terminal."""
    log = study.with_suffix(".out")
    with log.open("ab") as stream:
        process = subprocess.Popen(command("run", study, *arguments), cwd=study.parent.parent, stdin=subprocess.DEVNULL,
                                   env={**os.environ, **(env or {})}, stdout=stream, stderr=stream,
                                   start_new_session=True)
    return Started(process, study.with_suffix(""))


def events(folder: Path, name: str | None = None) -> list[Record]:
    """The journal of a run."""
    return [r for r in read(folder / "journal.jsonl") if name is None or r["event"] == name]


def processes_of(folder: Path) -> list[int]:
    """Every process that has the run's folder on its command line, the asker apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            except OSError:
                continue
            if os.fsencode(folder) in text and state != b"Z":
                found.append(int(entry.name))
    return found


def wait_until(true: Callable[[], bool], timeout_s: float = 10) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def database_trials(folder: Path) -> Counter[str]:
    """Trials in ``optuna.db`` by our id, and by ``state:NAME``, as Optuna itself reads them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{folder / 'optuna.db'}"
    found: Counter[str] = Counter()
    storage = optuna.storages.RDBStorage(url)
    try:
        for summary in optuna.get_all_study_summaries(storage):
            for trial in optuna.load_study(study_name=summary.study_name, storage=storage).trials:
                found[trial.user_attrs["trial"]] += 1
                found[f"state:{trial.state.name}"] += 1
    finally:
        storage.remove_session()
        storage.engine.dispose()
    return found


def told_counts(folder: Path) -> Counter[str]:
    """How often each trial is told in the journal."""
    return Counter(r["trial"] for r in events(folder, "trial_told"))


def leaderboard(study: Path, *arguments: object) -> list[dict[str, Any]]:
    """``optimizer leaderboard --json``."""
    done = optimizer("leaderboard", study, "--json", *arguments, cwd=study.parent.parent)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows
