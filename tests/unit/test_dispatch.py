"""Who runs what: crash stories, told to a state machine that knows no clock and no process."""

from __future__ import annotations

import pytest

from optimizer.dispatch import MAX_ATTEMPTS, MAX_FAULTS, Dispatcher, Lease, Retry, SlotState


def a_dispatcher(*names: str, most_deaths: int = 5) -> Dispatcher:
    """Slots whose workers are ready; a name that begins with ``gpu`` has a card."""
    dispatcher = Dispatcher(slots={n: SlotState(name=n, kind=n[:3]) for n in names or ("cpu0",)},
                            most_deaths=most_deaths)
    for name in dispatcher.slots:
        dispatcher.ready(name)
    return dispatcher


def assigned(dispatcher: Dispatcher, trial: int = 0, slot: str = "cpu0", *, attempt: int = 1, faults: int = 0,
             expected_step_s: float = 0.0, limits: tuple[float | None, ...] = ()) -> Lease:
    return dispatcher.assign(slot, trial=f"cars/tree/{trial}", dataset="cars", family="tree", attempt=attempt,
                             faults=faults, expected_step_s=expected_step_s, limits=limits)


def started(dispatcher: Dispatcher, trial: int = 0, slot: str = "cpu0", *, steps: int = 5, now: float = 0.0,
            attempt: int = 1, faults: int = 0, expected_step_s: float = 0.0,
            limits: tuple[float | None, ...] = ()) -> Lease:
    lease = assigned(dispatcher, trial, slot, attempt=attempt, faults=faults, expected_step_s=expected_step_s,
                     limits=limits)
    assert dispatcher.started(slot, lease.number, steps, now) is lease
    return lease


# The usual way.


def test_a_job_waits_until_its_worker_starts_it() -> None:
    dispatcher = a_dispatcher()

    lease = assigned(dispatcher)
    assert (dispatcher.slots["cpu0"].waiting, dispatcher.slots["cpu0"].running) == (lease, None)
    dispatcher.started("cpu0", lease.number, 5, now=3.0)

    assert (dispatcher.slots["cpu0"].waiting, dispatcher.slots["cpu0"].running) == (None, lease)
    assert (lease.started, lease.steps) == (3.0, 5)


def test_a_finished_job_frees_its_slot() -> None:
    dispatcher = a_dispatcher()
    lease = started(dispatcher)

    assert dispatcher.finished("cpu0", lease.number) is lease

    assert dispatcher.wanting(0.0, 1.0) == ["cpu0"]
    assert not dispatcher.under_way
    assert not dispatcher.retries


def test_a_job_that_fails_before_its_first_work_frees_its_slot_too() -> None:
    """A table that cannot be read is found out before the worker says that it has started."""
    dispatcher = a_dispatcher()
    lease = assigned(dispatcher)

    assert dispatcher.finished("cpu0", lease.number) is lease

    assert dispatcher.wanting(0.0, 1.0) == ["cpu0"]


def test_steps_are_counted_with_their_length_and_mean() -> None:
    dispatcher = a_dispatcher()
    lease = started(dispatcher)

    dispatcher.stepped("cpu0", lease.number, running_mean=0.7, seconds=4.0, now=4.0)

    assert (lease.steps_done, lease.running_mean, lease.expected_step_s, lease.last_step_at) == (1, 0.7, 4.0, 4.0)


def test_a_slot_has_no_work_before_its_worker_is_ready() -> None:
    dispatcher = Dispatcher(slots={"cpu0": SlotState(name="cpu0", kind="cpu")})

    assert not dispatcher.wanting(0.0, 1.0)
    dispatcher.ready("cpu0")
    assert dispatcher.wanting(0.0, 1.0) == ["cpu0"]


# Lost workers.


def test_a_killed_worker_costs_one_attempt() -> None:
    dispatcher = a_dispatcher()
    lease = started(dispatcher)

    lost = dispatcher.lost("cpu0")

    assert (lost.ran, lost.given_up) == (lease, False)
    assert dispatcher.retry_for("cpu") == Retry(trial="cars/tree/0", dataset="cars", family="tree", attempt=2,
                                                faults=1, kind="cpu")


def test_the_waiting_job_costs_nothing() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher, trial=0)
    assigned(dispatcher, trial=1)

    dispatcher.lost("cpu0")

    assert [(r.trial, r.attempt, r.faults) for r in dispatcher.retries] == [("cars/tree/0", 2, 1),
                                                                            ("cars/tree/1", 1, 0)]


