"""Run blocking work for coroutines: in a few threads, not on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_all: weakref.WeakSet[Threads] = weakref.WeakSet()


class Threads:
    """A few threads that work for coroutines: the first call starts them, a fork forgets them."""

    def __init__(self, number: int, name: str = "multiqa") -> None:
        """Start no thread yet; there will be at most `number`."""
        self._number, self._name = number, name
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        _all.add(self)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work` in a thread and await its result; context variables go along.

        However many coroutines call at once, the threads serve them in turn.
        """
        call = functools.partial(contextvars.copy_context().run, work, *args, **kwargs)
        try:
            future = asyncio.get_running_loop().run_in_executor(self._started(), call)
        except RuntimeError:  # the program is ending, and no thread can be started any more
            return call()
        return await future

    def close(self) -> None:
        """Wait for the work in hand and end the threads; a later call starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def forget(self) -> None:
        """In a forked child: the parent's threads do not live there."""
        self._pool, self._lock = None, threading.Lock()

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._number, thread_name_prefix=self._name)
            return self._pool


# One call of the encoder puts all processors to work; more threads than this would only wait.
in_thread = Threads(4).run


async def in_own_thread(
    stop: threading.Event, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call long work in a thread of its own and await its result.

    Cancelled, it sets `stop`, which the work looks at, and waits for the work's end.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        task.exception()  # retrieved, so that asyncio does not log it
        raise


def _forget_all() -> None:
    for threads in _all:
        threads.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
