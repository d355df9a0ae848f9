"""``optimizer check-family``: a person's file held to what every family promises."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.studies import optimizer
from tests.acceptance.test_own_family import example


def test_the_family_of_the_page_keeps_every_promise(tmp_path: Path) -> None:
    (tmp_path / "huber.py").write_text(example(), encoding="utf-8")

    done = optimizer("check-family", "huber.py", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    *claims, last = done.stdout.splitlines()
    assert all(line.startswith("passed  ") for line in claims)
    assert last == f"{len(claims)} claims on regression: all hold"
    assert [p.name for p in tmp_path.iterdir()] == ["huber.py"], "no bytecode beside it"


def test_a_broken_promise_is_told_with_what_was_found_what_was_expected_and_what_to_do(tmp_path: Path) -> None:
    text = example().replace("return HuberRegressor(", "print('fitting'); return HuberRegressor(")
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")

    done = optimizer("check-family", "mine.py", "--name", "huber", cwd=tmp_path)
    as_json = optimizer("check-family", "mine.py", "--name", "huber", "--json", cwd=tmp_path)

    assert done.returncode == as_json.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("FAILED  quiet "))
    assert lines[at + 1: at + 4] == [
        "        regression: found printed 'fitting'", "        expected nothing on standard output or error",
        "        to mend it: turn the library's messages off (verbose=0) and its files too"]
    verdicts = json.loads(as_json.stdout)["verdicts"]
    assert [v["claim"] for v in verdicts if not v["passed"]] == ["quiet"]


def test_what_is_no_family_is_answered_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "huber.py").write_text("x = 1\n", encoding="utf-8")
    for arguments, words in (
        (("hubert.py",), ("hubert.py: there is no such file", "did you mean 'huber.py'")),
        (("huber.py",), ("FAILED  loads", "defines no FAMILY")),
        (("huber.py", "--name", "xgboost"), ("'xgboost' is a family that ships",)),
        (("huber.py", "--name", "my huber"), ("found 'my huber'; the name of your own family is letters",)),
        (("huber.py", "--limit", "soon"), ("--limit: found 'soon'",)),
    ):
        done = optimizer("check-family", *arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert not [word for word in words if word not in done.stdout + done.stderr], done.stdout + done.stderr
        assert "Traceback" not in done.stderr
