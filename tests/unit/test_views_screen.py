"""The screen: what is shown at which size, and that nothing can break it."""

from __future__ import annotations

import io
import math
import random

import msgspec
import pytest
from rich.console import Console, Group
from stubs.statuses import NOW, dataset, slot, status

from optimizer.status import FamilyShare, Status
from optimizer.views import screen

HOSTILE = "[red]x[/red]\x1b[2J\n\u202e数据" * 3


def drawn(state: Status | None, width: int, height: int, **options: str) -> list[str]:
    """The screen as plain text, through rich as the person sees it."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*screen.lines(state, width=width, height=height, now=NOW, **options)), end="")
    return capture.get().split("\n")[:-1]


def test_at_80_by_24_what_matters_most_is_all_there() -> None:
    page = [line.rstrip() for line in drawn(status(), 80, 24)]
    assert len(page) <= 24
    assert page[0].startswith("s5e7  running             2 h 14 min so far, about 5 h 45 min left (until ")
    assert page[1].endswith("  30 %")
    assert page[3] == "dataset                    best score  family    trials  tied state         time"
    assert page[6] == "train_corrected_02  0.97305 ± 0.00051  catboost     402    55 running  23/60 min"
    assert page[12] == "slot   cpu  memory   gpu  running                                      fold time"
    assert page[13].startswith("gpu0  ")
    assert page[13].endswith("  78 %  train_corrected_02/xgboost/140                1/5  3 s")
    assert page[17] == "share   xgboost 34 %   lightgbm 33 %   catboost 33 %       cpu 93 %  memory 32 %"
    assert page[-1] == "06:11:03 GPU gpu1 at 64 °C"


def test_a_large_terminal_shows_everything_in_whole_boxes() -> None:
    page = drawn(status(), 200, 60)
    assert len(page) == 60
    assert {len(line) for line in page} == {200}
    for name in ("train_corrected_07", "same content as train_corrected_01", "within 1 s.e.", "mean so far",
                 "failed: out of memory", "new best", "3 of 4 slots busy", "NVIDIA H100 1"):
        assert any(name in line for line in page), name
    assert all(line[0] in "╭│╰" and line[-1] in "╮│╯" for line in page)


def test_where_not_every_dataset_fits_those_in_progress_are_shown() -> None:
    many = tuple(dataset(i, "finished" if i < 30 else "running" if i == 30 else "waiting") for i in range(50))
    page = drawn(msgspec.structs.replace(status(), datasets=many), 80, 24)
    assert any(line.startswith("train_corrected_30") for line in page)
    assert any(line.startswith("and 43 more: 24 finished, 19 waiting") for line in page)


def test_a_dataset_name_is_whole_wherever_there_is_room() -> None:
    name = "an_unusually_long_dataset_name_that_a_person_gave_for_a_good_reason_01"
    state = msgspec.structs.replace(status(), datasets=(dataset(1, "running", name),))
    assert any(name in line for line in drawn(state, 200, 60))
    page = [line.split("  ")[0] for line in drawn(state, 60, 24)]
    first = next(i for i, line in enumerate(page) if line.startswith("an_unusually"))
    assert "".join(page[first : first + 3]).startswith(name)


def test_time_used_is_shown_as_the_person_gave_it() -> None:
    """An hour per dataset on four slots is four slot-hours, and still reads as sixty minutes."""
    assert any("60/60 min" in line for line in drawn(status(slots=4), 80, 24))


def test_the_end_of_a_run_is_told_by_how_long_it_took() -> None:
    state = msgspec.structs.replace(status(), state="finished", progress=1.0, eta=None)
    assert "took 2 h 13 min, ended" in drawn(state, 80, 24)[0]


def test_a_scheduler_that_went_silent_is_said() -> None:
    state = msgspec.structs.replace(status(), at=NOW - 240)
    assert "no news from the scheduler for 4 min" in "\n".join(drawn(state, 80, 24))
    assert "resume it with: optimizer run" in "\n".join(
        drawn(state, 80, 24, note="the run is not running; resume it with: optimizer run studies/s5e7.toml"))


def test_a_family_that_stopped_says_why() -> None:
    gone = FamilyShare(name="lightgbm", seconds=3.0, share=0.1, complete=1, pruned=0, failed=1, best_score=None,
                       note="it trained on the CPU though a GPU was asked for")
    state = msgspec.structs.replace(status(), families=(gone,))
    for width, height in ((80, 24), (200, 60)):
        page = drawn(state, width, height)
        assert any("lightgbm: it trained on the CPU though a GPU was asked for" in line for line in page)


def test_before_there_is_a_status_the_screen_says_that_it_starts() -> None:
    page = "\n".join(drawn(None, 80, 24, title="s5e7"))
    assert "s5e7" in page
    assert "starting" in page


def hostile(state: Status) -> Status:
    """The same with everything in it that a screen could stumble over."""
    bad = msgspec.structs.replace
    return bad(
        state, run=HOSTILE, state=HOSTILE, progress=math.nan, eta=math.inf, at=math.nan, recorder_lag=10**9,
        machine=bad(state.machine, cores=0, cpu=math.nan, memory_mb=0.0, memory_used_mb=math.inf),
        datasets=tuple(bad(d, name=HOSTILE, note=HOSTILE, best_score=math.nan, best_error=-1.0, used_s=math.inf,
                           budget_s=math.nan, best_trial=HOSTILE) for d in state.datasets),
        slots=tuple(bad(s, name=HOSTILE, trial=HOSTILE, cores=(), cpu=math.nan, rss_mb=math.inf, since=math.nan,
                        steps=0, gpu_load=math.nan, running_mean=math.inf) for s in state.slots),
        families=tuple(bad(f, name=HOSTILE, note=HOSTILE, share=math.nan, seconds=math.inf) for f in state.families),
        recent=tuple(bad(r, trial=HOSTILE, reason=HOSTILE, score=math.nan, seconds=math.nan, at=math.nan)
                     for r in state.recent), log=(HOSTILE, "", HOSTILE * 40),
    )


STATES = {
    "ordinary": status(),
    "hostile": hostile(status()),
    "empty": Status(run="", state="preparing", pid=0, version="", at=0.0, first_started=0.0, started=0.0,
                    machine=status().machine),
    "crowded": status(datasets=300, slots=1000),
    "none": None,
}


@pytest.mark.parametrize("name", STATES)
def test_nothing_breaks_a_frame(name: str) -> None:
    """At any size: no exception, no line too wide, no line too many, no control character."""
    state = STATES[name]
    for width in (1, 2, 5, *range(20, 251, 23)):
        for height in (1, 3, 24, 32, 60):
            lines = screen.lines(state, width=width, height=height, now=NOW, title=HOSTILE, note=HOSTILE)
            assert 0 < len(lines) <= height
            for line in lines:
                assert line.cell_len <= width
                assert line.plain.isprintable(), (width, height, line.plain)
                assert "could not be drawn" not in line.plain, (width, height, line.plain)


def test_markup_in_a_name_is_shown_and_not_obeyed() -> None:
    state = msgspec.structs.replace(status(), datasets=(dataset(0, "running", "[bold]a[/bold]"),),
                                    slots=(slot(0, random.Random(1)),))
    assert any(line.startswith("[bold]a[/bold]  ") for line in drawn(state, 80, 24))


def test_a_frame_that_cannot_be_drawn_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bar of no width")

    monkeypatch.setattr(screen, "_page", broken)
    assert drawn(status(), 80, 24) == ["this frame could not be drawn: ValueError: a bar of no width"]


def test_what_holds_a_run_back_cannot_be_missed() -> None:
    for width, height in ((80, 24), (200, 60)):
        assert any("free some space" in line for line in drawn(
            status(trouble="the disk is full: free some space"), width, height))
