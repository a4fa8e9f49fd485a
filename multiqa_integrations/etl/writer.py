"""Write what has been decided: encode, upsert, and only then delete what is stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multiqa_integrations.etl.changes import Change, ChangeKind
from multiqa_integrations.etl.chunks import TitledChunk, chunk_documents
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.ledger import chunk_id
from multiqa_integrations.qdrant.documents import name_vectors
from multiqa_integrations.qdrant.payload import PayloadLayout, PointRecord, update_record
from multiqa_integrations.qdrant.points import Point, PointId
from multiqa_integrations.qdrant.retry import call_with_retry
from multiqa_integrations.qdrant.upload import Uploader

# Chunks that are encoded together. More would be a little faster; this is also what a job
# finishes after it was asked to stop.
_BATCH = 512
_PAGE = 256
_SENT = 1_000
_LAYOUT = PayloadLayout()


@dataclass(frozen=True, slots=True)
class Written:
    """A document that is in the collection now as it should be.

    Attributes:
        decision: What had to be done.
        chunks: How many chunks were written.
        encoded: How many of them were encoded for it.
        deleted: How many stale points were deleted.
    """

    decision: Change
    chunks: int
    encoded: int
    deleted: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """A document whose points are under way."""

    decision: Change
    points: frozenset[PointId]
    encoded: int


class Writer:
    """Writes documents, some chunks at a time.

    While one batch is encoded, the one before it is sent. A document's stale points are deleted
    when all of its new ones have been acknowledged, so that it is never absent.
    """

    def __init__(
        self,
        job: Job,
        uploader: Uploader,
        sparse_vector: str | None,
        *,
        written: Callable[[Written], None],
        refused: Callable[[Change, str], None],
        renew: Callable[[], None],
    ) -> None:
        """Begin.

        Args:
            job: The job.
            uploader: Where to.
            sparse_vector: The sparse vector that chunks get.
            written: Told of each document that is done.
            refused: Told of each that could not be written, and why.
            renew: Called between batches, which may take minutes in a long document.
        """
        self._job, self._uploader, self._sparse = job, uploader, sparse_vector
        self._written, self._refused, self._renew = written, refused, renew
        self._waiting: list[tuple[Change, list[TitledChunk]]] = []
        self._chunks = 0
        self._sent: list[_Sent] = []

    def write(self, decisions: Sequence[Change]) -> None:
        """Take decisions; returns when few of their chunks wait to be encoded."""
        to_encode = [one for one in decisions if one.kind in (ChangeKind.NEW, ChangeKind.CHANGED)]
        for one in decisions:
            if one.kind is ChangeKind.UNCHANGED and one.stale:  # a killed run left them
                self._sent.append(_Sent(one, frozenset(), 0))
            elif one.kind is ChangeKind.UNCHANGED:
                self._written(Written(one, 0, 0, 0))
        to_encode += self._rewrite([one for one in decisions if one.kind is ChangeKind.METADATA])
        found = chunk_documents(
            [one.document for one in to_encode],
            self._job.encoder,
            chunk_size=self._job.chunk_size,
            chunk_overlap=self._job.chunk_overlap,
        )
        for decision, chunks in zip(to_encode, found, strict=True):
            if isinstance(chunks, str):
                self._refused(decision, chunks)
                continue
            self._waiting.append((decision, chunks))
            self._chunks += len(chunks)
            if self._chunks >= _BATCH:
                self._encode()
        if not self._waiting or len(self._sent) > _SENT:
            self._settle()

    def finish(self) -> None:
        """Write what waits, and wait for its end."""
        if self._waiting and not self._job.stop.is_set():
            self._encode()
        self._settle()

    def _encode(self) -> None:
        batch, self._waiting, self._chunks = self._waiting, [], 0
        texts = [chunk.text for _, chunks in batch for chunk in chunks]
        vectors = np.empty((len(texts), self._job.encoder.dimension), np.float32)
        for start in range(0, len(texts), _BATCH):
            if self._job.stop.is_set():
                return  # nothing of this batch has been written
            self._renew()
            part = texts[start : start + _BATCH]
            vectors[start : start + len(part)] = self._job.encoder.encode_document(part)
        self._settle()
        row = 0
        for decision, chunks in batch:
            rows = vectors[row : row + len(chunks)]
            row += len(chunks)
            points = self._points(decision, chunks, rows)
            self._uploader.add(points)
            ids = frozenset(point.id for point in points)
            self._sent.append(_Sent(decision, ids, len(points)))
        self._uploader.send()

    def _settle(self) -> None:
        """Wait for what was sent, then delete what it makes stale."""
        if not self._sent:
            return
        reasons = self._uploader.flush()
        sent, self._sent = self._sent, []
        done: list[Written] = []
        stale: list[PointId] = []
        for one in sent:
            bad = [reasons[str(point)] for point in one.points if str(point) in reasons]
            if bad:
                self._refused(one.decision, f"the store refused it: {bad[0]}")
                continue
            old = [point for point in one.decision.stale if point not in one.points]
            stale += old
            done.append(Written(one.decision, len(one.points), one.encoded, len(old)))
        delete(self._job, stale)
        for written in done:
            self._written(written)

    def _rewrite(self, decisions: Sequence[Change]) -> list[Change]:
        """Give points new metadata; returns the decisions whose points have gone meanwhile.

        The points are written whole, with the vectors that they have: one kind of request, that
        is bounded and repeated like any other.
        """
        gone = []
        for start in range(0, len(decisions), _PAGE):
            some = decisions[start : start + _PAGE]
            ids = [chunk.point for one in some for chunk in one.stored]
            found: dict[PointId, Point] = {}
            for first in range(0, len(ids), _PAGE):
                page = ids[first : first + _PAGE]
                read = call_with_retry(lambda page=page: self._read(page), self._job.stop)  # type: ignore[misc]
                found.update((point.id, point) for point in read)
            for decision in some:
                if any(chunk.point not in found for chunk in decision.stored):
                    gone.append(replace(decision, kind=ChangeKind.CHANGED, stored=[]))
                    continue
                points = [_with_metadata(found[chunk.point], decision) for chunk in decision.stored]
                self._uploader.add(points)
                self._sent.append(_Sent(decision, frozenset(point.id for point in points), 0))
        return gone

    def _read(self, ids: Sequence[PointId]) -> list[Point]:
        return self._job.store.retrieve(self._job.collection, ids, with_vectors=True)

    def _points(
        self, decision: Change, chunks: Sequence[TitledChunk], vectors: np.ndarray[Any, Any]
    ) -> list[Point]:
        job, document = self._job, decision.document
        named = name_vectors(
            vectors,
            [chunk.text for chunk in chunks],
            vector_name=job.vector_name,
            sparse_name=self._sparse,
        )
        points = []
        for number, chunk in enumerate(chunks):
            place = {
                "document_id": document.id,
                "chunk": number,
                "start_index": chunk.start,
                "end_index": chunk.end,
            }
            record = PointRecord(
                fingerprint=job.fingerprint,
                source=job.source_name,
                document=document.id,
                chunk=number,
                chunks=len(chunks),
                hash=decision.hash,
                metadata_hash=decision.metadata_hash,
            )
            payload = _LAYOUT.assemble(chunk.text, {**document.metadata, **place}, record)
            id = chunk_id(job.source_name, document.id, number)
            points.append(Point(id, named[number], payload))
        return points


def delete(job: Job, points: Sequence[PointId]) -> None:
    """Delete points, some at a time."""
    for start in range(0, len(points), 1_000):
        page = points[start : start + 1_000]
        call_with_retry(lambda page=page: job.store.delete(job.collection, ids=page), job.stop)  # type: ignore[misc]


def _with_metadata(point: Point, decision: Change) -> Point:
    old: Mapping[str, Any] = point.payload[_LAYOUT.metadata_key]
    place = {name: old[name] for name in ("document_id", "chunk", "start_index", "end_index")}
    metadata = {**decision.document.metadata, **place}
    payload = update_record(point.payload, metadata_hash=decision.metadata_hash)
    return Point(point.id, point.vectors, {**payload, _LAYOUT.metadata_key: metadata})
