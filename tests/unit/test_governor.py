"""The governor on real processes: it holds them, counts how long they stood, and lets them go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optimizer.governor import Governor, user_seconds
from optimizer.process import process_stat, start_time
from optimizer.standstill import Standstill, _WorkingClock
from optimizer.throttle import Target, Throttle

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process group that computes without end."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def throttle(tmp_path: Path) -> Iterator[tuple[Throttle, Standstill]]:
    standstill = Standstill.of(["cpu0"])
    made = Throttle(standstill, sorted(os.sched_getaffinity(0)), tmp_path / "governor.log", steps_back=False)
    yield made, standstill
    made.close()
    assert not (tmp_path / "governor.log").exists() or not (tmp_path / "governor.log").read_text()


def state(pid: int) -> str:
    stat = process_stat(pid)
    return "" if stat is None else stat.state


def eventually(true: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def used_s(pid: int) -> float:
    stat = process_stat(pid)
    return 0.0 if stat is None else stat.own_ticks / TICKS


def governor() -> int:
    """The governor of this process; 0 for none."""
    found = [int(p) for p in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
             if b"optimizer.governor" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return found[0] if found else 0


def pause(governed: Throttle, leader: int) -> dict[str, Target]:
    """Have the group stopped; what was asked for."""
    targets = {"cpu0": Target(leader=leader, position=0, cores=1.0)}
    governed.limit(0.0)
    governed.look(targets)
    assert eventually(lambda: state(leader) == "T")
    return targets


@pytest.fixture
def hung(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill], monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Target]:
    """What a governor has stopped that hangs now, and is soon seen to."""
    monkeypatch.setattr("optimizer.throttle._SILENT_S", 2.0)
    governed, _ = throttle
    targets = pause(governed, busy.pid)
    assert eventually(lambda: governed.look(targets) is not None)
    os.kill(governor(), signal.SIGSTOP)
    return targets


def test_a_limit_holds_for_a_process_that_would_take_all(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill],
) -> None:
    governed, standstill = throttle
    governed.limit(0.3)
    targets = {"cpu0": Target(leader=busy.pid, position=0, cores=1.0)}
    governed.look(targets)
    assert eventually(lambda: state(busy.pid) == "T")
    before, begun = used_s(busy.pid), time.monotonic()
    time.sleep(3)
    assert used_s(busy.pid) - before <= 0.3 * (time.monotonic() - begun) + 0.3
    assert standstill.seconds(0) > 1.0, "it says for how long it was held"
    held = governed.look(targets)
    assert held is not None
    assert held.allowed == 0.3


def test_a_pause_stops_it_and_its_end_lets_it_go_on(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill],
) -> None:
    governed, standstill = throttle
    governed.limit(0.0)
    governed.look({"cpu0": Target(leader=busy.pid, position=0, cores=1.0)})
    assert eventually(lambda: standstill.seconds(0) > 0.3)
    assert state(busy.pid) == "T"
    governed.limit(float("inf"))
    assert eventually(lambda: state(busy.pid) == "R")

    def told_so() -> bool:
        held = governed.look({"cpu0": Target(leader=busy.pid, position=0, cores=1.0)})
        return held is not None and held.allowed == len(os.sched_getaffinity(0))

    assert eventually(told_so), "it sleeps now, and has said before that nobody is held"


def test_a_governor_that_hangs_is_replaced_and_leaves_nobody_stopped(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill], hung: dict[str, Target],
) -> None:
    governed, _ = throttle
    first = governor()
    assert eventually(lambda: (governed.look(hung), time.sleep(0.2), governor() != first)[-1], 15)
    assert eventually(lambda: (governed.look(hung), state(busy.pid) == "T")[-1])


def test_a_governor_that_hangs_when_its_limit_is_lifted_leaves_nobody_stopped(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill], hung: dict[str, Target],
) -> None:
    governed, _ = throttle
    governed.limit(float("inf"))
    assert eventually(lambda: (governed.look(hung), time.sleep(0.2), state(busy.pid) == "R")[-1], 15)


def test_a_worker_that_is_no_longer_named_goes_on(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill],
) -> None:
    governed, _ = throttle
    pause(governed, busy.pid)
    governed.look({})
    assert eventually(lambda: state(busy.pid) == "R")


def test_a_governor_that_is_killed_leaves_nobody_stopped_and_another_takes_over(
    busy: subprocess.Popen[bytes], throttle: tuple[Throttle, Standstill],
) -> None:
    governed, _ = throttle
    targets = pause(governed, busy.pid)
    os.kill(governor(), signal.SIGKILL)
    time.sleep(0.1)

    def held_by_another() -> bool:
        governed.look(targets)
        return state(busy.pid) == "T"

    assert eventually(lambda: (governed.look(targets), state(busy.pid) == "R")[1])
    assert eventually(held_by_another)


def test_a_clock_leaves_out_what_was_counted_as_standing_still() -> None:
    standstill, clock = Standstill.of(["cpu0", "cpu1"]), _WorkingClock()
    clock.follow(os.dup(standstill.descriptor), 1)
    begun = clock.working_time()
    standstill.add(0, 1000.0)
    standstill.add(1, 50.0)
    assert clock.working_time() - begun < -49.0


def test_only_work_that_is_not_nice_and_on_our_cores_counts_as_that_of_others() -> None:
    stat = [b"cpu  900 900 900 900", b"cpu0 100 5000 70 1", b"cpu1 200 5000 70 1", b"cpu10 7000 0 0 0", b"intr 5"]
    assert user_seconds(stat, frozenset({0, 1})) == pytest.approx({0: 100 / TICKS, 1: 200 / TICKS})


def test_who_may_run_on_a_core_that_others_use_is_beside_them() -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core")
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print(flush=True); input()"
    workers = [subprocess.Popen([sys.executable, "-c", spin, str(core)], start_new_session=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE) for core in cores[:2]]
    governing = Governor(os.getpid(), Standstill.of(["cpu0", "cpu1"]), frozenset(cores), steps_back=True)
    for number, one in enumerate(workers):
        assert one.stdout is not None
        one.stdout.readline()
        governing.told(f"+ cpu{number} {number} {one.pid} {start_time(one.pid)} 1.0".encode())
    assert governing.beside_others(["cpu0", "cpu1"]) == set()

    governing.by_core[cores[0]].look(1.0, 60.0)
    assert governing.beside_others(["cpu0", "cpu1"]) == {"cpu0"}

    for one in workers:
        one.communicate(b"\n")
    assert governing.beside_others(["cpu0", "cpu1"]) == set()
