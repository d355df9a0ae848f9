"""A minute with the nemesis: whatever is killed, stopped, filled and corrupted, what was promised holds.

`make chaos` is the long one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.studies import write_study
from tests.chaos import checker, damage
from tests.chaos.faults import timeline
from tests.chaos.nemesis import Nemesis

SEED = 20251
FAULTS = 14
#: Slow enough to be hit in the middle.
SLOW = "\n".join(f"[family.{name}.space]\niterations = 250\nlearning_rate = 0.05"
                 for name in ("catboost", "lightgbm", "xgboost"))


@pytest.mark.whole_machine
def test_a_minute_of_faults_of_every_kind_breaks_no_promise(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with damage.tmpfs(disk, 160) as mounted:
        without = frozenset() if mounted else frozenset({"fill_disk"})
        print(f"seed {SEED}; {'with' if mounted else 'without'} a small disk that is filled")
        study = write_study(disk, "trials = 100000\nfolds = 3", extra=SLOW)
        faults = timeline(SEED, FAULTS, 3.5, without=without, longest_hold_s=4.0)

        report = Nemesis(study, faults, disk=disk if mounted else None, stop_at_last=True,
                         patience_s=60.0).run()

        print(report)
        assert report.clean, report
        assert sum(report.given.values()) + sum(report.missed.values()) == FAULTS
        folder = study.with_suffix("")
        claims = checker.check(folder, checker.ENDED)
        claims.append(checker.restarts_cleanly(study))
        claims += checker.check(folder, checker.FINISHED)
        print(checker.as_table(claims))
        assert all(claim.holds for claim in claims), checker.as_table(claims)
