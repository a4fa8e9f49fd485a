"""The vector store in LangChain: beyond the official suite."""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.indexing import IndexingResult, InMemoryRecordManager, index
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.stores import InMemoryByteStore
from langchain_qdrant import QdrantVectorStore
from pydantic import ValidationError
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    ConfigurationError,
    TextError,
)
from multiqa_integrations.langchain import (
    MultiQAEmbeddings,
    MultiQARetriever,
    MultiQAVectorStore,
    uuid5_key_encoder,
)
from multiqa_integrations.qdrant import Store
from multiqa_integrations.testing import FakeEncoder

EMBEDDINGS = MultiQAEmbeddings(encoder=FakeEncoder())
DOCUMENTS = [
    Document("The red button stops the machine.", id="m#1", metadata={"chapter": 1, "safe": True}),
    Document("Oil the chain once a year.", id="m#2", metadata={"chapter": 2, "by": {"who": "me"}}),
    Document("The green button starts the machine.", id="m#3", metadata={"chapter": 1.5}),
]


@pytest.fixture
def vectors(store: Store, name: str) -> MultiQAVectorStore:
    made = MultiQAVectorStore(EMBEDDINGS, collection_name=name, store=store, sparse=True)
    assert made.add_documents(DOCUMENTS) == ["m#1", "m#2", "m#3"]
    return made


class Counting(FakeEncoder):
    calls = 0

    def encode(self, texts: Any, *, show_progress: bool = False) -> Any:
        self.calls += 1
        return super().encode(texts)


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_nothing_is_embedded_at_construction_and_once_a_query() -> None:
    encoder = Counting()
    made = MultiQAVectorStore(MultiQAEmbeddings(encoder=encoder), client=QdrantClient(":memory:"))
    assert encoder.calls == 0
    made.add_documents(DOCUMENTS)
    encoder.calls = 0
    made.max_marginal_relevance_search("button", k=2)
    assert encoder.calls == 1


def test_scores_are_cosines_and_relevance_is_between_0_and_1(vectors: MultiQAVectorStore) -> None:
    (document, score), *_ = vectors.similarity_search_with_score(DOCUMENTS[0].page_content)
    assert document.id == "m#1"
    assert score == pytest.approx(1.0, abs=1e-5)
    relevant = vectors.similarity_search_with_relevance_scores(DOCUMENTS[0].page_content)
    assert relevant[0][1] == pytest.approx(1.0, abs=1e-5)
    assert all(0.0 <= score <= 1.0 for _, score in relevant)
    only = vectors.similarity_search_with_relevance_scores("red button", score_threshold=0.7)
    assert ids([document for document, _ in only]) == ["m#1"]


def test_by_vector(vectors: MultiQAVectorStore) -> None:
    vector = EMBEDDINGS.embed_query("red button")
    assert ids(vectors.similarity_search_by_vector(vector, k=2)) == ids(
        vectors.similarity_search("red button", k=2)
    )
    assert vectors.similarity_search_with_score_by_vector(vector, k=1)[0][0].id == "m#1"
    mmr = vectors.max_marginal_relevance_search_by_vector(vector, k=2, lambda_mult=1.0)
    assert ids(mmr)[0] == "m#1"


