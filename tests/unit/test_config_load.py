"""A study file is checked once, and every mistake is shown with its place."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.config.load import MAX_BYTES, Overrides, load_study
from optimizer.config.names import KnownNames
from optimizer.config.resolved import Study
from optimizer.errors import StudyFileError

KNOWN = KnownNames(
    families=("catboost", "lightgbm", "xgboost"),
    samplers=("grid", "qmc", "random", "tpe"),
    pruners=("confidence", "median", "none"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with tables in ``data/``; study files are named ``x.toml``."""
    (tmp_path / "data").mkdir()
    for name in ("train.csv", "test.csv", "sample_submission.csv", "a1.csv", "a2.csv"):
        (tmp_path / "data" / name).write_text("id,y\n1,2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, overrides: Overrides | None = None) -> Study:
    Path("x.toml").write_text(dedent(text), encoding="utf-8")
    return load_study("x.toml", KNOWN, overrides)


def mistakes(text: str, overrides: Overrides | None = None) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        load(text, overrides)
    return list(caught.value.mistakes)


ONE = '[[datasets]]\ntrain = "data/a1.csv"\n'


# What a file means.


def test_a_file_that_names_one_table_gets_every_default(here: Path) -> None:
    study = load(ONE)
    assert (study.name, study.path, study.folder) == ("x", here / "x.toml", here / "x")
    assert (study.time_per_dataset_s, study.trials, study.deadline) == (3600.0, None, None)
    assert (study.folds, study.repeats, study.seed) == (5, 1, 42)
    assert [f.name for f in study.families] == ["xgboost", "lightgbm", "catboost"]
    assert all(f.device is None and f.space == {} for f in study.families)
    assert (study.sampler, study.pruner) == ("tpe", "confidence")
    assert (study.resources.gpus, study.resources.cores, study.resources.threads_per_slot) == ("all", "100%", None)
    assert study.resources.memory_mb(100_000) == 90_000
    assert study.resources.disk_bytes(1000) == 500
    assert (study.resources.fold_time_limit_s, study.resources.trial_time_limit_s) == (None, None)
    (problem,) = study.datasets
    assert (problem.name, problem.train, problem.test) == ("a1", str(here / "data/a1.csv"), None)


def test_every_key_reaches_the_study(here: Path) -> None:
    study = load("""
        trials = 7
        deadline = "8h"
        folds = 3
        repeats = 2
        seed = 1
        families = ["catboost", "xgboost"]
        sampler = "grid"
        pruner = "none"
        [resources]
        gpus = [0, "GPU-1"]
        cores = 2
        memory_limit = "2GiB"
        disk_limit = "0.3MB"
        fold_time_limit = "5m"
        trial_time_limit = "1h"
        threads_per_slot = 2
        [[datasets]]
        name = "first"
        train = "data/a1.csv"
        test = "data/test.csv"
        sample_submission = "data/sample_submission.csv"
        target = "y"
        id = "id"
        metric = "auc"
        task = "binary"
        positive = 1
        weights = "w"
        groups = "g"
        bad_rows = "drop"
        missing_target = "drop"
        missing = ["?", -999]
        drop = ["a"]
        categorical = ["b"]
        numeric = ["c"]
        delimiter = "\\t"
        submission = "probability"
        [family.xgboost]
        device = "any"
        [family.xgboost.space]
        max_depth = {low = 3, high = 8}
        subsample = [0.5, 1.0]
        max_bin = 256
    """)
    assert (study.time_per_dataset_s, study.trials, study.deadline) == (None, 7, 8 * 3600.0)
    assert (study.sampler, study.pruner) == ("grid", "none")
    assert [f.name for f in study.families] == ["catboost", "xgboost"]
    assert study.families[1].device == "any"
    assert study.families[1].space == {
        "max_depth": {"low": 3, "high": 8}, "subsample": (0.5, 1.0), "max_bin": 256,
    }
    assert (study.resources.gpus, study.resources.cores) == ((0, "GPU-1"), 2)
    assert study.resources.memory_mb(10_000) == 2048
    assert study.resources.disk_bytes(10) == 300_000
    assert (study.resources.fold_time_limit_s, study.resources.trial_time_limit_s) == (300.0, 3600.0)
    (problem,) = study.datasets
    assert problem.name == "first"
    assert (problem.test, problem.sample_submission) == (
        str(here / "data/test.csv"), str(here / "data/sample_submission.csv"))
    assert (problem.folds, problem.repeats, problem.seed) == (3, 2, 1)
    assert (problem.target, problem.id, problem.metric, problem.task) == ("y", "id", "roc_auc", "binary")
    assert (problem.positive, problem.weights, problem.groups) == ("1", "w", "g")
    assert (problem.bad_rows, problem.missing_target, problem.missing) == ("drop", "drop", ("?", "-999"))
    assert (problem.drop, problem.categorical, problem.numeric) == (("a",), ("b",), ("c",))
    assert (problem.delimiter, problem.submission) == ("\t", "probability")


def test_keys_at_the_top_are_the_default_of_every_dataset(here: Path) -> None:
    study = load("""
        metric = "accuracy"
        drop = ["a"]
        [[datasets]]
        train = "data/a1.csv"
        [[datasets]]
        train = "data/a2.csv"
        metric = "log_loss"
        drop = []
    """)
    assert [(p.metric, p.drop) for p in study.datasets] == [("accuracy", ("a",)), ("log_loss", ())]


def test_a_pattern_makes_a_dataset_of_every_file_in_the_order_of_names(here: Path) -> None:
    study = load('[[datasets]]\ntrain = "data/a*.csv"\n')
    assert [p.name for p in study.datasets] == ["a1", "a2"]


def test_a_file_that_is_called_like_a_pattern_is_itself(here: Path) -> None:
    (here / "data" / "a[12].csv").write_text("id,y\n")
    assert [p.name for p in load('[[datasets]]\ntrain = "data/a[12].csv"\n').datasets] == ["a-12"]


def test_paths_are_relative_to_the_study_file_not_to_the_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(ONE)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert load_study("../x.toml", KNOWN).datasets[0].train == str(here / "data/a1.csv")


def test_a_family_of_ones_own_may_lie_in_the_home_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = here / "home"
    home.mkdir()
    (home / "huber.py").touch()
    monkeypatch.setenv("HOME", str(home))
    study = load('families = ["huber"]\n' + ONE + '[family.huber]\nfile = "~/huber.py"\n')
    assert [family.file for family in study.families] == [str(home / "huber.py")]


def test_beside_a_file_called_train_the_test_table_and_the_sample_are_taken(here: Path) -> None:
    (problem,) = load('[[datasets]]\ntrain = "data/train.csv"\n').datasets
    assert problem.name == "data"
    assert (problem.test, problem.sample_submission) == (
        str(here / "data/test.csv"), str(here / "data/sample_submission.csv"))


def test_false_says_that_there_is_no_test_table(here: Path) -> None:
    (problem,) = load('[[datasets]]\ntrain = "data/train.csv"\ntest = false\n').datasets
    assert (problem.test, problem.sample_submission) == (None, None)


def test_a_dataset_is_called_after_its_folder_where_the_file_name_says_nothing(here: Path) -> None:
    (here / "House prices (2)").mkdir()
    (here / "House prices (2)" / "train.csv.gz").write_bytes(b"")
    study = load('[[datasets]]\ntrain = "House prices (2)/train.csv.gz"\n')
    assert study.datasets[0].name == "House-prices-2"


# What the command line changes.


def test_time_on_the_command_line_replaces_either_budget_of_the_file(here: Path) -> None:
    study = load("trials = 3\n" + ONE, Overrides(time="5m"))
    assert (study.time_per_dataset_s, study.trials) == (300.0, None)
    study = load('time_per_dataset = "1h"\n' + ONE, Overrides(trials=3))
    assert (study.time_per_dataset_s, study.trials) == (None, 3)


def test_time_with_a_plus_adds_to_what_the_file_says(here: Path) -> None:
    assert load('time_per_dataset = "90s"\n' + ONE, Overrides(time="+1h")).time_per_dataset_s == 3690.0
    assert load(ONE, Overrides(time="+1h")).time_per_dataset_s == 7200.0


def test_time_cannot_be_added_to_trials(here: Path) -> None:
    assert mistakes("trials = 3\n" + ONE, Overrides(time="+1h")) == [
        "--time: +1h adds to time_per_dataset, and the study file counts trials; "
        "give --trials, or --time without the +"]


def test_the_command_line_is_checked_like_the_file_and_names_its_flag(here: Path) -> None:
    found = mistakes(ONE, Overrides(time="+x", families=("xgbost",), seed=-1, sampler="tp", pruner="", deadline="9"))
    assert sorted(found) == sorted([
        "--time: found '+x', expected a duration such as \"90s\", \"5m\", \"1h30m\" or \"2d\"",
        "--deadline: found '9', expected a duration such as \"8h\", or a local clock time such as \"06:30\"",
        "--seed: found -1, expected at least 0",
        "--pruner: found '', expected text",
        "--families: no family is called 'xgbost'; did you mean 'xgboost'?",
        "--sampler: no sampler is called 'tp'; did you mean 'tpe'?",
    ])


def test_families_on_the_command_line_replace_those_of_the_file(here: Path) -> None:
    study = load('[family.xgboost]\ndevice = "cpu"\n' + ONE, Overrides(families=("xgboost",)))
    assert [(f.name, f.device) for f in study.families] == [("xgboost", "cpu")]


# The deadline.


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()


@pytest.mark.usefixtures("_berlin")
def test_a_deadline_by_the_clock_is_the_next_such_time_after_the_start(here: Path) -> None:
    evening = datetime.datetime(2025, 7, 5, 22, 0).timestamp()
    late = datetime.datetime(2025, 7, 6, 6, 30).timestamp()
    for text in ('deadline = "06:30"\n', "deadline = 06:30:00\n"):
        study = load(text + ONE)
        assert study.deadline_at(first_started=evening, started=evening) == late
        assert study.deadline_at(first_started=evening, started=late - 1) == late
        assert study.deadline_at(first_started=evening, started=late) == late + 86400


@pytest.mark.usefixtures("_berlin")
def test_a_deadline_by_the_clock_is_right_on_the_night_the_clocks_change(here: Path) -> None:
    evening = datetime.datetime(2025, 10, 25, 22, 0).timestamp()
    assert load('deadline = "06:30"\n' + ONE).deadline_at(evening, evening) == evening + 9.5 * 3600


def test_a_deadline_as_a_duration_counts_from_the_first_start(here: Path) -> None:
    assert load('deadline = "8h"\n' + ONE).deadline_at(first_started=100.0, started=5000.0) == 100.0 + 8 * 3600
    assert load(ONE).deadline_at(0.0, 0.0) is None


@pytest.mark.usefixtures("here")
def test_what_is_known_is_listed_once_however_many_keys_are_not() -> None:
    first, second, third = mistakes("qqqq = 1\nwwww = 2\n" + ONE + "zzzz = 3\n")

    assert "qqqq: unknown key; known here: bad_rows, " in first
    assert second.endswith("2: wwww: unknown key; as above")
    assert "zzzz: unknown key; known here: " in third  # another table, with other keys


@pytest.mark.usefixtures("here")
def test_the_same_mistake_in_many_members_of_a_list_is_said_once_and_counted() -> None:
    first, other = mistakes("families = [1, 2, 1, 1]\n" + ONE)

    assert first == "x.toml:1: families[0]: found 1, expected text in quotes; and so 2 more of this list"
    assert other == "x.toml:1: families[1]: found 2, expected text in quotes"


# Mistakes, one claim each: the text, and the message without its ``x.toml:``.


@pytest.mark.parametrize(("text", "message"), [
    ("fold = 5\n" + ONE, "1: fold: unknown key; did you mean 'folds'?"),
    (ONE + 'metrik = "rmse"\n', "3: datasets[0].metrik: unknown key; did you mean 'metric'?"),
    (ONE + "folds = 3\n", "3: datasets[0].folds: unknown key here; folds belongs at the top of the file, "
                          "above the first [table]"),
    ("cores = 2\n" + ONE, "1: cores: unknown key here; cores belongs under [resources]"),
    (ONE + "[resources]\ngpu = 'all'\n", "4: resources.gpu: unknown key; did you mean 'gpus'?"),
    (ONE + "[family.xgboost]\ndevise = 'cpu'\n", "4: family.xgboost.devise: unknown key; did you mean 'device'?"),
    (ONE + "[family.xgboost.space]\na = {lo = 1}\n",
     "4: family.xgboost.space.a.lo: unknown key; a range has low, high and log"),
    (ONE + "[family.xgboost.space]\na = {low = 9, high = 3}\n",
     "4: family.xgboost.space.a: found {low = 9, high = 3}, expected low to be at most high; swap them"),
    (ONE + "[family.xgboost.space]\na = {low = 'x'}\n",
     "4: family.xgboost.space.a.low: found 'x', expected a number"),
    (ONE + "[family.xgboost.space]\na = [[1]]\n",
     "4: family.xgboost.space.a: found [[1]], expected a value, a list of values, or a range such as "
     "{low = 3, high = 8}"),
    (ONE + "[family.xgbost]\n", "3: family.xgbost: no family is called 'xgbost'; did you mean 'xgboost'?"),
    (ONE + "[family.xgboost]\ndevice = 'gpus'\n",
     "4: family.xgboost.device: found 'gpus', expected 'gpu', 'cpu' or 'any'; did you mean 'gpu'?"),
    ("families = ['xgbost']\n" + ONE, "1: families[0]: no family is called 'xgbost'; did you mean 'xgboost'?"),
    ("families = [\n 'xgboost',\n 'xgboost',\n]\n" + ONE, "3: families[1]: 'xgboost' is listed twice; once will do"),
    ("families = []\n" + ONE, "1: families: found [], expected at least one"),
    ("families = 'xgboost'\n" + ONE, "1: families: found 'xgboost', expected a list; in brackets: [\"xgboost\"]"),
    ("sampler = 'tp'\n" + ONE, "1: sampler: no sampler is called 'tp'; did you mean 'tpe'?"),
    ("pruner = 'medan'\n" + ONE, "1: pruner: no pruner is called 'medan'; did you mean 'median'?"),
    ("metric = 'acuracy'\n" + ONE, "1: metric: no metric is called 'acuracy'; did you mean 'accuracy'?"),
    ("folds = 1\n" + ONE, "1: folds: found 1, expected at least 2"),
    ("folds = 5.0\n" + ONE, "1: folds: found 5.0, expected a whole number"),
    ("folds = true\n" + ONE, "1: folds: found true, expected a whole number"),
    ("folds = '5'\n" + ONE, "1: folds: found '5', expected a whole number; without quotes: 5"),
    ("seed = 4294967296\n" + ONE, "1: seed: found 4294967296, expected at most 4294967295"),
    ("seed = 0x1_0000_0000_0000_0000\n" + ONE,
     "1: seed: found a number of more than 64 bits; write a smaller one, or text in quotes"),
    ("seed = nan\n" + ONE, "1: seed: found nan, expected a finite number"),
    (ONE + "[family.xgboost.space]\na = {low = -inf}\n",
     "4: family.xgboost.space.a.low: found -inf, expected a finite number"),
    ("time_per_dataset = 60\n" + ONE,
     '1: time_per_dataset: found 60, expected a duration such as "90s", "5m", "1h30m" or "2d"'),
    ("time_per_dataset = '0s'\n" + ONE,
     "1: time_per_dataset: found '0s', expected a duration above 0 and up to \"3650d\""),
    ("time_per_dataset = '1h'\ntrials = 3\n" + ONE,
     "2: trials: time_per_dataset is given too; a dataset's budget is one of the two"),
    ("trials = 0\n" + ONE, "1: trials: found 0, expected at least 1"),
    ("deadline = '24:00'\n" + ONE,
     "1: deadline: found '24:00', expected a duration such as \"8h\", or a local clock time such as \"06:30\""),
    ("time = '5m'\n" + ONE,
     "1: time: found '5m', expected the name of a column; a dataset's budget is time_per_dataset"),
    (ONE + "[family.xgboost]\nmax_rows = 50\n", "4: family.xgboost.max_rows: found 50, expected at least 100"),
    (ONE + "[family.xgboost]\nmax_row = 500\n",
     "4: family.xgboost.max_row: unknown key; did you mean 'max_rows'?"),
    (ONE + "[resources]\ncores = 0\n",
     '4: resources.cores: found 0, expected a number of cores from 1, or a share such as "50%"'),
    (ONE + "[resources]\ncores = '101%'\n",
     "4: resources.cores: found '101%', expected a number of cores from 1, or a share such as \"50%\""),
    (ONE + '[resources]\ndisk_limit = "300KB"\n',
     '4: resources.disk_limit: found \'300KB\', expected an amount of disk space such as "20GB", or a share of what '
     'is free such as "50%"'),
    (ONE + "[resources]\nfold_time_limit = 60\n",
     '4: resources.fold_time_limit: found 60, expected a duration such as "90s", "5m", "1h30m" or "2d"'),
    (ONE + "[resources]\nmemory_limit = 12\n",
     '4: resources.memory_limit: found 12, expected an amount of memory such as "12GB" or "8GiB", '
     'or a share such as "50%"'),
    (ONE + "[resources]\ngpus = 0\n",
     '4: resources.gpus: found 0, expected "all", "none", or a list of indices and UUIDs such as [0, "GPU-1b2c..."]'),
    (ONE + "[resources]\ngpus = [0, 0]\n", "4: resources.gpus: found [0, 0], expected each GPU once"),
    ("folds = 5\n", " datasets: missing; expected at least one [[datasets]]"),
    ("datasets = []\n", "1: datasets: found [], expected at least one"),
    ("datasets = [3]\n", "1: datasets[0]: found 3, expected a table"),
    ("folds = 5\n[[datasets]]\nname = 'a'\n",
     "2: datasets[0].train: missing; expected the path of the training table"),
    (ONE + "task = 'multi'\n", "3: datasets[0].task: found 'multi', expected 'binary', 'multiclass' or "
                               "'regression'; did you mean 'multiclass'?"),
    (ONE + "metric = 'rmse'\ntask = 'binary'\n",
     "3: datasets[0].metric: metric 'rmse' is for regression, and the task is binary; for binary: accuracy, "
     "average_precision, balanced_accuracy, brier, f1, f1_macro, log_loss, mcc, qwk, roc_auc"),
    (ONE + "target = 'y'\nid = 'y'\n", "4: datasets[0].id: 'y' is the target already; name another column"),
    (ONE + "target = 'y'\ndrop = ['y']\n", "4: datasets[0].drop: 'y' is the target; it cannot be left out"),
    (ONE + "numeric = ['a']\ncategorical = ['a']\n",
     "3: datasets[0].numeric: 'a' is listed under categorical too; choose one of the two"),
    (ONE + "delimiter = ', '\n", "3: datasets[0].delimiter: found ', ', expected a single character"),
    (ONE + "positive = true\n", "3: datasets[0].positive: found true, expected text, as it stands in the table"),
    (ONE + "target = ''\n", "3: datasets[0].target: found '', expected text"),
    (ONE + "test = true\n",
     "3: datasets[0].test: found true, expected the path of a file, or false where there is none"),
    (ONE + "name = '../a'\n", "3: datasets[0].name: found '../a', expected letters, digits, \".\", \"_\" and \"-\", "
                              "beginning with a letter or digit, at most 100"),
    (ONE + 'name = "a\\n"\n', "3: datasets[0].name: found 'a\\n', expected letters, digits, \".\", \"_\" and \"-\", "
                              "beginning with a letter or digit, at most 100"),
    (ONE + ONE, "3: datasets[1].name: the name 'a1' is taken by datasets[0]; give each its own name"),
    (ONE + '[[datasets]]\ntrain = "data/a*.csv"\nname = "b"\n',
     "5: datasets[1].name: the pattern 'data/a*.csv' matches 2 files, which cannot all be called so; "
     "leave name out, or name one file"),
    (ONE + '"\\u001b[31m\\n" = 1\n', None),
    ("a = [" * 20 + "]" * 20 + "\n" + ONE, None),
])
def test_a_mistake_is_one_line_with_its_place(here: Path, text: str, message: str | None) -> None:
    (found,) = mistakes(text)
    assert found.isprintable()
    if message is not None:
        assert found == f"x.toml:{message}"


@pytest.mark.parametrize(("key", "given", "message"), [
    ("train", "data/tran.csv", "no file 'data/tran.csv' (from '{here}'); did you mean 'train.csv'?"),
    ("train", "date/train.csv", "no file 'date/train.csv': there is no folder '{here}/date'; mend the path"),
    ("train", "data/b*.csv", "no file matches 'data/b*.csv' (from '{here}'); mend the pattern, or its path"),
    ("train", "data", "found the folder 'data', expected a file in it"),
    ("test", "data/tests.csv", "no file 'data/tests.csv' (from '{here}'); did you mean 'test.csv'?"),
])
def test_a_file_that_is_not_there_is_named_with_the_nearest(here: Path, key: str, given: str, message: str) -> None:
    text = f'[[datasets]]\ntrain = "{given}"\n' if key == "train" else f'{ONE}{key} = "{given}"\n'
    (found,) = mistakes(text)
    assert found.partition(": ")[2] == f"datasets[0].{key}: {message.format(here=here)}"


def test_all_mistakes_are_shown_at_once_in_the_order_of_the_file(here: Path) -> None:
    found = mistakes("""\
        folds = 1
        metric = "acuracy"
        sampler = "tp"
        [[datasets]]
        train = "data/tran.csv"
        task = "multi"
        [[datasets]]
        train = "data/a1.csv"
        [[datasets]]
        train = "data/a1.csv"
        [family.cat]
        device = 3
    """)
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in found] == [
        "x.toml:1 folds", "x.toml:2 metric", "x.toml:3 sampler", "x.toml:5 datasets[0].train",
        "x.toml:6 datasets[0].task", "x.toml:9 datasets[2].name", "x.toml:11 family.cat",
        "x.toml:12 family.cat.device",
    ]


