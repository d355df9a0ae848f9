"""Which signal is due when, asked of values."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM, SIGUSR1

from optimizer.ending import AT_ONCE, BY_STEPS, HOPELESS_S, LEAVING, Ending, sooner


def sent(ending: Ending, times: list[float]) -> list[tuple[float, int]]:
    """What is sent by somebody who looks at these times."""
    found = []
    for now in times:
        signals, ending = ending.due(now)
        found += [(now, number) for number in signals]
    return found


def test_a_process_is_ended_by_steps() -> None:
    looks = [100.0, 100.5, 100.9, 101.0, 103.0, 105.9, 106.0, 110.0]

    assert sent(Ending(since=100.0, steps=BY_STEPS), looks) == [(100.0, SIGUSR1), (101.0, SIGTERM), (106.0, SIGKILL)]


def test_a_process_is_ended_at_once() -> None:
    assert sent(Ending(since=100.0, steps=AT_ONCE), [100.0, 101.0]) == [(100.0, SIGKILL)]


def test_one_that_leaves_is_given_half_a_second() -> None:
    assert sent(Ending(since=100.0, steps=LEAVING), [100.0, 100.4, 100.5, 101.0]) == [(100.5, SIGKILL)]


def test_who_looks_late_sends_the_last_signal_only() -> None:
    assert sent(Ending(since=100.0, steps=BY_STEPS), [100.0, 200.0, 300.0]) == [(100.0, SIGUSR1), (200.0, SIGKILL)]


def test_the_next_look_comes_when_the_next_step_is_due() -> None:
    _, ending = Ending(since=100.0, steps=BY_STEPS).due(100.0)

    assert ending.wait_s(100.25) == 0.75
    assert ending.wait_s(150.0) == 0.0


def test_after_the_kill_the_looks_are_close_together_and_then_far_apart() -> None:
    _, ending = Ending(since=100.0, steps=AT_ONCE).due(100.0)

    assert ending.wait_s(100.5) < 0.1
    assert ending.wait_s(105.0) == 0.5


def test_hope_is_given_up_half_a_minute_after_the_kill_and_not_before() -> None:
    waiting = Ending(since=100.0, steps=BY_STEPS)
    _, killed = waiting.due(106.0)

    assert not waiting.is_hopeless(1000.0), "nobody has sent SIGKILL yet"
    assert not killed.is_hopeless(106.0 + HOPELESS_S - 0.1)
    assert killed.is_hopeless(106.0 + HOPELESS_S)


def test_of_two_ways_the_faster_is_taken_and_a_kill_is_never_taken_back() -> None:
    steps, at_once = Ending(since=100.0, steps=BY_STEPS), Ending(since=101.0, steps=AT_ONCE)
    _, killed = Ending(since=100.0, steps=AT_ONCE).due(100.0)

    assert sooner(None, steps) is steps
    assert sooner(steps, at_once) is at_once
    assert sooner(steps, Ending(since=105.9, steps=LEAVING)) is steps
    assert sooner(killed, Ending(since=101.0, steps=BY_STEPS)) is killed
