"""The vector store in LlamaIndex, over every engine."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import MockEmbedding, Settings, StorageContext, VectorStoreIndex
from llama_index.core.schema import (
    BaseComponent,
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from pydantic import ValidationError
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import (
    CollectionMismatchError,
    ConfigurationError,
    StorePermissionError,
    TextTypeError,
    WriteRejectedError,
)
from multiqa_integrations.llama_index import MultiQAEmbedding, MultiQAVectorStore, vectorstore
from multiqa_integrations.qdrant import Collection, Point, Store
from multiqa_integrations.qdrant.points import point_id
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

LETTER_ID = "0aab3a2e-5c3f-4d56-8f1c-3c3b6c6f8a11"
MANUAL = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="manual.pdf")}
LETTER = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="letter.txt")}
NODES: list[BaseNode] = [
    TextNode(
        id_="m#1",
        text="The red button stops the machine.",
        metadata={"chapter": 1, "title": "In an Emergency", "tags": ["red", "stop"]},
        relationships=MANUAL,
        start_char_idx=0,
        end_char_idx=33,
        excluded_embed_metadata_keys=["chapter"],
    ),
    TextNode(
        id_="m#2",
        text="Oil the chain once a year.",
        metadata={"chapter": 2, "title": "Care", "day": "2024-05-01", "file name": "Ölkanne"},
        relationships=MANUAL,
    ),
    TextNode(
        id_=LETTER_ID,
        text="Dear Anna, the machine is red and green now.",
        metadata={"chapter": 1.5, "tags": ["red"], "title": "an emergency?", "empty": []},
        relationships=LETTER,
    ),
    TextNode(id_="7", text="It has no document and no metadata."),
]


def embedded(nodes: list[BaseNode], encoder: MultiQAEncoder) -> list[BaseNode]:
    nodes = copy.deepcopy(nodes)
    for node, vector in zip(
        nodes, encoder.encode([node.get_content() for node in nodes]), strict=True
    ):
        node.embedding = vector.tolist()
    return nodes


def ids(nodes: Any) -> set[str]:
    return {node.node_id for node in nodes}


def where(key: str, operator: str, value: Any) -> MetadataFilters:
    filter = MetadataFilter(key=key, operator=FilterOperator(operator), value=value)
    return MetadataFilters(filters=[filter])


@pytest.fixture
def vectors(
    store: Store, name: str, embedding: MultiQAEmbedding, encoder: MultiQAEncoder
) -> MultiQAVectorStore:
    made = MultiQAVectorStore(
        name,
        store=store,
        embedding=embedding,
        sparse=True,
        payload_indexes={"metadata.title": "text"},
    )
    assert made.add(embedded(NODES, encoder)) == [node.node_id for node in NODES]
    return made


@pytest.fixture
def asked(encoder: MultiQAEncoder) -> list[float]:
    vector: list[float] = encoder.encode(["How do I turn the machine off?"])[0].tolist()
    return vector


# --- writing and reading ------------------------------------------------------------------------


def test_nodes_come_back_whole(vectors: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    expected = {node.node_id: node for node in embedded(NODES, encoder)}
    found = vectors.get_nodes()
    assert ids(found) == ids(NODES)
    for node in found:
        wanted = expected[node.node_id]
        np.testing.assert_allclose(node.get_embedding(), wanted.get_embedding(), atol=1e-6)
        node.embedding = wanted.embedding
        assert node == wanted
        assert node.hash == wanted.hash


def test_every_kind_of_node(
    store: Store, name: str, embedding: MultiQAEmbedding, encoder: MultiQAEncoder
) -> None:
    nodes: list[BaseNode] = [
        Document(text="a document", id_="doc"),
        Document(metadata={"has": "no text"}, id_="empty"),
        ImageNode(text="an image", image="aGk=", id_="image"),
        IndexNode(text="an index", index_id="other", id_="index"),
        Node(text_resource=MediaResource(text="many", mimetype="text/x-rst"), id_="node"),
        TextNode(text="its own names", metadata={"page_content": 1, "doc_id": "mine"}, id_="names"),
    ]
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    vectors.add(embedded(nodes, encoder))
    found = {node.node_id: node for node in vectors.get_nodes()}
    for node in nodes:
        copied = found[node.node_id]
        copied.embedding = None
        assert copied == node


@pytest.mark.parametrize(
    "broken",
    [{"_node_content": "{"}, {"_node_content": 7}, {"_node_content": "[]"}, {"_node_type": None}],
)
def test_a_node_that_somebody_broke_costs_no_other(
    embedding: MultiQAEmbedding, encoder: MultiQAEncoder, broken: dict[str, Any]
) -> None:
    client = QdrantClient(":memory:")
    vectors = MultiQAVectorStore("docs", client=client, embedding=embedding)
    vectors.add(embedded(NODES, encoder))
    client.set_payload("docs", broken, points=[point_id("m#1")])
    found = {node.node_id: node for node in vectors.get_nodes()}
    assert found.keys() == ids(NODES)
    assert found["m#1"].get_content() == NODES[0].get_content()
    assert found["m#1"].metadata == NODES[0].metadata


def test_the_same_id_overwrites(vectors: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    changed = NODES[0].model_copy(update={"text": "The blue button stops it."})
    vectors.add(embedded([changed], encoder))
    (found,) = vectors.get_nodes(["m#1"])
    assert found.get_content() == "The blue button stops it."
    assert vectors.collection.count() == len(NODES)


def test_all_nodes_are_read(
    store: Store,
    name: str,
    embedding: MultiQAEmbedding,
    encoder: MultiQAEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than a page of them; LlamaIndex's own adapter silently stops at 9,999."""
    monkeypatch.setattr(vectorstore, "_PAGE", 20)
    vector = encoder.encode(["the same"])[0].tolist()
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    written = vectors.add([TextNode(id_=f"n{n}", text="x", embedding=vector) for n in range(70)])
    assert ids(vectors.get_nodes()) == set(written)
    assert ids(asyncio.run(vectors.aget_nodes())) == set(written)


