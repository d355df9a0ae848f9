"""Budgets and fair shares, as functions of values."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.budgets import DatasetUse, FamilyUse, next_pair, shares

CPU = frozenset({"cpu"})
BOTH = frozenset({"cpu", "gpu"})
GPU = frozenset({"gpu"})


def a_family(name: str, seconds: float = 0.0, *, kind: str = "cpu", kinds: frozenset[str] = CPU, begun: int = 1,
             typical_s: float = 1.0, closed: bool = False) -> FamilyUse:
    return FamilyUse(name=name, kinds=kinds, seconds={kind: seconds}, begun=begun, typical_s=typical_s, closed=closed)


def a_dataset(*families: FamilyUse, name: str = "cars", budget_s: float | None = 100.0,
              budget_trials: int | None = None, decided: int = 0, under_way: int = 0) -> DatasetUse:
    return DatasetUse(name=name, families={f.name: f for f in families}, budget_s=budget_s,
                      budget_trials=budget_trials, decided=decided, under_way=under_way)


# The first round.


def test_every_family_has_a_trial_on_every_dataset_before_any_has_a_second() -> None:
    one = a_dataset(a_family("a"), a_family("b", begun=0), name="one")
    two = a_dataset(a_family("a", begun=0), a_family("b", begun=0), name="two")

    assert next_pair([one, two], "cpu") == ("one", "b")
    one.families["b"].begun = 1
    assert next_pair([one, two], "cpu") == ("two", "a")
    two.families["a"].begun = 1
    assert next_pair([one, two], "cpu") == ("two", "b")
    two.families["b"].begun = 1
    assert next_pair([one, two], "cpu") == ("one", "a")


def test_the_first_round_goes_over_a_budget_of_time_but_never_over_one_of_trials() -> None:
    families = (a_family("a", 200.0), a_family("b", begun=0))

    assert next_pair([a_dataset(*families, budget_s=100.0)], "cpu") == ("cars", "b")
    assert next_pair([a_dataset(*families, budget_s=None, budget_trials=1, under_way=1)], "cpu") is None


def test_a_trial_of_the_budget_is_kept_for_a_family_whose_slot_is_not_up_yet() -> None:
    families = (a_family("a"), a_family("b"), a_family("c", kinds=GPU, begun=0))

    def next_on_a_core(under_way: int, open_kinds: frozenset[str] = BOTH) -> tuple[str, str] | None:
        return next_pair([a_dataset(*families, budget_s=None, budget_trials=9, under_way=under_way)], "cpu", open_kinds)

    assert next_on_a_core(7) == ("cars", "a")
    assert next_on_a_core(8) is None
    # Not where its slot will never be, or it is closed, or had its trial.
    assert next_on_a_core(8, CPU) == ("cars", "a")
    families[2].begun = 1
    assert next_on_a_core(8) == ("cars", "a")
    families[2].begun, families[2].closed = 0, True
    assert next_on_a_core(8) == ("cars", "a")


def test_a_closed_family_has_no_first_trial() -> None:
    assert next_pair([a_dataset(a_family("a", begun=0, closed=True))], "cpu") is None


# Measured speed.


def test_a_family_leaves_a_slot_on_which_it_is_slow_to_one_that_has_no_other_place() -> None:
    both = FamilyUse(name="trees", kinds=BOTH, seconds={"cpu": 0.0}, begun=9, fold_s={"cpu": 10.0, "gpu": 1.0})
    only = FamilyUse(name="cats", kinds=CPU, seconds={"cpu": 50.0}, begun=9)

    assert next_pair([a_dataset(both, only)], "cpu") == ("cars", "cats"), "however much it has had already"
    assert next_pair([a_dataset(both, only)], "gpu") == ("cars", "trees")


def test_a_slow_card_goes_to_the_family_that_it_serves_better() -> None:
    slow = FamilyUse(name="slow", kinds=BOTH, seconds={"gpu": 0.0}, begun=9, fold_s={"cpu": 1.0, "gpu": 3.0})
    fast = FamilyUse(name="fast", kinds=BOTH, seconds={"gpu": 50.0}, begun=9, fold_s={"cpu": 3.0, "gpu": 1.0})

    assert next_pair([a_dataset(slow, fast)], "gpu") == ("cars", "fast")
    assert next_pair([a_dataset(slow, fast)], "cpu") == ("cars", "slow")


def test_no_slot_idles_because_another_would_be_faster() -> None:
    alone = FamilyUse(name="trees", kinds=BOTH, begun=9, fold_s={"cpu": 10.0, "gpu": 1.0})

    assert next_pair([a_dataset(alone)], "cpu") == ("cars", "trees")


def test_what_was_not_measured_or_hardly_differs_decides_nothing() -> None:
    for fold_s in ({}, {"cpu": 10.0}, {"gpu": 1.0}, {"cpu": 1.05, "gpu": 1.0}):
        family = FamilyUse(name="trees", kinds=BOTH, fold_s=dict(fold_s))
        assert not family.is_faster_elsewhere("cpu")
    gone = FamilyUse(name="trees", kinds=CPU, fold_s={"cpu": 10.0, "gpu": 1.0})
    assert not gone.is_faster_elsewhere("cpu"), "it may not use the other any more"


# Budgets.


def test_a_dataset_that_has_used_its_time_gives_its_slots_to_the_next_at_once() -> None:
    spent = a_dataset(a_family("a", 100.0), name="spent")
    fresh = a_dataset(a_family("a", 3.0), name="fresh")

    assert spent.spent
    assert next_pair([spent, fresh], "cpu") == ("fresh", "a")
    assert next_pair([spent], "cpu") is None


def test_a_budget_of_trials_counts_those_under_way() -> None:
    assert not a_dataset(a_family("a"), budget_trials=10, decided=7, under_way=2).spent
    assert a_dataset(a_family("a"), budget_trials=10, decided=7, under_way=3).spent


def test_time_is_counted_over_families_and_kinds_of_slot() -> None:
    one = FamilyUse(name="a", kinds=BOTH, seconds={"cpu": 30.0, "gpu": 20.0}, begun=1)

    assert a_dataset(one, a_family("b", 50.0)).used_s == 100.0


def test_without_any_budget_a_dataset_is_never_spent() -> None:
    assert not a_dataset(a_family("a", 1e9), budget_s=None).spent


# Shares.


def test_the_family_that_had_least_is_next() -> None:
    assert next_pair([a_dataset(a_family("a", 20.0), a_family("b", 10.0), a_family("c", 15.0))], "cpu") == ("cars", "b")


def test_among_equals_the_one_with_fewer_trials_is_next() -> None:
    assert next_pair([a_dataset(a_family("a", 5.0, begun=3), a_family("b", 5.0, begun=2))], "cpu") == ("cars", "b")


def test_a_slot_is_given_only_to_families_of_its_kind() -> None:
    dataset = a_dataset(a_family("a", 50.0, kinds=BOTH), a_family("b", 0.0, kinds=CPU), a_family("c", kinds=GPU))

    assert next_pair([dataset], "cpu") == ("cars", "b")
    assert next_pair([a_dataset(a_family("b", kinds=CPU))], "gpu") is None


def test_seconds_on_another_kind_of_slot_do_not_count() -> None:
    """Hours on a GPU are no reason to keep a family off the cores: kinds are balanced one by one."""
    dataset = a_dataset(a_family("a", 90.0, kind="gpu", kinds=BOTH), a_family("b", 5.0), budget_s=1000.0)

    assert next_pair([dataset], "cpu") == ("cars", "a")


def test_what_a_family_had_elsewhere_is_made_good_here() -> None:
    before = a_dataset(a_family("a", 60.0), a_family("b", 40.0), name="before", budget_s=100.0)
    here = a_dataset(a_family("a", 0.0, typical_s=20.0), a_family("b", 15.0, typical_s=20.0), name="here")

    assert next_pair([before, here], "cpu") == ("here", "b")


def test_a_family_that_joins_late_does_not_take_every_slot() -> None:
    """What is carried over from elsewhere is bounded by three long trials on each side."""
    before = a_dataset(a_family("a", 5000.0), name="before", budget_s=1.0)
    here = a_dataset(a_family("a", 0.0), a_family("late", 7.0), name="here")

    assert next_pair([before, here], "cpu") == ("here", "a")


def test_seconds_are_summed_by_family_over_the_run() -> None:
    one = a_dataset(a_family("a", 1.0), a_family("b", 2.0))

    assert shares([one, a_dataset(a_family("a", 3.0))]) == {"a": 4.0, "b": 2.0}


# A whole night, simulated.


def night(mean_s: Mapping[str, float], kinds: Mapping[str, frozenset[str]], slots: list[str], datasets: int,
          budget_s: float, seed: int) -> list[DatasetUse]:
    """Trials of random lengths on slots of these kinds, until every budget is used."""
    chance = random.Random(seed)
    uses = {f"d{i}": a_dataset(*(a_family(f, begun=0, typical_s=0.0, kinds=kinds[f]) for f in mean_s), name=f"d{i}",
                               budget_s=budget_s) for i in range(datasets)}
    ended: dict[tuple[str, str], list[float]] = defaultdict(list)
    free = list(range(len(slots)))
    running: list[tuple[float, int, str, str, float, float]] = []
    now = 0.0
    while True:
        for slot in list(free):
            pair = next_pair(list(uses.values()), slots[slot])
            if pair is not None:
                free.remove(slot)
                use = uses[pair[0]].families[pair[1]]
                length = mean_s[use.name] * chance.uniform(0.2, 1.8)
                # Like the book: a job under way is charged with what such trials usually take.
                use.seconds[slots[slot]] = use.seconds.get(slots[slot], 0.0) + use.typical_s
                use.begun += 1
                heapq.heappush(running, (now + length, slot, *pair, length, use.typical_s))
        if not running:
            return list(uses.values())
        now, slot, dataset, family, length, charged = heapq.heappop(running)
        free.append(slot)
        ended[dataset, family].append(length)
        use = uses[dataset].families[family]
        use.seconds[slots[slot]] += length - charged
        use.typical_s = fmean(ended[dataset, family])


lengths = st.floats(0.1, 20.0)


@settings(max_examples=25)
@given(st.tuples(lengths, lengths, lengths), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**16))
def test_shares_of_seconds_end_within_ten_points(
    means: tuple[float, float, float], slots: int, datasets: int, seed: int,
) -> None:
    """However long a family's trials are, as long as a budget has room for a few dozen of the longest."""
    mean_s = dict(zip("abc", means, strict=True))

    uses = night(mean_s, dict.fromkeys("abc", CPU), ["cpu"] * slots, datasets, 30 * max(means) * slots, seed)

    seconds = shares(uses)
    assert (max(seconds.values()) - min(seconds.values())) / sum(seconds.values()) <= 0.10


