"""Fuzzes the readers of study files and of tables for a bounded time, led by what of their code is reached.

``python tools/fuzz.py study|table SECONDS [FOLDER]``; needs atheris. Whatever is neither a value nor an error that a
person can mend ends it, and the input that did it is left in the folder, ``.fuzz`` by default; give that file
instead of the seconds to see it again. What was learned stays in the folder, and the next call begins there.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["optimizer.config", "optimizer.datasets", "tomllib"]):
    from optimizer.config.load import load_study
    from optimizer.config.names import KnownNames
    from optimizer.datasets.prepare import prepare
    from optimizer.datasets.problem import Problem
    from optimizer.datasets.read import read_table

from optimizer.errors import UserError  # noqa: E402 - after what is watched
from tests.corpus import datasets, study_files  # noqa: E402
from tests.corpus.case import STUDY, Case  # noqa: E402

KNOWN = KnownNames(families=("lightgbm", "xgboost"), samplers=("random", "tpe"), pruners=("confidence", "none"))
NAMES = ("train.csv", "train.csv.gz", "train.parquet", "train.csv")
FORMATS = {".csv": 0, ".gz": 1, ".parquet": 2}
DELIMITERS = ",;\t|"
#: Largest input; what is larger is slow and reaches no more code.
LARGEST = 4096


def study(content: bytes) -> None:
    """One study file."""
    path = WORK / "x.toml"
    path.write_bytes(content)
    try:
        load_study(path, KNOWN)
    except UserError as error:
        _check(str(error))


def table(content: bytes) -> None:
    """One table; its first byte chooses the format and the delimiter."""
    first = content[0] if content else 0
    path, delimiter = WORK / NAMES[first % 4], DELIMITERS[first // 4 % 4]
    path.write_bytes(content[1:])
    try:
        read_table(path, delimiter=delimiter, on_bad_rows="drop")
    except UserError as error:
        _check(str(error))
    try:
        with tempfile.TemporaryDirectory(dir=WORK) as data:
            prepare(Problem(name="x", train=str(path), delimiter=delimiter, folds=2), Path(data), lambda line: None)
    except UserError as error:
        _check(str(error))


def _check(message: str) -> None:
    if not all(c.isprintable() or c == "\n" for c in message) or len(message) > 50_000:
        raise AssertionError(f"not safe to print: {message[:500]!r}")


def _seed(folder: Path, kind: str) -> None:
    """The broken files of the tests, where they are small, as what to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    cases: tuple[Case, ...] = study_files.CASES if kind == "study" else datasets.CASES
    for number, case in enumerate(cases):
        with tempfile.TemporaryDirectory() as scratch:
            case.write(Path(scratch))
            found = [Path(scratch) / STUDY] if kind == "study" else sorted((Path(scratch) / "data").glob("*"))
            for path in found:
                if path.is_file() and not path.is_symlink() and path.stat().st_size < LARGEST:
                    start = b"" if kind == "study" else bytes([FORMATS.get(path.suffix, 0)])
                    (folder / f"seed-{number}-{len(path.name)}").write_bytes(start + path.read_bytes())


def main() -> None:
    """Fuzz, and say how."""
    kind, limit, *rest = sys.argv[1:]
    home = Path(rest[0] if rest else ROOT / ".fuzz")
    learned = home / kind
    options = [f"-artifact_prefix={home}/{kind}-", f"-max_len={LARGEST}", "-timeout=30", "-rss_limit_mb=4096"]
    if limit.isdigit():
        _seed(learned, kind)
        options += [f"-max_total_time={limit}", "-print_final_stats=1", str(learned)]
    else:
        options.append(limit)
    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *options], {"study": study, "table": table}[kind])
    atheris.Fuzz()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch_folder:
        WORK = Path(scratch_folder)
        (WORK / "t.csv").write_text("x,y\n1,2\n")
        main()
