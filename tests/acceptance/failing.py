"""Makes the N-th operation of a run fail, for every N: ``python -m tests.acceptance.failing FOLDER MODE START STRIDE``.

A run here is the real one (start, loop, book, journal, store, recorder, Optuna, LightGBM), in one process so that one
counter sees everything: jobs run inline, the recorder is a thread, the dataset was prepared before. What is counted:
files opened for writing, written, fsynced, truncated, renamed, linked, folders made, space reserved, each statement
and commit of the database, and each message sent. A fork per N; after the fault the run is started once more without
one, and then everything that was told must be there exactly once. One JSON line per N on standard output, until N is
larger than the number of operations.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import functools
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

#: Seconds that one N may take, both runs together.
LIMIT_S = 90
TRIALS = 4
#: How the N-th operation fails, and after how many failures the fault is gone.
MODES = {"io-once": (errno.EIO, 1), "full-once": (errno.ENOSPC, 1), "full-for-a-while": (errno.ENOSPC, 40),
         "readonly-for-a-while": (errno.EROFS, 40)}
STUDY = f"""
trials = {TRIALS}
folds = 2
pruner = "none"
families = ["lightgbm"]
[resources]
gpus = "none"
cores = 1
[[datasets]]
train = "../data/binary/train.csv"
[family.lightgbm.space]
iterations = 5
"""
_OS_CALLS = ("write", "fsync", "ftruncate", "truncate", "replace", "rename", "link", "mkdir", "posix_fallocate",
             "pwrite", "sendfile")


class Faults:
    """Counts the operations on files below a folder, and fails some of them."""

    def __init__(self, folder: Path, first: int, code: int, failures: int) -> None:
        self._folder = str(folder)
        self._first, self._code, self._left = first, code, failures
        self._lock = threading.Lock()
        self.count = 0
        #: What was failed, in order.
        self.failed: list[str] = []

    def _due(self, what: str) -> bool:
        with self._lock:
            self.count += 1
            due = self.count >= self._first and self._left > 0
            if due:
                self._left -= 1
                self.failed.append(what)
            return due

    def _ours(self, target: Any) -> str:
        if isinstance(target, int):
            try:
                target = os.readlink(f"/proc/self/fd/{target}")
            except OSError:
                return ""
        path = os.path.abspath(os.fspath(target)) if not isinstance(target, bytes) else os.fsdecode(target)
        return path[len(self._folder):] or "." if path.startswith(self._folder) else ""

    def file(self, call: str, target: Any) -> None:
        """An operation on a file is about to happen."""
        name = self._ours(target)
        if name and self._due(f"{call} {name}"):
            raise OSError(self._code, os.strerror(self._code), name)

    def statement(self, what: str) -> None:
        """The database is about to do something."""
        import sqlalchemy

        if self._due(f"database: {what}"):
            full = self._code == errno.ENOSPC
            cause = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
            cause.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
            raise sqlalchemy.exc.OperationalError(what, {}, cause)

    def send(self) -> None:
        """A message is about to be sent."""
        if self._due("send"):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@contextlib.contextmanager
def injected(faults: Faults) -> Iterator[None]:
    """Every operation goes through the counter."""
    import sqlalchemy

    before: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *arguments: Any, **named: Any) -> Any:
            faults.file(name, target)
            return real(target, *arguments, **named)
        return call

    for name in _OS_CALLS:
        put(os, name, counted(name, getattr(os, name)))
    real_open, real_os_open, real_send = io.open, os.open, Connection.send_bytes

    def os_open(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            faults.file("open", path)
        return real_os_open(path, flags, *arguments, **named)

    class Written(io.FileIO):
        def write(self, data: Any) -> int:
            faults.file("write", self.name if isinstance(self.name, int) else str(self.name))
            return super().write(data) or 0

    def opened(file: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **named: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+"):
            return real_open(file, mode, buffering, *arguments, **named)
        faults.file("open", file)
        raw = Written(os.fspath(file), mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, *arguments[:3], **named)

    def send_bytes(connection: Connection, *arguments: Any) -> None:
        faults.send()
        real_send(connection, *arguments)

    def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            faults.statement(statement.split("(")[0][:60])

    def committed(connection: Any) -> None:
        faults.statement("COMMIT")

    put(os, "open", os_open)
    put(io, "open", opened)
    put(builtins, "open", opened)
    put(Connection, "send_bytes", send_bytes)
    listeners = (("before_cursor_execute", executed), ("commit", committed))
    for event, listener in listeners:
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, event, listener)
    try:
        yield
    finally:
        for event, listener in listeners:
            sqlalchemy.event.remove(sqlalchemy.engine.Engine, event, listener)
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


class _Thread:
    """The recorder's process, as far as its starter sees one."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        from optimizer.study.recorder import serve

        self._connection = connection

        def work() -> None:
            try:
                serve(folder, connection)
            except Exception:  # as in a process: it is in the log, and the channel ends
                self.trace = traceback.format_exc()
            finally:
                connection.close()

        self.trace = ""
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def send_signal(self, number: int) -> None:
        self.kill()

    def wait(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)


