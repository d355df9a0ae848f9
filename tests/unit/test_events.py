"""Where everything that happens is told: first to the journal, then to whoever listens."""

from __future__ import annotations

from pathlib import Path

from optimizer import journal
from optimizer.journal import Journal, Record
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
