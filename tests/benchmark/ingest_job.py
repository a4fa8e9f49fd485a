"""What the worker of `ingest` does: documents into a collection, as each library says to do it.

An implementation loads its model, then takes texts of any length to its collection, cut as it cuts
them, and tells how many points the collection has in the end.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from multiqa_integrations.benchmark.jobs import peak_memory
from tests.benchmark import implementations, peers

SERVER = "multiqa, server"
"""The implementation that takes part where there is a server."""

_NAME = "bench"

Ingest: TypeAlias = Callable[[list[str]], int]
"""Stores texts; returns how many points the collection has then."""


def ingest(
    *, implementation: str, model: str, limit_tokens: int, texts: str, url: str | None
) -> dict[str, Any]:
    """Store the texts of a JSON file in an empty collection, on this disk or on a server."""
    documents: list[str] = json.loads(Path(texts).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder:
        place = url if implementation == SERVER and url is not None else folder
        store = INGESTERS[implementation](model, limit_tokens, place)
        begin = time.perf_counter()
        points = store(documents)
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "points": points, "peak_mb": peak_memory()}


def into_edge(model: str, limit_tokens: int, folder: str) -> Ingest:
    """Sync, embedded."""
    return _sync_to({"path": folder}, model, limit_tokens)


def into_local_mode(model: str, limit_tokens: int, folder: str) -> Ingest:
    """Ingest the same into the local mode of qdrant-client."""
    from qdrant_client import QdrantClient

    return _sync_to({"client": QdrantClient(path=folder)}, model, limit_tokens)


def into_server(model: str, limit_tokens: int, url: str) -> Ingest:
    """Ingest the same on a server, into a collection that is dropped afterwards."""
    from multiqa_integrations.qdrant import open_store

    name = f"bench-{uuid.uuid4().hex[:12]}"
    opened = open_store(url=url)
    sync_to = _sync_to({"store": opened}, model, limit_tokens, name)

    def store(texts: list[str]) -> int:
        with opened:
            try:
                return sync_to(texts)
            finally:
                opened.drop(name)

    return store


def _sync_to(place: dict[str, Any], model: str, limit_tokens: int, name: str = _NAME) -> Ingest:
    from multiqa_integrations.etl import sync

    encoder = implementations.our_encoder("auto", model, limit_tokens)
    encoder.encode(["warm up", "and once more"])

    def store(texts: list[str]) -> int:
        rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
        return sync(rows, name, encoder=encoder, **place).encoded

    return store


def with_langchain(model: str, limit_tokens: int, folder: str) -> Ingest:
    """Split, embed and store as LangChain's guide to semantic search does.

    https://docs.langchain.com/oss/python/langchain/knowledge-base
    """
    from langchain_core.documents import Document
    from langchain_qdrant import QdrantVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    embeddings = peers.langchain_embeddings(model, limit_tokens)
    embeddings.embed_query("warm up")
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=1000, chunk_overlap=200, add_start_index=True
    )

    def store(texts: list[str]) -> int:
        client = QdrantClient(path=folder)
        client.create_collection(_NAME, VectorParams(size=384, distance=Distance.COSINE))
        vector_store = QdrantVectorStore(client, collection_name=_NAME, embedding=embeddings)
        documents = [
            Document(text, metadata={"document": number}) for number, text in enumerate(texts)
        ]
        vector_store.add_documents(splitter.split_documents(documents))
        points = client.count(_NAME).count
        client.close()
        return points

    return store


def with_llama_index(model: str, limit_tokens: int, folder: str) -> Ingest:
    """Split, embed and store as LlamaIndex's guide to its Qdrant store does.

    https://developers.llamaindex.ai/python/examples/vector_stores/qdrantindexdemo
    """
    from llama_index.core import Document, StorageContext, VectorStoreIndex
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    embedding = peers.llama_index_embedding(model, limit_tokens)
    embedding.get_query_embedding("warm up")

    def store(texts: list[str]) -> int:
        client = QdrantClient(path=folder)
        vector_store = QdrantVectorStore(client=client, collection_name=_NAME)
        VectorStoreIndex.from_documents(
            [Document(text=text, metadata={"document": i}) for i, text in enumerate(texts)],
            storage_context=StorageContext.from_defaults(vector_store=vector_store),
            embed_model=embedding,
        )
        points = client.count(_NAME).count
        client.close()
        return points

    return store


INGESTERS: dict[str, Callable[[str, int, str], Ingest]] = {
    "multiqa, Edge": into_edge,
    "multiqa, client local mode": into_local_mode,
    SERVER: into_server,
    "LangChain, client local mode": with_langchain,
    "LlamaIndex, client local mode": with_llama_index,
}
