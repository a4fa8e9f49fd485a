"""The store: the same calls and the same results over every engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multiqa_integrations.qdrant.dual import Threaded, awaitable
from multiqa_integrations.qdrant.filters import PayloadEquals
from multiqa_integrations.qdrant.info import CollectionInfo, CollectionReport
from multiqa_integrations.qdrant.points import Point, PointId, PointQuery, ScoredPoint
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.settings import CollectionSettings

if TYPE_CHECKING:
    from qdrant_client import models

# An embedded collection compares a query with every point that was written since it was last
# optimised: up to so many that is as fast as following a graph.
OPTIMIZE_AT = 20_000


class Store(Threaded):
    """Collections of points, in a server or in this process.

    `ServerStore` and `EdgeStore` are the two; `open_store` opens them. Every method may raise
    `StoreError`, `StoreUnavailableError` and `StoreLockedError`; those that take a filter
    `ConfigurationError` where the engine cannot honour it. Each has a coroutine, its name
    with an `a` before it, that never blocks the event loop.
    """

    look_seconds: float = 0.0
    """For how long a writer relies on what it saw of a collection; see `writer`."""

    @property
    @abstractmethod
    def parallel_writes(self) -> int:
        """How many writes at the same time are of use."""

    @abstractmethod
    def ensure(
        self,
        /,
        collection: str,
        schema: CollectionSchema,
        *,
        adopt: bool = False,
        **options: Any,
    ) -> CollectionReport:
        """Create the collection, or make sure that it fits; see `ensure_collection`."""

    @abstractmethod
    def supported(self, wanted: CollectionSettings) -> tuple[CollectionSettings, list[str]]:
        """Return those of some settings that a new collection can have.

        Returns:
            Them, and a line for each other one that is not the default.

        Raises:
            ConfigurationError: The server is too old for one of them.
        """

    @abstractmethod
    def check_may_create(self) -> None:
        """Make sure that collections may be created here; nothing is written.

        Raises:
            StorePermissionError: The API key lacks the right.
            StoreError: The directory cannot be written.
        """

    @abstractmethod
    def check(self, collection: str, schema: CollectionSchema) -> CollectionReport:
        """Check whether the collection fits; see `check_collection`."""

    @abstractmethod
    def collections(self) -> list[str]:
        """Return the names of the collections."""

    @abstractmethod
    def info(self, collection: str) -> CollectionInfo | None:
        """Return what a collection is; None if there is none."""

    def broken(self) -> dict[str, str]:
        """Return why collections are broken, by their names; those that are not are left out."""
        return {}

    @abstractmethod
    def drop(self, collection: str, *, force: bool = False) -> bool:
        """Delete a collection with all its points; returns whether there was one.

        Args:
            collection: Its own name, not an alias.
            force: Delete it even if an alias stands for it; the alias goes as well.

        Raises:
            StoreError: The name is an alias, or an alias stands for the collection.
        """

    @abstractmethod
    def aliases(self) -> dict[str, str]:
        """Return the collection of each alias."""

    @abstractmethod
    def swap(self, alias: str, collection: str) -> str | None:
        """Point an alias at a collection, atomically.

        Readers resolve it to the old or the new collection, never to none.

        Returns:
            The collection that it pointed at before; None if the alias is new.

        Raises:
            StoreError: There is no such collection, or one that is itself named like the alias.
        """

    @abstractmethod
    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Write points, over those of the same ids. On return they are durable and found.

        Raises:
            WriteRejectedError: Some do not fit; none was written.
        """

    @abstractmethod
    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool = False,
    ) -> list[Point]:
        """Read points by their ids, in the order of the ids; missing ones are left out.

        `with_payload` names the keys of the payload that are wanted, where not all are.
        """

    @abstractmethod
    def delete(
        self,
        collection: str,
        *,
        ids: Sequence[PointId] | None = None,
        filter: models.Filter | None = None,
    ) -> None:
        """Delete points by their ids, or those that a filter selects.

        Raises:
            ConfigurationError: Neither or both are given, or the filter has no condition: that
                would delete everything.
        """

    @abstractmethod
    def annotate(self, collection: str, key: str, value: Any) -> None:
        """Set a value of a collection's metadata, which `info().metadata` returns; None deletes it.

        It is a value of JSON.

        Servers before 1.16 silently keep nothing.
        """

    def annotations_in_points(self, collection: str) -> dict[str, Any]:
        """Return what `annotate` wrote into points, for a key that may not write metadata."""
        return {}

    @abstractmethod
    def query(self, collection: str, query: PointQuery) -> list[ScoredPoint]:
        """Find the points closest to a query, best first."""

    @abstractmethod
    def query_batch(
        self, collection: str, queries: Sequence[PointQuery]
    ) -> list[list[ScoredPoint]]:
        """Find points for several queries in one request."""

    @abstractmethod
    def scroll(
        self,
        collection: str,
        *,
        filter: models.Filter | PayloadEquals | None = None,
        limit: int = 256,
        offset: PointId | None = None,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool = False,
    ) -> tuple[list[Point], PointId | None]:
        """Read a page of points in the order of their ids; returns where the next begins.

        Args:
            collection: Its name.
            filter: Which points.
            limit: Most points of a page.
            offset: What the page before returned.
            with_payload: Whether to read it, or which of its fields.
            with_vectors: Whether to read them.
        """

    @abstractmethod
    def count(self, collection: str, *, filter: models.Filter | PayloadEquals | None = None) -> int:
        """Count points, exactly."""

    @abstractmethod
    def optimize(
        self, collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True
    ) -> None:
        """Build the search graph over what was written since.

        Nothing is done if that is fewer than `minimum` points, or less than that share of all.
        Servers do so by themselves, in the background. An embedded collection is searched exactly
        without it, which is fast enough up to some ten thousand points; it takes both searches and
        writes of other threads meanwhile; the writes wait.

        Args:
            collection: Its name.
            minimum: How many points must be new.
            share: How large a share of all points must be new.
            merge: Make one graph of everything, which is searched fastest. Otherwise what is new
                gets a graph of its own, in seconds however large the rest is: for long runs of
                writing, which merge at their end.
        """

    @abstractmethod
    def flush(self, collection: str | None = None) -> None:
        """Make what was written survive a power cut, not only a killed process."""

    @abstractmethod
    def close(self) -> None:
        """Close what the store opened."""

    # --- the same for coroutines: in a few threads, unless a store really awaits -----------------

    aensure = awaitable(ensure)
    asupported = awaitable(supported)
    acheck_may_create = awaitable(check_may_create)
    acheck = awaitable(check)
    acollections = awaitable(collections)
    ainfo = awaitable(info)
    abroken = awaitable(broken)
    adrop = awaitable(drop)
    aaliases = awaitable(aliases)
    aswap = awaitable(swap)
    aupsert = awaitable(upsert)
    aretrieve = awaitable(retrieve)
    adelete = awaitable(delete)
    aannotate = awaitable(annotate)
    aannotations_in_points = awaitable(annotations_in_points)
    aquery = awaitable(query)
    aquery_batch = awaitable(query_batch)
    ascroll = awaitable(scroll)
    acount = awaitable(count)
    aoptimize = awaitable(optimize)
    aflush = awaitable(flush)
    aclose = awaitable(close)
