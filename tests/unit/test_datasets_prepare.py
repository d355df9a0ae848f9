"""A dataset is encoded once, kept by what it is and not by what it is called, and never half written."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optimizer.datasets.encode import encode_new
from optimizer.datasets.prepare import main, prepare
from optimizer.datasets.problem import Prepared, Problem, differences
from optimizer.datasets.table import Table
from optimizer.errors import DatasetError, StorageFault, UserError

TRAIN = "id,size,kind,note,y\n" + "".join(
    f"{n},{n * 7 % 11 + 0.5 if n % 5 else '?'},{'abc'[n % 3]},same,{'yes' if n % 2 else 'no'}\n" for n in range(60))
TEST = "kind,id,size,note\n" + "".join(f"{'abcd'[n % 4]},{n},{n % 11},same\n" for n in range(100, 108))
SAMPLE = "id,y\n" + "".join(f"{n},no\n" for n in range(107, 99, -1))


def problem(folder: Path, name: str = "d", *, train: str = TRAIN, test: str | None = TEST,
            sample: str | None = SAMPLE, **settings: Any) -> Problem:
    folder.mkdir(exist_ok=True)
    paths = {}
    for key, text in (("train", train), ("test", test), ("sample_submission", sample)):
        if text is not None:
            path = folder / f"{name}_{key}.csv"
            path.write_text(text)
            paths[key] = str(path)
    return Problem(name=name, **paths, **settings)


def quiet(line: str) -> None:
    raise AssertionError(f"nothing here takes long enough to be reported: {line}")


def prepared(tmp_path: Path, **settings: Any) -> Prepared:
    return prepare(problem(tmp_path / "files", **settings), tmp_path / "data", lambda _: None)


def test_the_table_of_a_dataset_is_complete(tmp_path: Path) -> None:
    known = prepared(tmp_path)
    assert (known.task, known.metric, known.direction) == ("binary", "accuracy", "maximize")
    assert known.classes == ("no", "yes")
    assert (known.rows, known.test_rows, known.columns, known.reused) == (60, 8, 2, False)
    assert "left out, the same in every row: note" in known.notices
    table = Table.open(tmp_path / "data" / known.fingerprint)
    assert table.meta.summary("accuracy") == known.summary
    assert [f.name for f in table.meta.features] == ["size", "kind"]
    assert table.x.shape == (60, 2)
    assert np.isnan(table.x[0, 0])
    assert table.x[1].tolist() == [7.5, 1.0]
    assert table.meta.missing == pytest.approx(12 / 120)
    assert table.y[:3].tolist() == [0.0, 1.0, 0.0]
    assert table.x_test is not None
    assert np.isnan(table.x_test[3, 1])
    assert np.load(tmp_path / "data" / known.fingerprint / "ids.npy").tolist() == [str(n) for n in range(107, 99, -1)]
    assert np.load(tmp_path / "data" / known.fingerprint / "id_rows.npy").tolist() == list(range(7, -1, -1))
    train, valid = table.split(0)
    assert len(train) + len(valid) == 60


def test_the_same_content_has_the_same_fingerprint_whatever_it_is_called(tmp_path: Path) -> None:
    root = tmp_path / "data"
    first = prepare(problem(tmp_path / "one", "one"), root, quiet)
    second = prepare(problem(tmp_path / "two", "two"), root, quiet)
    assert (first.fingerprint, first.reused, second.reused) == (second.fingerprint, False, True)
    assert second.dataset == "two"
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == [first.fingerprint]


def test_saying_what_was_inferred_changes_nothing(tmp_path: Path) -> None:
    known = prepared(tmp_path)
    said = prepared(tmp_path, target="y", id="id", task="binary", metric="accuracy", positive="yes",
                    submission="labels")
    assert said.fingerprint == known.fingerprint
    assert any(notice.startswith("target is 'y'") for notice in known.notices)
    assert not any(notice.startswith(("target is", "task is", "id is", "metric is")) for notice in said.notices)


@pytest.mark.parametrize(("settings", "said"), [
    ({"train": TRAIN.replace("59,6.5", "59,7.5")}, "the content of the training table changed"),
    ({"test": TEST.replace("100,1", "100,2")}, "the content of the test table changed"),
    ({"folds": 3}, "folds: was 5, is 3"), ({"seed": 1}, "seed: was 42, is 1"), ({"repeats": 2}, "repeats: was 1, is 2"),
    ({"positive": "no"}, "positive: was yes, is no"), ({"weights": "size", "missing_target": "drop"}, None),
    ({"groups": "kind", "folds": 3}, "groups: was not set, is kind"),
    ({"missing": ["c"]}, "missing: was not set, is c"),
])
def test_what_changes_the_table_changes_the_fingerprint_and_can_be_named(
    tmp_path: Path, settings: dict[str, Any], said: str | None
) -> None:
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    known = prepared(tmp_path)
    if said is None:
        with pytest.raises(DatasetError, match="a weight is a number of at least 0"):
            prepared(tmp_path, **settings)
        return
    changed = prepared(tmp_path, **settings)
    assert changed.fingerprint != known.fingerprint
    assert said in differences(known.parts, changed.parts)
    assert differences(known.parts, known.parts) == ()


def test_a_metric_that_changes_no_file_shares_the_table(tmp_path: Path) -> None:
    assert prepared(tmp_path, metric="f1").fingerprint == prepared(tmp_path, metric="mcc").fingerprint
    assert prepared(tmp_path, metric="roc_auc").submission_kind == "probability"


def test_a_new_table_is_encoded_like_the_test_table(tmp_path: Path) -> None:
    known = prepared(tmp_path)
    folder = tmp_path / "data" / known.fingerprint
    x, ids = encode_new(folder, tmp_path / "files" / "d_test.csv")
    assert np.array_equal(x, np.asarray(Table.open(folder).x_test), equal_nan=True)
    assert ids is not None
    assert ids.tolist() == [str(n) for n in range(100, 108)]
    new = tmp_path / "new.csv"
    new.write_text("size,kind\n3,b\n?,zzz\n")
    x, ids = encode_new(folder, new)
    assert ids is None
    assert np.array_equal(x, [[3, 1], [np.nan, np.nan]], equal_nan=True)
    new.write_text("size,kin\n3,b\n")
    with pytest.raises(DatasetError, match="that this one lacks: 'kind'"):
        encode_new(folder, new)


def test_parquet_is_encoded_to_the_same_numbers(tmp_path: Path) -> None:
    from optimizer.datasets.read import read_table

    csv_problem = problem(tmp_path / "files", test=None, sample=None, target="y", id="id")
    table = read_table(Path(csv_problem.train))
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({
        "id": [int(i) for i in table.column("id").to_pylist()],
        "size": [None if c == "?" else float(c) for c in table.column("size").to_pylist()],
        **{name: table.column(name) for name in ("kind", "note", "y")}}), path)
    one, two = (prepare(p, tmp_path / "data", quiet) for p in (
        csv_problem, msgspec.structs.replace(csv_problem, train=str(path))))
    assert one.fingerprint != two.fingerprint
    a, b = (Table.open(tmp_path / "data" / known.fingerprint) for known in (one, two))
    assert np.array_equal(a.x, b.x, equal_nan=True)
    assert np.array_equal(a.folds, b.folds)


def test_special_columns_are_no_features(tmp_path: Path) -> None:
    train = TRAIN.replace("id,size", "w,id,size").replace("\n", "\n1,")[:-2]
    known = prepared(tmp_path, train=train, weights="w", groups="kind", folds=3, target="y")
    table = Table.open(tmp_path / "data" / known.fingerprint)
    assert [f.name for f in table.meta.features] == ["size"]
    assert known.weighted
    assert table.weights is not None
    assert set(table.weights) == {1.0}


def test_a_time_column_orders_the_folds(tmp_path: Path) -> None:
    known = prepared(tmp_path, test=None, sample=None, target="y", time="id")
    table = Table.open(tmp_path / "data" / known.fingerprint)
    assert table.meta.fold_kind == "time"
    train, valid = table.split(2)
    assert train.max() < valid.min()


@pytest.mark.parametrize(("settings", "said"), [
    ({"test": TEST.replace("size", "sise")}, "lacks: 'size' .did you mean 'sise'"),
    ({"drop": ("sice",)}, "drop is 'sice', and the table has no such column; did you mean 'size'"),
    ({"weights": "y", "target": "y"}, "is the target and cannot also be weights"),
    ({"drop": ("size", "kind")}, "no column is left"),
    ({"test": None, "sample": SAMPLE}, "no test table"),
    ({"train": TRAIN.replace(",3.5,c", ",inf,c")}, "infinite or too large for a 32-bit number, the first is 'inf'"),
    ({"sample": SAMPLE.replace("100,", "99,")}, "1 ids are not in d_test.csv"),
    ({"train": "y\n1\n2\n", "target": "y", "test": None, "sample": None}, "the table has one column"),
    ({"numeric": ("kind",)}, "60 of its cells are no numbers"),
    ({"numeric": ("kind",), "categorical": ("kind",)}, "is in both categorical and numeric"),
])
def test_a_dataset_that_cannot_be_used_says_why(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        prepared(tmp_path, **settings)
    assert not [p for p in (tmp_path / "data").glob("*") if p.name != ".lock"]


def test_a_bad_row_of_the_test_table_is_refused_in_any_case(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="wrong number of fields"):
        prepared(tmp_path, test=TEST + "a,1\n", bad_rows="drop")


def test_what_is_new_in_the_test_table_is_said(tmp_path: Path) -> None:
    assert any("column 'kind': 2 test rows (25.0%) hold what training has not, such as 'd'" in notice
               for notice in prepared(tmp_path).notices)


def test_what_a_crash_left_is_removed_and_a_table_never_appears_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / ".partial-abc").mkdir(parents=True)

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            prepared(tmp_path)
    assert [p.name for p in (tmp_path / "data").iterdir()] == [".lock"]
    assert not prepared(tmp_path).reused


def test_a_damaged_table_is_not_reused_silently(tmp_path: Path) -> None:
    known = prepared(tmp_path)
    (tmp_path / "data" / known.fingerprint / "meta.json").write_text("{")
    with pytest.raises(StorageFault):
        prepared(tmp_path)


def test_the_encoded_bytes_are_the_same_every_time(tmp_path: Path) -> None:
    one, two = (prepare(problem(tmp_path / "files"), tmp_path / root, quiet) for root in ("a", "b"))
    for path in (tmp_path / "a" / one.fingerprint).iterdir():
        assert path.read_bytes() == (tmp_path / "b" / two.fingerprint / path.name).read_bytes()


def child(tmp_path: Path, text: bytes) -> tuple[int, list[dict[str, Any]]]:
    out = subprocess.run([sys.executable, "-m", "optimizer.datasets.prepare", str(tmp_path / "data")], input=text,
                         capture_output=True, check=False)
    return out.returncode, [msgspec.json.decode(line) for line in out.stdout.splitlines()]


def test_the_child_says_what_the_function_says(tmp_path: Path) -> None:
    code, lines = child(tmp_path, msgspec.json.encode(problem(tmp_path / "files")))
    assert code == 0
    known = msgspec.convert(lines[-1]["prepared"], Prepared)
    assert msgspec.structs.replace(known, reused=True) == prepared(tmp_path)


def test_the_child_tells_the_persons_mistakes_from_faults(tmp_path: Path) -> None:
    code, lines = child(tmp_path, msgspec.json.encode(problem(tmp_path / "files", target="z")))
    assert (code, lines[-1]["kind"]) == (2, "user")
    assert "no such column" in lines[-1]["error"]
    code, lines = child(tmp_path, b"{")
    assert (code, lines[-1]["kind"]) == (1, "fault")


def test_the_child_takes_one_problem_after_the_other(tmp_path: Path) -> None:
    good, wrong = (msgspec.json.encode(problem(tmp_path / "files", target=target)) + b"\n" for target in ("y", "z"))

    code, lines = child(tmp_path, good + wrong + good)

    answers = [line for line in lines if "progress" not in line]
    assert code == 0
    assert [answer["next"] for answer in answers] == [True] * 3
    assert [next(iter(answer)) for answer in answers] == ["prepared", "error", "prepared"]


def test_the_child_ends_after_a_fault_of_its_own(tmp_path: Path) -> None:
    code, lines = child(tmp_path, b"{\n" + msgspec.json.encode(problem(tmp_path / "files")) + b"\n")

    assert code == 1
    assert [(line["kind"], line["next"]) for line in lines] == [("fault", False)]


@pytest.mark.parametrize(("held_mb", "wanted"), [(1, False), (10_000, True)])
def test_a_child_that_has_held_much_takes_no_other_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], held_mb: int, wanted: bool,
) -> None:
    given = msgspec.json.encode(problem(tmp_path / "files")) + b"\n"
    monkeypatch.setattr("optimizer.datasets.prepare._SLIGHT_MB", held_mb)
    monkeypatch.setattr("sys.argv", ["prepare", str(tmp_path / "data")])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given + given)))

    assert main() == 0

    answers = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["next"] for answer in answers] == ([True, True] if wanted else [False])


def test_an_unknown_metric_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no metric is called 'acc uracy'"):
        prepare(Problem(name="d", train="/nowhere.csv", metric="acc uracy"), tmp_path, quiet)


def test_long_work_is_reported_and_short_work_is_not() -> None:
    from optimizer.datasets.progress import Progress

    now, lines = [0.0], list[str]()
    progress = Progress(lines.append, clock=lambda: now[0])
    for second in range(6):
        now[0] = float(second)
        progress.say(f"at {second}")
    assert lines == ["at 2", "at 4"]
