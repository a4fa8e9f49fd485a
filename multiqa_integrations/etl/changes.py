"""What has to be done about each record of a source, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from multiqa_integrations.etl.documents import SourceDocument
from multiqa_integrations.etl.ledger import StoredChunk
from multiqa_integrations.etl.records import Unread
from multiqa_integrations.qdrant.points import PointId


class ChangeKind(Enum):
    """How a document of the source differs from what is stored of it."""

    NEW = "added"
    CHANGED = "changed"
    METADATA = "metadata"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be stored.

    Attributes:
        line: Its line, or its number in the source, from 1.
        id: The document's id, where it is known.
        reason: Why it was rejected.
        record: The record as it was read.
        stored_hash: The hash of what the collection has of that document, or None.
        duplicate: Whether it was rejected because an earlier record of the source had the same id.
        repeated: Whether an earlier record had the same id, whatever it was rejected for.
        file: The file that it is in, where a source has several.
    """

    line: int
    id: str | None
    reason: str
    record: Any = field(default=None, repr=False)
    stored_hash: str | None = None
    duplicate: bool = False
    repeated: bool = False
    file: str | None = None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"line {self.line:,}" + (f" of {self.file}" if self.file is not None else "")


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be done about a document of the source.

    Attributes:
        kind: How it differs from what is stored.
        document: The document.
        hash: Of its title and text.
        metadata_hash: Of its metadata.
        stored: Its chunks in the collection that are right but for their metadata.
        stale: Its other points in the collection, which are to be deleted.
        stored_hash: The hash of what the collection has of it, or None.
    """

    kind: ChangeKind
    document: SourceDocument
    hash: str
    metadata_hash: str
    stored: list[StoredChunk] = field(default_factory=list)
    stale: list[PointId] = field(default_factory=list)
    stored_hash: str | None = None

    def rejected(self, reason: str) -> Rejection:
        """Return the rejection of this document."""
        document = self.document
        return Rejection(
            document.line, document.id, reason, document.record, stored_hash=self.stored_hash
        )


@dataclass(frozen=True, slots=True)
class Written:
    """A document that the collection now has as it should be.

    Attributes:
        change: What had to be done.
        deleted: How many stale points were deleted.
    """

    change: Change
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch of chunks that was encoded; a long document has many.

    Attributes:
        chunks: How many.
    """

    chunks: int


Outcome: TypeAlias = Written | Rejection | Unread | Encoded
"""What `write` yields."""