def test_surrogates_are_repaired(vectors: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    broken = TextNode(id_="broken \udce9", text="caf\udce9", metadata={"by": "\udce9"})
    broken.embedding = encoder.encode(["x"])[0].tolist()
    vectors.add([broken])
    assert vectors.collection.count() == len(NODES) + 1
    (found,) = vectors.get_nodes(["broken \udce9"])
    assert found.get_content() == "caf\ufffd"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (TextNode(id_="x", text="no embedding"), "node 'x' has no embedding"),
        (
            TextNode(id_="x", text="a", embedding=[1.0] + [0.0] * 383, metadata={"n": 1 << 70}),
            "metadata of node 'x'",
        ),
    ],
)
def test_nothing_is_written_where_a_node_is_wrong(
    vectors: MultiQAVectorStore, encoder: MultiQAEncoder, node: BaseNode, message: str
) -> None:
    good = TextNode(id_="good", text="a", embedding=encoder.encode(["a"])[0].tolist())
    with pytest.raises(ConfigurationError, match=message):
        vectors.add([good, node])
    assert vectors.get_nodes(["good"]) == []


def test_a_vector_that_does_not_fit_is_named(vectors: MultiQAVectorStore) -> None:
    wrong = TextNode(id_="wrong", text="a", embedding=[1.0, 0.0])
    with pytest.raises(WriteRejectedError) as caught:
        vectors.add([wrong])
    assert caught.value.ids == ["wrong"]
    with pytest.raises(WriteRejectedError) as caught:
        asyncio.run(vectors.async_add([wrong]))
    assert caught.value.ids == ["wrong"]
    assert vectors.add([]) == []


# --- deleting -----------------------------------------------------------------------------------


def test_deleting_nothing_deletes_nothing(vectors: MultiQAVectorStore) -> None:
    vectors.delete_nodes()
    vectors.delete_nodes(node_ids=[])
    vectors.delete_nodes(filters=MetadataFilters(filters=[]))
    vectors.delete_nodes(filters=MetadataFilters(filters=[MetadataFilters(filters=[])]))
    vectors.delete_nodes(node_ids=["m#1"], filters=where("chapter", "==", 2))
    vectors.delete("None")
    vectors.delete("no such document")
    vectors.delete("m#1")  # a node's id, but no document's
    asyncio.run(vectors.adelete_nodes())
    assert vectors.collection.count() == len(NODES)


