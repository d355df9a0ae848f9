"""Keeps a run's submissions and summary up to date: ``optimizer.views.publisher RUN_FOLDER --fd N``, by `child`.

A process of its own, because it needs NumPy and the disk's time. Its parent says over a connection that something was
told, and the publisher reads the journal on from where it was. Whatever it missed, through a full disk or a crash, it
makes up for at the next message or the next start: what must exist follows from the journal alone.

========  ==============================================================
message   means
========  ==============================================================
``told``  something was told; passes are at least a second apart
``finish``  make a last pass, answer ``done`` and end
========  ==============================================================

End of file means that the parent is gone, and ends the publisher at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import logging.handlers
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from optimizer.errors import OptimizerError
from optimizer.journal import Record
from optimizer.records import TrialRecord
from optimizer.views.results import RunView

TOLD, FINISH, DONE = b"told", b"finish", b"done"
#: Longest message that is read.
_LONGEST = 64
_BETWEEN_PASSES_S = 1.0
#: Seconds between two starts of a publisher that dies.
_RESTART_S = 10.0
#: Events after which the summary may say something new and is worth rewriting.
_NEWS = frozenset({"best_improved", "dataset_ready", "dataset_failed", "dataset_finished", "family_stopped",
                   "family_moved", "run_ended"})

logger = logging.getLogger("optimizer.publisher")


class Publication:
    """What of a run is published, brought up to date by `catch_up`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._view = RunView(folder)
        #: Dataset to the trial whose submission is the best file now.
        self._best: dict[str, str] = {}
        self._summary_due = True

    def catch_up(self, *, last: bool = False) -> list[str]:
        """Publish what the journal tells by now; returns what went wrong, a sentence each, to be tried again.

        ``last``: rewrite the summary in any case.
        """
        if not self._folder.is_dir():
            return ["the run's folder is gone"]  # whoever moved it shall be able to put it back where it was
        news = self._view.follow()
        self._summary_due |= last or any(r.get("event") in _NEWS for r in news)
        troubles = []
        for dataset in self._view.datasets:
            try:
                self._summary_due |= self._publish_best(dataset)
            except (OptimizerError, OSError) as error:
                troubles.append(f"{dataset}: {error}")
        if self._summary_due:
            from optimizer.views.report import write_summary

            try:
                write_summary(self._view)
                self._summary_due = False
            except (OptimizerError, OSError) as error:
                troubles.append(f"summary: {error}")
        return troubles

    def _publish_best(self, dataset: str) -> bool:
        """Write the submission of a dataset's best trial, unless it is published; whether anything was written."""
        record = self._view.best(dataset, submittable=True)
        if record is None or not self._view.datasets[dataset].test_rows or self._best.get(dataset) == record.trial:
            return False
        publish_best(self._folder, record)
        self._best[dataset] = record.trial
        return True


def publish_best(folder: Path, record: TrialRecord) -> None:
    """Write a trial's submission under its own name and as the best of its dataset."""
    from optimizer.views.submissions import best_path, copy_file, improvement_path, write_submission

    own = improvement_path(folder, record)
    if not own.exists():
        write_submission(folder, record, own)
    copy_file(own, best_path(folder, record.dataset))


# The process.


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one connection until it ends; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m optimizer.views.publisher")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fd", type=int, required=True, help="this end of the connection to the parent")
    options = parser.parse_args(arguments)
    _log_into(options.folder / "logs")
    with Connection(options.fd) as connection:
        serve(options.folder, connection)
    return 0


