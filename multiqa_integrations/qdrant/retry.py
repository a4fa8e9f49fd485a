"""Repeat requests that fail for the time being: lost connections, timeouts, 429 and 5xx."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from multiqa_integrations._optional import require
from multiqa_integrations.errors import StoreUnavailableError
from multiqa_integrations.qdrant.failures import RateLimitedError

stamina = require("stamina", purpose="a vector store")

T = TypeVar("T")

DEADLINE_SECONDS = 300.0


def attempts(
    deadline: float = DEADLINE_SECONDS, stop: threading.Event | None = None, *, splits: bool = False
) -> Any:  # stamina does not name the type: an iterator, asynchronous too
    """Give the attempts of a request, with growing, random pauses between them.

    Args:
        deadline: Seconds after which there is no further attempt.
        stop: Ends it earlier.
        splits: Whether the caller splits a request that is too large for the store.
    """

    def wait(error: Exception) -> bool | float:
        if stop is not None and stop.is_set():
            return False
        if isinstance(error, RateLimitedError):
            if error.retry_after is None:
                return not splits
            # Not all clients at the same moment.
            return error.retry_after * (1 + random.random() / 4)  # noqa: S311
        return isinstance(error, StoreUnavailableError)

    return stamina.retry_context(
        on=wait, attempts=None, timeout=deadline, wait_initial=0.2, wait_max=20.0, wait_jitter=1.0
    )


def call_with_retry(request: Callable[[], T], stop: threading.Event | None = None) -> T:
    """Make a request, again and again while it fails for the time being.

    Raises:
        StoreError: It failed for good, or until the deadline.
    """
    for attempt in attempts(stop=stop):
        with attempt:
            return request()
    raise AssertionError  # the last attempt returns or raises
