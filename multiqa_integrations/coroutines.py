"""Run blocking work for coroutines: in a few threads of the process, not on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# One call of the encoder puts all processors to work; more threads than this would only wait.
_THREADS = 4

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `work` in a thread and await its result; context variables go along.

    However many coroutines call at once, a few threads serve them in turn.
    """
    call = functools.partial(contextvars.copy_context().run, work, *args, **kwargs)
    try:
        future = asyncio.get_running_loop().run_in_executor(_threads(), call)
    except RuntimeError:  # the program is ending, and no thread can be started any more
        return call()
    return await future


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
        task.exception()  # expected: it was stopped
        raise


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="multiqa")
        return _pool


def _forget() -> None:
    """In a forked child: the parent's threads do not live here."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
