"""Wait for a call only as long as it makes progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def bounded(call: Callable[[], T], *, seconds: float, progress: Callable[[], int] = lambda: 0) -> T:
    """Run `call`, for no longer than `seconds` without progress.

    A blocked socket or name look-up cannot be interrupted from outside, so the call runs in a
    thread of its own, which is left behind when the time is up.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001  (raised below, in the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=run, name="multiqa-hub", daemon=True)
    last = progress()
    deadline = time.monotonic() + seconds
    thread.start()
    while True:
        thread.join(timeout=min(0.5, seconds))
        if not thread.is_alive():
            break
        if (now := progress()) != last:
            last, deadline = now, time.monotonic() + seconds
        elif time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {seconds:.0f} s")
    if errors:
        raise errors[0]
    return results[0]


def bytes_in(folder: Path) -> int:
    """Add up the sizes of the files in a folder, as a measure of progress."""
    total = 0
    with suppress(OSError):  # not made yet
        for entry in folder.iterdir():
            with suppress(OSError):  # moved into place meanwhile
                total += entry.stat().st_size
    return total
