"""The store: the same calls and the same results over every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from multiqa_integrations.qdrant.filters import Matches
from multiqa_integrations.qdrant.points import Point, PointId, PointQuery, ScoredPoint
from multiqa_integrations.qdrant.schema import (
    CollectionReport,
    CollectionSchema,
    CollectionState,
)

if TYPE_CHECKING:
    from qdrant_client import models

Self = TypeVar("Self", bound="Store")


@runtime_checkable
class Store(Protocol):
    """Collections of points, in a server or in this process.

    `ServerStore` and `EdgeStore` are the two; `open_store` opens them. Every method may raise
    `StoreError`, `StoreUnavailableError` and `StoreLockedError`; those that take a filter
    `ConfigurationError` where the engine cannot honour it. Each has a twin for coroutines, its
    name with an `a` before it, that never blocks the event loop.
    """

    @property
    def parallel_writes(self) -> int:
        """How many writes at the same time are of use."""

    def ensure(
        self, collection: str, schema: CollectionSchema, *, adopt: bool = False, **options: Any
    ) -> CollectionReport:
        """Create the collection, or make sure that it fits; see `ensure_collection`."""

    def quantization(self, wanted: bool) -> dict[str, Any]:
        """Return the options of `ensure` that give a new collection 8-bit vectors, or none."""

    def check(self, collection: str, schema: CollectionSchema) -> CollectionReport:
        """Look whether the collection fits; see `check_collection`."""

    def collections(self) -> list[str]:
        """Name the collections."""

    def state(self, collection: str) -> CollectionState | None:
        """Describe a collection; None if there is none."""

    def drop(self, collection: str) -> bool:
        """Delete a collection with all its points; tells whether there was one."""

    def aliases(self) -> dict[str, str]:
        """Tell which collection each alias stands for."""

    def swap(self, alias: str, collection: str) -> str | None:
        """Let an alias stand for a collection, from one moment to the next.

        Whoever uses the alias as a collection's name finds the one or the other, never none.

        Returns:
            The collection that it stood for before; None if the alias is new.

        Raises:
            StoreError: There is no such collection, or one that is itself named like the alias.
        """

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Write points, over those of the same ids. On return they are durable and found.

        Raises:
            WriteRejectedError: Some do not fit; none was written.
        """

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

    def annotate(self, collection: str, key: str, value: Mapping[str, Any] | None) -> None:
        """Write something down about a collection, found in `state().annotations`; None forgets.

        Servers before 1.16 keep nothing, without a word.
        """

    def query(self, collection: str, query: PointQuery) -> list[ScoredPoint]:
        """Find the points closest to a query, best first."""

    def query_batch(
        self, collection: str, queries: Sequence[PointQuery]
    ) -> list[list[ScoredPoint]]:
        """Find points for several queries in one request."""

    def scroll(
        self,
        collection: str,
        *,
        filter: models.Filter | Matches | None = None,
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

    def count(self, collection: str, *, filter: models.Filter | None = None) -> int:
        """Count points, exactly."""

    def facet(
        self, collection: str, key: str, *, filter: models.Filter | None = None, limit: int = 10
    ) -> dict[str | int | bool, int]:
        """Count the points of each value of an indexed payload field, the most frequent first."""

    def optimize(
        self, collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True
    ) -> None:
        """Build the search graph over what was written since.

        Nothing is done if that is fewer than `minimum` points, or less than that share of all.
        Servers do so by themselves, in the background. An embedded collection is searched exactly
        without it, which is fast enough up to some ten thousand points; it takes both searches and
        writes of other threads meanwhile, of which the writes wait.

        Args:
            collection: Its name.
            minimum: How many points must be new.
            share: How large a share of all points must be new.
            merge: Make one graph of everything, which is searched fastest. Otherwise what is new
                gets a graph of its own, in seconds however large the rest is: for long runs of
                writing, which merge at their end.
        """

    def flush(self, collection: str | None = None) -> None:
        """Make what was written survive a power cut, not only a killed process."""

    def close(self) -> None:
        """Close what the store opened."""

    def __enter__(self: Self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def __aenter__(self: Self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def aensure(
        self, collection: str, schema: CollectionSchema, *, adopt: bool = False, **options: Any
    ) -> CollectionReport:
        """Do as `ensure`."""

    async def acheck(self, collection: str, schema: CollectionSchema) -> CollectionReport:
        """Do as `check`."""

    async def acollections(self) -> list[str]:
        """Do as `collections`."""

    async def astate(self, collection: str) -> CollectionState | None:
        """Do as `state`."""

    async def adrop(self, collection: str) -> bool:
        """Do as `drop`."""

    async def aaliases(self) -> dict[str, str]:
        """Do as `aliases`."""

    async def aswap(self, alias: str, collection: str) -> str | None:
        """Do as `swap`."""

    async def aupsert(self, collection: str, points: Sequence[Point]) -> None:
        """Do as `upsert`."""

    async def aretrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool = False,
    ) -> list[Point]:
        """Do as `retrieve`."""

    async def adelete(
        self,
        collection: str,
        *,
        ids: Sequence[PointId] | None = None,
        filter: models.Filter | None = None,
    ) -> None:
        """Do as `delete`."""

    async def aannotate(self, collection: str, key: str, value: Mapping[str, Any] | None) -> None:
        """Do as `annotate`."""

    async def aquery(self, collection: str, query: PointQuery) -> list[ScoredPoint]:
        """Do as `query`."""

    async def aquery_batch(
        self, collection: str, queries: Sequence[PointQuery]
    ) -> list[list[ScoredPoint]]:
        """Do as `query_batch`."""

    async def ascroll(
        self,
        collection: str,
        *,
        filter: models.Filter | Matches | None = None,
        limit: int = 256,
        offset: PointId | None = None,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool = False,
    ) -> tuple[list[Point], PointId | None]:
        """Do as `scroll`."""

    async def acount(self, collection: str, *, filter: models.Filter | None = None) -> int:
        """Do as `count`."""

    async def afacet(
        self, collection: str, key: str, *, filter: models.Filter | None = None, limit: int = 10
    ) -> dict[str | int | bool, int]:
        """Do as `facet`."""

    async def aoptimize(
        self, collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True
    ) -> None:
        """Do as `optimize`."""

    async def aflush(self, collection: str | None = None) -> None:
        """Do as `flush`."""

    async def aclose(self) -> None:
        """Do as `close`."""
