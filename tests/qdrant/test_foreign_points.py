"""Points that other programs wrote: read and left alone, by every door and engine alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    WriteRejectedError,
)
from multiqa_integrations.langchain import MultiQAEmbeddings
from multiqa_integrations.langchain import MultiQAVectorStore as LangChainStore
from multiqa_integrations.llama_index import MultiQAEmbedding, MultiQALlamaStore
from multiqa_integrations.qdrant import Collection, Point, ServerStore, Store

FOREIGN = 42  # the id of a point of another program


@dataclass(frozen=True)
class Door:
    """A way into a collection: what is read and written by it."""

    add: Callable[[list[str], list[str]], object]
    found: Callable[[], list[tuple[str, str, dict[str, Any]]]]
    got: Callable[[str], list[str]]
    by_words: Callable[[], object]


def open_door(kind: str, store: Store, name: str, embedding: MultiQAEmbedding) -> Door:
    encoder = embedding.encoder
    if kind == "collection":
        docs = Collection.open(name, encoder=encoder, store=store)
        return Door(
            lambda texts, ids: docs.add(texts, ids=ids),
            lambda: [(hit.id, hit.text, dict(hit.metadata)) for hit in docs.search("x", limit=9)],
            lambda id: [document.text for document in docs.get([id])],
            lambda: docs.search("x", hybrid=True),
        )
    if kind == "langchain":
        chain = LangChainStore(
            MultiQAEmbeddings(encoder=encoder), collection_name=name, store=store
        )
        return Door(
            lambda texts, ids: chain.add_texts(texts, ids=ids),
            lambda: [
                (str(document.id), document.page_content, document.metadata)
                for document in chain.similarity_search("x", k=9)
            ],
            lambda id: [document.page_content for document in chain.get_by_ids([id])],
            lambda: chain.similarity_search("x", hybrid=True),
        )
    index = MultiQALlamaStore(name, embedding=embedding, store=store)
    vector = encoder.encode_query(["x"])[0].tolist()

    def query(mode: str = "default", **options: Any) -> list[Any]:
        wanted = VectorStoreQuery(
            query_embedding=vector, mode=VectorStoreQueryMode(mode), similarity_top_k=9, **options
        )
        return list(index.query(wanted).nodes or ())

    return Door(
        lambda texts, ids: index.add(
            [
                TextNode(id_=id, text=text, embedding=vector)
                for id, text in zip(ids, texts, strict=True)
            ]
        ),
        lambda: [(node.node_id, node.get_content(), node.metadata) for node in query()],
        lambda id: [node.get_content() for node in index.get_nodes([id])],
        lambda: query("hybrid", query_str="x"),
    )


DOORS = ["collection", "langchain", "llama_index"]


@pytest.fixture(params=DOORS)
def door(
    request: pytest.FixtureRequest, store: Store, name: str, embedding: MultiQAEmbedding
) -> Door:
    return open_door(request.param, store, name, embedding)


VECTOR = np.eye(384, dtype=np.float32)[0]


@pytest.mark.parametrize(
    ("payload", "text", "metadata"),
    [
        ({}, "", {}),
        ({"page_content": "a", "metadata": [1]}, "a", {}),
        ({"page_content": "a", "metadata": "b"}, "a", {}),
        ({"page_content": "a", "metadata": None}, "a", {}),
        ({"page_content": 5, "metadata": {"b": [None]}}, "5", {"b": [None]}),
        ({"page_content": None}, "", {}),
        ({"page_content": "a", "_multiqa": "b"}, "a", {}),
        ({"page_content": "a", "_multiqa": [1]}, "a", {}),
        ({"page_content": "a", "_multiqa": {"id": 5, "fingerprint": 7, "chunk": "x"}}, "a", {}),
        ({"page_content": "a", "_node_content": "{", "_node_type": 7}, "a", {}),
        ({"page_content": "a", "_node_content": '{"id_": 5}'}, "a", {}),
    ],
    ids=str,
)
def test_payloads_of_other_types(
    store: Store, name: str, door: Door, payload: dict[str, Any], text: str, metadata: Any
) -> None:
    store.upsert(name, [Point(FOREIGN, {"": VECTOR}, payload)])
    assert door.found() == [(str(FOREIGN), text, metadata)]
    assert door.got(str(FOREIGN)) == [text]


def test_no_second_document_with_the_number_of_a_foreign_one(
    store: Store, name: str, door: Door
) -> None:
    store.upsert(name, [Point(FOREIGN, {"": VECTOR}, {"page_content": "theirs"})])
    with pytest.raises(WriteRejectedError, match="another program's point") as caught:
        door.add(["ours", "ours too", "and this"], ["42", "43", "042"])
    assert caught.value.ids == ["42"]
    assert door.got("42") == ["theirs"]
    assert door.got("43") == ["ours too"]
    assert store.count(name) == 3
    door.add(["again"], ["43"])  # one's own are written over
    assert door.got("43") == ["again"]


@pytest.mark.parametrize("kind", DOORS)
def test_words_of_others_are_not_mixed_with_ours(kind: str, embedding: MultiQAEmbedding) -> None:
    client = QdrantClient(":memory:")
    client.create_collection(
        "docs",
        vectors_config=models.VectorParams(size=384, distance=models.Distance.COSINE),
        sparse_vectors_config={"bm25": models.SparseVectorParams()},  # without IDF
        metadata={"multiqa": {"fingerprint": embedding.encoder.fingerprint}},
    )
    with pytest.warns(CollectionWarning, match="'bm25' of the collection 'docs' has no IDF"):
        door = open_door(kind, ServerStore(client), "docs", embedding)
    door.add(["some words"], ["a"])
    (record,) = client.scroll("docs", with_vectors=True)[0]
    assert isinstance(record.vector, list)  # the dense one alone
    with pytest.raises(CollectionMismatchError, match="'bm25' without IDF"):
        door.by_words()
