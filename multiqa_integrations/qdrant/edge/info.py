"""What is known of an embedded collection: from the engine, and from the description beside it."""

from __future__ import annotations

from multiqa_integrations.qdrant.edge import settings
from multiqa_integrations.qdrant.edge.shard import Shard
from multiqa_integrations.qdrant.info import CollectionInfo, VectorInfo


def collection_info(name: str, shard: Shard) -> CollectionInfo:
    """Describe a collection.

    Raises:
        StoreError: The engine cannot tell.
    """
    with shard.reading("reading its info") as engine:
        info = engine.info()
    description = shard.description
    kept = shard.settings
    kinds = {
        key: repr(index.data_type).rsplit(".", 1)[-1].lower()
        for key, index in info.payload_schema.items()
    }
    return CollectionInfo(
        name=name,
        points=info.points_count,
        vectors={
            name: VectorInfo(**vector, datatype=kept.datatype or "float32")
            for name, vector in description["vectors"].items()
        },
        sparse=dict.fromkeys(description["sparse"], description.get("sparse_idf", True)),
        payload_indexes=kinds,
        index_parameters={
            key: settings.index_parameters(kinds[key], index.params)
            for key, index in info.payload_schema.items()
        },
        settings=kept,
        fingerprints=(description["fingerprint"],) if description["fingerprint"] else (),
        model=description["model"],
        identity=description.get("identity"),
        indexed_vectors=info.points_count - min(shard.unindexed, info.points_count),
        metadata=dict(description.get("metadata", {})),
        details={
            "path": str(shard.directory),
            "segments": info.segments_count,
            # Small collections are optimised without a graph.
            "in_graph": info.indexed_vectors_count,
        },
    )
