"""The files of embedded collections, but for those of the engine.

<path>/<collection>/collection.json    what the collection is (written atomically), and
                                       which of the next is in use
                    shard-<n>/         the engine's files
                    open.json          who has it open; while nobody has: the engine's files
                    open.lock          the lock of the process that has it open
<path>/.aliases/<alias>                the name of a collection
<path>/.dropped-<n>/                   a dropped collection, until its files are deleted
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from multiqa_integrations.errors import ConfigurationError, StoreError
from multiqa_integrations.qdrant.names import collection_not_found_error

_DESCRIPTION = "collection.json"
_OPENER = "open.json"
_ALIASES = ".aliases"
_DROPPED = ".dropped-"


def check_path(path: str | Path) -> Path:
    """Return the path of a directory of collections, absolute.

    Raises:
        ConfigurationError: The engine does not take it, or it is not such a directory.
    """
    given: object = path  # callers without a type checker give anything
    if not isinstance(given, str | os.PathLike) or not str(given):
        raise ConfigurationError(f"path is {given!r}, expected a directory of collections.")
    try:
        str(path).encode("utf-8")
        resolved = Path(path).expanduser().resolve()
        existing = _nearest_existing(resolved)
        is_file = not existing.is_dir()
        is_local_mode = (resolved / "meta.json").exists() and (resolved / ".lock").exists()
    except (OSError, RuntimeError, ValueError) as error:  # NUL, surrogates, no home, loops of links
        raise ConfigurationError(
            f"path is {str(path)!r}, which cannot be used as a directory ({error}). Give another."
        ) from error
    if is_file:
        raise ConfigurationError(
            f"path is {str(path)!r}, but {existing} is a file, expected a directory of "
            "collections. Give another."
        )
    if is_local_mode:
        raise ConfigurationError(
            f"{resolved} was written by the local mode of qdrant-client. Open it with "
            "client=QdrantClient(path=...), or give another path."
        )
    return resolved


def _nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest above it that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def free_bytes(path: Path) -> int:
    """Return how much a process without privileges may still write there."""
    with write_errors(path):
        return shutil.disk_usage(path).free


def check_room(path: Path, needed: int) -> None:
    """Make sure that the disk has room.

    Raises:
        StoreError: It has less than needed.
    """
    free = free_bytes(path)
    if free < needed:
        raise StoreError(
            f"the disk of {path} has {free / 1e6:,.0f} MB left, {needed / 1e6:,.0f} MB are needed. "
            "Make room, or move the collections to a larger disk."
        )


def check_writable(path: Path) -> None:
    """Make sure that a directory can be written, or made.

    Raises:
        StoreError: It cannot.
    """
    existing = _nearest_existing(path)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StoreError(
            f"{existing} is not writable for this user. Give another path, or make it writable."
        )


def size(directory: Path) -> int:
    """Return how many bytes its files have, holes counted: a copy fills them."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def used(directory: Path) -> int:
    """Return how many bytes its files take on the disk."""
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file())


def exists(directory: Path) -> bool:
    """Check whether a collection is there.

    Raises:
        StoreError: Its description is missing.
    """
    for _ in range(2):  # it may be created, whole, between the two looks of the first turn
        if (directory / _DESCRIPTION).exists():
            return True
        if not any(directory.glob("shard-*")):
            return False
    raise StoreError(
        f"{directory / _DESCRIPTION} is missing, which says what the collection beside it is. "
        f"Restore it from a backup, or delete {directory}."
    )


def names(path: Path) -> list[str]:
    """Return the names of the collections under a path."""
    return sorted(file.parent.name for file in path.glob(f"[!.]*/{_DESCRIPTION}"))


def aliases(path: Path) -> dict[str, str]:
    """Return the collection of each alias under a path."""
    known = {file.name: alias_target(path, file.name) for file in (path / _ALIASES).glob("[!.]*")}
    return {alias: target for alias, target in sorted(known.items()) if target is not None}


def alias_target(path: Path, alias: str) -> str | None:
    """Return the collection that an alias points at; None if there is no such alias."""
    try:
        return (path / _ALIASES / alias).read_text(encoding="utf-8") or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the alias {alias!r} in {path} cannot be read ({error}). Set it again, or delete "
            f"{path / _ALIASES / alias}."
        ) from error


def set_alias(path: Path, alias: str, collection: str) -> None:
    """Point an alias at a collection, atomically."""
    with write_errors(path):
        (path / _ALIASES).mkdir(exist_ok=True)
        write(path / _ALIASES / alias, collection)


