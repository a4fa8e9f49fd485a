"""The store over Qdrant Edge: the real engine inside this process, files in a directory."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import qdrant_edge as edge

from multiqa_integrations.coroutines import Threads
from multiqa_integrations.errors import CollectionNotFoundError, StoreClosedError
from multiqa_integrations.qdrant.differences import differences, raise_on_mismatch, report_on
from multiqa_integrations.qdrant.edge import convert, files, ranking, registry, settings
from multiqa_integrations.qdrant.edge.create import create
from multiqa_integrations.qdrant.edge.engine import engine_errors
from multiqa_integrations.qdrant.edge.filters import to_edge
from multiqa_integrations.qdrant.edge.info import collection_info
from multiqa_integrations.qdrant.edge.shard import Shard
from multiqa_integrations.qdrant.filters import (
    PayloadEquals,
    check_filter,
    check_selection,
)
from multiqa_integrations.qdrant.indexes import check_indexes, indexed_tests
from multiqa_integrations.qdrant.info import (
    CollectionInfo,
    CollectionReport,
    ensured_report,
    missing_indexes,
)
from multiqa_integrations.qdrant.names import (
    alias_conflict_error,
    check_name,
    is_alias_error,
)
from multiqa_integrations.qdrant.points import (
    Point,
    PointId,
    PointQuery,
    ScoredPoint,
    check_points,
    payload_keys,
)
from multiqa_integrations.qdrant.schema import CollectionSchema, check_metadata
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store

if TYPE_CHECKING:
    from qdrant_client import models

T = TypeVar("T")
P = ParamSpec("P")

_THREADS = 4  # for coroutines


class EdgeStore(Store):
    """A store over Qdrant Edge. See `Store` for what its methods do.

    Each collection is a subdirectory. Any number of threads, and of stores of one process, may
    use it; other processes are kept out while it is open, forked children included: there a store
    opens its collections anew, as soon as the parent has closed them. Every write is logged before
    it is acknowledged, so that a killed process loses none; `flush` survives a power cut too. The
    coroutines go through a few threads.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a directory; it is created at the first collection.

        Raises:
            ConfigurationError: The path is a file, or a directory of something else.
        """
        self.path = files.check_path(path)
        files.delete_dropped(self.path)
        self._lock = threading.Lock()
        self._shards: dict[Path, Shard] = {}
        self._threads = Threads(_THREADS, "multiqa-store")
        self._closed = False
        weakref.finalize(self, registry.abandon, self._shards)
        registry.register(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return f"EdgeStore({str(self.path)!r})"

    @property
    def parallel_writes(self) -> int:
        return 1

    # --- collections ----------------------------------------------------------------------

    def ensure(
        self,
        /,
        collection: str,
        schema: CollectionSchema,
        *,
        adopt: bool = False,
        **options: Any,
    ) -> CollectionReport:
        directory = self._directory(collection)
        config = convert.engine_config(schema, options)  # refuses options that nothing would use
        indexes = {
            key: convert.index_creation(key, kind) for key, kind in schema.payload_indexes.items()
        }
        created = False
        if not files.exists(directory):
            self._check_open()
            created = create(directory, convert.description(schema), config)
        found = self._info(collection)
        raise_on_mismatch(collection, differences(schema, found, indexes=False))
        shard = self._shard(collection)
        absent = not found.fingerprints
        if absent and adopt:
            with shard.writing:
                shard.description.update(schema.metadata(found.identity))
                shard.save_description()
        created_indexes = missing_indexes(schema, found)
        for key in created_indexes:
            with shard.writing, engine_errors("indexing", shard.directory):
                shard.engine.update(indexes[key])
        return ensured_report(
            self._info(collection),
            found=found,
            created=created,
            adopt=absent and adopt,
            created_indexes=created_indexes,
            asked_for=None if created else settings.asked_for(options),
        )

    def check_may_create(self) -> None:
        self._check_open()
        files.check_writable(self.path)

    def supported(self, wanted: CollectionSettings) -> tuple[CollectionSettings, list[str]]:
        return wanted.without_defaults().only(settings.SUPPORTED)

    def check(self, collection: str, schema: CollectionSchema) -> CollectionReport:
        return report_on(collection, schema, self.info(collection))

    def collections(self) -> list[str]:
        return files.names(self.path)

    def info(self, collection: str) -> CollectionInfo | None:
        if not files.exists(self._directory(collection)):
            return None
        try:
            return self._info(collection)
        except CollectionNotFoundError:  # somebody has dropped it meanwhile
            return None

    def drop(self, collection: str, *, force: bool = False) -> bool:
        check_name(collection)
        self._check_open()
        if (target := files.alias_target(self.path, collection)) is not None:
            raise is_alias_error(collection, target)
        if not files.exists(self.path / collection):
            return False
        try:
            registry.drop(self.path / collection, force=force)
        except CollectionNotFoundError:  # somebody else was faster
            return False
        with self._lock:
            self._shards.pop(self.path / collection, None)
        return True

    def aliases(self) -> dict[str, str]:
        return files.aliases(self.path)

    def swap(self, alias: str, collection: str) -> str | None:
        for name in (alias, collection):
            check_name(name)
        self._check_open()
        if files.exists(self.path / alias):
            raise alias_conflict_error(alias)
        return registry.set_alias(alias, self.path / collection)

    # --- points ---------------------------------------------------------------------------

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        shard = self._shard(collection)
        vectors, sparse = shard.description["vectors"], shard.description["sparse"]
        check_points(points, {name: vector["size"] for name, vector in vectors.items()}, sparse)
        if not points:
            return
        with engine_errors("upsert", shard.directory):
            operation = edge.UpdateOperation.upsert_points(
                [convert.point_to_edge(point) for point in points]
            )
            with shard.writing:
                engine = shard.engine
                shard.check_room(points)
                engine.update(operation)
                shard.count_written(len(points))

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        with_payload: bool | Sequence[str] = True,
        with_vectors: bool = False,
    ) -> list[Point]:
        if not ids:
            return []
        shard = self._shard(collection)
        with shard.reading("retrieve") as engine:
            records = engine.retrieve(list(ids), payload_keys(with_payload), with_vectors)
        found = {convert.id_of(record.id): convert.point_from_edge(record) for record in records}
        return [found[id] for id in dict.fromkeys(map(convert.id_of, ids)) if id in found]

    def delete(
        self,
        collection: str,
        *,
        ids: Sequence[PointId] | None = None,
        filter: models.Filter | None = None,
    ) -> None:
        check_selection(ids, filter)
        self._check_filter(collection, filter)
        operations = edge.UpdateOperation
        shard = self._shard(collection)
        with engine_errors("delete", shard.directory):
            selected = to_edge(filter)
            operation = (
                operations.delete_points(list(ids or ()))
                if selected is None
                else operations.delete_points_by_filter(selected)
            )
            with shard.writing:
                shard.engine.update(operation)

    def annotate(self, collection: str, key: str, value: Any) -> None:
        check_metadata(key, value)
        shard = self._shard(collection)
        with shard.writing:
            metadata = {**shard.description.get("metadata", {}), key: value}
            shard.description["metadata"] = {
                name: item for name, item in metadata.items() if item is not None
            }
            shard.save_description()

    def query(self, collection: str, query: PointQuery) -> list[ScoredPoint]:
        return self.query_batch(collection, [query])[0]

    def query_batch(
        self, collection: str, queries: Sequence[PointQuery]
    ) -> list[list[ScoredPoint]]:
        if not queries:
            return []
        for query in queries:
            self._check_filter(collection, query.filter)
        shard = self._shard(collection)
        with shard.reading("query") as engine:
            return ranking.search(engine, queries)

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
        self._check_filter(collection, filter)
        request = edge.ScrollRequest(
            limit=limit,
            offset=offset,
            filter=to_edge(filter),
            with_payload=payload_keys(with_payload),
            with_vector=with_vectors,
        )
        shard = self._shard(collection)
        with shard.reading("scroll") as engine:
            records, following = engine.scroll(request)
        if with_payload:
            shard.note_payload_reads(len(records))
        return [
            convert.point_from_edge(record) for record in records
        ], None if following is None else convert.id_of(following)

    def count(self, collection: str, *, filter: models.Filter | PayloadEquals | None = None) -> int:
        self._check_filter(collection, filter)
        request = edge.CountRequest(exact=True, filter=to_edge(filter))
        shard = self._shard(collection)
        with shard.reading("count") as engine:
            return int(engine.count(request))

    # --- the store itself -------------------------------------------------------------------

    def optimize(
        self, collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True
    ) -> None:
        shard = self._shard(collection)
        new = shard.unmerged if merge else shard.unindexed
        if new >= minimum and new >= share * shard.points:
            shard.optimize(merge=merge)

    def flush(self, collection: str | None = None) -> None:
        with self._lock:
            shards = [
                shard
                for directory, shard in self._shards.items()
                if not shard.closed
                and (collection is None or directory == self._directory(collection))
            ]
        for shard in shards:
            with shard.reading("flush") as engine:
                engine.flush()

    def close(self) -> None:
        self._closed = True
        self._threads.close()
        with self._lock:
            _release_all(self._shards)

    def forget(self) -> None:
        """In a forked child: let go of what the parent has open, without closing it."""
        self._lock = threading.Lock()
        self._shards.clear()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._check_open()
        return await self._threads.run(work, *args, **kwargs)

    # --- to and from the engine -------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the store in {self.path} was closed before: open it again.")

    def _shard(self, collection: str) -> Shard:
        directory = self._directory(collection)
        with self._lock:
            self._check_open()  # what is opened after the close would stay open
            shard = self._shards.get(directory)
            if shard is None or shard.closed:
                shard = self._shards[directory] = registry.acquire(directory)
            return shard

    def _directory(self, collection: str) -> Path:
        """Find a collection's directory, through its alias if it has one."""
        name = check_name(collection)
        return self.path / (files.alias_target(self.path, name) or name)

    def _check_filter(self, collection: str, filter: models.Filter | PayloadEquals | None) -> None:
        if not isinstance(filter, PayloadEquals):
            check_filter(filter)
        if tests := indexed_tests(filter):
            check_indexes(tests, self._info(collection).payload_indexes or {})

    def _info(self, collection: str) -> CollectionInfo:
        return collection_info(collection, self._shard(collection))


def _release_all(open_shards: dict[Path, Shard]) -> None:
    while open_shards:
        _, shard = open_shards.popitem()
        registry.release(shard)
