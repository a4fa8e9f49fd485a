"""Documents in, hits out, over every engine."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    ConfigurationError,
    TextError,
    TextTypeError,
    TruncationWarning,
)
from multiqa_integrations.qdrant import Collection, EdgeStore, Store
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document, Hit

ENCODER = FakeEncoder()
MANUAL = [
    Document("The red button stops the machine.", "manual#1", {"chapter": 1, "safety": True}),
    Document("Oil the chain once a year.", "manual#2", {"chapter": 2, "safety": False}),
    Document("The green button starts the machine.", "manual#3", {"chapter": 1, "safety": False}),
    Document("Keep children away from the chain.", "manual#4", {"chapter": 3, "safety": True}),
]


@pytest.fixture
def manual(store: Store, name: str) -> Collection:
    collection = Collection.open(name, encoder=ENCODER, store=store, sparse=True)
    assert collection.add(MANUAL) == [f"manual#{n}" for n in (1, 2, 3, 4)]
    return collection


def must(key: str, value: Any) -> models.Filter:
    condition = models.FieldCondition(key=key, match=models.MatchValue(value=value))
    return models.Filter(must=[condition])


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_search(manual: Collection) -> None:
    hits = manual.search("what does the red button do", limit=2)
    assert ids(hits) == ["manual#1", "manual#3"]
    assert hits[0].text == MANUAL[0].text
    assert hits[0].metadata == {"chapter": 1, "safety": True}
    assert hits[0].vector is None
    expected = float(
        (
            ENCODER.encode_query(["what does the red button do"])
            @ ENCODER.encode([MANUAL[0].text]).T
        )[0, 0]
    )
    assert hits[0].score == pytest.approx(expected, abs=1e-5)
    both = manual.search_batch(["red button", "oil"], limit=1)
    assert [ids(hits) for hits in both] == [["manual#1"], ["manual#2"]]
    assert manual.search_batch([]) == []


def test_search_options(manual: Collection) -> None:
    safe = manual.search("the chain", filter=must("metadata.safety", True))
    assert set(ids(safe)) == {"manual#1", "manual#4"}
    scores = [hit.score for hit in manual.search("the chain")]
    assert len(manual.search("the chain", score_threshold=(scores[0] + scores[1]) / 2)) == 1
    second = manual.search("the chain", limit=1, offset=1)
    assert second[0].score == pytest.approx(scores[1])
    vector = manual.search("oil", with_vectors=True)[0].vector
    assert vector is not None
    np.testing.assert_allclose(vector, ENCODER.encode([MANUAL[1].text])[0], atol=1e-6)
    assert ids(manual.search("oil", exact=True)) == ids(manual.search("oil"))


def test_hybrid(manual: Collection) -> None:
    hits = manual.search("oiled chains yearly", hybrid=True, limit=4)
    assert hits[0].id == "manual#2", "the words are stemmed"
    assert hits[0].score > hits[1].score
    # A query of stop words only has no words to search by.
    assert len(manual.search("the of and", hybrid=True, limit=4)) == 4
    only = manual.search("chain", hybrid=True, filter=must("metadata.chapter", 3))
    assert ids(only) == ["manual#4"]
    with pytest.raises(ConfigurationError, match="come from ranks"):
        manual.search("chain", hybrid=True, score_threshold=0.5)


def test_hybrid_needs_its_vector(store: Store, name: str) -> None:
    plain = Collection.open(name, encoder=ENCODER, store=store)
    plain.add(MANUAL)
    with pytest.raises(CollectionMismatchError, match="created with sparse=True"):
        plain.search("chain", hybrid=True)
    with pytest.raises(CollectionMismatchError, match="created with sparse=True"):
        Collection.open(name, encoder=ENCODER, store=store, sparse=True)


def test_reopened_without_asking_it_still_writes_the_words(
    manual: Collection, store: Store, name: str
) -> None:
    again = Collection.open(name, encoder=ENCODER, store=store)
    again.add(["Polish the brass bell."], ids=["manual#5"])
    assert again.search("brass bells", hybrid=True, limit=1)[0].id == "manual#5"


def test_mmr(manual: Collection) -> None:
    closest = ids(manual.mmr("button machine", limit=2, diversity=0.0))
    assert sorted(closest) == ["manual#1", "manual#3"]
    first, second = manual.mmr("button machine", limit=2, diversity=0.9)
    assert first.id in ("manual#1", "manual#3")
    assert second.id in ("manual#2", "manual#4")
    assert len(manual.mmr("chain", k=3, filter=must("metadata.chapter", 1))) == 2
    with pytest.raises(ConfigurationError, match="diversity"):
        manual.mmr("chain", diversity=1.5)
    with pytest.raises(ConfigurationError, match="limit was given twice"):
        manual.mmr("chain", limit=1, k=2)


def test_ids(store: Store, name: str) -> None:
    collection = Collection.open(name, encoder=ENCODER, store=store)
    own = "5C1C6D8E-2F7A-4B7E-9C53-0D1A2B3C4D5E"
    given = collection.add(["one", "two", "three", "three"], ids=[own, "a b/c#ü", None, None])
    assert given[:2] == [own, "a b/c#ü"]
    assert len(set(given)) == 4, "two equal texts are two documents"
    assert uuid.UUID(given[2]).version == 4
    # What is given back is what was given, also where Qdrant writes it differently.
    assert [document.id for document in collection.get(given)] == given
    assert collection.search("one", limit=1)[0].id == own
    assert store.retrieve(name, [own.lower()])[0].payload["page_content"] == "one"
    collection.add(["one, again"], ids=[own])
    assert collection.count() == 4
    assert collection.get([own])[0].text == "one, again"
    assert collection.get(["nobody"]) == []
    collection.delete([own, "nobody", given[3]])
    assert collection.count() == 2
    collection.delete(filter=models.Filter(must=[models.HasIdCondition(has_id=[given[2]])]))
    assert collection.count() == 1


def test_points_of_others_with_numbers_as_ids(store: Store, name: str) -> None:
    collection = Collection.open(name, encoder=ENCODER, store=store)
    from multiqa_integrations.qdrant import Point

    vector = ENCODER.encode(["theirs"])[0]
    store.upsert(name, [Point(17, {"": vector}, {"page_content": "theirs", "metadata": None})])
    hit = collection.search("theirs")[0]
    assert (hit.id, hit.text, hit.metadata) == ("17", "theirs", {})
    assert collection.get(["17"])[0].text == "theirs"
    collection.delete(["17"])
    assert collection.count() == 0


def test_metadata_is_kept_as_it_is(store: Store, name: str) -> None:
    collection = Collection.open(name, encoder=ENCODER, store=store)
    metadata: dict[str, Any] = {
        "text": "é🙂",
        "": "an empty key",
        "a.b": [1, -2.5, None, True, {"deep": [[], {}]}],
        # By gRPC whole numbers are signed.
        "big": [(1 << 63 if getattr(store, "grpc", False) else 1 << 64) - 1, -(1 << 63)],
        "page_content": "not the text",
        "_multiqa": "not ours",
    }
    collection.add(["x"], ids=["x"], metadatas=[metadata])
    assert collection.get(["x"])[0].metadata == metadata


def test_lone_surrogates_are_repaired_everywhere(store: Store, name: str) -> None:
    collection = Collection.open(name, encoder=ENCODER, store=store)
    broken = "half \ud83d of it"
    given = collection.add([Document(broken, broken, {broken: [broken]})])
    whole = "half \ufffd of it"
    assert given == [broken]
    assert collection.get([broken])[0] == Document(whole, whole, {whole: [whole]})
    assert collection.search(whole)[0].id == whole


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), r"metadata of document 'x'\['k'\] is nan"),
        (float("-inf"), "is -inf"),
        (1 << 64, "beyond 64 bits"),
        (b"bytes", "bytes, expected a JSON value"),
        (timedelta(1), "timedelta, expected a JSON value"),
        ({1: 2}, "has the key 1"),
        ([{"a": b"2"}], r"\[0\]\['a'\] is bytes"),
        (np.timedelta64(5, "s"), "timedelta64"),
        (Decimal("NaN"), "Decimal"),
        (deep(30), "more than 30 levels"),
        (deep(5_000), "more than 30 levels"),
    ],
)
def test_metadata_that_cannot_be_kept(store: Store, name: str, value: Any, message: str) -> None:
    collection = Collection.open(name, encoder=ENCODER, store=store)
    good = Document("good", "y")
    with pytest.raises(ConfigurationError, match=message):
        collection.add([good, Document("bad", "x", {"k": value})])
    assert collection.count() == 0, "a list is checked whole before anything is written"


@pytest.mark.parametrize(
    ("documents", "more", "kind", "message"),
    [
        ("one text", {}, TextTypeError, "Pass a list"),
        (Document("one"), {}, TextTypeError, "Pass a list"),
        (None, {}, TextTypeError, "NoneType"),
        (["x", None], {}, TextError, "text 1 is None"),
        ([Document(3)], {}, TextError, "text 0 is int"),  # type: ignore[arg-type]
        (["x"], {"ids": ["a", "b"]}, ConfigurationError, "2 ids for 1 documents"),
        (["x"], {"ids": [3]}, ConfigurationError, r"Pass str\(id\)"),
        (["x"], {"ids": [10**5_000]}, ConfigurationError, r"Pass str\(id\)"),
        ([10**5_000], {}, TextTypeError, "text 0 is int"),
        (np.array("x"), {}, TextTypeError, "one ndarray"),
        (["x"], {"metadatas": [np.arange(2)]}, ConfigurationError, "is ndarray, expected a dict"),
        (["x"], {"metadatas": []}, ConfigurationError, "0 metadatas for 1 documents"),
        (["x"], {"metadatas": ["a"]}, ConfigurationError, "is str, expected a dict"),
        ([Document("x")], {"ids": ["a"]}, ConfigurationError, "has its own id"),
        (iter(["x"]), {"ids": ["a"]}, ConfigurationError, "a generator of"),
        (["x", "y"], {"ids": "ab"}, ConfigurationError, "ids is str, expected a list"),
        (["x"], {"ids": {"a"}}, ConfigurationError, "ids is set, expected a list"),
        (["x"], {"metadatas": {"a": 1}}, ConfigurationError, "metadatas is dict, expected a list"),
    ],
)
def test_bad_documents(
    documents: Any, more: dict[str, Any], kind: type[Exception], message: str
) -> None:
    collection = Collection.open("docs", encoder=ENCODER, client=QdrantClient(":memory:"))
    with pytest.raises(kind, match=message):
        collection.add(documents, **more)
    assert collection.count() == 0


def test_a_generator_is_read_in_windows(store: Store, name: str) -> None:
    collection = Collection.open(name, encoder=ENCODER, store=store)
    most_waiting = read = 0

    def documents() -> Iterator[Document]:
        nonlocal read, most_waiting
        for number in range(2400):
            read += 1
            if number % 100 == 0:
                most_waiting = max(most_waiting, read - collection.count())
            yield Document(f"text {number}", f"id {number}")

    assert collection.add(documents()) == [f"id {number}" for number in range(2400)]
    assert collection.count() == 2400
    # A window of the encoder, and what waits for or is under way to the store.
    assert most_waiting <= 1800
    assert collection.add([]) == []
    assert collection.add(iter(())) == []


@pytest.mark.parametrize(
    ("query", "options", "kind", "message"),
    [
        (None, {}, TextTypeError, "the query is NoneType"),
        (["x"], {}, TextTypeError, "search_batch"),
        ("x", {"limit": 0}, ConfigurationError, "limit is 0"),
        ("x", {"limit": True}, ConfigurationError, "limit is True"),
        ("x", {"offset": -1}, ConfigurationError, "offset is -1"),
        ("x", {"limit": None}, ConfigurationError, "limit is None"),
        ("x", {"score_threshold": float("nan")}, ConfigurationError, "score_threshold is nan"),
        ("x", {"score_threshold": "0.5"}, ConfigurationError, "score_threshold is '0.5'"),
        ("x", {"filter": {"must": []}}, ConfigurationError, "models.Filter"),
        ("x", {"colour": "red"}, ConfigurationError, "unknown options: colour. Known are"),
    ],
)
def test_bad_searches(
    query: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    collection = Collection.open("docs", encoder=ENCODER, client=QdrantClient(":memory:"))
    with pytest.raises(kind, match=message):
        collection.search(query, **options)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0] * 384, "vector is list"),
        (np.ones((1, 384), np.float32), r"shape \(1, 384\)"),
        (np.full(384, "a"), "array of <U1"),
        (np.ones(384, complex), "array of complex128"),
        (np.full(384, 1e300), "NaN or infinite"),
    ],
)
def test_what_is_no_vector(vector: Any, message: str) -> None:
    collection = Collection.open("docs", encoder=ENCODER, client=QdrantClient(":memory:"))
    for search in (collection.search_by_vector, collection.mmr_by_vector):
        with pytest.raises(ConfigurationError, match=message):
            search(vector)


def test_bad_options_of_mmr() -> None:
    collection = Collection.open("docs", encoder=ENCODER, client=QdrantClient(":memory:"))
    for options, message in (
        ({"colour": "red"}, "unknown options: colour. Known are"),
        ({"diversity": "much"}, "diversity is 'much'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            collection.mmr("x", **options)  # type: ignore[arg-type]


def test_bad_queries_of_a_batch_are_named() -> None:
    collection = Collection.open("docs", encoder=ENCODER, client=QdrantClient(":memory:"))
    for queries, message in (
        (None, "expected a list of texts"),
        ("x", "list"),
        (["x", 3], "text 1"),
    ):
        with pytest.raises(TextTypeError, match=message):
            collection.search_batch(queries)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got none"),
        ({"path": "x", "url": "http://localhost"}, "got url and path"),
        ({"store": EdgeStore("x"), "path": "y"}, "store comes without"),
        ({"path": "x", "encoder": "the model"}, "expected MultiQAEncoder"),
    ],
)
def test_bad_ways_to_open(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Collection.open("docs", **{"encoder": ENCODER, **arguments})


def test_another_model_is_kept_out(manual: Collection, store: Store, name: str) -> None:
    with pytest.raises(CollectionMismatchError, match="fake:1"):
        Collection.open(name, encoder=FakeEncoder(seed=1), store=store)


def test_collections_of_others() -> None:
    """Another layout, a named vector, no fingerprint."""
    client = QdrantClient(":memory:")
    vector = models.VectorParams(size=384, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config={"dense": vector})
    row = ENCODER.encode(["a red fish"])[0].tolist()
    payload = {"body": "a red fish", "fields": {"n": 1}}
    client.upsert("theirs", [models.PointStruct(id=1, vector={"dense": row}, payload=payload)])
    with pytest.warns(CollectionWarning, match="adopt=True") as caught:
        theirs = Collection.open(
            "theirs",
            encoder=ENCODER,
            client=client,
            vector_name="dense",
            content_payload_key="body",
            metadata_payload_key="fields",
        )
    assert caught[0].filename == __file__
    theirs.add([Document("a blue bird", "bird", {"n": 2})])
    hits = theirs.search("red fish", with_vectors=True)
    assert [(hit.id, hit.text, hit.metadata) for hit in hits] == [
        ("1", "a red fish", {"n": 1}),
        ("bird", "a blue bird", {"n": 2}),
    ]
    assert hits[0].vector is not None
    assert ids(theirs.mmr("fish", limit=1)) == ["1"]


def test_coroutines(store: Store, name: str) -> None:
    async def everything() -> None:
        async with await Collection.aopen(name, encoder=ENCODER, store=store, sparse=True) as it:
            assert await it.aadd(MANUAL) == [document.id for document in MANUAL]
            assert (
                await it.aadd(
                    iter(["more"]),
                )
                != []
            )
            assert await it.acount() == 5
            assert ids(await it.asearch("red button", limit=1)) == ["manual#1"]
            both = await it.asearch_batch(["red button", "oil"], limit=1, hybrid=True)
            assert [ids(hits) for hits in both] == [["manual#1"], ["manual#2"]]
            assert len(await it.ammr("chain", limit=2)) == 2
            assert (await it.aget(["manual#2"]))[0].text == MANUAL[1].text
            await it.adelete(["manual#2"])
            assert await it.acount() == 4
            answers = await asyncio.gather(*[it.asearch("button", limit=2) for _ in range(30)])
            assert len({tuple(ids(hits)) for hits in answers}) == 1

    asyncio.run(everything())


def unindexed(store: Store) -> int:
    """How many points of "docs" were written since they were last optimised."""
    info = store.info("docs")
    assert info is not None
    assert info.indexed_vectors is not None
    return info.points - info.indexed_vectors


def test_much_is_optimised_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiqa_integrations.qdrant import upload as module

    monkeypatch.setattr(module, "OPTIMIZE_AT", 1000)
    with EdgeStore(tmp_path) as store:
        collection = Collection.open("docs", encoder=ENCODER, store=store)
        collection.add([f"text {number}" for number in range(900)])
        assert unindexed(store) == 900
        collection.add([f"more {number}" for number in range(200)])
        assert unindexed(store) == 0


def test_with_the_real_model(encoder: MultiQAEncoder, tmp_path: Path) -> None:
    with Collection.open("docs", encoder=encoder, path=tmp_path, sparse=True) as docs:
        docs.add(
            ["Around 9 million people live in London", "London is known for its theatres"],
            ids=["people", "theatres"],
        )
        with pytest.warns(TruncationWarning):
            docs.add(["word " * 2000], ids=["long"])
        hits = docs.search("How many inhabitants has the capital of England?", limit=2)
        assert ids(hits) == ["people", "theatres"]
        info = docs.store.info("docs")
        assert info is not None
        assert info.fingerprints == (encoder.fingerprint,)
        assert info.model == encoder.spec.name
        assert re.search("sha256:", next(iter(info.fingerprints)))
