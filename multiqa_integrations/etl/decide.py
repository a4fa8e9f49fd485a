"""Compare documents with what is stored, the second of three steps: what has to be done?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from multiqa_integrations.etl.changes import Change, ChangeKind, Rejection
from multiqa_integrations.etl.documents import SourceDocument, metadata_hash, text_hash
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.ledger import Ledger, StoredChunk
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.types import Document

# Documents whose stored hashes are looked up together.
_WINDOW_RECORDS = 1_000
_WINDOW_CHARACTERS = 8_000_000


def decide(
    job: Job, ledger: Ledger, documents: Iterable[SourceDocument | Rejection | Unread]
) -> Iterator[Change | Rejection | Unread]:
    """Yield what has to be done about each document, in their order.

    Rejections pass through, with the hash of what is stored under their ids.

    Args:
        job: The job.
        ledger: What the collection has.
        documents: Those of `read`.
    """
    for window in _windows(documents):
        ids = [item.id for item in window if not isinstance(item, Unread) and item.id is not None]
        stored = ledger.look_up(ids)
        for item in window:
            if isinstance(item, SourceDocument):
                yield _change(job, item, stored.get(item.id, []))
            elif isinstance(item, Rejection) and (chunks := stored.get(item.id or "")):
                yield replace(item, stored_hash=chunks[0].hash)
            else:
                yield item


def _windows(
    documents: Iterable[SourceDocument | Rejection | Unread],
) -> Iterator[list[SourceDocument | Rejection | Unread]]:
    window: list[SourceDocument | Rejection | Unread] = []
    characters = 0
    for item in documents:
        window.append(item)
        characters += _characters(item)
        if len(window) >= _WINDOW_RECORDS or characters >= _WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def _characters(item: SourceDocument | Rejection | Unread) -> int:
    """Estimate the memory that an item takes: a rejection still holds its record."""
    record = None if isinstance(item, Unread) else item.record
    if isinstance(record, Document):
        record = record.text
    if isinstance(record, Mapping):
        return sum([len(value) for value in record.values() if isinstance(value, str)])
    return len(record) if isinstance(record, str | bytes) else 0


def _change(job: Job, document: SourceDocument, stored: Sequence[StoredChunk]) -> Change:
    text = text_hash(document, job.options.chunk_size, job.options.chunk_overlap)
    metadata = metadata_hash(document)
    if not stored:
        return Change(ChangeKind.NEW, document, text, metadata)
    fitting = {
        chunk.chunk: chunk
        for chunk in stored
        if chunk.hash == text and chunk.fingerprint == job.fingerprint
    }
    points = {chunk.point for chunk in fitting.values()}
    total = next(iter(fitting.values())).chunks if fitting else 0
    if not fitting or total != len(fitting) or fitting.keys() != set(range(total)):
        stale = [chunk.point for chunk in stored]
        return Change(ChangeKind.CHANGED, document, text, metadata, [], stale, stored[0].hash)
    chunks = [fitting[number] for number in range(total)]
    stale = [chunk.point for chunk in stored if chunk.point not in points]
    same = all(chunk.metadata_hash == metadata for chunk in chunks)
    kind = ChangeKind.UNCHANGED if same else ChangeKind.METADATA
    return Change(kind, document, text, metadata, chunks, stale, text)
