"""The lock of an embedded collection: one process at a time has it open.

The engine has a lock of its own, which it gives back before it has written everything at its close:
whoever opened the collection in that moment overwrote what the one before had written. This one is
held until the engine is closed.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from multiqa_integrations.errors import StoreLockedError
from multiqa_integrations.qdrant.edge import files

if sys.platform != "win32":
    import fcntl

# A child that was just forked has the parent's lock until it has closed its copy.
_TRIES = 8
_PAUSE = 0.05

_FILE = "open.lock"

_held: set[int] = set()  # descriptors of this process


class CollectionLock:
    """The lock of a collection, held from its making until `release`."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Where the directory cannot be written there is none: the engine does not open it either.

        Raises:
            StoreLockedError: Another process has it.
            StoreError: There is no room for its file.
        """
        self._descriptor: int | None = None
        if sys.platform == "win32":  # where the engine's files cannot be opened twice anyway
            return
        for left in reversed(range(_TRIES)):
            if self._take(directory):
                return
            if left:
                time.sleep(_PAUSE)
        raise locked_error(directory)

    def release(self) -> None:
        """Give it back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)

    def _take(self, directory: Path) -> bool:
        """Try to take the lock; return whether nobody else has it."""
        file = directory / _FILE
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        except (FileNotFoundError, PermissionError):
            return True
        except OSError as error:
            if error.errno == errno.EROFS:
                return True
            with files.write_errors(directory):
                raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Not that of a collection that was dropped since.
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                _held.add(descriptor)
                self._descriptor = descriptor
                return True
        except BlockingIOError:
            pass
        except FileNotFoundError:
            os.close(descriptor)
            return True
        except OSError:  # a file system without locks
            os.close(descriptor)
            return True
        os.close(descriptor)
        return False


def locked_error(directory: Path) -> StoreLockedError:
    """Build the error for a collection that another process has open."""
    return StoreLockedError(
        f"the collection in {directory} is open in another process{files.opener(directory)}. An "
        "embedded collection is open in one process at a time: close it there, or open it after a "
        "fork in one process only, or use a server."
    )


def close_inherited() -> None:
    """In a forked child: close the copies of the parent's locks, so that they do not outlast it."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())