@settings(max_examples=25)
@given(st.tuples(lengths, lengths), st.integers(1, 4), st.integers(2, 8), st.integers(0, 2**16))
def test_long_trials_on_small_budgets_are_made_good_over_the_datasets(
    means: tuple[float, float], slots: int, datasets: int, seed: int,
) -> None:
    """Where one dataset has room for a few trials only, the run as a whole is still fair, up to a few trials."""
    mean_s = dict(zip("ab", means, strict=True))

    uses = night(mean_s, dict.fromkeys("ab", CPU), ["cpu"] * slots, datasets, 3 * max(means) * slots, seed)

    seconds = shares(uses)
    assert abs(seconds["a"] - seconds["b"]) <= 2 * 1.8 * max(means) * (slots + 1)


@settings(max_examples=25)
@given(st.tuples(lengths, lengths, lengths), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**16))
def test_shares_are_balanced_among_the_families_that_may_use_a_kind_of_slot(
    means: tuple[float, float, float], gpus: int, cores: int, seed: int,
) -> None:
    mean_s = dict(zip("abc", means, strict=True))
    kinds = {"a": BOTH, "b": BOTH, "c": CPU}

    uses = night(mean_s, kinds, ["gpu"] * gpus + ["cpu"] * cores, 2, 40 * max(means) * (gpus + cores), seed)

    for kind in ("gpu", "cpu"):
        able = [name for name in kinds if kind in kinds[name]]
        had = {name: sum(use.families[name].seconds.get(kind, 0.0) for use in uses) for name in able}
        assert (max(had.values()) - min(had.values())) / sum(had.values()) <= 0.10, (kind, had)


