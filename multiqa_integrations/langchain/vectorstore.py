"""Qdrant collections as a LangChain vector store, over any engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from multiqa_integrations import types
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain.embeddings import MultiQAEmbeddings
from multiqa_integrations.langchain.options import MMR, SIMILARITY, check_options
from multiqa_integrations.langchain.retriever import MultiQARetriever
from multiqa_integrations.qdrant.collection import Collection
from multiqa_integrations.qdrant.context import ContextManaged
from multiqa_integrations.qdrant.server.conditions import MetadataFilter, to_filter
from multiqa_integrations.qdrant.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from qdrant_client import AsyncQdrantClient, QdrantClient

_Scored = list[tuple[Document, float]]


class MultiQAVectorStore(VectorStore, ContextManaged):
    """Documents in a Qdrant collection: in a directory, on a server, or behind a client of yours.

    The collection is created if there is none, and checked otherwise: one that another model
    filled is kept out. Nothing is embedded at construction. The payload is that of
    langchain-qdrant: either reads what the other wrote.

    An id that is no UUID is mapped to one and comes back as it was given. The same id overwrites.

    Example:
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
        embedding: MultiQAEmbeddings | None = None,
        collection_name: str = "langchain",
        *,
        url: str | None = None,
        path: str | Path | None = None,
        client: QdrantClient | AsyncQdrantClient | None = None,
        store: Store | None = None,
        api_key: str | None = None,
        vector_name: str = "",
        sparse: bool | str | None = None,
        payload_indexes: Mapping[str, Any] | None = None,
        adopt: bool = False,
        content_payload_key: str = "page_content",
        metadata_payload_key: str = "metadata",
        **create_options: Any,
    ) -> None:
        """Open or create a collection.

        Args:
            embedding: By default `MultiQAEmbeddings()`.
            collection_name: The collection, or an alias.
            url: Of a server. Give one of url, path, client and store.
            path: A directory of embedded collections.
            client: A client of qdrant-client, asynchronous and local ones too.
            store: A store of `multiqa_integrations.qdrant.open_store`.
            api_key: For `url`; by default that of the environment variable QDRANT_API_KEY.
            vector_name: "" is the unnamed vector.
            sparse: Whether a new collection can be searched by words too (`hybrid=True`).
            payload_indexes: Payload fields to index, such as {"metadata.lang": "keyword"}.
            adopt: Write the fingerprint into a collection that has none.
            content_payload_key: Where the text is in the payload.
            metadata_payload_key: Where the metadata is in the payload.
            create_options: For a new collection; see `ensure_collection`.

        Raises:
            CollectionMismatchError: Another model filled it, or it differs otherwise.
            ConfigurationError: An argument is wrong.
            StoreError: It cannot be opened.
        """
        self._embedding = _checked(embedding)
        self._metadata_key = metadata_payload_key
        self.collection = Collection.open(
            collection_name,
            encoder=self._embedding.used_encoder,
            url=url,
            path=path,
            client=client,
            store=store,
            api_key=api_key,
            vector_name=vector_name,
            sparse=sparse,
            payload_indexes=payload_indexes,
            adopt=adopt,
            content_payload_key=content_payload_key,
            metadata_payload_key=metadata_payload_key,
            **create_options,
        )

    @classmethod
    async def aopen(
        cls,
        embedding: Embeddings | None = None,
        collection_name: str = "langchain",
        *,
        metadata_payload_key: str = "metadata",
        **options: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection as the constructor does, without blocking the event loop."""
        opened = cls.__new__(cls)
        opened._embedding = _checked(embedding)
        opened._metadata_key = metadata_payload_key
        opened.collection = await Collection.aopen(
            collection_name,
            encoder=opened._embedding.used_encoder,
            metadata_payload_key=metadata_payload_key,
            **options,
        )
        return opened

    @property
    def embeddings(self) -> MultiQAEmbeddings:
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
        with ExitStack() as on_failure:
            opened = on_failure.enter_context(cls(_checked(embedding), **options))
            opened.add_texts(texts, metadatas, ids=ids)
            on_failure.pop_all()
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
        """Do as `from_texts`, without blocking the event loop."""
        async with AsyncExitStack() as on_failure:
            opened = await on_failure.enter_async_context(await cls.aopen(embedding, **options))
            await opened.aadd_texts(texts, metadatas, ids=ids)
            on_failure.pop_all()
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
        with ExitStack() as on_failure:
            opened = on_failure.enter_context(cls(_checked(embedding), **options))
            opened.add_documents(documents, ids=ids)
            on_failure.pop_all()
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
        """Do as `from_documents`, without blocking the event loop."""
        async with AsyncExitStack() as on_failure:
            opened = await on_failure.enter_async_context(await cls.aopen(embedding, **options))
            await opened.aadd_documents(documents, ids=ids)
            on_failure.pop_all()
        return opened

    # --- writing ------------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and store them, generators too; returns their ids.

        Raises:
            TextError: Something is not text.
            ConfigurationError: Ids or metadata do not fit.
            StoreError: The store refused or failed.
        """
        _check_write(kwargs)
        return self.collection.add(_texts(texts, ids, metadatas), ids=ids, metadatas=metadatas)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Do as `add_texts`, without blocking the event loop."""
        _check_write(kwargs)
        texts = _texts(texts, ids, metadatas)
        return await self.collection.aadd(texts, ids=ids, metadatas=metadatas)

    def add_documents(
        self,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed documents and store them, generators too; returns their ids."""
        _check_write(kwargs)
        return self.collection.add(_ours(documents, ids))

    async def aadd_documents(
        self,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Do as `add_documents`, without blocking the event loop."""
        _check_write(kwargs)
        return await self.collection.aadd(_ours(documents, ids))

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: MetadataFilter = None, **kwargs: Any
    ) -> bool:
        """Delete documents by their ids, or those that a filter selects.

        Raises:
            ConfigurationError: Neither is given: that would delete everything.
        """
        check_options(kwargs, (), "delete")
        self.collection.delete(ids, filter=to_filter(filter, self._metadata_key))
        return True

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: MetadataFilter = None, **kwargs: Any
    ) -> bool:
        """Do as `delete`, without blocking the event loop."""
        check_options(kwargs, (), "delete")
        await self.collection.adelete(ids, filter=to_filter(filter, self._metadata_key))
        return True

    # --- reading ------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Read documents by their ids; missing ones are left out."""
        return [_theirs(document) for document in self.collection.get(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Do as `get_by_ids`, without blocking the event loop."""
        return [_theirs(document) for document in await self.collection.aget(ids)]

    def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """Find the documents closest to a query, best first.

        Args:
            query: A question.
            k: How many are wanted.
            options: `filter`, a dict of metadata or `models.Filter`; and those of
                `qdrant.collection.SearchOptions`: score_threshold, hybrid, exact…
        """
        return [document for document, _ in self.similarity_search_with_score(query, k, **options)]

    async def asimilarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """Do as `similarity_search`, without blocking the event loop."""
        found = await self.asimilarity_search_with_score(query, k, **options)
        return [document for document, _ in found]

    def similarity_search_with_score(self, query: str, k: int = 4, **options: Any) -> _Scored:
        """Find documents with their cosine to the query."""
        return _scored(self.collection.search(query, limit=k, **self._options(options)))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **options: Any
    ) -> _Scored:
        """Do as `similarity_search_with_score`, without blocking the event loop."""
        return _scored(await self.collection.asearch(query, limit=k, **self._options(options)))

    def similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> _Scored:
        """Find documents with their relevance, (1 + cosine) / 2: from 0 to 1.

        Args:
            query: A question.
            k: Most documents.
            options: Those of `similarity_search` but `hybrid`; `score_threshold` is the least
                relevance.
        """
        return self._relevant(self.similarity_search_with_score(query, k, **_of_cosine(options)))

    async def asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> _Scored:
        """Do as `similarity_search_with_relevance_scores`, without blocking the event loop."""
        return self._relevant(
            await self.asimilarity_search_with_score(query, k, **_of_cosine(options))
        )

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, **options: Any
    ) -> list[Document]:
        """Find the documents closest to a vector."""
        found = self.similarity_search_with_score_by_vector(embedding, k, **options)
        return [document for document, _ in found]

    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, **options: Any
    ) -> list[Document]:
        """Do as `similarity_search_by_vector`, without blocking the event loop."""
        found = await self.asimilarity_search_with_score_by_vector(embedding, k, **options)
        return [document for document, _ in found]

    def similarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, **options: Any
    ) -> _Scored:
        """Find documents with their cosine to a vector."""
        vector, wanted = np.asarray(embedding, np.float32), self._options(options)
        return _scored(self.collection.search_by_vector(vector, limit=k, **wanted))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, **options: Any
    ) -> _Scored:
        """Do as `similarity_search_with_score_by_vector`, without blocking the event loop."""
        vector, wanted = np.asarray(embedding, np.float32), self._options(options)
        return _scored(await self.collection.asearch_by_vector(vector, limit=k, **wanted))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """Find documents that are close to a query and differ from each other.

        Args:
            query: A question.
            k: How many are wanted.
            fetch_k: From how many of the closest they are chosen.
            lambda_mult: 1 is closeness only, 0 is difference only.
            options: `filter`.
        """
        wanted = self._mmr(k, fetch_k, lambda_mult, options)
        return [_found(hit) for hit in self.collection.mmr(query, **wanted)]

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search`, without blocking the event loop."""
        wanted = self._mmr(k, fetch_k, lambda_mult, options)
        return [_found(hit) for hit in await self.collection.ammr(query, **wanted)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search`, for a vector."""
        wanted = self._mmr(k, fetch_k, lambda_mult, options)
        vector = np.asarray(embedding, np.float32)
        return [_found(hit) for hit in self.collection.mmr_by_vector(vector, **wanted)]

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **options: Any,
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search_by_vector`, without blocking the event loop."""
        wanted = self._mmr(k, fetch_k, lambda_mult, options)
        vector = np.asarray(embedding, np.float32)
        return [_found(hit) for hit in await self.collection.ammr_by_vector(vector, **wanted)]

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

    def _options(
        self, options: dict[str, Any], allowed: frozenset[str] = SIMILARITY
    ) -> dict[str, Any]:
        check_options(options, allowed, "this search")
        return {**options, "filter": to_filter(options.get("filter"), self._metadata_key)}

    def _mmr(
        self, k: int, fetch_k: int, lambda_mult: float, options: dict[str, Any]
    ) -> dict[str, Any]:
        if not 0.0 <= lambda_mult <= 1.0:
            raise ConfigurationError(f"lambda_mult is {lambda_mult!r}, expected 0 to 1.")
        wanted = self._options(options, MMR)
        return {"limit": k, "candidates": max(fetch_k, k), "diversity": 1.0 - lambda_mult, **wanted}


def _checked(embedding: Embeddings | None) -> MultiQAEmbeddings:
    if embedding is None:
        return MultiQAEmbeddings()
    if not isinstance(embedding, MultiQAEmbeddings):
        raise ConfigurationError(
            f"embedding is {type(embedding).__name__}, expected MultiQAEmbeddings: the collection "
            "keeps the fingerprint of its weights. Other embeddings go with langchain-qdrant."
        )
    return embedding


def _check_write(options: dict[str, Any]) -> None:
    # LangChain's index() gives a batch size; requests are bounded here by themselves.
    check_options(options, {"batch_size"}, "writing")


def _of_cosine(options: dict[str, Any]) -> dict[str, Any]:
    """Make the options of a search by relevance those of one by cosine."""
    if options.get("hybrid"):
        raise ConfigurationError(
            "relevance is made of cosines; the scores of a hybrid search come from ranks. Leave "
            "hybrid out, or use similarity_search_with_score without score_threshold."
        )
    threshold = options.get("score_threshold")
    if threshold is None:
        return options
    if not isinstance(threshold, float | int) or not 0.0 <= threshold <= 1.0:
        raise ConfigurationError(f"score_threshold is {threshold!r}, expected a relevance, 0 to 1.")
    return {**options, "score_threshold": 2.0 * threshold - 1.0}


def _texts(
    texts: Iterable[str],
    ids: Sequence[str | None] | None,
    metadatas: Sequence[dict[str, Any]] | None,
) -> Iterable[str]:
    if (ids is not None or metadatas is not None) and not isinstance(texts, Sequence):
        return list(texts)  # ids and metadata are as many, so the texts are not too many
    return texts


def _ours(
    documents: Iterable[Document], ids: Sequence[str | None] | None
) -> Iterable[types.Document]:
    if ids is None:
        converted = (types.Document(one.page_content, one.id, one.metadata) for one in documents)
        return list(converted) if isinstance(documents, Sequence) else converted
    documents = list(documents)
    if len(ids) != len(documents):
        raise ConfigurationError(f"{len(ids)} ids for {len(documents)} documents.")
    return [
        types.Document(one.page_content, given if given is not None else one.id, one.metadata)
        for one, given in zip(documents, ids, strict=True)
    ]


def _theirs(document: types.Document) -> Document:
    return Document(id=document.id, page_content=document.text, metadata=dict(document.metadata))


def _found(hit: types.Hit) -> Document:
    return Document(id=hit.id, page_content=hit.text, metadata=dict(hit.metadata))


def _scored(hits: Iterable[types.Hit]) -> _Scored:
    return [(_found(hit), hit.score) for hit in hits]
