"""LlamaIndex's filters, held against its own in-memory store, on every engine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.schema import BaseNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl import sync
from multiqa_integrations.llama_index import MultiQAEmbedding, MultiQAVectorStore
from multiqa_integrations.qdrant import Collection, Store
from tests.support.engines import ENGINES, new_name, open_engine

VECTOR = [1.0] + [0.0] * 383
EXAMPLES = int(os.environ.get("MULTIQA_TEST_FILTERS", "100"))

# --- as SimpleVectorStore filters ---------------------------------------------------------------

KEYS = ["n", "dc.title", "by.who", "Valid from", "app:mode", "größe"]
SCALARS: list[Any] = [0, 1, 2, -3, 1.5, 2.0, True, False, "", "a", "b", "ab", "2", "Ä b", None]
LISTS: list[Any] = [[], ["a"], ["a", "b"], ["ab"], [1, 2], [1.5], [0]]

# Each key with each value; and pairs, so that joined filters have something to join.
METADATA: list[dict[str, Any]] = [
    {},
    *({key: value} for key in KEYS for value in [*SCALARS, *LISTS]),
    *({"n": n, "dc.title": title} for n, title in itertools.product([1, 2, "a"], ["a", "b"])),
    *({"by": {"who": value}} for value in ("a", "b", 1, ["a", "b"], "", None)),
    {"dc": {"title": "a"}},
    {"n": {"a": 1}},
]
BY_ID = {f"node {number}": metadata for number, metadata in enumerate(METADATA)}


def lookup(metadata: Any, path: str) -> Any:
    for name in path.split("."):
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata


def simple(filter: MetadataFilter, value: Any) -> bool:
    """Ask LlamaIndex's reference about one value."""
    only = MetadataFilter(key="x", operator=filter.operator, value=filter.value)
    try:
        return build_metadata_filter_fn(
            {"node": {"x": value}}.__getitem__, MetadataFilters(filters=[only])
        )("node")
    except TypeError:  # a number compared with a text fails there, and is false here
        return False


NEGATIONS = {FilterOperator.NE: FilterOperator.EQ, FilterOperator.NIN: FilterOperator.IN}
OF_LISTS = {FilterOperator.CONTAINS, FilterOperator.ANY, FilterOperator.ALL}


def reference(filter: MetadataFilter | MetadataFilters, metadata: dict[str, Any]) -> bool:
    """Filter as SimpleVectorStore does, but for what docs/llama_index.md says."""
    if isinstance(filter, MetadataFilters):
        found = [reference(one, metadata) for one in filter.filters]
        if filter.condition == FilterCondition.NOT:
            return not any(found)
        return any(found) if filter.condition == FilterCondition.OR else all(found)
    # A key with a dot leads into objects, too.
    values = [metadata.get(filter.key), lookup(metadata, filter.key) if "." in filter.key else None]
    if filter.operator in NEGATIONS:
        positive = filter.model_copy(update={"operator": NEGATIONS[filter.operator]})
        return not reference(positive, metadata)
    if filter.operator is FilterOperator.IS_EMPTY:
        return all(simple(filter, value) for value in values)
    if filter.operator in OF_LISTS:  # a text is one value, and no list of letters
        lists = [value if isinstance(value, list | None) else [value] for value in values]
        return filter.value != [] and any(simple(filter, items) for items in lists)
    # Of a list one item has to match.
    return any(
        simple(filter, item)
        for value in values
        for item in (value if isinstance(value, list) else [value])
    )


MANY_VALUES = {FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL}
# Looks for the words of a text index, and for no part of a text.
UNLIKE = {FilterOperator.TEXT_MATCH_INSENSITIVE}
NUMBERS = st.sampled_from([0, 1, 2, -3, 7, 1.5, 2.0, 0.0])
TEXTS = st.sampled_from(["", "a", "b", "ab", "2", "Ä b", "c"])
MANY = st.one_of(
    st.lists(st.sampled_from([0, 1, 2, 7]), max_size=3),
    st.lists(st.sampled_from([1.5, 2.0, 0.0]), max_size=3),
    st.lists(TEXTS, max_size=3),
)


