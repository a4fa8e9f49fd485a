"""One engine for each collection and process, shared by all stores, and none after a fork.

The engine's destructor writes to the collection's files. In a forked child that would destroy what
the parent has, and the engine's threads do not live there anyway: whatever a child has inherited is
leaked, on purpose, so that neither exit nor garbage collection ever frees it. Its copy of the
engine's lock is closed, since a lock lasts until the last copy is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from multiqa_integrations.errors import StoreError
from multiqa_integrations.qdrant.edge import files, lock
from multiqa_integrations.qdrant.edge.engine import opening
from multiqa_integrations.qdrant.edge.shard import Shard, live_engines
from multiqa_integrations.qdrant.names import check_no_alias, collection_not_found_error


class Holder(Protocol):
    """A store that has collections open.

    Attributes:
        path: The directory of its collections.
    """

    path: Path

    def forget(self) -> None:
        """In a forked child: let go of what the parent has open."""


_open: dict[Path, Shard] = {}
_lock = threading.Lock()
_abandoned: deque[Shard] = deque()
_holders: weakref.WeakSet[Any] = weakref.WeakSet()


def register(holder: Holder) -> None:
    """Have a store forget its collections in forked children."""
    _holders.add(holder)


def acquire(directory: Path) -> Shard:
    """Open a collection, or share what this process has open already.

    Raises:
        StoreLockedError: Another process has it open.
        StoreError: There is none, or it is damaged.
    """
    with _locked():
        shard = _open.get(directory)
        if shard is None:
            shard = _open[directory] = Shard(directory)
        shard.users += 1
        return shard


def release(shard: Shard) -> None:
    """Return a collection; the last to do so closes it."""
    with _locked():
        _release(shard)


def abandon(shards: dict[Path, Shard]) -> None:
    """Return the collections of a store that nobody has closed, at the latest in a moment.

    The garbage collector calls this, in the midst of anything: in a thread that has the lock too.
    """
    while shards:
        _abandoned.append(shards.popitem()[1])
    _release_abandoned()


def _release(shard: Shard) -> None:
    shard.users -= 1
    if shard.users <= 0 and _open.get(shard.directory) is shard:
        del _open[shard.directory]
        shard.close()


def _release_abandoned() -> None:
    """Return what was abandoned, unless somebody has the lock, who does it afterwards."""
    while _abandoned and _lock.acquire(blocking=False):
        try:
            while _abandoned:
                with contextlib.suppress(StoreError):  # nobody has asked for it
                    _release(_abandoned.popleft())
        finally:
            _lock.release()


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    try:
        with _lock:
            yield
    finally:
        _release_abandoned()


def drop(directory: Path, *, force: bool) -> None:
    """Delete a collection that nobody else has open, and its aliases.

    Raises:
        CollectionNotFoundError: There is none.
        RefusedError: It has aliases, and `force` is not given.
        StoreLockedError: Another process has it open.
    """
    with _locked():
        if not force:
            check_no_alias(directory.name, files.aliases(directory.parent))
        shard = _open.pop(directory, None) or Shard(directory)
        shard.drop()
        files.delete_aliases(directory.parent, directory.name)
    files.delete_dropped(directory.parent)


def set_alias(alias: str, directory: Path) -> str | None:
    """Point an alias at a collection; return the one that it pointed at.

    Raises:
        CollectionNotFoundError: There is no such collection.
    """
    with _locked():  # a drop of it comes before, or deletes the alias
        if not files.exists(directory):
            raise collection_not_found_error(directory.name)
        before = files.alias_target(directory.parent, alias)
        files.set_alias(directory.parent, alias, directory.name)
        return before


def _forget_in_child() -> None:
    global _lock
    for engine in live_engines():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    _lock = threading.Lock()
    _open.clear()
    _abandoned.clear()
    opening.release()
    lock.close_inherited()
    holders = list(_holders)
    _close_locks({holder.path for holder in holders})
    for holder in holders:
        holder.forget()


def _close_locks(paths: set[Path]) -> None:
    """Close the inherited locks of collections: directories `<path>/<collection>/shard-<n>/wal`."""
    if not paths:
        return
    with contextlib.suppress(OSError):  # where there is no /proc, a lock lasts as long as the child
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # that of this very loop
                file = link.readlink()
                if file.name == "wal" and not paths.isdisjoint(file.parents):
                    os.close(int(link.name))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=opening.acquire,
        after_in_parent=opening.release,
        after_in_child=_forget_in_child,
    )
