"""LlamaIndex's own QdrantVectorStore, and how its collections and ours are read by each other."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import BaseNode, Document
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from multiqa_integrations.llama_index import (
    MultiQAEmbedding,
    MultiQAVectorStore,
    WordPieceNodeParser,
)
from multiqa_integrations.qdrant import check_collection, ensure_collection
from tests.support.engines import Server

# Their store writes by the client's upload_points, which opens a connection and never closes it.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

DOCUMENTS = [
    Document(text="The red button stops the machine.", id_="stop", metadata={"chapter": 1}),
    Document(text="Oil the chain once a year.", id_="oil", metadata={"chapter": 2}),
]
QUESTION = "How do I turn it off?"


@pytest.fixture(params=["memory", pytest.param("server", marks=pytest.mark.server)])
def client(request: pytest.FixtureRequest, name: str) -> Iterator[QdrantClient]:
    if request.param == "memory":
        opened = QdrantClient(":memory:")
    else:
        server: Server = request.getfixturevalue("server")
        opened = QdrantClient(url=server.url, api_key=server.api_key, check_compatibility=False)
    yield opened
    opened.delete_collection(name)
    opened.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def theirs(client: QdrantClient, name: str, embedding: MultiQAEmbedding) -> QdrantVectorStore:
    """Their store, on a collection that was made here."""
    ensure_collection(client, name, fingerprint=embedding.fingerprint)
    return QdrantVectorStore(collection_name=name, client=client)


@pytest.fixture
def ours(client: QdrantClient, name: str, embedding: MultiQAEmbedding) -> MultiQAVectorStore:
    return MultiQAVectorStore(name, client=client, embedding=embedding)


def index_over(vectors: Any, embedding: MultiQAEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        DOCUMENTS,
        storage_context=StorageContext.from_defaults(vector_store=vectors),
        embed_model=embedding,
        transformations=[WordPieceNodeParser(embedding=embedding)],
    )


def by_id(nodes: list[BaseNode]) -> dict[str, BaseNode]:
    return {node.node_id: node.model_copy(update={"embedding": None}) for node in nodes}


def test_an_index_on_our_collection(
    theirs: QdrantVectorStore, client: QdrantClient, name: str, embedding: MultiQAEmbedding
) -> None:
    index = index_over(theirs, embedding)
    (best,) = index.as_retriever(similarity_top_k=1).retrieve(QUESTION)
    assert best.node.ref_doc_id == "stop"
    assert best.node.get_content() == "The red button stops the machine."
    report = check_collection(client, name, fingerprint=embedding.fingerprint)
    assert (report.fingerprint, report.notes) == ("matches", ())


def test_what_they_wrote_is_read_and_deleted_here(
    theirs: QdrantVectorStore, ours: MultiQAVectorStore, embedding: MultiQAEmbedding
) -> None:
    index_over(theirs, embedding)
    assert by_id(ours.get_nodes()) == by_id(theirs.get_nodes())
    query = VectorStoreQuery(embedding.get_query_embedding(QUESTION), similarity_top_k=2)
    assert ours.query(query).ids == theirs.query(query).ids
    assert ours.query(query).similarities == pytest.approx(theirs.query(query).similarities)
    ours.delete("stop")
    assert [node.ref_doc_id for node in ours.get_nodes()] == ["oil"]


def test_what_was_written_here_is_read_and_deleted_there(
    ours: MultiQAVectorStore, client: QdrantClient, name: str, embedding: MultiQAEmbedding
) -> None:
    index_over(ours, embedding)
    theirs = QdrantVectorStore(collection_name=name, client=client)
    assert by_id(theirs.get_nodes()) == by_id(ours.get_nodes())
    query = VectorStoreQuery(embedding.get_query_embedding(QUESTION), similarity_top_k=2)
    assert theirs.query(query).ids == ours.query(query).ids
    theirs.delete("stop")
    assert [node.ref_doc_id for node in ours.get_nodes()] == ["oil"]


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
def test_a_collection_that_they_made_is_adopted(
    client: QdrantClient, name: str, embedding: MultiQAEmbedding
) -> None:
    theirs = QdrantVectorStore(collection_name=name, client=client)
    index_over(theirs, embedding)
    ours = MultiQAVectorStore(name, client=client, adopt=True, embedding=embedding)
    assert by_id(ours.get_nodes()) == by_id(theirs.get_nodes())
    again = VectorStoreIndex.from_vector_store(ours, embed_model=embedding)
    again.insert(Document(text="Paint the door yellow.", id_="paint"))
    for vectors in (ours, theirs):
        index = VectorStoreIndex.from_vector_store(vectors, embed_model=embedding)
        found = index.as_retriever(similarity_top_k=3).retrieve("Which colour is it?")
        assert found[0].node.ref_doc_id == "paint"
        assert len(found) == 3


def test_nodes_move_with_their_vectors(
    theirs: QdrantVectorStore, client: QdrantClient, embedding: MultiQAEmbedding
) -> None:
    """As docs/migrating.md says: nothing is embedded again."""
    index_over(theirs, embedding)
    ours = MultiQAVectorStore(
        "another", client=QdrantClient(":memory:"), embedding=embedding, sparse=True
    )
    ours.add(theirs.get_nodes())
    assert by_id(ours.get_nodes()) == by_id(theirs.get_nodes())