@st.composite
def leaves(draw: st.DrawFn) -> MetadataFilter:
    operator = draw(st.sampled_from([one for one in FilterOperator if one not in UNLIKE]))
    if operator in (FilterOperator.EQ, FilterOperator.NE, FilterOperator.CONTAINS):
        value: Any = draw(NUMBERS | TEXTS)
    elif operator is FilterOperator.TEXT_MATCH:
        value = draw(TEXTS.filter(bool))
    elif operator is FilterOperator.IS_EMPTY:
        value = None
    elif operator in MANY_VALUES:
        value = draw(MANY)
    else:
        value = draw(NUMBERS)
    return MetadataFilter(key=draw(st.sampled_from(KEYS)), operator=operator, value=value)


def joined(filters: st.SearchStrategy[Any]) -> st.SearchStrategy[MetadataFilters]:
    return st.builds(
        MetadataFilters,
        filters=st.lists(filters, min_size=1, max_size=3),
        condition=st.sampled_from(FilterCondition),
    )


FILTERS = st.recursive(joined(leaves()), lambda inner: joined(leaves() | inner), max_leaves=6)


@pytest.fixture(scope="module", params=ENGINES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, test_model: Path
) -> Iterator[MultiQAVectorStore]:
    with open_engine(request.param, tmp_path_factory.mktemp("store"), request) as store:
        name = new_name()  # workers share a server
        made = MultiQAVectorStore(
            name, store=store, embedding=MultiQAEmbedding(model_name=str(test_model))
        )
        made.add(
            [TextNode(id_=id_, metadata=value, embedding=VECTOR) for id_, value in BY_ID.items()]
        )
        yield made
        store.drop(name)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(filters=FILTERS)
def test_as_simple_vector_store_filters(
    filled: MultiQAVectorStore, filters: MetadataFilters
) -> None:
    expected = {id_ for id_, metadata in BY_ID.items() if reference(filters, metadata)}
    try:
        found = {node.node_id for node in filled.get_nodes(filters=filters)}
    except ConfigurationError as error:  # TEXT_MATCH is refused where the server is older
        if "MatchSubstring, which came with Qdrant 1.20" not in str(error):
            raise
    else:
        assert found == expected


# --- whoever wrote the collection ---------------------------------------------------------------


def where(key: str, operator: FilterOperator, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


def found(vectors: MultiQAVectorStore, filters: MetadataFilters) -> list[str]:
    query = VectorStoreQuery(query_embedding=VECTOR, similarity_top_k=9, filters=filters)
    nodes = vectors.query(query).nodes or []
    assert {node.node_id for node in nodes} == {
        node.node_id for node in vectors.get_nodes(filters=filters)
    }
    return sorted(node.get_content() for node in nodes)


ABOUT = {
    "first": {"page": 7, "dc.title": "One", "document_id": "A-1", "tags": ["x", "y"], "off": None},
    "second": {"page": 8.5, "dc.title": "Two", "document_id": "B-2", "tags": []},
}


@pytest.fixture(params=["langchain", "collection", "sync", "qdrant", "here"])
def written(
    request: pytest.FixtureRequest, embedding: MultiQAEmbedding, encoder: MultiQAEncoder
) -> MultiQAVectorStore:
    """A store over a collection that another part of the package, or another adapter, filled."""
    client = QdrantClient(":memory:")
    nodes: list[BaseNode] = [
        TextNode(text=text, metadata=dict(about), embedding=VECTOR) for text, about in ABOUT.items()
    ]
    if request.param == "langchain":
        from multiqa_integrations import langchain

        embeddings = langchain.MultiQAEmbeddings(encoder=encoder)
        opened = langchain.MultiQAVectorStore(embeddings, "docs", client=client)
        opened.add_texts(list(ABOUT), list(ABOUT.values()))
    elif request.param == "collection":
        Collection.open("docs", encoder=encoder, client=client).add(
            list(ABOUT), metadatas=list(ABOUT.values())
        )
    elif request.param == "sync":
        records = [
            {"id" if key == "document_id" else key: value for key, value in about.items()}
            | {"text": text}
            for text, about in ABOUT.items()
        ]
        sync(records, "docs", client=client, encoder=encoder)
    elif request.param == "qdrant":
        # Its own nodes keep the ids of documents in relationships.
        for node in nodes:
            source = node.metadata.pop("document_id")
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=source)
        QdrantVectorStore("docs", client=client).add(nodes)
    vectors = MultiQAVectorStore("docs", client=client, embedding=embedding, adopt=True)
    if request.param == "here":
        vectors.add(nodes)
    return vectors


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
def test_what_a_hit_shows_can_be_filtered_by(written: MultiQAVectorStore) -> None:
    op = FilterOperator
    for key, operator, value, expected in (
        ("page", op.EQ, 7, ["first"]),
        ("page", op.NE, 7, ["second"]),
        ("page", op.GT, 7, ["second"]),
        ("page", op.GTE, 7, ["first", "second"]),
        ("page", op.LT, 8.5, ["first"]),
        ("page", op.LTE, 7, ["first"]),
        ("page", op.IN, [7, 9], ["first"]),
        ("page", op.NIN, [7, 9], ["second"]),
        ("dc.title", op.EQ, "One", ["first"]),
        ("dc.title", op.NE, "One", ["second"]),
        ("dc.title", op.TEXT_MATCH, "w", ["second"]),
        ("document_id", op.EQ, "A-1", ["first"]),
        ("document_id", op.NE, "A-1", ["second"]),
        ("document_id", op.IN, ["A-1", "B-2"], ["first", "second"]),
        ("document_id", op.NIN, ["A-1"], ["second"]),
        ("document_id", op.IS_EMPTY, None, []),
        ("tags", op.CONTAINS, "x", ["first"]),
        ("tags", op.ANY, ["x", "z"], ["first"]),
        ("tags", op.ALL, ["x", "y"], ["first"]),
        ("tags", op.IS_EMPTY, None, ["second"]),
        ("off", op.IS_EMPTY, None, ["first", "second"]),
        ("nowhere", op.NE, "x", ["first", "second"]),
        ("page_content", op.IS_EMPTY, None, ["first", "second"]),
        ("metadata", op.IS_EMPTY, None, ["first", "second"]),
    ):
        assert found(written, where(key, operator, value)) == expected, (key, operator)


