"""One embedded collection: a directory, open in this process once, however many stores use it.

<path>/<collection>/collection.json    what the collection is (written atomically), and
                                       which of the next is in use
                    shard-<n>/         the engine's files
                    open.json          who has it open
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiqa_integrations.errors import StoreError, StoreLockedError
from multiqa_integrations.qdrant.failures import BadRequestError
from multiqa_integrations.qdrant.schema import collection_not_found_error

if TYPE_CHECKING:
    import qdrant_edge

_DESCRIPTION = "collection.json"
_OPENER = "open.json"
_ALIASES = ".aliases"

# The engine puts its files out of the page cache when it closes them, and reads them again one page
# of the disk at a time, which takes ten times as long as reading them in one go.
_READ_AHEAD_BYTES = 1 << 30
_MANY = 5_000  # whoever has read so many payloads is about to read them all

# Up to so many new points the engine optimises here: it holds the interpreter meanwhile.
_IN_PROCESS_LIMIT = 2_000


class Shard:
    """An open collection. Get it with `acquire`, give it back with `release`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.description = read_description(directory)
        self.users = 0
        self.writing = threading.RLock()
        self._payloads_read = 0
        self._pid = os.getpid()
        self._engine: qdrant_edge.EdgeShard | None = self._load()
        merged = self.description.get("optimized_points", 0)
        indexed = self.description.get("indexed_points", merged)
        self._unmerged: int = max(0, self.points - merged)
        self._unindexed: int = max(0, self.points - indexed)
        self._note_opener()
        self._remove_leftovers()

    @property
    def engine(self) -> qdrant_edge.EdgeShard:
        """The engine.

        Whoever holds it may go on using it while `optimize` puts another in its place.

        Raises:
            StoreError: The collection is closed, or this is a child of the process that opened
                it: the engine's threads do not live here, so that it would wait for ever.
        """
        if self._pid != os.getpid():
            raise StoreError(
                f"the collection in {self.directory} was opened before this process was forked, "
                "and cannot be used here. Open it in one process only, after the fork; or use a "
                "server."
            )
        engine = self._engine
        if engine is None:
            raise StoreError(f"the collection in {self.directory} is closed. Open it again.")
        return engine

    @property
    def closed(self) -> bool:
        """Whether it is closed; one that a parent process opened counts as open."""
        return self._engine is None

    @property
    def points(self) -> int:
        """About how many points there are."""
        with engine_errors("count", self.directory):
            return int(self.engine.info().points_count)

    @property
    def unindexed(self) -> int:
        """About how many points were written since it was last optimised."""
        return self._unindexed

    @property
    def unmerged(self) -> int:
        """About how many points were written since all had one graph."""
        return self._unmerged

    def wrote(self, points: int) -> None:
        """Count points written."""
        self._unindexed += points
        self._unmerged += points

    def read_payloads(self, points: int) -> None:
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
                    self.engine.optimize()
                    self.engine.flush()
            else:
                self._optimize_copy(merge=merge)
            _return_memory()
            self._unindexed = 0
            self.description["indexed_points"] = self.points
            if merge:
                self._unmerged = 0
                self.description["optimized_points"] = self.points
            self.save_description()

    def save_description(self) -> None:
        """Write what the collection is; a crash leaves the old or the new, never half."""
        write_description(self.directory, self.description)

    def close(self) -> None:
        """Close the engine; what was written is on disk then."""
        with self.writing:
            engine, self._engine = self._engine, None
            if engine is None or self._pid != os.getpid():
                return
            with engine_errors("close", self.directory):
                engine.close()
            (self.directory / _OPENER).unlink(missing_ok=True)

    def _load(self) -> qdrant_edge.EdgeShard:
        import qdrant_edge

        self._read_ahead("vector_storage/quantized*")
        try:
            return qdrant_edge.EdgeShard.load(str(self.directory / self.description["shard"]))
        except Exception as error:  # the engine raises nothing narrower
            if "WouldBlock" in str(error):
                raise StoreLockedError(
                    f"the collection in {self.directory} is open in another process"
                    f"{_opener(self.directory)}. An embedded collection is open in one process at "
                    "a time: close it there, or use a server."
                ) from error
            raise StoreError(
                f"the collection in {self.directory} cannot be opened ({error}). Restore it from "
                "a backup, or remove the directory and fill it again."
            ) from error

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
            shutil.copytree(old, new)
            program = [sys.executable, "-m", "multiqa_integrations.qdrant.edge.optimize", str(new)]
            done = subprocess.run(  # noqa: S603  (this very interpreter)
                program if merge else [*program, "--keep-segments"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise StoreError(
                    f"optimising the collection in {self.directory} failed; it is as it was. "
                    f"The process said: {done.stderr.strip()[-1000:]}"
                )
            before = dict(self.description)
            self.description["shard"] = new.name
            try:
                fresh = self._load()
            except StoreError:
                self.description = before
                raise
            self.save_description()
        except (OSError, StoreError):
            shutil.rmtree(new, ignore_errors=True)
            raise
        # Searches under way hold the old engine until they are done with it.
        self._engine = fresh
        shutil.rmtree(old, ignore_errors=True)

    def _note_opener(self) -> None:
        opener = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(Path(part).name for part in sys.argv[:2]) or "python",
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # on a read-only disk nobody can be told
            _write(self.directory / _OPENER, json.dumps(opener))

    def _remove_leftovers(self) -> None:
        """Remove copies that an interrupted `optimize` left behind."""
        for other in self.directory.glob("shard-*"):
            if other.name != self.description["shard"]:
                shutil.rmtree(other, ignore_errors=True)


def create(directory: Path, description: dict[str, Any], config: qdrant_edge.EdgeConfig) -> bool:
    """Create a collection; tells whether this call did it and not somebody else.

    It is made beside its place and moved there whole.
    """
    import qdrant_edge

    directory.parent.mkdir(parents=True, exist_ok=True)
    making = directory.parent / f".new-{uuid.uuid4().hex}"
    description = {**description, "format": 1, "shard": "shard-1"}
    try:
        making.mkdir()
        (making / "shard-1").mkdir()
        with engine_errors("create", directory):
            qdrant_edge.EdgeShard.create(str(making / "shard-1"), config).close()
        write_description(making, description)
        making.rename(directory)
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        if (directory / _DESCRIPTION).exists():
            return False
        raise StoreError(
            f"the collection cannot be created in {directory} ({error}). Give another path, or "
            "make room."
        ) from error
    except StoreError:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return True


def drop(directory: Path) -> None:
    """Delete a collection that nobody has open.

    Raises:
        StoreLockedError: Another process has it open.
    """
    with _registry_lock:
        shard = _open.pop(directory, None)
        (shard or Shard(directory)).close()
        gone = directory.parent / f".dropped-{uuid.uuid4().hex}"
        directory.rename(gone)
    for alias, target in aliases(directory.parent).items():
        if target == directory.name:
            (directory.parent / _ALIASES / alias).unlink(missing_ok=True)
    shutil.rmtree(gone, ignore_errors=True)


def exists(directory: Path) -> bool:
    """Tell whether a collection is there."""
    return (directory / _DESCRIPTION).exists()


def names(path: Path) -> list[str]:
    """Name the collections under a path."""
    return sorted(one.parent.name for one in path.glob(f"[!.]*/{_DESCRIPTION}"))


# --- aliases: a file each, that holds the name of a collection -----------------------------------


def aliases(path: Path) -> dict[str, str]:
    """Tell which collection each alias under a path stands for."""
    known = {one.name: alias_target(path, one.name) for one in (path / _ALIASES).glob("[!.]*")}
    return {alias: target for alias, target in sorted(known.items()) if target is not None}


def alias_target(path: Path, alias: str) -> str | None:
    """Tell which collection an alias stands for; None if it is none."""
    try:
        return (path / _ALIASES / alias).read_text(encoding="utf-8") or None
    except OSError:
        return None


def set_alias(path: Path, alias: str, collection: str) -> None:
    """Let an alias stand for a collection, from one moment to the next."""
    (path / _ALIASES).mkdir(exist_ok=True)
    _write(path / _ALIASES / alias, collection)


def read_description(directory: Path) -> dict[str, Any]:
    """Read what a collection is.

    Raises:
        StoreError: There is none, or its description is damaged.
    """
    try:
        description = json.loads((directory / _DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise collection_not_found_error(directory.name) from error
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{directory / _DESCRIPTION} cannot be read ({error}). Restore it from a backup."
        ) from error
    if not isinstance(description, dict) or description.get("format") != 1:
        raise StoreError(
            f"{directory / _DESCRIPTION} has format "
            f"{description.get('format') if isinstance(description, dict) else None!r}, expected "
            "1. A later version of this package wrote it: upgrade."
        )
    return description


def write_description(directory: Path, description: dict[str, Any]) -> None:
    """Write what a collection is, atomically."""
    _write(directory / _DESCRIPTION, json.dumps(description, indent=2))


@contextlib.contextmanager
def engine_errors(what: str, directory: Path) -> Iterator[None]:
    """Turn what the engine raises into this package's errors."""
    try:
        yield
    except StoreError:
        raise
    except (TypeError, ValueError) as error:  # what it was given, it cannot read
        raise BadRequestError(f"{what} in the collection in {directory}: {error}.") from error
    except Exception as error:  # the engine raises nothing narrower
        raise StoreError(f"{what} in the collection in {directory} failed: {error}.") from error


# --- one engine a collection and process ------------------------------------------------------

_open: dict[Path, Shard] = {}
_registry_lock = threading.Lock()


def acquire(directory: Path) -> Shard:
    """Open a collection, or share what this process has open already.

    Raises:
        StoreLockedError: Another process has it open.
        StoreError: There is none, or it is damaged.
    """
    with _registry_lock:
        shard = _open.get(directory)
        if shard is None:
            shard = _open[directory] = Shard(directory)
        shard.users += 1
        return shard


def release(shard: Shard) -> None:
    """Give a collection back; the last to do so closes it."""
    with _registry_lock:
        shard.users -= 1
        if shard.users <= 0 and _open.get(shard.directory) is shard:
            del _open[shard.directory]
            shard.close()


def _forget() -> None:
    """In a forked child: what the parent has open is none of the child's."""
    global _open, _registry_lock
    _open, _registry_lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _return_memory() -> None:
    """Give the system back what the old engine has freed, which glibc keeps otherwise."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # musl has none
            libc.malloc_trim(0)


def _opener(directory: Path) -> str:
    try:
        opener = json.loads((directory / _OPENER).read_text(encoding="utf-8"))
        return (
            f" (probably process {opener['pid']} on {opener['host']}, {opener['command']!r}, "
            f"since {opener['since']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
