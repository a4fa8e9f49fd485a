"""Speak to qdrant-client: one way for its synchronous, asynchronous and local clients.

What is asked of a server is written once, as a generator that yields calls and is sent their
results; `run` and `arun` carry them out. Errors arrive in the generator as this package's own.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc
import httpx
from qdrant_client.common.client_exceptions import (
    QdrantException,
    ResourceExhaustedResponse,
)
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from multiqa_integrations.errors import (
    CollectionNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.failures import (
    AlreadyExistsError,
    BadRequestError,
    RateLimitedError,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a client's method, with its named arguments."""

    method: str
    arguments: dict[str, Any]


class Connected(Protocol):
    """Who carries out calls: a store over a client.

    Attributes:
        local: Whether the client is in its local mode.
        known: What the collections are that were written to.
    """

    local: bool
    known: dict[str, Any]

    def _run(self, steps: Steps[T]) -> T: ...

    async def _arun(self, steps: Steps[T]) -> T: ...


def call(method: str, /, **arguments: Any) -> Call:
    """Write a call as one would make it."""
    return Call(method, arguments)


def run(client: Any, steps: Steps[T]) -> T:
    """Carry out the calls on a synchronous client."""
    try:
        wanted = next(steps)
        while True:
            try:
                result = getattr(client, wanted.method)(**wanted.arguments)
            except _FAILURES as error:
                wanted = steps.throw(_translated(error, wanted))
            else:
                wanted = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun(client: Any, steps: Steps[T]) -> T:
    """Carry out the calls on an asynchronous client."""
    try:
        wanted = next(steps)
        while True:
            try:
                result = await getattr(client, wanted.method)(**wanted.arguments)
            except _FAILURES as error:
                wanted = steps.throw(_translated(error, wanted))
            else:
                wanted = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


# What the clients raise. Local mode has no errors of its own: it raises Python's.
_FAILURES = (
    UnexpectedResponse,
    ResponseHandlingException,
    QdrantException,
    grpc.RpcError,
    httpx.HTTPError,
    ValueError,
    RuntimeError,
    LookupError,
    AssertionError,
    sqlite3.Error,
    OSError,
)

_UNREADABLE_RETRY_AFTER = 5.0  # seconds

_STATUS_OF_CODE = {
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def _translated(error: Exception, wanted: Call) -> StoreError:
    translated = _translate(error, f"Qdrant's {wanted.method}")
    translated.__cause__ = error
    return translated


def _translate(error: Exception, what: str) -> StoreError:
    status, reason = _status_and_reason(error)
    if status == 404 or (status is None and reason.endswith("not found")):
        return CollectionNotFoundError(f"{what}: {reason}")
    if "already exists" in reason:
        return AlreadyExistsError(f"{what}: {reason}")
    if status in (401, 403):
        return StoreError(
            f"{what} was refused ({status}: {reason}). Give the API key as api_key= or in "
            "QDRANT_API_KEY; a read-only key cannot write."
        )
    if status == 429:
        retry_after = _retry_after(error)
        wait = "a smaller request" if retry_after is None else f"in {retry_after:g} s"
        return RateLimitedError(
            f"{what} was put off ({status}: {reason}). Try {wait}.", retry_after=retry_after
        )
    if status == 408 or (status or 0) >= 500:
        return StoreUnavailableError(f"{what} failed ({status}: {reason}). Try again later.")
    if status is not None:
        return BadRequestError(f"{what} was refused ({status}: {reason}).")
    if isinstance(error, ResponseHandlingException | httpx.HTTPError | OSError):
        return StoreUnavailableError(
            f"{what} failed: {reason}. Is the server up, the URL right, the time limit long enough?"
        )
    return BadRequestError(f"{what} failed: {reason}.")


def _retry_after(error: Exception) -> float | None:
    """Tell how long the server asks to wait; None where it does not say."""
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    # The client knows seconds only, and raises its general error for the date that HTTP allows.
    return _UNREADABLE_RETRY_AFTER if isinstance(error, QdrantException) else None


def _status_and_reason(error: Exception) -> tuple[int | None, str]:
    """Tell the HTTP status, as near as there is one, and the reason in the server's words."""
    if isinstance(error, UnexpectedResponse):
        text = error.content.decode("utf-8", "replace")
        try:
            answer = json.loads(text)
            text = answer["status"]["error"]
        except (ValueError, KeyError, TypeError):
            pass  # a proxy's page or some other server's words: show them as they are
        return error.status_code, text[:1000] or error.reason_phrase
    if isinstance(error, ResourceExhaustedResponse):
        return 429, f"{error.message}; retry after {error.retry_after_s} s"
    if isinstance(error, QdrantException):
        return 429, str(error)
    if isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
        return _STATUS_OF_CODE.get(error.code(), 500), str(error.details())[:1000]
    if isinstance(error, ResponseHandlingException):
        error = error.source
    words = str(error).strip().rstrip(".")
    return None, words if words else type(error).__name__
