"""What has to be done about each record of a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from multiqa_integrations.etl.documents import SourceDocument
from multiqa_integrations.etl.ledger import StoredChunk
from multiqa_integrations.qdrant.points import PointId


class ChangeKind(Enum):
    """What has to be done about a document."""

    NEW = "added"
    CHANGED = "changed"
    METADATA = "metadata"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be done about a document of the source.

    Attributes:
        kind: What.
        document: The document.
        hash: Of its title and text.
        metadata_hash: Of its metadata.
        stored: Its chunks in the collection that are as they should be, but for the metadata.
        stale: Other points of it, which are to be deleted.
        known: The hash of what the collection has of it, or None.
    """

    kind: ChangeKind
    document: SourceDocument
    hash: str
    metadata_hash: str
    stored: list[StoredChunk] = field(default_factory=list)
    stale: list[PointId] = field(default_factory=list)
    known: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be stored.

    Attributes:
        line: Where it is in the source.
        id: The document's id, where it has one.
        reason: Why.
        record: The record as it was read.
        known: What the collection has of that document: its hash, or None.
    """

    line: int
    id: str | None
    reason: str
    record: Any = field(default=None, repr=False)
    known: str | None = None
