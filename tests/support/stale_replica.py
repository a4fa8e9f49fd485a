"""A second node of a cluster that knows nothing of what was written since: for the stand-in."""

from __future__ import annotations

import itertools
import re
from typing import Any

from qdrant_client import QdrantClient, models

# Not what is known of collections: nodes agree on that before it is acknowledged.
READS = ("retrieve", "scroll", "count", "query", "query_batch")
_AGREEING = re.compile(r"[?&]consistency=(all|majority|quorum|[2-9])")


class Replica:
    """A copy of all collections as they are now.

    Attributes:
        client: The copy.
    """

    def __init__(self, original: QdrantClient) -> None:
        self.client = QdrantClient(":memory:")
        self._turns = itertools.count()
        for collection in original.get_collections().collections:
            name = collection.name
            config = original.get_collection(name).config
            self.client.create_collection(
                name,
                vectors_config=config.params.vectors,
                sparse_vectors_config=config.params.sparse_vectors,
                metadata=config.metadata,
            )
            records, _ = original.scroll(name, limit=1_000_000, with_vectors=True)
            points: Any = [
                models.PointStruct(id=one.id, vector=one.vector or {}, payload=one.payload)  # type: ignore[arg-type]
                for one in records
            ]
            if points:
                self.client.upsert(name, points)

    def answers(self, act: str, path: str) -> bool:
        """Return whether this node answers a request: every second read that says no more."""
        return act in READS and not _AGREEING.search(path) and next(self._turns) % 2 == 0

    def agrees(self, act: str, path: str) -> bool:
        """Return whether a request is answered with what both nodes say."""
        return act == "retrieve" and _AGREEING.search(path) is not None


def common(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Return the records that both nodes have alike."""
    return [record for record in ours if record in theirs]