def delete_aliases(path: Path, collection: str) -> None:
    """Delete the aliases that point at a collection."""
    for alias, target in aliases(path).items():
        if target == collection:
            (path / _ALIASES / alias).unlink(missing_ok=True)


def read_description(directory: Path) -> dict[str, Any]:
    """Return what a collection is.

    Raises:
        CollectionNotFoundError: There is none.
        StoreError: Its description is damaged.
    """
    file = directory / _DESCRIPTION
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        exists(directory)  # says so where the rest of it is there
        raise collection_not_found_error(directory.name) from error
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{file} cannot be read ({error}). Restore it from a backup.") from error
    if not isinstance(description, dict) or description.get("format") != 1:
        raise StoreError(
            f"{file} has format "
            f"{description.get('format') if isinstance(description, dict) else None!r}, expected "
            "1. A later version of this package wrote it: upgrade."
        )
    if missing := {"fingerprint", "model", "vectors", "sparse", "shard"} - description.keys():
        raise StoreError(f"{file} lacks {', '.join(sorted(missing))}. Restore it from a backup.")
    return description


def write_description(directory: Path, description: dict[str, Any]) -> None:
    """Write what a collection is, atomically."""
    with write_errors(directory):
        write(directory / _DESCRIPTION, json.dumps(description, indent=2))


def set_aside(directory: Path) -> None:
    """Move a collection that is dropped out of its place, atomically."""
    with write_errors(directory.parent):
        directory.rename(directory.parent / f"{_DROPPED}{uuid.uuid4().hex}")


def delete_dropped(path: Path) -> None:
    """Delete the files of dropped collections, also of those that a killed process has left."""
    with contextlib.suppress(OSError):
        for directory in path.glob(f"{_DROPPED}{'[0-9a-f]' * 32}"):
            shutil.rmtree(directory, ignore_errors=True)


def note_opener(directory: Path) -> None:
    """Write down who has the collection open."""
    opener = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(Path(part).name for part in sys.argv[:2]) or "python",
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError):  # only others who want to open it need it
        write(directory / _OPENER, json.dumps(opener))


def note_closed(directory: Path, shard: Path) -> None:
    """Write down which files the engine has left, in the place of who had the collection open."""
    with contextlib.suppress(OSError):  # without it, nothing can be checked
        (directory / _OPENER).unlink(missing_ok=True)
        write(directory / _OPENER, json.dumps({"files": _sizes(shard)}))


def check_whole(directory: Path, shard: Path) -> None:
    """Make sure that the engine's files are those that it left at its close, and forget them.

    Of some that are missing the engine says nothing, and points or vectors are gone; of others
    that were cut off the system ends the process, since they are mapped. After a crash there is
    no list of them: then the engine repairs what it can.

    Raises:
        StoreError: A file is missing, or has another size.
    """
    note = directory / _OPENER
    try:
        left = json.loads(note.read_text(encoding="utf-8"))["files"].items()
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return
    found = _sizes(shard)
    if damaged := [
        f"{shard / name} "
        + (f"has {found[name]} bytes, not {size}" if name in found else "is missing")
        for name, size in left
        if found.get(name) != size
    ]:
        more = f" (and {len(damaged) - 1} more)" if damaged[1:] else ""
        raise StoreError(
            f"the collection in {directory} was changed since it was closed: {damaged[0]}{more}. "
            "Restore all of it from a backup, or fill another directory; to open what is left as "
            f"it is, delete {note}."
        )
    with contextlib.suppress(OSError):  # what may not be written, the engine does not open either
        note.write_text("", encoding="utf-8")


def _sizes(shard: Path) -> dict[str, int]:
    """Return the size of each file of the engine in bytes, by its path below its directory."""
    return {
        file.relative_to(shard).as_posix(): file.stat().st_size
        for file in sorted(shard.rglob("*"))
        if file.is_file()
    }


def opener(directory: Path) -> str:
    """Describe who has the collection open, for a message; empty if nobody knows."""
    try:
        found = json.loads((directory / _OPENER).read_text(encoding="utf-8"))
        return (
            f" (probably process {found['pid']} on {found['host']}, {found['command']!r}, "
            f"since {found['since']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def write(file: Path, text: str) -> None:
    """Write a file atomically: a crash leaves the old or the new, never half."""
    partial = file.with_name(f".new-{uuid.uuid4().hex}")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def write_errors(path: Path) -> Any:
    """Turn what the system raises into this package's errors."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error}). Make room, or make it writable for this user."
        ) from error
