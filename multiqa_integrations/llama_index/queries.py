"""LlamaIndex's queries and selections, as those of Qdrant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from multiqa_integrations.arguments import check_kind
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.llama_index.filters import to_condition
from multiqa_integrations.llama_index.payload import (
    DOCUMENT_KEY,
    METADATA_KEY,
    SYNC_DOCUMENT_KEY,
)
from multiqa_integrations.qdrant.collection import Collection
from multiqa_integrations.qdrant.conditions import Condition, has_id, is_empty, nothing, one_of
from multiqa_integrations.qdrant.edge import bm25
from multiqa_integrations.qdrant.points import (
    PointQuery,
    SparseVector,
    lookup_ids,
    point_id,
)
from multiqa_integrations.types import Vectors

if TYPE_CHECKING:
    from qdrant_client import models

OPTIONS = (
    *("filter", "score_threshold", "exact", "hnsw_ef"),
    *("mmr_threshold", "mmr_prefetch_k"),
)
"""What `MultiQAVectorStore.query` takes beside the query."""

_MODES = (
    VectorStoreQueryMode.DEFAULT,
    VectorStoreQueryMode.MMR,
    VectorStoreQueryMode.HYBRID,
    VectorStoreQueryMode.SPARSE,
)


def to_point_query(
    query: VectorStoreQuery,
    collection: Collection,
    vector_name: str,
    *,
    filter: models.Filter | None = None,
    score_threshold: float | None = None,
    exact: bool = False,
    hnsw_ef: int | None = None,
    mmr_threshold: float | None = None,
    mmr_prefetch_k: int | None = None,
) -> PointQuery:
    """Translate a query; the options are those of `MultiQAVectorStore.query`.

    Raises:
        ConfigurationError: Something of it cannot be honoured.
        CollectionMismatchError: It is by words, and the collection has no sparse vector.
    """
    mode = query.mode
    if mode not in _MODES:
        raise ConfigurationError(
            f"the query's mode is {getattr(mode, 'value', mode)!r}, expected one of "
            f"{', '.join(known.value for known in _MODES)}."
        )
    if mmr_threshold is None:
        mmr_threshold = query.mmr_threshold
    mmr = mode is VectorStoreQueryMode.MMR
    hybrid = mode is VectorStoreQueryMode.HYBRID
    sparse = mode is VectorStoreQueryMode.SPARSE
    for name, value, honoured in (
        ("alpha", query.alpha, False),  # lists that are fused by ranks have no weights
        ("output_fields", query.output_fields, False),
        ("embedding_field", query.embedding_field, False),
        ("sparse_top_k", query.sparse_top_k, hybrid),
        ("hybrid_top_k", query.hybrid_top_k, hybrid),
        ("mmr_threshold", mmr_threshold, mmr),
        ("mmr_prefetch_k", mmr_prefetch_k, mmr),
    ):
        if value is not None and not honoured:
            raise ConfigurationError(
                f"{name} is {value!r}, which a search of mode {mode.value!r} cannot honour. "
                "Leave it out."
            )
    diversity = None
    if mmr:
        closeness = 0.5 if mmr_threshold is None else mmr_threshold
        if not 0.0 <= closeness <= 1.0:
            raise ConfigurationError(f"mmr_threshold is {closeness!r}, expected 0 to 1.")
        diversity = 1.0 - closeness
    return PointQuery(
        vector=None if sparse else _unit(query.query_embedding),
        vector_name=vector_name,
        sparse=_words(query.query_str, collection) if hybrid or sparse else None,
        sparse_name=collection.sparse_vector or "",
        limit=query.hybrid_top_k or query.similarity_top_k,
        filter=to_filter(
            # An index passes an empty list of ids where it means all.
            _of_documents(query.doc_ids) if query.doc_ids else None,
            has_id(lookup_ids(query.node_ids)) if query.node_ids else None,
            to_condition(query.filters, collection.report.info.payload_indexes),
            filter,
        ),
        score_threshold=score_threshold,
        candidates=query.sparse_top_k or mmr_prefetch_k,
        diversity=diversity,
        exact=exact,
        hnsw_ef=hnsw_ef,
    )


def to_filter(*conditions: Condition | models.Filter | None) -> models.Filter | None:
    """Join conditions by "and"; None where there is none."""
    joined = [condition for condition in conditions if condition is not None]
    if not joined:
        return None
    # Here, since it imports the client, which takes seconds.
    from multiqa_integrations.qdrant.server import conditions as server_conditions

    return server_conditions.to_filter({"must": joined}, METADATA_KEY)


def selection(
    node_ids: list[str] | None,
    filters: MetadataFilters | None,
    indexes: Mapping[str, str] | None,
) -> models.Filter | None:
    """Select nodes by ids, by filters, or by both together; None where neither is given."""
    return to_filter(
        None if node_ids is None else has_id(lookup_ids(node_ids)),
        to_condition(filters, indexes),
    )


def of_document(ref_doc_id: str) -> models.Filter | None:
    """Select the nodes of a document; it itself too, as a pipeline without a parser stores it."""
    nodes = _of_documents([ref_doc_id])
    # Not a point that has this number as its id: that is another program's.
    itself: Condition = {"must": [has_id([point_id(ref_doc_id)]), is_empty(DOCUMENT_KEY)]}
    return to_filter({"should": [nodes, itself]})


def _of_documents(ids: list[str]) -> Condition:
    check_kind("doc_ids", ids, Sequence, "a list of ids", optional=False)
    for document_id in ids:
        if not isinstance(document_id, str):
            raise ConfigurationError(
                f"a document's id is {document_id!r}, expected a string. Pass str(id)."
            )
    return {"should": [one_of(key, ids) for key in (DOCUMENT_KEY, SYNC_DOCUMENT_KEY)]}


def everything() -> models.Filter | None:
    """Select all points, which an empty filter may not."""
    return to_filter({"must_not": [nothing()]})


def _words(text: str | None, collection: Collection) -> SparseVector:
    collection.check_hybrid()
    if not text:
        raise ConfigurationError("a search by words needs query_str, the text of the query.")
    return bm25.encode_queries([text])[0]


def _unit(embedding: list[float] | None) -> Vectors:
    """Scale the query's vector to length 1: the mean of several vectors is shorter."""
    if embedding is None:
        raise ConfigurationError("the query has no query_embedding.")
    try:
        vector = np.asarray(embedding, np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"query_embedding is not a list of numbers ({error}).") from error
    length = np.linalg.norm(vector)
    if not length:
        raise ConfigurationError("the query_embedding is all zeros: it has no direction.")
    unit: Vectors = vector / length
    return unit
