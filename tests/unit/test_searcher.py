"""The search in one study: asks points, learns from told trials, and stays small."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest
from optuna.trial import FrozenTrial
from stubs.makers import SPACE, a_record

from optimizer.records import TrialRecord
from optimizer.search_space import Categorical, Int, Parameter, SearchSpace, When
from optimizer.strategies import load_sampler
from optimizer.strategies.base import DecidedTrial
from optimizer.study import searcher as searcher_module
from optimizer.study.searcher import Searcher, trial_seed

POINT = {"rate": 0.1, "depth": 3, "bootstrap": "no"}
OTHER = {"rate": 0.2, "depth": 4, "bootstrap": "bernoulli"}


def a_searcher(sampler: str = "random", *, space: SearchSpace = SPACE, starts: tuple[dict[str, Any], ...] = (),
               seed: int = 1, maximize: bool = True) -> Searcher:
    return Searcher(space=space, starts=starts, sampler=load_sampler(sampler), maximize=maximize, seed=seed, workers=2)


def asked(searcher: Searcher, number: int) -> dict[str, Any]:
    params = searcher.ask(f"cars/tree/{number}")
    assert params is not None
    return params


def a_result(number: int, params: dict[str, Any], score: float | None = 0.5, **fields: Any) -> TrialRecord:
    return a_record(f"cars/tree/{number}", params=params, score=score, **fields)


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> int:
    """A history that is trimmed after a few trials; the most that it ever holds."""
    monkeypatch.setattr(searcher_module, "KEEP_BEST", 5)
    monkeypatch.setattr(searcher_module, "KEEP_LATEST", 10)
    monkeypatch.setattr(searcher_module, "TRIM_SLACK", 5)
    return 20


# Asking.


def test_the_first_points_are_the_known_good_ones() -> None:
    searcher = a_searcher(starts=(POINT, OTHER))

    assert [asked(searcher, 0), asked(searcher, 1)] == [SPACE.complete(POINT), SPACE.complete(OTHER)]
    assert SPACE.contains(SPACE.restricted(asked(searcher, 2)))


def test_a_start_that_does_not_fit_a_narrowed_space_is_left_out() -> None:
    narrow = SPACE.narrowed("tree", {"depth": [4]})
    searcher = a_searcher(space=narrow, starts=(POINT, OTHER))

    assert asked(searcher, 0) == narrow.complete(OTHER)


def test_a_start_that_was_told_before_is_not_asked_again() -> None:
    searcher = a_searcher(starts=(POINT, OTHER))
    searcher.restore([a_result(0, SPACE.complete(POINT))])

    assert asked(searcher, 1) == SPACE.complete(OTHER)


def test_a_point_is_complete_and_its_own() -> None:
    searcher = a_searcher()

    params = asked(searcher, 0)
    params["iterations"] = -1

    assert SPACE.fixed == {"iterations": 100}


def test_no_point_of_a_few_choices_is_asked_twice_and_then_there_is_none() -> None:
    die = SearchSpace((Parameter("side", Categorical(tuple(range(10)))),))
    searcher = a_searcher(space=die)

    sides = [asked(searcher, number)["side"] for number in range(10)]

    assert sorted(sides) == list(range(10))
    assert searcher.ask("cars/tree/10") is None


@pytest.mark.parametrize("sampler", ["random", "tpe", "thrifty_tpe", "qmc"])
def test_whole_numbers_and_choices_are_walked_through_without_a_repeat_and_then_there_is_none(sampler: str) -> None:
    small = SearchSpace((Parameter("components", Int(1, 12)),
                         Parameter("scaling", Categorical(("none", "unit", "snv"))),
                         Parameter("order", Int(1, 4), When("scaling", ("snv",)))))
    assert small.size() == 12 * 2 + 12 * 4
    searcher = a_searcher(sampler, space=small)

    points = set()
    for number in range(72):
        params = asked(searcher, number)
        points.add(tuple(params.items()))
        searcher.tell(a_result(number, params, params["components"] / 12))

    assert len(points) == 72
    assert searcher.ask("cars/tree/72") is None
    assert all(small.contains(dict(point)) for point in points)


def test_what_was_told_before_a_restart_is_not_asked_again_however_little_is_left() -> None:
    small = SearchSpace((Parameter("depth", Int(1, 20)),))
    searcher = a_searcher("tpe", space=small)
    searcher.restore([a_result(number, {"depth": number}) for number in range(1, 20)])

    assert asked(searcher, 20) == {"depth": 20}
    assert searcher.ask("cars/tree/21") is None


def test_scores_of_fits_on_other_rows_are_not_learned_from() -> None:
    searcher = a_searcher(space=msgspec.structs.replace(SPACE, max_rows=500), starts=(POINT,))
    searcher.restore([a_result(0, SPACE.complete(POINT)), a_result(1, SPACE.complete(OTHER), max_rows=500)])

    assert [record.trial for record in searcher.told] == ["cars/tree/1"]
    assert asked(searcher, 2) == SPACE.complete(POINT), "fitted on these rows it is new"


@pytest.mark.parametrize("restored", [True, False])
def test_a_point_that_took_its_workers_with_it_is_never_asked_again(restored: bool) -> None:
    two = SearchSpace((Parameter("depth", Int(1, 2)),))
    bad = a_result(0, {"depth": 1}, None, state="failed", kind="worker_lost", quarantined=True)
    searcher = a_searcher(space=two)
    if restored:
        searcher.restore([bad])
    else:
        searcher.tell(bad)

    assert asked(searcher, 1)["depth"] == 2
    assert searcher.ask("cars/tree/2") is None


def test_a_trial_that_was_cut_in_its_first_fit_is_learnt_from_as_a_bad_one() -> None:
    searcher = a_searcher("tpe")
    for number in range(15):
        params = asked(searcher, number)
        cut = number % 2 == 1
        searcher.tell(a_result(number, params, None, state="pruned", cut=True) if cut
                      else a_result(number, params, 0.1 * number, fold_scores=(0.1 * number,)))

    assert [t.running_means for t in searcher.history()[:2]] == [(0.0,), ()]
    assert SPACE.contains(SPACE.restricted(asked(searcher, 15)))


def test_a_space_that_is_fixed_throughout_has_one_point() -> None:
    searcher = a_searcher(space=SearchSpace((), {"iterations": 100}))

    assert searcher.ask("cars/tree/0") == {"iterations": 100}
    assert searcher.ask("cars/tree/1") is None


def test_only_a_grid_comes_to_an_end() -> None:
    coin = SearchSpace((Parameter("side", Categorical(("heads", "tails"))),))
    searcher = a_searcher("grid", space=coin)

    sides = [asked(searcher, 0)["side"], asked(searcher, 1)["side"]]

    assert sorted(sides) == ["heads", "tails"]
    assert searcher.ask("cars/tree/2") is None


# Telling.


@pytest.mark.parametrize("maximize", [True, False])
def test_the_search_learns_which_way_is_better(maximize: bool) -> None:
    """After a few dozen trials whose score is their depth, the sampler asks the better half far more often."""
    searcher = a_searcher("tpe", maximize=maximize)
    depths = []
    for number in range(60):
        params = asked(searcher, number)
        depths.append(params["depth"])
        searcher.tell(a_result(number, params, float(params["depth"])))

    better = [depth >= 6 if maximize else depth <= 4 for depth in depths[30:]]
    assert sum(better) >= 20


def test_failed_and_pruned_trials_are_survived() -> None:
    searcher = a_searcher("tpe")
    for number in range(30):
        params = asked(searcher, number)
        if number % 3 == 0:
            searcher.tell(a_result(number, params, None, state="failed"))
        elif number % 3 == 1:
            searcher.tell(a_result(number, params, 0.4, state="pruned", fold_scores=(0.4,)))
        else:
            searcher.tell(a_result(number, params, 0.5))

    assert len(searcher.told) == 30
    assert len(searcher.history()) == 20


def test_a_pruner_sees_running_means_of_what_was_decided() -> None:
    searcher = a_searcher()
    searcher.tell(a_result(0, SPACE.complete(POINT), 0.5, fold_scores=(0.2, 0.8)))
    searcher.tell(a_result(1, SPACE.complete(OTHER), 0.3, state="pruned", fold_scores=(0.3,)))
    searcher.tell(a_result(2, SPACE.complete(OTHER), None, state="failed"))

    assert searcher.history() == [DecidedTrial(complete=True, running_means=(0.2, 0.5)),
                                  DecidedTrial(complete=False, running_means=(0.3,))]


def test_a_trial_that_was_never_asked_here_is_learnt_from_if_it_fits() -> None:
    searcher = a_searcher()

    searcher.tell(a_result(0, SPACE.complete(POINT)))
    searcher.tell(a_result(1, {**POINT, "depth": 99}))

    assert [record.trial for record in searcher.told] == ["cars/tree/0"]


# Going on after a restart.


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "grid"])
def test_a_restored_search_goes_on_with_new_points(sampler: str) -> None:
    before = a_searcher(sampler)
    records = [a_result(number, asked(before, number)) for number in range(12)]

    after = a_searcher(sampler, seed=2)
    after.restore(records)
    points = [SPACE.restricted(asked(after, number)) for number in range(12, 20)]

    assert len(after.told) == 12
    assert all(SPACE.contains(point) for point in points)
    assert not any(SPACE.restricted(r.params) in points for r in records)


def test_what_no_longer_fits_a_changed_space_is_left_aside() -> None:
    searcher = a_searcher(space=SPACE.narrowed("tree", {"depth": {"high": 3}}))

    searcher.restore([a_result(0, SPACE.complete(POINT)), a_result(1, SPACE.complete(OTHER))])

    assert [record.trial for record in searcher.told] == ["cars/tree/0"]


def test_a_trial_that_runs_again_after_a_restart_is_not_asked_twice() -> None:
    searcher = a_searcher(starts=(POINT, OTHER))

    searcher.resume("cars/tree/0", SPACE.complete(POINT))
    assert asked(searcher, 1) == SPACE.complete(OTHER)
    searcher.tell(a_result(0, SPACE.complete(POINT)))

    assert [record.trial for record in searcher.told] == ["cars/tree/0"]


def test_a_grid_leaves_out_what_runs_again() -> None:
    coin = SearchSpace((Parameter("side", Categorical(("heads", "tails"))),))
    searcher = a_searcher("grid", space=coin)

    searcher.resume("cars/tree/0", {"side": "heads"})

    assert asked(searcher, 1) == {"side": "tails"}
    assert searcher.ask("cars/tree/2") is None


def test_a_resumed_point_from_another_space_is_no_concern() -> None:
    searcher = a_searcher()

    searcher.resume("cars/tree/0", {**POINT, "depth": 99})
    searcher.tell(a_result(0, {**POINT, "depth": 99}))

    assert not searcher.told


# Staying small.


def test_the_history_keeps_the_best_and_the_latest(short_memory: int) -> None:
    searcher = a_searcher()
    scores = [0.9 if number in (3, 7) else number / 1000 for number in range(100)]
    for number, score in enumerate(scores):
        searcher.tell(a_result(number, asked(searcher, number), score))

    kept = [int(record.trial.rpartition("/")[2]) for record in searcher.told]

    assert len(kept) <= short_memory
    assert {3, 7} <= set(kept)
    assert kept[-10:] == list(range(90, 100))
    assert kept == sorted(kept)


def test_of_a_score_to_be_minimised_the_lowest_are_kept(short_memory: int) -> None:
    searcher = a_searcher(maximize=False)
    for number in range(60):
        searcher.tell(a_result(number, asked(searcher, number), float(number)))

    assert [record.score for record in searcher.told][:5] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_forgotten_trials_are_freed_and_not_only_hidden(short_memory: int) -> None:
    def alive() -> int:
        gc.collect()
        return sum(isinstance(thing, FrozenTrial) for thing in gc.get_objects())

    before = alive()
    searcher = a_searcher("tpe")
    for number in range(150):
        searcher.tell(a_result(number, asked(searcher, number), number / 150))

    # Optuna holds a few trials twice; what matters is that it is a matter of the history and not of the run.
    assert alive() - before <= 3 * short_memory


def test_trials_that_run_outlive_the_trimming(short_memory: int) -> None:
    searcher = a_searcher("tpe")
    running = asked(searcher, 0)
    for number in range(1, 60):
        searcher.tell(a_result(number, asked(searcher, number), number / 60))

    searcher.tell(a_result(0, running, 0.99))

    assert searcher.told[-1].trial == "cars/tree/0"


def test_a_restored_history_is_bounded_too(short_memory: int) -> None:
    before = a_searcher()
    records = [a_result(number, asked(before, number), number / 100) for number in range(100)]

    after = a_searcher()
    after.restore(records)

    assert len(after.told) <= short_memory


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
def test_after_trimming_no_point_is_drawn_again(short_memory: int, sampler: str) -> None:
    """Some samplers count in the study how much of their sequence they have drawn; a new study starts at nought."""
    searcher = a_searcher(sampler)
    points = []
    for number in range(70):
        points.append(asked(searcher, number))
        searcher.tell(a_result(number, points[-1], number / 70))

    assert len({tuple(sorted(point.items())) for point in points}) == 70


# Seeds.


def test_a_trials_seed_depends_on_the_study_and_the_trial_alone() -> None:
    assert trial_seed(1, "cars/tree/0") == trial_seed(1, "cars/tree/0") == 1_442_238_364
    seeds = {trial_seed(s, f"cars/tree/{n}") for s in range(3) for n in range(100)}
    assert len(seeds) == 300
    assert all(0 <= seed < 2**31 - 1 for seed in seeds)


# What does not fit into memory.


def test_what_ran_out_of_memory_is_asked_less_and_less() -> None:
    """Depth above 5 never fits, and would be the best if it did."""
    searcher = a_searcher("tpe")
    depths = []
    for number in range(80):
        params = asked(searcher, number)
        depths.append(params["depth"])
        if params["depth"] > 5:
            searcher.tell(a_result(number, params, None, state="failed", kind="out_of_memory",
                                   peak_private_mb=1000.0 * params["depth"]))
        else:
            searcher.tell(a_result(number, params, float(params["depth"])))

    assert sum(depth > 5 for depth in depths[50:]) <= 9  # 3 of 7 depths by chance: 13


def test_what_ran_out_of_memory_is_remembered_after_a_restart_and_no_score_to_a_pruner() -> None:
    searcher = a_searcher("tpe")
    params = SPACE.complete(POINT)

    searcher.restore([a_result(0, params, None, state="failed", kind="out_of_memory", peak_private_mb=900.0)])

    [trial] = searcher._study.get_trials(deepcopy=False)
    assert trial.constraints == {"memory": 900.0}
    assert trial.state.name == "PRUNED"
    assert searcher.history() == []
