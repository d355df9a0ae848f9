"""What a trial must not fall behind: asked of the pruner where it is worth asking."""

from __future__ import annotations

import msgspec
import pytest
from stubs.makers import SPACE, a_prepared, a_record

from optimizer.scheduler.bars import LOOK_FROM_ROWS, LOOK_SHARE, Bars
from optimizer.search_space import SearchSpace
from optimizer.strategies import load_pruner, load_sampler
from optimizer.strategies.pruners.confidence import STARTUP
from optimizer.study.searcher import Searcher


def bars(pruner: str = "confidence", *, rows: int = LOOK_FROM_ROWS, looks: tuple[float, ...] = (),
         space: SearchSpace = SPACE) -> Bars:
    """After complete trials whose final scores are a tenth above their looks, give or take a hundredth."""
    searcher = Searcher(space=space, starts=(), sampler=load_sampler("random"), maximize=True, seed=1, workers=1)
    searcher.restore(
        a_record(f"cars/tree/{number}", score=look + 0.1 + 0.01 * (-1) ** number, look_score=look)
        for number, look in enumerate(looks))
    return Bars(load_pruner(pruner), searcher, prepared=a_prepared(rows=rows))


def test_a_small_table_and_a_pruner_that_does_not_want_it_are_not_looked_at() -> None:
    assert bars(rows=LOOK_FROM_ROWS - 1).look() == (0.0, None)
    assert bars("median").look() == (0.0, None)
    assert bars("none").look() == (0.0, None)


def test_a_large_table_is_not_looked_at_where_a_family_is_fitted_on_few_of_its_rows() -> None:
    few, many = (msgspec.structs.replace(SPACE, max_rows=rows) for rows in (LOOK_FROM_ROWS - 1, LOOK_FROM_ROWS))

    assert bars(space=few).look() == (0.0, None)
    assert bars(space=many).look() == (LOOK_SHARE, None)


def test_a_large_table_is_looked_at_from_the_first_trial_on_and_pruned_by_it_later() -> None:
    assert bars().look() == (LOOK_SHARE, None)
    assert bars(looks=(0.5,) * (STARTUP - 1)).look() == (LOOK_SHARE, None)


def test_the_limit_is_where_only_more_luck_than_any_had_would_help() -> None:
    _, limit = bars(looks=(0.5, 0.6, 0.7, 0.8, 0.8)).look()
    # The second best is to be reached, looks lack about 0.1 and are off by about 0.01.
    assert limit == pytest.approx(0.78, abs=0.02)
    assert limit < 0.8
