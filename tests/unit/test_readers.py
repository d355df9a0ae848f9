"""A child that prepares a dataset is held to the run's limits: real readers, looked at by a clock of the test's own."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path

import pytest
from stubs.waiting import until

from optimizer.config.resolved import FamilyChoice
from optimizer.datasets.problem import Problem
from optimizer.scheduler.monitor import Monitor
from optimizer.scheduler.preparation import (
    READERS,
    RETRIES,
    DatasetReady,
    DatasetRefused,
    Outcome,
    Preparation,
    ReadingOn,
)
from optimizer.scheduler.readers import ReaderWatch
from optimizer.scheduler.watchdog import IDLE_S, LOOK_S
from optimizer.standstill import Standstill

#: MiB of a machine and of a run that have enough.
PLENTY = 1e6


@dataclass
class Sizes:
    """What the study file lets the run hold, and what the machine has."""

    memory_mb: float = PLENTY
    whole_memory_mb: float = PLENTY


class Scene:
    """Two datasets, of which the first is being read by a child that was stopped as soon as it was at work."""

    def __init__(self, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        (folder / "logs").mkdir(parents=True)
        (folder / "data").mkdir()
        rows = "".join(f"{i},{i % 7},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(40))
        (tmp_path / "cars.csv").write_text(f"a,b,y\n{rows}")
        problems = [Problem(name=name, train=str(tmp_path / "cars.csv"), target="y", folds=2)
                    for name in ("first", "second")]
        self.standstill = Standstill.of(READERS)
        self.preparation = Preparation(problems, (FamilyChoice(name="xgboost"),), folder)
        self.watch = ReaderWatch(self.preparation, Monitor(None), self.standstill)
        self.now = 0.0
        self.preparation.advance()
        self.reader = self.preparation.pids()["reader"]
        self.monitor = Monitor(None)
        until(lambda: self.monitor.private_mb(self.reader) > 2)
        os.kill(self.reader, signal.SIGSTOP)

    def look(self, seconds: float, stood_share: float = 0.0) -> None:
        """Let so much time pass, of which it stood still on the run's order for a part.

        The governor counts that up to a tenth of a second later than it was.
        """
        told = self.standstill.seconds(self.standstill.positions["reader"])
        for number in range(int(seconds / LOOK_S) + 1):
            self.watch.look(self.now)
            self.now += LOOK_S
            stood = stood_share * LOOK_S * (number + 1) - (number % 3) * 0.05
            self.standstill.add(self.standstill.positions["reader"], stood - told)
            told = stood

    def rest(self) -> list[Outcome]:
        """All that comes of both datasets."""
        found: list[Outcome] = []
        while self.preparation.left:
            found += self.preparation.advance()
            if self.preparation.waitables():
                connection.wait(self.preparation.waitables(), 60)  # type: ignore[arg-type]
        return found


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("optimizer.scheduler.preparation.RETRY_S", 0.0)
    return Scene(tmp_path)


def test_one_that_holds_more_than_the_whole_run_may_costs_its_dataset_and_no_other(scene: Scene) -> None:
    scene.watch.watch_memory(1, Sizes(memory_mb=1), PLENTY)

    refused, *others = [o for o in scene.rest() if not isinstance(o, ReadingOn)]

    assert isinstance(refused, DatasetRefused)
    assert refused.dataset == "first"
    assert "the whole run may hold 1 MiB; set memory_limit in [resources] higher" in refused.reason
    assert [type(o) for o in others] == [DatasetReady]


def test_one_that_holds_more_than_a_person_allows_for_a_while_is_put_off_and_never_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optimizer.scheduler.readers.PUT_OFF_S", 0.0)
    said: list[Outcome] = []
    for _ in range(RETRIES + 2):
        until(lambda: (said.extend(scene.preparation.advance()), scene.preparation.pids())[1])
        until(lambda: scene.monitor.private_mb(scene.preparation.pids()["reader"]) > 1)
        scene.watch.watch_memory(1, Sizes(), PLENTY)
        assert scene.preparation.reading == {"first"}

    assert "waits: reading it took" in next(o.doing for o in said if isinstance(o, ReadingOn))
    assert [type(o) for o in scene.rest() if not isinstance(o, ReadingOn)] == [DatasetReady, DatasetReady]


def test_one_within_the_limit_is_let_alone(scene: Scene) -> None:
    scene.watch.watch_memory(PLENTY, Sizes(), PLENTY)

    assert scene.preparation.pids()["reader"] == scene.reader
    scene.preparation.close()


def test_one_that_has_taken_the_machine_s_last_memory_is_ended_and_its_dataset_read_again(scene: Scene) -> None:
    scene.watch.watch_memory(PLENTY, Sizes(whole_memory_mb=10), 0.1)

    first, *others = scene.rest()

    assert isinstance(first, ReadingOn)
    assert "this machine had 0 MiB of memory left" in first.doing
    assert [type(o) for o in others if not isinstance(o, ReadingOn)] == [DatasetReady, DatasetReady]


def test_one_that_hangs_is_ended_and_its_dataset_read_again(scene: Scene) -> None:
    scene.look(IDLE_S - 2 * LOOK_S)
    assert scene.preparation.pids()["reader"] == scene.reader
    scene.look(4 * LOOK_S)

    first, *others = scene.rest()

    assert isinstance(first, ReadingOn)
    assert first.doing == ("is read again: reading it hung: nothing came of it and it used no CPU time for "
                           f"{IDLE_S:.0f} s")
    assert [type(o) for o in others if not isinstance(o, ReadingOn)] == [DatasetReady, DatasetReady]


def test_one_that_stands_still_on_the_run_s_order_does_not_hang(scene: Scene) -> None:
    scene.look(200 * IDLE_S, stood_share=1.0)

    assert scene.preparation.pids()["reader"] == scene.reader
    scene.preparation.close()
