"""Repeat requests that fail for the time being: lost connections, timeouts, rate limits, 5xx.

Every request to a server may be repeated: ids make writes idempotent, and the rest only reads. How
long it is worth it depends on who waits, so it is said around the requests:

    with retrying(JOB_SECONDS, stop=stop):
        store.upsert("docs", points)

A person's request is repeated for some seconds, those of a job for minutes. Pauses grow, are
random, and end when the job is stopped. Whoever waits is told what for, by the module's logger.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from multiqa_integrations.errors import StoreUnavailableError
from multiqa_integrations.qdrant.failures import CollectionBrokenError, RateLimitedError

T = TypeVar("T")

logger = logging.getLogger(__name__)

READ_SECONDS = 10.0
"""How long the requests of a person are repeated."""

JOB_SECONDS = 300.0
"""How long those of a job are repeated."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 20.0
_LONGEST_RETRY_AFTER = 60.0
_BROKEN_SECONDS = 5.0  # a collection that another has just created looks broken for a second
_LOG_AFTER = 2.0
_LOG_EVERY = 10.0
_MOST_TOLD = 100
_POLL = 0.05  # how often a wait looks whether it is to stop
_GRACE = 0.5  # how long a request that is under way may take after the stop
_FINISH = 1.0  # how long those may take together that begin after it, to store the batch in hand
_CLEAN_UP = 0.1  # how long each may take once that is used up, such as giving a lease back


_told: dict[str, float] = {}  # when a line about an error was written last, by any thread

_PASSING = (StoreUnavailableError, CollectionBrokenError)


@dataclass(slots=True)
class _Finish:
    """How long requests that begin after a stop may still take together, in seconds."""

    seconds: float = _FINISH


@dataclass(frozen=True, slots=True)
class Retrying:
    """How requests are repeated.

    Attributes:
        seconds: After so many there is no further attempt.
        stops: Each ends it, once set.
        most: A limit that holds also where a store has one of its own.
        finish: What is left of the time for requests that begin after a stop.
    """

    seconds: float = READ_SECONDS
    stops: tuple[threading.Event, ...] = ()
    most: float = float("inf")
    finish: _Finish = field(default_factory=_Finish)

    @property
    def stopped(self) -> bool:
        """Whether there is to be no further attempt."""
        return any(stop.is_set() for stop in self.stops)


_current: ContextVar[Retrying] = ContextVar("multiqa_retrying", default=Retrying())  # noqa: B039  (it is frozen)


@contextmanager
def retrying(
    seconds: float | None = None,
    *,
    stop: threading.Event | None = None,
    most: float | None = None,
) -> Iterator[Retrying]:
    """Set how the requests of a block are repeated.

    Args:
        seconds: After so many there is no further attempt; by default as around the block.
        stop: Ends waiting within two seconds, besides those around the block.
        most: A limit that holds also where a store has one of its own; by default as around.

    Examples:
        >>> with retrying(5.0) as policy:
        ...     policy.seconds
        5.0
    """
    around = _current.get()
    inside = Retrying(
        around.seconds if seconds is None else seconds,
        around.stops if stop is None or stop in around.stops else (*around.stops, stop),
        around.most if most is None else most,
        around.finish if around.stops else _Finish(),
    )
    token = _current.set(inside)
    try:
        yield inside
    finally:
        _current.reset(token)


