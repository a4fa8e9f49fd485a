"""Wait for a call only as long as it makes progress, or until a stop."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.1


class StoppedError(Exception):
    """A call was not waited for any longer, because of a stop."""


class _Call(Generic[T]):
    """A call in a thread of its own, which is left behind when it is waited for no longer."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self._call, self._name = call, name
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        # Not the thread's own join and is_alive: an interrupted join calls it ended (Python 3.11).
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:  # noqa: BLE001  (raised in the caller's thread)
            self._errors.append(error)
        finally:
            self._ended.set()

    def returns(self, seconds: float) -> bool:
        """Wait a while; return whether the call has returned."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """Return what the call has returned, or raise what it has raised."""
        if self._errors:
            raise self._errors[0]
        return self._results[0]


# As long as somebody waits for them, or their threads run.
_native: weakref.WeakSet[_Call[Any]] = weakref.WeakSet()


def bounded(call: Callable[[], T], *, seconds: float, progress: Callable[[], int] = lambda: 0) -> T:
    """Run `call`, for no longer than `seconds` without progress.

    A blocked socket or name look-up cannot be interrupted from outside, so the call runs in a
    thread of its own, which is left behind when the time is up.
    """
    last = progress()
    deadline = time.monotonic() + seconds
    started = _Call(call, "multiqa-hub")
    started.start()
    while not started.returns(min(0.5, seconds)):
        if (now := progress()) != last:
            last, deadline = now, time.monotonic() + seconds
        elif time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {seconds:.0f} s")
    return started.result()


def until(stop: threading.Event, call: Callable[[], T]) -> T:
    """Run `call`, for no longer than until `stop` is set or the caller's thread is interrupted.

    For calls into native libraries, within which Python handles no signal.

    Raises:
        StoppedError: It was set.
    """
    started = _Call(call, "multiqa-native")
    _native.add(started)  # before it starts: an interrupt may come while it does
    started.start()
    while not started.returns(_LOOK_SECONDS):
        if stop.is_set():
            raise StoppedError
    return started.result()


def is_left_behind() -> bool:
    """Return whether a native call is still under way that nobody waits for.

    The library may wait for it when the interpreter ends, or crash.
    """
    return not all(call.returns(0) for call in _native)


def bytes_in(folder: Path) -> int:
    """Add up the sizes of the files in a folder, as a measure of progress."""
    total = 0
    with suppress(OSError):  # not made yet
        for entry in folder.iterdir():
            with suppress(OSError):  # moved into place meanwhile
                total += entry.stat().st_size
    return total
