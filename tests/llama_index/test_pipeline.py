"""Ingestion pipelines over the vector store, and the traps that come with them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import DocstoreStrategy, IngestionCache, IngestionPipeline
from llama_index.core.schema import Document
from llama_index.core.storage.docstore import SimpleDocumentStore
from qdrant_client import QdrantClient

from multiqa_integrations.errors import TruncationError
from multiqa_integrations.llama_index import (
    MultiQAEmbedding,
    MultiQAVectorStore,
    WordPieceNodeParser,
)
from multiqa_integrations.qdrant import Store

PARSED = "Press the red button. It stops the machine at once. Then call the foreman. " * 12


@pytest.fixture
def vectors(embedding: MultiQAEmbedding) -> MultiQAVectorStore:
    return MultiQAVectorStore(client=QdrantClient(":memory:"), embedding=embedding)


def pipeline_into(
    vectors: MultiQAVectorStore, strategy: str = "upserts", **settings: Any
) -> IngestionPipeline:
    embedding = settings.pop("embedding", vectors.embedding)
    parser = WordPieceNodeParser(embedding=vectors.embedding, chunk_size=64)
    return IngestionPipeline(
        transformations=[parser, embedding],
        vector_store=vectors,
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy(strategy),
        **settings,
    )


def documents(**texts: str) -> list[Document]:
    return [Document(text=text, id_=name) for name, text in texts.items()]


def contents(vectors: MultiQAVectorStore) -> dict[str, str]:
    """Put the nodes of each document together again."""
    found: dict[str, str] = {}
    nodes = [node for node in vectors.get_nodes() if node.ref_doc_id is not None]
    for node in sorted(nodes, key=lambda node: node.start_char_idx):  # type: ignore[attr-defined]
        found[str(node.ref_doc_id)] = found.get(str(node.ref_doc_id), "") + node.get_content()
    return found


@pytest.mark.parametrize("strategy", ["upserts", "upserts_and_delete"])
def test_upserts(store: Store, name: str, embedding: MultiQAEmbedding, strategy: str) -> None:
    vectors = MultiQAVectorStore(name, store=store, embedding=embedding)
    pipeline = pipeline_into(vectors, strategy)
    assert len(pipeline.run(documents=documents(a=PARSED, b="b", c="c"))) > 5
    assert contents(vectors) == {"a": PARSED, "b": "b", "c": "c"}
    assert pipeline.run(documents=documents(a=PARSED, b="b", c="c")) == []
    (changed,) = pipeline.run(documents=documents(a="short now", b="b"))
    assert changed.get_content() == "short now"
    left = {"a": "short now", "b": "b"}
    assert contents(vectors) == (left if strategy == "upserts_and_delete" else {**left, "c": "c"})


async def test_asynchronous_upserts(store: Store, name: str, embedding: MultiQAEmbedding) -> None:
    vectors = await MultiQAVectorStore.aopen(name, store=store, embedding=embedding)
    pipeline = pipeline_into(vectors, "upserts_and_delete")
    await pipeline.arun(documents=documents(a=PARSED, b="b"))
    await pipeline.arun(documents=documents(a="short now"))
    (left,) = await vectors.aget_nodes()
    assert (left.ref_doc_id, left.get_content()) == ("a", "short now")


def test_upserts_without_a_parser(vectors: MultiQAVectorStore) -> None:
    """The documents are the nodes; what left the source is deleted all the same."""
    pipeline = pipeline_into(vectors, "upserts_and_delete")
    pipeline.transformations = [vectors.embedding]
    pipeline.run(documents=documents(a="a", b="b"))
    pipeline.run(documents=documents(b="changed"))
    (left,) = vectors.get_nodes()
    assert (left.node_id, left.get_content()) == ("b", "changed")


def test_duplicates_only(vectors: MultiQAVectorStore) -> None:
    pipeline = pipeline_into(vectors, "duplicates_only")
    pipeline.run(documents=documents(a="the same", b="the same", c="c"))
    assert contents(vectors) == {"a": "the same", "c": "c"}
    pipeline.run(documents=documents(d="the same", c="changed"))
    assert len(vectors.get_nodes()) == 3, "both versions of c are there: no id is compared"


def test_a_shared_cache_saves_the_embedding(
    vectors: MultiQAVectorStore, test_model: Path, tmp_path: Path
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    watched = MultiQAEmbedding(
        model_name=str(test_model), dtype="float32", callback_manager=CallbackManager([debug])
    )
    first = pipeline_into(vectors, embedding=watched)
    first.run(documents=documents(a=PARSED))
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1
    expected = contents(vectors)
    vectors.clear()
    first.persist(str(tmp_path))

    again = pipeline_into(vectors, embedding=watched)
    again.load(str(tmp_path))
    again.docstore = SimpleDocumentStore()
    again.run(documents=documents(a=PARSED))
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1, "it came out of the cache"
    assert contents(vectors) == expected


@pytest.mark.slow
@pytest.mark.parametrize("asynchronous", [False, True])
def test_worker_processes(vectors: MultiQAVectorStore, asynchronous: bool) -> None:
    """Spawned by `run`; by `arun` forked, where Python still forks."""
    vectors.embedding.get_text_embedding("so that the model is loaded where it is forked")
    pipeline = pipeline_into(vectors, cache=IngestionCache())
    given = documents(a=PARSED, b="b", c="c", d="d")
    if asynchronous:
        made = asyncio.run(pipeline.arun(documents=given, num_workers=2))
    else:
        made = pipeline.run(documents=given, num_workers=2)
    assert contents(vectors) == {"a": PARSED, "b": "b", "c": "c", "d": "d"}
    found = {node.node_id: node.embedding for node in vectors.get_nodes()}
    texts = [node.get_content() for node in made]
    np.testing.assert_allclose(
        np.array([found[node.node_id] for node in made]),
        np.array(vectors.embedding.get_text_embedding_batch(texts)),
        atol=1e-5,
    )
    cached = pipeline.cache.cache.get_all(collection=pipeline.cache.collection)
    assert len(cached) == 4, "parser and embedding, in each of two workers"


# --- traps of LlamaIndex's pipeline: docs/llama_index.md tells them ------------------------------


@pytest.fixture
def strict(test_model: Path) -> MultiQAEmbedding:
    """Fails at texts of more than a few words."""
    return MultiQAEmbedding(
        model_name=str(test_model), dtype="float32", max_seq_length=6, on_truncation="error"
    )


def test_old_vectors_are_deleted_before_the_new_ones_are_made(
    vectors: MultiQAVectorStore, strict: MultiQAEmbedding
) -> None:
    pipeline = pipeline_into(vectors, "upserts", embedding=strict)
    pipeline.run(documents=documents(a="old"))
    with pytest.raises(TruncationError):
        pipeline.run(documents=documents(a="a new text that cannot be embedded at all"))
    assert contents(vectors) == {}, "neither version is there"
    pipeline.run(documents=documents(a="new"))
    assert contents(vectors) == {"a": "new"}, "the next run heals it"


def test_duplicates_are_remembered_before_they_are_embedded(
    vectors: MultiQAVectorStore, strict: MultiQAEmbedding
) -> None:
    pipeline = pipeline_into(vectors, "duplicates_only", embedding=strict)
    given = documents(a="a text that cannot be embedded at all")
    with pytest.raises(TruncationError):
        pipeline.run(documents=given)
    pipeline.transformations[-1] = vectors.embedding
    assert pipeline.run(documents=given) == [], "and so it never comes in"
    pipeline.docstore = SimpleDocumentStore()
    assert len(pipeline.run(documents=given)) == 1, "but with a new document store"
