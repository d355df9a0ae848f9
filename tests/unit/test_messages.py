"""What crosses a process border arrives whole, or not at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stubs.makers import a_finish, a_job

from optimizer import messages
from optimizer.errors import ProtocolFault
from optimizer.messages import (
    MAX_BYTES,
    Command,
    CrossValidation,
    Event,
    Job,
    JobFailed,
    JobFinished,
    JobRevoked,
    JobStarted,
    RevokeJob,
    RunJob,
    SetShare,
    StepFinished,
    StopWorker,
    WorkerReady,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(min_value=0, max_value=2**31)
short = st.text(max_size=20)
choice = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | short

WORKLOADS = st.builds(
    CrossValidation, table=short, family=short, metric=short, params=st.dictionaries(short, choice, max_size=5),
    seed=whole, device=st.sampled_from(["cpu", "gpu"]), device_required=st.booleans(),
    limits=st.lists(st.none() | finite, max_size=5).map(tuple), predict_test_beyond=st.none() | finite,
    keep_models_beyond=st.none() | finite,
)
JOBS = st.builds(Job, trial=short, attempt=whole, lease=whole, workload=WORKLOADS)
COMMANDS: dict[type, st.SearchStrategy[Any]] = {
    RunJob: st.builds(RunJob, job=JOBS),
    RevokeJob: st.builds(RevokeJob, lease=whole),
    SetShare: st.builds(SetShare, cores=st.lists(whole, max_size=64).map(tuple), threads=whole),
    StopWorker: st.builds(StopWorker),
}
EVENTS: dict[type, st.SearchStrategy[Any]] = {
    WorkerReady: st.builds(WorkerReady, pid=whole, cores=st.lists(whole, max_size=4).map(tuple), threads=whole,
                           versions=st.dictionaries(short, short, max_size=3),
                           pools=st.dictionaries(short, whole, max_size=3)),
    JobStarted: st.builds(JobStarted, lease=whole, steps=whole, gap_s=st.none() | finite),
    StepFinished: st.builds(StepFinished, lease=whole, step=whole, score=finite, running_mean=finite, seconds=finite,
                            threads=whole, iterations=whole),
    JobFinished: st.builds(a_finish, lease=whole, score=finite, standard_error=st.none() | finite,
                           fold_scores=st.lists(finite, max_size=5).map(tuple),
                           best_iterations=st.lists(st.none() | whole, max_size=5).map(tuple)),
    JobFailed: st.builds(JobFailed, lease=whole, kind=short, reason=short, traceback=short, seconds=finite),
    JobRevoked: st.builds(JobRevoked, lease=whole),
}


def test_no_message_is_left_out_here() -> None:
    assert set(COMMANDS) == set(Command.__args__)
    assert set(EVENTS) == set(Event.__args__)


@given(st.one_of(*COMMANDS.values()))
def test_every_command_arrives_as_it_was_sent(command: Command) -> None:
    assert messages.decode_command(messages.encode(command)) == command


@given(st.one_of(*EVENTS.values()))
def test_every_event_arrives_as_it_was_sent(event: Event) -> None:
    assert messages.decode_event(messages.encode(event)) == event


@pytest.mark.parametrize("kind", [*COMMANDS, *EVENTS])
def test_messages_are_frozen_values(kind: type) -> None:
    assert kind.__struct_config__.frozen  # type: ignore[attr-defined]


def test_a_message_of_more_than_64_kib_is_refused_where_it_is_made() -> None:
    def of_size(extra: int) -> RunJob:
        return RunJob(job=a_job(params={"text": "x" * extra}))

    base = len(messages.encode(of_size(0)))

    assert len(messages.encode(of_size(MAX_BYTES - base))) == MAX_BYTES
    with pytest.raises(ProtocolFault, match="RunJob of 65537 bytes; a message has at most 65536"):
        messages.encode(of_size(MAX_BYTES - base + 1))


@given(st.binary(max_size=200))
def test_any_other_bytes_are_a_protocol_fault(data: bytes) -> None:
    for decode in (messages.decode_command, messages.decode_event):
        with pytest.raises(ProtocolFault, match="not a message of ours"):
            decode(data)


@pytest.mark.parametrize("data", [
    b'{"type":"Nonsense"}', b'{"type":"RevokeJob"}', b'{"type":"RevokeJob","lease":"x"}', b"null", b"[]", b"\xff\xfe",
    b'{"type":"JobRevoked","lease":1}', b"[" * 60_000,
    b'{"type":"RunJob","job":{"params":' + b"[" * 60_000,
    b'{"type":"RunJob","job":{"trial":"a/b/1","attempt":1,"lease":1,"workload":{"params":{"a":' + b"[" * 60_000,
])
def test_a_command_that_is_almost_one_is_a_protocol_fault(data: bytes) -> None:
    with pytest.raises(ProtocolFault):
        messages.decode_command(data)


def test_a_score_that_is_no_number_does_not_pass_for_one() -> None:
    with pytest.raises(ProtocolFault):
        messages.decode_event(messages.encode(a_finish(score=math.nan)))
