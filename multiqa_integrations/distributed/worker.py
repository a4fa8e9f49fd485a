"""What a worker does with a split: the steps of `etl`, on a part of the source.

A worker is a process of its own, on any machine, with one encoder and one connection to the server.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import multiqa_integrations
from multiqa_integrations.distributed.ids import EarlierIds, SplitIds
from multiqa_integrations.distributed.messages import (
    Compared,
    Failure,
    Lost,
    Outcome,
    Planned,
    Result,
    Stored,
    Task,
    WorkerSettings,
)
from multiqa_integrations.distributed.splits import FilePart
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import (
    ConfigurationError,
    MultiQAError,
    StoreUnavailableError,
    SyncError,
)
from multiqa_integrations.etl.changes import Encoded, Rejection, Written
from multiqa_integrations.etl.decide import decide
from multiqa_integrations.etl.documents import FieldUse
from multiqa_integrations.etl.job import Job, open_job
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.plan import estimate
from multiqa_integrations.etl.read import read
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.etl.reports import PlanReport, VerifyReport
from multiqa_integrations.etl.verify import compare
from multiqa_integrations.etl.write import write
from multiqa_integrations.qdrant.open import use_store
from multiqa_integrations.types import Encoder


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
