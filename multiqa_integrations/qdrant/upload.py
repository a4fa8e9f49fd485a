"""Write many points: in requests of bounded size, retried, and without losing one."""

from __future__ import annotations

import contextvars
import functools
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from multiqa_integrations.arguments import check_callable, check_count, check_kind
from multiqa_integrations.errors import (
    PerformanceWarning,
    StoreError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant.failures import BadRequestError, TooLargeError
from multiqa_integrations.qdrant.points import Point, PointId, request_bytes
from multiqa_integrations.qdrant.retry import JOB_SECONDS, retrying
from multiqa_integrations.qdrant.store import OPTIMIZE_AT, Store

MAX_POINTS = 256
MAX_BYTES = 4_000_000

# When every point of a batch of this size is rejected, the collection is at fault, not the points.
_ALL_REFUSED = 16


class _Batches:
    """Cut points into requests that are bounded by number and by size."""

    def __init__(self, max_points: int, max_bytes: int) -> None:
        for name, value in (("max_points", max_points), ("max_bytes", max_bytes)):
            check_count(name, value)
        self._max_points, self._max_bytes = max_points, max_bytes
        self._waiting: dict[PointId, Point] = {}
        self._bytes = 0

    def feed(self, points: Iterable[Point]) -> Iterator[list[Point]]:
        """Take points; yield the requests that are full."""
        for point in points:
            size = request_bytes(point)
            if self._waiting and (
                len(self._waiting) >= self._max_points or self._bytes + size > self._max_bytes
            ):
                yield self.rest()
            # A duplicate id: last write wins, as with sequential upserts.
            self._waiting.pop(point.id, None)
            self._waiting[point.id] = point
            self._bytes += size

    def shrink(self, most: int) -> None:
        """Cut further requests at no more than so many points: the store takes no more."""
        self._max_points = max(1, min(self._max_points, most))

    def rest(self) -> list[Point]:
        """Return what is left; it may be nothing."""
        points, self._waiting, self._bytes = list(self._waiting.values()), {}, 0
        return points


def optimize_or_warn(
    store: Store, collection: str, *, minimum: int, share: float = 0.0, merge: bool = True
) -> None:
    """Optimise after a write; where that fails, the write has not: warn, and go on."""
    try:
        store.optimize(collection, minimum=minimum, share=share, merge=merge)
    except StoreError as error:
        warnings.warn(
            f"{collection!r} was not optimised, which is tried again later; until then searches "
            f"take longer. {error}",
            PerformanceWarning,
            stacklevel=3,
        )


class Uploader:
    """Write points to a collection from one thread; other threads send them.

    A request that fails for the time being (connections, timeouts, 429, 5xx) is repeated with
    growing, random pauses, as often as its deadline allows; where a server says how long to
    wait, that long. Where it takes no request of that size, it is split. A request that is
    refused is halved until the bad points are found: the good ones are written.

    Examples:
        with Uploader(store, "docs") as uploader:
            uploader.add(points)
    """

    def __init__(
        self,
        store: Store,
        collection: str,
        *,
        max_points: int = MAX_POINTS,
        max_bytes: int = MAX_BYTES,
        threads: int | None = None,
        deadline: float = JOB_SECONDS,
        progress: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
        optimize: bool = True,
        write: Callable[[Sequence[Point]], None] | None = None,
    ) -> None:
        """Begin; leaving the `with` block waits for the end.

        Args:
            store: Where to.
            collection: Its name.
            max_points: Most points of a request.
            max_bytes: Most bytes of a request; a point that is larger goes alone.
            threads: How many requests at a time; by default what is good for the store.
            deadline: Seconds after which a request that still fails ends the upload.
            progress: Called with the number of points of each request that was written, by the
                thread that calls `add`.
            stop: Once set, no request is begun or repeated, and `add` raises `StoreError`.
            optimize: Build an embedded collection's search graph at the end, if enough is new.
            write: Writes the points of a request; by default `store.upsert`.
        """
        check_kind("store", store, Store, "that of open_store(...)", optional=False)
        if threads is not None:
            check_count("threads", threads)
        check_callable("progress", progress)
        self._store, self._collection = store, collection
        self._batches = _Batches(max_points, max_bytes)
        self._deadline = deadline
        self._progress = progress or (lambda _: None)
        self._parallel = threads or store.parallel_writes
        self._pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="multiqa-upload")
        self._stop = stop or threading.Event()
        self._optimize = optimize
        self._write = write or functools.partial(store.upsert, collection)
        self._under_way: dict[Future[tuple[int, dict[str, str]]], frozenset[PointId]] = {}
        self._refused: dict[str, str] = {}

    def add(self, points: Iterable[Point]) -> None:
        """Take points; waits while as many requests as allowed are under way.

        Raises:
            StoreError: An earlier request failed for good, or the upload was stopped.
        """
        for batch in self._batches.feed(points):
            if self._stop.is_set():
                raise StoreError("the upload was stopped; what was written before stays.")
            self._submit(batch)

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Count points as refused that are not even sent, with the reasons by their ids."""
        self._refused |= reasons

    def send(self) -> None:
        """Send what is left, without waiting for its end."""
        if rest := self._batches.rest():
            self._submit(rest)

    def flush(self) -> dict[str, str]:
        """Send what is left and wait for all of it.

        Returns:
            Why points were refused, by their ids, since the last call. All others are written.

        Raises:
            StoreError: A request failed for good.
        """
        self.send()
        self._finish(0)
        refused, self._refused = self._refused, {}
        return refused

    def close(self) -> None:
        """Send what is left and wait for all of it.

        Raises:
            WriteRejectedError: Some points were refused; all others are written.
            StoreError: A request failed for good.
        """
        try:
            refused = self.flush()
        finally:
            self.abandon()
        if self._optimize:
            optimize_or_warn(self._store, self._collection, minimum=OPTIMIZE_AT)
        raise_refused(refused)

    def abandon(self) -> None:
        """End without sending what is left; requests under way are finished, not repeated."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Uploader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _submit(self, batch: list[Point]) -> None:
        ids = frozenset(point.id for point in batch)
        # The same id in two requests at a time: whichever is later would be chance.
        while any(ids & others for others in self._under_way.values()):
            self._finish(len(self._under_way) - 1)
        self._finish(self._parallel)  # one more waits, so that no thread does
        # With the context, which says what else stops it.
        deliver = contextvars.copy_context().run
        self._under_way[self._pool.submit(deliver, self._deliver, batch)] = ids

    def _finish(self, allowed: int) -> None:
        """Wait until no more than `allowed` requests are under way."""
        while len(self._under_way) > allowed:
            done, _ = futures.wait(self._under_way, return_when="FIRST_COMPLETED")
            for future in done:
                del self._under_way[future]
                written, refused = future.result()
                self._refused |= refused
                self._progress(written)

    def _deliver(self, batch: list[Point]) -> tuple[int, dict[str, str]]:
        steps = _deliver(batch)
        try:
            request = next(steps)
            while True:
                try:
                    with retrying(self._deadline, stop=self._stop):
                        self._write(request)
                except (BadRequestError, TooLargeError, WriteRejectedError) as error:
                    if isinstance(error, TooLargeError):
                        self._batches.shrink(error.most or len(request) // 2)
                    request = steps.throw(error)
                else:
                    request = next(steps)
        except StopIteration as stop:
            refused: dict[str, str] = stop.value
            return len(batch) - len(refused), refused


def raise_refused(refused: dict[str, str]) -> None:
    """Raise the error that names the refused points, if there are any."""
    if not refused:
        return
    first, reason = next(iter(refused.items()))
    raise WriteRejectedError(
        f"{len(refused):,} points were refused, all others are written. The first is {first}: "
        f"{reason}",
        reasons=refused,
    )


def _deliver(batch: list[Point]) -> Generator[list[Point], None, dict[str, str]]:
    """Yield requests, and be thrown what they fail with; returns the refused and why."""
    waiting = [batch]
    refused: dict[str, str] = {}
    while waiting:
        request = waiting.pop()
        try:
            yield request
        except WriteRejectedError as error:  # checked here, before it was sent
            refused |= error.reasons
            rest = [point for point in request if str(point.id) not in error.reasons]
            waiting += [rest] if rest else []
        except (BadRequestError, TooLargeError) as error:
            if len(request) > 1:
                most = error.most if isinstance(error, TooLargeError) else None
                size = min(most or len(request), (len(request) + 1) // 2)
                parts = [request[at : at + size] for at in range(0, len(request), size)]
                waiting += reversed(parts)
            else:
                refused[str(request[0].id)] = str(error)
                if len(refused) == len(batch) >= _ALL_REFUSED:
                    raise WriteRejectedError(
                        f"all {len(batch)} points of a request were refused one by one, so the "
                        f"upload was ended: {error}",
                        reasons=refused,
                    ) from error
    return refused
