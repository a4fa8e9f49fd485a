"""Make a collection equal to its source."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeAlias

from multiqa_integrations.arguments import check_path
from multiqa_integrations.errors import (
    ConfigurationError,
    PruneRefusedError,
    SyncIncompleteError,
    reporting,
)
from multiqa_integrations.etl.changes import Encoded, Outcome, Rejection, Written
from multiqa_integrations.etl.deadletter import DeadLetters
from multiqa_integrations.etl.decide import decide
from multiqa_integrations.etl.job import Job, JobOptions, check_hooks, open_job
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.letter_file import LetterFile
from multiqa_integrations.etl.pruning import PruneGuard, delete, find_deleted
from multiqa_integrations.etl.read import read, source_notes
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.etl.reports import Progress, SyncReport
from multiqa_integrations.etl.seen import Seen
from multiqa_integrations.etl.write import write
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.store import OPTIMIZE_AT
from multiqa_integrations.qdrant.upload import optimize_or_warn

logger = logging.getLogger(__name__)

OnError: TypeAlias = Literal["continue", "stop"]

# What was written into an embedded collection since it was optimised takes memory, 3 KB a point.
# The engine's files are copied each time: the share keeps that in proportion.
_OPTIMIZE_AFTER = 15_000
_OPTIMIZE_SHARE = 1 / 16

# Records between two looks at whether to optimise, and two reports of progress.
_OPTIMIZE_EVERY = 1_000
_PROGRESS_EVERY = 128


def sync(
    source: object,
    collection: str,
    *,
    prune: bool = False,
    max_delete_share: float = 0.2,
    allow_empty: bool = False,
    on_error: OnError = "continue",
    max_errors: int = 1_000,
    dead_letter: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    options: JobOptions | None = None,
    **settings: Any,
) -> SyncReport:
    """Make a collection equal to its source; run again, it does only what is left to do.

    A document whose text is stored as it is, is not encoded again; if only its metadata has
    changed, that alone is written. All chunks of a document are encoded, then written, and only
    then are those deleted that it no longer has: it is never absent. The run may be killed at any
    moment; the next one goes on from there.

    Args:
        source: See `open_source`.
        collection: Its name; it is created if there is none.
        prune: Delete the documents of this source that it no longer has. That is done at the end,
            only if all of the source was read, it was not empty, and not too many would go.
        max_delete_share: The largest share of the source's documents that `prune` deletes.
        allow_empty: Let `prune` delete everything if the source is empty.
        on_error: "continue" after a record that cannot be stored, or "stop" at the first.
        max_errors: With more rejected records than that, the run stops.
        dead_letter: A file to whose end rejected records are written, for `replay`; whether it
            can be written is tried first.
        progress: Called now and then.
        stop: Set it, from another thread or a signal handler, and the run ends after the batch
            in hand.
        options: What jobs take alike.
        settings: The same as keywords: those of `JobOptions`.

    Returns:
        What was done. `report.complete` is False if records were rejected.

    Raises:
        SyncIncompleteError: It was stopped, there were too many errors, not all of the source
            could be read, or not all dead letters written. Run it again. `.report` has what was
            done, as that of every error that ends the work.
        PruneRefusedError: `prune` would have been unsafe; everything else was done.
        LeaseError: Another run works on the same source.
        CollectionMismatchError: Another model filled the collection, or it differs otherwise.
        ConfigurationError: An argument is wrong.
        SourceError: There is no such source.
        StoreError: The store failed for good.

    Examples:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> client = QdrantClient(":memory:")
        >>> rows = [{"id": 1, "text": "The red button stops it."}]
        >>> sync(rows, "manual", client=client, encoder=FakeEncoder()).added
        1
        >>> sync(rows, "manual", client=client, encoder=FakeEncoder()).unchanged
        1
    """
    check_errors(on_error, max_errors)
    check_hooks(progress, stop)
    options = JobOptions.of(options, settings)
    guard = PruneGuard(max_delete_share=max_delete_share, allow_empty=allow_empty)
    if prune:
        guard.check(options)
    letter_file = None if dead_letter is None else check_path("dead_letter", dead_letter)
    if letter_file is not None:
        LetterFile(letter_file).check_writable()
    began = time.monotonic()
    with open_job(source, collection, options, stop) as job, Seen(options.fields) as seen:
        run = Run(job, seen, progress, max_errors=0 if on_error == "stop" else max_errors)
        return run.carry_out(guard, letter_file, prune=prune, began=began)


def check_errors(on_error: str, max_errors: int) -> None:
    """Make sure that these are what `sync` takes.

    Raises:
        ConfigurationError: They are not.
    """
    if on_error not in ("continue", "stop"):
        raise ConfigurationError(f"on_error is {on_error!r}, expected 'continue' or 'stop'.")
    if not isinstance(max_errors, int) or max_errors < 0:
        raise ConfigurationError(f"max_errors is {max_errors!r}, expected 0 or more.")


class Run:
    """One run of a job, which holds the lease of its source.

    Attributes:
        report: What was done so far.
    """

    def __init__(
        self,
        job: Job,
        seen: Seen,
        progress: Callable[[Progress], None] | None,
        *,
        max_errors: int,
    ) -> None:
        """Begin; with more than `max_errors` rejected records, the run ends."""
        self.report = SyncReport(collection=job.collection, source=job.options.source_name)
        self._job, self._seen, self._max_errors = job, seen, max_errors
        self._ledger = Ledger(job.store, job.collection, job.options.source_name)
        self._progress = progress or (lambda _: None)
        self._confirmed = False

    def carry_out(
        self, guard: PruneGuard, letter_file: Path | None, *, prune: bool, began: float
    ) -> SyncReport:
        """Make the collection equal to its source; what `sync` raises, is raised here.

        Args:
            guard: Decides whether what the source lacks may be deleted.
            letter_file: Where rejected records go.
            prune: Delete what the source lacks.
            began: When the run began, by the monotonic clock.
        """
        job, report, seen = self._job, self.report, self._seen

        def timed() -> SyncReport:
            report.seconds = time.monotonic() - began
            return report

        with reporting(timed):
            logger.info("sync of the source %s into %s begins", report.source, report.collection)
            self.report.pruning = "left out" if prune else "not asked for"  # until it is done
            sparse_vector = job.ensure()
            with job.lease() as lease:
                with (
                    DeadLetters(letter_file, job) as letters,
                    closing(self.store(lease, sparse_vector)) as outcomes,
                ):
                    for outcome in outcomes:
                        self.note(outcome, guard, letters)
                    self.settle(letters)
                report.warn(source_notes(job, seen))
                if prune:
                    self.prune(lease, guard)
                self.optimize()
            timed()
            logger.info(
                "sync of the source %s into %s: %d records, %d chunks encoded, %d documents "
                "deleted, %d records rejected, in %.1f s",
                report.source,
                report.collection,
                report.records,
                report.encoded,
                report.deleted,
                report.rejected,
                report.seconds,
            )
            self.raise_if_incomplete()
            if letters.error is not None:
                raise SyncIncompleteError(
                    f"{letters.error} Everything else was done; the next run writes them anew.",
                    report=report,
                ) from letters.error
            if report.pruning == "refused":
                raise PruneRefusedError(f"nothing was deleted: {report.note}.", report=report)
        return report

    def note(self, outcome: Outcome, guard: PruneGuard, letters: DeadLetters) -> None:
        """Take into account for pruning and dead letters what became of a record."""
        if isinstance(outcome, Written):
            letters.stored(outcome.change.document.id)
            guard.note(outcome.change)
        elif isinstance(outcome, Rejection):
            self.report.warn(self._seen.fields.take_notes("id", "text"))  # before any letter
            letters.write(outcome)
            self.report.unwritten = letters.unwritten
            guard.note(outcome)
        elif isinstance(outcome, Unread):
            guard.note(outcome)

    def settle(self, letters: DeadLetters) -> None:
        """Take into account for dead letters what is known at the end only: nothing here."""

    def store(self, lease: Lease, sparse_vector: str | None) -> Generator[Outcome, None, None]:
        """Store what the source has; yields what became of each record."""
        job, report = self._job, self.report
        documents = report.counting(read(job, self._seen))
        changes = decide(job, self._ledger, documents)
        allowed = takewhile(lambda _: self.why_stop(lease) is None, changes)
        writing = write(
            job, allowed, sparse_vector=sparse_vector, may_delete=partial(self._may_delete, lease)
        )
        with closing(writing) as outcomes:
            for outcome in outcomes:
                report.count(outcome)
                lease.renew()
                yield outcome
                if isinstance(outcome, Encoded) or report.done % _PROGRESS_EVERY == 0:
                    self.report_progress("reading")
                if not isinstance(outcome, Encoded) and report.done % _OPTIMIZE_EVERY == 0:
                    optimize_or_warn(
                        job.store,
                        job.collection,
                        minimum=_OPTIMIZE_AFTER,
                        share=_OPTIMIZE_SHARE,
                        merge=False,
                    )
        self.report_progress("reading")
        if not job.stop.is_set():
            lease.confirm()
        report.note = self.why_stop(lease) or "; ".join(report.unread[:10])
        report.ended = not report.note

    def prune(self, lease: Lease, guard: PruneGuard) -> None:
        """Delete what the source does not have, if it may be deleted."""
        job, report = self._job, self.report
        if not report.ended:
            return
        self.report_progress("pruning")
        deleted = find_deleted(self._ledger, self._seen)
        if (refusal := guard.refusal(deleted)) is not None:
            report.pruning, report.note = guard.status, refusal
            return
        for _ in delete(job, self._seen):
            lease.renew()
            if job.stop.is_set():
                report.note = "it was stopped while it deleted"
                return
        report.deleted, report.pruning = deleted, "done"

    def optimize(self) -> None:
        """Build the search graph of an embedded collection, if enough is new."""
        if not self._job.stop.is_set():
            self.report_progress("optimizing")
            optimize_or_warn(self._job.store, self._job.collection, minimum=OPTIMIZE_AT)

    def raise_if_incomplete(self) -> None:
        """Raise unless all of the source was read.

        Raises:
            SyncIncompleteError: It was not.
        """
        if not self.report.ended:
            raise SyncIncompleteError(
                f"{self._job.collection!r} does not have all of {self._job.source.name}: "
                f"{self.report.note}. What was done stays; run it again to go on.",
                report=self.report,
            )

    def _may_delete(self, lease: Lease) -> bool:
        """Look whether the source is still this run's: at the first deletion, then now and then."""
        if self._confirmed:
            lease.renew()
        else:
            lease.confirm()
            self._confirmed = True
        return lease.lost is None

    def why_stop(self, lease: Lease) -> str | None:
        """Return why nothing more is to be taken up; None if there is no reason."""
        rejected, allowed = self.report.rejected, self._max_errors
        if self._job.stop.is_set():
            return "it was stopped"
        if lease.lost is not None:
            return lease.lost
        if rejected > allowed:
            last = self.report.rejections[-1]
            return (
                f"{rejected:,} records were rejected, of which {allowed:,} are allowed; the last "
                f"is {last.place}: {last.reason}"
            )
        return None

    def report_progress(
        self, phase: Literal["reading ids", "reading", "pruning", "optimizing"]
    ) -> None:
        """Tell how far the run is."""
        report = self.report
        fraction = self._job.source.fraction()
        if fraction is not None and report.records:
            fraction *= report.done / report.records  # some have been read that are not done
        self._progress(Progress(phase, report.done, report.encoded, report.rejected, fraction))
