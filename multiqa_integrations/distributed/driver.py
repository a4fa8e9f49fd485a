"""What the driver of a job does: one lease, the order of things, and what workers may not do.

Workers are started and watched by a `Pool`; nothing here knows which engine that is.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from multiqa_integrations.distributed.ids import SourceIds, SplitIds
from multiqa_integrations.distributed.messages import (
    Failure,
    Lost,
    Method,
    Outcome,
    Result,
    Stored,
    Task,
    WorkerSettings,
)
from multiqa_integrations.distributed.splits import Split
from multiqa_integrations.errors import LeaseError, MultiQAError, StoreUnavailableError
from multiqa_integrations.etl.changes import Outcome as RecordOutcome
from multiqa_integrations.etl.deadletter import DeadLetters
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.pruning import PruneGuard
from multiqa_integrations.etl.records import SourceItem, Unread
from multiqa_integrations.etl.reports import Progress, Report
from multiqa_integrations.etl.sync import Run
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.retry import retrying
from multiqa_integrations.types import Encoder

_RENEW_SECONDS = 1.0  # between two looks at whether the lease is to be renewed
_PROGRESS_SECONDS = 0.5


class Pool(Protocol):
    """Workers, wherever they are. Use it with `with`."""

    def __enter__(self) -> Pool:
        """Connect to where they will be."""

    def __exit__(self, *exception: object) -> None:
        """End them."""

    def blocks_of(self, dataset: Any) -> list[int]:
        """Compute a data set, and keep its blocks for `run`; returns how many rows each has.

        Raises:
            SourceError: It cannot be computed.
        """

    @property
    def alive(self) -> int:
        """How many of them are at work."""

    def start(self, settings: WorkerSettings, most: int) -> None:
        """Start workers, no more than `most`."""

    def run(
        self, tasks: Iterable[Task], halted: Callable[[], bool]
    ) -> Iterator[tuple[Task | None, Result]]:
        """Yield what became of tasks, in any order; each has one result, of its last attempt.

        Args:
            tasks: They are taken up one by one, as workers are free.
            halted: Called now and then: once it is true, no further task is taken up, and
                workers end those that they have after the batch in hand.
        """


class Parts:
    """A source in parts, which workers read.

    Attributes:
        name: What messages call it.
        total: How many records it has: not known.
        notes: What of it looks like a mistake.
        done: The weight of the splits that are done.
    """

    def __init__(self, name: str, splits: Sequence[Split]) -> None:
        self.name = name
        self.total: int | None = None
        self.notes: list[str] = []
        self.done = 0
        self._weight = sum(split.weight for split in splits)

    def __iter__(self) -> Iterator[SourceItem]:
        """Read nothing: workers do."""
        return iter(())

    def fraction(self) -> float | None:
        """Return how much of it is done."""
        return self.done / self._weight if self._weight else None


@dataclass(slots=True, kw_only=True)
class Work:
    """A source on its way through workers.

    Attributes:
        job: The job, as the driver has it.
        splits: The parts of the source.
        parts: The source.
        ids: Its ids.
        pool: The workers.
        encoder: What each of them encodes with.
        several: Whether the source has several files.
        halted: Tells whether to stop, besides the job's own stop.
        progress: Called now and then.
        error: What ends the job.
    """

    job: Job
    splits: Sequence[Split]
    parts: Parts
    ids: SourceIds
    pool: Pool
    encoder: Encoder
    several: bool
    halted: Callable[[], bool] = lambda: False
    progress: Callable[[Literal["reading ids", "reading"]], None] = lambda _: None
    error: MultiQAError | None = None

    def start(self, settings: WorkerSettings) -> None:
        """Start workers."""
        options = replace(self.job.options, encoder=self.encoder, settings=None)
        settings = replace(settings, options=options, several=self.several)
        self.pool.start(settings, len(self.splits))

    def read_ids(self) -> None:
        """Read the ids of all splits.

        Raises:
            MultiQAError: What ends the job.
        """
        tasks = (Task("ids", split, split.before or 0) for split in self.splits)
        for task, result in self._run(tasks, "reading ids"):
            number = task.split.number
            if isinstance(result, Lost):
                self.ids.unread[number] = [_lost(task, result)]
            elif isinstance(result, SplitIds):
                self.ids.note(number, result)
        self.ids.finish()
        self.parts.notes = list(self.ids.notes)
        self.parts.done = 0

    def each(self, method: Method) -> Generator[tuple[Task, Outcome], None, None]:
        """Have something done to each split; yields what became of each, once.

        What of a split could not be read, be it only the first time, is `unread`.

        Raises:
            MultiQAError: What ends the job.
        """
        for task, result in self._run(self._tasks(method), "reading"):
            known = self.ids.unread.get(task.split.number, [])
            if isinstance(result, Lost):
                yield task, Outcome(unread=[_lost(task, result)])
            elif isinstance(result, Outcome):
                result.unread = result.unread or known
                yield task, result

    def sort(self, report: Report) -> None:
        """Put the rejections of a report in the order of the source."""
        order = {split.name: split.file for split in self.splits}
        report.rejections.sort(key=lambda one: (order.get(one.file or "", 0), one.line))

    def _tasks(self, method: Method) -> Iterator[Task]:
        ids = self.ids
        for split in self.splits:
            most = ids.items.get(split.number, 0) if split.number in ids.unread else None
            # One that was not read at all the first time may be read for what it is.
            yield Task(method, split, ids.before(split), ids.earlier(split), most or None)

    def _run(
        self, tasks: Iterable[Task], phase: Literal["reading ids", "reading"]
    ) -> Iterator[tuple[Task, Result]]:
        shown = 0.0

        def halted() -> bool:
            nonlocal shown
            if isinstance(self.error, LeaseError):
                raise self.error  # another run is at work: nobody waits for the batches in hand
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                self.progress(phase)
            return self.error is not None or self.job.stop.is_set() or self.halted()

        for task, result in self.pool.run(tasks, halted):
            done: Result | None = result
            if isinstance(result, Failure):
                self.error, done = self.error or result.error, result.outcome
            if task is not None and done is not None:
                if not getattr(done, "stopped", False):
                    self.parts.done += task.split.weight
                yield task, done
        if self.error is not None:
            raise self.error


class Renewal:
    """A thread that renews a lease, whatever else the driver waits for."""

    def __init__(self, lease: Lease, work: Work) -> None:
        """Take a lease that the run holds, and the work that ends where it cannot be renewed."""
        self._lease, self._work = lease, work
        self._ended = threading.Event()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._renew,), name="multiqa-lease", daemon=True
        )

    def _renew(self) -> None:
        with retrying(stop=self._ended):
            while not self._ended.wait(_RENEW_SECONDS):
                try:
                    self._lease.renew()
                except MultiQAError as error:
                    # After a stop nothing is waited for, while workers finish what they have.
                    stop = self._work.job.stop
                    stopped = stop.is_set() and isinstance(error, StoreUnavailableError)
                    if not stopped and not self._ended.is_set():
                        self._work.error = self._work.error or error
                        return

    def __enter__(self) -> Renewal:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()


class DistributedRun(Run):
    """A run whose splits workers store, and which holds their lease."""

    def __init__(
        self,
        work: Work,
        progress: Callable[[Progress], None] | None,
        *,
        guard: PruneGuard,
        max_errors: int,
        with_records: bool,
    ) -> None:
        """Begin; see `Run`.

        Args:
            work: What is to be done.
            progress: Called now and then.
            guard: Told how many documents are stored.
            max_errors: With more rejected records, the run ends.
            with_records: Whether there is a dead-letter file.
        """
        super().__init__(work.job, work.ids, progress, max_errors=max_errors)
        self._work, self._ids, self._guard = work, work.ids, guard
        self._with_records = with_records
        self._answered: set[int] = set()  # splits that were stored to their ends
        self._rejected: set[str] = set()

    def store(
        self, lease: Lease, sparse_vector: str | None
    ) -> Generator[RecordOutcome, None, None]:
        """Have workers store what the source has; yields rejections, and what was not read."""
        job, report, work = self._job, self.report, self._work
        with Renewal(lease, work):
            work.halted = lambda: self.why_stop(lease) is not None
            work.progress = self.report_progress
            settings = WorkerSettings(
                collection=job.collection,
                options=job.options,
                sparse_vector=sparse_vector,
                token=lease.token,
                with_records=self._with_records,
                max_errors=self._max_errors,
            )
            try:
                work.start(settings)
                work.read_ids()
                for task, outcome in work.each("store"):
                    yield from self._count(task, outcome)
            except LeaseError:
                lease.confirm()  # the driver knows why: the collection may have been dropped
                if lease.lost is None:
                    raise
        work.sort(report)
        self.report_progress("reading")
        if not job.stop.is_set():
            lease.confirm()
        unread = list(dict.fromkeys(report.unread))  # each split of a file may say the same
        report.note = self.why_stop(lease) or "; ".join(unread[:10])
        report.ended = not report.note

    def _count(self, task: Task, outcome: Outcome) -> Iterator[RecordOutcome]:
        report = self.report
        report.records += outcome.records
        if isinstance(outcome, Stored):
            report.documents += outcome.documents
            report.encoded += outcome.encoded
            report.stale += outcome.stale
            self._guard.add(outcome.documents.total(), outcome.kept)
        if not outcome.stopped and not outcome.unread:
            self._answered.add(task.split.number)
        for rejection in outcome.rejections:
            if rejection.id is not None and not rejection.duplicate:
                self._rejected.add(rejection.id)
            report.count(rejection)
            yield rejection
        for reason in outcome.unread:
            unread = Unread(None, reason)
            report.count(unread)
            yield unread

    def settle(self, letters: DeadLetters) -> None:
        """Note which documents with dead letters are stored by now."""
        for id in letters.ids - self._rejected:
            if self._ids.split_of(id) in self._answered:
                letters.stored(id)

    def report_progress(
        self, phase: Literal["reading ids", "reading", "pruning", "optimizing"]
    ) -> None:
        """Tell how far the job is."""
        report = self.report
        self._progress(
            Progress(
                phase,
                report.done,
                report.encoded,
                report.rejected,
                self._job.source.fraction(),
                self._work.pool.alive,
            )
        )

    def optimize(self) -> None:
        """Leave that to the server."""


def _lost(task: Task, lost: Lost) -> str:
    return f"part {task.split.number + 1:,} of {task.split.name} could not be read: {lost.reason}"
