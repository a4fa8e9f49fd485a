"""Make a collection equal to its source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from multiqa_integrations.errors import (
    ConfigurationError,
    PruneRefusedError,
    SourceError,
    SyncIncompleteError,
)
from multiqa_integrations.etl import pruning
from multiqa_integrations.etl.changes import Change, ChangeKind, Rejection
from multiqa_integrations.etl.deadletter import DeadLetters
from multiqa_integrations.etl.job import Job, JobOptions, opened
from multiqa_integrations.etl.lease import Lease
from multiqa_integrations.etl.ledger import Ledger, Seen
from multiqa_integrations.etl.reports import Progress, SyncReport
from multiqa_integrations.etl.writer import Writer, Written, delete
from multiqa_integrations.qdrant.store import OPTIMIZE_AT
from multiqa_integrations.qdrant.upload import Uploader

if TYPE_CHECKING:
    from typing_extensions import Unpack

OnError: TypeAlias = Literal["continue", "stop"]


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
    **options: Unpack[JobOptions],
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
            only if the source was read to its end, was not empty, and not too many would go.
        max_delete_share: The largest share of the source's documents that `prune` deletes.
        allow_empty: Let `prune` delete everything if the source is empty.
        on_error: "continue" after a record that cannot be stored, or "stop" at the first.
        max_errors: With more rejected records than that, the run stops.
        dead_letter: A file to whose end rejected records are written, for `replay`.
        progress: Called now and then.
        stop: Set it, from another thread or a signal handler, and the run ends after the batch
            in hand.
        options: See `JobOptions`.

    Returns:
        What was done. `report.complete` is False if records were rejected.

    Raises:
        SyncIncompleteError: It was stopped, there were too many errors, or the source could not be
            read to its end; `.report` tells what was done. Run it again.
        PruneRefusedError: `prune` would have been unsafe; `.report` tells what was done before.
        LeaseError: Another run works on the same source.
        CollectionMismatchError: Another model filled the collection, or it differs otherwise.
        ConfigurationError: An argument is wrong.
        SourceError: There is no such source.
        StoreError: The store failed for good.

    Example:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> client = QdrantClient(":memory:")
        >>> rows = [{"id": 1, "text": "The red button stops it."}]
        >>> sync(rows, "manual", client=client, encoder=FakeEncoder()).added
        1
        >>> sync(rows, "manual", client=client, encoder=FakeEncoder()).unchanged
        1
    """
    if on_error not in ("continue", "stop"):
        raise ConfigurationError(f"on_error is {on_error!r}, expected 'continue' or 'stop'.")
    if max_errors < 0:
        raise ConfigurationError(f"max_errors is {max_errors}, expected 0 or more.")
    stop = stop or threading.Event()
    with opened(source, collection, options, stop) as job:
        pruning.check(job, prune, max_delete_share)
        most = 0 if on_error == "stop" else max_errors
        letters = None if dead_letter is None else Path(dead_letter)
        with DeadLetters(letters, job) as dead, Seen() as seen:
            run = Run(job, seen, most, dead.write, progress)
            if prune:
                return run.and_prune(max_delete_share, allow_empty)
            return run.to_the_end()