def test_lambda_mult_at_both_ends(vectors: MultiQAVectorStore) -> None:
    vectors.add_texts(["The red button stops the machine!"], ids=["nearly m#1"])
    query = "the red button stops the machine"
    close = ids(vectors.max_marginal_relevance_search(query, k=2, lambda_mult=1.0))
    assert set(close) == {"m#1", "nearly m#1"}, "closeness only"
    different = ids(vectors.max_marginal_relevance_search(query, k=2, lambda_mult=0.0))
    assert different[1] == "m#2", "difference only"
    for wrong in (-0.1, 1.1):
        with pytest.raises(ConfigurationError, match="lambda_mult"):
            vectors.max_marginal_relevance_search(query, lambda_mult=wrong)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"chapter": 1}, {"m#1"}),
        ({"chapter": 1.5}, {"m#3"}),
        ({"chapter": [1, 2]}, {"m#1", "m#2"}),
        ({"safe": True}, {"m#1"}),
        ({"safe": None}, {"m#2", "m#3"}),
        ({"by": {"who": "me"}}, {"m#2"}),
        ({"by.who": "me", "chapter": 2}, {"m#2"}),
        ({"by.who": "me", "chapter": 1}, set()),
        ({"chapter": 1.0}, {"m#1"}),
        ({"chapter": {1, 1.5}}, {"m#1", "m#3"}),
        ({"safe": 1}, set()),
        ({"safe": [None, True]}, {"m#1", "m#2", "m#3"}),
        ({"chapter": []}, set()),
        ({"chapter": set(), "safe": True}, set()),
        ({"by": {}}, set()),
        ({"by": [{}]}, set()),
        ({"by": {"who": []}}, set()),
        ({}, {"m#1", "m#2", "m#3"}),
        ({"must_not": [{"key": "metadata.chapter", "match": {"value": 1}}]}, {"m#2", "m#3"}),
        (models.Filter(must=[models.HasIdCondition(has_id=[7])]), set()),
    ],
)
def test_filters(vectors: MultiQAVectorStore, condition: Any, expected: set[str]) -> None:
    found = vectors.similarity_search("machine", filter=condition)
    assert set(ids(found)) == expected
    retriever = vectors.as_retriever(search_kwargs={"filter": condition})
    assert set(ids(retriever.invoke("machine"))) == expected


ODD = {
    "Valid from": "2023",
    "app:mode": "T",
    "in/out": 1,
    "dc.title": "dotted",
    "größe": 2.5,
    "a[0]": "bracket",
    "$x": True,
    "big": (1 << 63) - 1,
    "people": [{"first": "Ann", "last": "Lee"}, {"first": "Bob", "last": "Ray"}],
}


def test_every_key_can_be_filtered_by(store: Store, name: str) -> None:
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store)
    made.add_texts(["with", "without"], [ODD, {"big": (1 << 63) - 2}], ids=["with", "without"])
    for key, value in ODD.items():
        if key != "people":
            assert ids(made.similarity_search("x", filter={key: value})) == ["with"], key
            assert ids(made.similarity_search("x", filter={key: [value]})) == ["with"], key
    for people, expected in (
        ({"first": "Ann", "last": "Lee"}, ["with"]),
        ({"first": "Ann", "last": "Ray"}, []),  # of two items
        ([{"first": "Ann", "last": "Ray"}, {"first": "Bob"}], ["with"]),
    ):
        assert ids(made.similarity_search("x", filter={"people": people})) == expected
    for key in ('a"b', "a\\b"):
        with pytest.raises(ConfigurationError, match="Rename it"):
            made.similarity_search("x", filter={key: 1})
    for number in (1 << 63, 1 << 64, -(1 << 63) - 1, float("nan"), float("inf")):
        for condition in ({"big": number}, {"big": [1, number]}):
            with pytest.raises(ConfigurationError, match=r"the filter.*big.*(64|63|JSON)"):
                made.similarity_search("x", filter=condition)
    assert made.delete(filter={"dc.title": []})
    assert made.collection.count() == 2
    assert made.delete(filter={"dc.title": "dotted"})
    assert ids(made.similarity_search("x")) == ["without"]


def test_a_metadata_key_of_ones_own(store: Store, name: str) -> None:
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store, metadata_payload_key="about it")
    made.add_documents(DOCUMENTS)
    assert ids(made.similarity_search("x", filter={"chapter": 2})) == ["m#2"]


def test_an_index_is_where_a_field_is(store: Store, name: str) -> None:
    made = MultiQAVectorStore(
        EMBEDDINGS, name, store=store, payload_indexes={"metadata.by.who": "keyword"}
    )
    made.add_documents(DOCUMENTS)
    for condition in ({"by.who": "me"}, {"by": {"who": "me"}}, {"by": {"who": ["me", "you"]}}):
        assert ids(made.similarity_search("x", filter=condition)) == ["m#2"]


