"""Between this package's points and queries, and those of Qdrant Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import qdrant_edge as edge

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.edge import settings
from multiqa_integrations.qdrant.edge.filters import to_edge
from multiqa_integrations.qdrant.payload import RESERVED_KEY
from multiqa_integrations.qdrant.points import (
    Point,
    PointId,
    PointQuery,
    ScoredPoint,
    SparseVector,
    Vector,
)
from multiqa_integrations.qdrant.schema import CollectionSchema, index_kind
from multiqa_integrations.qdrant.settings import EMBEDDED

# How a search follows the graph of `EMBEDDED`, and scores the hits again by the original vectors.
_HNSW_EF = 192
_OVERSAMPLING = 2.0


def engine_config(schema: CollectionSchema, options: Mapping[str, Any]) -> Any:
    """Make the engine's configuration.

    Options are JSON, as of `CollectionSettings`, or go to the engine as they are.
    `quantization_config` takes the place of the 8-bit vectors in this package's own graph, and
    None leaves them out; `hnsw_config` makes it a graph of the user's.
    """
    for name, value in options.items():
        if name in ("vectors", "sparse_vectors", "wal_enabled"):
            raise ConfigurationError(f"{name} is made from the schema.")
        if type(value).__module__.startswith("qdrant_client"):
            raise ConfigurationError(
                f"{name} is {type(value).__name__} of qdrant-client, expected the class of that "
                "sort of qdrant_edge, or JSON as in CollectionSettings."
            )
    try:
        given = settings.to_engine(options)
    except ConfigurationError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _not_taken(options, error) from error
    ours = not given.collection.get("hnsw_config")
    kept = given.collection
    if ours:
        kept = {
            **settings.to_engine(EMBEDDED.given()).collection,
            "id_tracker_memory": edge.Memory.Cold,
            **given.collection,
        }
    metrics = {"cosine": edge.Distance.Cosine, "dot": edge.Distance.Dot}
    # Where the graph has smaller vectors, a search needs but a few of the originals: they stay
    # on disk, instead of 1.5 KB of memory each.
    cold = ours and kept["quantization_config"] and "on_disk" not in given.vector
    try:
        vector = edge.EdgeVectorParams(
            size=schema.size,
            distance=metrics[schema.distance],
            memory=edge.Memory.Cold if cold else None,
            **given.vector,
        )
        modifier = edge.Modifier.Idf if schema.sparse_idf else None
        sparse = edge.EdgeSparseVectorParams(modifier=modifier, **given.sparse)
        return edge.EdgeConfig(
            vectors={schema.vector_name: vector},
            sparse_vectors={schema.sparse_name: sparse} if schema.sparse_name else None,
            wal_enabled=True,
            **kept,
        )
    except (TypeError, ValueError) as error:
        raise _not_taken(options, error) from error


def _not_taken(options: Mapping[str, Any], error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the embedded engine does not take {', '.join(options)} ({error}). See "
        "CollectionSettings, and qdrant_edge.EdgeConfig."
    )


def index_creation(key: str, kind: Any) -> edge.UpdateOperation:
    """Return the operation that creates a payload index.

    Raises:
        ConfigurationError: The key is not a path in a payload, or there is no such index.
    """
    try:
        return edge.UpdateOperation.create_field_index(key, index_to_edge(kind, key))
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(
            f"{key!r} cannot be indexed: it is not the path of a payload field. Quote names that "
            'are not plain, as in metadata."valid from".'
        ) from error


def index_to_edge(kind: Any, key: str) -> Any:
    """Make the parameters of a payload index."""
    name = index_kind(kind, key)
    parameters: dict[str, Any] = {}
    if isinstance(kind, Mapping) or hasattr(kind, "model_dump"):  # or of qdrant_client.models
        given = kind if isinstance(kind, Mapping) else kind.model_dump(mode="json")
        parameters = {n: v for n, v in given.items() if n != "type" and v is not None}
        if "tokenizer" in parameters:
            tokenizer = str(parameters["tokenizer"]).capitalize()
            parameters["tokenizer"] = getattr(edge.TokenizerType, tokenizer, tokenizer)
    elif not isinstance(kind, str):  # the engine's own
        if name == "text" and not kind.phrase_matching:
            raise ConfigurationError(
                f"the text index of {key!r} needs phrase_matching=True: without it a phrase "
                "silently matches nothing."
            )
        return kind
    if name == "text":
        parameters["phrase_matching"] = True
    if name == "keyword" and key.startswith(f"{RESERVED_KEY}."):  # only jobs look there
        parameters["memory"] = edge.Memory.Cold
    try:
        return getattr(edge, f"{name.capitalize()}IndexParams")(**parameters)
    except TypeError as error:
        raise ConfigurationError(
            f"the embedded engine does not take these parameters for the index of {key!r} "
            f"({error}). Give qdrant_edge.{name.capitalize()}IndexParams(...)."
        ) from error


def query_to_edge(query: PointQuery, limit: int) -> edge.QueryRequest:
    """Make the engine's query for the first `limit` hits of a query that is not fused."""
    params = edge.SearchParams(
        exact=query.exact,
        hnsw_ef=query.hnsw_ef or _HNSW_EF,
        quantization=edge.QuantizationSearchParams(
            ignore=query.exact,
            rescore=True if query.rescore is None else query.rescore,
            oversampling=query.oversampling or _OVERSAMPLING,
        ),
    )
    dense: Any = None if query.vector is None else query.vector.tolist()
    name = query.vector_name or None
    nearest: Any
    if query.sparse is not None:
        nearest = edge.Query.Nearest(_vector(query.sparse), using=query.sparse_name)
    elif query.diversity is None:
        nearest = edge.Query.Nearest(dense, using=name)
    else:
        nearest = edge.Mmr(dense, 1.0 - query.diversity, query.candidate_limit, using=name)
    return edge.QueryRequest(
        limit,
        query=nearest,
        filter=to_edge(query.filter),
        score_threshold=query.score_threshold,
        params=params,
        with_payload=query.with_payload,
        with_vector=query.with_vectors,
    )