def test_a_worker_that_dies_idle_costs_no_trial() -> None:
    dispatcher = a_dispatcher()

    lost = dispatcher.lost("cpu0")

    assert lost.ran is None
    assert not dispatcher.retries


def test_the_third_worker_that_a_trial_takes_with_it_is_the_last() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher, attempt=3, faults=MAX_FAULTS - 1)

    assert dispatcher.lost("cpu0").given_up
    assert not dispatcher.retries


def test_a_job_that_would_end_the_same_way_again_is_given_up_at_once() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher)

    assert dispatcher.lost("cpu0", retry=False).given_up
    assert not dispatcher.retries


def test_a_trial_that_never_ends_is_not_tried_for_ever() -> None:
    """Attempts that ended with their scheduler are nobody's fault, yet they are counted."""
    dispatcher = a_dispatcher()
    started(dispatcher, attempt=MAX_ATTEMPTS, faults=0)

    assert dispatcher.lost("cpu0").given_up


def test_a_given_up_trial_leaves_the_waiting_one_in_peace() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher, trial=0, faults=MAX_FAULTS - 1)
    assigned(dispatcher, trial=1)

    assert dispatcher.lost("cpu0").given_up
    assert [r.trial for r in dispatcher.retries] == ["cars/tree/1"]


def test_a_slot_gets_no_work_while_its_worker_is_gone() -> None:
    dispatcher = a_dispatcher("cpu0", "cpu1")

    dispatcher.lost("cpu0")

    assert dispatcher.slots["cpu0"].phase == "down"
    assert dispatcher.wanting(0.0, 1.0) == ["cpu1"]


def test_a_new_worker_brings_the_slot_back() -> None:
    dispatcher = a_dispatcher()
    dispatcher.lost("cpu0")

    dispatcher.restarting("cpu0")
    assert dispatcher.slots["cpu0"].phase == "starting"
    dispatcher.ready("cpu0")

    assert dispatcher.wanting(0.0, 1.0) == ["cpu0"]


def test_a_closed_slot_stays_closed_whatever_its_last_worker_says() -> None:
    dispatcher = a_dispatcher(most_deaths=1)
    dispatcher.lost("cpu0")

    dispatcher.ready("cpu0")

    assert dispatcher.slots["cpu0"].phase == "closed"


def test_a_gpu_slot_that_no_family_can_use_becomes_one_for_the_cpu_with_what_waits_for_it() -> None:
    dispatcher = a_dispatcher("gpu0", "gpu1")
    started(dispatcher, slot="gpu0")
    dispatcher.lost("gpu0")

    dispatcher.turn_into_cpu_slot("gpu0", closed=True)
    dispatcher.turn_into_cpu_slot("gpu1", closed=False)

    assert [(s.kind, s.phase) for s in dispatcher.slots.values()] == [("cpu", "closed"), ("cpu", "up")]
    assert dispatcher.retry_for("cpu") is not None


def test_deaths_in_a_row_close_the_slot() -> None:
    dispatcher = a_dispatcher(most_deaths=3)

    closed = [dispatcher.lost("cpu0").closed for _ in range(3)]

    assert closed == [False, False, True]
    assert dispatcher.slots["cpu0"].phase == "closed"
    assert not dispatcher.wanting(0.0, 1.0)


def test_a_family_that_kills_its_workers_closes_no_slot() -> None:
    """Those deaths are the trials' faults, and a trial's faults have a bound of their own."""
    dispatcher = a_dispatcher(most_deaths=2)

    for number in range(5):
        started(dispatcher, trial=number)
        assert not dispatcher.lost("cpu0").closed
        dispatcher.restarting("cpu0")
        dispatcher.ready("cpu0")


def test_a_slot_that_was_closed_is_not_started_again() -> None:
    dispatcher = a_dispatcher("gpu0", "cpu0")
    dispatcher.turn_into_cpu_slot("gpu0", closed=True)

    lost = dispatcher.lost("gpu0")

    assert not lost.restart
    assert not lost.closed
    assert dispatcher.open_kinds == {"cpu"}


@pytest.mark.parametrize(("kinds", "kind", "stranded"), [
    (frozenset({"gpu", "cpu"}), "cpu", 0), (frozenset({"gpu"}), None, 1)])
def test_what_no_slot_can_run_again_moves_or_is_given_up(
    kinds: frozenset[str], kind: str | None, stranded: int,
) -> None:
    dispatcher = a_dispatcher("gpu0", "cpu0", most_deaths=1)
    started(dispatcher, slot="gpu0")
    dispatcher.lost("gpu0")
    dispatcher.lost("gpu0")

    assert len(dispatcher.stranded({"tree": kinds})) == stranded
    assert [r.kind for r in dispatcher.retries] == [kind] * (1 - stranded)


