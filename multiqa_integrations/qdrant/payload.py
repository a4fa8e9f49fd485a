"""What a point's payload holds: the format on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.points import Point, point_id
from multiqa_integrations.texts import check_text
from multiqa_integrations.types import Document
from multiqa_integrations.values import json_value

RESERVED_KEY = "_multiqa"
"""The payload key that this package keeps for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord:
    """What this package knows of a point, under the payload key `_multiqa`.

    Attributes:
        fingerprint: Of the weights that encoded it.
        id: The document's id, where it is not the point's.
        source: Which source a sync read it from; None where it was not a sync.
        document: The id that the document has in that source.
        chunk: The number of the chunk in the document, from 0.
        chunks: How many chunks the document has.
        hash: Digest of the document's text and title, and of how they are cut.
        metadata_hash: Digest of the document's metadata.
    """

    fingerprint: str | None = None
    id: str | None = None
    source: str | None = None
    document: str | None = None
    chunk: int | None = None
    chunks: int | None = None
    hash: str | None = None
    metadata_hash: str | None = None

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> PointRecord:
        """Read the record of a payload.

        What is missing, or was overwritten with something of another type, is None.
        """
        stored = payload.get(RESERVED_KEY)
        if not isinstance(stored, Mapping):
            return cls()
        kinds = _KINDS.items()  # a sync reads a record of every point: this is its hot path
        return cls(**{name: stored[name] for name, kind in kinds if type(stored.get(name)) is kind})

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it is stored: without what is None."""
        values = {name: getattr(self, name) for name in _KINDS}
        return {name: value for name, value in values.items() if value is not None}


def update_record(payload: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a payload with some values of its record changed; all others stay."""
    stored = payload.get(RESERVED_KEY)
    kept = stored if isinstance(stored, Mapping) else {}
    return {**payload, RESERVED_KEY: {**kept, **changes}}


_KINDS = {
    field.name: int if field.name in ("chunk", "chunks") else str for field in fields(PointRecord)
}


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
            raise ConfigurationError(
                f"{where} is {type(document.metadata).__name__}, expected a dict."
            )
        own_id = document.id is not None and document.id != point_id(document.id)
        record = PointRecord(
            fingerprint=fingerprint, id=json_value(document.id, "the id") if own_id else None
        )
        return self.assemble(text, json_value(document.metadata, where), record)

    def assemble(
        self, text: str, metadata: Mapping[str, Any], record: PointRecord
    ) -> dict[str, Any]:
        """Put the parts of a payload together."""
        return {
            self.content_key: text,
            self.metadata_key: metadata,
            RESERVED_KEY: record.to_dict(),
        }

    def document_id(self, point: Point) -> str:
        """Return a point's id as its writer knew it."""
        stored = PointRecord.of(point.payload).id
        return str(point.id) if stored is None else stored

    def document(self, point: Point) -> Document:
        """Return the document of a point."""
        metadata = point.payload.get(self.metadata_key)
        return Document(
            text=str(point.payload.get(self.content_key) or ""),
            id=self.document_id(point),
            metadata=metadata if isinstance(metadata, Mapping) else {},
        )
