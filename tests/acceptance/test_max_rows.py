"""A family that does not scale to a table steps aside and says how it may take part; told to, it takes a part of the
rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optimizer.datasets.table import Table
from optimizer.store import Store
from tests.acceptance.studies import events, leaderboard, optimizer

STUDY = """
trials = {trials}
folds = 2
families = ["ridge", "svm"]
[[datasets]]
name = "diamonds"
train = "{train}"
target = "price"
[family.svm]
{svm}
[family.svm.space]
kernel = "linear"
[resources]
cores = 1
"""


def write(study: Path, train: Path, **keys: object) -> None:
    study.write_text(STUDY.format(train=train, **keys), encoding="utf-8")


def test_a_family_steps_aside_on_a_large_table_until_it_is_told_to_take_a_part_of_its_rows(
    tmp_path: Path, shared_datasets: Path,
) -> None:
    study, train = tmp_path / "large.toml", shared_datasets / "diamonds" / "data.csv"
    folder = study.with_suffix("")

    # Given a run in which it stepped aside
    write(study, train, trials=2, svm="")
    first = optimizer("run", study, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (stopped,) = events(folder, "family_stopped")
    assert stopped["reason"] == ("svm takes too long on 53,940 rows; it is for up to 30,000, and max_rows in "
                                 "[family.svm] fits it on a part of them")

    # When it is told to take a part of the rows, and the run is resumed
    write(study, train, trials=6, svm="max_rows = 1000")
    second = optimizer("run", study, cwd=tmp_path)

    # Then it is searched, and the log says once what its fits are made on
    assert second.returncode == 0, second.stderr
    said = [r["text"] for r in events(folder, "notice") if "max_rows" in r["text"]]
    assert said == ["diamonds: svm is fitted on at most 1,000 of each fold's training rows, as max_rows in "
                    "[family.svm] says; its scores are of all validation rows"]
    told = events(folder, "trial_told")
    assert {(r["trial"].split("/")[1], r["max_rows"]) for r in told} == {("ridge", None), ("svm", 1000)}
    assert {row["max_rows"] for row in leaderboard(study, "--family", "svm")} == {1000}

    board = optimizer("leaderboard", study, cwd=tmp_path).stdout
    assert "; svm fitted on at most 1,000 rows of a fold" in board

    # And scores are of all rows, by the models that predict
    best = next(r for r in told if r["trial"] == leaderboard(study, "--family", "svm")[0]["trial"])
    kept = Store(folder).read_predictions(best["trial"], best["attempt"]).oof[0]
    assert len(kept) == 53_940
    assert np.isfinite(kept).all()
    again = optimizer("predict", study, train, "--model", best["trial"], "--out", tmp_path / "again.csv", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    y = Table.open(Store(folder).table_folder(best["table"])).y
    predicted = np.loadtxt(tmp_path / "again.csv", delimiter=",", skiprows=1, ndmin=2)[:, -1]
    assert np.sqrt(np.mean((predicted - y) ** 2)) < 1.1 * best["score"]