def test_a_finished_job_between_two_deaths_keeps_the_slot_open() -> None:
    dispatcher = a_dispatcher(most_deaths=2)

    for number in range(5):
        lease = started(dispatcher, trial=number)
        dispatcher.finished("cpu0", lease.number)
        assert not dispatcher.lost("cpu0").closed
        dispatcher.ready("cpu0")


# Leases.


def test_a_late_result_without_a_lease_changes_nothing() -> None:
    dispatcher = a_dispatcher()
    old = started(dispatcher)
    dispatcher.lost("cpu0")
    dispatcher.ready("cpu0")
    new = started(dispatcher, attempt=2)

    assert dispatcher.stepped("cpu0", old.number, 0.9, 1.0, 1.0) is None
    assert dispatcher.finished("cpu0", old.number) is None

    assert dispatcher.slots["cpu0"].running is new
    assert new.steps_done == 0


def test_no_message_counts_under_the_lease_of_another_slot() -> None:
    dispatcher = a_dispatcher("cpu0", "cpu1")
    lease = assigned(dispatcher, slot="cpu0")

    assert dispatcher.started("cpu1", lease.number, 5, 0.0) is None
    assert dispatcher.finished("cpu1", lease.number) is None
    assert dispatcher.revoked("cpu1", lease.number) is None

    assert dispatcher.slots["cpu0"].waiting is lease


def test_leases_are_never_numbered_alike() -> None:
    dispatcher = a_dispatcher("cpu0", "cpu1")

    numbers = [started(dispatcher, slot=slot).number for slot in ("cpu0", "cpu1", "cpu0")]

    assert len(set(numbers)) == 3


def test_a_finished_job_does_not_end_twice() -> None:
    dispatcher = a_dispatcher()
    lease = started(dispatcher)

    assert dispatcher.finished("cpu0", lease.number) is lease
    assert dispatcher.finished("cpu0", lease.number) is None


def test_the_waiting_job_does_not_end_before_the_running_one() -> None:
    dispatcher = a_dispatcher()
    running, waiting = started(dispatcher, trial=0), assigned(dispatcher, trial=1)

    assert dispatcher.finished("cpu0", waiting.number) is None
    assert dispatcher.under_way == [running, waiting]


# Handing back.


def test_a_revoked_job_is_free_to_be_run_anywhere() -> None:
    dispatcher = a_dispatcher("cpu0", "cpu1")
    started(dispatcher, trial=0)
    waiting = assigned(dispatcher, trial=1, attempt=2, faults=1)

    assert dispatcher.revoked("cpu0", waiting.number) is waiting
    dispatcher.hand_back(waiting)

    assert dispatcher.slots["cpu0"].waiting is None
    assert [(r.trial, r.attempt, r.faults) for r in dispatcher.retries] == [("cars/tree/1", 2, 1)]


def test_a_job_that_has_started_cannot_be_revoked() -> None:
    dispatcher = a_dispatcher()
    lease = started(dispatcher)

    assert dispatcher.revoked("cpu0", lease.number) is None
    assert dispatcher.slots["cpu0"].running is lease


def test_trials_are_run_again_on_their_kind_of_slot_the_oldest_first() -> None:
    dispatcher = a_dispatcher("cpu0", "gpu0")
    started(dispatcher, trial=0, slot="gpu0")
    started(dispatcher, trial=1, slot="cpu0")
    started(dispatcher, trial=2, slot="cpu0")
    for slot in ("gpu0", "cpu0"):
        dispatcher.lost(slot)
    dispatcher.add_retry(Retry(trial="cars/tree/9", dataset="cars", family="tree", attempt=1, faults=0, kind="cpu"))

    taken = []
    while (retry := dispatcher.retry_for("cpu")) is not None:
        dispatcher.taken(retry)
        taken.append(retry.trial)

    assert taken == ["cars/tree/2", "cars/tree/9"]
    assert [r.trial for r in dispatcher.retries] == ["cars/tree/0"]


# Sending the next job ahead.


def test_a_slot_wants_a_next_job_only_when_the_end_is_near() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher, steps=1, now=0.0, expected_step_s=10.0)

    assert not dispatcher.wanting(now=9.0, ahead_s=0.5)
    assert dispatcher.wanting(now=9.6, ahead_s=0.5) == ["cpu0"]
    assert dispatcher.wanting(now=60.0, ahead_s=0.5) == ["cpu0"]