def test_a_default_that_is_wrong_is_one_mistake_however_many_datasets_there_are(here: Path) -> None:
    assert mistakes('test = "none.csv"\n[[datasets]]\ntrain = "data/a*.csv"\n') == [
        f"x.toml:1: test: no file 'none.csv' (from '{here}'); "
        "mend the path, which is relative to the study file"]


def test_a_file_full_of_mistakes_shows_twenty_and_counts_the_rest(here: Path) -> None:
    found = mistakes("".join(f"k{i} = 1\n" for i in range(500)) + ONE)
    assert len(found) == 21
    assert found[-1] == "x.toml: and 480 more mistakes; mend these first"


# Files that are no study files.


@pytest.mark.parametrize(("content", "message"), [
    (b"folds = 5\nx = = 3\n", "x.toml:2: found '= 3'; text needs quotes: x = \"= 3\""),
    (b"folds = 5\nfolds = 3\n", "x.toml:2: 'folds' is given twice; keep one of them"),
    (b"x = [1,\n", "x.toml:1: the file ends inside a list or before a value; end a list with ]"),
    (b"\na = '\xff'\n", "x.toml:2: not UTF-8; save the file in that encoding"),
    (b"#" * (MAX_BYTES + 1), "x.toml: larger than 1024 KiB; this is no study file"),
    (b"a = " + b"[" * 100_000, "x.toml: lists or tables nested too deep; write them as [tables]"),
    (b"a = 1\n" + b"a." * 100_000 + b"a = 1", "x.toml:2: lists or tables nested too deep; write a key of fewer parts"),
    (b"seed = 1" + b"0" * 5000, "x.toml: found a number of thousands of digits; expected at most 64 bits"),
])
def test_what_is_no_study_file_is_refused_in_one_line(here: Path, content: bytes, message: str) -> None:
    Path("x.toml").write_bytes(content)
    with pytest.raises(StudyFileError) as caught:
        load_study("x.toml", KNOWN)
    assert str(caught.value) == message


