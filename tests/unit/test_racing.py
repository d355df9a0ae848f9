"""Which loss inside a fit is hopeless."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.curves import CHECKPOINTS
from optimizer.strategies.base import DecidedTrial, running_means
from optimizer.strategies.pruners.racing import RANK, STARTUP, STRATEGY, highest_hopeful


def history(trials: int, *, noise: float, seed: int = 0, sign: float = 1.0) -> list[DecidedTrial]:
    """Complete trials of two folds whose losses foretell their scores up to a noise."""
    chance = np.random.default_rng(seed)
    found = []
    for worth in chance.normal(0, 1, trials):
        curve = tuple(float(2 - worth + chance.normal(0, noise)) for _ in CHECKPOINTS)
        found.append(DecidedTrial(complete=True, running_means=running_means([sign * float(worth)] * 2),
                                  curves=(curve, curve)))
    return found


def test_nothing_is_cut_before_enough_trials_are_complete() -> None:
    assert STRATEGY.fit_limits(history(STARTUP - 1, noise=0.1), steps=2, maximize=True) == ()
    assert STRATEGY.fit_limits(history(STARTUP, noise=0.1), steps=2, maximize=True)


@pytest.mark.parametrize("maximize", [True, False])
def test_where_losses_foretell_scores_the_limit_lies_between_the_good_and_the_bad(maximize: bool) -> None:
    trials = history(60, noise=0.1, sign=1.0 if maximize else -1.0)

    limits = STRATEGY.fit_limits(trials, steps=2, maximize=maximize)

    third = sorted(t.curves[0][0] for t in trials)[RANK - 1]
    worst = max(t.curves[0][0] for t in trials)
    assert limits is not None
    assert all(limit is not None and third < limit < worst for step in limits for limit in step)


def test_where_losses_foretell_nothing_nothing_is_cut() -> None:
    chance = np.random.default_rng(1)
    losses, scores = chance.normal(0, 1, 40).tolist(), chance.normal(0, 1, 40).tolist()

    assert highest_hopeful(losses, scores, max(scores)) is None
    assert highest_hopeful([1.0] * 20, scores[:20], 0.0) is None
    assert highest_hopeful(scores, scores, max(scores)) is None  # a higher loss with a better score


def test_the_more_losses_scatter_the_later_a_fit_is_given_up() -> None:
    def limit(noise: float) -> float:
        trials = history(60, noise=noise)
        found = highest_hopeful([t.curves[0][0] for t in trials], [t.running_means[-1] for t in trials], 2.0)
        assert found is not None
        return found

    assert limit(0.05) < limit(0.2) < limit(0.4)


def test_of_simulated_trials_that_were_to_end_among_the_best_three_hardly_any_is_cut() -> None:
    cut = best = 0
    for seed in range(40):
        trials = history(80, noise=0.3, seed=seed)
        target = sorted((t.running_means[-1] for t in trials), reverse=True)[RANK - 1]
        for position in range(STARTUP, len(trials)):
            limits = STRATEGY.fit_limits(trials[:position], steps=2, maximize=True)
            assert limits is not None
            trial = trials[position]
            hopeless = any(x is not None and loss > x for loss, x in zip(trial.curves[0], limits[0], strict=True)
                           ) if limits else False
            if trial.running_means[-1] >= target:
                best += 1
                cut += hopeless

    assert best > 80
    assert cut <= 0.05 * best * 2  # nine looks at each of them