def test_while_nothing_is_known_of_a_jobs_length_nothing_is_sent_ahead() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher, steps=5, now=0.0)

    assert not dispatcher.wanting(now=100.0, ahead_s=1.0)


def test_a_slot_with_a_waiting_job_wants_no_other() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher, trial=0, steps=1, expected_step_s=1.0)
    assigned(dispatcher, trial=1)

    assert not dispatcher.wanting(now=100.0, ahead_s=1.0)


def test_idle_slots_come_before_those_that_will_be() -> None:
    dispatcher = a_dispatcher("cpu0", "cpu1")
    started(dispatcher, slot="cpu0", steps=1, expected_step_s=1.0)

    assert dispatcher.wanting(now=1.0, ahead_s=1.0) == ["cpu1", "cpu0"]


@pytest.mark.parametrize(("limits", "left_s"), [((None, None, None), 8.0), ((0.5, None, None), 3.0), ((), 8.0)])
def test_a_step_that_may_end_the_trial_counts_as_its_end(limits: tuple[float | None, ...], left_s: float) -> None:
    """In the first of three steps of five seconds, two seconds in: pruning may come after this one."""
    lease = started(a_dispatcher(), steps=3, now=0.0, expected_step_s=5.0, limits=limits)

    assert lease.expected_left_s(2.0) == left_s


def test_before_its_last_step_a_job_may_end_only_after_it() -> None:
    dispatcher = a_dispatcher()
    lease = started(dispatcher, steps=2, now=0.0, expected_step_s=5.0)
    assert lease.expected_left_s(0.0) == 10.0

    dispatcher.stepped("cpu0", lease.number, 0.5, seconds=6.0, now=6.0)

    assert lease.expected_left_s(7.0) == 5.0


def test_a_job_that_waits_has_no_end_in_sight() -> None:
    assert assigned(a_dispatcher(), expected_step_s=1.0).expected_left_s(0.0) is None


# Attempts that fail while their worker lives, and memory.


def test_a_failed_attempt_is_run_again_until_it_has_had_its_last() -> None:
    dispatcher = a_dispatcher()
    given_up = []
    for attempt in range(1, MAX_FAULTS + 1):
        lease = started(dispatcher, attempt=attempt, faults=attempt - 1)
        outcome = dispatcher.failed_attempt("cpu0", lease.number, blame=True)
        assert outcome is not None
        given_up.append(outcome[1])

    assert given_up == [False] * (MAX_FAULTS - 1) + [True]
    assert [r.attempt for r in dispatcher.retries] == list(range(2, MAX_FAULTS + 1))


def test_a_failed_attempt_under_an_old_lease_changes_nothing() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher)

    assert dispatcher.failed_attempt("cpu0", 99, blame=True) is None
    assert dispatcher.slots["cpu0"].running is not None


def test_what_is_nobodys_fault_costs_an_attempt_and_no_fault() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher)

    dispatcher.lost("cpu0", blame=False)

    assert [(r.attempt, r.faults) for r in dispatcher.retries] == [(2, 0)]


def test_a_worker_that_is_replaced_is_no_death() -> None:
    dispatcher = a_dispatcher(most_deaths=1)

    lost = dispatcher.lost("cpu0", orderly=True)

    assert (lost.restart, lost.closed) == (True, False)


def test_a_slot_whose_worker_cannot_be_ended_is_closed() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher)

    lost = dispatcher.lost("cpu0", usable=False)

    assert (lost.restart, lost.closed) == (False, True)
    assert dispatcher.open_slots == 0


def test_of_a_running_and_a_waiting_job_the_larger_reservation_counts() -> None:
    dispatcher = a_dispatcher("cpu0", "cpu1")
    for slot, sizes in {"cpu0": (100.0, 300.0), "cpu1": (200.0, 50.0)}.items():
        for size in sizes:
            lease = dispatcher.assign(slot, trial="cars/tree/0", dataset="cars", family="tree", attempt=1, faults=0,
                                      expected_step_s=0.0, limits=(), reserved_mb=size)
            dispatcher.started(slot, lease.number, 5, 0.0) if dispatcher.slots[slot].running is None else None

    assert sorted(dispatcher.reserved_mb(())) == [200.0, 300.0]
    assert dispatcher.reserved_mb({"cpu0"}) == [200.0]


def test_the_need_of_an_attempt_that_died_of_its_memory_goes_with_the_next() -> None:
    dispatcher = a_dispatcher()
    started(dispatcher)

    dispatcher.lost("cpu0", needs_mb=2000.0)

    retry = dispatcher.retry_for("cpu")
    assert retry is not None
    assert retry.needs_mb == 2000.0
