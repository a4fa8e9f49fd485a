"""Who owns which client: one for each process, and one for each event loop of it.

A client must not be shared by a process and its children: they would read each other's answers
from one socket. Nor by two event loops. So a child makes clients of its own, an event loop's client
is closed when the loop ends, and a client that was given and cannot be used any more is refused
before anything is sent.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client.local.async_qdrant_local import AsyncQdrantLocal
from qdrant_client.local.qdrant_local import QdrantLocal

from multiqa_integrations.errors import (
    ConfigurationError,
    StoreClosedError,
)

T = TypeVar("T")


class Connection:
    """The clients of one server.

    Attributes:
        address: Scheme, host and port, for messages.
        route: The address, and the proxy to it.
        local: Whether it is the client's local mode instead of a server.
        grpc: Whether the clients use gRPC.
    """

    def __init__(
        self,
        make: Callable[[type[Any]], Any],
        address: str,
        *,
        proxy: str | None = None,
        given: QdrantClient | AsyncQdrantClient | None = None,
        grpc: bool = False,
    ) -> None:
        """Begin without a client; the first call makes one.

        Args:
            make: Makes a client of a kind, `QdrantClient` or `AsyncQdrantClient`.
            address: Where the server is.
            proxy: The variable of the environment that names a proxy to it.
            given: A client of the user's, which stays open.
            grpc: Whether the clients use gRPC.
        """
        self.address = address
        self.route = address if proxy is None else f"{address} (through the proxy of {proxy})"
        self.local = given is not None and is_local(given)
        self._make, self._given, self.grpc = make, given, grpc
        self._process = os.getpid()
        self._closed = False
        self._given_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._begin()
        _connections.add(self)

    @property
    def local_lock(self) -> AbstractContextManager[Any]:
        """Held while a client in local mode is called: one for all stores over it."""
        return _local_locks.setdefault(self._given, threading.RLock())

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._client: QdrantClient | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

    def client(self) -> Any:
        """Return this process's client.

        Raises:
            StoreClosedError: It was closed before.
            ConfigurationError: It was given, and belongs to another process.
        """
        self.check()
        if isinstance(self._given, QdrantClient) or self.local:
            return self._given
        with self._lock:
            self.check()  # what is made after the close would stay open
            if self._client is None:
                self._client = self._made(QdrantClient)
            return self._client

    async def async_client(self) -> Any:
        """Return this event loop's client.

        Raises:
            StoreClosedError: It was closed before.
            ConfigurationError: It was given, and belongs to another process or event loop; or it
                would use gRPC in a process that was forked from one that did.
        """
        self.check()
        loop = asyncio.get_running_loop()
        if isinstance(self._given, AsyncQdrantClient):
            return self._given_in(loop)
        with self._lock:
            self.check()
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]  # ended without closing what was its own
            if (owned := self._loops.get(loop)) is not None:
                return owned.client
            self._check_async_grpc()
            owned = self._loops[loop] = _LoopClient(self._made(AsyncQdrantClient))
        await owned.begin(lambda: self._loops.pop(loop, None))
        return owned.client

    def check(self) -> None:
        """Make sure that the clients can be used here.

        Raises:
            StoreClosedError: They were closed before.
            ConfigurationError: One was given, and belongs to another process.
        """
        if self._closed:
            raise StoreClosedError(f"the store of {self.address} was closed before: open it again.")
        if self._given is None:
            return
        if os.getpid() != self._process and not self.local:
            raise ConfigurationError(
                f"the client of {self.address} belongs to the process that made it, and this is a "
                "child of it. Open the store with url=, which makes one for each process, or make "
                "the client here."
            )
        if getattr(self._given._client, "closed", False):
            raise StoreClosedError(f"the client of {self.address} was closed before.")

    def close(self) -> None:
        """Close all clients that were made here, of every event loop."""
        self._closed = True
        with self._lock:
            client, self._client = self._client, None
            loops, self._loops = self._loops, {}
        if client is not None:
            client.close()
        for loop, owned in loops.items():
            _close_in(loop, owned)

    async def aclose(self) -> None:
        """Close as `close` does, without blocking the event loop."""
        owned = self._loops.pop(asyncio.get_running_loop(), None)
        if owned is not None:
            await owned.close()
        self.close()

    def _given_in(self, loop: asyncio.AbstractEventLoop) -> Any:
        first = None if self._given_loop is None else self._given_loop()
        if self._given_loop is None:
            self._given_loop = weakref.ref(loop)
        elif first is not loop:
            raise ConfigurationError(
                f"the client of {self.address} belongs to the event loop that first used it, and "
                "this is another. Open the store with url=, which makes one for each loop."
            )
        return self._given

    def _made(self, kind: type[Any]) -> Any:
        global _grpc_process
        if self.grpc and _grpc_process is None:
            _grpc_process = os.getpid()
        return self._make(kind)

    def _check_async_grpc(self) -> None:
        if self.grpc and _grpc_process not in (None, os.getpid()):
            raise ConfigurationError(
                "gRPC cannot be used by coroutines of a process that was forked from one that used "
                "it. Use REST (without prefer_grpc), or start processes with 'spawn'."
            )

    def forget(self) -> None:
        """In a forked child: leave the clients to the parent, without running a destructor."""
        for inherited in (self._client, self._loops):
            if inherited:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
        self._begin()


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()

# By the clients in local mode, which are not made for threads.
_local_locks: weakref.WeakKeyDictionary[Any, AbstractContextManager[Any]] = (
    weakref.WeakKeyDictionary()
)

_grpc_process: int | None = None  # the first that used gRPC, of this one and its parents


def _forget_in_child() -> None:
    _local_locks.clear()  # whoever holds one does not live there
    for connection in list(_connections):
        connection.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget_in_child)


class _LoopClient:
    """A client that is closed when its event loop ends."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self.client = client

    async def begin(self, ended: Callable[[], object]) -> None:
        # An event loop closes its asynchronous generators before it ends.
        self._guard = self._until_closed(ended)
        await self._guard.__anext__()

    async def _until_closed(self, ended: Callable[[], object]) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            ended()
            await self.client.close()

    async def close(self) -> None:
        await self._guard.aclose()


def _close_in(loop: asyncio.AbstractEventLoop, owned: _LoopClient) -> None:
    """Close the client of an event loop from outside of its coroutines."""
    if loop.is_closed():
        return
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(owned.close(), loop)
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # this thread has none, so it may run that one
        loop.run_until_complete(owned.close())


def is_local(client: QdrantClient | AsyncQdrantClient) -> bool:
    """Check whether a client is its own local mode instead of a server's."""
    return isinstance(client._client, QdrantLocal | AsyncQdrantLocal)
