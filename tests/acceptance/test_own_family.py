"""A person's own family, from the documentation alone: searched, predicted with, and harmless where it fails."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.studies import events, leaderboard, optimizer, write_study

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
TOP = 'trials = 6\nfolds = 2\nfamilies = ["lightgbm", "huber"]'
OWN = '[family.huber]\nfile = "huber.py"\n[family.lightgbm.space]\niterations = 20\n[resources]\ncores = 1'


def example() -> str:
    """The file that the page shows."""
    (found,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_the_family_of_the_page_is_searched_and_its_models_predict_what_was_scored(tmp_path: Path) -> None:
    study = write_study(tmp_path, TOP, kinds=("regression",), extra=OWN)
    (study.parent / "huber.py").write_text(example(), encoding="utf-8")

    done = optimizer("run", study, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    best = leaderboard(study, "--family", "huber")[0]
    assert best["state"] == "complete"
    assert {p.name for p in study.parent.iterdir()} == {"small.toml", "small", "huber.py"}, "no bytecode beside it"
    again = optimizer("predict", study, tmp_path / "data/regression/test.csv", "--model", best["trial"],
                      "--out", tmp_path / "again.csv", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.csv").is_file()


def test_a_file_that_is_no_family_stops_that_family_with_the_reason(tmp_path: Path) -> None:
    study = write_study(tmp_path, TOP.replace('"huber"', '"huber", "empty"'), kinds=("regression",),
                        extra=OWN + '\n[family.empty]\nfile = "empty.py"')
    (study.parent / "huber.py").write_text("raise RuntimeError('not today')\n", encoding="utf-8")
    (study.parent / "empty.py").write_text("", encoding="utf-8")

    done = optimizer("run", study, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    stopped = {r["family"]: r["reason"] for r in events(study.with_suffix(""), "family_stopped")}
    assert stopped["huber"] == "RuntimeError: not today"
    assert stopped["empty"].endswith("empty.py: defines no FAMILY; docs/families.md shows one")
    assert {r["trial"].split("/")[1] for r in events(study.with_suffix(""), "trial_told")} == {"lightgbm"}


def test_a_file_that_is_not_there_and_a_name_that_is_taken_are_mistakes_of_the_study_file(tmp_path: Path) -> None:
    study = write_study(tmp_path, TOP, kinds=("regression",),
                        extra=OWN + '\n[family.xgboost]\nfile = "mine.py"')
    done = optimizer("run", study, cwd=tmp_path)
    assert done.returncode == 2
    assert f"{study}:" in done.stderr
    assert "family.huber.file: there is no file" in done.stderr
    assert "family.xgboost.file: 'xgboost' is a family that ships; call your own otherwise" in done.stderr
