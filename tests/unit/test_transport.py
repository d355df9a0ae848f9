"""A channel carries whole messages, and ends alone when its worker does."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
from stubs.makers import a_finish, a_job

from optimizer import messages, transport
from optimizer.errors import ProtocolFault
from optimizer.messages import JobRevoked, RevokeJob, RunJob, StopWorker
from optimizer.transport import Disconnected, SchedulerEnd, WorkerEnd, channel

Ends = tuple[SchedulerEnd, Connection]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The scheduler's end, and the raw connection that a worker inherits."""
    ours, theirs = channel()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_commands_go_one_way_and_events_the_other(ends: Ends) -> None:
    ours, theirs = ends
    worker = WorkerEnd(theirs)

    ours.send(RunJob(job=a_job()))
    ours.send(StopWorker())
    worker.send(a_finish())

    assert [worker.receive(), worker.receive()] == [RunJob(job=a_job()), StopWorker()]
    assert ours.receive() == a_finish()


def test_a_message_of_the_largest_size_passes(ends: Ends) -> None:
    ours, theirs = ends
    event = JobRevoked(lease=1)
    padded = messages.encode(event)[:-1] + b" " * (messages.MAX_BYTES - len(messages.encode(event))) + b"}"
    sender = threading.Thread(target=theirs.send_bytes, args=(padded,))
    sender.start()

    assert ours.receive() == event
    sender.join()


def test_one_can_look_whether_something_has_come(ends: Ends) -> None:
    ours, theirs = ends
    assert not ours.ready()
    WorkerEnd(theirs).send(JobRevoked(lease=1))
    assert ours.ready()


def test_the_end_of_a_worker_is_ready_to_be_received(ends: Ends) -> None:
    ours, theirs = ends
    theirs.close()

    assert ours.ready()
    with pytest.raises(Disconnected):
        ours.receive()


def test_a_command_for_a_worker_that_is_gone_says_so(ends: Ends) -> None:
    ours, theirs = ends
    theirs.close()

    with pytest.raises(Disconnected):
        ours.send(StopWorker())


def test_a_closed_end_says_so(ends: Ends) -> None:
    ours, _ = ends
    ours.close()

    with pytest.raises(Disconnected):
        ours.send(StopWorker())
    with pytest.raises(Disconnected):
        ours.receive()
    assert ours.ready()


def raw(theirs: Connection, data: bytes) -> None:
    """Put bytes on the wire as they are."""
    copy = Connection(theirs.fileno())
    copy._send(data)  # type: ignore[attr-defined]
    copy._handle = None  # type: ignore[attr-defined]


def test_a_torn_frame_ends_only_its_own_channel(ends: Ends) -> None:
    ours, theirs = ends
    other, others = channel()
    WorkerEnd(others).send(JobRevoked(lease=2))

    raw(theirs, struct.pack("!i", 500) + b'{"type":"JobFin')
    theirs.close()

    with pytest.raises(Disconnected):
        ours.receive()
    assert other.receive() == JobRevoked(lease=2)
    other.close()
    others.close()


@pytest.mark.parametrize("data", [b"Traceback (most recent call last):", struct.pack("!i", messages.MAX_BYTES + 1),
                                  struct.pack("!i", 5) + b"hello", struct.pack("!i", 0)])
def test_bytes_that_are_no_message_are_a_fault_and_not_waited_for(ends: Ends, data: bytes) -> None:
    ours, theirs = ends

    raw(theirs, data)

    with pytest.raises(ProtocolFault):
        ours.receive()


@pytest.mark.parametrize("sent", [b"", b'{"type":"JobFin'], ids=["nothing of it", "a part of it"])
def test_a_message_that_is_announced_and_kept_back_holds_nobody(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(transport, "REST_S", 1)
    ours, theirs = channel()

    raw(theirs, struct.pack("!i", 500) + sent)

    with pytest.raises(Disconnected):
        ours.receive()
    ours.close()
    theirs.close()


def test_a_long_message_is_sent_in_one_piece(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = ends
    pieces: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: pieces.append(len(data)) or write(fd, data))
    long = a_finish(fold_scores=tuple(1 / (i + 3) for i in range(2000)))

    WorkerEnd(theirs).send(long)

    assert len(pieces) == 1
    assert pieces[0] > 2 * 16384  # from there on a connection would have sent two
    assert ours.receive() == long


def test_several_threads_may_send_at_once(ends: Ends) -> None:
    ours, theirs = ends
    worker = WorkerEnd(theirs)
    senders = [threading.Thread(target=lambda n=n: [worker.send(JobRevoked(lease=100 * n + i)) for i in range(50)])
               for n in range(4)]
    for sender in senders:
        sender.start()

    leases = [ours.receive().lease for _ in range(200)]  # type: ignore[union-attr]

    for sender in senders:
        sender.join()
    assert sorted(leases) == [100 * n + i for n in range(4) for i in range(50)]


def test_a_worker_takes_its_end_by_the_number_of_its_descriptor(ends: Ends) -> None:
    ours, theirs = ends
    worker = WorkerEnd.of_descriptor(theirs.fileno())

    ours.send(RevokeJob(lease=3))

    assert worker.receive() == RevokeJob(lease=3)
    worker.connection._handle = None  # type: ignore[attr-defined]
