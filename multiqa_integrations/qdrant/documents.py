"""Documents on their way into a collection: checked, encoded, made into points."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multiqa_integrations.errors import (
    ConfigurationError,
    TextTypeError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant.edge import bm25
from multiqa_integrations.qdrant.payload import PayloadLayout
from multiqa_integrations.qdrant.points import Point, PointId, Vector, number_of, point_id
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.texts import check_text
from multiqa_integrations.types import Document, Vectors

_BATCH = 256  # points that are made at a time


def name_vectors(
    vectors: Sequence[Vector] | Vectors | None,
    texts: Sequence[str],
    *,
    vector_name: str,
    sparse_name: str | None,
) -> list[dict[str, Vector]]:
    """Return the named vectors of each text: its dense one, and its words for hybrid search.

    Args:
        vectors: The dense vectors `(n, 384)`; None leaves them out.
        texts: The `n` texts, which the words are taken from.
        vector_name: The name of the dense vector.
        sparse_name: The name of the sparse vector; None leaves it out.
    """
    named: list[dict[str, Vector]] = (
        [{} for _ in texts] if vectors is None else [{vector_name: row} for row in vectors]
    )
    if sparse_name is not None:
        for vectors_of_text, words in zip(named, bm25.encode_documents(texts), strict=True):
            vectors_of_text[sparse_name] = words
    return named


@dataclass(frozen=True, slots=True)
class _Item:
    """A document on its way: all of its point but the vectors."""

    given_id: str
    point_id: PointId
    payload: dict[str, Any]


class PointBuilder:
    """Documents that are being added to a collection.

    The texts are handed to an encoder's stream; the vectors that come back, some at a time and in
    the same order, are joined to the documents that wait for them.

    Attributes:
        ids: The ids of the documents that have been made into points, in order.
    """

    def __init__(
        self,
        documents: Iterable[str | Document],
        ids: Sequence[str | None] | None,
        metadatas: Sequence[Mapping[str, Any]] | None,
        *,
        layout: PayloadLayout,
        fingerprint: str,
        vector_name: str,
        sparse_name: str | None,
    ) -> None:
        """Check what is given; a list whole, a generator as it is read.

        Raises:
            TextError: Something is not text.
            ConfigurationError: Ids or metadata do not fit.
        """
        self.ids: list[str] = []
        self._layout = layout
        self._fingerprint = fingerprint
        self._vector_name = vector_name
        self._sparse_name = sparse_name
        self._waiting: deque[_Item] = deque()
        self._items = self._checked(documents, ids, metadatas)

    def texts(self) -> Iterator[str]:
        """Yield the texts to be encoded, and keep what they belong to."""
        for item in self._items:
            self._waiting.append(item)
            yield item.payload[self._layout.content_key]

    def points(self, vectors: Vectors) -> Iterator[list[Point]]:
        """Join vectors to the documents that wait for them; some points at a time."""
        for start in range(0, len(vectors), _BATCH):
            rows = vectors[start : start + _BATCH]
            items = [self._waiting.popleft() for _ in rows]
            named = name_vectors(
                rows,
                [item.payload[self._layout.content_key] for item in items],
                vector_name=self._vector_name,
                sparse_name=self._sparse_name,
            )
            self.ids.extend(item.given_id for item in items)
            yield [
                Point(item.point_id, vectors_of_item, item.payload)
                for item, vectors_of_item in zip(items, named, strict=True)
            ]

    def with_document_ids(self, error: WriteRejectedError) -> WriteRejectedError:
        """Return the same error with the ids that the caller knows."""
        return with_document_ids(error, self.ids)

    def _checked(
        self,
        documents: Iterable[str | Document],
        ids: Sequence[str | None] | None,
        metadatas: Sequence[Mapping[str, Any]] | None,
    ) -> Iterable[_Item]:
        one = isinstance(documents, str | bytes | Document) or getattr(documents, "ndim", 1) == 0
        if one or not isinstance(documents, Iterable):
            raise TextTypeError(
                f"expected texts or documents, got one {type(documents).__name__}. Pass a list."
            )
        if isinstance(documents, Mapping) or hasattr(documents, "columns"):
            raise TextTypeError(
                f"expected texts or documents, got a {type(documents).__name__}: only the names "
                "of its columns would be read. Pass [Document(text, id, metadata), ...]; or "
                "sync() it, which reads tables."
            )
        for name, given in (("ids", ids), ("metadatas", metadatas)):
            if given is None:
                continue
            # By place: a dict, or a column of pandas, would be read by its keys.
            if isinstance(given, str | bytes) or not isinstance(given, Sequence | np.ndarray):
                raise ConfigurationError(
                    f"{name} is {type(given).__name__}, expected a list with one for each document."
                )
            if not isinstance(documents, Sequence) or len(given) != len(documents):
                size = len(documents) if isinstance(documents, Sequence) else "a generator of"
                raise ConfigurationError(
                    f"{len(given)} {name} for {size} documents. Give one for each, in a list; "
                    "or give Documents, which have their own."
                )
        items = (
            self._item(
                index,
                document,
                None if ids is None else ids[index],
                None if metadatas is None else metadatas[index],
            )
            for index, document in enumerate(documents)
        )
        return list(items) if isinstance(documents, Sequence) else items

    def _item(
        self,
        index: int,
        document: str | Document,
        given_id: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> _Item:
        if isinstance(document, Document):
            if given_id is not None or metadata is not None:
                raise ConfigurationError(
                    f"document {index} has its own id and metadata: leave ids and metadatas out."
                )
        else:
            document = Document(
                check_text(document, index), given_id, {} if metadata is None else metadata
            )
        identity = point_id(document.id)
        return _Item(
            given_id=str(identity) if document.id is None else document.id,
            point_id=identity,
            payload=self._layout.payload(document, index, self._fingerprint),
        )


def taken_ids(store: Store, collection: str, document_ids: Iterable[str]) -> dict[str, str]:
    """Find ids that another program's points already have, as numbers.

    `"42"` reads, and deletes, a point with the number 42. Adding it too would make two documents of
    that id, and writing over the other one would lose it.

    Returns:
        Why a point of this package may not be written, by its id.
    """
    numbers = {number: id for id in document_ids if (number := number_of(id)) is not None}
    if not numbers:
        return {}
    found = store.retrieve(collection, list(numbers), with_payload=False)
    return {
        str(point_id(numbers[point.id])): f"another program's point has the number {point.id} as "
        "its id, so that there would be two documents of that id. Delete that one first, or give "
        "this one another id"
        for point in found
        if isinstance(point.id, int)
    }


def with_document_ids(error: WriteRejectedError, ids: Iterable[str]) -> WriteRejectedError:
    """Return an error about points as one about documents, which have these ids."""
    document_ids = {str(point_id(document_id)): document_id for document_id in ids}
    reasons = {document_ids.get(id, id): reason for id, reason in error.reasons.items()}
    return WriteRejectedError(str(error), reasons=reasons)