def _as_one_process(ready: Path) -> None:
    """Put threads and what was prepared in the place of processes, and hurry everything that waits."""
    from optimizer.scheduler import events, loop, preparation, start
    from optimizer.study import recorder, recording

    class ThreadRecorder(recording.Recorder):
        def _begin(self) -> None:
            self.connection, theirs = Pipe(duplex=True)
            self._process = _Thread(self._folder, theirs)  # type: ignore[assignment]
            self.pid = os.getpid()

    class Prepared(preparation.Preparation):
        def __init__(self, *_: Any) -> None:
            super().__init__((), (), ready.parent)
            self._come = pickle.loads(ready.read_bytes())  # noqa: S301 - our own

        @property
        def left(self) -> int:
            return len(self._come)

    start.Recorder = ThreadRecorder  # type: ignore[misc]
    start.Preparation = Prepared  # type: ignore[misc]
    start._FLUSH_S, start._PATIENCE_S = 20.0, 2.0
    loop.TICK_S = loop.MEMORY_TICK_S = 0.02
    events._TRY_EVERY_S = 0.0
    recorder._RETRY_S = 0.01
    real_sleep = time.sleep
    time.sleep = lambda seconds: real_sleep(min(seconds, 0.01))


def _run(study: Path) -> tuple[str, str]:
    """How a run ended: ``finished``, ``stopped``, ``ended`` with one message, or ``broken`` with a traceback."""
    from optimizer.cli.run import load
    from optimizer.errors import OptimizerError
    from optimizer.scheduler import start

    try:
        outcome = start.run(load(study), backend="inline", narrate=lambda record: None)
    except OptimizerError as error:
        return "ended", str(error)
    except Exception:  # whatever it is, it is what this looks for
        return "broken", traceback.format_exc()
    return outcome.state, outcome.reason


def _wrong(folder: Path) -> list[str]:
    """What of the promises does not hold."""
    from optimizer.journal import read
    from tests.acceptance.studies import database_trials

    wrong = []
    records = [r for r in read(folder / "journal.jsonl") if r["event"] == "trial_told"]
    told = [r["trial"] for r in records]
    database = {t: n for t, n in database_trials(folder).items() if not t.startswith("state:")}
    if len(told) != len(set(told)):
        wrong.append(f"told twice: {told}")
    if database != dict.fromkeys(told, 1):
        wrong.append(f"the journal tells {sorted(told)}, the database {database}")
    for record in records:
        dataset, family, number = record["trial"].split("/")
        path = folder / "predictions" / dataset / family / f"{number}-{record['attempt']}.npz"
        if record["predictions"] == "kept" and (
                not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != record["predictions_sha256"]):
            wrong.append(f"{record['trial']}: its predictions are not there as they were told")
    decided = sum(r["state"] in ("complete", "pruned") for r in records)
    if decided != TRIALS:
        wrong.append(f"{decided} of {TRIALS} trials were decided")
    return wrong


