"""A copy of the database for tools that would hold it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from optimizer.errors import RunFolderError
from optimizer.study.snapshot import snapshot


def test_a_copy_holds_whole_transactions_and_leaves_the_writer_alone(tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "optuna.db")
    writer.execute("create table trials (number integer)")
    writer.execute("insert into trials values (1)")
    writer.commit()
    writer.execute("pragma cache_size = 4")
    writer.execute("insert into trials values (2)")
    snapshot(tmp_path, tmp_path / "copy.db")
    writer.commit()
    writer.close()
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("select number from trials").fetchall() == [(1,)]
    copy.close()


@pytest.mark.parametrize("content", [None, b"no database at all" * 100])
def test_nothing_to_copy_is_said_with_what_mends_it(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "optuna.db").write_bytes(content)
    with pytest.raises(RunFolderError, match="the next `optimizer run`"):
        snapshot(tmp_path, tmp_path / "copy.db")
