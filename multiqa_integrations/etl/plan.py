"""Say what a sync would do, and how long it would take; nothing is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from multiqa_integrations.etl import pruning
from multiqa_integrations.etl.changes import Change, ChangeKind, Rejection
from multiqa_integrations.etl.chunks import chunk_documents
from multiqa_integrations.etl.job import Job, JobOptions, opened
from multiqa_integrations.etl.ledger import Ledger, Seen
from multiqa_integrations.etl.reports import PlanReport, Progress

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SAMPLE = 64  # chunks that are encoded to learn how fast that goes


def plan(
    source: object,
    collection: str,
    *,
    prune: bool = False,
    max_delete_share: float = 0.2,
    allow_empty: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[JobOptions],
) -> PlanReport:
    """Say what `sync` with the same arguments would do; nothing is written.

    Args:
        source: See `open_source`.
        collection: Its name; there need not be one yet.
        prune: Whether pruning is meant.
        max_delete_share: See `sync`.
        allow_empty: See `sync`.
        progress: Called now and then.
        options: See `JobOptions`.

    Raises:
        CollectionMismatchError: The collection does not fit.
        ConfigurationError: An argument is wrong.
        SourceError: The source cannot be read to its end.
        StoreError: The store failed.

    Example:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> rows = [{"id": 1, "text": "The red button stops it."}]
        >>> plan(rows, "manual", client=QdrantClient(":memory:"), encoder=FakeEncoder()).added
        1
    """
    began = time.monotonic()
    told = progress or (lambda _: None)
    with opened(source, collection, options, threading.Event()) as job, Seen() as seen:
        pruning.check(job, prune, max_delete_share)
        report = PlanReport(collection=collection, source=job.source_name)
        there = None if job.info() is None else collection
        ledger = Ledger(job.store, there, job.source_name, job.stop)
        sample: list[str] = []
        unknown = kept = 0
        for window in job.windows(ledger, seen):
            decisions = [one for one in window if isinstance(one, Change)]
            for one in window:
                report.records += 1
                if isinstance(one, Rejection):
                    report.reject(one)
                    unknown += one.id is None
                    kept += one.known is not None
                else:
                    kept += one.kind is not ChangeKind.NEW
            _count(job, decisions, report, sample)
            told(Progress("reading", report.records, 0, report.rejected, job.source.fraction()))
        pruning.note_gone(ledger, seen)
        report.deleted = seen.gone
        if prune:
            refused = pruning.objection(
                gone=report.deleted,
                kept=kept,
                records=report.records,
                unknown=unknown,
                max_delete_share=max_delete_share,
                allow_empty=allow_empty,
            )
            report.pruning = "done" if refused is None else pruning.outcome(unknown)
            report.note = refused or ""
        if sample:
            report.tokens_per_second = _speed(job, sample)
        report.seconds = time.monotonic() - began
        return report


def _count(job: Job, decisions: list[Change], report: PlanReport, sample: list[str]) -> None:
    to_encode = [one for one in decisions if one.kind in (ChangeKind.NEW, ChangeKind.CHANGED)]
    documents = [one.document for one in to_encode]
    found = chunk_documents(
        documents, job.encoder, chunk_size=job.chunk_size, chunk_overlap=job.chunk_overlap
    )
    refused: set[int] = set()
    texts: list[str] = []
    for decision, chunks in zip(to_encode, found, strict=True):
        if isinstance(chunks, str):
            document = decision.document
            refused.add(id(decision))
            report.reject(Rejection(document.line, document.id, chunks, None, decision.known))
        else:
            texts += [chunk.text for chunk in chunks]
    for decision in decisions:
        if id(decision) not in refused:
            kind = decision.kind.value
            setattr(report, kind, getattr(report, kind) + 1)
    report.chunks += len(texts)
    report.tokens += int(job.encoder.count_tokens(texts).sum())
    sample += texts[:: max(1, len(texts) // _SAMPLE)][: _SAMPLE - len(sample)]


def _speed(job: Job, sample: list[str]) -> float:
    """Measure how many word pieces are encoded in a second."""
    job.encoder.encode_document(sample[:2])  # loads the model
    began = time.monotonic()
    job.encoder.encode_document(sample)
    return float(job.encoder.count_tokens(sample).sum()) / max(time.monotonic() - began, 1e-9)
