"""Bad input as a person meets it: through the command, in processes of its own, with what each may take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from optimizer.datasets.problem import Problem
from tests.acceptance.studies import QUICK, command, events, optimizer, write_study
from tests.corpus import datasets, study_files
from tests.corpus.case import STUDY, Case, put
from tests.corpus.driver import check_message, snapshot

CASES = {case.fault: case for case in (*study_files.CASES, *datasets.CASES)}

#: A few of every kind; each costs a second or more.
SAMPLE = (
    "study file: text without quotes", "study file: a family in capitals", "study file: a dataset's name with ../",
    "study file: a pipe that nobody writes to", "dataset: a pipe that nobody writes to",
    "dataset: a web page by the name of a CSV file", "dataset: an infinite number",
    "dataset: a target of control characters",
)


@pytest.mark.parametrize("case", [pytest.param(CASES[fault], id=fault) for fault in SAMPLE])
def test_the_command_says_it_too_and_ends_with_2(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    before = snapshot(tmp_path)
    done = optimizer("run", STUDY, "--plain", "--trials", "3", cwd=tmp_path, timeout_s=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lacking = [word for word in case.words if word not in done.stderr]
    assert not lacking, f"the message says nothing of {lacking}: {done.stderr}"
    check_message(done.stderr)
    own = STUDY.removesuffix(".toml")
    after = {name: what for name, what in snapshot(tmp_path).items() if name != own and not name.startswith(f"{own}/")}
    assert after == before


def test_one_broken_dataset_of_three_is_left_out_and_the_run_goes_on_and_says_so(tmp_path: Path) -> None:
    study = write_study(tmp_path, 'trials = 2\nfolds = 2\nfamilies = ["lightgbm"]', kinds=("binary", "multiclass"))
    put(tmp_path, "data/broken/train.csv", "x,y\n1,a\n2,b,c\n3,a\n")
    text = study.read_text(encoding="utf-8").replace(QUICK, "")
    study.write_text(f'{text}[[datasets]]\ntrain = "../data/broken/train.csv"\n'
                     "[family.lightgbm.space]\niterations = 20\n", encoding="utf-8")
    done = optimizer("run", study, "--plain", cwd=tmp_path, timeout_s=240)
    assert done.returncode == 0, done.stderr
    assert "broken could not be used" in done.stderr
    assert "train.csv:3: 1 row has the wrong number of fields" in done.stderr
    assert 'bad_rows = "drop"' in done.stderr
    told = {record["trial"].split("/")[0] for record in events(study.with_suffix(""), "trial_told")}
    assert told == {"binary", "multiclass"}


#: MiB that the reader of a dataset may take for a table that is none; pyarrow and NumPy alone are 150.
_MOST_MB = 700


@pytest.mark.parametrize("fault", [
    "dataset: a million columns", "dataset: a header of thirty megabytes", "dataset: a gzip bomb of rows",
    "dataset: a gzip bomb of one line", "dataset: a cell of twenty megabytes",
])
def test_what_is_huge_is_refused_in_little_memory(fault: str, tmp_path: Path) -> None:
    CASES[fault].write(tmp_path)
    (path,) = (tmp_path / "data").iterdir()
    out = tmp_path / "answer"
    with out.open("wb") as stream:
        child = subprocess.Popen([sys.executable, "-m", "optimizer.datasets.prepare", str(tmp_path / "prepared")],
                                 stdin=subprocess.PIPE, stdout=stream)
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(Problem(name="x", train=str(path))))
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    answer = msgspec.json.decode(out.read_bytes().splitlines()[-1])
    assert child.returncode == 2, answer
    assert path.name in answer["error"]
    assert usage.ru_maxrss / 1024 < _MOST_MB


def test_a_name_that_is_not_utf_8_is_answered(tmp_path: Path) -> None:
    put(tmp_path, "data/good.csv", "x,y\n1,a\n")
    os.rename(tmp_path / "data/good.csv", os.fsencode(tmp_path / "data") + b"/caf\xe9.csv")
    put(tmp_path, STUDY, '[[datasets]]\ntrain = "../data/*.csv"\n')
    for name in (STUDY.encode(), b"studies/caf\xe9.toml"):
        done = subprocess.run([*command("run"), name], cwd=tmp_path, capture_output=True, timeout=60, check=False)
        assert done.returncode == 2, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"rename it" in done.stderr
