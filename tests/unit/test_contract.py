"""A person's family is held to what every family promises, and each broken promise is told from the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.cli.families import lines
from optimizer.contract.claim import Verdict, heard, judge
from optimizer.contract.claims import CLAIMS
from optimizer.contract.judging import judged
from optimizer.models import OWN, declare, load_family

#: Least squares on NumPy, written out: what a family is that takes nothing from scikit-learn.
FILE = '''
"""Least squares of the columns, gaps and codes as they come."""

import json

from optimizer.models.base import SpaceDescription
from optimizer.search_space import Float, Parameter, SearchSpace


class Model:
    device, best_iteration = "cpu", None

    def __init__(self, weights):
        self.weights = weights

    def predict(self, x):
        import numpy as np

        return _cells(x) @ np.array(self.weights)

    def save(self, path):
        path.write_text(json.dumps(self.weights))


def _cells(x):
    import numpy as np

    x = np.nan_to_num(x.astype(np.float64))
    return np.column_stack([np.ones(len(x)), x, np.abs(x)])


class Least:
    name = "least"
    library = module = "numpy"
    runtime = "none"
    devices = ("cpu",)
    gpu_api, default_device, suffix = "", "cpu", ".json"
    tasks = frozenset({"regression"})
    weighs = listens = False

    def describe(self, summary):
        space = SearchSpace((Parameter("penalty", Float(1e-6, 10.0, log=True)),))
        return SpaceDescription(space=space, starts=({"penalty": 0.001}, {"penalty": 0.1}))

    def fit(self, data, params, context):
        import numpy as np

        if set(params) != {"penalty"}:
            raise TypeError(f"unknown: {set(params) - {'penalty'}}")
        cells = _cells(data.x_train)
        # fit
        gram = cells.T @ cells + params["penalty"] * np.eye(cells.shape[1])
        return Model(np.linalg.solve(gram, cells.T @ data.y_train).tolist())

    def load(self, path, task, n_classes, threads, cardinalities):
        return Model(json.loads(path.read_text()))


FAMILY = Least()
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, in a folder of its own; whatever is declared is forgotten afterwards."""
    monkeypatch.setenv(OWN, "{}")
    (tmp_path / "least.py").write_text(FILE, encoding="utf-8")
    return tmp_path / "least.py"


def broken_claims(own: Path, name: str) -> dict[str, Verdict]:
    """Claims that do not hold of the file, judged in this process, the slow ones apart."""
    declare({name: str(own)})
    family = load_family(name)
    quick = [claim for claim in CLAIMS if claim.name not in ("threads", "memory")]
    verdicts = [judge(claim, family, "regression", str(own)) for claim in quick]
    return {verdict.claim: verdict for verdict in verdicts if not verdict.passed}


#: What is changed in the file, and the claims that are then broken; every file has a name of its own, for Python keeps
#: modules.
DEFECTS = {
    "unseeded": ("# fit", "cells = cells + np.random.default_rng().normal(size=cells.shape) / 1000",
                 {"same-seed", "same-threads", "same-cache"}),
    "chatty": ("# fit", "print('fitting')", {"quiet"}),
    "shifted": ("return Model(json.loads(path.read_text()))", "return Model([w + 1 for w in json.loads("
                "path.read_text())])", {"saved"}),
    "writing": ("# fit", "data.x[0, 0] = data.x[0, 0]", {"read-only"}),
    "deaf": ('if set(params) != {"penalty"}:', "if False:", {"unknown-parameter"}),
    "outside": ('{"penalty": 0.001}', '{"penalty": 20.0}', {"space"}),
    "flat": ("return _cells(x) @ np.array(self.weights)", "return np.zeros((len(x), 1))",
             {"shape", "learns", "one-column", "one-categorical-column", "a-column-without-a-value",
              "more-columns-than-rows", "a-category-that-is-always-missing", "unseen"}),
    "narrow": ("# fit", "assert cells.shape[1] > 4", {
        "one-column", "one-categorical-column"}),
    "nowhere": ('library = module = "numpy"', 'library, module = "numpyy", "numpy"', {"declared"}),
    "heavy": ("import json", "import json, numpy", {"light"}),
}


def test_a_family_that_keeps_its_promises_breaks_no_claim(own: Path) -> None:
    assert broken_claims(own, "least") == {}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_by_the_claims_that_are_about_it(own: Path, defect: str) -> None:
    old, new, expected = DEFECTS[defect]
    assert old in FILE
    own.write_text(FILE.replace(old, new, 1).replace('name = "least"', f'name = "{defect}"'), encoding="utf-8")

    broken = broken_claims(own, defect)

    assert set(broken) == expected
    assert all(v.found and v.expected and v.advice for v in broken.values())


