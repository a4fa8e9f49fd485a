"""Nodes as points, and back.

The payload of a node:

    page_content, metadata                   the node's text and metadata
    _multiqa                                 fingerprint of the weights, and the node's id
    _node_content, _node_type, doc_id, …     the whole node, as LlamaIndex's adapters write it

The first two lines are those of every collection of this package and of langchain-qdrant, so that
the `Collection`, the LangChain adapter and the commands read nodes as documents with their own
metadata, and a LlamaIndex index reads what those wrote. The last is at the top level, where
LlamaIndex's QdrantVectorStore keeps it: either reads, finds and deletes what the other wrote. The
price is that each text is stored twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from multiqa_integrations import types
from multiqa_integrations.errors import ConfigurationError, TextTypeError
from multiqa_integrations.qdrant.documents import name_vectors
from multiqa_integrations.qdrant.payload import (
    RESERVED_KEY,
    PayloadLayout,
    PointRecord,
)
from multiqa_integrations.qdrant.points import Point, point_id
from multiqa_integrations.values import json_value

_LAYOUT = PayloadLayout()
METADATA_KEY = _LAYOUT.metadata_key

DOCUMENT_KEY = "doc_id"
SYNC_DOCUMENT_KEY = f"{RESERVED_KEY}.document"
"""Where a sync job keeps the id of the document that a point is a chunk of."""
DOCUMENT_KEYS = (DOCUMENT_KEY, "document_id", "ref_doc_id")
"""Under each of them a node has the id of its document."""
NODE_KEYS = ("_node_content", "_node_type", *DOCUMENT_KEYS)
"""Payload keys beside those of every collection."""

# LlamaIndex would read them as text nodes, and fail at one that has no text.
_DOCUMENTS = {kind.class_name(): kind for kind in (Document, ImageDocument)}


def to_payload(node: BaseNode, index: int, fingerprint: str) -> dict[str, Any]:
    """Return the payload of a node, item `index` of the input.

    Raises:
        TextError: It is not a node, or its text is not a string.
        ConfigurationError: Its metadata has a value that JSON cannot hold.
    """
    if not isinstance(node, BaseNode):
        raise TextTypeError(
            f"node {index} is {type(node).__name__}, expected a node of LlamaIndex.", index=index
        )
    node = _with_json_metadata(node)
    whole = node_to_metadata_dict(node)
    # Where a node has no document, or one whose id is "", LlamaIndex writes "None" as its id: all
    # such nodes would be of one document.
    document_id = node.ref_doc_id
    fields = {key: whole[key] for key in NODE_KEYS if key not in DOCUMENT_KEYS}
    if document_id is not None:
        fields |= dict.fromkeys(DOCUMENT_KEYS, document_id)
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    # Its own metadata: LlamaIndex's dictionary overwrites the keys named like its ids.
    document = types.Document(text, node.node_id, node.metadata)
    return {
        **json_value(fields, f"node {node.node_id!r}"),
        **_LAYOUT.payload(document, index, fingerprint),
    }


def to_points(
    nodes: Sequence[BaseNode], fingerprint: str, *, vector_name: str, sparse_name: str | None
) -> list[Point]:
    """Return the points of nodes that have embeddings.

    Raises:
        TextError: Something is not a node, or its text is not a string.
        ConfigurationError: A node has no embedding, or metadata that JSON cannot hold.
    """
    payloads = [to_payload(node, index, fingerprint) for index, node in enumerate(nodes)]
    named = name_vectors(
        [_embedding(node) for node in nodes],
        # The text that the dense vector was made of.
        [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes],
        vector_name=vector_name,
        sparse_name=sparse_name,
    )
    return [
        Point(point_id(node.node_id), vectors, payload)
        for node, vectors, payload in zip(nodes, named, payloads, strict=True)
    ]


def _embedding(node: BaseNode) -> types.Vectors:
    if node.embedding is None:
        raise ConfigurationError(
            f"node {node.node_id!r} has no embedding. Let an index or an IngestionPipeline embed "
            "it, or set node.embedding."
        )
    return np.asarray(node.embedding, np.float32)


def _with_json_metadata(node: BaseNode) -> BaseNode:
    """Copy a node with metadata that JSON holds, in its relationships too."""

    def related(info: RelatedNodeInfo) -> RelatedNodeInfo:
        metadata = json_value(info.metadata, f"the metadata of {info.node_id!r}")
        return info.model_copy(update={"metadata": metadata})

    return node.model_copy(
        update={
            "metadata": json_value(node.metadata, f"the metadata of node {node.node_id!r}"),
            "relationships": {
                kind: [related(info) for info in infos]
                if isinstance(infos, list)
                else related(infos)
                for kind, infos in node.relationships.items()
            },
        }
    )


def to_node(point: Point, vector_name: str) -> BaseNode:
    """Return the node of a point; with its embedding, if the point was read with vectors."""
    node = _whole_node(point) or _node_of_document(point)
    vector = point.vectors.get(vector_name)
    if isinstance(vector, np.ndarray):
        node.embedding = vector.tolist()
    return node


def _whole_node(point: Point) -> BaseNode | None:
    """Return the node as it was added; None where there is none, or somebody broke it."""
    content = point.payload.get("_node_content")
    # Not there where this package's Collection or LangChain's adapter wrote the point. A node
    # without an id would get a random one.
    if not isinstance(content, str) or '"id_"' not in content:
        return None
    try:
        if kind := _DOCUMENTS.get(str(point.payload.get("_node_type"))):
            return kind.from_json(content)
        return metadata_dict_to_node(dict(point.payload))
    except (TypeError, ValueError, AttributeError):
        return None


def _node_of_document(point: Point) -> BaseNode:
    document = _LAYOUT.document(point)
    node = TextNode(id_=document.id, text=document.text, metadata=dict(document.metadata))
    if (source := PointRecord.of(point.payload).document) is not None:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=source)
    return node
