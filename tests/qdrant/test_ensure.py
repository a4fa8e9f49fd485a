"""A wrong collection is impossible to miss."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from multiqa_integrations import MULTI_QA
from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    ConfigurationError,
)
from multiqa_integrations.qdrant import (
    CollectionSchema,
    EdgeStore,
    ServerStore,
    Store,
    check_collection,
    ensure_collection,
)
from multiqa_integrations.qdrant.differences import differences
from multiqa_integrations.qdrant.info import CollectionInfo, VectorInfo

OURS = "sha256:ours/mean/l2"


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


def cosine(size: int = 384, **more: Any) -> models.VectorParams:
    return models.VectorParams(size=size, distance=models.Distance.COSINE, **more)


def test_a_new_collection_says_who_fills_it(client: QdrantClient) -> None:
    report = ensure_collection(
        client,
        "docs",
        spec=MULTI_QA,
        fingerprint=OURS,
        sparse=True,
        payload_indexes={"metadata.lang": "keyword"},
        hnsw_config=models.HnswConfigDiff(m=24),
        on_disk=True,
    )
    assert report.created
    assert report.fingerprint == "created"
    info = client.get_collection("docs")
    assert info.config.metadata == {
        "multiqa": {
            "fingerprint": OURS,
            "model": MULTI_QA.name,
            "format": 1,
            "identity": report.info.identity,
        }
    }
    vectors = info.config.params.vectors
    assert isinstance(vectors, models.VectorParams)
    assert (vectors.size, vectors.distance, vectors.on_disk) == (384, "Cosine", True)
    sparse = info.config.params.sparse_vectors
    assert sparse is not None
    assert sparse["bm25"].modifier == models.Modifier.IDF
    # Local mode reports no payload index whatever was created: that is no difference.
    check_collection(client, "docs", fingerprint=OURS, payload_indexes={"metadata.lang": "keyword"})


WRONG: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"vectors_config": cosine(768)}, {}, {"dimension": 384}, {"dimension": 768}),
    (
        {"vectors_config": models.VectorParams(size=384, distance=models.Distance.EUCLID)},
        {},
        {"distance": "cosine"},
        {"distance": "euclid"},
    ),
    (
        {"vectors_config": {"dense": cosine(), "image": cosine(512)}},
        {},
        {"vector": "unnamed"},
        {"vector": "named 'dense', 'image'"},
    ),
    (
        {"vectors_config": cosine()},
        {"vector_name": "dense"},
        {"vector": "named 'dense'"},
        {"vector": "unnamed"},
    ),
    (
        {"vectors_config": cosine(datatype=models.Datatype.UINT8)},
        {},
        {"datatype": "float32 or float16"},
        {"datatype": "uint8"},
    ),
    (
        {
            "vectors_config": cosine(
                multivector_config=models.MultiVectorConfig(
                    comparator=models.MultiVectorComparator.MAX_SIM
                )
            )
        },
        {},
        {"vectors per point": "one"},
        {"vectors per point": "many (multivector)"},
    ),
    (
        {"vectors_config": cosine()},
        {"sparse": True},
        {"sparse vector": "'bm25' with IDF"},
        {"sparse vector": "none"},
    ),
    (
        {
            "vectors_config": cosine(),
            "sparse_vectors_config": {"words": models.SparseVectorParams()},
        },
        {"sparse": "words"},
        {"sparse vector": "'words' with IDF"},
        {"sparse vector": "'words' without IDF"},
    ),
    (
        {
            "vectors_config": cosine(),
            "metadata": {"multiqa": {"fingerprint": "sha256:theirs", "model": "other"}},
        },
        {},
        {"fingerprint": OURS},
        {"fingerprint": "sha256:theirs"},
    ),
]


@pytest.mark.parametrize(("made", "asked", "expected", "actual"), WRONG)
def test_every_difference_is_named(
    client: QdrantClient,
    made: dict[str, Any],
    asked: dict[str, Any],
    expected: dict[str, Any],
    actual: dict[str, Any],
) -> None:
    client.create_collection("docs", **made)
    before = client.get_collection("docs")
    for look in (ensure_collection, check_collection):
        with pytest.raises(CollectionMismatchError) as caught:
            look(client, "docs", fingerprint=OURS, **asked)
        assert caught.value.collection == "docs"
        assert caught.value.expected == expected
        assert caught.value.actual == actual
        for value in (*expected.values(), *actual.values()):
            assert str(value) in str(caught.value)
    assert client.get_collection("docs") == before


def test_several_differences_at_once(client: QdrantClient) -> None:
    client.create_collection(
        "docs",
        vectors_config=models.VectorParams(size=3, distance=models.Distance.MANHATTAN),
        metadata={"multiqa": {"fingerprint": "sha256:theirs"}},
    )
    with pytest.raises(CollectionMismatchError) as caught:
        check_collection(client, "docs", fingerprint=OURS, sparse=True)
    assert set(caught.value.expected) == {"dimension", "distance", "sparse vector", "fingerprint"}


def test_dot_is_accepted_on_an_existing_collection(client: QdrantClient) -> None:
    ensure_collection(client, "docs", fingerprint=OURS, distance="dot")
    vectors = client.get_collection("docs").config.params.vectors
    assert isinstance(vectors, models.VectorParams)
    assert vectors.distance == models.Distance.DOT
    assert ensure_collection(client, "docs", fingerprint=OURS).fingerprint == "matches"


def test_without_a_fingerprint_it_warns_until_it_is_adopted(client: QdrantClient) -> None:
    client.create_collection("docs", vectors_config=cosine(), metadata={"team": "search"})
    with pytest.warns(CollectionWarning, match="adopt=True") as caught:
        report = ensure_collection(client, "docs", fingerprint=OURS)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert report.fingerprint == "absent"
    assert client.get_collection("docs").config.metadata == {"team": "search"}
    assert ensure_collection(client, "docs", fingerprint=OURS, adopt=True).fingerprint == "adopted"
    metadata = client.get_collection("docs").config.metadata
    assert metadata is not None
    assert metadata["team"] == "search"
    assert metadata["multiqa"]["fingerprint"] == OURS
    assert ensure_collection(client, "docs", fingerprint=OURS).fingerprint == "matches"
    with pytest.raises(CollectionMismatchError):
        ensure_collection(client, "docs", fingerprint="sha256:other", adopt=True)


def test_points_tell_where_the_collection_does_not(client: QdrantClient) -> None:
    """Servers before 1.16 keep no metadata of collections."""
    client.create_collection("docs", vectors_config=cosine())
    vector = np.eye(384)[0].tolist()

    def write(number: int, fingerprint: str) -> None:
        payload = {"_multiqa": {"fingerprint": fingerprint}}
        client.upsert("docs", [models.PointStruct(id=number, vector=vector, payload=payload)])

    write(1, OURS)
    assert ensure_collection(client, "docs", fingerprint=OURS).fingerprint == "matches"
    write(2, "sha256:theirs")
    with pytest.raises(CollectionMismatchError, match=f"found {OURS} and sha256:theirs"):
        ensure_collection(client, "docs", fingerprint=OURS)


def test_payload_indexes(tmp_path: Path) -> None:
    """On an engine that has them."""
    with EdgeStore(tmp_path) as store:
        store.ensure("docs", CollectionSchema(fingerprint=OURS))
        wanted = {
            "a": "keyword",
            "b": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            "c": models.TextIndexParams(
                type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WHITESPACE
            ),
        }
        with pytest.raises(CollectionMismatchError) as caught:
            check_collection(store, "docs", fingerprint=OURS, payload_indexes=wanted)
        assert caught.value.expected == {
            "payload index a": "keyword",
            "payload index b": "keyword",
            "payload index c": "text",
        }
        assert set(caught.value.actual.values()) == {"none"}
        report = ensure_collection(store, "docs", fingerprint=OURS, payload_indexes=wanted)
        assert report.created_indexes == ("a", "b", "c")
        again = ensure_collection(store, "docs", fingerprint=OURS, payload_indexes=wanted)
        assert again.created_indexes == ()
        with pytest.raises(CollectionMismatchError, match="payload index a: expected integer"):
            ensure_collection(store, "docs", fingerprint=OURS, payload_indexes={"a": "integer"})


def test_a_race_of_creators_has_one_winner(store: Store, name: str) -> None:
    schema = CollectionSchema(fingerprint=OURS)
    start = threading.Barrier(8)
    reports, errors = [], []

    def create() -> None:
        start.wait()
        try:
            reports.append(store.ensure(name, schema))
        except Exception as error:  # noqa: BLE001  (whatever it is, it fails the test)
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(report.created for report in reports) == 1


def test_a_slow_creator_finds_the_collection_of_a_faster_one(client: QdrantClient) -> None:
    """Between the look and the creation somebody else creates it."""

    class Slow(ServerStore):
        pass

    faster = QdrantClient.create_collection

    def create(self: QdrantClient, *arguments: Any, **options: Any) -> bool:
        faster(self, *arguments, **options)
        return faster(self, *arguments, **options)  # the second is too late

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QdrantClient, "create_collection", create)
        report = Slow(client).ensure("docs", CollectionSchema(fingerprint=OURS))
    assert not report.created
    assert report.fingerprint == "matches"


async def test_the_asynchronous_client() -> None:
    client = AsyncQdrantClient(":memory:")
    report = await ensure_collection(client, "docs", fingerprint=OURS)
    assert report.created
    assert (await check_collection(client, "docs", fingerprint=OURS)).fingerprint == "matches"
    with pytest.raises(CollectionMismatchError, match="fingerprint"):
        await ensure_collection(client, "docs", fingerprint="sha256:other")
    await client.create_collection("foreign", vectors_config=cosine())
    with pytest.warns(CollectionWarning):
        await ensure_collection(client, "foreign", fingerprint=OURS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distance": "euclid"}, "expected 'cosine' or 'dot'"),
        ({"fingerprint": ""}, "expected encoder.fingerprint"),
        ({"fingerprint": None}, "expected one of encoder and fingerprint"),
        ({"payload_indexes": {"a": "word"}}, "expected one of keyword"),
        ({"payload_indexes": {"a": 3}}, "expected one of keyword"),
        ({"sparse": ""}, "expected True, False or a name"),
        ({"vectors_config": cosine()}, "vectors_config is made from the schema"),
    ],
)
def test_bad_arguments(client: QdrantClient, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ensure_collection(client, "docs", **{"fingerprint": OURS, **arguments})
    assert not client.collection_exists("docs")


def test_what_is_no_client() -> None:
    with pytest.raises(ConfigurationError, match="expected QdrantClient"):
        ensure_collection("http://localhost:6333", "docs", fingerprint=OURS)  # type: ignore[call-overload]


def test_half_precision_is_no_difference() -> None:
    """A server may keep float16; local mode cannot show that."""
    schema = CollectionSchema(fingerprint=OURS)
    for datatype, names in (("float16", []), ("uint8", ["datatype"])):
        info = CollectionInfo(
            name="docs",
            points=0,
            vectors={"": VectorInfo(size=384, distance="cosine", datatype=datatype)},
        )
        assert [one.name for one in differences(schema, info, indexes=True)] == names


def test_a_collection_that_fits_is_silent(client: QdrantClient) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ensure_collection(client, "docs", fingerprint=OURS)
        ensure_collection(client, "docs", fingerprint=OURS)
        check_collection(client, "docs", fingerprint=OURS)