def test_bad_filters_and_options(vectors: MultiQAVectorStore) -> None:
    with pytest.raises(ConfigurationError, match="expected a dict"):
        vectors.similarity_search("x", filter="chapter = 1")
    with pytest.raises(ConfigurationError, match="not a filter of Qdrant"):
        vectors.similarity_search("x", filter={"must": "?"})
    with pytest.raises(ConfigurationError, match="has the key 1"):
        vectors.similarity_search("x", filter={1: "a"})
    with pytest.raises(ConfigurationError, match="is bytes"):
        vectors.similarity_search("x", filter={"a": b"x"})
    with pytest.raises(ConfigurationError, match="delete everything"):
        vectors.delete()
    assert vectors.delete(["m#1"])
    assert vectors.delete(filter={"chapter": 2})
    assert vectors.collection.count() == 1


@pytest.mark.parametrize("arguments", [{}, {"ids": ["a", "b"]}])
def test_what_is_not_a_list_of_documents(arguments: dict[str, Any]) -> None:
    made = MultiQAVectorStore(EMBEDDINGS, client=QdrantClient(":memory:"))
    documents: list[Any] = [["text"] * 2, {"id": "a", "text": "b"}, "text", Document("text"), None]
    texts: list[Any] = [{"id": "a", "text": "b"}, "text", None, [None, "text"], [b"a", "b"]]
    for wrong in documents:
        with pytest.raises(TextError, match="document"):
            made.add_documents(wrong, **arguments)
        with pytest.raises(TextError, match="document"):
            asyncio.run(made.aadd_documents(wrong, **arguments))
    for wrong in texts:
        with pytest.raises(TextError):
            made.add_texts(wrong, **arguments)
        with pytest.raises(TextError):
            asyncio.run(made.aadd_texts(wrong, **arguments))
    assert made.collection.count() == 0


def test_generators_and_mixed_ids(store: Store, name: str) -> None:
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store)
    assert len(made.add_documents(Document(f"text {n}") for n in range(5))) == 5
    assert len(made.add_texts(f"more {n}" for n in range(5))) == 5
    given = made.add_texts(["a", "b"], ids=["x", None], metadatas=[{"n": 1}, {"n": 2}])
    assert given[0] == "x"
    assert ids(made.get_by_ids(given)) == given
    assert made.collection.count() == 12
    with pytest.raises(ConfigurationError, match="1 ids for 2 documents"):
        made.add_documents([Document("a"), Document("b")], ids=["x"])


@pytest.mark.parametrize(
    "id",
    ["", " ", "\x00", "😀", "x" * 3000, "007", "-1", "None", "../../etc", "\u202eabc", "e\u0301"],
)
def test_an_id_comes_back_as_it_was_given(vectors: MultiQAVectorStore, id: str) -> None:
    assert vectors.add_texts(["text"], ids=[id]) == [id]
    assert ids(vectors.get_by_ids([id])) == [id]
    assert ids(vectors.similarity_search("text", k=1)) == [id]
    vectors.delete([id])
    assert vectors.get_by_ids([id]) == []
    assert vectors.collection.count() == 3


def test_hybrid(vectors: MultiQAVectorStore) -> None:
    assert vectors.similarity_search("oiling", k=1, hybrid=True)[0].id == "m#2"


def test_candidates_are_of_two_lists(vectors: MultiQAVectorStore) -> None:
    assert vectors.similarity_search("oiling", k=1, hybrid=True, candidates=9)[0].id == "m#2"
    with pytest.raises(ConfigurationError, match="this search is neither"):
        vectors.similarity_search("oiling", k=1, candidates=9)


def test_retrievers(vectors: MultiQAVectorStore) -> None:
    assert isinstance(vectors.as_retriever(), MultiQARetriever)
    assert len(vectors.as_retriever(k=2).invoke("machine")) == 2
    assert len(vectors.as_retriever(search_kwargs={"k": 1}).invoke("machine")) == 1
    assert len(vectors.as_retriever(k=1).invoke("machine", k=3)) == 3
    assert len(vectors.as_retriever(search_type="mmr", k=2).invoke("machine")) == 2
    strict = vectors.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99}
    )
    assert ids(strict.invoke(DOCUMENTS[0].page_content)) == ["m#1"]
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        vectors.as_retriever(k=0)


