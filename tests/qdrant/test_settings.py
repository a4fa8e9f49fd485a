"""How a collection is kept: given, described, told where it differs, and moved."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    ConfigurationError,
)
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    CollectionSettings,
    EdgeStore,
    Store,
    copy,
    open_store,
    reembed,
)
from multiqa_integrations.qdrant.differences import differences
from multiqa_integrations.qdrant.info import CollectionInfo, VectorInfo
from multiqa_integrations.qdrant.settings import Quantization, quantization_config
from multiqa_integrations.testing import FakeEncoder
from tests.support.engines import Server

OLD, NEW = FakeEncoder(), FakeEncoder(seed=1)
SCHEMA = CollectionSchema.of(OLD)


# --- what is given ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shards": 2}, "shards: a collection has no such settings. It has shard_number"),
        ([1], "list: a collection has no such settings"),
        ({"shard_number": 0}, "shard_number is 0, expected a whole number from 1"),
        ({"replication_factor": True}, "replication_factor is True, expected a whole number"),
        ({"on_disk": 1}, "on_disk is 1, expected a boolean"),
        ({"datatype": 16}, "datatype is 16, expected text"),
        ({"hnsw_config": "m=16"}, "hnsw_config is 'm=16', expected a dict of JSON values"),
    ],
)
def test_what_is_no_setting(values: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        CollectionSettings.from_dict(values)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hnsw_config": {"M": 24}}, "hnsw_config is .* which Qdrant does not take"),
        ({"datatype": "float8"}, "datatype is 'float8', which Qdrant does not take"),
        ({"quantization_config": {"scalar": {}}}, "quantization_config is .* does not take"),
        ({"sharding_method": "custom"}, "'custom', which this package does not support"),
    ],
)
def test_what_no_server_takes(settings: Any, words: str, stand_in: Any) -> None:
    with (
        open_store(url=stand_in.url) as store,
        pytest.raises(ConfigurationError, match=words),
    ):
        store.ensure("never-made", SCHEMA, **settings)
    assert not stand_in.client.collection_exists("never-made")


@pytest.mark.parametrize(
    "settings",
    [
        {"replication_factor": 2},
        {"strict_mode_config": {"enabled": True}},
        {"hnsw_config": {"colour": 3}},
        {"datatype": "float8"},
        {"quantization_config": {"colour": {}}},
    ],
)
def test_what_no_embedded_collection_can_have(tmp_path: Path, settings: Any) -> None:
    with EdgeStore(tmp_path) as store:
        with pytest.raises(ConfigurationError, match=next(iter(settings))):
            store.ensure("docs", SCHEMA, **settings)
        assert store.collections() == []


def test_settings_of_an_embedded_collection(tmp_path: Path) -> None:
    wanted = CollectionSettings(
        shard_number=1,
        datatype="float16",
        on_disk=True,
        hnsw_config={"m": 24, "payload_m": 8},
        quantization_config={"binary": {"always_ram": True}},
        sparse_index={"on_disk": True},
    )
    with EdgeStore(tmp_path) as store:
        schema = CollectionSchema.of(OLD, sparse=True)
        info = store.ensure("docs", schema, **wanted.given()).info
        assert info.settings is not None
        assert info.vectors[""].datatype == "float16"
        assert not CollectionSettings(
            on_disk=True, hnsw_config={"m": 24, "payload_m": 8}, datatype="float16"
        ).differences(info.settings)
        assert info.settings.quantization_config == {"binary": {"always_ram": True}}
        # Opened again with others, it says which ones it has.
        report = store.ensure("docs", schema, hnsw_config={"m": 8}, datatype="float16")
        (note,) = report.notes
        assert "hnsw_config: {'m': 8} was asked for, it has {'m': 24" in note
        assert "datatype" not in note
        # A copy keeps them.
        Collection.open("docs", encoder=OLD, store=store).add(["one", "two"])
        copy(store, store, "docs", to="copy")
        copied = store.info("copy")
        assert copied is not None
        assert copied.settings == info.settings


@pytest.mark.parametrize("kind", get_args(Quantization))
def test_every_kind_of_quantization(store: Store, name: str, kind: Quantization) -> None:
    info = store.ensure(name, SCHEMA, quantization_config=quantization_config(kind)).info
    if info.settings is not None:  # the client's local mode keeps none
        assert (info.settings.quantization_config or {}) == quantization_config(kind)
        if isinstance(store, EdgeStore):  # the graph is as wide as without
            assert (info.settings.hnsw_config or {})["m"] == 32
    collection = Collection.open(name, encoder=OLD, store=store)
    collection.add(["one", "two"])
    assert collection.search("two")[0].text == "two"
    assert Collection.open(name, encoder=OLD, store=store).count() == 2


def test_a_copy_of_a_plain_embedded_collection_is_one(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        Collection.open("docs", encoder=OLD, store=store).add(["one"])
        copy(store, store, "docs", to="copy")
        one, other = (tmp_path / name / "shard-1/edge_config.json" for name in ("docs", "copy"))
        assert one.read_text() == other.read_text()


def test_custom_sharding_is_refused_at_opening() -> None:
    info = CollectionInfo(
        name="docs",
        points=0,
        vectors={"": VectorInfo(size=384, distance="cosine")},
        settings=CollectionSettings(sharding_method="custom"),
    )
    (difference,) = differences(SCHEMA, info, indexes=True)
    assert "custom (by shard keys)" in str(difference)


def test_what_is_not_moved(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    vector = models.VectorParams(size=384, distance=models.Distance.EUCLID)
    client.create_collection("euclid", vectors_config=vector)
    with EdgeStore(tmp_path) as target:
        source = open_store(client=client)
        client.update_collection("euclid", metadata={"multiqa": {"fingerprint": OLD.fingerprint}})
        with pytest.warns(CollectionWarning, match="distance .euclid: cosine is equal"):
            copy(source, target, "euclid", dry_run=True)
        info = source.info("euclid")
        assert info is not None
        byte = {"": VectorInfo(size=384, distance="cosine", datatype="uint8")}
        source.info = lambda _: dataclasses.replace(info, vectors=byte)  # type: ignore[assignment,method-assign]
        with pytest.raises(ConfigurationError, match="vectors of uint8, expected one of float32"):
            copy(source, target, "euclid")
        assert target.collections() == []


def test_a_sparse_vector_without_idf_stays_one(tmp_path: Path, store: Store, name: str) -> None:
    schema = CollectionSchema(fingerprint="f", sparse_name="theirs", sparse_idf=False)
    store.ensure(name, schema)
    copy(store, store, name, to=f"{name}-copy")
    copied = store.info(f"{name}-copy")
    assert copied is not None
    assert copied.sparse == {"theirs": False}
    with pytest.raises(CollectionMismatchError, match="'theirs' with IDF, found 'theirs' without"):
        store.ensure(name, CollectionSchema(fingerprint="f", sparse_name="theirs"))


# --- on a real server ---------------------------------------------------------------------------

INT8 = {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}
CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"shard_number": 3, "datatype": "float16"},
    {"replication_factor": 2, "write_consistency_factor": 2, "read_fan_out_factor": 1},
    {"on_disk": True, "on_disk_payload": False},
    {"hnsw_config": {"m": 24, "payload_m": 8, "ef_construct": 50, "on_disk": True}},
    {"hnsw_config": {"m": 0, "payload_m": 16, "full_scan_threshold": 100}},
    {"quantization_config": INT8},
    {"quantization_config": {"binary": {"always_ram": True}}},
    {"quantization_config": {"product": {"compression": "x16"}}, "datatype": "float32"},
    {
        "optimizers_config": {"indexing_threshold": 500, "default_segment_number": 2},
        "wal_config": {"wal_capacity_mb": 8, "wal_segments_ahead": 1},
    },
    {"strict_mode_config": {"enabled": True, "max_query_limit": 5_000, "search_max_hnsw_ef": 99}},
    {
        "vector": {"hnsw_config": {"m": 12}, "quantization_config": INT8},
        "sparse_index": {"on_disk": True, "full_scan_threshold": 7, "datatype": "float16"},
    },
]
INDEXES: dict[str, Any] = {
    "metadata.tenant": {"type": "keyword", "is_tenant": True, "on_disk": True},
    "metadata.n": {"type": "integer", "lookup": True, "range": False},
    "metadata.at": {"type": "datetime", "is_principal": True},
    "metadata.plain": "keyword",
    "page_content": {
        "type": "text",
        "tokenizer": "prefix",
        "min_token_len": 2,
        "max_token_len": 9,
        "lowercase": False,
        "phrase_matching": False,
    },
    "metadata.words": models.TextIndexParams(
        type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.MULTILINGUAL
    ),
}


def described(client: QdrantClient, name: str) -> dict[str, Any]:
    info = client.get_collection(name)
    config = info.config.model_dump(mode="json")
    config["metadata"] = {
        key: value for key, value in config["metadata"].items() if not key.startswith("multiqa")
    }
    indexes = {
        key: {**index.model_dump(mode="json"), "points": None}
        for key, index in info.payload_schema.items()
    }
    return {**config, "indexes": indexes}


@pytest.fixture
def names(server: Server) -> Iterator[list[str]]:
    prefix = f"test-{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}-{part}" for part in ("old", "copy", "new")]
    yield names
    with server.open() as store:
        for name in names:
            store.drop(name, force=True)


@pytest.fixture
def client(server: Server) -> Iterator[QdrantClient]:
    client = QdrantClient(url=server.url, api_key=server.api_key, check_compatibility=False)
    yield client
    client.close()


@pytest.mark.server
@pytest.mark.parametrize("grpc", [False, True], ids=["rest", "grpc"])
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=range(12))
def test_moved_it_is_as_the_server_describes_it(
    server: Server, client: QdrantClient, names: list[str], configuration: Any, grpc: bool
) -> None:
    old, copied, new = names
    settings = CollectionSettings(**configuration)
    with server.open(prefer_grpc=grpc) as store:
        collection = Collection.open(
            old,
            encoder=OLD,
            store=store,
            sparse=True,
            payload_indexes=INDEXES,
            **settings.given(),
        )
        info = collection.report.info
        assert info.settings is not None
        assert not settings.differences(info.settings)
        client.update_collection(old, metadata={"team": "search", "of": {"deep": [1]}})
        collection.add(["one text", "another"], metadatas=[{"tenant": "a"}, {"tenant": "b"}])
        copy(store, store, old, to=copied)
        reembed(store, old, NEW, to=new)
    assert described(client, copied) == described(client, old)
    assert described(client, new) == described(client, old)


@pytest.mark.server
def test_from_a_server_into_a_directory_and_back(
    server: Server, client: QdrantClient, names: list[str], tmp_path: Path
) -> None:
    old, copied, _ = names
    with server.open() as store, EdgeStore(tmp_path) as embedded:
        collection = Collection.open(
            old,
            encoder=OLD,
            store=store,
            payload_indexes={"metadata.t": {"type": "keyword", "is_tenant": True}},
            shard_number=2,
            datatype="float16",
            hnsw_config={"m": 24, "payload_m": 8},
            strict_mode_config={"enabled": True, "max_query_limit": 50},
        )
        collection.add(["one text", "another"])
        with pytest.warns(CollectionWarning, match="shard_number .2., strict_mode_config"):
            copy(store, embedded, old, dry_run=True)
        with pytest.warns(CollectionWarning, match="shard_number .2., strict_mode_config"):
            copy(store, embedded, old)
        copy(embedded, store, old, to=copied)
        one, other = described(client, old), described(client, copied)
        one["params"]["shard_number"], one["strict_mode_config"] = 1, other["strict_mode_config"]
        assert other == one
        # Other settings on purpose, and those that it has otherwise.
        with pytest.raises(ConfigurationError, match="cannot have shard_number"):
            copy(store, embedded, old, to="x", settings=CollectionSettings(shard_number=3))
        with pytest.warns(CollectionWarning, match="m': 8} was asked for, it has {'m': 24"):
            Collection.open(old, encoder=OLD, store=store, hnsw_config={"m": 8})


@pytest.mark.server
def test_custom_sharding_on_a_server(
    server: Server, client: QdrantClient, names: list[str]
) -> None:
    client.create_collection(
        names[0],
        vectors_config=models.VectorParams(size=384, distance=models.Distance.COSINE),
        sharding_method=models.ShardingMethod.CUSTOM,
    )

    def refused(work: Any) -> None:
        with pytest.raises(CollectionMismatchError, match="by shard keys"):
            work()

    with server.open() as store:
        refused(lambda: Collection.open(names[0], encoder=OLD, store=store))
        refused(lambda: copy(store, store, names[0], to=names[1]))
