"""On a large table a trial begins with a cheap fit on a part of the rows, and a hopeless one ends with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.acceptance.studies import events, optimizer

STUDY = """
trials = 30
folds = 2
sampler = "random"
families = ["lightgbm"]
[[datasets]]
name = "large"
train = "large.csv"
target = "y"
[family.lightgbm.space]
iterations = 12
learning_rate = [0.3, 0.0001]
[resources]
cores = 1
"""


def test_every_trial_of_a_large_table_has_a_first_look_and_the_hopeless_end_with_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 2)).round(3)
    y = (np.sin(2 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=len(x))).round(3)
    np.savetxt(tmp_path / "large.csv", np.column_stack([x, y]), delimiter=",", header="a,b,y", comments="", fmt="%.3f")
    (tmp_path / "large.toml").write_text(STUDY, encoding="utf-8")

    done = optimizer("run", "large.toml", "--plain", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    told = events(tmp_path / "large", "trial_told")
    assert all(record["look_score"] is not None for record in told)
    ended_there = [record for record in told if not record["fold_scores"]]
    assert ended_there, "nobody ended with the look"
    assert all(record["state"] == "pruned" for record in ended_there)
    # With so few trees one learning rate learns next to nothing, and some shapes of the other learn little.
    assert {record["params"]["learning_rate"] for record in told if record["state"] == "complete"} >= {0.3}
    best = min((record for record in told if record["score"] is not None), key=lambda record: record["score"])
    assert all(record["look_score"] > best["look_score"] for record in ended_there)
    later = [record for record in told[10:] if record["params"]["learning_rate"] == 0.0001]
    assert [record["trial"] for record in later if record["fold_scores"]] == [], "a hopeless one went past its look"
    assert "after a first look" in (tmp_path / "large" / "summary.txt").read_text()