def _vector(vector: Vector | None) -> Any:
    if isinstance(vector, SparseVector):
        return edge.SparseVector(vector.indices.tolist(), vector.values.tolist())
    return None if vector is None else vector.tolist()


def point_to_edge(point: Point) -> edge.Point:
    """Make the engine's point."""
    vectors = {name: _vector(vector) for name, vector in point.vectors.items()}
    return edge.Point(id=point.id, vector=vectors, payload=dict(point.payload))


def description(schema: CollectionSchema) -> dict[str, Any]:
    """Return what a collection is, for its `collection.json`."""
    return {
        **schema.metadata(),
        "vectors": {schema.vector_name: {"size": schema.size, "distance": schema.distance}},
        "sparse": [schema.sparse_name] if schema.sparse_name else [],
        "sparse_idf": schema.sparse_idf,
    }


def id_of(value: Any) -> PointId:
    """Read an id of the engine."""
    return value if isinstance(value, int) else str(value)


def _vectors(vector: Any) -> dict[str, Vector]:
    if vector is None:
        return {}
    named = vector if isinstance(vector, dict) else {"": vector}
    return {
        name: np.asarray(value, np.float32)
        if isinstance(value, list)
        else SparseVector(
            np.asarray(value.indices, np.uint32), np.asarray(value.values, np.float32)
        )
        for name, value in named.items()
    }


def point_from_edge(record: Any) -> Point:
    """Read a point of the engine."""
    return Point(id_of(record.id), _vectors(record.vector), record.payload or {})


def scored_from_edge(point: Any, query: PointQuery) -> ScoredPoint:
    """Read a point that the engine found; it gives MMR's vectors, asked for or not."""
    vectors = _vectors(point.vector) if query.with_vectors else {}
    return ScoredPoint(id_of(point.id), vectors, point.payload or {}, score=float(point.score))