class Attempts:
    """What follows after each failed attempt of one request."""

    def __init__(
        self, seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with the first attempt.

        Args:
            seconds: Of the store, if it has a limit of its own; else as `retrying` says.
            clock: Tells the time, in seconds.
        """
        self._policy = _current.get()
        self._seconds = min(self._policy.seconds if seconds is None else seconds, self._policy.most)
        self._clock = clock
        self._begin = clock()
        self._pause = _FIRST_PAUSE

    @property
    def stops(self) -> bool:
        """Whether the request can be stopped."""
        return bool(self._policy.stops)

    @property
    def stopped(self) -> bool:
        """Whether it has been."""
        return self._policy.stopped

    @property
    def finish(self) -> _Finish:
        """What is left of the time for requests that begin after a stop."""
        return self._policy.finish

    def pause_after(self, error: Exception) -> float:
        """Return how long to wait before the next attempt, in seconds.

        Raises:
            Exception: `error`, if there is to be no further attempt.
        """
        seconds = self._seconds
        if isinstance(error, CollectionBrokenError):
            seconds = min(seconds, _BROKEN_SECONDS)
        left = self._begin + seconds - self._clock()
        if not isinstance(error, _PASSING) or left <= 0 or self.stopped:
            raise error
        pause = self._pause * (0.5 + random.random())  # noqa: S311  (not all at the same moment)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            asked = min(error.retry_after, _LONGEST_RETRY_AFTER)
            pause = max(pause, asked * (1 + random.random() / 4))  # noqa: S311
        pause = min(pause, left)
        self._log(error, pause, left)
        return pause

    def _log(self, error: Exception, pause: float, left: float) -> None:
        now, line = self._clock(), str(error)
        waited = now - self._begin
        told = _told.get(line)
        if waited + pause < _LOG_AFTER or (told is not None and 0 <= now - told < _LOG_EVERY):
            return
        if len(_told) > _MOST_TOLD:
            _told.clear()
        _told[line] = now
        until = datetime.now().astimezone() + timedelta(seconds=left)
        logger.warning("waiting, %.0f s so far, until %s: %s", waited, f"{until:%H:%M:%S}", line)

    def wait(self, pause: float) -> None:
        """Wait, or until it is stopped."""
        end = self._clock() + pause
        while (left := end - self._clock()) > 0 and not self.stopped:
            time.sleep(min(left, _POLL) if self.stops else left)

    async def wait_async(self, pause: float) -> None:
        """Wait, or until it is stopped, without blocking the event loop."""
        end = self._clock() + pause
        while (left := end - self._clock()) > 0 and not self.stopped:  # noqa: ASYNC110  (of threads)
            await asyncio.sleep(min(left, _POLL) if self.stops else left)


def repeat(request: Callable[[], T], seconds: float | None = None) -> T:
    """Make a request, again and again while it fails for the time being.

    Args:
        request: Makes it.
        seconds: Of the store, if it has a limit of its own; else as `retrying` says.

    Raises:
        StoreError: It failed for good, for too long, or was stopped.
    """
    attempts = Attempts(seconds)
    while True:
        try:
            return _stoppable(request, attempts) if attempts.stops else request()
        except _PASSING as error:
            attempts.wait(attempts.pause_after(error))


async def repeat_async(request: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
    """Make a request as `repeat` does, without blocking the event loop."""
    attempts = Attempts(seconds)
    while True:
        try:
            return await request()
        except _PASSING as error:
            await attempts.wait_async(attempts.pause_after(error))


def _stoppable(request: Callable[[], T], attempts: Attempts) -> T:
    """Make a request that is left behind if it takes longer than a stop allows.

    A thread that waits for a socket cannot be interrupted, so the request has one of its own.
    """
    answer: Future[T] = Future()
    context = contextvars.copy_context()

    def make() -> None:
        try:
            answer.set_result(context.run(request))
        except BaseException as error:  # noqa: BLE001  (raised below, in the caller's thread)
            answer.set_exception(error)

    finish = attempts.finish if attempts.stopped else _Finish(_GRACE)
    finish.seconds = max(finish.seconds, _CLEAN_UP)
    threading.Thread(target=make, name="multiqa-request", daemon=True).start()
    while True:
        try:
            return answer.result(_POLL)
        except NotDoneError:
            if answer.done():  # just now; or it is an error of the request's own
                return answer.result()
            if attempts.stopped:
                finish.seconds -= _POLL
                if finish.seconds <= 0:
                    raise StoreUnavailableError(
                        "the job was stopped before the server had answered: the request may have "
                        "been carried out, and is safe to repeat."
                    ) from None