def serve(folder: Path, connection: Connection) -> None:
    """Publish as the parent asks, until it says that it is over or is gone."""
    publication = Publication(folder)
    # At the start too: the process before may have been killed between a trial told and its submission.
    due, not_before, trouble = True, 0.0, ""
    while True:
        try:
            if connection.poll(max(0.0, not_before - time.monotonic()) if due else None):
                message = connection.recv_bytes(_LONGEST)
                if message == TOLD:
                    due = True
                elif message == FINISH:
                    _pass(publication, trouble, last=True)
                    connection.send_bytes(DONE)
                    return
                else:
                    logger.warning("unknown message %r is passed over", message)
                continue
        except (EOFError, OSError) as error:
            # End of file, or a frame that is none of ours: behind it nothing can be read any more.
            if not isinstance(error, EOFError):
                logger.warning("the connection is of no use any more: %s", error)
            return
        trouble = _pass(publication, trouble)
        due, not_before = False, time.monotonic() + _BETWEEN_PASSES_S


def _pass(publication: Publication, before: str, *, last: bool = False) -> str:
    """One pass; returns its trouble, which is logged unless it is that of the pass before."""
    try:
        trouble = "; ".join(publication.catch_up(last=last))
    except Exception as error:  # whatever is wrong with one trial, the next may be well again
        trouble = f"{type(error).__name__}: {error}"
        if trouble != before:
            logger.exception("a pass failed; it is tried again")
        return trouble
    if trouble and trouble != before:
        logger.error("%s; tried again", trouble)
    return trouble


def _log_into(folder: Path) -> None:
    logging.raiseExceptions = False  # a full disk must not make the log itself a trouble
    handler: logging.Handler = logging.StreamHandler()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(folder / "publisher.log", maxBytes=1 << 20, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


# The parent's side.


class Publisher:
    """The publisher's process, as the one who carries the run out sees it; waking it never waits.

    It is started by the run's first event, when the run's folder is surely ours.

    Only from a main thread: the kernel ends the process with the thread that started it.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self._folder = folder
        #: When one that has died may be replaced.
        self._restart_from = 0.0
        self._started = False

    @property
    def pid(self) -> int:
        """The process, started if it was not yet."""
        self._ensure()
        return self._process.pid

    def on_event(self, record: Record) -> None:
        """Wake it for an event that may change what is published; a listener for the journal's records."""
        if not self._ensure():
            return
        if record.get("event") == "trial_told" or record.get("event") in _NEWS:
            if self._process.poll() is not None and time.monotonic() >= self._restart_from:
                self._connection.close()
                self._started = False
                if not self._ensure():
                    return
            # A full or broken pipe costs nothing: the next pass reads everything that was missed.
            with contextlib.suppress(OSError):
                self._connection.send_bytes(TOLD)

    def finish(self, timeout_s: float = 60.0) -> bool:
        """Have a last pass made and end the process; whether that pass was made."""
        self._restart_from = 0.0
        done = self._ensure() and self._finish(timeout_s)
        if not done:
            # It had died, or hung on something: what it left undone, a new one makes up for.
            self._started, self._restart_from = False, 0.0
            done = self._ensure() and self._finish(timeout_s)
        return done

    def _ensure(self) -> bool:
        """Start it where it was not yet, and not sooner than makes sense; whether it was started."""
        if not self._started and time.monotonic() >= self._restart_from:
            self._restart_from = time.monotonic() + _RESTART_S
            # Too many processes or too little memory now: with a later event it may go.
            with contextlib.suppress(OSError):
                self._start()
                self._started = True
        return self._started

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        os.set_blocking(self._connection.fileno(), False)
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        with theirs, (logs / "publisher.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "optimizer.child", str(os.getpid()), "", "optimizer.views.publisher",
                 str(self._folder), "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                # A session of its own: Ctrl-C is the parent's business. One thread: it computes next to nothing.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )

    def _finish(self, timeout_s: float) -> bool:
        done = False
        with self._connection, contextlib.suppress(OSError, EOFError):
            self._connection.send_bytes(FINISH)
            done = self._connection.poll(timeout_s) and self._connection.recv_bytes(_LONGEST) == DONE
        try:
            self._process.wait(timeout=5 if done else 0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it can do no harm there
                self._process.wait(timeout=5.0)
        return done


if __name__ == "__main__":
    sys.exit(main())
