"""What crosses a process border: jobs, events in the past tense, commands in the imperative.

Small frozen values, sent as JSON bytes of at most 64 KiB; never pickled, and none carries a path or an array.
Arrays go through the store, addressed by fingerprint and trial.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from optimizer.errors import ProtocolFault

#: Longest message in bytes. A pipe takes it in one piece, so that a torn frame can only be the last one.
MAX_BYTES = 64 * 1024


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Root of everything sent; the class name travels as the field ``type``."""


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    """The first workload: one family with one set of parameters, cross-validated on one table."""

    #: Fingerprint of the encoded table in the store.
    table: str
    family: str
    metric: str
    params: dict[str, Any]
    seed: int
    #: ``cpu`` or ``gpu``: what the slot offers and the family shall use.
    device: str = "cpu"
    #: Whether a fit that in truth ran on the CPU is an error (``gpu``) or only recorded (``any``).
    device_required: bool = False
    #: Running mean, by step, worse than which the trial is pruned; ``None`` never prunes at that step.
    limits: tuple[float | None, ...] = ()
    #: By step, then by checkpoint of `optimizer.curves`: validation loss above which a fit is cut short and the trial
    #: pruned. ``None`` where fits are not watched; empty where they are only watched.
    fit_limits: tuple[tuple[float | None, ...], ...] | None = None
    #: Of each fold's training rows, how many a fit is made on at most; ``None`` for all of them.
    max_rows: int | None = None
    #: Share of the first fold's training rows that a first, cheap fit is made on; 0 for none.
    look: float = 0.0
    #: Score of that fit worse than which the trial is pruned; ``None`` never prunes there.
    look_limit: float | None = None
    #: Where predicting the test rows costs more than a fiftieth of fitting, they are predicted only for a score that
    #: beats this one, or whose models are kept; ``None`` predicts always.
    predict_test_beyond: float | None = None
    #: The fold models are kept for a score that beats this one; ``None`` keeps them always.
    keep_models_beyond: float | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to evaluate a trial. A lost worker costs an attempt, not the trial."""

    #: ``<dataset>/<family>/<n>``
    trial: str
    #: 1 for the first.
    attempt: int
    #: Claim on the slot; a result is accepted only under the slot's current lease.
    lease: int
    workload: CrossValidation


# Commands, scheduler to worker.


class RunJob(Message, frozen=True, kw_only=True):
    """Evaluate this job after the one that runs."""

    job: Job


class RevokeJob(Message, frozen=True, kw_only=True):
    """Hand the job back, unless it has started."""

    lease: int


class SetShare(Message, frozen=True, kw_only=True):
    """From the next fold on compute with these cores and so many threads, until told otherwise."""

    cores: tuple[int, ...]
    threads: int
    #: For the next fold only; then with those of the slot again.
    once: bool = False


class StopWorker(Message, frozen=True, kw_only=True):
    """End after the job that runs; a waiting job is handed back."""


# Events, worker to scheduler.


class WorkerReady(Message, frozen=True, kw_only=True):
    """The worker is pinned, its libraries are loaded, and it waits for jobs."""

    pid: int
    cores: tuple[int, ...]
    threads: int
    #: Library name to version.
    versions: dict[str, str]
    #: Thread pools as the loaded numerical libraries report them: name to number of threads.
    pools: dict[str, int] = {}


class JobStarted(Message, frozen=True, kw_only=True):
    """The first work of a job begins; attempts, shares and budgets count from here."""

    lease: int
    #: Steps the job has, pruning apart.
    steps: int
    #: Idle seconds between the end of the last job and this start, as the worker saw it.
    gap_s: float | None = None


class StepFinished(Message, frozen=True, kw_only=True):
    """One fold is fitted and scored."""

    lease: int
    #: 0 for the first.
    step: int
    score: float
    running_mean: float
    seconds: float
    #: That the fit could use.
    threads: int
    #: That the fit took, about; 1 where its family has none.
    iterations: int


class JobFinished(Message, frozen=True, kw_only=True):
    """The trial is decided; its predictions are on disk under ``(trial, attempt)``."""

    lease: int
    #: ``complete`` or ``pruned``.
    outcome: str
    #: Mean of the fold scores that were evaluated; ``None`` where the first fit was cut short or came to a look only.
    score: float | None
    #: Standard error of that mean; ``None`` for a single step.
    standard_error: float | None
    fold_scores: tuple[float, ...]
    #: Score of the pooled out-of-fold predictions; ``None`` unless every fold was evaluated.
    pooled_score: float | None
    #: ``None`` for a fold whose family has no iterations.
    best_iterations: tuple[int | None, ...]
    step_seconds: tuple[float, ...]
    #: From first work to last, predictions and files included.
    seconds: float
    #: Inside fits alone.
    fit_seconds: float
    #: CPU seconds of the worker over the job.
    cpu_seconds: float
    peak_rss_mb: float
    #: Where the fits in truth ran: ``cpu`` or ``gpu``.
    device: str
    #: SHA-256 and size of the predictions file; ``None`` for a pruned trial.
    predictions_sha256: str | None
    predictions_bytes: int
    test_predicted: bool
    models_kept: bool
    #: Of `cpu_seconds`, those inside fits.
    fit_cpu_seconds: float = 0.0
    #: The last fit was cut short as hopeless, so that its fold has no score.
    cut: bool = False
    #: Validation losses of a complete trial, by watched fold and checkpoint of `optimizer.curves`.
    curves: tuple[tuple[float, ...], ...] = ()
    #: Of the first, cheap fit on a part of the rows; ``None`` where there was none.
    look_score: float | None = None

    def __post_init__(self) -> None:
        """In JSON a number that is none is null, and must not pass for a fit that was cut short."""
        if self.score is None and not ((self.cut or self.look_score is not None) and self.outcome == "pruned"):
            raise ValueError("a trial without a score that was not cut short")


class JobFailed(Message, frozen=True, kw_only=True):
    """An exception ended the job. An ``error`` would come again; after the last three another attempt may do better."""

    lease: int
    #: ``error``, ``wrong_device``, ``not_finite``, ``out_of_memory``, ``gpu_out_of_memory``, ``gpu_lost`` (any other
    #: error of CUDA or OpenCL; the worker ends after it, for its card obeys no more) or ``storage``.
    kind: str
    #: One line.
    reason: str
    #: At most a few thousand characters.
    traceback: str
    seconds: float
    #: The operating system refused a file: full, over a quota, failing or read-only. No fault of the trial.
    disk: bool = False


class JobRevoked(Message, frozen=True, kw_only=True):
    """The job had not started and is handed back."""

    lease: int


class WorkerRetiring(Message, frozen=True, kw_only=True):
    """The worker leaves between two jobs, as its last message; the backend passes it on as an orderly loss."""

    #: ``holds 930 MiB more than at its start, and grows``
    reason: str


Command = RunJob | RevokeJob | SetShare | StopWorker
Event = WorkerReady | JobStarted | StepFinished | JobFinished | JobFailed | JobRevoked
#: All that a worker may send; the last is between it and its backend.
Report = Event | WorkerRetiring

_encoder = msgspec.json.Encoder()
_decode_command = msgspec.json.Decoder(Command)
_decode_event = msgspec.json.Decoder(Report)


def encode(message: Command | Report) -> bytes:
    """The message as JSON bytes.

    Raises:
        ProtocolFault: it is longer than `MAX_BYTES`.
    """
    data = _encoder.encode(message)
    if len(data) > MAX_BYTES:
        raise ProtocolFault(f"{type(message).__name__} of {len(data)} bytes; a message has at most {MAX_BYTES}")
    return data


def decode_command(data: bytes) -> Command:
    """The command in these bytes; raises `ProtocolFault` for anything else."""
    return cast(Command, _decode(_decode_command, data))


def decode_event(data: bytes) -> Report:
    """The event in these bytes; raises `ProtocolFault` for anything else."""
    return cast(Report, _decode(_decode_event, data))


def _decode(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolFault(f"not a message of ours: {data[:80]!r}: {error}") from None