def test_deleting(vectors: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    vectors.delete("manual.pdf")
    assert ids(vectors.get_nodes()) == ids(NODES[2:])
    vectors.delete_nodes(filters=where("chapter", ">", 1))
    assert ids(vectors.get_nodes()) == {"7"}
    vectors.add(embedded(NODES, encoder))
    vectors.delete_nodes(["m#1", "7"])
    assert ids(vectors.get_nodes()) == ids(NODES[1:3])
    vectors.clear()
    assert vectors.get_nodes() == []
    vectors.add(embedded(NODES, encoder))
    assert vectors.collection.count() == len(NODES)


@pytest.mark.parametrize("source", ["", "None", "null", "\x00", "a/b", "7", "\u202e", "x" * 3000])
def test_deleting_a_document_of_any_name(vectors: MultiQAVectorStore, source: str) -> None:
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    node = TextNode(id_="of it", text="x", relationships=relationships)
    node.embedding = [1.0] + [0.0] * 383
    vectors.add([node])
    if source != "None":  # the name that other nodes without a document must not have
        vectors.delete("None")
    assert ids(vectors.get_nodes()) == ids(NODES) | {"of it"}
    vectors.delete(source)
    left = ids(NODES) - ({"7"} if source == "7" else set())  # a node that is its own document
    assert ids(vectors.get_nodes()) == left


def test_a_numbered_point_of_another_program_stays(vectors: MultiQAVectorStore) -> None:
    collection = vectors.collection
    collection.store.upsert(
        collection.name, [Point(42, {"": np.eye(384, dtype=np.float32)[0]}, {"page_content": "x"})]
    )
    vectors.delete("42")
    assert ids(vectors.get_nodes()) == ids(NODES) | {"42"}
    vectors.delete_nodes(["42"])
    assert ids(vectors.get_nodes()) == ids(NODES)


def test_what_is_not_a_node_or_an_id(memory: MultiQAVectorStore, asked: list[float]) -> None:
    good = TextNode(id_="good", text="a", embedding=asked)
    with pytest.raises(TextTypeError, match="node 1 is str"):
        memory.add([good, "text"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="id is 7, expected a string"):
        memory.delete(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="id is None, expected a string"):
        memory.query(VectorStoreQuery(query_embedding=asked, doc_ids=[None]))  # type: ignore[list-item]
    assert memory.get_nodes() == []
    assert memory.add(node for node in [good]) == ["good"]  # type: ignore[arg-type]
    memory.clear()


def test_a_document_that_is_a_node_itself(
    vectors: MultiQAVectorStore, encoder: MultiQAEncoder
) -> None:
    """As a pipeline without a node parser stores it, which later deletes it by that id."""
    vectors.add(embedded([Document(text="whole", id_="whole.txt")], encoder))
    vectors.delete("whole.txt")
    assert ids(vectors.get_nodes()) == ids(NODES)


async def test_the_asynchronous_methods(
    store: Store,
    name: str,
    embedding: MultiQAEmbedding,
    encoder: MultiQAEncoder,
    asked: list[float],
) -> None:
    vectors = await MultiQAVectorStore.aopen(name, store=store, embedding=embedding)
    assert await vectors.async_add(embedded(NODES, encoder)) == [node.node_id for node in NODES]
    assert ids(await vectors.aget_nodes(["m#1", "7", "missing"])) == {"m#1", "7"}
    found = await vectors.aquery(VectorStoreQuery(query_embedding=asked, similarity_top_k=1))
    assert found.ids == ["m#1"]
    await vectors.adelete("letter.txt")
    await vectors.adelete_nodes(["7"])
    assert ids(await vectors.aget_nodes()) == {"m#1", "m#2"}
    await vectors.aclear()
    assert await vectors.aget_nodes() == []


async def test_the_event_loop_goes_on(
    store: Store, name: str, embedding: MultiQAEmbedding, encoder: MultiQAEncoder
) -> None:
    vectors = await MultiQAVectorStore.aopen(name, store=store, embedding=embedding)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    vector = encoder.encode(["a"])[0].tolist()
    await vectors.async_add([TextNode(text="a", embedding=vector) for _ in range(100)])
    after_add = turns
    assert len(await vectors.aget_nodes()) == 100
    turning.cancel()
    assert after_add > 5
    assert turns > after_add + 5


# --- queries ------------------------------------------------------------------------------------


def test_scores_are_cosines(vectors: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    vector = encoder.encode([NODES[1].get_content()])[0]
    found = vectors.query(VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=2))
    assert found.ids is not None
    assert found.nodes is not None
    assert found.similarities is not None
    assert found.ids[0] == found.nodes[0].node_id == "m#2"
    assert found.nodes[0].embedding is None
    assert found.similarities[0] == pytest.approx(1.0, abs=1e-5)
    # The mean of several vectors, as of a query that was written several times, is shorter than 1.
    shorter = VectorStoreQuery(query_embedding=(vector / 2).tolist(), similarity_top_k=1)
    assert vectors.query(shorter).similarities == pytest.approx([1.0], abs=1e-5)


def test_ids_restrict_a_query(vectors: MultiQAVectorStore, asked: list[float]) -> None:
    def found(**restrictions: Any) -> set[str]:
        query = VectorStoreQuery(query_embedding=asked, similarity_top_k=10, **restrictions)
        return set(vectors.query(query).ids or [])

    assert found() == found(node_ids=[], doc_ids=[]) == ids(NODES)
    assert found(doc_ids=["manual.pdf"]) == {"m#1", "m#2"}
    assert found(node_ids=["7", "m#2", "missing"]) == {"7", "m#2"}
    assert found(node_ids=["7", "m#2"], doc_ids=["manual.pdf"]) == {"m#2"}
    assert found(doc_ids=["manual.pdf"], filters=where("chapter", ">=", 2)) == {"m#2"}


def test_options_of_a_retriever(vectors: MultiQAVectorStore, asked: list[float]) -> None:
    query = VectorStoreQuery(query_embedding=asked, similarity_top_k=10)
    best = (vectors.query(query).similarities or [])[0]
    assert vectors.query(query, score_threshold=best - 1e-4).ids == ["m#1"]
    chapter = models.FieldCondition(key="metadata.chapter", match=models.MatchValue(value=2))
    found = vectors.query(query, filter=models.Filter(must=[chapter]), exact=True)
    assert found.ids == ["m#2"]
    with pytest.raises(ConfigurationError, match="unknown_option"):
        vectors.query(query, unknown_option=1)


def test_mmr(vectors: MultiQAVectorStore, encoder: MultiQAEncoder, asked: list[float]) -> None:
    near = TextNode(id_="nearly m#1", text="The red button will stop the machine.")
    vectors.add(embedded([near], encoder))
    mmr = VectorStoreQuery(
        query_embedding=asked, similarity_top_k=2, mode=VectorStoreQueryMode.MMR, mmr_threshold=1.0
    )
    assert set(vectors.query(mmr).ids or []) == {"m#1", "nearly m#1"}
    different = vectors.query(mmr, mmr_threshold=0.0, mmr_prefetch_k=5).ids or []
    assert not {"m#1", "nearly m#1"} <= set(different)
    with pytest.raises(ConfigurationError, match="mmr_threshold is 1.5"):
        vectors.query(mmr, mmr_threshold=1.5)


def test_searches_by_words(vectors: MultiQAVectorStore, asked: list[float]) -> None:
    words = VectorStoreQuery(
        query_str="oiling chains", similarity_top_k=3, mode=VectorStoreQueryMode.SPARSE
    )
    assert vectors.query(words).ids == ["m#2"]
    by_metadata = VectorStoreQuery(
        query_str="care", similarity_top_k=3, mode=VectorStoreQueryMode.SPARSE
    )
    assert vectors.query(by_metadata).ids == ["m#2"], "metadata is embedded, so it is found too"
    hybrid = VectorStoreQuery(
        query_str="oiling chains",
        query_embedding=asked,
        similarity_top_k=3,
        sparse_top_k=12,
        hybrid_top_k=2,
        mode=VectorStoreQueryMode.HYBRID,
    )
    assert set(vectors.query(hybrid).ids or []) == {"m#1", "m#2"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"mode": VectorStoreQueryMode.SVM}, "mode is 'svm', expected one of default, mmr"),
        ({"mode": VectorStoreQueryMode.TEXT_SEARCH}, "mode is 'text_search'"),
        ({"mode": VectorStoreQueryMode.HYBRID, "query_str": "a", "alpha": 0.5}, "alpha is 0.5"),
        ({"mode": VectorStoreQueryMode.HYBRID}, "needs query_str"),
        ({"sparse_top_k": 3}, "sparse_top_k is 3"),
        ({"hybrid_top_k": 3}, "hybrid_top_k is 3"),
        ({"mmr_threshold": 0.5}, "mmr_threshold is 0.5"),
        ({"output_fields": ["text"]}, "output_fields"),
        ({"embedding_field": "x"}, "embedding_field"),
        ({"query_embedding": None}, "no query_embedding"),
        ({"query_embedding": [0.0] * 384}, "all zeros"),
        ({"similarity_top_k": 0}, "limit is 0"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    memory: MultiQAVectorStore, asked: list[float], query: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        memory.query(VectorStoreQuery(**{"query_embedding": asked, **query}))


@pytest.mark.parametrize("mode", [VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SPARSE])
def test_a_threshold_is_of_similarities(
    memory: MultiQAVectorStore, asked: list[float], mode: VectorStoreQueryMode
) -> None:
    query = VectorStoreQuery(query_embedding=asked, query_str="oil", mode=mode)
    with pytest.raises(ConfigurationError, match="score_threshold is a similarity"):
        memory.query(query, score_threshold=0.5)
    with pytest.raises(ConfigurationError, match="score_threshold is a similarity"):
        asyncio.run(memory.aquery(query, score_threshold=0.5))


def test_words_need_a_sparse_vector(embedding: MultiQAEmbedding) -> None:
    vectors = MultiQAVectorStore(client=QdrantClient(":memory:"), embedding=embedding)
    query = VectorStoreQuery(query_str="a", mode=VectorStoreQueryMode.SPARSE)
    with pytest.raises(CollectionMismatchError, match="sparse=True"):
        vectors.query(query)


# --- filters ------------------------------------------------------------------------------------


OPERATORS: list[tuple[str, str, Any, set[str]]] = [
    ("chapter", "==", 1, {"m#1"}),
    ("chapter", "==", 1.5, {LETTER_ID}),
    ("title", "==", "Care", {"m#2"}),
    ("file name", "==", "Ölkanne", {"m#2"}),
    ("doc_id", "==", "manual.pdf", {"m#1", "m#2"}),
    ("chapter", "!=", 1, {"m#2", LETTER_ID, "7"}),
    ("chapter", ">", 1, {"m#2", LETTER_ID}),
    ("chapter", "<", 1.5, {"m#1"}),
    ("chapter", ">=", 1.5, {"m#2", LETTER_ID}),
    ("chapter", "<=", 1, {"m#1"}),
    ("day", ">", "2024-01-01", {"m#2"}),
    ("day", "<", "2024-04-30T23:59:59", set()),
    ("chapter", "in", [1, 2], {"m#1", "m#2"}),
    ("chapter", "in", [1.5, 2.0], {"m#2", LETTER_ID}),
    ("title", "in", ["Care", "x"], {"m#2"}),
    ("chapter", "in", [], set()),
    ("chapter", "nin", [1, 2], {"7", LETTER_ID}),
    ("chapter", "nin", [], {"m#1", "m#2", "7", LETTER_ID}),
    ("tags", "any", ["stop", "x"], {"m#1"}),
    ("tags", "all", ["stop", "red"], {"m#1"}),
    ("tags", "contains", "red", {"m#1", LETTER_ID}),
    ("title", "text_match", "n Emerg", {"m#1"}),
    (
        "title",
        "text_match_insensitive",
        "EMERGENCY an",
        {"m#1", LETTER_ID},
    ),
    ("empty", "is_empty", None, {"m#1", "m#2", "7", LETTER_ID}),
    ("tags", "is_empty", None, {"m#2", "7"}),
]


def test_operators(vectors: MultiQAVectorStore) -> None:
    for key, operator, value, expected in OPERATORS:
        try:
            found = ids(vectors.get_nodes(filters=where(key, operator, value)))
        except ConfigurationError as error:  # TEXT_MATCH is refused where the server is older
            if "MatchSubstring, which came with Qdrant 1.20" not in str(error):
                raise
        else:
            assert found == expected, (key, operator, value)


def test_conditions(vectors: MultiQAVectorStore) -> None:
    def found(condition: FilterCondition | None, *filters: Any) -> set[str]:
        return ids(
            vectors.get_nodes(filters=MetadataFilters(filters=[*filters], condition=condition))
        )

    one, red = where("chapter", "==", 1).filters[0], where("tags", "any", ["red"]).filters[0]
    care = where("title", "==", "Care").filters[0]
    assert found(FilterCondition.AND, one, red) == found(None, one, red) == {"m#1"}
    assert found(FilterCondition.OR, one, care) == {"m#1", "m#2"}
    assert found(FilterCondition.NOT, red, care) == {"7"}
    nested = MetadataFilters(filters=[red, care], condition=FilterCondition.NOT)
    deep = MetadataFilters(filters=[nested, one], condition=FilterCondition.OR)
    assert found(FilterCondition.AND, deep) == {"7", "m#1"}


def test_insensitive_matches_need_an_index(tmp_path: Path, embedding: MultiQAEmbedding) -> None:
    filters = where("title", "text_match_insensitive", "a")
    with (
        MultiQAVectorStore(path=tmp_path, embedding=embedding) as vectors,
        pytest.raises(ConfigurationError, match=r"payload_indexes=\{'metadata.title': 'text'"),
    ):
        vectors.get_nodes(filters=filters)


# --- opening ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def memory(test_model: Path) -> MultiQAVectorStore:
    embedding = MultiQAEmbedding(model_name=str(test_model))
    return MultiQAVectorStore(client=QdrantClient(":memory:"), embedding=embedding, sparse=True)


def test_other_models_are_kept_out(
    store: Store, name: str, embedding: MultiQAEmbedding, encoder: MultiQAEncoder
) -> None:
    Collection.open(name, encoder=FakeEncoder(), store=store)
    with pytest.raises(CollectionMismatchError, match="fingerprint"):
        MultiQAVectorStore(name, store=store, embedding=embedding)


def test_points_carry_the_fingerprint(vectors: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    points, _ = vectors.collection.store.scroll(vectors.collection.name)
    marks = {point.payload["_multiqa"]["fingerprint"] for point in points}
    assert marks == {encoder.fingerprint}


def test_the_embedding(monkeypatch: pytest.MonkeyPatch, embedding: MultiQAEmbedding) -> None:
    client = QdrantClient(":memory:")
    monkeypatch.setattr(Settings, "_embed_model", embedding)
    assert MultiQAVectorStore(client=client).embedding is embedding
    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=384))
    with pytest.raises(ConfigurationError, match="is MockEmbedding, expected MultiQAEmbedding"):
        MultiQAVectorStore(client=client)
    with pytest.raises(ValidationError, match="is MockEmbedding, expected MultiQAEmbedding"):
        MultiQAVectorStore(client=client, embedding=MockEmbedding(embed_dim=384))
    monkeypatch.setattr(Settings, "_embed_model", None)
    default = MultiQAVectorStore.model_fields["embedding"].get_default(call_default_factory=True)
    assert default.to_dict() == MultiQAEmbedding().to_dict()


def test_bad_settings(tmp_path: Path, embedding: MultiQAEmbedding) -> None:
    with pytest.raises(ConfigurationError, match="one of url, path and client"):
        MultiQAVectorStore(embedding=embedding)
    for _ in range(2):  # whether the collection exists or not
        with pytest.raises(ConfigurationError, match="does not take fliter"):
            MultiQAVectorStore(path=tmp_path, fliter="x", embedding=embedding)
        with pytest.raises(ConfigurationError, match="timeout: these go with url"):
            MultiQAVectorStore(client=QdrantClient(":memory:"), timeout=3, embedding=embedding)
        with pytest.raises(ConfigurationError, match="content_payload_key cannot be set"):
            MultiQAVectorStore(path=tmp_path, content_payload_key="text", embedding=embedding)
        MultiQAVectorStore(path=tmp_path, embedding=embedding, on_disk_payload=True).close()


# What each method needs to be called; one that is new and takes options belongs here.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "add": {"nodes": []},
    "async_add": {"nodes": []},
    "delete": {"ref_doc_id": "manual.pdf"},
    "delete_nodes": {"node_ids": ["m#1"]},
    "query": {"query": VectorStoreQuery(query_embedding=[1.0] + [0.0] * 383)},
}


