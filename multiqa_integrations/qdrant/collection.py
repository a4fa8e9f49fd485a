"""A collection of documents: texts in, hits out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

from tqdm import tqdm

from multiqa_integrations.coroutines import in_thread
from multiqa_integrations.errors import (
    ConfigurationError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant.context import ContextManaged
from multiqa_integrations.qdrant.documents import Intake, PayloadLayout
from multiqa_integrations.qdrant.edge import bm25
from multiqa_integrations.qdrant.ensure import sparse_name
from multiqa_integrations.qdrant.open import open_store
from multiqa_integrations.qdrant.points import (
    Point,
    PointQuery,
    ScoredPoint,
    SparseVector,
    lookup_ids,
)
from multiqa_integrations.qdrant.schema import (
    SPARSE_NAME,
    CollectionReport,
    CollectionSchema,
    announce,
    differences,
    filled_sparse_vector,
    refuse,
)
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.qdrant.upload import Uploader, upload_async
from multiqa_integrations.texts import check_texts
from multiqa_integrations.types import Document, Encoder, Hit, Vectors

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient, models
    from typing_extensions import Unpack

# An embedded collection compares a query with every point that was written since it was last
# optimised: up to so many that is as fast as following a graph.
OPTIMIZE_AT = 20_000


class SearchOptions(TypedDict, total=False):
    """How `Collection.search` searches.

    Attributes:
        limit: How many hits are wanted; 10 by default.
        offset: How many of the best are skipped.
        filter: A condition on the payload: `qdrant_client.models.Filter`.
        score_threshold: The least similarity of a hit.
        with_vectors: Whether the hits bring their vectors.
        hybrid: Search by meaning and by words (BM25), and fuse the two lists by reciprocal
            ranks; the scores then are of ranks.
        candidates: How many hits each of the two lists brings; by default 5 times `limit`, at
            least 50.
        exact: Compare with every document instead of following the HNSW graph.
        hnsw_ef: How widely that graph is followed: more is slower and finds more.
    """

    limit: int
    offset: int
    filter: models.Filter | None
    score_threshold: float | None
    with_vectors: bool
    hybrid: bool
    candidates: int | None
    exact: bool
    hnsw_ef: int | None


class Collection(ContextManaged):
    """Documents in a collection, found by meaning.

    Any number of threads may use it. Each method has a twin for coroutines, its name with an
    `a` before it, that never blocks the event loop.

    Example:
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
        self._layout = layout or PayloadLayout()
        self._owns_store = owns_store

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
        content_payload_key: str = "page_content",
        metadata_payload_key: str = "metadata",
        **create_options: Any,
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
            content_payload_key: Where the text is in the payload, for collections of others.
            metadata_payload_key: Where the metadata is.
            create_options: See `ensure_collection`.

        Raises:
            CollectionMismatchError: Another model filled it, or it differs otherwise.
            ConfigurationError: An argument is wrong.
            StoreError: It cannot be opened.
        """
        encoder, opened = _encoder(encoder), _store(store, url, path, client, api_key)
        schema = _schema(encoder, vector_name, sparse, payload_indexes)
        try:
            report = opened.ensure(name, schema, adopt=adopt, **create_options)
        except BaseException:
            if store is None:
                opened.close()
            raise
        announce(report)
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
    async def aopen(
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
        content_payload_key: str = "page_content",
        metadata_payload_key: str = "metadata",
        **create_options: Any,
    ) -> Collection:
        """Open a collection, as `open` does."""
        encoder = _encoder(encoder)
        # Imports the client, and reads the model's files for the fingerprint.
        opened = await in_thread(_store, store, url, path, client, api_key)
        schema = await in_thread(_schema, encoder, vector_name, sparse, payload_indexes)
        try:
            report = await opened.aensure(name, schema, adopt=adopt, **create_options)
        except BaseException:
            if store is None:
                await opened.aclose()
            raise
        announce(report)
        return cls(
            opened,
            encoder,
            report,
            vector_name=vector_name,
            sparse_vector=filled_sparse_vector(schema, report),
            layout=PayloadLayout(content_payload_key, metadata_payload_key),
            owns_store=store is None,
        )

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
            StoreError: The store failed for good. What was added before stays; add all again:
                the same ids overwrite.
        """
        intake = self._intake(documents, ids, metadatas)
        with tqdm(total=_length(documents), unit="doc", disable=not show_progress) as bar:
            try:
                with Uploader(self.store, self.name, progress=bar.update) as uploader:
                    for vectors in self.encoder.encode_stream(intake.texts()):
                        for points in intake.points(vectors):
                            uploader.add(points)
            except WriteRejectedError as error:
                raise intake.named(error) from error
        self.store.optimize(self.name, minimum=OPTIMIZE_AT)
        return intake.ids

    async def aadd(
        self,
        documents: Iterable[str | Document],
        *,
        ids: Sequence[str | None] | None = None,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[str]:
        """Encode documents and store them, as `add` does."""
        intake = await in_thread(self._intake, documents, ids, metadatas)
        windows = self.encoder.encode_stream(intake.texts())

        async def points() -> AsyncIterator[list[Point]]:
            while (vectors := await in_thread(next, windows, None)) is not None:
                batches = intake.points(vectors)
                while (batch := await in_thread(next, batches, None)) is not None:
                    yield batch

        try:
            await upload_async(self.store, self.name, points())
        except WriteRejectedError as error:
            raise intake.named(error) from error
        await self.store.aoptimize(self.name, minimum=OPTIMIZE_AT)
        return intake.ids

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: models.Filter | None = None
    ) -> None:
        """Delete documents by their ids, or those that a filter selects.

        Raises:
            ConfigurationError: Neither or both are given, or the filter has no condition.
        """
        self.store.delete(self.name, ids=None if ids is None else lookup_ids(ids), filter=filter)

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: models.Filter | None = None
    ) -> None:
        """Delete documents, as `delete` does."""
        await self.store.adelete(
            self.name, ids=None if ids is None else lookup_ids(ids), filter=filter
        )

    # --- reading --------------------------------------------------------------------------

    @overload
    def search(self, query: str, **options: Unpack[SearchOptions]) -> list[Hit]: ...

    @overload
    def search(
        self, query: list[str] | tuple[str, ...], **options: Unpack[SearchOptions]
    ) -> list[list[Hit]]: ...

    def search(
        self, query: str | list[str] | tuple[str, ...], **options: Unpack[SearchOptions]
    ) -> list[Hit] | list[list[Hit]]:
        """Find the documents closest in meaning, best first.

        Several queries are encoded together and sent in one request.

        Args:
            query: A question, or a list of them.
            options: See `SearchOptions`.

        Returns:
            The hits; a list of hits for each query where a list is given.

        Raises:
            TextError: A query is not text.
            ConfigurationError: An option is wrong, or the engine cannot honour the filter.
            CollectionMismatchError: `hybrid=True`, and the collection has no sparse vector.
            StoreError: The store refused or failed.
        """
        queries = [query] if isinstance(query, str) else check_texts(query)
        wanted = self._queries(queries, **options)
        answers = self.store.query_batch(self.name, wanted)
        hits = [[self._hit(point) for point in points] for points in answers]
        return hits[0] if isinstance(query, str) else hits

    @overload
    async def asearch(self, query: str, **options: Unpack[SearchOptions]) -> list[Hit]: ...

    @overload
    async def asearch(
        self, query: list[str] | tuple[str, ...], **options: Unpack[SearchOptions]
    ) -> list[list[Hit]]: ...

    async def asearch(
        self, query: str | list[str] | tuple[str, ...], **options: Unpack[SearchOptions]
    ) -> list[Hit] | list[list[Hit]]:
        """Find the documents closest in meaning, as `search` does."""
        queries = [query] if isinstance(query, str) else check_texts(query)
        wanted = await in_thread(self._queries, queries, **options)
        answers = await self.store.aquery_batch(self.name, wanted)
        hits = [[self._hit(point) for point in points] for points in answers]
        return hits[0] if isinstance(query, str) else hits

    def search_by_vector(self, vector: Vectors, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Find the documents closest to a unit vector `(384,)`, as `search` does."""
        wanted = self._query(vector, None, **options)
        return [self._hit(point) for point in self.store.query(self.name, wanted)]

    async def asearch_by_vector(
        self, vector: Vectors, **options: Unpack[SearchOptions]
    ) -> list[Hit]:
        """Find the documents closest to a vector, as `search_by_vector` does."""
        wanted = self._query(vector, None, **options)
        return [self._hit(point) for point in await self.store.aquery(self.name, wanted)]

    def mmr(
        self,
        query: str,
        k: int = 4,
        *,
        fetch_k: int = 20,
        diversity: float = 0.5,
        filter: models.Filter | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Find documents that are close in meaning and differ from each other.

        Maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998.

        Args:
            query: A question.
            k: How many are wanted.
            fetch_k: From how many of the closest they are chosen.
            diversity: 0 is closeness only, 1 is difference only.
            filter: A condition on the payload.
            with_vectors: Whether the hits bring their vectors.

        Raises:
            As `search`.
        """
        return self.mmr_by_vector(
            self.encoder.encode_query([query])[0],
            k,
            fetch_k=fetch_k,
            diversity=diversity,
            filter=filter,
            with_vectors=with_vectors,
        )

    async def ammr(
        self,
        query: str,
        k: int = 4,
        *,
        fetch_k: int = 20,
        diversity: float = 0.5,
        filter: models.Filter | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Find documents that are close and differ, as `mmr` does."""
        vectors = await in_thread(self.encoder.encode_query, [query])
        return await self.ammr_by_vector(
            vectors[0],
            k,
            fetch_k=fetch_k,
            diversity=diversity,
            filter=filter,
            with_vectors=with_vectors,
        )

    def mmr_by_vector(
        self,
        vector: Vectors,
        k: int = 4,
        *,
        fetch_k: int = 20,
        diversity: float = 0.5,
        filter: models.Filter | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Do as `mmr`, for a unit vector `(384,)`."""
        wanted = self._mmr(vector, k, fetch_k, diversity, filter, with_vectors)
        return [self._hit(point) for point in self.store.query(self.name, wanted)]

    async def ammr_by_vector(
        self,
        vector: Vectors,
        k: int = 4,
        *,
        fetch_k: int = 20,
        diversity: float = 0.5,
        filter: models.Filter | None = None,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Do as `mmr`, for a unit vector `(384,)`."""
        wanted = self._mmr(vector, k, fetch_k, diversity, filter, with_vectors)
        return [self._hit(point) for point in await self.store.aquery(self.name, wanted)]

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Read documents by their ids, in that order; missing ones are left out."""
        points = self.store.retrieve(self.name, lookup_ids(ids))
        return [self._layout.document(point) for point in points]

    async def aget(self, ids: Sequence[str]) -> list[Document]:
        """Read documents by their ids, as `get` does."""
        points = await self.store.aretrieve(self.name, lookup_ids(ids))
        return [self._layout.document(point) for point in points]

    def count(self, *, filter: models.Filter | None = None) -> int:
        """Count documents, exactly."""
        return self.store.count(self.name, filter=filter)

    async def acount(self, *, filter: models.Filter | None = None) -> int:
        """Count documents, as `count` does."""
        return await self.store.acount(self.name, filter=filter)

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

    def _intake(
        self,
        documents: Iterable[str | Document],
        ids: Sequence[str | None] | None,
        metadatas: Sequence[Mapping[str, Any]] | None,
    ) -> Intake:
        return Intake(
            documents,
            ids,
            metadatas,
            layout=self._layout,
            fingerprint=self.encoder.fingerprint,
            vector_name=self._vector_name,
            sparse_name=self.sparse_vector,
        )

    def _queries(
        self, queries: list[str], *, hybrid: bool = False, **options: Any
    ) -> list[PointQuery]:
        words: list[SparseVector | None] = [None] * len(queries)
        if hybrid:
            self._check_hybrid()
            words = list(bm25.encode_queries(queries))
        vectors = self.encoder.encode_query(queries)
        return [
            self._query(vector, sparse, **options)
            for vector, sparse in zip(vectors, words, strict=True)
        ]

    def _query(
        self,
        vector: Vectors,
        words: SparseVector | None,
        *,
        limit: int = 10,
        offset: int = 0,
        filter: models.Filter | None = None,
        score_threshold: float | None = None,
        with_vectors: bool = False,
        hybrid: bool = False,
        candidates: int | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
    ) -> PointQuery:
        if hybrid:
            raise ConfigurationError("a hybrid search needs the query's words, not its vector.")
        return PointQuery(
            vector=vector,
            vector_name=self._vector_name,
            sparse=words,
            sparse_name=self.sparse_vector or "",
            limit=limit,
            offset=offset,
            filter=filter,
            score_threshold=score_threshold,
            candidates=candidates,
            exact=exact,
            hnsw_ef=hnsw_ef,
            with_vectors=with_vectors,
        )

    def _mmr(
        self,
        vector: Vectors,
        k: int,
        fetch_k: int,
        diversity: float,
        filter: models.Filter | None,
        with_vectors: bool,
    ) -> PointQuery:
        return PointQuery(
            vector=vector,
            vector_name=self._vector_name,
            limit=k,
            candidates=fetch_k,
            diversity=diversity,
            filter=filter,
            with_vectors=with_vectors,
        )

    def _check_hybrid(self) -> None:
        if self.sparse_vector is None:
            schema = CollectionSchema(
                fingerprint=self.encoder.fingerprint,
                vector_name=self._vector_name,
                sparse_name=SPARSE_NAME,
            )
            refuse(self.name, differences(schema, self.report.info, indexes=False))

    def _hit(self, point: ScoredPoint) -> Hit:
        document = self._layout.document(point)
        vector = point.vectors.get(self._vector_name)
        return Hit(
            id=self._layout.document_id(point),
            score=point.score,
            text=document.text,
            metadata=document.metadata,
            vector=None if isinstance(vector, SparseVector) else vector,
        )


def _encoder(encoder: Encoder | None) -> Encoder:
    if encoder is None:
        from multiqa_integrations.encoder import MultiQAEncoder

        return MultiQAEncoder()
    if not isinstance(encoder, Encoder):
        raise ConfigurationError(
            f"encoder is {type(encoder).__name__}, expected MultiQAEncoder or another Encoder."
        )
    return encoder


def _store(
    store: Store | None,
    url: str | None,
    path: str | Path | None,
    client: QdrantClient | AsyncQdrantClient | None,
    api_key: str | None,
) -> Store:
    if store is None:
        return open_store(url=url, path=path, client=client, api_key=api_key)
    if url is not None or path is not None or client is not None or api_key is not None:
        raise ConfigurationError("store comes without url, path, client and api_key.")
    return store


def _schema(
    encoder: Encoder,
    vector_name: str,
    sparse: bool | str | None,
    payload_indexes: Mapping[str, Any] | None,
) -> CollectionSchema:
    return CollectionSchema(
        fingerprint=encoder.fingerprint,
        model=getattr(getattr(encoder, "spec", None), "name", None),
        size=encoder.dimension,
        vector_name=vector_name,
        sparse_name=None if sparse is None else sparse_name(sparse),
        payload_indexes=payload_indexes or {},
    )


def _length(documents: Iterable[object]) -> int | None:
    return len(documents) if isinstance(documents, Sequence) else None
