"""Qdrant collections for the vectors of one model: created right, checked on every opening.

from multiqa_integrations.qdrant import Collection

with Collection.open("manual", path="./collections") as manual:
    manual.add(["The red button stops the machine."])
    manual.search("How do I stop it?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiqa_integrations._optional import require
from multiqa_integrations.qdrant.collection import Collection
from multiqa_integrations.qdrant.ensure import check_collection, ensure_collection
from multiqa_integrations.qdrant.migrate import MigrationReport, copy, reembed
from multiqa_integrations.qdrant.open import open_store
from multiqa_integrations.qdrant.points import Point, PointQuery, ScoredPoint, SparseVector
from multiqa_integrations.qdrant.schema import (
    CollectionInfo,
    CollectionReport,
    CollectionSchema,
    Difference,
    VectorInfo,
)
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.qdrant.upload import Uploader, upload_async

if TYPE_CHECKING:
    from multiqa_integrations.qdrant.edge.store import EdgeStore
    from multiqa_integrations.qdrant.server.store import ServerStore

__all__ = [
    "Collection",
    "CollectionInfo",
    "CollectionReport",
    "CollectionSchema",
    "Difference",
    "EdgeStore",
    "MigrationReport",
    "Point",
    "PointQuery",
    "ScoredPoint",
    "ServerStore",
    "SparseVector",
    "Store",
    "Uploader",
    "VectorInfo",
    "check_collection",
    "copy",
    "ensure_collection",
    "open_store",
    "reembed",
    "upload_async",
]


def __getattr__(name: str) -> object:
    # Each brings its engine's library along; that of servers takes seconds to import.
    if name == "EdgeStore":
        require("qdrant_edge", purpose="EdgeStore")
        from multiqa_integrations.qdrant.edge.store import EdgeStore

        return EdgeStore
    if name == "ServerStore":
        require("qdrant_client", purpose="ServerStore")
        from multiqa_integrations.qdrant.server.store import ServerStore

        return ServerStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