def call(method: Any, **arguments: Any) -> Any:
    result = method(**arguments)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def test_no_method_ignores_an_option(memory: MultiQAVectorStore, encoder: MultiQAEncoder) -> None:
    memory.add(embedded(NODES, encoder))
    seen = set()
    for name in dir(MultiQAVectorStore):
        if name[0] == "_" or name in dir(BaseComponent) or name == "aopen":
            continue
        method = getattr(memory, name)
        if not inspect.ismethod(method):
            continue
        kinds = {one.kind for one in inspect.signature(method).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD in kinds:
            known = name if name in ARGUMENTS else name.removeprefix("a")
            seen.add(known)
            with pytest.raises(ConfigurationError, match="has no option fliter"):
                call(method, **ARGUMENTS[known], fliter={"page": 1})
    assert seen == ARGUMENTS.keys()
    assert memory.collection.count() == len(NODES)
    memory.clear()


def test_options_of_retrievers_and_engines(
    memory: MultiQAVectorStore, encoder: MultiQAEncoder, embedding: MultiQAEmbedding
) -> None:
    """Those for the store are honoured or refused, wherever LlamaIndex takes them."""
    memory.add(embedded(NODES, encoder))
    index = VectorStoreIndex.from_vector_store(memory, embed_model=embedding)
    only = where("chapter", "==", 2)
    for retriever in (
        index.as_retriever(filters=only, similarity_top_k=9),
        index.as_retriever(doc_ids=["letter.txt"], filters=only),
        index.as_retriever(
            vector_store_kwargs={"filter": models.Filter(must=[models.HasIdCondition(has_id=[1])])}
        ),
    ):
        assert {hit.node.node_id for hit in retriever.retrieve("machine")} <= {"m#2"}
    with pytest.raises(ConfigurationError, match="has no option fliter"):
        index.as_retriever(vector_store_kwargs={"fliter": only}).retrieve("machine")
    memory.clear()


def test_settings_are_fields(tmp_path: Path, embedding: MultiQAEmbedding) -> None:
    with MultiQAVectorStore(
        "docs", path=tmp_path, embedding=embedding, payload_indexes={"metadata.n": "integer"}
    ) as vectors:
        data = vectors.to_dict()
        assert data["class_name"] == "MultiQAVectorStore"
        assert "api_key" not in data
        vector = [1.0] + [0.0] * 383
        vectors.add([TextNode(id_="a", text="a", embedding=vector)])
        for restored in (MultiQAVectorStore.from_dict(data), pickle.loads(pickle.dumps(vectors))):
            assert restored.to_dict() == data
            assert ids(restored.get_nodes()) == {"a"}
            restored.close()


def test_an_api_key_is_in_nothing(
    stand_in: LoopbackQdrant,
    name: str,
    embedding: MultiQAEmbedding,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    with MultiQAVectorStore(
        name, url=stand_in.url, api_key="SECRET", embedding=embedding
    ) as vectors:
        pickled = pickle.dumps(vectors)
        shown = f"{vectors!r} {vectors} {vectors.to_dict()} {vectors.client!r}"
    assert b"SECRET" not in pickled
    assert "SECRET" not in shown
    with pytest.raises(ConfigurationError, match="Set QDRANT_API_KEY"):
        pickle.loads(pickled)
    monkeypatch.setenv("QDRANT_API_KEY", "SECRET")
    with pickle.loads(pickled) as reopened:
        assert reopened.get_nodes() == []


@pytest.mark.parametrize("user", [True, False])
def test_headers_and_passwords_are_in_nothing(
    stand_in: LoopbackQdrant, name: str, embedding: MultiQAEmbedding, user: bool
) -> None:
    url = stand_in.url.replace("//", "//user:SECRET@") if user else stand_in.url
    options: dict[str, Any] = {} if user else {"headers": {"X-Key": "SECRET"}}
    with MultiQAVectorStore(name, url=url, embedding=embedding, **options) as vectors:
        pickled = pickle.dumps(vectors)
        shown = f"{vectors!r} {vectors} {vectors.to_dict()} {vectors.client!r}"
        assert vectors.get_nodes() == []
    for secret in ("SECRET", b64encode(b"user:SECRET").decode()):
        assert secret.encode() not in pickled
        assert secret not in shown
    with pytest.raises(ConfigurationError, match="never pickled"):
        pickle.loads(pickled)


def test_a_given_client_is_not_pickled(memory: MultiQAVectorStore) -> None:
    with pytest.raises(TypeError, match="url= or path="):
        pickle.dumps(memory)
    assert isinstance(memory.client, QdrantClient)


async def test_an_asynchronous_client(embedding: MultiQAEmbedding, encoder: MultiQAEncoder) -> None:
    client = AsyncQdrantClient(":memory:")
    vectors = await MultiQAVectorStore.aopen(client=client, embedding=embedding)
    await vectors.async_add(embedded(NODES, encoder))
    assert ids(await vectors.aget_nodes()) == ids(NODES)


# --- indexes, and the rest of the package -------------------------------------------------------


def test_an_index(
    store: Store, name: str, embedding: MultiQAEmbedding, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    documents = [
        Document(text="The red button stops the machine.", id_="stop", metadata={"n": 1}),
        Document(text="Oil the chain once a year.", id_="oil", metadata={"n": 2}),
    ]
    context = StorageContext.from_defaults(vector_store=vectors)
    index = VectorStoreIndex.from_documents(
        documents, storage_context=context, embed_model=embedding
    )
    (best, _) = index.as_retriever(similarity_top_k=2).retrieve("How do I turn it off?")
    assert best.node.ref_doc_id == "stop"
    filtered = index.as_retriever(filters=where("n", "==", 2)).retrieve("How do I turn it off?")
    assert [one.node.ref_doc_id for one in filtered] == ["oil"]

    again = VectorStoreIndex.from_vector_store(vectors, embed_model=embedding)
    again.insert(Document(text="Paint it green.", id_="paint"))
    again.delete_ref_doc("stop")
    retriever = again.as_retriever(similarity_top_k=5)
    assert {one.node.ref_doc_id for one in retriever.retrieve("machine")} == {"oil", "paint"}
    found = asyncio.run(retriever.aretrieve("machine"))
    assert {one.node.ref_doc_id for one in found} == {"oil", "paint"}
    assert capsys.readouterr().out == ""


def test_index_nodes_restrict_a_retriever(embedding: MultiQAEmbedding) -> None:
    """LlamaIndex gives their ids, and no others, as those that are wanted."""
    vectors = MultiQAVectorStore(client=QdrantClient(":memory:"), embedding=embedding)
    nodes = [IndexNode(text="of another", index_id="x", id_="i"), TextNode(text="text", id_="t")]
    index = VectorStoreIndex(
        nodes,
        storage_context=StorageContext.from_defaults(vector_store=vectors),
        embed_model=embedding,
    )
    found = index.as_retriever(similarity_top_k=2)._retrieve(QueryBundle("text"))
    assert [one.node_id for one in found] == ["i"]
    whole = VectorStoreIndex.from_vector_store(vectors, embed_model=embedding).as_retriever()
    assert {one.node_id for one in whole._retrieve(QueryBundle("text"))} == {"i", "t"}


def test_the_rest_of_the_package_reads_nodes(
    vectors: MultiQAVectorStore, encoder: MultiQAEncoder
) -> None:
    collection = vectors.collection
    hit = collection.search("How do I turn the machine off?", limit=1)[0]
    assert (hit.id, hit.text, hit.metadata) == ("m#1", NODES[0].get_content(), NODES[0].metadata)
    collection.add(["written as a text"], ids=["other"], metadatas=[{"chapter": 9}])
    (node,) = vectors.get_nodes(filters=where("chapter", "==", 9))
    assert (node.node_id, node.get_content()) == ("other", "written as a text")
    assert node.metadata == {"chapter": 9}


def test_a_key_that_may_read_alone_opens_and_searches(
    loopback: LoopbackQdrant, embedding: MultiQAEmbedding
) -> None:
    """Also where the collection has no index of documents, as one of another program."""
    with Collection.open("manual", url=loopback.url, encoder=embedding.encoder) as collection:
        collection.add(["The red button stops the machine."])
    writes = ("create", "update", "index", "upsert", "delete", "set_payload", "change_aliases")
    loopback.faults.forbidden = frozenset(writes)
    with MultiQAVectorStore("manual", url=loopback.url, embedding=embedding) as store:
        index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
        found = index.as_retriever(similarity_top_k=1).retrieve("How do I stop it?")
        assert found[0].node.get_content() == "The red button stops the machine."
        with pytest.raises(StorePermissionError):
            store.delete("manual.pdf")
    with pytest.raises(StorePermissionError):
        MultiQAVectorStore(
            "manual",
            url=loopback.url,
            embedding=embedding,
            payload_indexes={"metadata.chapter": "integer"},
        )
    loopback.faults.forbidden = frozenset()
    with MultiQAVectorStore("manual", url=loopback.url, embedding=embedding) as store:
        info = store.collection.store.info("manual")
        assert info is not None
        assert info.payload_indexes == {"doc_id": "keyword", "_multiqa.document": "keyword"}


def test_filters_on_documents_under_strict_mode(
    loopback: LoopbackQdrant, embedding: MultiQAEmbedding
) -> None:
    """Such a server refuses a condition on a field that has no index."""
    with MultiQAVectorStore("manual", url=loopback.url, embedding=embedding) as store:
        nodes = [TextNode(text=f"Page {n}.") for n in range(3)]
        for number, node in enumerate(nodes):
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"book {number}")
            node.embedding = embedding.get_text_embedding(node.text)
        store.add(nodes)
        loopback.strict = models.StrictModeConfig(
            enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
        )
        for key in ("doc_id", "document_id", "ref_doc_id"):
            filters = MetadataFilters(filters=[MetadataFilter(key=key, value="book 1")])
            assert [node.get_content() for node in store.get_nodes(filters=filters)] == ["Page 1."]
        store.delete("book 1")
        assert store.collection.count() == 2
