"""A search ends where its best few scores have not changed for as long as the person says."""

from __future__ import annotations

import pytest
from stubs.makers import a_record

from optimizer.config.resolved import StopRules
from optimizer.scheduler.settling import Settling, Unchanged


@pytest.mark.parametrize("maximize", [True, False])
def test_trials_are_counted_since_the_best_few_changed(maximize: bool) -> None:
    sign = 1.0 if maximize else -1.0
    unchanged = Unchanged(2, maximize=maximize)
    counts = []
    for score in (0.5, 0.6, 0.4, None, 0.55, 0.55, 0.7):
        unchanged.add(None if score is None else sign * score)
        counts.append(unchanged.trials)
    assert counts == [0, 0, 1, 2, 0, 1, 0]


def told(settling: Settling, scores: str, dataset: str = "cars", family: str = "tree") -> None:
    """Tell one trial per letter: ``b`` a better one, ``w`` a worse one, ``p`` a pruned one, ``f`` a failed one."""
    for number, letter in enumerate(scores):
        state = {"p": "pruned", "f": "failed"}.get(letter, "complete")
        score = {"b": 0.5 + number / 1000, "f": None}.get(letter, 0.1)
        settling.tell(a_record(f"{dataset}/{family}/{number}", state=state, score=score), maximize=True)


def test_without_rules_nothing_ever_ends() -> None:
    settling = Settling(StopRules())
    told(settling, "b" + "w" * 10_000)
    assert (settling.family("cars", "tree"), settling.dataset("cars"), settling.run()) == ("", "", "")


def test_a_family_a_dataset_and_the_run_have_rules_of_their_own() -> None:
    settling = Settling(StopRules(best=1, family=3, dataset=4, run=6))
    told(settling, "bwp")
    assert settling.family("cars", "tree") == ""
    told(settling, "w")
    assert settling.family("cars", "tree") == "its best 1 have not changed in 3 trials"
    assert settling.dataset("cars") == ""
    told(settling, "w", family="forest")
    assert settling.family("cars", "forest") == ""
    assert settling.dataset("cars") == "its best 1 have not changed in 4 trials"
    assert settling.run() == ""
    told(settling, "ww", family="forest")
    assert settling.run() == "every dataset's best 1 have not changed in 6 trials"


def test_a_change_on_any_dataset_keeps_the_run_going() -> None:
    settling = Settling(StopRules(best=1, run=3))
    told(settling, "bww")
    told(settling, "b", dataset="boats")
    told(settling, "ww", dataset="boats")
    assert settling.run() == ""
    told(settling, "w")
    assert settling.run() != ""


def test_failed_trials_say_nothing() -> None:
    settling = Settling(StopRules(best=1, family=2))
    told(settling, "bwfffff")
    assert settling.family("cars", "tree") == ""


def test_after_a_restart_the_count_goes_on_in_the_order_of_time() -> None:
    records = [a_record(f"cars/tree/{number}", score=score, at=float(at))
               for number, (score, at) in enumerate([(0.9, 2), (0.5, 1), (0.1, 4), (0.2, 3)])]
    settling = Settling(StopRules(best=1, family=2))
    settling.restore(records, maximize=True)
    assert settling.family("cars", "tree") != ""