@pytest.mark.parametrize(("name", "kept", "found"), [
    ("tidy", "kept = np.ones(2_000_000)", ""),
    ("leaky", "Least.kept = [*getattr(Least, 'kept', ()), np.ones(2_000_000)]", "MiB more are held after each fit"),
    ("greedy", "Least.kept = getattr(Least, 'kept', None) or [np.ones(70_000_000)]", "MiB stay behind after a fit"),
])
def test_a_family_that_holds_on_to_memory_is_found(own: Path, name: str, kept: str, found: str) -> None:
    own.write_text(FILE.replace("# fit", kept).replace('"least"', f'"{name}"'), "utf-8")
    declare({name: str(own)})
    (claim,) = (claim for claim in CLAIMS if claim.name == "memory")

    verdict = judge(claim, load_family(name), "regression", str(own))

    assert verdict.passed is not bool(found)
    assert found in verdict.found


def test_an_error_is_told_with_the_line_of_the_file_that_raised_it(own: Path) -> None:
    own.write_text(FILE.replace("# fit", "raise OSError('not today')").replace('"least"', '"raising"'), "utf-8")

    verdict = broken_claims(own, "raising")["shape"]

    assert verdict.found == "OSError: not today"
    assert verdict.place == f"least.py:{FILE[: FILE.index('# fit')].count(chr(10)) + 1}"


@pytest.mark.parametrize(("old", "new", "found"), [
    ('name = "least"', 'name = "most"', "its FAMILY is called 'most' and the study file calls it 'least'"),
    ("FAMILY = Least()", "", "defines no FAMILY"),
    ("import json", "import jsonn", "No module named 'jsonn'"),
    ("class Model:", "class Model", "SyntaxError"),
    ("import json", "import json, os; os.kill(os.getpid(), 11)", "its process died (SIGSEGV)"),
    ("import json", "import json, time; time.sleep(60)", "it has not ended after 2 s"),
])
def test_a_file_that_cannot_be_run_is_judged_once(own: Path, tmp_path: Path, old: str, new: str, found: str) -> None:
    own.write_text(FILE.replace(old, new, 1), encoding="utf-8")

    (verdict,) = judged(own, "least", tmp_path, limit_s=2.0)

    assert verdict.claim == "loads"
    assert found in verdict.found


def test_a_fit_that_kills_its_process_or_hangs_costs_one_claim_and_the_others_are_judged(
    own: Path, tmp_path: Path,
) -> None:
    own.write_text(FILE.replace("# fit", "import os, time\n        if data.key[0] == 'one column': os._exit(3)\n"
                                         "        if data.x.shape[1] == 450: time.sleep(60)"), encoding="utf-8")

    verdicts = {v.claim: v for v in judged(own, "least", tmp_path, limit_s=8.0)}

    assert set(verdicts) == {"loads", *(claim.name for claim in CLAIMS)}
    wrong = {name: v.found for name, v in verdicts.items() if not v.passed}
    assert wrong == {"one-column": "its process died (exit code 3)",
                     "more-columns-than-rows": "it has not ended after 8 s"}


def test_what_c_code_prints_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with heard() as said:
        os.write(1, b"from below\n")
        os.write(2, b"and beside")
    print("afterwards")

    assert said == ["from below\nand beside"]
    assert capfd.readouterr().out == "afterwards\n"


def test_a_claim_is_a_line_and_a_broken_one_says_what_to_do() -> None:
    told = lines([
        Verdict(claim="quiet", text="prints nothing", task="binary", passed=True),
        Verdict(claim="quiet", text="prints nothing", task="regression", passed=False, found="printed 'x'",
                expected="nothing", advice="turn it off", place="a.py:3"),
        Verdict(claim="weights", text="follows weights", task="binary", passed=True, note="it cannot"),
    ])

    assert [line.split(maxsplit=2) for line in told[:1]] == [["FAILED", "quiet", "prints nothing"]]
    assert told[1:4] == ["        regression: found a.py:3: printed 'x'", "        expected nothing",
                         "        to mend it: turn it off"]
    assert told[4].endswith("follows weights (it cannot)")
    assert told[5] == "2 claims on binary, regression: 1 failed"