def test_options_of_a_search_beside_k(vectors: MultiQAVectorStore) -> None:
    for retriever in (
        vectors.as_retriever(filter={"chapter": 1}, k=3),
        vectors.as_retriever(filter={"chapter": 1}, k=3, search_type="mmr", fetch_k=9),
        vectors.as_retriever(k=3, search_kwargs={"filter": {"chapter": 1}}),
        vectors.as_retriever(k=3).bind(filter={"chapter": 1}),
    ):
        assert ids(retriever.invoke("machine")) == ["m#1"]
        assert ids(asyncio.run(retriever.ainvoke("machine"))) == ["m#1"]
    later = vectors.as_retriever(k=3)
    later.search_kwargs["k"] = 1
    assert len(later.invoke("machine")) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fliter": {"chapter": 1}}, "no option fliter: expected some of candidates, exact, filt"),
        ({"search_kwargs": {"fliter": {}}}, "no option fliter"),
        ({"fetch_k": 20}, "type 'similarity' has no option fetch_k"),
        ({"search_type": "mmr", "hybrid": True}, "type 'mmr' has no option hybrid"),
        (
            {
                "search_type": "similarity_score_threshold",
                "search_kwargs": {"score_threshold": 0.5, "hybrid": True},
            },
            "has no option hybrid",
        ),
        ({"filter": {}, "search_kwargs": {"filter": {}}}, "filter stands in search_kwargs and"),
    ],
)
def test_options_that_a_retriever_has_not(
    vectors: MultiQAVectorStore, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        vectors.as_retriever(**settings)
    with pytest.raises(ConfigurationError, match=message):
        MultiQARetriever(vectorstore=vectors, **settings)


def call(method: Any, **arguments: Any) -> Any:
    result = method(**arguments)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


# What each method needs to be called; one that is new and takes options belongs here.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "add_documents": {"documents": [Document("x")]},
    "add_texts": {"texts": ["x"]},
    "as_retriever": {},
    "delete": {"ids": ["m#1"]},
    "max_marginal_relevance_search": {"query": "x"},
    "max_marginal_relevance_search_by_vector": {"embedding": EMBEDDINGS.embed_query("x")},
    "search": {"query": "x", "search_type": "similarity"},
    "similarity_search": {"query": "x"},
    "similarity_search_by_vector": {"embedding": EMBEDDINGS.embed_query("x")},
    "similarity_search_with_relevance_scores": {"query": "x"},
    "similarity_search_with_score": {"query": "x"},
    "similarity_search_with_score_by_vector": {"embedding": EMBEDDINGS.embed_query("x")},
}
OPENING = {"aopen", "from_texts", "afrom_texts", "from_documents", "afrom_documents"}  # see below


def test_no_method_ignores_an_option() -> None:
    vectors = MultiQAVectorStore(EMBEDDINGS, client=QdrantClient(":memory:"))
    vectors.add_documents(DOCUMENTS)
    seen = set()
    for name, method in inspect.getmembers(vectors, inspect.ismethod):
        parameters = inspect.signature(method).parameters.values()
        if name[0] == "_" or inspect.Parameter.VAR_KEYWORD not in {p.kind for p in parameters}:
            continue
        if name in OPENING:
            continue
        seen.add(name.removeprefix("a") if name not in ARGUMENTS else name)
        arguments = ARGUMENTS[name] if name in ARGUMENTS else ARGUMENTS[name.removeprefix("a")]
        with pytest.raises(ConfigurationError, match="has no option fliter"):
            call(method, **arguments, fliter={"chapter": 1})
    assert seen == ARGUMENTS.keys()
    assert vectors.collection.count() == 3


def test_opening_ignores_no_option(tmp_path: Path) -> None:
    for _ in range(2):  # whether the collection exists or not
        for name in ("from_texts", "afrom_texts", "from_documents", "afrom_documents"):
            made: Any = getattr(MultiQAVectorStore, name)
            with pytest.raises(ConfigurationError, match="does not take fliter"):
                call(
                    made, **{name.split("_")[1]: []}, embedding=EMBEDDINGS, path=tmp_path, fliter={}
                )
        for where in ({"path": tmp_path}, {"client": QdrantClient(":memory:")}):
            with pytest.raises(ConfigurationError, match="fliter"):
                MultiQAVectorStore(EMBEDDINGS, **where, fliter={"chapter": 1})
            with pytest.raises(ConfigurationError, match="fliter"):
                call(MultiQAVectorStore.aopen, embedding=EMBEDDINGS, **where, fliter={})
        MultiQAVectorStore(EMBEDDINGS, path=tmp_path, on_disk_payload=True).close()