def _one(template: Path, place: Path, first: int, code: int, failures: int) -> dict[str, Any]:
    shutil.copytree(template, place)
    study, folder = place / "studies" / "small.toml", place / "studies" / "small"
    _as_one_process(template / "ready")
    faults = Faults(folder, first, code, failures)
    before = time.monotonic()
    with injected(faults):
        how, why = _run(study)
    took = time.monotonic() - before
    told: set[str] = set()
    from optimizer.journal import read

    told = {r["trial"] for r in read(folder / "journal.jsonl") if r["event"] == "trial_told"}
    again, why_again = _run(study)
    wrong = [] if again == "finished" else [f"the second run {again}: {why_again}"]
    if how == "broken" or (how == "ended" and "\n" in why):
        wrong.append(f"no clear line: {why}")
    elif how == "stopped":
        wrong.append(f"stopped: {why}")
    wrong += _wrong(folder)
    now = {r["trial"] for r in read(folder / "journal.jsonl") if r["event"] == "trial_told"}
    if not told <= now:
        wrong.append(f"told and lost: {sorted(told - now)}")
    return {"n": first, "operations": faults.count, "failed": faults.failed, "how": how, "why": why.splitlines()[:1],
            "took_s": round(took, 1), "wrong": wrong}


def _forked(work: Callable[[], Any], result: Path) -> dict[str, Any]:
    """The result of some work that may hang or die."""
    pid = os.fork()
    if not pid:
        try:
            result.write_text(json.dumps(work()))
        except BaseException:  # the parent reads it
            result.write_text(json.dumps({"wrong": [traceback.format_exc()]}))
        os._exit(0)
    until = time.monotonic() + LIMIT_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return {"wrong": [f"it took more than {LIMIT_S} s"]}
        time.sleep(0.02)
    answer: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {"wrong": ["it died"]}
    return answer


def _template(place: Path) -> None:
    """A study whose dataset is prepared, by the real children; what they answered is kept as ``ready``."""
    from optimizer.scheduler.preparation import DatasetReady, Preparation
    from tests.acceptance.studies import write_tables

    write_tables(place / "data" / "binary", columns=4)
    study = place / "studies" / "small.toml"
    study.parent.mkdir()
    study.write_text(STUDY)
    outcomes: list[Any] = []
    real = Preparation.advance

    def advance(self: Preparation, *, start: bool = True) -> list[Any]:
        some = real(self)
        outcomes.extend(o for o in some if isinstance(o, DatasetReady))
        return some

    Preparation.advance = advance  # type: ignore[method-assign]
    print(*_run(study), file=sys.stderr)
    (place / "ready").write_bytes(pickle.dumps(outcomes))
    folder = study.with_suffix("")
    for entry in folder.iterdir():
        if entry.name != "data":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def main() -> None:
    """Print a line for each N."""
    place, (code, failures) = Path(sys.argv[1]).resolve(), MODES[sys.argv[2]]
    n, stride = int(sys.argv[3]), int(sys.argv[4])
    # Loaded once, before the forks: it is most of what a run of four short trials takes.
    import lightgbm  # noqa: F401
    import optuna  # noqa: F401

    import optimizer.cli.run
    import optimizer.config.load
    import optimizer.datasets.table
    import optimizer.evaluation
    import optimizer.scheduler.start
    import optimizer.study.recorder  # noqa: F401

    template = place / "template"
    if not template.exists():
        template.mkdir(parents=True)
        _forked(lambda: _template(template), place / "result")
    while True:
        run = place / f"{sys.argv[2]}-{n}"
        shutil.rmtree(run, ignore_errors=True)
        result = place / f"{sys.argv[2]}-{n}.json"
        result.unlink(missing_ok=True)
        answer = {"n": n, **_forked(functools.partial(_one, template, run, n, code, failures), result)}
        print(json.dumps(answer), flush=True)
        if not answer["wrong"]:
            shutil.rmtree(run)
            result.unlink()
        if answer.get("operations", n) < n:
            return
        n += stride


if __name__ == "__main__":
    main()
