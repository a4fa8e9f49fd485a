"""Qdrant collections as a LangChain vector store, over any engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from multiqa_integrations import types
from multiqa_integrations.arguments import check_options
from multiqa_integrations.coroutines import in_thread
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain.cached import encoder_of
from multiqa_integrations.langchain.documents import to_collection, to_langchain
from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
from multiqa_integrations.langchain.options import (
    MMR,
    SIMILARITY,
    check_write,
    mmr_options,
    of_cosine,
)
from multiqa_integrations.langchain.retriever import MultiQARetriever
from multiqa_integrations.qdrant.collection import Collection
from multiqa_integrations.qdrant.dual import Dual, Steps, ask, both
from multiqa_integrations.qdrant.search_options import MmrOptions, SearchOptions
from multiqa_integrations.qdrant.server.conditions import MetadataFilter, to_filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from qdrant_client import models

_Scored = list[tuple[Document, float]]


class MultiQAVectorStore(VectorStore, Dual):
    """Documents in a Qdrant collection: in a directory, on a server, or behind a client of yours.

    The collection is created if there is none, and checked otherwise: one that another model
    filled is kept out. Nothing is embedded at construction. The payload is that of
    langchain-qdrant: either reads what the other wrote.

    An id that is not a UUID is mapped to one and comes back as given. The same id overwrites.

    Examples:
        >>> from qdrant_client import QdrantClient
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> store = MultiQAVectorStore(
        ...     embedding=MultiQAEmbeddings(encoder=FakeEncoder()), client=QdrantClient(":memory:")
        ... )
        >>> store.add_texts(["The red button stops it."], ids=["stop"])
        ['stop']
        >>> store.similarity_search("red button", k=1)[0].id
        'stop'
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        collection_name: str = "langchain",
        **options: Any,
    ) -> None:
        """Open or create a collection.

        Args:
            embedding: `MultiQAEmbeddings`, also within `CacheBackedEmbeddings`; by default those
                without settings.
            collection_name: The collection, or an alias.
            options: Those of `Collection.open`: one of `url`, `path`, `client` and `store`;
                `sparse=True`, so that a new collection can be searched by words too
                (`hybrid=True`); `payload_indexes`, such as {"metadata.lang": "keyword"}; `adopt`,
                `api_key`, `vector_name`, `content_payload_key`, `metadata_payload_key`; and, for
                a new collection, those of `ensure_collection`.

        Raises:
            CollectionMismatchError: Another model filled it, or it differs otherwise.
            ConfigurationError: An argument is wrong.
            StoreError: It cannot be opened.
        """
        self._embedding = MultiQAEmbeddings() if embedding is None else embedding
        self.collection = Collection.open(
            collection_name, encoder=encoder_of(self._embedding), **options
        )

    @classmethod
    async def aopen(
        cls,
        embedding: Embeddings | None = None,
        collection_name: str = "langchain",
        **options: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection as the constructor does, without blocking the event loop."""
        return await in_thread(cls, embedding, collection_name, **options)

    @property
    def embeddings(self) -> Embeddings:
        """The embeddings."""
        return self._embedding

    def close(self) -> None:
        """Close the collection."""
        self.collection.close()

    async def aclose(self) -> None:
        """Close the collection."""
        await self.collection.aclose()

    # --- making one of texts ----------------------------------------------------------------

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection with the constructor's options, and add texts."""
        with _closed_on_failure(cls(embedding, **options)) as opened:
            opened.add_texts(texts, metadatas, ids=ids)
        return opened

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection and add texts, without blocking the event loop."""
        with _closed_on_failure(await cls.aopen(embedding, **options)) as opened:
            await opened.aadd_texts(texts, metadatas, ids=ids)
        return opened

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection with the constructor's options, and add documents."""
        with _closed_on_failure(cls(embedding, **options)) as opened:
            opened.add_documents(documents, ids=ids)
        return opened

    @classmethod
    async def afrom_documents(
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **options: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection and add documents, without blocking the event loop."""
        with _closed_on_failure(await cls.aopen(embedding, **options)) as opened:
            await opened.aadd_documents(documents, ids=ids)
        return opened

    # --- writing ------------------------------------------------------------------------------

    def _add_texts(
        self,
        /,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Steps[list[str]]:
        """Embed texts and store them, generators too; returns their ids.

        Raises:
            TextError: Something is not text.
            ConfigurationError: Ids or metadata do not fit.
            StoreError: The store refused or failed.
        """
        check_write(kwargs)
        if (ids is not None or metadatas is not None) and isinstance(texts, Iterator):
            texts = list(texts)  # their ids or metadata fit into memory, so they do too
        collection = self.collection
        return (yield from ask(collection, Collection.add, texts, ids=ids, metadatas=metadatas))

    def _add_documents(
        self,
        /,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Steps[list[str]]:
        """Embed documents and store them, generators too; returns their ids.

        Raises:
            StoreError: As in `add_texts`.
        """
        check_write(kwargs)
        return (yield from ask(self.collection, Collection.add, to_collection(documents, ids)))

    def _delete(
        self, /, ids: Sequence[str] | None = None, *, filter: MetadataFilter = None, **kwargs: Any
    ) -> Steps[bool]:
        """Delete documents by their ids, or those that a filter selects.

        Raises:
            ConfigurationError: Neither is given: that would delete everything.
        """
        check_options(kwargs, (), "delete")
        selected = self._filter(filter)
        yield from ask(self.collection, Collection.delete, ids, filter=selected)
        return True

    add_texts, aadd_texts = both(_add_texts)
    add_documents, aadd_documents = both(_add_documents)
    delete, adelete = both(_delete)

    # --- reading ------------------------------------------------------------------------------

    def _get_by_ids(self, ids: Sequence[str], /) -> Steps[list[Document]]:
        """Read documents by their ids; missing ones are left out."""
        documents = yield from ask(self.collection, Collection.get, ids)
        return [to_langchain(document) for document in documents]

    def _similarity_search_with_score(
        self, /, query: str, k: int = 4, **options: Any
    ) -> Steps[_Scored]:
        """Find documents with their cosine to the query, as `similarity_search` does."""
        keywords = self._search_options(k, options)
        return _scored((yield from ask(self.collection, Collection.search, query, **keywords)))

    def _similarity_search(
        self, /, query: str, k: int = 4, **options: Any
    ) -> Steps[list[Document]]:
        """Find the documents closest to a query, best first.

        Args:
            query: A question.
            k: Most documents.
            options: `filter`, a dict of metadata or `models.Filter`; and those of
                `qdrant.search_options.SearchOptions`: score_threshold, hybrid, exact…

        Raises:
            ConfigurationError: An option is unknown or wrong.
            StoreError: The store refused or failed.
        """
        scored = yield from self._similarity_search_with_score(query, k, **options)
        return [document for document, _ in scored]

    def _similarity_search_with_score_by_vector(
        self, /, embedding: Sequence[float], k: int = 4, **options: Any
    ) -> Steps[_Scored]:
        """Find documents with their cosine to a vector."""
        vector, keywords = _vector(embedding), self._search_options(k, options)
        hits = yield from ask(self.collection, Collection.search_by_vector, vector, **keywords)
        return _scored(hits)

    def _similarity_search_by_vector(
        self, /, embedding: Sequence[float], k: int = 4, **options: Any
    ) -> Steps[list[Document]]:
        """Find the documents closest to a vector."""
        scored = yield from self._similarity_search_with_score_by_vector(embedding, k, **options)
        return [document for document, _ in scored]

    def _max_marginal_relevance_search(
        self,
        /,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> Steps[list[Document]]:
        """Find documents that are close to a query and differ from each other.

        Args:
            query: A question.
            k: Most documents.
            fetch_k: From how many of the closest they are chosen; at least `k`.
            lambda_mult: 1 is closeness only, 0 is difference only.
            options: `filter`.

        Raises:
            ConfigurationError: As in `similarity_search`.
            StoreError: As in `similarity_search`.
        """
        keywords = self._mmr_options(k, fetch_k, lambda_mult, options)
        hits = yield from ask(self.collection, Collection.mmr, query, **keywords)
        return [to_langchain(hit) for hit in hits]

    def _max_marginal_relevance_search_by_vector(
        self,
        /,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> Steps[list[Document]]:
        """Find documents as `max_marginal_relevance_search` does, by a vector."""
        keywords = self._mmr_options(k, fetch_k, lambda_mult, options)
        vector = _vector(embedding)
        hits = yield from ask(self.collection, Collection.mmr_by_vector, vector, **keywords)
        return [to_langchain(hit) for hit in hits]

    get_by_ids, aget_by_ids = both(_get_by_ids)
    similarity_search, asimilarity_search = both(_similarity_search)
    similarity_search_with_score, asimilarity_search_with_score = both(
        _similarity_search_with_score
    )
    similarity_search_by_vector, asimilarity_search_by_vector = both(_similarity_search_by_vector)
    similarity_search_with_score_by_vector, asimilarity_search_with_score_by_vector = both(
        _similarity_search_with_score_by_vector
    )
    max_marginal_relevance_search, amax_marginal_relevance_search = both(
        _max_marginal_relevance_search
    )
    max_marginal_relevance_search_by_vector, amax_marginal_relevance_search_by_vector = both(
        _max_marginal_relevance_search_by_vector
    )

    def similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> _Scored:
        """Find documents with their relevance, (1 + cosine) / 2: from 0 to 1.

        Args:
            query: A question.
            k: Most documents.
            options: Those of `similarity_search` but `hybrid`; `score_threshold` is the least
                relevance.

        Raises:
            ConfigurationError: As in `similarity_search`.
            StoreError: As in `similarity_search`.
        """
        return self._relevant(self.similarity_search_with_score(query, k, **of_cosine(options)))

    async def asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> _Scored:
        """Find documents with their relevance, without blocking the event loop."""
        return self._relevant(
            await self.asimilarity_search_with_score(query, k, **of_cosine(options))
        )

    def as_retriever(self, **kwargs: Any) -> MultiQARetriever:
        """Make a retriever: `as_retriever(k=3)`, `as_retriever(filter={"tenant": "a"})`.

        Args:
            kwargs: Fields of `MultiQARetriever` such as `search_type`, and options of its search.

        Raises:
            ConfigurationError: The search has no such option.
        """
        tags = [*(kwargs.pop("tags", None) or []), *self._get_retriever_tags()]
        return MultiQARetriever(vectorstore=self, tags=tags, **kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        # As langchain-qdrant does for cosine: thresholds that were chosen with it still hold.
        return lambda score: min(max((score + 1.0) / 2.0, 0.0), 1.0)

    def _relevant(self, scored: _Scored) -> _Scored:
        relevance = self._select_relevance_score_fn()
        return [(document, relevance(score)) for document, score in scored]

    def _filter(self, filter: MetadataFilter) -> models.Filter | None:
        collection = self.collection
        indexes = collection.report.info.payload_indexes
        return to_filter(filter, collection.layout.metadata_key, indexes)

    def _search_options(self, k: int, options: dict[str, Any]) -> SearchOptions:
        check_options(options, SIMILARITY, "this search")
        keywords: Any = {**options, "limit": k, "filter": self._filter(options.get("filter"))}
        return cast("SearchOptions", keywords)

    def _mmr_options(
        self, k: int, fetch_k: int, lambda_mult: float, options: dict[str, Any]
    ) -> MmrOptions:
        check_options(options, MMR, "this search")
        return mmr_options(k, fetch_k, lambda_mult, self._filter(options.get("filter")))


@contextmanager
def _closed_on_failure(opened: MultiQAVectorStore) -> Iterator[MultiQAVectorStore]:
    try:
        yield opened
    except BaseException:
        opened.close()
        raise


def _vector(embedding: Sequence[float]) -> types.Vectors:
    try:
        return np.asarray(embedding, np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the query's vector is not one of numbers ({error}).") from error


def _scored(hits: Iterable[types.Hit]) -> _Scored:
    return [(to_langchain(hit), hit.score) for hit in hits]
