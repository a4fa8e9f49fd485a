"""Documents on their way into a collection: checked, encoded, made into points."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multiqa_integrations.errors import (
    ConfigurationError,
    TextTypeError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant.edge import bm25
from multiqa_integrations.qdrant.points import (
    Point,
    PointId,
    Vector,
    json_payload,
    point_id,
)
from multiqa_integrations.qdrant.schema import RESERVED_KEY
from multiqa_integrations.texts import check_text
from multiqa_integrations.types import Document, Vectors

_BATCH = 256  # points that are made at a time


@dataclass(frozen=True, slots=True)
class PayloadLayout:
    """Where a point keeps a document; the default is what langchain-qdrant reads and writes.

    Attributes:
        content_key: The payload key of the text.
        metadata_key: The payload key of the metadata.
    """

    content_key: str = "page_content"
    metadata_key: str = "metadata"

    def payload(self, document: Document, index: int, fingerprint: str) -> dict[str, Any]:
        """Make the payload of a document, item `index` of the input."""
        text = check_text(document.text, index)
        where = f"the metadata of document {index if document.id is None else repr(document.id)}"
        if not isinstance(document.metadata, Mapping):
            raise ConfigurationError(f"{where} is {type(document.metadata).__name__}, not a dict.")
        own: dict[str, Any] = {"fingerprint": fingerprint}
        if document.id is not None and document.id != point_id(document.id):
            own["id"] = json_payload(document.id, "the id")
        return {
            self.content_key: text,
            self.metadata_key: json_payload(document.metadata, where),
            RESERVED_KEY: own,
        }

    def document_id(self, point: Point) -> str:
        """Give a point's id as its writer knew it."""
        own = point.payload.get(RESERVED_KEY)
        return str(own["id"]) if isinstance(own, Mapping) and "id" in own else str(point.id)

    def document(self, point: Point) -> Document:
        """Make the document of a point."""
        return Document(
            text=str(point.payload.get(self.content_key) or ""),
            id=self.document_id(point),
            metadata=point.payload.get(self.metadata_key) or {},
        )


@dataclass(frozen=True, slots=True)
class _Item:
    """A document on its way: all of its point but the vectors."""

    given_id: str
    point_id: PointId
    payload: dict[str, Any]


class Intake:
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
        """Hand out the texts to be encoded, and keep what they belong to."""
        for item in self._items:
            self._waiting.append(item)
            yield item.payload[self._layout.content_key]

    def points(self, vectors: Vectors) -> Iterator[list[Point]]:
        """Join vectors to the documents that wait for them; some points at a time."""
        for start in range(0, len(vectors), _BATCH):
            rows = vectors[start : start + _BATCH]
            items = [self._waiting.popleft() for _ in rows]
            named: list[dict[str, Vector]] = [{self._vector_name: row} for row in rows]
            if self._sparse_name is not None:
                words = bm25.encode_documents(
                    [item.payload[self._layout.content_key] for item in items]
                )
                for vectors_of_one, sparse in zip(named, words, strict=True):
                    vectors_of_one[self._sparse_name] = sparse
            self.ids.extend(item.given_id for item in items)
            yield [
                Point(item.point_id, vectors_of_one, item.payload)
                for item, vectors_of_one in zip(items, named, strict=True)
            ]

    def named(self, error: WriteRejectedError) -> WriteRejectedError:
        """Make the same error with the ids that the caller knows."""
        names = {str(point_id(one)): one for one in self.ids}
        reasons = {names.get(one, one): why for one, why in error.reasons.items()}
        return WriteRejectedError(str(error), reasons=reasons)

    def _checked(
        self,
        documents: Iterable[str | Document],
        ids: Sequence[str | None] | None,
        metadatas: Sequence[Mapping[str, Any]] | None,
    ) -> Iterable[_Item]:
        if isinstance(documents, str | bytes | Document) or not isinstance(documents, Iterable):
            raise TextTypeError(
                f"expected texts or documents, got one {type(documents).__name__}. Pass a list."
            )
        for name, given in (("ids", ids), ("metadatas", metadatas)):
            if given is None:
                continue
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
            document = Document(check_text(document, index), given_id, metadata or {})
        identity = point_id(document.id)
        return _Item(
            given_id=str(identity) if document.id is None else document.id,
            point_id=identity,
            payload=self._layout.payload(document, index, self._fingerprint),
        )