def test_relevance_is_not_of_ranks(vectors: MultiQAVectorStore) -> None:
    for options in ({"score_threshold": 0.7}, {}):
        for method in (
            vectors.similarity_search_with_relevance_scores,
            vectors.asimilarity_search_with_relevance_scores,
        ):
            with pytest.raises(ConfigurationError, match="come from ranks"):
                call(method, query="red", hybrid=True, **options)
    with pytest.raises(ConfigurationError, match="come from ranks"):
        vectors.similarity_search("red", hybrid=True, score_threshold=0.1)
    for wrong in (1.1, -0.1, float("nan"), "0.5"):
        with pytest.raises(ConfigurationError, match="expected a relevance, 0 to 1"):
            vectors.similarity_search_with_relevance_scores("red", score_threshold=wrong)


def test_chains(vectors: MultiQAVectorStore) -> None:
    """`retriever | …` with invoke, batch and ainvoke; a stand-in for a model."""
    answer = RunnableLambda(lambda prompt: prompt.to_messages()[-1].content)
    prompt = ChatPromptTemplate.from_template("{context}|{question}")
    chain = (
        {
            "context": vectors.as_retriever(k=1) | (lambda found: found[0].page_content),
            "question": RunnablePassthrough(),
        }
        | prompt
        | answer
        | StrOutputParser()
    )
    expected = "The red button stops the machine.|red button"
    assert chain.invoke("red button") == expected
    assert chain.batch(["red button", "oil"])[1].startswith("Oil the chain")
    assert asyncio.run(chain.ainvoke("red button")) == expected


def test_made_of_texts(tmp_path: Path) -> None:
    with MultiQAVectorStore.from_texts(
        ["a red fish"], EMBEDDINGS, [{"n": 1}], ids=["fish"], path=tmp_path, collection_name="docs"
    ) as first:
        assert first.collection.count() == 1

    async def again() -> MultiQAVectorStore:
        return await MultiQAVectorStore.afrom_documents(
            [Document("a blue bird", id="bird")], EMBEDDINGS, path=tmp_path, collection_name="docs"
        )

    second = asyncio.run(again())
    assert second.collection.count() == 2
    assert second.similarity_search("red fish", k=1)[0].metadata == {"n": 1}
    second.close()


async def test_opened_and_closed_in_coroutines(store: Store, name: str) -> None:
    async with await MultiQAVectorStore.aopen(
        EMBEDDINGS, name, store=store, metadata_payload_key="about"
    ) as opened:
        await opened.aadd_documents(DOCUMENTS)
        found = await opened.asimilarity_search("machine", filter={"chapter": 2})
    assert ids(found) == ["m#2"]


def test_a_store_that_could_not_be_filled_is_closed(tmp_path: Path) -> None:
    async def afrom_texts() -> None:
        await MultiQAVectorStore.afrom_texts([None], EMBEDDINGS, path=tmp_path)  # type: ignore[list-item]

    for _ in range(2):  # the second one would find the directory locked
        with pytest.raises(TextError):
            MultiQAVectorStore.from_texts([None], EMBEDDINGS, path=tmp_path)  # type: ignore[list-item]
        with pytest.raises(TextError):
            asyncio.run(afrom_texts())


def test_other_embeddings_and_other_models_are_kept_out(tmp_path: Path) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    with pytest.raises(ConfigurationError, match="expected MultiQAEmbeddings"):
        MultiQAVectorStore(DeterministicFakeEmbedding(size=384), path=tmp_path)
    MultiQAVectorStore(EMBEDDINGS, path=tmp_path).close()
    with pytest.raises(CollectionMismatchError, match="fingerprint"):
        MultiQAVectorStore(MultiQAEmbeddings(encoder=FakeEncoder(seed=1)), path=tmp_path)


