"""A collection of documents: texts in, hits out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from multiqa_integrations.arguments import check_encoder, check_kind
from multiqa_integrations.coroutines import in_own_thread, in_thread
from multiqa_integrations.errors import ConfigurationError, TextTypeError, WriteRejectedError
from multiqa_integrations.qdrant.differences import differences, raise_on_mismatch
from multiqa_integrations.qdrant.documents import PointBuilder, taken_ids
from multiqa_integrations.qdrant.dual import Dual, Steps, ask, both, work
from multiqa_integrations.qdrant.edge import bm25
from multiqa_integrations.qdrant.info import CollectionReport, filled_sparse_vector, warned
from multiqa_integrations.qdrant.open import split_options, use_store
from multiqa_integrations.qdrant.payload import PayloadLayout
from multiqa_integrations.qdrant.points import (
    PointQuery,
    ScoredPoint,
    SparseVector,
    lookup_ids,
)
from multiqa_integrations.qdrant.schema import SPARSE_NAME, CollectionSchema
from multiqa_integrations.qdrant.search_options import (
    MmrOptions,
    SearchOptions,
    check_options,
    mmr_options,
)
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.qdrant.upload import Uploader
from multiqa_integrations.qdrant.writer import Writer
from multiqa_integrations.texts import check_texts
from multiqa_integrations.types import Document, Encoder, Hit, Vectors

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient, models
    from typing_extensions import Unpack


class Collection(Dual):
    """Documents in a collection, found by meaning.

    Any number of threads may use it. Each method has a coroutine, its name with an `a` before it,
    that never blocks the event loop.

    Examples:
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> from qdrant_client import QdrantClient
        >>> client = QdrantClient(":memory:")
        >>> manual = Collection.open("manual", encoder=FakeEncoder(), client=client)
        >>> ids = manual.add(["The red button stops it.", "Oil it once a year."])
        >>> manual.search("what does the red button do", limit=1)[0].text
        'The red button stops it.'
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        report: CollectionReport,
        *,
        vector_name: str = "",
        sparse_vector: str | None = None,
        layout: PayloadLayout | None = None,
        owns_store: bool = False,
    ) -> None:
        """Use `open`, which makes sure that the collection fits."""
        self.store = store
        self.encoder = encoder
        self.report = report
        self.name = report.collection
        self._vector_name = vector_name
        self.sparse_vector = sparse_vector
        self.layout = layout or PayloadLayout()
        self._owns_store = owns_store
        schema = CollectionSchema.of(encoder, vector_name=vector_name, sparse=sparse_vector)
        self._writer = Writer(store, self.name, schema)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        encoder: Encoder | None = None,
        url: str | None = None,
        path: str | Path | None = None,
        client: QdrantClient | AsyncQdrantClient | None = None,
        store: Store | None = None,
        api_key: str | None = None,
        vector_name: str = "",
        sparse: bool | str | None = None,
        payload_indexes: Mapping[str, Any] | None = None,
        adopt: bool = False,
        settings: CollectionSettings | None = None,
        content_payload_key: str = "page_content",
        metadata_payload_key: str = "metadata",
        **options: Any,
    ) -> Collection:
        """Open a collection; it is created if there is none.

        Args:
            name: The collection.
            encoder: By default `MultiQAEncoder()`.
            url: Of a server. Give one of url, path, client and store.
            path: A directory of embedded collections.
            client: A client of qdrant-client.
            store: A store of `open_store`; `close()` leaves it open.
            api_key: For `url`; by default that of the environment variable QDRANT_API_KEY.
            vector_name: "" is the unnamed vector.
            sparse: Whether a new collection can be searched by words too (`hybrid=True`); or
                the name of its sparse vector. By default, whatever an existing one has.
            payload_indexes: See `ensure_collection`. The metadata field "topic" is
                "metadata.topic".
            adopt: See `ensure_collection`.
            settings: How a new collection is kept: shards, replicas, quantization…
            content_payload_key: Where the text is in the payload, for collections of others.
            metadata_payload_key: Where the metadata is.
            options: Of the connection to `url`: see `ConnectionOptions`. Of a new collection: see
                `ensure_collection`.

        Raises:
            CollectionMismatchError: Another model filled it, or it differs otherwise.
            ConfigurationError: An argument is wrong.
            StoreError: It cannot be opened.
        """
        encoder = _encoder(encoder)
        check_kind("settings", settings, CollectionSettings, "CollectionSettings(...)")
        connection, create_options = split_options(options)
        create_options = {**({} if settings is None else settings.given()), **create_options}
        where = {"url": url, "path": path, "client": client, "api_key": api_key, **connection}
        opened = use_store(store, where)
        try:
            schema = CollectionSchema.of(
                encoder, vector_name=vector_name, sparse=sparse, payload_indexes=payload_indexes
            )
            report = opened.ensure(name, schema, adopt=adopt, **create_options)
        except BaseException:
            if store is None:
                opened.close()
            raise
        warned(report)
        return cls(
            opened,
            encoder,
            report,
            vector_name=vector_name,
            sparse_vector=filled_sparse_vector(schema, report),
            layout=PayloadLayout(content_payload_key, metadata_payload_key),
            owns_store=store is None,
        )

    @classmethod
    async def aopen(cls, name: str, **options: Any) -> Collection:
        """Open a collection, as `open` does, with its arguments, in a thread."""
        return await in_thread(cls.open, name, **options)

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {self.store!r})"

    # --- writing --------------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[str | Document],
        *,
        ids: Sequence[str | None] | None = None,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        show_progress: bool = False,
    ) -> list[str]:
        """Encode documents and store them; the same id overwrites.

        Args:
            documents: Texts or `Document`s, a generator too. A list is checked whole before
                anything is encoded.
            ids: Ids for plain texts; None where there is none, which gets a random one.
            metadatas: Metadata for plain texts.
            show_progress: Show a progress bar.

        Returns:
            The ids, in the order of the documents.

        Raises:
            TextError: Something is not text; `.index` tells where.
            ConfigurationError: Ids or metadata do not fit.
            WriteRejectedError: The store refused some, which `.ids` names; the others are in.
            CollectionMismatchError: The name stands for a collection of another model by now.
            StoreLockedError: The collection is being migrated to another one just now.
            StoreError: The store failed for good. What was added before stays; add all again:
                the same ids overwrite.
        """
        return self._add(documents, ids, metadatas, show_progress, threading.Event())

    async def aadd(
        self,
        documents: Iterable[str | Document],
        *,
        ids: Sequence[str | None] | None = None,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        show_progress: bool = False,
    ) -> list[str]:
        """Encode documents and store them, as `add` does, in a thread.

        Cancelled, it ends after the requests under way; what was written before stays.
        """
        stop = threading.Event()
        return await in_own_thread(stop, self._add, documents, ids, metadatas, show_progress, stop)

    def _add(
        self,
        documents: Iterable[str | Document],
        ids: Sequence[str | None] | None,
        metadatas: Sequence[Mapping[str, Any]] | None,
        show_progress: bool,
        stop: threading.Event,
    ) -> list[str]:
        builder = PointBuilder(
            documents,
            ids,
            metadatas,
            layout=self.layout,
            fingerprint=self.encoder.fingerprint,
            vector_name=self._vector_name,
            sparse_name=self.sparse_vector,
        )
        total = len(documents) if isinstance(documents, Sequence) else None
        with tqdm(total=total, unit="doc", disable=not show_progress) as bar:
            try:
                with self.uploader(progress=bar.update, stop=stop) as uploader:
                    for vectors in self.encoder.encode_stream(builder.texts()):
                        for points in builder.points(vectors):
                            ids_of_points = builder.ids[-len(points) :]
                            taken = taken_ids(self.store, self.name, ids_of_points)
                            uploader.refuse(taken)
                            uploader.add(point for point in points if str(point.id) not in taken)
            except WriteRejectedError as error:
                raise builder.with_document_ids(error) from error
        return builder.ids

    def _delete(
        self, ids: Sequence[str] | None = None, *, filter: models.Filter | None = None
    ) -> Steps[None]:
        """Delete documents by their ids, or those that a filter selects.

        Raises:
            ConfigurationError: Neither or both are given, or the filter has no condition.
            CollectionMismatchError, StoreLockedError: As `add`.
        """
        points = None if ids is None else lookup_ids(ids)
        yield from self._writer.write(Store.delete, ids=points, filter=filter)

    delete, adelete = both(_delete)

    def uploader(self, **options: Any) -> Uploader:
        """Return an uploader to the collection, with these options of `Uploader`.

        It checks now and then that the name still stands for a collection of this model.
        """
        return Uploader(self.store, self.name, write=self._writer.upsert, **options)

    # --- reading --------------------------------------------------------------------------

    def _search(self, query: str, **options: Unpack[SearchOptions]) -> Steps[list[Hit]]:
        """Find the documents closest in meaning, best first.

        Args:
            query: A question.
            options: See `SearchOptions`.

        Raises:
            TextError: The query is not text.
            ConfigurationError: An option is wrong, or the engine cannot honour the filter.
            CollectionMismatchError: `hybrid=True`, and the collection has no sparse vector.
            StoreError: The store refused or failed.
        """
        if not isinstance(query, str):
            raise TextTypeError(
                f"the query is {type(query).__name__}, expected a string. For several queries "
                "there is search_batch([...])."
            )
        (request,) = yield from work(self._requests, [query], **options)
        return (yield from self._hits(request))

    def _search_batch(
        self, queries: Sequence[str], **options: Unpack[SearchOptions]
    ) -> Steps[list[list[Hit]]]:
        """Search with several queries: they are encoded together and sent in one request.

        Args:
            queries: The questions.
            options: See `SearchOptions`.

        Returns:
            The hits of each query, best first.

        Raises:
            TextError: A query is not text; `.index` tells which.
            StoreError: As in `search`.
        """
        requests = yield from work(self._requests, check_texts(queries), **options)
        answers = yield from ask(self.store, Store.query_batch, self.name, requests)
        return [[self._hit(point) for point in points] for points in answers]

    def _search_by_vector(
        self, vector: Vectors, **options: Unpack[SearchOptions]
    ) -> Steps[list[Hit]]:
        """Find the documents closest to a unit vector `(384,)`, as `search` does."""
        if options.pop("hybrid", False):
            raise ConfigurationError("a hybrid search needs the query's words, not its vector.")
        request = self._request(vector, None, **options)
        return (yield from self._hits(request))

    def _mmr(self, query: str, **options: Unpack[MmrOptions]) -> Steps[list[Hit]]:
        """Find documents that are close in meaning and differ from each other.

        Maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998.

        Args:
            query: A question.
            options: See `MmrOptions`.

        Raises:
            ConfigurationError: As in `search`.
            StoreError: As in `search`.
        """
        vectors = yield from work(self.encoder.encode_query, [query])
        return (yield from self._mmr_by_vector(vectors[0], **options))

    def _mmr_by_vector(self, vector: Vectors, **options: Unpack[MmrOptions]) -> Steps[list[Hit]]:
        """Find documents as `mmr` does, by a unit vector `(384,)`."""
        check_options(options, MmrOptions)
        request = self._request(vector, None, **mmr_options(**options))
        return (yield from self._hits(request))

    def _hits(self, request: PointQuery) -> Steps[list[Hit]]:
        points = yield from ask(self.store, Store.query, self.name, request)
        return [self._hit(point) for point in points]

    def _get(self, ids: Sequence[str]) -> Steps[list[Document]]:
        """Read documents by their ids, in that order; missing ones are left out."""
        points = yield from ask(self.store, Store.retrieve, self.name, lookup_ids(ids))
        return [self.layout.document(point) for point in points]

    def _count(self, *, filter: models.Filter | None = None) -> Steps[int]:
        """Count documents, exactly."""
        return (yield from ask(self.store, Store.count, self.name, filter=filter))

    search, asearch = both(_search)
    search_batch, asearch_batch = both(_search_batch)
    search_by_vector, asearch_by_vector = both(_search_by_vector)
    mmr, ammr = both(_mmr)
    mmr_by_vector, ammr_by_vector = both(_mmr_by_vector)
    get, aget = both(_get)
    count, acount = both(_count)

    # --- opening and closing ----------------------------------------------------------------

    def close(self) -> None:
        """Close the store, unless it was given."""
        if self._owns_store:
            self.store.close()

    async def aclose(self) -> None:
        """Close the store, unless it was given."""
        if self._owns_store:
            await self.store.aclose()

    # --- between texts and points -----------------------------------------------------------

    def _requests(
        self, queries: list[str], *, hybrid: bool = False, **options: Any
    ) -> list[PointQuery]:
        words: list[SparseVector | None] = [None] * len(queries)
        if hybrid:
            self.check_hybrid()
            words = list(bm25.encode_queries(queries))
        vectors = self.encoder.encode_query(queries)
        return [
            self._request(vector, sparse, **options)
            for vector, sparse in zip(vectors, words, strict=True)
        ]

    def _request(self, vector: Vectors, words: SparseVector | None, **options: Any) -> PointQuery:
        check_options(options.keys() - {"diversity"}, SearchOptions)
        return PointQuery(
            vector=vector,
            vector_name=self._vector_name,
            sparse=words,
            sparse_name=self.sparse_vector or "",
            **options,
        )

    def check_hybrid(self) -> None:
        """Make sure that the collection can be searched by words.

        Raises:
            CollectionMismatchError: It has no sparse vector for that.
        """
        if self.sparse_vector is None:
            schema = CollectionSchema(
                fingerprint=self.encoder.fingerprint,
                vector_name=self._vector_name,
                sparse_name=SPARSE_NAME,
            )
            raise_on_mismatch(self.name, differences(schema, self.report.info, indexes=False))

    def _hit(self, point: ScoredPoint) -> Hit:
        document = self.layout.document(point)
        vector = point.vectors.get(self._vector_name)
        return Hit(
            id=self.layout.document_id(point),
            score=point.score,
            text=document.text,
            metadata=document.metadata,
            vector=None if isinstance(vector, SparseVector) else vector,
        )


def _encoder(encoder: Encoder | None) -> Encoder:
    if encoder is None:
        from multiqa_integrations.encoder import MultiQAEncoder

        return MultiQAEncoder()
    check_encoder(encoder)
    return encoder
