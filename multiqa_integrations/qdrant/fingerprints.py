"""Count the points of a collection by the model that encoded them."""

from __future__ import annotations

from collections import Counter

from multiqa_integrations.arguments import check_kind
from multiqa_integrations.errors import CollectionNotFoundError, StoreError, StoreUnavailableError
from multiqa_integrations.qdrant.filters import PayloadEquals
from multiqa_integrations.qdrant.payload import RESERVED_KEY, PointRecord
from multiqa_integrations.qdrant.points import PointId
from multiqa_integrations.qdrant.store import Store

_PAGE = 2_000


def count_fingerprints(store: Store, collection: str) -> dict[str | None, int]:
    """Count points by the fingerprint that each carries; None are those that carry none.

    A collection has vectors of one model. More than one fingerprint says that something wrote past
    that: `sync` encodes such documents again, and `reembed` a whole collection.

    Args:
        store: The store.
        collection: The collection.

    Raises:
        CollectionNotFoundError: There is none.
        StoreError: The store failed.

    Example:
        >>> from qdrant_client import QdrantClient
        >>> from multiqa_integrations.qdrant import Collection, open_store
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> store = open_store(client=QdrantClient(":memory:"))
        >>> ids = Collection.open("docs", encoder=FakeEncoder(), store=store).add(["a", "b"])
        >>> count_fingerprints(store, "docs")
        {'fake:0': 2}
    """
    check_kind("store", store, Store, "that of open_store(...)", optional=False)
    info = store.info(collection)
    total = store.count(collection)
    if info is not None and len(info.fingerprints) == 1:
        (fingerprint,) = info.fingerprints
        try:  # mostly all are of one model, which one request tells
            equal = store.count(
                collection, filter=PayloadEquals({f"{RESERVED_KEY}.fingerprint": fingerprint})
            )
        except (StoreUnavailableError, CollectionNotFoundError):
            raise
        except StoreError:  # strict mode, without an index
            equal = -1
        if equal == total:
            return {fingerprint: total} if total else {}
    counts: Counter[str | None] = Counter()
    offset: PointId | None = None
    while True:
        points, offset = store.scroll(
            collection, limit=_PAGE, offset=offset, with_payload=[RESERVED_KEY]
        )
        counts.update(PointRecord.of(point.payload).fingerprint for point in points)
        if offset is None:
            return dict(counts)
