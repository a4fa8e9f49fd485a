"""Report what a sync would do, and how long it would take; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from multiqa_integrations.errors import SyncIncompleteError, reporting
from multiqa_integrations.etl.changes import Change, ChangeKind, Rejection
from multiqa_integrations.etl.chunks import chunk_documents
from multiqa_integrations.etl.decide import decide
from multiqa_integrations.etl.job import Job, JobOptions, check_hooks, open_job
from multiqa_integrations.etl.ledger import Ledger
from multiqa_integrations.etl.pruning import PruneGuard, find_deleted
from multiqa_integrations.etl.read import read, source_notes
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.etl.reports import PlanReport, Progress
from multiqa_integrations.etl.seen import Seen

_STEP = 128  # records whose texts are split together
_SAMPLE = 64  # chunks that are encoded to learn how fast that goes


def plan(
    source: object,
    collection: str,
    *,
    prune: bool = False,
    max_delete_share: float = 0.2,
    allow_empty: bool = False,
    progress: Callable[[Progress], None] | None = None,
    options: JobOptions | None = None,
    **settings: Any,
) -> PlanReport:
    """Report what `sync` with the same arguments would do; nothing is written.

    Args:
        source: See `open_source`.
        collection: Its name; there need not be one yet.
        prune: Whether pruning is meant.
        max_delete_share: See `sync`.
        allow_empty: See `sync`.
        progress: Called now and then.
        options: What jobs take alike.
        settings: The same as keywords: those of `JobOptions`.

    Raises:
        CollectionMismatchError: The collection does not fit.
        ConfigurationError: An argument is wrong.
        SourceError: There is no such source.
        SyncIncompleteError: Not all of the source can be read. `.report` has what was found before,
            as that of every error that ends the work.
        StoreError: The store failed.

    Examples:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> rows = [{"id": 1, "text": "The red button stops it."}]
        >>> plan(rows, "manual", client=QdrantClient(":memory:"), encoder=FakeEncoder()).added
        1
    """
    check_hooks(progress)
    options = JobOptions.of(options, settings)
    guard = PruneGuard(max_delete_share=max_delete_share, allow_empty=allow_empty)
    if prune:
        guard.check(options)
    began = time.monotonic()
    notify = progress or (lambda _: None)
    with open_job(source, collection, options) as job, Seen(options.fields) as seen:
        stored = None if job.info() is None else collection
        report = PlanReport(collection=collection, source=options.source_name)

        def timed() -> PlanReport:
            report.seconds = time.monotonic() - began
            return report

        with reporting(timed):
            ledger = Ledger(job.store, stored, options.source_name)
            changes = decide(job, ledger, report.counting(read(job, seen)))

            def note(item: Change | Rejection | Unread) -> None:
                guard.note(item)
                if isinstance(item, Rejection):
                    report.reject(item)
                elif isinstance(item, Unread):
                    raise SyncIncompleteError(f"{item.reason}.", report=report)

            for _ in estimate(job, changes, report, note):
                notify(
                    Progress("reading", report.records, 0, report.rejected, job.source.fraction())
                )
            report.warn(source_notes(job, seen))
            report.deleted = find_deleted(ledger, seen)
            if prune:
                refusal = guard.refusal(report.deleted)
                report.pruning = "done" if refusal is None else guard.status
                report.note = refusal or ""
        return timed()


def estimate(
    job: Job,
    changes: Iterable[Change | Rejection | Unread],
    report: PlanReport,
    note: Callable[[Change | Rejection | Unread], None],
    *,
    encodes: bool = True,
) -> Iterator[None]:
    """Count what has to be done, and measure how fast that goes; yields now and then.

    Args:
        job: The job.
        changes: Those of `decide`.
        report: Where documents, chunks and their tokens are counted.
        note: Called with each change first.
        encodes: Whether to encode a sample.
    """
    changes = iter(changes)
    sample: list[str] = []
    while step := list(islice(changes, _STEP)):
        for item in step:
            note(item)
        texts = _count([item for item in step if isinstance(item, Change)], job, report)
        sample += islice(texts[:: max(1, len(texts) // _SAMPLE)], _SAMPLE - len(sample))
        yield
    if sample and encodes:
        report.tokens_per_second = _tokens_per_second(job, sample)


def _count(changes: Sequence[Change], job: Job, report: PlanReport) -> list[str]:
    """Count what has to be done; returns the texts of the chunks that have to be encoded."""
    to_encode = [
        change for change in changes if change.kind in (ChangeKind.NEW, ChangeKind.CHANGED)
    ]
    report.documents.update(change.kind for change in changes)
    split = chunk_documents(
        [change.document for change in to_encode],
        job.encoder,
        chunk_size=job.options.chunk_size,
        chunk_overlap=job.options.chunk_overlap,
    )
    texts: list[str] = []
    for change, chunks in zip(to_encode, split, strict=True):
        if isinstance(chunks, str):
            report.documents[change.kind] -= 1
            report.reject(change.rejected(chunks))
        else:
            texts += [chunk.text for chunk in chunks]
    report.chunks += len(texts)
    report.tokens += int(job.encoder.count_tokens(texts).sum())
    return texts


def _tokens_per_second(job: Job, sample: list[str]) -> float:
    """Measure how many word pieces are encoded in a second."""
    job.encoder.encode_document(sample[:2])  # loads the model
    began = time.monotonic()
    job.encoder.encode_document(sample)
    return float(job.encoder.count_tokens(sample).sum()) / max(time.monotonic() - began, 1e-9)