def test_a_file_that_cannot_be_read_is_said_so(here: Path) -> None:
    (here / "folder.toml").mkdir()
    os.mkfifo(here / "pipe.toml")
    for name, message in {
        "none.toml": "none.toml: there is no such file; `optimizer init FOLDER` writes one",
        "folder.toml": "folder.toml: not a file; expected a study file (.toml)",
        "pipe.toml": "pipe.toml: not a file; expected a study file (.toml)",
    }.items():
        with pytest.raises(StudyFileError) as caught:
            load_study(name, KNOWN)
        assert str(caught.value) == message


@pytest.mark.parametrize("name", ["study", "x.yaml", ".toml", "a b.toml", "a\nb.toml", "{x}.toml", "-x.toml"])
def test_a_study_file_whose_name_cannot_name_a_run_is_refused(here: Path, name: str) -> None:
    with pytest.raises(StudyFileError, match="the run is called after its study file"):
        load_study(name, KNOWN)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistakes(here: Path) -> None:
    Path("x.toml").write_bytes(b"\xef\xbb\xbffolds = 3\r\n" + ONE.replace("\n", "\r\n").encode())
    assert load_study("x.toml", KNOWN).folds == 3


# Whatever the file holds.


_KEYS = st.sampled_from([
    "folds", "seed", "families", "datasets", "train", "name", "test", "time", "metric", "resources", "gpus", "cores",
    "family", "xgboost", "space", "device", "low", "deadline", "trials", "time_per_dataset", "missing", "a", "",
])
_LEAVES = (
    st.integers() | st.floats() | st.booleans() | st.text(max_size=8) | st.datetimes() | st.times()
    | st.sampled_from(["data/a1.csv", "data/*.csv", "1h", "50%", "all", "tpe", "06:30", "\0*", "../x"])
)
_TABLES = st.dictionaries(
    _KEYS,
    st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4)),
    max_size=6,
)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_toml(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    return value.isoformat() if isinstance(value, datetime.datetime | datetime.time) else repr(value)


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" if not c.isalnum() else c for c in text) + '"'


_SETTINGS = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_SETTINGS
@given(table=_TABLES)
def test_any_tables_load_or_are_refused_on_printable_lines(here: Path, table: dict[str, object]) -> None:
    text = "".join(f"{_quoted(key)} = {_toml(value)}\n" for key, value in table.items())
    Path("x.toml").write_text(text, encoding="utf-8")
    _loads_or_is_refused()


@_SETTINGS
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_load_or_are_refused_on_printable_lines(here: Path, content: bytes) -> None:
    Path("x.toml").write_bytes(content)
    _loads_or_is_refused()


def _loads_or_is_refused() -> None:
    try:
        study = load_study("x.toml", KNOWN)
    except StudyFileError as error:
        lines = error.mistakes
    else:
        lines = ("x.toml: loaded",) if study.datasets else ()
    assert lines
    assert all(line.isprintable() and line.startswith("x.toml:") for line in lines)