# --- values, and what of LangChain depends on them ----------------------------------------------


def test_values_are_filtered_by_as_they_are_stored(store: Store, name: str) -> None:
    about: dict[str, Any] = {
        "day": date(2024, 5, 1),
        "at": datetime(2024, 5, 1, 12, tzinfo=timezone.utc),
        "id": uuid.UUID(int=1),
        "price": Decimal("1.50"),
        "size": np.int64(3),
        "share": np.float32(0.5),
        "tags": {"b", "a"},
        "path": PurePosixPath("/x"),
    }
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store)
    made.add_texts(["with", "without"], [about, {}], ids=["with", "without"])
    for key, value in about.items():
        assert ids(made.similarity_search("x", filter={key: value})) == ["with"], key
        assert ids(made.similarity_search("x", filter={key: [value, 7]})) == ["with"], key
    with pytest.raises(ConfigurationError, match=r"'the one'\['a'\] is bytes"):
        made.add_texts(["good", "bad"], [{}, {"a": b"x"}], ids=["good", "the one"])
    assert made.get_by_ids(["good"]) == []


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_time_weighted_retriever(store: Store, name: str, coroutine: bool) -> None:
    retrievers = pytest.importorskip("langchain_classic.retrievers")
    retriever = retrievers.TimeWeightedVectorStoreRetriever(
        vectorstore=MultiQAVectorStore(EMBEDDINGS, name, store=store), decay_rate=0.01, k=1
    )
    now = datetime.now()  # noqa: DTZ005 - the retriever's own are without a zone
    yesterday = {"last_accessed_at": now - timedelta(days=1)}
    documents = [Document("the red button stops it", metadata=yesterday), Document("blue sky")]
    if coroutine:
        asyncio.run(retriever.aadd_documents(documents))
        found = asyncio.run(retriever.ainvoke("red button"))
    else:
        retriever.add_documents(documents)
        found = retriever.invoke("red button")
    assert [document.page_content for document in found] == ["the red button stops it"]


def test_cached_embeddings(tmp_path: Path) -> None:
    caching = pytest.importorskip("langchain_classic.embeddings").CacheBackedEmbeddings
    encoder = Counting()
    embeddings = MultiQAEmbeddings(encoder=encoder)
    cached = caching.from_bytes_store(
        embeddings, InMemoryByteStore(), namespace=embeddings.fingerprint, key_encoder="sha256"
    )
    with MultiQAVectorStore(cached, path=tmp_path) as made:
        assert made.embeddings is cached
        made.add_documents(DOCUMENTS)
        once = encoder.calls
        made.add_documents(DOCUMENTS)
        asyncio.run(made.aadd_documents(document for document in DOCUMENTS))
        assert encoder.calls == once
        assert ids(made.similarity_search(DOCUMENTS[1].page_content, k=1)) == ["m#2"]
        assert len(made.max_marginal_relevance_search("machine", k=2)) == 2
    with MultiQAVectorStore(embeddings, path=tmp_path) as same:
        assert same.similarity_search_with_score(DOCUMENTS[1].page_content, k=1)[0][1] > 0.9999


# --- with langchain-qdrant ----------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    opened = QdrantClient(":memory:")
    yield opened
    opened.close()


def test_what_langchain_qdrant_wrote_is_read(client: QdrantClient) -> None:
    vector = models.VectorParams(size=384, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=vector)
    theirs = QdrantVectorStore(client, "docs", embedding=EMBEDDINGS)
    (written,) = theirs.add_documents([Document("a red fish", metadata={"n": 1})])
    with pytest.warns(CollectionWarning, match="adopt=True"):
        ours = MultiQAVectorStore(EMBEDDINGS, "docs", client=client)
    (found,) = ours.similarity_search("red fish")
    assert (found.page_content, found.metadata) == ("a red fish", {"n": 1})
    assert uuid.UUID(found.id) == uuid.UUID(written)
    assert MultiQAVectorStore(EMBEDDINGS, "docs", client=client, adopt=True).delete([written])
    assert ours.collection.count() == 0


