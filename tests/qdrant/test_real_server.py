"""What only a real Qdrant server can prove; the conformance suite runs on it as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from multiqa_integrations.errors import CollectionMismatchError, StoreError, WriteRejectedError
from multiqa_integrations.qdrant import (
    CollectionSchema,
    Point,
    PointQuery,
    Store,
    Uploader,
    check_collection,
    ensure_collection,
    open_store,
)
from multiqa_integrations.types import Vectors
from tests.support.engines import Server

pytestmark = pytest.mark.server

SCHEMA = CollectionSchema(fingerprint="sha256:ours", model="m", payload_indexes={"n": "integer"})


def unit(count: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, 384)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def points(count: int) -> list[Point]:
    return [Point(n, {"": vector}, {"n": n}) for n, vector in enumerate(unit(count))]


@pytest.fixture(params=[False, True], ids=["rest", "grpc"])
def store(request: pytest.FixtureRequest, server: Server, name: str) -> Iterator[Store]:
    with server.open(prefer_grpc=request.param) as opened:
        yield opened
        for collection in opened.collections():
            if collection.startswith(name):
                opened.drop(collection, force=True)


@pytest.fixture
def client(server: Server, name: str) -> Iterator[QdrantClient]:
    opened = QdrantClient(url=server.url, api_key=server.api_key, check_compatibility=False)
    yield opened
    opened.delete_collection(name)
    opened.close()


def test_the_fingerprint_is_in_the_metadata(store: Store, client: QdrantClient, name: str) -> None:
    report = store.ensure(name, SCHEMA)
    assert client.get_collection(name).config.metadata == {
        "multiqa": SCHEMA.metadata(report.info.identity)
    }
    assert store.check(name, SCHEMA).info.payload_indexes == {"n": "integer"}
    with pytest.raises(CollectionMismatchError, match="fingerprint"):
        store.ensure(name, CollectionSchema(fingerprint="sha256:theirs"))


QUANTIZATIONS: list[Any] = [
    models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)),
    models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X4)
    ),
    models.BinaryQuantization(binary=models.BinaryQuantizationConfig()),
    models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig()),
]


@pytest.mark.parametrize("quantization", QUANTIZATIONS, ids=lambda one: type(one).__name__)
def test_kinds_of_quantization(store: Store, name: str, quantization: Any) -> None:
    report = store.ensure(
        name,
        SCHEMA,
        quantization_config=quantization,
        hnsw_config=models.HnswConfigDiff(m=24, ef_construct=128),
    )
    assert "quantization" in report.info.details
    with Uploader(store, name) as uploader:
        uploader.add(points(1000))
    for row in (0, 500, 999):
        query = PointQuery(vector=unit(1000)[row], limit=1, rescore=True, oversampling=4.0)
        assert [point.id for point in store.query(name, query)] == [row]
        exact = PointQuery(vector=unit(1000)[row], limit=3, exact=True)
        scores = np.sort(unit(1000) @ unit(1000)[row])[::-1][:3]
        np.testing.assert_allclose([p.score for p in store.query(name, exact)], scores, atol=1e-5)


def test_strict_mode_wants_indexes(store: Store, name: str) -> None:
    strict = models.StrictModeConfig(
        enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
    )
    schema = CollectionSchema(fingerprint="sha256:ours")
    store.ensure(name, schema, strict_mode_config=strict)
    store.upsert(name, points(10))
    condition = models.FieldCondition(key="n", range=models.Range(gte=5))
    query = PointQuery(vector=unit(1)[0], filter=models.Filter(must=[condition]))
    with pytest.raises(StoreError, match="[Ii]ndex"):
        store.query(name, query)
    assert store.ensure(name, SCHEMA).created_indexes == ("n",)
    assert len(store.query(name, query)) == 5


def test_a_collection_that_changed_behind_us(store: Store, client: QdrantClient, name: str) -> None:
    """The dimension was checked against what the collection was."""
    store.ensure(name, SCHEMA)
    store.upsert(name, points(1))
    client.delete_collection(name)
    params = models.VectorParams(size=3, distance=models.Distance.COSINE)
    client.create_collection(name, vectors_config=params)
    with pytest.raises(StoreError, match="(?i)dimension"):
        store.upsert(name, points(2))
    assert client.count(name).count == 0


def test_more_than_32_megabytes(store: Store, name: str) -> None:
    if getattr(store, "grpc", False):
        pytest.skip("by gRPC a server takes it")
    store.ensure(name, SCHEMA)
    good = points(20)
    huge = Point(1000, good[0].vectors, {"text": "x" * 34_000_000})
    with pytest.raises(WriteRejectedError) as caught, Uploader(store, name) as uploader:
        uploader.add([*good[:10], huge, *good[10:]])
    assert caught.value.ids == ["1000"]
    assert store.count(name) == 20


def test_keys(server: Server, name: str) -> None:
    if server.api_key is None:
        pytest.skip("this server wants no API key")
    for key in ("", "wrong"):
        with (
            open_store(url=server.url, api_key=key or None) as store,
            pytest.raises(StoreError, match="QDRANT_API_KEY"),
        ):
            store.collections()


def test_a_client_of_the_users(client: QdrantClient, name: str) -> None:
    assert ensure_collection(client, name, fingerprint="sha256:ours").created
    assert check_collection(client, name, fingerprint="sha256:ours").fingerprint == "matches"


async def test_an_asynchronous_client_of_the_users(server: Server, name: str) -> None:
    client = AsyncQdrantClient(url=server.url, api_key=server.api_key, check_compatibility=False)
    report = await ensure_collection(client, name, fingerprint="sha256:ours")
    assert report.created
    store = open_store(client=client)
    await store.aupsert(name, points(5))
    assert await store.acount(name) == 5
    assert await store.adrop(name)
    await client.close()
