"""Compare a collection with its source, document by document; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from multiqa_integrations.errors import ConfigurationError, SyncIncompleteError, reporting
from multiqa_integrations.etl.changes import Change, ChangeKind, Rejection
from multiqa_integrations.etl.decide import decide
from multiqa_integrations.etl.job import Job, JobOptions, check_hooks, open_job
from multiqa_integrations.etl.ledger import Ledger, stored_chunk
from multiqa_integrations.etl.read import read, source_notes
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.etl.reports import Progress, VerifyReport
from multiqa_integrations.etl.seen import Seen
from multiqa_integrations.qdrant.names import collection_not_found_error
from multiqa_integrations.qdrant.points import Point, SparseVector

_NORM_TOLERANCE = 1e-3
_PROGRESS_EVERY = 1_000


def verify(
    source: object,
    collection: str,
    *,
    progress: Callable[[Progress], None] | None = None,
    options: JobOptions | None = None,
    **settings: Any,
) -> VerifyReport:
    """Compare a collection with its source; nothing is encoded or written.

    Texts are compared by their hashes. Every point of the source is read with its vector.

    Args:
        source: See `open_source`.
        collection: Its name.
        progress: Called now and then.
        options: What jobs take alike, but for `limit`.
        settings: The same as keywords: those of `JobOptions`.

    Raises:
        CollectionMismatchError: The collection does not fit at all.
        StoreError: There is none, or the store failed.
        SourceError: There is no such source.
        SyncIncompleteError: Not all of the source can be read. `.report` has what was found before,
            as that of every error that ends the work.
        ConfigurationError: An argument is wrong.

    Examples:
        >>> from multiqa_integrations.etl import sync
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> where = {"client": QdrantClient(":memory:"), "encoder": FakeEncoder()}
        >>> rows = [{"id": 1, "text": "The red button stops it."}]
        >>> report = sync(rows, "manual", **where)
        >>> verify([*rows, {"id": 2, "text": "Oil it."}], "manual", **where).missing
        1
    """
    check_hooks(progress)
    options = JobOptions.of(options, settings)
    if options.limit is not None:
        raise ConfigurationError(
            "verify does not go with limit: what is left out would look as if it were extra."
        )
    began = time.monotonic()
    notify = progress or (lambda _: None)
    with open_job(source, collection, options) as job, Seen(options.fields) as seen:
        if job.info() is None:
            raise collection_not_found_error(collection)
        report = VerifyReport(collection=collection, source=options.source_name)

        def timed() -> VerifyReport:
            report.seconds = time.monotonic() - began
            return report

        with reporting(timed):
            ledger = Ledger(job.store, collection, options.source_name)
            for change in decide(job, ledger, report.counting(read(job, seen))):
                if isinstance(change, Unread):
                    raise SyncIncompleteError(f"{change.reason}.", report=report)
                if isinstance(change, Rejection):
                    report.reject(change)
                else:
                    compare(change, report)
                if report.records % _PROGRESS_EVERY == 0:
                    fraction = job.source.fraction()
                    notify(Progress("reading", report.records, 0, report.rejected, fraction))
            report.warn(source_notes(job, seen))
            for _ in check_stored(job, ledger, seen, report):
                notify(Progress("comparing", report.records, 0, report.rejected, None))
        return timed()


def compare(change: Change, report: VerifyReport) -> None:
    """Report how a document of the source compares with what is stored of it."""
    if change.kind is ChangeKind.NEW:
        report.find("missing", change.document.id)
    elif change.kind is ChangeKind.UNCHANGED and not change.stale:
        report.equal += 1
    else:
        report.find("stale", change.document.id)


def check_stored(job: Job, ledger: Ledger, seen: Seen, report: VerifyReport) -> Iterator[None]:
    """Check every stored point, and report what is wrong; yields after each page of them."""
    extra: set[str] = set()
    for page in ledger.everything(with_vectors=True):
        for point in page:
            _check(job, point, seen, extra, report)
        yield


def _check(job: Job, point: Point, seen: Seen, extra: set[str], report: VerifyReport) -> None:
    """Check a stored point: is its document in the source, and is its vector as it should be?"""
    chunk = stored_chunk(point)
    if not job.has(chunk.document):
        return
    document = chunk.document or f"point {point.id}"  # another program's may name no document
    if chunk.document not in seen and document not in extra:
        extra.add(document)
        report.find("extra", document)
    if chunk.fingerprint != job.fingerprint:
        report.find("foreign", str(point.id))
    vector = point.vectors.get(job.options.vector_name)
    if (
        vector is None
        or isinstance(vector, SparseVector)
        or not abs(float(np.linalg.norm(vector)) - 1) < _NORM_TOLERANCE
    ):
        report.find("norms", str(point.id))