def test_documents_of_a_sync_job(tmp_path: Path, embedding: MultiQAEmbedding) -> None:
    rows = [{"id": "A-1", "text": "The red button."}, {"id": "B-2", "text": "The green one."}]
    sync(rows, "docs", path=tmp_path, encoder=embedding.encoder)
    with MultiQAVectorStore("docs", path=tmp_path, embedding=embedding) as vectors:
        assert {node.ref_doc_id for node in vectors.get_nodes()} == {"A-1", "B-2"}
        query = VectorStoreQuery(query_embedding=VECTOR, similarity_top_k=5, doc_ids=["A-1"])
        (node,) = vectors.query(query).nodes or []
        assert (node.ref_doc_id, node.metadata["document_id"]) == ("A-1", "A-1")
        vectors.delete("no such document")
        assert vectors.collection.count() == 2
        vectors.delete("A-1")
        assert [node.ref_doc_id for node in vectors.get_nodes()] == ["B-2"]


def test_a_node_keeps_metadata_that_has_the_names_of_ids(
    store: Store, name: str, embedding: MultiQAEmbedding
) -> None:
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    vectors.add([TextNode(text="own", metadata={"doc_id": "mine"}, embedding=VECTOR)])
    (node,) = vectors.get_nodes(filters=where("doc_id", FilterOperator.EQ, "mine"))
    assert node.metadata == {"doc_id": "mine"}
    assert vectors.get_nodes(filters=where("doc_id", FilterOperator.NE, "mine")) == []


# --- what no document can fulfil, and what cannot be asked ----------------------------------------


def test_an_empty_list_matches_nothing(
    store: Store, name: str, embedding: MultiQAEmbedding
) -> None:
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    nodes = [
        TextNode(id_=f"n{number}", metadata=about, embedding=VECTOR)
        for number, about in enumerate(({}, {"v": []}, {"v": "a"}, {"v": ["a"]}, {"v": None}))
    ]
    vectors.add(nodes)
    for operator in (FilterOperator.IN, FilterOperator.ANY, FilterOperator.ALL):
        nothing = where("v", operator, [])
        assert vectors.get_nodes(filters=nothing) == []
        vectors.delete_nodes(filters=nothing)
        either = MetadataFilters(filters=[nothing, nothing], condition=FilterCondition.OR)
        vectors.delete_nodes(filters=either)
    assert vectors.collection.count() == len(nodes)


