"""Write what was decided, the last of three steps: encode, upsert, then delete what is stale."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic
from typing import Any

import numpy as np

from multiqa_integrations.errors import MissingDependencyError, ModelError
from multiqa_integrations.etl.changes import (
    Change,
    ChangeKind,
    Encoded,
    Outcome,
    Rejection,
    Written,
)
from multiqa_integrations.etl.chunks import TitledChunk, chunk_documents
from multiqa_integrations.etl.documents import WRITTEN
from multiqa_integrations.etl.job import Job
from multiqa_integrations.etl.ledger import chunk_id, stored_chunk
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.qdrant.documents import name_vectors
from multiqa_integrations.qdrant.payload import PayloadLayout, PointRecord, update_record
from multiqa_integrations.qdrant.points import Point, PointId
from multiqa_integrations.qdrant.upload import Uploader

# Changes that are taken up at a time.
_STEP = 128

# Chunks that are encoded together. More would be a little faster; this is also what a job
# finishes after it was asked to stop.
_BATCH = 512

# Chunks that a worker encodes at first between two looks at its run's lease, two seconds on a slow
# core; then as many as it encodes in this time. They are taken by their length, without which so
# few would cost a fifth more.
_SLICE = 16
_SLICE_SECONDS = 1.0

# Documents whose points may be under way before their end is waited for.
_MOST_SENT = 1_000

_PAGE = 256
_PAGE_TO_DELETE = 1_000
_LAYOUT = PayloadLayout()


def write(
    job: Job,
    changes: Iterable[Change | Rejection | Unread],
    *,
    sparse_vector: str | None,
    may_delete: Callable[[], bool],
) -> Generator[Outcome, None, None]:
    """Write documents, and yield what became of each; rejections and unread parts pass through.

    While one batch is encoded, the one before it is sent. A document's stale points are deleted
    once all of its new ones were acknowledged, so it is never absent. `Encoded` is yielded after
    each call of the encoder, since a long document takes minutes.

    Close the generator if it is not read to its end: points may be under way.

    Args:
        job: The job.
        changes: Those of `decide`; they are read some hundreds at a time.
        sparse_vector: The name of the sparse vector that chunks get, or None: see `Job.ensure`.
        may_delete: Looks, before stale points are deleted, whether the collection is still the
            one that they were found in; it raises where another run works on the source.

    Raises:
        StoreError: The store failed for good.
    """
    changes = iter(changes)
    with Uploader(job.store, job.collection, optimize=False, write=job.writer.upsert) as uploader:
        writer = _Writer(job, uploader, sparse_vector, may_delete)
        while step := list(islice(changes, _STEP)):
            yield from writer.write(step)
        yield from writer.finish()


def delete_points(job: Job, points: Sequence[PointId]) -> None:
    """Delete points, some at a time."""
    for start in range(0, len(points), _PAGE_TO_DELETE):
        job.writer.delete(points[start : start + _PAGE_TO_DELETE])


@dataclass(frozen=True, slots=True)
class _Sent:
    """A document whose points are under way."""

    change: Change
    points: frozenset[PointId]


class _Writer:
    """Documents that wait to be encoded, and those whose points are under way."""

    def __init__(
        self,
        job: Job,
        uploader: Uploader,
        sparse_vector: str | None,
        may_delete: Callable[[], bool],
    ) -> None:
        self._job, self._uploader, self._sparse = job, uploader, sparse_vector
        self._may_delete = may_delete
        self._waiting: list[tuple[Change, list[TitledChunk]]] = []
        self._waiting_chunks = 0
        self._sent: list[_Sent] = []
        self._slice = _SLICE

    def write(self, step: Sequence[Change | Rejection | Unread]) -> Generator[Outcome, None, None]:
        """Take changes; few of their chunks wait to be encoded afterwards."""
        to_encode: list[Change] = []
        to_rewrite: list[Change] = []
        for change in step:
            if not isinstance(change, Change):
                yield change
            elif change.kind is ChangeKind.METADATA:
                to_rewrite.append(change)
            elif change.kind is not ChangeKind.UNCHANGED:
                to_encode.append(change)
            elif change.stale:  # left by a run that was killed
                self._sent.append(_Sent(change, frozenset()))
            else:
                yield Written(change)
        to_encode += self._rewrite(to_rewrite)
        for change, chunks in zip(to_encode, self._chunk(to_encode), strict=True):
            if isinstance(chunks, str):
                yield change.rejected(chunks)
                continue
            self._waiting.append((change, chunks))
            self._waiting_chunks += len(chunks)
            if self._waiting_chunks >= _BATCH:
                yield from self._encode()
        if not self._waiting or len(self._sent) > _MOST_SENT:
            yield from self._settle()

    def finish(self) -> Generator[Outcome, None, None]:
        """Write what waits, and wait for its end."""
        if self._waiting and not self._job.stop.is_set():
            yield from self._encode()
        yield from self._settle()

    def _chunk(self, changes: Sequence[Change]) -> list[list[TitledChunk] | str]:
        """Split documents; one that cannot be split costs itself alone."""
        try:
            return chunk_documents(
                [change.document for change in changes],
                self._job.encoder,
                chunk_size=self._job.options.chunk_size,
                chunk_overlap=self._job.options.chunk_overlap,
            )
        except (ModelError, MissingDependencyError):
            raise
        except Exception as error:  # noqa: BLE001  (whatever a document holds)
            if len(changes) == 1:
                return [f"it cannot be split ({type(error).__name__}: {error})"]
            return [self._chunk([change])[0] for change in changes]

    def _encode(self) -> Generator[Outcome, None, None]:
        """Encode what waits, and send it."""
        batch, self._waiting, self._waiting_chunks = self._waiting, [], 0
        texts = [chunk.text for _, chunks in batch for chunk in chunks]
        vectors = np.empty((len(texts), self._job.encoder.dimension), np.float32)
        for start in range(0, len(texts), _BATCH):
            if self._job.stop.is_set():
                return  # nothing of this batch has been written
            for taken in self._slices(texts, range(start, min(start + _BATCH, len(texts)))):
                vectors[taken] = self._job.encoder.encode_document([texts[at] for at in taken])
                yield Encoded(len(taken))
        yield from self._settle()
        row = 0
        for change, chunks in batch:
            rows = vectors[row : row + len(chunks)]
            row += len(chunks)
            try:
                points = self._points(change, chunks, rows)
            except Exception as error:  # noqa: BLE001  (whatever a document holds)
                reason = f"no points can be made of it ({type(error).__name__}: {error})"
                yield change.rejected(reason)
                continue
            self._send(change, points)
        self._uploader.send()

    def _slices(self, texts: Sequence[str], rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield what of a batch is encoded between two looks at the lease, where a worker looks."""
        if self._job.token is None:
            yield list(rows)
            return
        left = sorted(rows, key=lambda row: -len(texts[row]))
        while left:
            began = monotonic()
            taken, left = left[: self._slice], left[self._slice :]
            yield taken
            seconds = monotonic() - began
            if seconds > _SLICE_SECONDS:
                self._slice = max(self._slice // 2, 1)
            elif seconds < _SLICE_SECONDS / 2 and left:
                self._slice *= 2

    def _send(self, change: Change, points: Sequence[Point]) -> None:
        self._uploader.add(points)
        self._sent.append(_Sent(change, frozenset(point.id for point in points)))

    def _settle(self) -> Generator[Outcome, None, None]:
        """Wait for what was sent, then delete what it makes stale."""
        if not self._sent:
            return
        reasons = self._uploader.flush()
        sent, self._sent = self._sent, []
        outcomes: list[Outcome] = []
        stale: dict[PointId, str] = {}
        for document in sent:
            refused = [reasons[str(id)] for id in document.points if str(id) in reasons]
            if refused:
                reason = f"the store refused it: {refused[0]}"
                outcomes.append(document.change.rejected(reason))
                continue
            old = [point for point in document.change.stale if point not in document.points]
            stale.update(dict.fromkeys(old, document.change.document.id))
            outcomes.append(Written(document.change, len(old)))
        if stale and self._may_delete():
            delete_points(self._job, self._still_stale(stale))
        yield from outcomes

    def _still_stale(self, points: Mapping[PointId, str]) -> list[PointId]:
        """Return the points that are still of the documents that do not need them.

        A point that others made one of another document is that one's again where it was written.
        """
        ids = list(points)
        found: list[PointId] = []
        for start in range(0, len(ids), _PAGE_TO_DELETE):
            page = self._job.store.retrieve(
                self._job.collection, ids[start : start + _PAGE_TO_DELETE]
            )
            chunks = map(stored_chunk, page)
            found += [chunk.point for chunk in chunks if points.get(chunk.point) == chunk.document]
        return found

    def _rewrite(self, changes: Sequence[Change]) -> list[Change]:
        """Send points with new metadata; returns the changes whose points others have changed.

        The points are written whole, with the vectors that they have: one kind of request, that
        is bounded and repeated like any other.
        """
        lost = []
        for start in range(0, len(changes), _PAGE):
            page = changes[start : start + _PAGE]
            points = self._retrieve([chunk.point for change in page for chunk in change.stored])
            for change in page:
                stored = [points.get(chunk.point) for chunk in change.stored]
                changed = [
                    point and _with_metadata(point, chunk.chunk, change)
                    for point, chunk in zip(stored, change.stored, strict=True)
                ]
                whole = [point for point in changed if point is not None]
                if len(whole) == len(change.stored):
                    self._send(change, whole)
                else:
                    lost.append(replace(change, kind=ChangeKind.CHANGED, stored=[]))
        return lost

    def _retrieve(self, ids: Sequence[PointId]) -> dict[PointId, Point]:
        points: dict[PointId, Point] = {}
        for start in range(0, len(ids), _PAGE):
            page = self._job.store.retrieve(
                self._job.collection, ids[start : start + _PAGE], with_vectors=True
            )
            points.update((point.id, point) for point in page)
        return points

    def _points(
        self, change: Change, chunks: Sequence[TitledChunk], vectors: np.ndarray[Any, Any]
    ) -> list[Point]:
        job, document = self._job, change.document
        named = name_vectors(
            vectors,
            [chunk.text for chunk in chunks],
            vector_name=job.options.vector_name,
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
                source=job.options.source_name,
                document=document.id,
                chunk=number,
                chunks=len(chunks),
                hash=change.hash,
                metadata_hash=change.metadata_hash,
            )
            payload = _LAYOUT.assemble(chunk.text, {**document.metadata, **place}, record)
            id = chunk_id(job.options.source_name, document.id, number)
            points.append(Point(id, named[number], payload))
        return points


def _with_metadata(point: Point, number: int, change: Change) -> Point | None:
    """Return a point with the document's metadata; None if others have changed its payload."""
    document = change.document
    old = point.payload.get(_LAYOUT.metadata_key)
    place = {name: old.get(name) for name in WRITTEN} if isinstance(old, Mapping) else {}
    start, end = place.get("start_index"), place.get("end_index")
    if type(start) is not int or type(end) is not int or type(place["chunk"]) is not int:
        return None
    words = document.text[start:end]
    text = f"{document.title}\n{words}" if document.title else words
    if point.payload.get(_LAYOUT.content_key) != text:
        return None
    if (place["document_id"], place["chunk"]) != (document.id, number):
        return None
    payload = update_record(point.payload, metadata_hash=change.metadata_hash)
    metadata = {**document.metadata, **place}
    return Point(point.id, point.vectors, {**payload, _LAYOUT.metadata_key: metadata})