@settings(max_examples=25)
@given(st.tuples(lengths, lengths), st.integers(1, 6), st.integers(0, 2**16))
def test_a_budget_of_time_is_met_to_within_the_running_trials(
    means: tuple[float, float], slots: int, seed: int,
) -> None:
    budget_s = 30 * max(means) * slots

    uses = night(dict(zip("ab", means, strict=True)), dict.fromkeys("ab", CPU), ["cpu"] * slots, 2, budget_s, seed)

    for use in uses:
        assert budget_s - max(means) <= use.used_s <= budget_s + 1.8 * max(means) * slots


def test_a_trial_that_would_run_over_by_more_than_half_of_itself_does_not_start() -> None:
    long, short = a_family("long", 50.0), a_family("short", 40.0)
    long.typical_s, short.typical_s = 30.0, 4.0
    dataset = a_dataset(long, short)
    dataset.budget_s = 100.0
    assert dataset.has_room_for(short)
    assert not dataset.has_room_for(long)
    assert next_pair([dataset], "cpu") == (dataset.name, "short")


# A person's shares.


def carried_out(
    shares: Mapping[str, float | None], *, trials: int | None, length: Mapping[str, float],
    promises: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Trials of each family after three hundred of them on one slot."""
    families = {name: FamilyUse(name=name, kinds=CPU, seconds={"cpu": 0.0}, share=share, typical_s=length[name],
                                promise=None if promises is None else promises[name])
                for name, share in shares.items()}
    dataset = DatasetUse(name="cars", families=families, budget_s=None if trials else 1e9, budget_trials=trials)
    for _ in range(300):
        pair = next_pair([dataset], "cpu")
        assert pair is not None
        family = families[pair[1]]
        family.begun += 1
        family.seconds["cpu"] += length[family.name]
        dataset.decided += 1
    return {name: family.begun for name, family in families.items()}


def test_shares_of_a_budget_in_trials_are_shares_of_trials() -> None:
    counts = carried_out({"linear": 0.4, "trees": None, "forest": None}, trials=1000,
                         length={"linear": 0.1, "trees": 5.0, "forest": 1.0})
    assert counts == {"linear": 120, "trees": 90, "forest": 90}


def test_shares_of_a_budget_in_time_are_shares_of_time() -> None:
    counts = carried_out({"linear": 0.5, "trees": None, "forest": None}, trials=None,
                         length={"linear": 1.0, "trees": 2.0, "forest": 1.0})
    assert abs(counts["linear"] - 2 * counts["forest"]) <= 3
    assert abs(counts["forest"] - 2 * counts["trees"]) <= 3


def test_where_shares_follow_promises_the_best_has_most_and_each_the_floor() -> None:
    counts = carried_out(dict.fromkeys("abcd"), trials=1000, length=dict.fromkeys("abcd", 1.0),
                         promises={"a": 1.0, "b": 0.5, "c": 0.0, "d": 0.0})
    assert counts == {"a": 175, "b": 95, "c": 15, "d": 15}


def test_a_share_of_the_person_goes_before_promises() -> None:
    counts = carried_out({"a": 0.2, "b": None, "c": None}, trials=1000, length=dict.fromkeys("abc", 1.0),
                         promises={"a": 0.0, "b": 1.0, "c": 1.0})
    assert counts == {"a": 60, "b": 120, "c": 120}
