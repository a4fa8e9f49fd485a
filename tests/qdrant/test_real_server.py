"""What only a real Qdrant server can prove; the conformance suite runs on it as well."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    LeaseError,
    StoreError,
    StorePermissionError,
    WriteRejectedError,
)
from multiqa_integrations.etl import plan, sync, verify
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    Point,
    PointQuery,
    Store,
    Uploader,
    check_collection,
    copy,
    ensure_collection,
    open_store,
)
from multiqa_integrations.testing import FakeEncoder
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


def users_client(kind: type[Any], server: Server) -> Any:
    """Make a client as a user does, whom it warns of a key over http."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return kind(url=server.url, api_key=server.api_key, check_compatibility=False)


@pytest.fixture
def client(server: Server, name: str) -> Iterator[QdrantClient]:
    opened: QdrantClient = users_client(QdrantClient, server)
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


def test_whole_numbers_that_grpc_rounds_are_exact_or_refused(server: Server, name: str) -> None:
    """Another program has written them by REST."""
    encoder = FakeEncoder()
    numbers = [2**63, 2**64 - 1, 1e19, -(2**63), 7]
    with server.open() as rest, server.open(prefer_grpc=True) as grpc:
        collection = Collection.open(name, store=rest, encoder=encoder)
        collection.add(
            [f"text {n}" for n in range(5)],
            ids=[str(n) for n in range(5)],
            metadatas=[{"deep": [{"number": number}]} for number in numbers],
        )
        by_grpc = Collection.open(name, store=grpc, encoder=encoder)
        for found in (by_grpc.get(list("01234")), by_grpc.search("text 1", limit=5)):
            for document in found:
                [number] = document.metadata["deep"]
                assert repr(number["number"]) == repr(numbers[int(document.id or 0)])
        assert copy(grpc, rest, name, to=f"{name}-copy").written == 5
        assert copy(rest, grpc, f"{name}-copy", to=name).unchanged == 5
        with pytest.raises(WriteRejectedError, match="Use REST") as caught:
            copy(grpc, grpc, name, to=f"{name}-other")
        assert len(caught.value.ids) == 2
        for collection_name in (name, f"{name}-copy", f"{name}-other"):
            rest.drop(collection_name)


def test_keys(server: Server, name: str) -> None:
    if server.api_key is None:
        pytest.skip("this server wants no API key")
    for key in ("", "wrong"):
        with (
            open_store(url=server.url, api_key=key or None) as store,
            pytest.raises(StoreError, match="QDRANT_API_KEY"),
        ):
            store.collections()


def token(server: Server, name: str, access: str) -> str:
    """Return a token with rights to one collection (RFC 7519, signed with the API key)."""
    claims = {"access": [{"collection": name, "access": access}]}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    digest = hmac.new((server.api_key or "").encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()


@pytest.mark.parametrize("access", ["r", "rw", "prw"])
def test_tokens_for_one_collection(
    server: Server, store: Store, client: QdrantClient, name: str, access: str
) -> None:
    if server.api_key is None:
        pytest.skip("this server wants no API key")
    rows = [{"id": n, "text": f"text {n}"} for n in range(20)]
    sync(rows[:1], name, store=store, encoder=FakeEncoder())
    options: dict[str, Any] = {
        "prefer_grpc": getattr(store, "grpc", False),
        "grpc_port": server.grpc_port,
    }
    with open_store(url=server.url, api_key=token(server, name, access), **options) as narrow:
        try:
            assert narrow.count(name) == 1
        except StorePermissionError:
            pytest.skip("this server knows no tokens")
        assert plan(rows, name, store=narrow, encoder=FakeEncoder()).added == 19
        assert verify(rows[:1], name, store=narrow, encoder=FakeEncoder()).fits
        if access == "r":
            with (
                pytest.warns(UserWarning, match="no lease"),
                pytest.raises(StorePermissionError, match="right to write"),
            ):
                sync(rows, name, store=narrow, encoder=FakeEncoder())
            return

        def source() -> Iterator[dict[str, Any]]:
            for other in (narrow, store):
                with pytest.raises(LeaseError):
                    sync(rows, name, store=other, encoder=FakeEncoder())
            assert client.count(name).count == 2, "the lease is a point, which others count"
            assert narrow.count(name) == len(narrow.scroll(name)[0]) == 1
            yield from rows

        assert sync(source(), name, store=narrow, encoder=FakeEncoder(), prune=True).added == 19
        assert client.count(name).count == 20


def test_a_client_of_the_users(client: QdrantClient, name: str) -> None:
    assert ensure_collection(client, name, fingerprint="sha256:ours").created
    assert check_collection(client, name, fingerprint="sha256:ours").fingerprint == "matches"


async def test_an_asynchronous_client_of_the_users(server: Server, name: str) -> None:
    client = users_client(AsyncQdrantClient, server)
    report = await ensure_collection(client, name, fingerprint="sha256:ours")
    assert report.created
    store = open_store(client=client)
    await store.aupsert(name, points(5))
    assert await store.acount(name) == 5
    assert await store.adrop(name)
    await client.close()
