"""Answers by REST are bounded, whatever the server sends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

MAX_ANSWER = 256 * 1024 * 1024
"""The largest answer by REST that is read, in bytes. Reads of more are cut into several."""


def bound(seconds: float) -> Callable[[httpx.Response], None]:
    """Return a hook of a client that bounds its answers, in size and in seconds."""

    def hook(response: httpx.Response) -> None:
        response.stream = _Bounded(response.stream, _Limit(response, seconds))

    return hook


def bound_async(seconds: float) -> Callable[[httpx.Response], Any]:
    """Return that hook for an asynchronous client."""

    async def hook(response: httpx.Response) -> None:
        response.stream = _AsyncBounded(response.stream, _Limit(response, seconds))

    return hook


class _Limit:
    """Raises where an answer is larger, or takes longer, than any should."""

    def __init__(self, response: httpx.Response, seconds: float) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise OSError("the answer is compressed, which was not asked for")
        self._left, self._end = MAX_ANSWER, time.monotonic() + seconds

    def take(self, chunk: bytes) -> bytes:
        self._left -= len(chunk)
        if self._left < 0:
            raise OSError(f"the answer is larger than {MAX_ANSWER} bytes")
        if time.monotonic() > self._end:
            raise httpx.ReadTimeout("the answer was not complete within the time limit")
        return chunk


class _Bounded(httpx.SyncByteStream):
    def __init__(self, stream: Any, limit: _Limit) -> None:
        self._stream, self._limit = stream, limit

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield self._limit.take(chunk)

    def close(self) -> None:
        self._stream.close()


class _AsyncBounded(httpx.AsyncByteStream):
    def __init__(self, stream: Any, limit: _Limit) -> None:
        self._stream, self._limit = stream, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield self._limit.take(chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()
