"""The keeper of the disk limit: the journal first, then the file; an account that is right after every start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stubs.makers import a_record

from optimizer.config.resolved import ResourceLimits
from optimizer.errors import StorageFault
from optimizer.journal import Journal, read
from optimizer.records import TrialRecord
from optimizer.scheduler.disk import DiskKeeper
from optimizer.scheduler.events import EventLog
from optimizer.scheduler.past import Past, read_past, remember_number
from optimizer.store import Store, submission_name


class Run:
    """A run's folder whose scheduler can be started again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scores").mkdir()
        self.store = Store(folder)
        self.clock = 0.0

    def start(self, limit: str = "1GB", *, take_up: bool = True) -> DiskKeeper:
        self.events = EventLog(Journal(self.folder / "journal.jsonl", lambda: self.clock), self.folder / "run.log",
                               lambda record: None)
        keeper = DiskKeeper(
            ResourceLimits(gpus="none", cores=1, threads_per_slot=None, disk_limit=limit), self.store, self.events,
            at_once=1)
        self.past = read_past(self.folder / "journal.jsonl")
        if take_up:
            keeper.take_up(self.past)
        return keeper

    def told(self, keeper: DiskKeeper, trial: str, score: float, *, rows: int = 1000, **fields: Any) -> TrialRecord:
        attempt = fields.get("attempt", 1)
        sha256, size = self.store.write_predictions(trial, attempt, np.full((1, rows, 1), score), None)
        record = a_record(trial, score=score, predictions="kept", predictions_bytes=size, predictions_sha256=sha256,
                          **fields)
        self.events.emit("trial_told", durable=True, **{k: getattr(record, k) for k in record.__struct_fields__})
        keeper.told(record)
        return record

    def of(self, event: str) -> list[dict[str, Any]]:
        return [r for r in read(self.folder / "journal.jsonl") if r["event"] == event]

    @property
    def notices(self) -> list[str]:
        return [r["text"] for r in self.of("notice")]

    @property
    def held(self) -> int:
        return sum(p.stat().st_size for kind in ("predictions", "models") for p in (self.folder / kind).rglob("*")
                   if p.is_file())

    def files(self) -> list[str]:
        return sorted(p.name for p in (self.folder / "predictions").rglob("*") if p.is_file())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_limit_is_held_and_the_account_is_what_lies_on_the_disk_also_after_a_start(run: Run) -> None:
    keeper = run.start("0.1MB")
    for number in range(40):
        run.told(keeper, f"cars/tree/{number}", 1 - number / 100)
        assert run.held <= 100_000
        assert keeper.use.used == run.held
    assert run.store.read_predictions("cars/tree/0", 1)
    evicted = [r["trial"] for r in run.of("predictions_evicted")]
    assert len(evicted) == len(set(evicted)) == 40 - len(run.files())

    again = run.start("0.1MB")
    assert (again.use.used, again.use.largest) == (keeper.use.used, keeper.use.largest)
    assert {t for t, r in run.past.told.items() if r.predictions == "evicted"} == set(evicted)


def test_a_file_goes_only_when_the_journal_has_it_on_the_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageFault("the disk is full")

    keeper = run.start("0.02MB")
    run.told(keeper, "cars/tree/0", 0.9)
    with monkeypatch.context() as full:
        full.setattr(Journal, "write", refuse)
        for number in (1, 2, 3):
            run.told(keeper, f"cars/tree/{number}", 0.5)
        assert not run.events.settled
        assert len(run.files()) == 4, "the lines are still in memory"

    run.events.retry()
    keeper.make_room()
    assert run.of("predictions_evicted")
    assert len(run.files()) == 4 - len(run.of("predictions_evicted"))


def test_models_go_only_when_the_journal_has_who_took_their_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageFault("the disk is full")

    keeper = run.start()
    models = run.store.model_folder("cars/tree/0")
    models.mkdir(parents=True)
    (models / "fold-0.ubj").write_bytes(b"x")
    run.told(keeper, "cars/tree/0", 0.9, models_kept=True)
    with monkeypatch.context() as full:
        full.setattr(Journal, "write", refuse)
        run.told(keeper, "cars/tree/1", 0.95)
        keeper.drop_models(["cars/tree/0"])
        keeper.make_room()
        assert models.exists(), "the better one is in memory only"

    run.events.retry()
    keeper.make_room()
    assert [r["trial"] for r in run.of("models_dropped")] == ["cars/tree/0"]
    assert not models.exists()


