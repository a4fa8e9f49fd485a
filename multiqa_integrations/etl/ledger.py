"""What the collection has of a source.

The collection is the truth: what is stored is read back from it, window by window.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from multiqa_integrations.qdrant.failures import TooLargeError
from multiqa_integrations.qdrant.filters import PayloadEquals
from multiqa_integrations.qdrant.payload import RESERVED_KEY, PointRecord
from multiqa_integrations.qdrant.points import Point, PointId
from multiqa_integrations.qdrant.store import Store

PAYLOAD_INDEXES = {f"{RESERVED_KEY}.source": "keyword", f"{RESERVED_KEY}.document": "keyword"}
"""Payload indexes that look-ups need."""

# Never change it: the points of every synced collection are found by it.
_NAMESPACE = uuid.UUID("6f0e9c56-3b1d-5d0a-8a53-3a2f6b0f7c11")

_PAGE = 2_000
_DOCUMENTS = 2_000  # that are looked up at a time


def chunk_id(source: str, document: str, number: int) -> str:
    """Return the point id of a chunk: the same for ever, whatever file it came from."""
    name = json.dumps([source, document, number], ensure_ascii=False)
    return str(uuid.uuid5(_NAMESPACE, name))


class StoredChunk(NamedTuple):
    """A chunk that the collection has: its point, and what that carries under `_multiqa`.

    Attributes:
        point: The point's id.
        document: The document's id.
        chunk: The number of the chunk, from 0.
        chunks: How many the document has.
        hash: Of its title, text and how they are cut.
        metadata_hash: Of its metadata.
        fingerprint: Of the weights that encoded it.
    """

    point: PointId
    document: str
    chunk: int
    chunks: int
    hash: str
    metadata_hash: str
    fingerprint: str


class Ledger:
    """What a collection has of one source.

    Args:
        store: Where it is.
        collection: Its name; None where there is none yet.
        source: The source's name.
    """

    def __init__(self, store: Store, collection: str | None, source: str) -> None:
        self._store, self._collection, self._source = store, collection, source
        self._most = _DOCUMENTS

    def look_up(self, documents: Sequence[str]) -> dict[str, list[StoredChunk]]:
        """Read what there is of documents, by their ids."""
        found: dict[str, list[StoredChunk]] = {}
        start = 0
        while start < len(documents):
            batch = documents[start : start + self._most]
            try:
                for page in self._pages({f"{RESERVED_KEY}.document": batch}):
                    for point in page:
                        chunk = stored_chunk(point)
                        found.setdefault(chunk.document, []).append(chunk)
            except TooLargeError:  # a server's limit on the size of conditions
                if len(batch) == 1:
                    raise
                self._most = (len(batch) + 1) // 2
                continue
            start += len(batch)
        return found

    def everything(self, *, with_vectors: bool = False) -> Iterator[list[Point]]:
        """Read all points of the source, a page at a time."""
        yield from self._pages({}, with_vectors=with_vectors)

    def _pages(
        self, conditions: Mapping[str, Sequence[str]] | None, *, with_vectors: bool = False
    ) -> Iterator[list[Point]]:
        if conditions is None or self._collection is None:
            return
        filter = PayloadEquals({f"{RESERVED_KEY}.source": self._source, **conditions})
        offset: PointId | None = None
        while True:
            points, offset = self._store.scroll(
                self._collection,
                filter=filter,
                limit=_PAGE,
                offset=offset,
                with_payload=[RESERVED_KEY],
                with_vectors=with_vectors,
            )
            if points:
                yield points
            if offset is None:
                return


def stored_chunk(point: Point) -> StoredChunk:
    """Read what a point carries for the job."""
    record = PointRecord.of(point.payload)
    return StoredChunk(
        point.id,
        record.document or "",
        -1 if record.chunk is None else record.chunk,
        -1 if record.chunks is None else record.chunks,
        record.hash or "",
        record.metadata_hash or "",
        record.fingerprint or "",
    )
