"""Speak to qdrant-client: one way for its synchronous, asynchronous and local clients.

What is asked of a server is written once, as a generator that yields calls and is sent their
results; `run` and `arun` carry them out. Errors arrive in the generator as this package's own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from qdrant_client import models

from multiqa_integrations.errors import CollectionNotFoundError, MultiQAError
from multiqa_integrations.qdrant.dual import Steps
from multiqa_integrations.qdrant.failures import (
    AlreadyExistsError,
    BadRequestError,
)
from multiqa_integrations.qdrant.retry import repeat, repeat_async
from multiqa_integrations.qdrant.server.connection import Connection
from multiqa_integrations.qdrant.server.failures import CLIENT_ERRORS, client_error
from multiqa_integrations.qdrant.server.options import ConnectionOptions, Consistency

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a client's method, with its named arguments.

    Attributes:
        method: Its name; that of a method of one of the client's parts has dots.
        arguments: Its arguments.
        repeat: Whether it is repeated where it fails for the time being.
    """

    method: str
    arguments: dict[str, Any]
    repeat: bool = True


class Connected(Protocol):
    """Who carries out calls: a store over a client.

    Attributes:
        local: Whether the client is in its local mode.
        grpc: Whether the client uses gRPC.
        consistency: How many replicas every read must agree with, where the user says so.
        known: What the collections are that were written to.
        sizes: How many items a request may have, by collection and method, where that was learnt.
        query_limits: How many hits a query may ask for, by collection; None is any number.
        version: The server's, once it was asked.
    """

    local: bool
    grpc: bool
    consistency: Consistency | None
    known: dict[str, Any]
    sizes: dict[tuple[str, str], int]
    query_limits: dict[str, int | None]
    version: tuple[int, int] | None

    def _run(self, steps: Steps[T]) -> T: ...

    async def _arun(self, steps: Steps[T]) -> T: ...


def call(method: str, /, **arguments: Any) -> Call:
    """Write a call as one would make it."""
    return Call(method, arguments)


Send = Callable[[Call], Any]
SendAsync = Callable[[Call], Awaitable[Any]]


def run(send: Send, steps: Steps[T]) -> T:
    """Carry out the calls of a generator, each by `send`."""
    try:
        step = next(steps)
        while True:
            try:
                result = send(step)
            except MultiQAError as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun(send: SendAsync, steps: Steps[T]) -> T:
    """Carry out the calls of a generator, each by awaiting `send`."""
    try:
        step = next(steps)
        while True:
            try:
                result = await send(step)
            except MultiQAError as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def sender(connection: Connection, options: ConnectionOptions) -> Send:
    """Return what sends calls to a server, and repeats what fails for the time being."""

    def send(step: Call) -> Any:
        def request() -> Any:
            try:
                method = attrgetter(step.method)(connection.client())
                return method(**_arguments(step, options))
            except CLIENT_ERRORS as error:
                raise _call_error(error, step, connection.route) from error

        return repeat(request, options.wait if step.repeat else 0.0)

    return send


def async_sender(connection: Connection, options: ConnectionOptions) -> SendAsync:
    """Return what sends calls as `sender` does, for an event loop."""

    async def send(step: Call) -> Any:
        async def request() -> Any:
            try:
                method = attrgetter(step.method)(await connection.async_client())
                return await method(**_arguments(step, options))
            except CLIENT_ERRORS as error:
                raise _call_error(error, step, connection.route) from error
            except asyncio.CancelledError:
                if not _is_cancelled():
                    connection.check()  # a client over gRPC cancels its calls when it is closed
                raise

        return await repeat_async(request, options.wait if step.repeat else 0.0)

    return send


def _is_cancelled() -> bool:
    """Return whether somebody has cancelled the coroutine itself; before Python 3.11, or may."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is None or cancelling() > 0


def _arguments(step: Call, options: ConnectionOptions) -> dict[str, Any]:
    if options.consistency is not None and step.method in _READS:
        wanted: Any = options.consistency
        if isinstance(wanted, str):  # by gRPC the client takes no text for it
            wanted = models.ReadConsistencyType(wanted)
        return {**step.arguments, "consistency": wanted}
    if options.ordering is not None and step.method in _WRITES:
        return {**step.arguments, "ordering": models.WriteOrdering(options.ordering)}
    return step.arguments


_READS = frozenset({"query_batch_points", "query_points", "retrieve", "scroll"})
_WRITES = frozenset({"create_payload_index", "delete", "upsert"})


def _call_error(error: Exception, step: Call, address: str) -> MultiQAError:
    if isinstance(error, MultiQAError):  # of the connection, which had no client
        return error
    return client_error(
        error,
        method=step.method,
        address=address,
        collection=step.arguments.get("collection_name"),
    )


_LOCAL_ERRORS = (*CLIENT_ERRORS, sqlite3.Error)


def local_sender(client: Any) -> Send:
    """Return what makes calls to a client in local mode, which never waits for anything."""

    def send(step: Call) -> Any:
        try:
            result = getattr(client, step.method)(**step.arguments)
            return finish(result) if hasattr(result, "send") else result
        except _LOCAL_ERRORS as error:
            raise _local_error(error, step) from error

    return send


def _local_error(error: Exception, step: Call) -> MultiQAError:
    """Return this package's error for one of local mode, which raises Python's."""
    reason = str(error).strip().rstrip(".") or type(error).__name__
    what = f"Qdrant's {step.method} in local mode"
    if reason.endswith("not found"):
        return CollectionNotFoundError(f"{what}: {reason}")
    if "already exists" in reason:
        return AlreadyExistsError(f"{what}: {reason}")
    return BadRequestError(f"{what} failed: {reason}.")


def finish(coroutine: Any) -> Any:
    """Run a coroutine that never really awaits: those of the asynchronous local mode."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("the client's local mode has begun to await; this needs an event loop")
