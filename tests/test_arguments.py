"""What callers without a type checker pass is refused as a setting, before work begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from multiqa_integrations import etl
from multiqa_integrations.arguments import check_encoder
from multiqa_integrations.download import download, verify
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain import MultiQAVectorStore, WordPieceTextSplitter
from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
from multiqa_integrations.qdrant import (
    Collection,
    Store,
    Uploader,
    check_collection,
    copy,
    count_fingerprints,
    ensure_collection,
    open_store,
    reembed,
)
from multiqa_integrations.similarity import similarity
from multiqa_integrations.testing import FakeEncoder

ROWS = [{"id": 1, "text": "The red button stops it."}]
NO_PATHS: list[object] = [5, 1.5, b"x", [], {}, object(), True]
NO_FUNCTIONS: list[object] = [5, "x", [], {}, object(), True]
NO_NUMBERS: list[object] = ["x", 1.5, None, [], {}, object(), True]
NO_NAMES: list[object] = [5, None, [], {}, object()]
NO_OBJECTS: list[object] = [5, "x", [5], object(), True]


@pytest.fixture
def store() -> Store:
    return open_store(client=QdrantClient(":memory:"))


def refused(call: Callable[..., Any], argument: str, values: list[object], **others: Any) -> None:
    for value in values:
        with pytest.raises(ConfigurationError):
            call(**{**others, argument: value})


@pytest.mark.parametrize("job", [etl.sync, etl.plan, etl.verify])
def test_jobs(job: Callable[..., Any], store: Store) -> None:
    etl.sync(ROWS, "docs", store=store, encoder=FakeEncoder())
    where: dict[str, Any] = {
        "source": ROWS,
        "collection": "docs",
        "store": store,
        "encoder": FakeEncoder(),
    }
    for argument, values in {
        "progress": NO_FUNCTIONS,
        "options": NO_OBJECTS,
        "encoder": NO_OBJECTS,
        "store": NO_OBJECTS,
        "connection": NO_OBJECTS,
        "vector_name": [5, [], {}],
        "chunk_size": ["x", 1.5, [], True],
        "shard": NO_OBJECTS,
    }.items():
        refused(job, argument, values, **where)
    if job is etl.sync:
        refused(job, "dead_letter", NO_PATHS, **where)
        refused(job, "stop", NO_OBJECTS, **where)
        refused(job, "max_errors", NO_NUMBERS[:2], **where)


def test_replay(store: Store, tmp_path: Path) -> None:
    where: dict[str, Any] = {"collection": "docs", "store": store, "encoder": FakeEncoder()}
    letters = tmp_path / "letters.jsonl"
    etl.sync([*ROWS, {"id": 2, "text": ""}], source_name="x", dead_letter=letters, **where)
    refused(etl.replay, "dead_letter", [*NO_PATHS, None], **where)
    for argument in ("progress", "stop", "options", "encoder"):
        refused(etl.replay, argument, NO_OBJECTS[:4], dead_letter=letters, **where)
    assert letters.exists()


def test_collections(store: Store) -> None:
    encoder = FakeEncoder()
    for call in (ensure_collection, check_collection):
        refused(call, "encoder", NO_OBJECTS, client=store, name="docs")
        refused(call, "payload_indexes", NO_OBJECTS, client=store, name="docs", encoder=encoder)
    refused(ensure_collection, "settings", NO_OBJECTS, client=store, name="docs", encoder=encoder)
    assert store.collections() == [], "nothing was made"
    refused(Collection.open, "store", NO_OBJECTS, name="docs", encoder=encoder)
    for argument in ("settings", "payload_indexes"):
        refused(Collection.open, argument, NO_OBJECTS, name="docs", encoder=encoder, store=store)
    refused(open_store, "verify", NO_PATHS[:6], url="http://127.1:1")


def test_migrations(store: Store) -> None:
    Collection.open("docs", encoder=FakeEncoder(), store=store).add(["A door."])
    for argument, values in {
        "source": [*NO_OBJECTS, None],
        "target": [*NO_OBJECTS, None],
        "collection": NO_NAMES,
        "settings": NO_OBJECTS,
        "progress": NO_FUNCTIONS,
    }.items():
        arguments: dict[str, Any] = {"source": store, "target": store, "collection": "docs"}
        refused(copy, argument, values, **{**arguments, "to": "other"})
    for argument, values in {
        "store": [*NO_OBJECTS, None],
        "collection": NO_NAMES,
        "encoder": [*NO_OBJECTS, None],
    }.items():
        arguments = {"store": store, "collection": "docs", "encoder": FakeEncoder(seed=1)}
        refused(reembed, argument, values, **arguments)
    refused(count_fingerprints, "store", [*NO_OBJECTS, None], collection="docs")
    for argument in ("max_points", "max_bytes"):
        refused(Uploader, argument, [0, *NO_NUMBERS], store=store, collection="docs")
    refused(Uploader, "threads", [0, -1, "x", 1.5], store=store, collection="docs")
    assert store.collections() == ["docs"]


def test_models_and_vectors(tmp_path: Path) -> None:
    refused(verify, "directory", [*NO_PATHS, None])
    refused(download, "to", NO_PATHS)
    refused(download, "cache_folder", NO_PATHS, to=tmp_path / "model")
    refused(similarity, "a", ["x", {}, object()], b=[[1.0]])
    assert list(tmp_path.iterdir()) == []


def test_langchain(store: Store) -> None:
    for argument in ("chunk_size", "chunk_overlap"):
        refused(WordPieceTextSplitter, argument, NO_NUMBERS, encoder=FakeEncoder())
    vectors = MultiQAVectorStore(
        embedding=MultiQAEmbeddings(encoder=FakeEncoder()), collection_name="docs", store=store
    )
    refused(vectors.add_documents, "ids", [5, "x", {}, object()], documents=[])


def test_an_encoder_is_checked_without_loading_it() -> None:
    class Unloadable(FakeEncoder):
        @property
        def fingerprint(self) -> str:
            raise AssertionError("it was asked for its weights")

    check_encoder(Unloadable())
    for wrong in (5, "x", object()):
        with pytest.raises(ConfigurationError, match="expected MultiQAEncoder or another"):
            check_encoder(wrong)