def test_what_was_written_here_is_read_by_langchain_qdrant(client: QdrantClient) -> None:
    ours = MultiQAVectorStore(EMBEDDINGS, "docs", client=client)
    ours.add_documents(DOCUMENTS)
    theirs = QdrantVectorStore(client, "docs", embedding=EMBEDDINGS)
    (document, score) = theirs.similarity_search_with_score("red button", k=1)[0]
    assert document.page_content == DOCUMENTS[0].page_content
    assert document.metadata["chapter"] == 1
    assert score == pytest.approx(ours.similarity_search_with_score("red button", k=1)[0][1])
    theirs.add_texts(["written by the other"], metadatas=[{"n": 9}])
    assert ours.similarity_search("written by the other", k=1)[0].metadata == {"n": 9}


# --- LangChain's index() ------------------------------------------------------------------------


def contents(store: MultiQAVectorStore) -> set[str]:
    points, _ = store.collection.store.scroll(store.collection.name, limit=1000)
    return {point.payload["page_content"] for point in points}


def documents(*texts: str, source: str = "s") -> list[Document]:
    return [Document(text, metadata={"source": source}) for text in texts]


@pytest.mark.parametrize("cleanup", ["incremental", "full", "scoped_full"])
def test_index(store: Store, name: str, cleanup: Any) -> None:
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store)
    manager = InMemoryRecordManager("test")
    manager.create_schema()

    def run(*texts: str) -> IndexingResult:
        return index(
            documents(*texts),
            manager,
            made,
            cleanup=cleanup,
            source_id_key="source",
            key_encoder=uuid5_key_encoder,
        )

    assert run("a", "b", "c")["num_added"] == 3
    assert run("a", "b", "c") == {
        "num_added": 0, "num_updated": 0, "num_skipped": 3, "num_deleted": 0
    }  # fmt: skip
    changed = run("a", "b2", "c")
    assert (changed["num_added"], changed["num_deleted"]) == (1, 1)
    assert contents(made) == {"a", "b2", "c"}


def test_an_emptied_store_is_filled_again_only_by_force(store: Store, name: str) -> None:
    """The record manager does not look into the store: docs/langchain.md says what to do."""
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store)
    manager = InMemoryRecordManager("test")
    manager.create_schema()
    settings: Any = {
        "cleanup": "full", "source_id_key": "source", "key_encoder": uuid5_key_encoder
    }  # fmt: skip
    index(documents("a", "b"), manager, made, **settings)
    store.drop(name)
    made = MultiQAVectorStore(EMBEDDINGS, name, store=store)
    assert index(documents("a", "b"), manager, made, **settings)["num_skipped"] == 2
    assert contents(made) == set()
    index(documents("a", "b"), manager, made, force_update=True, **settings)
    assert contents(made) == {"a", "b"}


def test_keys_depend_on_text_and_metadata_only() -> None:
    key = uuid5_key_encoder(Document("text", metadata={"a": 1, "b": [2]}))
    assert key == uuid5_key_encoder(Document("text", id="x", metadata={"b": [2], "a": 1}))
    others = [Document("text"), Document("other", metadata={"a": 1, "b": [2]})]
    assert key not in {uuid5_key_encoder(one) for one in others}


def test_metadata_is_untouched(vectors: MultiQAVectorStore) -> None:
    (found,) = vectors.get_by_ids(["m#2"])
    assert found == DOCUMENTS[1]
    # By gRPC maps have no order.
    expected = json.dumps(DOCUMENTS[1].metadata, sort_keys=True)
    assert json.dumps(found.metadata, sort_keys=True) == expected
    assert np.all([not key.startswith("_") for key in found.metadata])


def test_searches_with_options_of_other_types() -> None:
    store = MultiQAVectorStore(
        MultiQAEmbeddings(encoder=FakeEncoder()), client=QdrantClient(":memory:")
    )
    wrong: list[dict[str, Any]] = [{"fetch_k": None}, {"k": "4"}, {"lambda_mult": "0.5"}]
    for options in wrong:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            store.max_marginal_relevance_search("x", **options)
    vectors: list[Any] = ["abc", ["a"] * 384]
    for vector in vectors:
        with pytest.raises(ConfigurationError, match="vector is not one of numbers"):
            store.similarity_search_by_vector(vector)
