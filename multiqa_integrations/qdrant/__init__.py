"""Qdrant collections for the vectors of one model: created right, checked on every opening.

Examples:
    >>> from multiqa_integrations.qdrant import Collection
    >>> with Collection.open("manual", path="./collections") as manual:  # doctest: +SKIP
    ...     manual.add(["The red button stops the machine."])
    ...     manual.search("How do I stop it?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiqa_integrations._lazy import attach

if TYPE_CHECKING:
    from multiqa_integrations.qdrant.collection import Collection as Collection
    from multiqa_integrations.qdrant.edge.store import EdgeStore as EdgeStore
    from multiqa_integrations.qdrant.ensure import check_collection as check_collection
    from multiqa_integrations.qdrant.ensure import ensure_collection as ensure_collection
    from multiqa_integrations.qdrant.fingerprints import count_fingerprints as count_fingerprints
    from multiqa_integrations.qdrant.info import CollectionInfo as CollectionInfo
    from multiqa_integrations.qdrant.info import CollectionReport as CollectionReport
    from multiqa_integrations.qdrant.migrate import copy as copy
    from multiqa_integrations.qdrant.migrate import reembed as reembed
    from multiqa_integrations.qdrant.migration import MigrationReport as MigrationReport
    from multiqa_integrations.qdrant.open import open_store as open_store
    from multiqa_integrations.qdrant.points import Point as Point
    from multiqa_integrations.qdrant.points import PointQuery as PointQuery
    from multiqa_integrations.qdrant.points import ScoredPoint as ScoredPoint
    from multiqa_integrations.qdrant.points import SparseVector as SparseVector
    from multiqa_integrations.qdrant.schema import CollectionSchema as CollectionSchema
    from multiqa_integrations.qdrant.server.options import ConnectionOptions as ConnectionOptions
    from multiqa_integrations.qdrant.server.store import ServerStore as ServerStore
    from multiqa_integrations.qdrant.settings import CollectionSettings as CollectionSettings
    from multiqa_integrations.qdrant.store import Store as Store
    from multiqa_integrations.qdrant.upload import Uploader as Uploader

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "collection": ["Collection"],
        "edge.store": ["EdgeStore"],
        "ensure": ["check_collection", "ensure_collection"],
        "fingerprints": ["count_fingerprints"],
        "info": ["CollectionInfo", "CollectionReport"],
        "migrate": ["copy", "reembed"],
        "migration": ["MigrationReport"],
        "open": ["open_store"],
        "points": ["Point", "PointQuery", "ScoredPoint", "SparseVector"],
        "schema": ["CollectionSchema"],
        "server.options": ["ConnectionOptions"],
        "server.store": ["ServerStore"],
        "settings": ["CollectionSettings"],
        "store": ["Store"],
        "upload": ["Uploader"],
    },
)
