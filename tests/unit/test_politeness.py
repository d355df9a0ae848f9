"""How much of the machine a run may use: the study file, the hour, and what was asked meanwhile."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest

from optimizer.config.resolved import ResourceLimits
from optimizer.control import Control, read_control, write_control
from optimizer.scheduler.politeness import ASKED, Terms, terms

NOTHING = Control(pid=1)


def terms_of(*, at: str = "12:00", control: Control = NOTHING, **limits: object) -> Terms:
    own = ResourceLimits(gpus="none", cores="100%", threads_per_slot=None, **limits)  # type: ignore[arg-type]
    return terms(limits=own, control=control, at=datetime.time.fromisoformat(at), cores=4, whole_mb=10_000)


def test_without_a_word_a_run_uses_all_of_its_cores() -> None:
    assert terms_of() == Terms(cores=math.inf, memory_mb=8976.0)


def test_a_limit_is_a_share_or_a_number_of_the_runs_cores() -> None:
    assert terms_of(cpu_limit="40%") == Terms(cores=1.6, memory_mb=8976.0, because="cpu_limit")
    assert terms_of(cpu_limit=1.5).cores == 1.5
    assert math.isinf(terms_of(cpu_limit=64).cores)


def test_what_was_asked_meanwhile_goes_before_the_study_file() -> None:
    asked = terms_of(cpu_limit="40%", control=Control(pid=1, cpu="80%", memory="5GB"))
    assert (asked.cores, asked.because) == (3.2, "`optimizer limit`")
    assert asked.memory_mb == pytest.approx(5e9 / 2**20)
    assert math.isinf(terms_of(cpu_limit="40%", control=Control(pid=1, cpu="100%")).cores)


@pytest.mark.parametrize(("at", "cores"), [
    ("21:59", math.inf), ("22:00", 0.8), ("03:00", 0.8), ("05:59", 0.8), ("06:00", math.inf),
])
def test_quiet_hours_may_pass_midnight_and_their_end_is_not_among_them(at: str, cores: float) -> None:
    assert terms_of(at=at, quiet_hours=("22:00-06:00",), quiet_cpu_limit="20%").cores == cores


def test_in_quiet_hours_a_run_stands_still_unless_told_otherwise() -> None:
    quiet = terms_of(quiet_hours=("08:00-11:00", "12:00-18:00"))
    assert quiet.paused
    assert quiet.because == "quiet hours 12:00-18:00"


def test_quiet_hours_never_allow_more_than_the_limit_does() -> None:
    assert terms_of(cpu_limit="10%", quiet_hours=("08:00-18:00",), quiet_cpu_limit="50%").because == "cpu_limit"


def test_whoever_asks_for_cores_at_a_quiet_hour_gets_them() -> None:
    assert terms_of(quiet_hours=("08:00-18:00",), control=Control(pid=1, cpu="80%")).cores == 3.2


def test_a_wish_that_no_command_would_write_is_a_mistake_and_not_a_pause() -> None:
    for wish in (Control(pid=1, cpu="x"), Control(pid=1, cpu=-1.0), Control(pid=1, memory="x")):
        with pytest.raises(ValueError, match="expected"):
            terms_of(control=wish)


def test_a_pause_goes_before_everything() -> None:
    assert terms_of(control=Control(pid=1, paused=True, cpu="80%")).because == ASKED


def test_what_was_asked_of_an_earlier_scheduler_is_none_of_this_ones_business(tmp_path: Path) -> None:
    asked = Control(pid=7, cpu=1.5, paused=True)
    write_control(tmp_path, asked)
    assert read_control(tmp_path, 7) == asked
    assert read_control(tmp_path, 8) == Control(pid=8)


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}', b"\xff"])
def test_a_damaged_wish_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "control.json").write_bytes(content)
    assert read_control(tmp_path, 7) == Control(pid=7)
