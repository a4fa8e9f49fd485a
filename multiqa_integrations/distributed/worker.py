"""What a worker does with a split: the steps of `etl`, on a part of the source.

A worker is a process of its own, on any machine, with one encoder and one connection to the server.
What it returns are counts, digests of ids and rejections, never texts or vectors. Errors are
returned as values: raised in another process, they would come back as something else.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import multiqa_integrations
from multiqa_integrations.distributed.ids import EarlierIds, SplitIds
from multiqa_integrations.distributed.splits import FilePart, Split
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import (
    ConfigurationError,
    MultiQAError,
    StoreUnavailableError,
    SyncError,
)
from multiqa_integrations.etl.changes import ChangeKind, Encoded, Rejection, Written
from multiqa_integrations.etl.decide import decide
from multiqa_integrations.etl.documents import FieldUse
from multiqa_integrations.etl.job import Job, JobOptions, open_job
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.plan import estimate
from multiqa_integrations.etl.read import read
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.etl.reports import Difference, PlanReport, VerifyReport
from multiqa_integrations.etl.verify import compare
from multiqa_integrations.etl.write import write
from multiqa_integrations.qdrant.lease import LeaseToken
from multiqa_integrations.qdrant.open import use_store
from multiqa_integrations.types import Encoder

Method: TypeAlias = Literal["ids", "store", "plan", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What all workers of a job have alike.

    Attributes:
        collection: The collection.
        options: Those of the job; `url` says where, and the encoder is what each worker loads.
        sparse_vector: The name of the sparse vector that chunks get, or None.
        token: The driver's lease.
        several: Whether the source has several files, so that rejections must name theirs.
        with_records: Whether rejections are to bring their records, for dead letters.
        max_errors: With more rejections than that, a split is not read on.
        version: Of the driver's package.
    """

    collection: str
    options: JobOptions = field(repr=False)  # with the API key
    sparse_vector: str | None = None
    token: LeaseToken | None = None
    several: bool = False
    with_records: bool = False
    max_errors: int | None = None
    version: str = multiqa_integrations.__version__


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes:
        method: What.
        split: With which part of the source.
        before: How many lines of its file are before it.
        earlier: Which of its records repeat an id: their lines, and in words where it was.
        most: Only so many of its records: it could not be read further.
    """

    method: Method
    split: Split
    before: int = 0
    earlier: dict[int, str] = field(default_factory=dict)
    most: int | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a split.

    Attributes:
        records: Records that were read.
        rejections: Those that cannot be stored.
        unread: What could not be read.
        stopped: Whether the worker was stopped before its end.
    """

    records: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass(slots=True, kw_only=True)
class Stored(Outcome):
    """What became of a split of a sync.

    Attributes:
        documents: How many were stored, by what had to be done.
        kept: How many of them the collection had before.
        encoded: Chunks that were encoded.
        stale: Points that were deleted.
    """

    documents: Counter[ChangeKind] = field(default_factory=Counter)
    kept: int = 0
    encoded: int = 0
    stale: int = 0


@dataclass(slots=True, kw_only=True)
class Planned(Outcome):
    """What would become of a split.

    Attributes:
        documents: How many documents there are, by what would have to be done.
        kept: How many of them the collection has.
        chunks: Chunks to encode.
        tokens: Their word pieces.
        tokens_per_second: How fast this worker encodes, if it was tried.
    """

    documents: Counter[ChangeKind] = field(default_factory=Counter)
    kept: int = 0
    chunks: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None


