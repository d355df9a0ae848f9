"""The journal keeps what was written, and loses nothing but a line that was cut by a crash."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer import journal
from optimizer.errors import RunFolderError, StorageFault
from optimizer.journal import Journal, decode_line, encode_line

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)
records = st.fixed_dictionaries({"t": st.floats(0, 2e9), "event": st.text(max_size=10), "what": values})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with three events."""
    path = tmp_path / "journal.jsonl"
    ticks = iter(range(100))
    one = Journal(path, lambda: next(ticks))
    for number in range(3):
        one.append("noted", number=number)
    one.close()
    return path


def numbers(path: Path) -> list[int]:
    return [record["number"] for record in journal.read(path)]


def test_events_are_read_in_the_order_in_which_they_were_written(path: Path) -> None:
    assert list(journal.read(path)) == [{"t": i, "event": "noted", "number": i} for i in range(3)]


def test_without_a_file_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert not list(journal.read(tmp_path / "none.jsonl"))


@given(records)
def test_a_line_holds_its_record_whole(record: dict[str, object]) -> None:
    line = encode_line(record)

    assert line.count(b"\n") == 1
    assert decode_line(line) == record


@given(records, st.data())
def test_a_line_with_one_altered_byte_is_no_record(record: dict[str, object], data: st.DataObject) -> None:
    line = bytearray(encode_line(record))
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= data.draw(st.integers(1, 255))

    assert decode_line(bytes(line)) is None


@given(records, st.data())
def test_a_line_cut_anywhere_is_no_record(record: dict[str, object], data: st.DataObject) -> None:
    line = encode_line(record)

    assert decode_line(line[: data.draw(st.integers(0, len(line) - 1))]) is None


def test_an_altered_line_is_left_out_and_the_others_are_read(path: Path) -> None:
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"number":1', b'"number":7') + third)

    assert numbers(path) == [0, 2]


@pytest.mark.parametrize("kept", [1, 20, 70_000])
def test_a_last_line_that_was_torn_is_cut_before_the_next_is_written(path: Path, kept: int) -> None:
    whole = path.read_bytes()
    torn = encode_line({"t": 9, "event": "noted", "text": "x" * 100_000})[:kept]
    path.write_bytes(whole + torn)
    assert numbers(path) == [0, 1, 2]

    one = Journal(path, lambda: 3.0)
    one.append("noted", number=3)
    one.close()

    assert numbers(path) == [0, 1, 2, 3]
    assert path.read_bytes().startswith(whole)


def test_a_file_that_is_one_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"x" * 150_000)

    Journal(path, lambda: 0.0).close()

    assert path.read_bytes() == b""


def test_a_reader_follows_the_file_from_where_it_was(path: Path) -> None:
    *_, (_, offset) = journal.read_from(path, 0)
    assert not list(journal.read_from(path, offset))
    one = Journal(path, lambda: 3.0)
    one.append("noted", number=3)
    one.close()
    with path.open("ab") as stream:
        stream.write(b'{"crc":"half a line')

    assert [record["number"] for record, _ in journal.read_from(path, offset)] == [3]


class FullDisk:
    """`os.write` on a disk that has room for a few more bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.write = os.write
        self.room = room
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        written = self.write(descriptor, data[: self.room])
        self.room -= written
        return written


def test_of_a_line_that_does_not_fit_nothing_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    one = Journal(path, lambda: 3.0)
    disk = FullDisk(monkeypatch, room=30)

    with pytest.raises(StorageFault, match=r"journal\.jsonl: No space left on device"):
        one.append("noted", number=3)
    assert path.read_bytes() == before
    disk.room = 10_000
    one.append("noted", number=4)
    one.close()

    assert numbers(path) == [0, 1, 2, 4]


def test_a_real_limit_on_the_file_is_a_storage_fault_too(tmp_path: Path) -> None:
    """`RLIMIT_FSIZE` stands in for a full disk; it cannot be raised again, so a child takes it upon itself."""
    path = tmp_path / "journal.jsonl"
    script = f"""
