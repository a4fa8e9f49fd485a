"""One embedded collection, open in this process."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiqa_integrations.errors import StoreClosedError, StoreError
from multiqa_integrations.memory import return_memory
from multiqa_integrations.qdrant.edge import files
from multiqa_integrations.qdrant.edge.engine import (
    RESERVE_BYTES,
    close,
    count,
    engine_errors,
    load,
    opening,
    optimize_files,
)
from multiqa_integrations.qdrant.edge.lock import CollectionLock, locked_error
from multiqa_integrations.qdrant.edge.settings import settings_of
from multiqa_integrations.qdrant.names import collection_not_found_error
from multiqa_integrations.qdrant.points import Point, request_bytes

if TYPE_CHECKING:
    import qdrant_edge

# On close the engine evicts its files from the page cache; later they are faulted in page by page,
# ten times slower than one sequential read.
_READ_AHEAD_BYTES = 1 << 30
_MANY = 5_000  # whoever has read so many payloads is about to read them all

_LOAD_BYTES = 4 << 20
_PLENTY_BYTES = 256 << 20  # with so much, nobody adds up how large a batch is

# Up to so many new points the engine optimises here: it holds the interpreter meanwhile.
_IN_PROCESS_LIMIT = 2_000

_live: dict[int, Any] = {}  # by their ids
_replaced: list[tuple[Any, Path]] = []  # with the folder of each
_HELD_BY_A_LIST = max(sys.getrefcount(item) for item in [object()])


def live_engines() -> list[Any]:
    """Return the engines of this process, which a forked child must not destroy."""
    return [*_live.values(), *(engine for engine, _ in _replaced)]


def _forget_replaced() -> None:
    """Let go of engines that were replaced, once no search of another thread holds them.

    Their files go last: an engine writes some when it ends.
    """
    free = {folder for engine, folder in _replaced if sys.getrefcount(engine) <= _HELD_BY_A_LIST}
    _replaced[:] = [entry for entry in _replaced if entry[1] not in free]
    for folder in free:
        shutil.rmtree(folder, ignore_errors=True)


class Shard:
    """An open collection; `registry` opens and shares it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._is_dropped = False
        files.read_description(directory)  # says whether there is one
        self._lock = CollectionLock(directory)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        directory = self.directory
        self.description = files.read_description(directory)
        self.users = 0
        self.writing = threading.RLock()
        self._payloads_read = 0
        files.check_whole(directory, directory / self.description["shard"])
        self._engine: qdrant_edge.EdgeShard | None = self._load()
        self.settings = settings_of(directory / self.description["shard"])
        merged = self.description.get("optimized_points", 0)
        indexed = self.description.get("indexed_points", merged)
        self._unmerged: int = max(0, self.points - merged)
        self._unindexed: int = max(0, self.points - indexed)
        files.note_opener(directory)
        self._remove_leftovers()

    @property
    def engine(self) -> qdrant_edge.EdgeShard:
        """The engine.

        Whoever holds it may go on using it while `optimize` puts another in its place.

        Raises:
            CollectionNotFoundError: The collection was dropped.
            StoreClosedError: The collection is closed.
        """
        engine = self._engine
        if engine is None:
            if self._is_dropped:
                raise collection_not_found_error(self.directory.name)
            raise StoreClosedError(
                f"the collection in {self.directory} was closed before: open it again."
            )
        if _replaced:
            _forget_replaced()
        return engine

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[qdrant_edge.EdgeShard]:
        """Yield the engine, and turn what it raises into this package's errors.

        Raises:
            StoreError: As of `engine`, also where another thread has closed it meanwhile.
        """
        with engine_errors(what, self.directory):
            engine = self.engine
            try:
                yield engine
            except Exception:
                _ = self.engine  # a closed one says that it is not initialized
                raise

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._engine is None

    @property
    def points(self) -> int:
        """About how many points there are."""
        with self.reading("count") as engine:
            return int(engine.info().points_count)

    @property
    def unindexed(self) -> int:
        """About how many points were written since it was last optimised."""
        return self._unindexed

    @property
    def unmerged(self) -> int:
        """About how many points were written since all had one graph."""
        return self._unmerged

    def check_room(self, points: Sequence[Point]) -> None:
        """Make sure that the disk has room for points, before the engine's files grow.

        Raises:
            StoreError: It has not.
        """
        if files.free_bytes(self.directory) < _PLENTY_BYTES:
            # In the log, in the segment, and in one that replaces it.
            needed = 4 * sum(map(request_bytes, points))
            files.check_room(self.directory, needed + RESERVE_BYTES)

    def count_written(self, points: int) -> None:
        """Count points written."""
        self._unindexed += points
        self._unmerged += points

    def note_payload_reads(self, points: int) -> None:
        """Count points whose payloads were read; of many, the rest is fetched from the disk."""
        before, self._payloads_read = self._payloads_read, self._payloads_read + points
        if before < _MANY <= self._payloads_read:
            self._read_ahead("payload_storage/page_*")

    def optimize(self, *, merge: bool = True) -> None:
        """Build the HNSW graph over what was written since, and drop what was deleted.

        The work is done on a copy by another process, which takes its place at the end: this
        process goes on searching meanwhile, and a crash leaves the old files. Writes wait.

        Args:
            merge: Make one graph of everything; otherwise what is new gets one of its own.

        Raises:
            StoreError: The other process failed; the collection is as it was.
        """
        with self.writing:
            if merge and self._unmerged <= _IN_PROCESS_LIMIT:
                with engine_errors("optimize", self.directory):
                    engine = self.engine
                    shard = self.directory / self.description["shard"]
                    files.check_room(self.directory, files.used(shard) + RESERVE_BYTES)
                    engine.optimize()
                    engine.flush()
            else:
                self._optimize_copy(merge=merge)
            return_memory()  # of the old engine
            self._unindexed = 0
            self.description["indexed_points"] = self.points
            if merge:
                self._unmerged = 0
                self.description["optimized_points"] = self.points
            self.save_description()

    def save_description(self) -> None:
        """Write what the collection is; a crash leaves the old or the new, never half.

        Raises:
            CollectionNotFoundError: It was dropped; another one may stand in its place.
            StoreClosedError: It is closed.
            StoreError: It cannot be written.
        """
        _ = self.engine
        files.write_description(self.directory, self.description)

    def close(self) -> None:
        """Close the engine; what was written is on disk then. Other processes may open it."""
        try:
            self._close_engine()
        finally:
            self._lock.release()

    def drop(self) -> None:
        """Close the engine for good, and move the collection out of its place."""
        self._is_dropped = True
        try:
            self._close_engine()
            files.set_aside(self.directory)
        finally:
            self._lock.release()

    def _close_engine(self) -> None:
        with self.writing:
            engine, self._engine = self._engine, None
            try:
                if engine is not None:
                    with engine_errors("close", self.directory):
                        close(engine)
                    files.note_closed(self.directory, self.directory / self.description["shard"])
            finally:
                _live.pop(id(engine), None)

    def _load(self) -> qdrant_edge.EdgeShard:
        shard = self.directory / self.description["shard"]
        files.check_room(self.directory, _LOAD_BYTES)
        self._read_ahead("vector_storage/quantized*")
        try:
            with opening:
                engine = load(shard)
                _live[id(engine)] = engine
        except StoreError as error:
            if "Permission denied" in str(error) or "Read-only file system" in str(error):
                raise StoreError(
                    f"the collection in {self.directory} is not writable for this user, but the "
                    "embedded engine maps its files for writing, to search too. Make all of it "
                    f"writable, or open a copy that is. ({error})"
                ) from error
            if "WouldBlock" in str(error):
                raise locked_error(self.directory) from error
            raise StoreError(
                f"the collection in {self.directory} cannot be opened: its files are damaged. "
                f"Restore it from a backup, or fill another directory. ({error})"
            ) from error
        return engine

    def _read_ahead(self, pattern: str) -> None:
        """Have the system read files of all segments into its page cache."""
        buffer = bytearray(1 << 22)
        left = _READ_AHEAD_BYTES
        with contextlib.suppress(OSError):  # the engine says it better
            for file in sorted(
                (self.directory / self.description["shard"]).glob(f"segments/*/{pattern}")
            ):
                with file.open("rb", buffering=0) as stream:
                    while left > 0 and (count := stream.readinto(buffer)):
                        left -= count

    def _optimize_copy(self, *, merge: bool) -> None:
        old = self.directory / self.description["shard"]
        new = self.directory / f"shard-{uuid.uuid4().hex[:8]}"
        with engine_errors("flush", self.directory):
            self.engine.flush()
        try:
            # The copy, and what the engine makes of it beside it.
            files.check_room(self.directory, 2 * files.size(old) + RESERVE_BYTES)
            shutil.copytree(old, new)
            optimize_files(new, merge=merge)
            before = dict(self.description)
            self.description["shard"] = new.name
            try:
                fresh = self._load()
                if count(fresh) != count(self.engine):
                    raise StoreError("the copy has another number of points.")
            except StoreError:
                self.description = before
                raise
            self.save_description()
        except (OSError, StoreError) as error:  # shutil.Error is one of the first
            shutil.rmtree(new, ignore_errors=True)
            raise StoreError(
                f"optimising the collection in {self.directory} failed; it is as it was: {error}"
            ) from error
        # Searches under way hold the old engine until they are done with it.
        _replaced.append((_live.pop(id(self._engine)), old))
        self._engine = fresh
        _forget_replaced()

    def _remove_leftovers(self) -> None:
        """Remove copies that an interrupted `optimize` left behind."""
        for other in self.directory.glob("shard-*"):
            if other.name != self.description["shard"]:
                shutil.rmtree(other, ignore_errors=True)
