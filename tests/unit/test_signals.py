"""Signals are counted, and can be waited for like a channel."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from multiprocessing import connection

import pytest

from optimizer.scheduler.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Signals of this process, put back afterwards; under nohup a hang-up would be ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signals = Signals()
    yield signals
    signals.close()
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_wakes_and_is_counted(signals: Signals, number: int) -> None:
    assert not connection.wait([signals], 0)  # type: ignore[list-item]

    signal.raise_signal(number)

    assert connection.wait([signals], 10)  # type: ignore[list-item]
    assert signals.taken() == 1
    assert signals.taken() == 0
    assert not connection.wait([signals], 0)  # type: ignore[list-item]


def test_two_signals_between_two_looks_are_two(signals: Signals) -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)

    assert signals.taken() == 2


def test_a_hang_up_never_counts_as_the_second_signal(signals: Signals) -> None:
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert signals.taken() == 1

    signal.raise_signal(signal.SIGHUP)
    assert signals.taken() == 0
    signal.raise_signal(signal.SIGINT)
    assert signals.taken() == 1


def test_a_storm_of_signals_neither_blocks_nor_is_lost(signals: Signals) -> None:
    for _ in range(5000):
        signal.raise_signal(signal.SIGINT)

    assert signals.taken() == 5000
    assert not connection.wait([signals], 0)  # type: ignore[list-item]


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    """So that `nohup` means what it says."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = Signals()
        signal.raise_signal(signal.SIGHUP)
        assert signals.taken() == 0
        signals.close()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_closing_puts_back_what_was_there() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    Signals().close()

    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