def test_a_run_that_waits_for_space_still_removes_what_goes(run: Run) -> None:
    keeper = run.start("0.02MB")
    run.told(keeper, "cars/tree/0", 0.9)
    run.events.trouble = "the disk is nearly full"

    for number in (1, 2, 3):
        run.told(keeper, f"cars/tree/{number}", 0.5)

    assert run.of("predictions_evicted")
    assert len(run.files()) == 4 - len(run.of("predictions_evicted"))


def test_a_file_that_was_evicted_and_is_still_there_is_removed_at_the_next_start(run: Run) -> None:
    keeper = run.start()
    run.told(keeper, "cars/tree/0", 0.9)
    run.told(keeper, "cars/tree/1", 0.5)
    run.events.emit("predictions_evicted", durable=True, trial="cars/tree/1", bytes=1, reason="quota")

    run.start()

    assert run.files() == ["0-1.npz"]


def test_what_no_told_trial_needs_is_removed_at_the_start_and_nothing_else(run: Run) -> None:
    keeper = run.start()
    run.told(keeper, "cars/tree/1", 0.9, attempt=2)
    run.events.emit("trial_asked", trial="cars/tree/2", params={}, seed=1, space="s")
    place = run.folder / "predictions" / "cars" / "tree"
    for name in ("1-1.npz", "1-3.npz.part", "2-1.npz", "3-1.npz", "1-1.txt", "1-1.npz.old", "x-1.npz"):
        (place / name).write_bytes(b"x")
    (run.folder / "elsewhere").mkdir()
    (run.folder / "elsewhere" / "2-1.npz").write_bytes(b"x")
    (run.folder / "predictions" / "cars" / "bush").symlink_to(run.folder / "elsewhere")
    (place / "2-9.npz").symlink_to(run.folder / "elsewhere" / "2-1.npz")
    for name in ("1", "2", ".1-4", "notes"):
        (run.folder / "models" / "cars" / "tree" / name).mkdir(parents=True)

    run.start()

    assert run.files() == ["1-1.npz.old", "1-1.txt", "1-2.npz", "2-9.npz", "3-1.npz", "x-1.npz"]
    assert [p.name for p in (run.folder / "models" / "cars" / "tree").iterdir()] == ["notes"]
    assert (run.folder / "elsewhere" / "2-1.npz").exists()


def test_predictions_that_are_gone_are_recorded_as_missing_once(run: Run) -> None:
    keeper = run.start()
    run.told(keeper, "cars/tree/0", 0.9)
    run.store.drop_predictions("cars/tree/0")

    assert run.start().use.used == 0
    run.start()

    assert [(r["trial"], r["reason"]) for r in run.of("predictions_evicted")] == [("cars/tree/0", "missing")]
    assert sum("not on the disk any more" in text for text in run.notices) == 1


def test_an_exported_trial_is_never_evicted(run: Run) -> None:
    keeper = run.start("0.05MB")
    run.told(keeper, "cars/tree/0", 0.9)
    low = run.told(keeper, "cars/tree/1", 0.1, test_predicted=True)
    (run.folder / "scores" / submission_name(low)).write_text("id\n")
    for number in range(2, 20):
        run.told(keeper, f"cars/tree/{number}", 0.5, at=float(number))

    evicted = {r["trial"] for r in run.of("predictions_evicted")}
    assert evicted
    assert not evicted & {"cars/tree/0", "cars/tree/1"}


def test_a_later_attempt_leaves_no_predictions_of_an_earlier_one(run: Run) -> None:
    keeper = run.start()
    run.store.write_predictions("cars/tree/0", 1, np.zeros((1, 5, 1)), None)
    run.told(keeper, "cars/tree/0", 0.5, attempt=2)
    assert run.files() == ["0-2.npz"]
    run.store.write_predictions("cars/tree/1", 1, np.zeros((1, 5, 1)), None)
    keeper.told(a_record("cars/tree/1", state="failed", score=None, attempt=3))
    assert run.files() == ["0-2.npz"]


