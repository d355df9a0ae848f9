"""Where everything that happens is told: first to the journal, then to whoever listens."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer import journal
from optimizer.errors import StorageFault
from optimizer.journal import Journal, Record
from optimizer.scheduler import ballast
from optimizer.scheduler.ballast import Ballast
from optimizer.scheduler.events import EventLog


def test_a_listener_hears_of_an_event_when_it_is_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    heard: list[tuple[Record, list[Record]]] = []
    events = EventLog(Journal(path, lambda: 1.0), tmp_path / "run.log", lambda record: None,
                      [lambda record: heard.append((record, list(journal.read(path))))])

    events.emit("noted", number=1)

    expected = {"t": 1.0, "event": "noted", "number": 1}
    assert heard == [(expected, [expected])]


def test_only_what_is_worth_a_line_is_in_the_log(tmp_path: Path) -> None:
    events = EventLog(Journal(tmp_path / "journal.jsonl", lambda: 1.0), tmp_path / "run.log",
                      lambda record: record.get("text"))

    events.emit("noted")
    events.notice("the disk is nearly full")
    events.note("for the file alone")

    assert (tmp_path / "run.log").read_text() == "the disk is nearly full\nfor the file alone\n"
    assert list(events.lines) == ["the disk is nearly full"]


def test_a_screen_gets_the_latest_lines(tmp_path: Path) -> None:
    events = EventLog(Journal(tmp_path / "journal.jsonl", lambda: 1.0), tmp_path / "run.log",
                      lambda record: record.get("text"))

    for number in range(80):
        events.notice(str(number))

    assert list(events.lines) == [str(number) for number in range(30, 80)]


# A disk in trouble.


class Disk:
    """Writes that fail with an error, while there is one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self._write(descriptor, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk on which all is well."""
    return Disk(monkeypatch)


@pytest.fixture
def heard() -> list[str]:
    """The events that a listener has heard of."""
    return []


@pytest.fixture
def events(tmp_path: Path, heard: list[str]) -> Iterator[EventLog]:
    """The events of a run in a folder of its own."""
    folder = tmp_path / "run"
    (folder / "logs").mkdir(parents=True)
    one = Journal(folder / "journal.jsonl", lambda: 1.0)
    yield EventLog(one, folder / "logs" / "run.log", lambda record: record.get("text"),
                   [lambda record: heard.append(record["event"])], Ballast(folder))
    one.close()


def written(tmp_path: Path) -> list[str]:
    return [r["text"] if r["event"] == "notice" else r["event"] for r in journal.read(tmp_path / "run/journal.jsonl")]


@pytest.mark.parametrize(("error", "advice"), [
    (errno.EIO, "look at that disk: dmesg tells more"), (errno.EROFS, "mount that file system writable again"),
    (errno.EDQUOT, "free some of your quota"), (errno.ESTALE, "see that it can be written to"),
])
def test_what_cannot_be_written_waits_in_order_and_nobody_hears_of_it(
    tmp_path: Path, events: EventLog, disk: Disk, heard: list[str], error: int, advice: str,
) -> None:
    Ballast(tmp_path / "run").give_back()
    disk.error = error
    events.emit("first", durable=True)
    events.emit("second")

    assert not events.settled
    assert advice in events.trouble
    assert "\n" not in events.trouble
    assert events.lines[-1] == events.trouble
    assert not heard
    events.retry()
    assert not events.settled

    disk.error = 0
    events.retry()

    assert events.settled
    assert events.trouble == ""
    said = written(tmp_path)
    assert said.index("first") < said.index("second")
    assert "everything that waited is in it" in said[-1]
    assert [name for name in heard if name != "notice"] == ["first", "second"]


def test_on_a_full_disk_the_reserve_takes_the_results_and_nothing_new_starts(
    tmp_path: Path, events: EventLog, disk: Disk, monkeypatch: pytest.MonkeyPatch,
) -> None:
    reserve = tmp_path / "run" / ".ballast"
    assert reserve.stat().st_size == ballast.SIZE
    disk.error = errno.ENOSPC
    give_back = Ballast.give_back

    def freed(self: Ballast) -> bool:
        disk.error = 0
        return give_back(self)

    monkeypatch.setattr(Ballast, "give_back", freed)
    monkeypatch.setattr(ballast, "free_bytes", lambda folder: ballast.SIZE)

    events.emit("told", durable=True)

    assert events.settled
    assert "told" in written(tmp_path)
    assert "the disk is full; results are still written, into the space held in reserve" in events.trouble
    assert not reserve.exists()
    events.retry()
    assert events.trouble, "there is no room for a reserve yet"

    monkeypatch.setattr(ballast, "free_bytes", lambda folder: ballast.PLENTY)
    events.retry()

    assert events.trouble == ""
    assert reserve.exists()


def test_a_disk_that_is_nearly_full_is_seen_before_it_is(
    events: EventLog, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ballast, "free_bytes", lambda folder: ballast.NEARLY_FULL - 1)
    events.retry()
    assert "nearly full, 15 MiB are left; nothing new starts until 32 MiB are free" in events.trouble

    monkeypatch.setattr(ballast, "free_bytes", lambda folder: ballast.PLENTY)
    events.retry()
    assert events.trouble == ""


def test_what_never_could_be_written_is_named_at_the_end(tmp_path: Path, events: EventLog, disk: Disk) -> None:
    disk.error = errno.EIO
    events.emit("trial_told", durable=True, trial="cars/tree/3")

    lost = events.close(0.0)

    assert lost.startswith("2 lines could not be written to ")
    assert "with the results of cars/tree/3: what optuna.db lacks of these runs again" in lost
    assert "Input/output error" in lost
    assert "\n" not in lost
    assert not (tmp_path / "run" / ".ballast").exists()


def test_an_end_on_which_all_is_well_loses_nothing_and_leaves_no_reserve(tmp_path: Path, events: EventLog) -> None:
    events.emit("told", durable=True)

    assert events.close(0.0) == ""
    assert not (tmp_path / "run" / ".ballast").exists()


def test_a_journal_that_was_deleted_is_back_and_it_is_said(tmp_path: Path, events: EventLog) -> None:
    events.emit("told", durable=True)
    (tmp_path / "run" / "journal.jsonl").unlink()

    events.retry()

    assert written(tmp_path) == ["told", "journal.jsonl was deleted; it is written anew, with everything that it held"]


def test_a_run_whose_folder_is_gone_is_at_its_end(tmp_path: Path, events: EventLog) -> None:
    shutil.rmtree(tmp_path / "run")

    with pytest.raises(StorageFault, match="was moved away or deleted while the run was going on"):
        events.retry()
    assert not (tmp_path / "run").exists()


def test_a_log_that_was_deleted_or_replaced_harms_nobody(tmp_path: Path, events: EventLog) -> None:
    (tmp_path / "run/logs/run.log").mkdir()

    events.notice("the log is a directory")

    assert written(tmp_path) == ["the log is a directory"]
