"""Broken study files. Each stands over a sound table, so that the fault is the only one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.corpus.case import REFUSED, STUDY, Case, put, table

DATASET = '[[datasets]]\ntrain = "../data/good.csv"\n'
NAMES = "letters, digits"


def _file(fault: str, text: str | bytes, *words: str, line: int | None = 1, whole: bool = False) -> Case:
    """A study file that begins with this text; ``line`` is the one that the message must name."""

    def write(folder: Path) -> None:
        put(folder, "data/good.csv", table())
        content = text if isinstance(text, bytes) else text.encode()
        put(folder, STUDY, content if whole else content + b"\n" + DATASET.encode())

    place = "broken.toml:" + (f"{line}:" if line else "")
    return Case(f"study file: {fault}", write, REFUSED, (place, *words))


def _dataset(fault: str, key: str, *words: str, line: int = 3) -> Case:
    """A study file whose only dataset has this line too."""
    return _file(fault, f"{DATASET}{key}\n", *words, line=line, whole=True)


def _train(fault: str, train: str, *words: str) -> Case:
    return _file(fault, f"[[datasets]]\ntrain = {train}\n", "datasets[0].train", *words, line=2, whole=True)


def _made(fault: str, write: Callable[[Path], None], *words: str) -> Case:
    return Case(f"study file: {fault}", write, REFUSED, words)


def _folder(folder: Path) -> None:
    (folder / STUDY).mkdir(parents=True)


def _pipe(folder: Path) -> None:
    (folder / "studies").mkdir()
    os.mkfifo(folder / STUDY)


def _device(folder: Path) -> None:
    (folder / "studies").mkdir()
    (folder / STUDY).symlink_to("/dev/zero")


def _loop(folder: Path) -> None:
    (folder / "studies").mkdir()
    (folder / STUDY).symlink_to(folder / STUDY)


def _dangling(folder: Path) -> None:
    (folder / "studies").mkdir()
    (folder / STUDY).symlink_to(folder / "away.toml")


def _run_folder_is_a_file(folder: Path) -> None:
    put(folder, "data/good.csv", table())
    put(folder, STUDY, DATASET)
    put(folder, "studies/broken", "not a folder")


def _run_folder_is_a_dangling_link(folder: Path) -> None:
    put(folder, "data/good.csv", table())
    put(folder, STUDY, DATASET)
    (folder / "studies/broken").symlink_to(folder / "nowhere")


SYNTAX = (
    _file("text without quotes", "target = Churn", 'quotes: target = "Churn"'),
    _file("text without quotes in a table", "[resources]\ngpus = all", 'quotes: gpus = "all"', line=2),
    _file("a duration without quotes", "time_per_dataset = 5m", 'quotes: time_per_dataset = "5m"'),
    _file("a path without quotes", "[[datasets]]\ntrain = ../data/good.csv", "quotes: train = ", line=2, whole=True),
    _file("a quote that never closes", 'target = "y', "quote", "same line"),
    _file("a single quote that never closes", "target = 'y", "quote", "same line"),
    _file("three quotes that never close", 'target = """y\n', '"""', line=None),
    _file("a list that never closes", 'drop = ["x", "y"', "]", line=None),
    _file("a table header that never closes", "[resources\ncores = 1", "]"),
    _file("a list of tables with one bracket too few", '[[datasets]\ntrain = "../data/good.csv"', "]]", whole=True),
    _file("an inline table over several lines", "resources = {\ncores = 1}", "one line"),
    _file("a key without a value", "folds =", "folds = 5"),
    _file("a key without an equals sign", "folds 5", "'folds 5'", "="),
    _file("a colon for an equals sign", "folds: 5", "YAML", "folds = 5"),
    _file("JSON for TOML", '{"folds": 5}', "JSON", "key = value", whole=True),
    _file("YAML for TOML", "folds: 5\ndatasets:\n  - train: a.csv\n", "YAML", "folds = 5", whole=True),
    _file("a key twice", "folds = 5\nfolds = 6", "folds", "twice", line=2),
    _file("a table twice", "[resources]\n[resources]", "resources", "twice", line=2),
    _file("one pair of brackets for a dataset", '[datasets]\ntrain = "../data/good.csv"', "[[datasets]]", whole=True),
    _file("first a table and then a list of tables", '[datasets]\ntrain = "a"\n' + DATASET, "[[datasets]]", line=3,
          whole=True),
    _file("two statements on one line", "folds = 5 seed = 1", "one", "line"),
    _file("a backslash in a path", 'test = "C:\\data\\test.csv"', "backslash", "'"),
    _file("True for true", "log = True", "true"),
    _file("None for a value", "target = None", "leave the key out"),
    _file("a number with a comma", "folds = 5,0", "comma"),
    _file("a number with leading zeros", "folds = 05", "zero"),
    _file("a thousands separator", "trials = 1'000", "1000"),
    _file("a number with a unit", "folds = 5x", "5"),
    _file("a comment with two slashes", "// a comment", "#"),
    _file("an unquoted key of words", "my key = 1", "'my key = 1'", "key = value"),
    _file("a merge conflict", "<<<<<<< HEAD\nfolds = 5\n=======\nfolds = 4\n>>>>>>> other", "merge conflict",
          "one of the two sides"),
    _file("typographic quotes", "target = “y”", 'straight quotes'),
    _file("a control character in text", b'target = "y\x07"', "control character"),
    _file("an escape that is none", 'target = "\\q"', "backslash"),
    _file("an incomplete unicode escape", 'target = "\\u12"', "backslash"),
    _file("bytes that are none of UTF-8", b'folds = 5\ntarget = "caf\xe9"', "UTF-8", "save", line=2),
    _file("UTF-16 with its mark", 'target = "y"\n'.encode("utf-16"), "UTF-16", "save", whole=True),
    _file("UTF-16 without its mark", 'target = "y"\n'.encode("utf-16-le"), "NUL", "save", whole=True),
    _file("a NUL byte", b'folds = 5\ntarget = "y\x00z"', "NUL", "save", line=2),
    _file("a lone carriage return", b'folds = 5\rseed = 6', "carriage return", "save"),
    _file("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no text", line=3, whole=True),
)

SIZE = (
    _file("empty", "", "datasets", "at least one", line=None, whole=True),
    _file("blank lines only", "\n\n\n", "datasets", "at least one", line=None, whole=True),
    _file("comments only", "# folds = 5\n", "datasets", "at least one", line=None, whole=True),
    _file("larger than a mebibyte", "# " + "x" * 2**20, "larger", "no study file", line=None),
    _file("a list nested ten thousand deep", "drop = " + "[" * 10_000 + "]" * 10_000, "nested too deep", line=None),
    _file("inline tables nested a thousand deep", "family = " + "{a = " * 1000 + "1" + "}" * 1000, "nested", line=None),
    _file("a dotted key of ten thousand parts", ".".join("a" * 10_000) + " = 1", "nested too deep"),
    _file("a table header of ten thousand parts", f"[{'.'.join('a' * 10_000)}]", "nested too deep"),
    _file("a table twenty deep", f"[{'.'.join('abcdefghijklmnopqrst')}]", "nested deeper than 8"),
    _file("a number of five thousand digits", "seed = " + "9" * 5000, "64 bits", line=None),
    _file("a key of a hundred thousand letters", "k" * 100_000 + " = 1", "unknown key"),
    _file("text of a hundred thousand letters", f'sampler = "{"s" * 100_000}"', "no sampler is called"),
    _file("a list of fifty thousand families", f"families = [{'1, ' * 50_000}]", "families[0]",
          "and so 49,999 more of this list"),
    _file("a hundred and fifty unknown keys", "\n".join(f"k{i} = {i}" for i in range(150)), "k0", "and 130 more"),
)

WRONG_VALUES = (
    _file("an unknown key", 'time_per_datset = "1h"', "time_per_datset", "did you mean 'time_per_dataset'?"),
    _file("a key with another case", "Folds = 5", "Folds", "did you mean 'folds'?"),
    _file("a key like none", "zzz = 1", "unknown key", "known here"),
    _file("a key of a dataset's list at the top", 'train = "a.csv"', "train", "belongs under [[datasets]]"),
    _file("a key of the resources at the top", "cores = 2", "cores", "belongs under [resources]"),
    _dataset("a key of the top under a dataset", "folds = 5", "folds", "top of the file"),
    _file("an unknown table", "[resource]\ncores = 1", "resource", "did you mean 'resources'?"),
    _file("a key of rich markup", '"[bold red]x[/]" = 1', "[bold red]x[/]", "unknown key"),
    _file("a key with control characters", '"a\\u001b[31mb\\nc" = 1', "\\x1b[31m", "unknown key"),
    _file("an empty key", '"" = 1', "unknown key"),
    _file("text for a number", 'folds = "5"', "folds", "'5'", "whole number", "without quotes: 5"),
    _file("a number with decimals", "folds = 5.5", "folds", "whole number"),
    _file("true for a number", "folds = true", "folds", "whole number"),
    _file("a date for a number", "folds = 2026-01-01", "folds", "2026-01-01", "whole number"),
    _file("a list for a number", "folds = [5]", "folds", "[5]", "whole number"),
    _file("a table for a number", "[folds]\nn = 5", "folds", "whole number"),
    _file("a number for text", "target = 7", "target", "7", "quotes"),
    _file("true for text", "target = true", "target", "true", "quotes"),
    _file("a list for text", 'target = ["y"]', "target", "quotes"),
    _file("a table for text", "[target]\nname = 1", "target", "quotes"),
    _file("empty text", 'target = ""', "target", "expected text"),
    _file("text for a list", 'drop = "x"', "drop", "list", '["x"]'),
    _file("a number in a list of text", 'drop = ["x", 3]', "drop[1]", "quotes"),
    _file("text for a table", 'resources = "all"', "resources", "table"),
    _file("a list for a table", "resources = [1]", "resources", "table"),
    _file("text for the datasets", 'datasets = "a.csv"', "datasets", "[[datasets]]", whole=True),
    _file("a list of text for the datasets", 'datasets = ["a.csv"]', "datasets[0]", "table", whole=True),
    _file("no dataset", "folds = 5", "datasets", "at least one", line=None, whole=True),
    _file("a list of no datasets", "datasets = []", "datasets", "at least one", whole=True),
    _file("a dataset without a table", '[[datasets]]\nname = "x"', "datasets[0].train", "missing", whole=True),
    _file("nan for a number", "seed = nan", "seed", "nan", "finite"),
    _file("an infinite number", "seed = inf", "seed", "inf", "finite"),
    _file("a whole number of more than 64 bits", "seed = 99999999999999999999", "seed", "64 bits"),
    _file("one fold", "folds = 1", "folds", "at least 2"),
    _file("a negative number of folds", "folds = -5", "folds", "at least 2"),
    _file("a million folds", "folds = 1000000", "folds", "at most 1000"),
    _file("no repeats", "repeats = 0", "repeats", "at least 1"),
    _file("a negative seed", "seed = -1", "seed", "at least 0"),
    _file("a seed of 33 bits", "seed = 4294967296", "seed", "at most 4294967295"),
    _file("no trials", "trials = 0", "trials", "at least 1"),
    _file("trials and a time", 'trials = 5\ntime_per_dataset = "1h"', "trials", "one of the two"),
    _file("a negative duration", 'time_per_dataset = "-5m"', "time_per_dataset", "'-5m'", '"90s"'),
    _file("a duration that is no number", 'time_per_dataset = "nan"', "time_per_dataset", '"90s"'),
    _file("a duration of 1e999", 'time_per_dataset = "1e999h"', "time_per_dataset", '"90s"'),
    _file("a duration of nothing", 'time_per_dataset = "0s"', "time_per_dataset", "above 0"),
    _file("a duration of a million years", 'time_per_dataset = "365000000d"', "time_per_dataset", "3650d"),
    _file("a duration without a unit", 'time_per_dataset = "90"', "time_per_dataset", '"90s"'),
    _file("a duration as a number", "time_per_dataset = 90", "time_per_dataset", '"90s"'),
    _file("a duration in other digits", 'time_per_dataset = "٩m"', "time_per_dataset", '"90s"'),
    _file("a duration with spaces", 'time_per_dataset = "1h 30m"', "time_per_dataset", '"1h30m"'),
    _file("a clock time that does not exist", 'deadline = "25:00"', "deadline", '"06:30"'),
    _file("a date for a deadline", "deadline = 2026-01-01T00:00:00Z", "deadline", '"06:30"'),
    _file("an empty deadline", 'deadline = ""', "deadline", '"06:30"'),
    _file("no memory", '[resources]\nmemory_limit = "0GB"', "memory_limit", '"12GB"', line=2),
    _file("negative memory", '[resources]\nmemory_limit = "-1GB"', "memory_limit", '"12GB"', line=2),
    _file("memory without a unit", '[resources]\nmemory_limit = "12"', "memory_limit", '"12GB"', line=2),
    _file("more memory than whole", '[resources]\nmemory_limit = "150%"', "memory_limit", '"50%"', line=2),
    _file("no cores", "[resources]\ncores = 0", "cores", "from 1", line=2),
    _file("a share of nothing", '[resources]\ncores = "0%"', "cores", '"50%"', line=2),
    _file("a negative GPU", "[resources]\ngpus = [-1]", "gpus", '"all"', line=2),
    _file("a GPU twice", "[resources]\ngpus = [0, 0]", "gpus", "once", line=2),
    _file("no thread", "[resources]\nthreads_per_slot = 0", "threads_per_slot", "at least 1", line=2),
    _file("an unknown family", 'families = ["xgbost"]', "families[0]", "did you mean 'xgboost'?"),
    _file("a family in capitals", 'families = ["LightGBM"]', "families[0]", "did you mean 'lightgbm'?"),
    _file("a family twice", 'families = ["xgboost", "xgboost"]', "families[1]", "twice"),
    _file("no family", "families = []", "families", "at least one"),
    _file("a family's table of an unknown family", '[family.xgb]\ndevice = "cpu"', "family.xgb", "xgboost"),
    _file("a family's name of rich markup", 'families = ["[red]x[/red]"]', "'[red]x[/red]'", "known here"),
    _file("an unknown device", '[family.xgboost]\ndevice = "tpu"', "device", "'gpu', 'cpu' or 'any'", line=2),
    _file("an unknown sampler", 'sampler = "tpee"', "sampler", "did you mean 'tpe'?"),
    _file("more fits of a trial than a message can tell of", "folds = 100\nrepeats = 100", "repeats", "at most 1000",
          line=2),
    _file("an unknown pruner", 'pruner = "hyperband"', "pruner", "known here"),
    _file("an unknown metric", 'metric = "acuracy"', "metric", "did you mean 'accuracy'?"),
    _file("a metric of another task", 'metric = "rmse"\ntask = "binary"', "metric", "regression"),
    _file("an unknown task", 'task = "regresion"', "task", "did you mean 'regression'?"),
    _file("an unknown kind of submission", 'submission = "probs"', "submission", "'labels'"),
    _file("a delimiter of two letters", 'delimiter = ";;"', "delimiter", "single character"),
    _file("a delimiter that is a quote", "delimiter = '\"'", "delimiter", "quote"),
    _file("a delimiter that is a newline", 'delimiter = "\\n"', "delimiter", "line"),
    _file("a delimiter beyond ASCII", 'delimiter = "§"', "delimiter", "ASCII"),
    _file("a letter for a delimiter", 'delimiter = "a"', "delimiter", "letter"),
    _file("an unknown way with bad rows", 'bad_rows = "ignore"', "bad_rows", "'error' or 'drop'"),
    _file("a label that is a number with decimals", "positive = 1.5", "positive", "text"),
    _file("a duration for a time column", 'time = "1h"', "time", "time_per_dataset"),
    _dataset("a target that is the id too", 'target = "id"\nid = "id"', "id", "target already", line=4),
    _dataset("a target that is left out", 'target = "y"\ndrop = ["y"]', "drop", "target", line=4),
    _dataset("a column of two kinds", 'numeric = ["x"]\ncategorical = ["x"]', "numeric", "categorical"),
    _dataset("a dataset's name with ../", 'name = "../../etc/passwd"', "name", NAMES),
    _dataset("a dataset's name that is absolute", 'name = "/tmp/x"', "name", NAMES),
    _dataset("a dataset's name with a control character", 'name = "a\\u001b[31mb"', "\\x1b", NAMES),
    _dataset("a dataset's name with a newline", 'name = "ab\\n"', "'ab\\n'", NAMES),
    _dataset("a dataset's name of rich markup", 'name = "[red]x[/red]"', "name", NAMES),
    _dataset("a dataset's name that is a formula", 'name = "=1+1"', "name", NAMES),
    _dataset("a dataset's name of a thousand letters", f'name = "{"n" * 1000}"', "name", "at most 100"),
    _dataset("an empty name", 'name = ""', "name", NAMES),
    _dataset("a name that begins with a dot", 'name = ".hidden"', "name", NAMES),
    _dataset("a name beyond ASCII", 'name = "données"', "name", NAMES),
    _dataset("two datasets of one name", 'name = "a"\n' + DATASET + 'name = "a"', "datasets[1].name", "own name",
             line=6),
    _dataset("two datasets without a name", DATASET, "'good'", "own name"),
    _dataset("names that differ by case only", 'name = "a"\n' + DATASET + 'name = "A"', "datasets[1].name", "case",
             line=6),
    _file("a range upside down", "[family.xgboost.space]\nlearning_rate = {low = 1, high = 0.1}", "learning_rate",
          "swap", line=2),
    _file("a range of text", '[family.xgboost.space]\nlearning_rate = {low = "a"}', "learning_rate", "number", line=2),
    _file("a range with an unknown key", "[family.xgboost.space]\nlearning_rate = {min = 1}", "learning_rate.min",
          "low, high and log", line=2),
    _file("an empty range", "[family.xgboost.space]\nlearning_rate = {}", "learning_rate", "range", line=2),
    _file("an empty list of choices", "[family.xgboost.space]\nlearning_rate = []", "learning_rate", "list", line=2),
    _file("choices that are lists", "[family.xgboost.space]\nlearning_rate = [[1]]", "learning_rate", "list", line=2),
)

PATHS = (
    _train("a table that is not there", '"../data/god.csv"', "no file", "did you mean 'good.csv'?"),
    _train("a table in a folder that is not there", '"../dta/good.csv"', "no folder"),
    _train("a pattern that matches nothing", '"../data/none_*.csv"', "no file matches"),
    _train("a folder as a table", '"../data"', "folder", "file in it"),
    _train("a URL as a table", '"https://example.org/train.csv"', "URL", "download"),
    _train("an S3 address as a table", '"s3://bucket/train.csv"', "URL", "download"),
    _train("a file address as a table", '"file:///etc/passwd"', "URL", "without"),
    _train("a device as a table", '"/dev/zero"', "device", "regular file"),
    _train("a terminal as a table", '"/dev/tty"', "device", "regular file"),
    _train("a path with a NUL", '"a\\u0000b.csv"', "a\\x00b.csv", "no file"),
    _train("a path of a hundred thousand letters", f'"{"p" * 100_000}"', "ppp...", "no file"),
    _train("a path with control characters", '"\\u001b[2J.csv"', "\\x1b[2J", "no file"),
    _train("a path of rich markup", '"[bold]train[/bold].csv"', "[bold]train[/bold].csv", "no file"),
    _train("a pattern over the whole machine", f'"{"/*" * 100}"', "pattern", "64"),
    _train("number for a path", "5", "quotes"),
    _train("a path in a user's home that is none", '"~nobody_there/x.csv"', "~nobody_there"),
    _dataset("a test table that is not there", 'test = "test.csv"', "datasets[0].test", "no file"),
    _dataset("a sample that is not there", 'sample_submission = "s.csv"', "datasets[0].sample_submission", "no file"),
    _dataset("true for a test table", "test = true", "datasets[0].test", "false where there is none"),
    _dataset("a folder as a test table", 'test = "../data"', "datasets[0].test", "folder"),
    _dataset("a sample without a test table", 'sample_submission = "../data/good.csv"', "sample_submission", "test"),
    _made("not there", lambda folder: (folder / "studies").mkdir(), "broken.toml", "no such file", "optimizer init"),
    _made("a folder", _folder, "broken.toml", "no train.csv", "expected .csv"),
    _made("a pipe that nobody writes to", _pipe, "broken.toml", "not a file", "expected"),
    _made("a device", _device, "broken.toml", "not a file", "expected"),
    _made("a link to itself", _loop, "broken.toml", "link", "replace"),
    _made("a link to nowhere", _dangling, "broken.toml", "no such file"),
    _made("a run's folder that is a file", _run_folder_is_a_file, "studies/broken", "in the way", "rename it"),
    _made("a run's folder that is a link to nowhere", _run_folder_is_a_dangling_link, "studies/broken",
          "in the way", "rename it"),
)

CASES = (*SYNTAX, *SIZE, *WRONG_VALUES, *PATHS)