class Run:
    """One run of a job."""

    def __init__(
        self,
        job: Job,
        seen: Seen,
        most_rejected: int,
        rejected: Callable[[Rejection], None],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        """Begin; `rejected` is told of each record that cannot be stored."""
        self.report = SyncReport(collection=job.collection, source=job.source_name)
        self._job, self._seen = job, seen
        self._most_rejected = most_rejected
        self._tell_rejected = rejected
        self._progress = progress or (lambda _: None)
        self._began = time.monotonic()
        self._done = 0
        self._unknown = 0
        self._kept = 0

    def to_the_end(self) -> SyncReport:
        """Store what the source has.

        Raises:
            SyncIncompleteError: The run ended before the source did.
        """
        return self._run(None)

    def and_prune(self, max_delete_share: float, allow_empty: bool) -> SyncReport:
        """Store what the source has, and delete what it does not have.

        Raises:
            SyncIncompleteError: The run ended before the source did.
            PruneRefusedError: Too much would be deleted.
        """
        return self._run((max_delete_share, allow_empty))

    def _run(self, prune: tuple[float, bool] | None) -> SyncReport:
        job, report = self._job, self.report
        sparse = job.ensure()
        ledger = Ledger(job.store, job.collection, job.source_name, job.stop)
        refused: str | None = None
        with Lease(job) as lease:
            reason = self._store(ledger, sparse, lease)
            report.ended = reason is None
            if prune is not None:
                refused = self._prune(ledger, lease, *prune) if report.ended else None
                if not report.ended:
                    report.pruning = "left out"
            if not job.stop.is_set():
                self._tell("optimizing")
                job.store.optimize(job.collection, minimum=OPTIMIZE_AT)
        report.seconds = time.monotonic() - self._began
        if reason is not None:
            report.note = reason
            raise SyncIncompleteError(
                f"{job.collection!r} has not all of {job.source.name}: {reason}. What was done "
                "stays; run it again to go on.",
                report=report,
            )
        if refused is not None:
            report.note = refused
            if report.pruning == "refused":
                raise PruneRefusedError(f"nothing was deleted: {refused}.", report=report)
        return report

    def _store(self, ledger: Ledger, sparse: str | None, lease: Lease) -> str | None:
        """Store what the source has; returns why it was not all of it."""
        job = self._job
        with Uploader(job.store, job.collection, optimize=False) as uploader:
            writer = Writer(
                job,
                uploader,
                sparse,
                written=self._written,
                refused=self._refused,
                renew=lease.renew,
            )
            reason: str | None = None
            try:
                for window in job.windows(ledger, self._seen):
                    for one in window:
                        self.report.records += 1
                        if isinstance(one, Rejection):
                            self._reject(one)
                    lease.renew()
                    decisions = [one for one in window if isinstance(one, Change)]
                    self._kept += sum(1 for one in window if _is_known(one))
                    for start in range(0, len(decisions), _STEP):
                        writer.write(decisions[start : start + _STEP])
                        lease.renew()
                        self._tell("reading")
                        if reason := self._why_stop():
                            break
                    if reason or (reason := self._why_stop()):
                        break
                    job.store.optimize(
                        job.collection,
                        minimum=_OPTIMIZE_AFTER,
                        share=_OPTIMIZE_SHARE,
                        merge=False,
                    )
                    lease.renew()
            except SourceError as error:
                reason = str(error).rstrip(".")
            writer.finish()
            self._tell("reading")
        return reason or self._why_stop()

    def _why_stop(self) -> str | None:
        if self._job.stop.is_set():
            return "it was stopped"
        if self.report.rejected > self._most_rejected:
            last = self.report.rejections[-1]
            allowed = f"{self._most_rejected:,} are allowed" if self._most_rejected else "none is"
            return (
                f"{self.report.rejected:,} records were rejected, of which {allowed}; the last is "
                f"line {last.line:,}: {last.reason}"
            )
        return None

    def _prune(
        self, ledger: Ledger, lease: Lease, max_delete_share: float, allow_empty: bool
    ) -> str | None:
        """Delete what the source has not had; returns why not."""
        report = self.report
        self._tell("pruning")
        pruning.note_gone(ledger, self._seen)
        gone = self._seen.gone
        refused = pruning.objection(
            gone=gone,
            kept=self._kept,
            records=report.records,
            unknown=self._unknown,
            max_delete_share=max_delete_share,
            allow_empty=allow_empty,
        )
        if refused is not None:
            report.pruning = pruning.outcome(self._unknown)
            return refused
        for points in self._seen.gone_points():
            if self._job.stop.is_set():
                report.pruning = "left out"
                return "it was stopped while it deleted"
            lease.renew()
            delete(self._job, points)
        report.deleted = gone
        report.pruning = "done"
        return None

    def _written(self, written: Written) -> None:
        report = self.report
        kind = written.decision.kind.value
        setattr(report, kind, getattr(report, kind) + 1)
        report.encoded += written.encoded
        report.stale += written.deleted
        self._done += 1

    def _refused(self, decision: Change, reason: str) -> None:
        document = decision.document
        self._reject(Rejection(document.line, document.id, reason, document.record, decision.known))

    def _reject(self, rejection: Rejection) -> None:
        self._unknown += rejection.id is None
        self.report.reject(rejection)
        self._tell_rejected(rejection)
        self._done += 1

    def _tell(self, phase: Literal["reading", "pruning", "optimizing"]) -> None:
        read, done = self.report.records, self._done
        fraction = self._job.source.fraction()
        if fraction is not None and read:
            fraction *= done / read  # some have been read that are not done
        self._progress(Progress(phase, done, self.report.encoded, self.report.rejected, fraction))


# What was written into an embedded collection since it was optimised takes memory, 3 KB a point.
# The engine's files are copied each time: the share keeps that in proportion.
_OPTIMIZE_AFTER = 15_000
_OPTIMIZE_SHARE = 1 / 16

# Decisions that are written between looks at the clock and at `stop`.
_STEP = 128


def _is_known(one: Change | Rejection) -> bool:
    return one.known is not None if isinstance(one, Rejection) else one.kind is not ChangeKind.NEW