def test_kept_models_count_until_they_are_dropped_and_spare_their_trials(run: Run) -> None:
    keeper = run.start("0.1MB")
    models = run.store.model_folder("cars/tree/1")
    models.mkdir(parents=True)
    (models / "fold-0.ubj").write_bytes(b"x" * 20_000)
    run.told(keeper, "cars/tree/0", 0.9)
    run.told(keeper, "cars/tree/1", 0.1, models_kept=True)
    assert keeper.use.used == run.held > 20_000
    assert run.start("0.1MB").use.used == run.held

    keeper = run.start("0.05MB")
    for number in range(2, 9):
        run.told(keeper, f"cars/tree/{number}", 0.5)
    assert "cars/tree/1" not in {r["trial"] for r in run.of("predictions_evicted")}
    keeper.drop_models(["cars/tree/1"])
    for number in range(9, 15):
        run.told(keeper, f"cars/tree/{number}", 0.5)
    assert "cars/tree/1" in {r["trial"] for r in run.of("predictions_evicted")}
    assert keeper.use.used == run.held


def test_a_share_is_one_of_what_is_free_or_taken_already(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = run.start()
    run.told(keeper, "cars/tree/0", 0.9)
    monkeypatch.setattr(Store, "free_bytes", lambda self: 1_000_000 - run.held)

    assert run.start("50%").use.limit == 500_000


@pytest.mark.parametrize(("trials", "whole"), [
    (200, "200 of them up to 20.0 MB"), (None, "there is room for about 10,000"),
])
def test_what_trials_will_keep_is_said_before_the_first(run: Run, trials: int | None, whole: str) -> None:
    run.told(run.start("1GB"), "vans/tree/0", 0.5)
    keeper = run.start("1GB")
    before = len(run.notices)

    keeper.announce("cars", 100_000, trials)
    keeper.announce("vans", 100_000, trials)

    assert run.notices[before:] == [f"cars: a complete trial keeps up to 0.1 MB of predictions; {whole}"]


def test_where_it_will_not_fit_that_is_said_instead(run: Run) -> None:
    keeper = run.start("1GB")
    before = len(run.notices)

    keeper.announce("cars", 100_000_000, 50)

    (said,) = run.notices[before:]
    assert "the disk limit of" in said


@pytest.mark.parametrize(("limit", "trials", "said"), [
    ("10MB", 1000, "cars: each trial keeps 0.1 MB of predictions; about 1,000 trials are expected, the disk limit of "
                   "10.0 MB holds about 100 of them, then the least useful go"),
    ("1MB", None, "cars: each trial keeps 0.1 MB of predictions; the disk limit of 1.0 MB holds about 10 of them, "
                  "then the least useful go"),
    ("1TB", 1000, "cars: each trial keeps 0.1 MB of predictions; about 1,000 trials are expected, the disk has room "
                  "for about 200 of them: make room, or lower resources.disk_limit"),
    ("10MB", 50, None),
    ("1TB", None, None),
])
def test_what_is_expected_is_said_once_where_it_will_not_fit(
    run: Run, monkeypatch: pytest.MonkeyPatch, limit: str, trials: int | None, said: str | None,
) -> None:
    monkeypatch.setattr(Store, "free_bytes", lambda self: 20_000_000)
    keeper = run.start(limit)
    keeper.expect("cars", 100_000, trials)
    keeper.expect("cars", 100_000, trials)

    assert [text for text in run.notices if text.startswith("cars: ")] == ([said] if said else [])


def test_a_folder_that_cannot_be_looked_through_costs_the_limit_and_not_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch,
) -> None:
    run.told(run.start(), "cars/tree/0", 0.9)
    monkeypatch.setattr("os.scandir", _refuse)

    keeper = run.start("0.001MB")
    run.told(keeper, "cars/tree/1", 0.5)

    assert not run.of("predictions_evicted")
    assert any("cannot be looked through, so its disk limit is not held" in text for text in run.notices)


def _refuse(path: object) -> Callable[[], None]:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_past_that_was_read_back_from_the_database_alone_is_taken_up_too(run: Run) -> None:
    record = run.told(run.start(), "cars/tree/0", 0.9)
    (run.folder / "journal.jsonl").unlink()
    keeper = run.start(take_up=False)
    past = Past(told={record.trial: record})
    remember_number(past, record.trial)
    keeper.take_up(past)

    assert keeper.use.used == run.held == record.predictions_bytes
