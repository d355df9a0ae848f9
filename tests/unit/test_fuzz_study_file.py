"""Whatever a study file holds: it is a study, or a person is told what is wrong with it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.config.load import load_study
from optimizer.config.names import KnownNames
from optimizer.config.schema import sections
from optimizer.errors import StudyFileError

KNOWN = KnownNames(families=("lightgbm", "xgboost"), samplers=("random", "tpe"), pruners=("confidence", "none"))
KEYS = sorted({key for model in sections().values() for key in model.model_fields})

_KEY = st.one_of(st.sampled_from(KEYS), st.sampled_from(["", '"a b"', "a.b", "'x'", "é"]), st.text(max_size=4))
_VALUE = st.one_of(
    st.sampled_from(['"a"', "'a'", "5", "-1", "1e999", "nan", "true", "[]", "[1, [2]]", "{}", "{low = 1, high = 0}",
                     "2026-01-01", "07:30", '"""a', "[", '"1h"', '"50%"', '"../x.csv"', '"*.csv"', "0x", "9" * 30]),
    st.text(max_size=6), st.integers().map(str), st.floats().map(str), st.text(max_size=6).map(repr))
_LINE = st.one_of(
    st.tuples(_KEY, _VALUE).map(" = ".join),
    st.sampled_from(["[[datasets]]", 'train = "t.csv"', "[resources]", "[family.xgboost.space]", "[datasets]", "[", "#",
                     "[[family]]", "[family]", "\r", "\ufeff", "[[datasets.x]]"]),
    st.text(max_size=8))


def check(content: bytes, folder: Path) -> None:
    """Read the file; anything but a study or a message that is safe to print fails."""
    path = folder / "x.toml"
    path.write_bytes(content)
    for line in mistakes(path):
        assert line.isprintable(), repr(line)
        assert len(line) < 2000


def mistakes(path: Path) -> tuple[str, ...]:
    """What is wrong with the file."""
    try:
        load_study(path, KNOWN)
    except StudyFileError as error:
        return error.mistakes
    return ()


@settings(max_examples=250)
@given(st.lists(_LINE, max_size=8))
def test_any_lines_are_a_study_or_are_answered(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_text("x,y\n1,2\n")
        check("\n".join(lines).encode("utf-8", "surrogatepass"), Path(folder))


@settings(max_examples=150)
@given(st.binary(max_size=64))
def test_any_bytes_are_a_study_or_are_answered(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(content, Path(folder))


@settings(max_examples=150)
@given(st.integers(0, 200), st.binary(max_size=3), st.integers(0, 4))
def test_a_sound_file_with_a_wound_is_a_study_or_is_answered(at: int, wound: bytes, gone: int) -> None:
    sound = (b'trials = 5\nfamilies = ["xgboost"]\n[resources]\ncores = "50%"\n[[datasets]]\ntrain = "t.csv"\n'
             b'target = "y"\n[family.xgboost.space]\nlearning_rate = {low = 0.1, high = 0.3}\n')
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_text("x,y\n1,2\n")
        check(sound[:at] + wound + sound[at + gone:], Path(folder))
