"""How long a disk that refuses results is left alone."""

from __future__ import annotations

from optimizer.scheduler.disk_rest import DiskRest


def test_a_disk_that_refused_results_is_left_alone_longer_and_longer() -> None:
    rest = DiskRest()
    rests = []
    now = 100.0
    for _ in range(8):
        rest.refused("OSError: Disk quota exceeded", now)
        rests.append(rest.until - now)
        # Other slots meet the same refusal at the same time.
        rest.refused("OSError: Disk quota exceeded", now)
        now = rest.until

    assert rests == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_after_results_were_taken_the_next_refusal_is_a_first_one() -> None:
    rest = DiskRest()
    for now in (0.0, 100.0, 200.0):
        rest.refused("full", now)

    rest.accepted()
    rest.refused("full", 1000.0)

    assert rest.until == 1005.0