@pytest.mark.parametrize("condition", [FilterCondition.OR, FilterCondition.NOT])
def test_filters_without_filters_are_not_joined(
    filled: MultiQAVectorStore, condition: FilterCondition
) -> None:
    """By themselves they mean "anything", which would make all of it true, or false."""
    empty = MetadataFilters(filters=[])
    with pytest.raises(ConfigurationError, match="empty MetadataFilters"):
        filled.get_nodes(filters=MetadataFilters(filters=[empty], condition=condition))
    assert len(filled.get_nodes(filters=MetadataFilters(filters=[empty]))) == len(BY_ID)


@pytest.mark.parametrize(
    ("key", "operator", "value", "message"),
    [
        ("v", "==", None, "for an empty field there is IS_EMPTY"),
        ("v", "==", [1], "EQ on 'v' has the value"),
        ("v", "==", 1 << 63, "expected whole numbers from"),
        ("v", "in", [1, -(1 << 63) - 1], "expected whole numbers from"),
        ("v", ">", 1 << 70, "expected whole numbers from"),
        ("v", "==", float("nan"), "expected finite numbers"),
        ("v", "<", float("inf"), "expected finite numbers"),
        ("v", "in", "a,b", "expected a list"),
        ("v", "any", "a", "expected a list"),
        ("v", ">", "tomorrow", "ISO 8601"),
        ("v", ">", "", "ISO 8601"),
        ("v", ">", [1], "ISO 8601"),
        ("v", "text_match", 1, "expected a string"),
        ("v", "text_match", "", "expected a string"),
        ('a"b', "==", 1, "quotation mark"),
        ("a\\b", "!=", 1, "backslash"),
    ],
)
def test_bad_filters(
    filled: MultiQAVectorStore, key: str, operator: str, value: Any, message: str
) -> None:
    filters = where(key, FilterOperator(operator), value)
    with pytest.raises(ConfigurationError, match=message):
        filled.get_nodes(filters=filters)
    with pytest.raises(ConfigurationError, match=message):
        filled.delete_nodes(filters=filters)


def test_values_that_a_filter_made_unchecked_may_have(filled: MultiQAVectorStore) -> None:
    values: list[Any] = [{}, b"x", [None], [[]]]
    for value in values:
        operator = FilterOperator.IN if isinstance(value, list) else FilterOperator.EQ
        filter = MetadataFilter.model_construct(key="v", operator=operator, value=value)
        with pytest.raises(ConfigurationError, match="expected strings and numbers"):
            filled.get_nodes(filters=MetadataFilters(filters=[filter]))


def test_moments(store: Store, name: str, embedding: MultiQAEmbedding) -> None:
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    days = {
        "early": "2024-05-01",
        "noon": "2024-05-02T12:00:00Z",
        "late": "2024-05-02T23:00:00+01:00",
    }
    vectors.add(
        [TextNode(text=text, metadata={"day": day}, embedding=VECTOR) for text, day in days.items()]
    )
    for operator, value, expected in (
        (FilterOperator.GTE, "2024-05-02T12:00:00Z", ["late", "noon"]),
        (FilterOperator.GT, "2024-05-02T14:00:00+02:00", ["late"]),
        (FilterOperator.LT, "2024-05-02", ["early"]),
    ):
        assert found(vectors, where("day", operator, value)) == expected


def test_strings_with_lone_surrogates(store: Store, name: str, embedding: MultiQAEmbedding) -> None:
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    vectors.add([TextNode(text="x", metadata={"by\udce9": "\udce9"}, embedding=VECTOR)])
    assert found(vectors, where("by\udce9", FilterOperator.EQ, "\udce9")) == ["x"]
    assert found(vectors, where("by\udce9", FilterOperator.NE, "\udce9")) == []


def test_an_index_is_where_a_field_is(store: Store, name: str, embedding: MultiQAEmbedding) -> None:
    vectors = MultiQAVectorStore(
        name,
        store=store,
        embedding=embedding,
        payload_indexes={"metadata.page": "integer", 'metadata."dc.title"': "keyword"},
    )
    vectors.add(
        [TextNode(text=text, metadata=about, embedding=VECTOR) for text, about in ABOUT.items()]
    )
    assert found(vectors, where("page", FilterOperator.EQ, 7)) == ["first"]
    assert found(vectors, where("dc.title", FilterOperator.IN, ["Two"])) == ["second"]
    assert found(vectors, where("dc.title", FilterOperator.NE, "Two")) == ["first"]