@dataclass(slots=True, kw_only=True)
class Compared(Outcome):
    """How a split compares with the collection.

    Attributes:
        equal: Documents that are as they should be.
        differences: How many are not, by how they differ.
        examples: Some ids for each of these.
    """

    equal: int = 0
    differences: dict[Difference, int] = field(default_factory=dict)
    examples: dict[Difference, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that ends the job.

    Attributes:
        error: The error.
        outcome: What became of the split until then.
    """

    error: MultiQAError
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A split that cannot be done.

    Attributes:
        reason: Why.
    """

    reason: str


Result: TypeAlias = SplitIds | Outcome | Failure | Lost


class Worker:
    """One encoder and one connection, that take up one split after the other."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Open nothing yet: what fails in a constructor cannot be returned."""
        self._settings = settings
        self._stop = threading.Event()
        self._has_tried = False

    def prepare(self) -> Failure | None:
        """Connect, and find the model.

        Returns:
            Why that cannot be done.
        """
        here = multiqa_integrations.__version__
        if here != self._settings.version:
            return Failure(
                ConfigurationError(
                    f"a worker has version {here} of multiqa-integrations, and the driver "
                    f"{self._settings.version}. Install the same one on every node."
                )
            )
        try:
            options = self._settings.options
            store = use_store(None, options.place)
            self._options = replace(
                options,
                store=store,
                url=None,
                api_key=None,
                connection={},
                format=None,
                glob=None,
            )
            encoder = options.encoder
            if isinstance(encoder, MultiQAEncoder) and encoder.settings["device"] != "cpu":
                encoder.load()  # the device may not be there
        except MultiQAError as error:
            return Failure(error)
        except Exception as error:  # noqa: BLE001  (of whatever a node lacks)
            return Failure(SyncError(f"a worker cannot begin ({type(error).__name__}: {error})."))
        return None

    def stop(self) -> None:
        """End what is under way after the batch in hand."""
        self._stop.set()

    def run(self, task: Task, block: Any = None) -> Result:
        """Do a task.

        Args:
            task: What.
            block: The split itself, where it has no source.
        """
        try:
            with self._job(task, block) as job:
                if task.method == "ids":
                    return self._ids(job)
                outcome: Stored | Planned | Compared
                steps: Iterator[None]
                if task.method == "store":
                    outcome = Stored()
                    steps = self._store_split(job, task, outcome)
                elif task.method == "plan":
                    outcome = Planned()
                    steps = self._plan_split(job, task, outcome)
                else:
                    outcome = Compared()
                    steps = self._verify_split(job, task, outcome)
                failure = None
                try:
                    deque(steps, maxlen=0)
                except MultiQAError as error:
                    # After a stop nothing is waited for.
                    if not (self._stop.is_set() and isinstance(error, StoreUnavailableError)):
                        failure, outcome.stopped = Failure(error, outcome), True
                self._put_in_place(task, outcome)
                return failure or outcome
        except MultiQAError as error:
            return Failure(error)
        except Exception as error:  # noqa: BLE001  (a bug costs its split alone, and is told)
            return Lost(f"{type(error).__name__}: {error}")

    @contextmanager
    def _job(self, task: Task, block: Any) -> Iterator[Job]:
        source = task.split.open(task.before, block)
        options = replace(self._options, limit=task.most)
        with open_job(source, self._settings.collection, options, self._stop) as job:
            yield replace(job, token=self._settings.token)

    def _ids(self, job: Job) -> SplitIds:
        found = SplitIds(FieldUse(job.options.fields))
        for item in read(job, found):
            if isinstance(item, Unread):
                found.unread.append(item.reason)
        found.notes = list(getattr(job.source, "notes", ()))
        if isinstance(job.source, FilePart):
            found.counted, found.items = job.source.counted, job.source.items
        found.stopped = job.stop.is_set()
        return found

    def _store_split(self, job: Job, task: Task, outcome: Stored) -> Iterator[None]:
        most = self._settings.max_errors
        documents = self._counting(read(job, self._earlier(task)), outcome)
        ledger = Ledger(job.store, job.collection, job.options.source_name)
        changes = decide(job, ledger, documents)
        writing = write(
            job,
            changes,
            sparse_vector=self._settings.sparse_vector,
            may_delete=lambda: True,  # the writer looks, as before every request
        )
        with closing(writing) as results:
            for result in results:
                yield
                if not job.stop.is_set():
                    job.writer.confirm()
                if most is not None and len(outcome.rejections) > most:
                    outcome.stopped = True
                    break
                if isinstance(result, Written):
                    outcome.documents[result.change.kind] += 1
                    outcome.kept += result.change.stored_hash is not None
                    outcome.stale += result.deleted
                elif isinstance(result, Encoded):
                    outcome.encoded += result.chunks
                else:
                    _note(outcome, result)

    def _plan_split(self, job: Job, task: Task, outcome: Planned) -> Iterator[None]:
        stored = None if job.info() is None else job.collection
        ledger = Ledger(job.store, stored, job.options.source_name)
        changes = decide(job, ledger, self._counting(read(job, self._earlier(task)), outcome))
        report = PlanReport(collection=job.collection, source=job.options.source_name)

        def note(item: Any) -> None:
            if isinstance(item, Rejection | Unread):
                _note(outcome, item)
            else:
                outcome.kept += item.stored_hash is not None

        yield from estimate(job, changes, report, note, encodes=not self._has_tried)
        outcome.rejections += report.rejections
        self._has_tried = self._has_tried or report.tokens_per_second is not None
        outcome.documents, outcome.chunks = report.documents, report.chunks
        outcome.tokens, outcome.tokens_per_second = report.tokens, report.tokens_per_second

    def _verify_split(self, job: Job, task: Task, outcome: Compared) -> Iterator[None]:
        report = VerifyReport(collection=job.collection, source=job.options.source_name)
        ledger = Ledger(job.store, job.collection, job.options.source_name)
        documents = self._counting(read(job, self._earlier(task)), outcome)
        for change in decide(job, ledger, documents):
            yield
            if isinstance(change, Rejection | Unread):
                _note(outcome, change)
            else:
                compare(change, report)
        outcome.equal, outcome.differences = report.equal, report.differences
        outcome.examples = report.examples

    def _earlier(self, task: Task) -> EarlierIds:
        return EarlierIds(self._options.fields, task.earlier)

    def _counting(self, items: Iterator[Any], outcome: Outcome) -> Iterator[Any]:
        for item in items:
            outcome.records += not isinstance(item, Unread)
            yield item

    def _put_in_place(self, task: Task, outcome: Outcome) -> None:
        """Say where the rejections of a split are, and leave out what nobody reads."""
        changes: dict[str, Any] = {}
        if self._settings.several:
            changes["file"] = task.split.name
        if not self._settings.with_records:
            changes["record"] = None
        outcome.rejections = [replace(one, **changes) for one in outcome.rejections]
        outcome.stopped = outcome.stopped or self._stop.is_set()


def _note(outcome: Outcome, item: Rejection | Unread) -> None:
    if isinstance(item, Unread):
        outcome.unread.append(item.reason)
    else:
        outcome.rejections.append(item)


def encoder_of_worker(encoder: Encoder, *, cpus: float, gpus: float) -> Encoder:
    """Return the encoder of a worker that has so many processors, and accelerators.

    Raises:
        ConfigurationError: It was made for the other.
    """
    if not isinstance(encoder, MultiQAEncoder):
        return encoder  # one of the user's own
    settings = encoder.settings
    if gpus and (settings["backend"] == "openvino" or settings["device"].startswith("cpu")):
        raise ConfigurationError(
            f"worker_gpus is {gpus:g}, and the encoder computes on the CPU (backend "
            f"{settings['backend']!r}, device {settings['device']!r}). Leave one of them out."
        )
    if settings["device"] == "auto":
        settings["device"] = "cuda" if gpus else "cpu"
    settings["threads"] = settings["threads"] or max(1, int(cpus))
    with suppress(OSError):  # a name that is too long for a path
        folder = Path(settings["model"]).expanduser()
        settings["model"] = str(folder.absolute()) if folder.is_dir() else settings["model"]
    return type(encoder)(**settings)
