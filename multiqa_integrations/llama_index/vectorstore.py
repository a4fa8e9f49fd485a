"""Qdrant collections as a LlamaIndex vector store, over any engine."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from multiqa_integrations.arguments import check_kind, check_options, path_to_str
from multiqa_integrations.coroutines import in_own_thread, in_thread
from multiqa_integrations.errors import StorePermissionError, WriteRejectedError
from multiqa_integrations.llama_index import queries
from multiqa_integrations.llama_index.embedding import (
    MultiQAEmbedding,
    embedding_of_settings,
    not_multiqa_error,
)
from multiqa_integrations.llama_index.payload import (
    DOCUMENT_KEY,
    DOCUMENT_KEYS,
    METADATA_KEY,
    SYNC_DOCUMENT_KEY,
    to_node,
    to_points,
)
from multiqa_integrations.llama_index.store_settings import reopen, to_fields, without_secrets
from multiqa_integrations.qdrant.collection import Collection
from multiqa_integrations.qdrant.documents import taken_ids, with_document_ids
from multiqa_integrations.qdrant.dual import Dual, Steps, ask, both, work
from multiqa_integrations.qdrant.info import missing_indexes
from multiqa_integrations.qdrant.points import Point
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.store import Store

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient, models

_PAGE = 256  # nodes read at a time

_OPEN_OPTIONS = ("url", "path", "api_key", "vector_name", "sparse", "payload_indexes", "adopt")

# Documents are deleted by them.
_INDEXES = {DOCUMENT_KEY: "keyword", SYNC_DOCUMENT_KEY: "keyword"}

# Filters look there as well, since other programs' documents may have the same fields; servers in
# strict mode refuse that without an index.
_INDEXES_OF_NEW = {f"{METADATA_KEY}.{key}": "keyword" for key in DOCUMENT_KEYS}


class MultiQAVectorStore(BasePydanticVectorStore, Dual):
    """Nodes in a Qdrant collection: in a directory, on a server, or behind a client of yours.

    The collection is created if there is none, and checked otherwise: one that another model
    filled is kept out. A directory persists by itself. A node's id may be any string; the same id
    overwrites. Any number of threads may use it; asynchronous methods never block the event loop.

    Args:
        collection_name: The collection, or an alias.
        client: A client of qdrant-client. Give one of url, path, client and store.
        store: A store of `open_store`.
        settings: The fields below; and, for a new collection, options of `ensure_collection`.

    Raises:
        CollectionMismatchError: Another model filled the collection, or it differs otherwise.
        ConfigurationError: A setting is wrong.
        StoreError: The collection cannot be opened.

    Examples:
        >>> from llama_index.core import VectorStoreIndex
        >>> store = MultiQAVectorStore("manual", path="./collections")  # doctest: +SKIP
        >>> index = VectorStoreIndex.from_vector_store(store)  # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    stores_text: bool = True
    collection_name: str = Field(default="llama_index", description="A collection or an alias.")
    embedding: MultiQAEmbedding = Field(
        default_factory=embedding_of_settings,
        description="The index's embedding model, whose fingerprint the collection keeps; by "
        "default that of LlamaIndex's Settings. The store itself embeds nothing.",
    )
    url: str | None = Field(default=None, description="Of a server.")
    path: str | None = Field(default=None, description="A directory of embedded collections.")
    api_key: str | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="For url; by default the environment's QDRANT_API_KEY. In no dictionary or "
        "pickle.",
    )
    vector_name: str = Field(default="", description='"" is the unnamed vector.')
    sparse: bool | str | None = Field(
        default=None, description="Whether a new collection can be searched by words too."
    )
    payload_indexes: dict[str, Any] = Field(
        default_factory=dict,
        description='Payload fields to index, such as {"metadata.lang": "keyword"}.',
    )
    adopt: bool = Field(
        default=False, description="Write the fingerprint into a collection that has none."
    )
    create_options: dict[str, Any] = Field(
        default_factory=dict,
        description="For a new collection; see ensure_collection. Each may also be an argument.",
    )
    connection_options: dict[str, Any] = Field(
        default_factory=dict,
        exclude=True,
        repr=False,
        description="For url, such as timeout and headers; see ConnectionOptions. Each may also "
        "be an argument. In no dictionary.",
    )

    _collection: Collection = PrivateAttr()
    _given: object = PrivateAttr(default=None)

    def __init__(
        self,
        collection_name: str = "llama_index",
        *,
        client: QdrantClient | AsyncQdrantClient | None = None,
        store: Store | None = None,
        **settings: Any,
    ) -> None:
        settings["collection_name"] = collection_name
        super().__init__(**to_fields(settings, type(self).model_fields))
        self._given = store if client is None else client
        self._collection = Collection.open(
            self.collection_name,
            encoder=self.embedding.encoder,
            client=client,
            store=store,
            **{name: getattr(self, name) for name in _OPEN_OPTIONS},
            **self.connection_options,
            **self.create_options,
        )
        try:
            self._index_documents()
        except BaseException:
            self._collection.close()
            raise

    def _index_documents(self) -> None:
        schema = CollectionSchema.of(
            self.embedding.encoder,
            vector_name=self.vector_name,
            payload_indexes={
                **(_INDEXES_OF_NEW if self._collection.report.created else {}),
                **_INDEXES,
                **self.payload_indexes,
            },
        )
        if missing_indexes(schema, self._collection.report.info):
            with suppress(StorePermissionError):  # such a key does not delete either
                self._collection.store.ensure(self._collection.name, schema)

    @classmethod
    async def aopen(
        cls,
        collection_name: str = "llama_index",
        *,
        client: QdrantClient | AsyncQdrantClient | None = None,
        store: Store | None = None,
        **settings: Any,
    ) -> MultiQAVectorStore:
        """Open or create a collection as the constructor does, without blocking the event loop."""
        return await in_thread(cls, collection_name, client=client, store=store, **settings)

    _from_path = field_validator("path", mode="before")(path_to_str)

    @field_validator("embedding", mode="before")
    @classmethod
    def _check_embedding(cls, value: Any) -> Any:
        if isinstance(value, MultiQAEmbedding | dict):  # a dict is what to_dict() gave
            return value
        raise not_multiqa_error(value)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._given is not None:
            raise TypeError(
                "a vector store over client= or store= cannot be pickled. Open it with url= or "
                "path=, or open it where it is needed."
            )
        return reopen, (type(self), *without_secrets(dict(self)))

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows the class by."""
        return "MultiQAVectorStore"

    @property
    def collection(self) -> Collection:
        """The collection that holds the nodes."""
        return self._collection

    @property
    def client(self) -> Any:
        """The client or store that was given; else the store that was opened."""
        return self._collection.store if self._given is None else self._given

    # --- writing ------------------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes that have embeddings; all are checked before the first is written.

        Returns:
            Their ids.

        Raises:
            ConfigurationError: A node has no embedding, or metadata that JSON cannot hold.
            WriteRejectedError: The store refused some, which `.ids` names; the others are in.
            StoreError: The store failed for good. Add all again: the same ids overwrite.
        """
        check_options(kwargs, (), "add")
        return self._add(nodes, threading.Event())

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes in a thread, as `add`. Cancelled, it ends after the requests under way."""
        check_options(kwargs, (), "async_add")
        stop = threading.Event()
        return await in_own_thread(stop, self._add, nodes, stop)

    def _add(self, nodes: Sequence[BaseNode], stop: threading.Event) -> list[str]:
        check_kind("nodes", nodes, Iterable, "a list of nodes", optional=False)
        nodes = list(nodes)
        points = to_points(
            nodes,
            self._collection.encoder.fingerprint,
            vector_name=self.vector_name,
            sparse_name=self._collection.sparse_vector,
        )
        ids = [node.node_id for node in nodes]
        try:
            with self._collection.uploader(stop=stop) as uploader:
                taken = taken_ids(self._collection.store, self._collection.name, ids)
                uploader.refuse(taken)
                uploader.add(point for point in points if str(point.id) not in taken)
        except WriteRejectedError as error:
            raise with_document_ids(error, ids) from error
        return ids

    def _delete(self, /, ref_doc_id: str, **delete_kwargs: Any) -> Steps[None]:
        """Delete the nodes of a document; the document itself, where it was stored as a node."""
        check_options(delete_kwargs, (), "delete")
        yield from self._delete_selected((yield from work(queries.of_document, ref_doc_id)))

    def _delete_nodes(
        self,
        /,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> Steps[None]:
        """Delete nodes by ids, by filters, or by both together; without them, none."""
        check_options(delete_kwargs, (), "delete_nodes")
        selected = yield from work(self._selection, node_ids, filters)
        if selected is not None:
            yield from self._delete_selected(selected)

    def _clear(self) -> Steps[None]:
        """Delete all nodes, and whatever else is in the collection; the collection stays."""
        yield from self._delete_selected((yield from work(queries.everything)))

    def _selection(
        self, node_ids: list[str] | None, filters: MetadataFilters | None
    ) -> models.Filter | None:
        indexes = self._collection.report.info.payload_indexes
        return queries.selection(node_ids, filters, indexes)

    def _delete_selected(self, selected: models.Filter | None) -> Steps[None]:
        yield from ask(self._collection, Collection.delete, filter=selected)

    delete, adelete = both(_delete)
    delete_nodes, adelete_nodes = both(_delete_nodes)
    clear, aclear = both(_clear)

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Make what was written survive a power cut.

        `StorageContext.persist` calls it. The path has no use: a collection stays where it is.
        """
        self._collection.store.flush(self._collection.name)

    # --- reading ------------------------------------------------------------------------------

    def _get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> Steps[list[BaseNode]]:
        """Read nodes with their embeddings: by ids, filters, or both; without them, all.

        In the order of their points; what is not there is left out.
        """
        selected = yield from work(self._selection, node_ids, filters)
        nodes: list[BaseNode] = []
        offset = None
        while True:
            points, offset = yield from ask(
                self._collection.store,
                Store.scroll,
                self._collection.name,
                filter=selected,
                limit=_PAGE,
                offset=offset,
                with_vectors=True,
            )
            nodes += yield from work(self._nodes, points)
            if offset is None:
                return nodes

    def _query(self, /, query: VectorStoreQuery, **kwargs: Any) -> Steps[VectorStoreQueryResult]:
        """Find nodes, best first.

        Args:
            query: Of the modes default, mmr, hybrid (by meaning and by words, fused by ranks) and
                sparse (by words: BM25). The last two need a collection with `sparse=True`.
                `sparse_top_k` is how many nodes each list of a hybrid search brings.
            kwargs: What a retriever has as `vector_store_kwargs`: score_threshold, exact,
                hnsw_ef; `filter`, a `qdrant_client.models.Filter` that holds too; for mmr
                `mmr_threshold` (1 is closeness only, 0 is difference only; 0.5 by default) and
                `mmr_prefetch_k` (from how many of the closest they are chosen).

        Returns:
            Nodes, their ids, and similarities: cosines; of hybrid searches, scores of ranks.

        Raises:
            ConfigurationError: Something of it cannot be honoured; nothing is ignored.
            CollectionMismatchError: It is by words, and the collection has no sparse vector.
            StoreError: The store refused or failed.
        """
        check_options(kwargs, queries.OPTIONS, "this query")
        collection = self._collection
        request = yield from work(
            queries.to_point_query, query, collection, self.vector_name, **kwargs
        )
        points = yield from ask(collection.store, Store.query, collection.name, request)
        nodes = self._nodes(points)
        return VectorStoreQueryResult(
            nodes=nodes,
            similarities=[point.score for point in points],
            ids=[node.node_id for node in nodes],
        )

    def _nodes(self, points: Iterable[Point]) -> list[BaseNode]:
        return [to_node(point, self.vector_name) for point in points]

    get_nodes, aget_nodes = both(_get_nodes)
    query, aquery = both(_query)

    # --- opening and closing ------------------------------------------------------------------

    def close(self) -> None:
        """Close the collection."""
        self._collection.close()

    async def aclose(self) -> None:
        """Close the collection."""
        await self._collection.aclose()


MultiQALlamaStore = MultiQAVectorStore
"""The same class, for modules that import LangChain's `MultiQAVectorStore` too."""
