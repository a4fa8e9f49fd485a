"""Calls of the embedded engine: open, count, optimise, close; and what it raises."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from multiqa_integrations.errors import MultiQAError, StoreError
from multiqa_integrations.qdrant.failures import BadRequestError

if TYPE_CHECKING:
    import qdrant_edge

T = TypeVar("T")

RESERVE_BYTES = 16 << 20
"""What stays free for what the engine writes beside the points.

Its files grow by being mapped: where a disk is full then, the system kills the process (SIGBUS).
"""

opening = threading.RLock()
"""Held while an engine is being made, and nobody knows of it yet: no fork then."""

_TRIES = 8
_PAUSE = 0.05


@contextlib.contextmanager
def engine_errors(what: str, directory: Path) -> Iterator[None]:
    """Turn what the engine raises into this package's errors."""
    try:
        yield
    except MultiQAError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # what it was given, it cannot read
        raise BadRequestError(f"{what} in the collection in {directory}: {error}.") from error
    except Exception as error:  # the engine raises nothing narrower
        raise StoreError(f"{what} in the collection in {directory} failed: {error}.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the engine's; it has no other base
            raise
        raise StoreError(
            f"{what} in the collection in {directory} failed within the engine ({error}). Open it "
            "again; if that fails too, restore it from a backup."
        ) from error


def load(shard: Path) -> qdrant_edge.EdgeShard:
    """Open an engine's files.

    A child that was just forked has the parent's lock until it has closed its copy.
    """
    import qdrant_edge

    def load() -> qdrant_edge.EdgeShard:
        with engine_errors("open", shard.parent):
            return qdrant_edge.EdgeShard.load(str(shard))

    return _patiently(load, "WouldBlock")


def close(engine: qdrant_edge.EdgeShard) -> None:
    """Close an engine.

    That is refused while Python runs in the midst of another thread's call of it, such as the
    garbage collector.
    """
    _patiently(engine.close, "borrowed")


def _patiently(call: Callable[[], T], busy: str) -> T:
    """Call again while the engine says that somebody else is at it."""
    for _ in range(_TRIES - 1):
        try:
            return call()
        except Exception as error:
            if busy not in str(error):
                raise
        time.sleep(_PAUSE)
    return call()


def count(engine: qdrant_edge.EdgeShard) -> int:
    """Count the points."""
    import qdrant_edge

    return int(engine.count(qdrant_edge.CountRequest(exact=True)))


def optimize_files(shard: Path, *, merge: bool) -> None:
    """Optimise files in a process of its own, which runs no code of the working directory.

    Raises:
        StoreError: The process failed.
    """
    import qdrant_edge

    # Isolated (-I), it has the standard library only, and what is named here.
    libraries = {
        str(Path(file).parent.parent)
        for library in (qdrant_edge, np)
        if (file := library.__file__) is not None
    }
    program = Path(__file__).with_name("optimize.py")  # a file, since -m would import its package
    options = [] if merge else ["--keep-segments"]
    done = subprocess.run(  # noqa: S603  (this very interpreter)
        [sys.executable, "-I", str(program), str(shard), *options, *sorted(libraries)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not done.stdout.startswith("optimized"):
        words = done.stderr.strip()[-1000:] or "nothing"
        raise StoreError(f"the process ended with status {done.returncode} and said: {words}")
