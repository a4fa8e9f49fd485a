"""LangChain's own test suites: all of them pass, nothing is marked as expected to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests
from qdrant_client import QdrantClient

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.langchain import (
    MultiQAEmbeddings,
    MultiQARetriever,
    MultiQAVectorStore,
)
from multiqa_integrations.testing import FakeEncoder
from tests.support.engines import ENGINES, open_engine


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[MultiQAEmbeddings]:
        return MultiQAEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"dtype": "float32", "on_truncation": "ignore"}


class TestEmbeddingsIntegration(EmbeddingsIntegrationTests):
    """With the real model."""

    @pytest.fixture(autouse=True)
    def _sibling(self, test_model: Path) -> None:
        type(self).directory = str(test_model)

    directory = ""

    @property
    def embeddings_class(self) -> type[MultiQAEmbeddings]:
        return MultiQAEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": self.directory, "max_seq_length": 512}


class TestVectorStore(VectorStoreIntegrationTests):
    """Over every engine, synchronous and asynchronous."""

    @staticmethod
    def get_embeddings() -> Embeddings:
        return MultiQAEmbeddings(encoder=FakeEncoder())

    @pytest.fixture(params=ENGINES)
    def vectorstore(
        self, tmp_path: Path, name: str, request: pytest.FixtureRequest
    ) -> Iterator[VectorStore]:
        with open_engine(request.param, tmp_path / "store", request) as opened:
            yield MultiQAVectorStore(
                MultiQAEmbeddings(encoder=FakeEncoder()), collection_name=name, store=opened
            )
            opened.drop(name)


class TestRetriever(RetrieversIntegrationTests):
    """With the real model."""

    store: MultiQAVectorStore

    @pytest.fixture(autouse=True)
    def _store(self, encoder: MultiQAEncoder) -> None:
        embeddings = MultiQAEmbeddings(encoder=encoder)
        type(self).store = MultiQAVectorStore(embeddings, client=QdrantClient(":memory:"))
        texts = ["London is known for its theatres", "Oil the chain", "Nine million live there"]
        self.store.add_documents([Document(text) for text in texts] * 2)

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return MultiQARetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"vectorstore": self.store}

    @property
    def retriever_query_example(self) -> str:
        return "How many people live in London?"