import resource, signal
from pathlib import Path
from optimizer.errors import RunFolderError, StorageFault
from optimizer.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, {resource.RLIM_INFINITY}))
one = Journal(Path({str(path)!r}), lambda: 0.0)
one.append("noted", number=0)
for _ in range(2):
    try:
        one.append("noted", number=1, text="x" * 100)
    except StorageFault as fault:
        print(type(fault).__name__)
one.close()
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert answer.stdout.split() == ["StorageFault", "StorageFault"]
    assert numbers(path) == [0]


def test_a_durable_event_is_on_the_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Journal(path, lambda: 3.0)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    one.append("noted", number=3)
    assert not synced
    one.append("noted", durable=True, number=4)

    assert synced == [path.stat().st_size]
    one.close()


# A disk in trouble.


def test_after_an_fsync_that_failed_everything_since_the_last_is_written_once_more(
    path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel may have thrown away what it could not write, and says nothing of it the next time."""
    one = Journal(path, lambda: 3.0)
    one.append("noted", number=3)
    whole = path.read_bytes()

    def broken(descriptor: int) -> None:
        os.ftruncate(descriptor, len(whole) - 30)  # what has not reached the disk is gone
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    line = encode_line(one.record("noted", number=4))
    with pytest.raises(StorageFault, match="Input/output error"):
        one.write(line, durable=True)
    monkeypatch.undo()
    one.write(line, durable=True)
    one.close()

    assert numbers(path) == [0, 1, 2, 3, 4]


def test_a_torn_end_that_could_not_be_cut_is_cut_by_the_next_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Journal(path, lambda: 3.0)
    FullDisk(monkeypatch, room=30)

    def broken(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", broken)
    with pytest.raises(StorageFault):
        one.append("noted", number=3)
    monkeypatch.undo()
    one.append("noted", number=4)
    one.close()

    assert numbers(path) == [0, 1, 2, 4]


@pytest.mark.parametrize("what", ["deleted", "a directory", "another file", "a link"])
def test_a_journal_that_was_taken_away_is_put_back_with_all_it_held(path: Path, what: str) -> None:
    one = Journal(path, lambda: 3.0)
    one.append("noted", number=3)
    assert one.keep_in_place() == ""
    path.unlink()
    if what == "a directory":
        path.mkdir()
    elif what == "another file":
        path.write_text("somebody's notes")
    elif what == "a link":
        path.symlink_to(path.with_name("elsewhere"))

    said = one.keep_in_place()
    one.append("noted", number=4)
    one.close()

    assert numbers(path) == [0, 1, 2, 3, 4]
    found = list(path.parent.glob("journal.jsonl.found-*"))
    assert len(found) == (what != "deleted")
    assert ("was deleted" if what == "deleted" else found[0].name) in said


def test_a_folder_that_was_moved_or_made_anew_is_not_the_runs(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    one = Journal(folder / "journal.jsonl", lambda: 3.0)
    assert one.is_in_its_folder()

    folder.rename(tmp_path / "elsewhere")
    assert not one.is_in_its_folder()
    folder.mkdir()
    assert not one.is_in_its_folder()
    one.close()


def test_altered_lines_are_taken_out_once_and_the_file_as_it_was_is_kept(path: Path) -> None:
    first, second, third = path.read_bytes().splitlines(keepends=True)
    before = first + b"\0" * 20 + b"\n" + second.replace(b"1", b"7") + third + third[:10]
    path.write_bytes(before)

    damaged, aside = journal.set_damage_aside(path, 0.0)

    assert (damaged, aside) == (2, "journal.jsonl.damaged-19700101-000000")
    assert path.with_name(aside).read_bytes() == before
    assert path.read_bytes() == first + third
    assert journal.set_damage_aside(path, 0.0) == (0, "")


def test_a_torn_end_alone_is_no_damage(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"crc":"half')

    assert journal.set_damage_aside(path, 0.0) == (0, "")
    assert journal.set_damage_aside(path.with_name("none"), 0.0) == (0, "")


def test_a_directory_in_the_journals_place_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()

    assert not list(journal.read(tmp_path / "journal.jsonl"))
    with pytest.raises(RunFolderError, match="is a directory, and should be the run's journal; move it away"):
        Journal(tmp_path / "journal.jsonl", lambda: 0.0)
