"""What is noted of a fit while it runs, and when it is cut short."""

from __future__ import annotations

import math

import pytest

from optimizer.curves import CHECKPOINTS, FitWatch, kind_of_loss, watched


def run(watch: FitWatch, losses: list[float]) -> int:
    """Iterations until the watch asked for the end, or all."""
    return next((i + 1 for i, loss in enumerate(losses) if watch(i, loss)), len(losses))


def test_losses_are_noted_at_the_same_progress_whatever_the_learning_rate() -> None:
    slow, fast = FitWatch(0.02, ()), FitWatch(0.1, ())

    run(slow, [math.exp(-0.02 * (i + 1)) for i in range(700)])
    run(fast, [math.exp(-0.1 * (i + 1)) for i in range(140)])

    assert slow.completed_curve() == pytest.approx(fast.completed_curve())
    assert slow.completed_curve() == pytest.approx([math.exp(-p) for p in CHECKPOINTS], rel=1e-6)


def test_the_lowest_loss_so_far_counts_and_a_fit_that_ends_early_keeps_it() -> None:
    watch = FitWatch(0.5, ())

    run(watch, [0.9, 0.4, 0.7])

    assert watch.completed_curve() == (0.9, 0.4, 0.4, *[0.4] * (len(CHECKPOINTS) - 3))


def test_a_fit_is_cut_short_at_the_first_checkpoint_above_its_limit_and_not_between_them() -> None:
    losses = [1.0 / (i + 1) for i in range(100)]

    assert run(FitWatch(0.1, (None, 0.05)), losses) == 10
    assert run(FitWatch(0.1, (None, 0.5)), losses) == 100
    assert run(FitWatch(0.1, ()), losses) == 100


def test_a_loss_that_is_no_number_cuts_nothing() -> None:
    assert run(FitWatch(0.5, (0.1,)), [math.nan] * 5) == 5


def test_a_family_that_does_not_learn_in_steps_is_not_watched() -> None:
    assert watched({"alpha": 1.0}, ()) is None
    assert watched({"learning_rate": 0.1}, ()) is not None


def test_losses_of_other_objectives_and_class_weights_are_of_another_kind() -> None:
    assert kind_of_loss({"objective": "absolute"}) != kind_of_loss({"objective": "squared"})
    assert kind_of_loss({"class_weight": "balanced"}) != kind_of_loss({"class_weight": "none"})
    assert kind_of_loss({"learning_rate": 0.1}) == kind_of_loss({"learning_rate": 0.2})
