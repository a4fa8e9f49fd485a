"""The store over qdrant-client: a server, Qdrant Cloud, or the client's local mode."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from qdrant_client import AsyncQdrantClient, QdrantClient

from multiqa_integrations.coroutines import Threads
from multiqa_integrations.errors import ConfigurationError, StoreLockedError
from multiqa_integrations.qdrant.dual import Steps, both
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.qdrant.server import (
    collection_requests,
    point_requests,
    query_requests,
)
from multiqa_integrations.qdrant.server.calls import arun, async_sender, local_sender, run, sender
from multiqa_integrations.qdrant.server.connect import connect, connect_given
from multiqa_integrations.qdrant.server.connection import Connection
from multiqa_integrations.qdrant.server.options import (
    ConnectionOptions,
    clean_key,
    connection_options,
    parse_url,
    split_user,
)
from multiqa_integrations.qdrant.store import Store

T = TypeVar("T")
P = ParamSpec("P")

_LOOK_SECONDS = 1.0  # two requests, which would be most of what small writes cost
_WRITE_THREADS = 3  # more only make a server queue


class ServerStore(Store):
    """A store over qdrant-client. See `Store` for what its methods do.

    Any number of threads, event loops and forked processes may use it: each process and each event
    loop has a client of its own. Calls of the client's local mode are made one after the other, in
    one thread for coroutines: it is not made for threads, and never awaits.
    """

    def __init__(self, client: QdrantClient | AsyncQdrantClient) -> None:
        """Use a client of yours: `close()` leaves it open.

        It belongs to the process, and an asynchronous one to the event loop, that first used it.

        Raises:
            ConfigurationError: It is not a client of qdrant-client.
        """
        if not isinstance(client, QdrantClient | AsyncQdrantClient):
            raise ConfigurationError(
                f"client is {type(client).__name__}, expected QdrantClient or AsyncQdrantClient."
            )
        self._begin(connect_given(client), ConnectionOptions())

    def _begin(self, connection: Connection, options: ConnectionOptions) -> None:
        self._connection, self._options = connection, options
        self._owned: QdrantClient | None = None
        self._reopen: dict[str, Any] | None = None
        self.local = connection.local
        self.consistency = options.consistency
        self.look_seconds = 0.0 if connection.local else _LOOK_SECONDS
        self._thread = Threads(1, "multiqa-store")  # of local mode
        self.grpc = connection.grpc
        self.known: dict[str, CollectionInfo] = {}
        self.sizes: dict[tuple[str, str], int] = {}
        self.query_limits: dict[str, int | None] = {}
        self.version: tuple[int, int] | None = None

    @classmethod
    def open(cls, url: str, *, api_key: str | None = None, **options: Any) -> ServerStore:
        """Connect to a server.

        Args:
            url: Such as `http://localhost:6333`. Where it names no port, it is 6333. A user and
                password before the host are sent as Basic authentication.
            api_key: By default that of the environment variable QDRANT_API_KEY; "" is none.
            options: Those of `ConnectionOptions`.

        Raises:
            ConfigurationError: One of these cannot be honoured.
        """
        if isinstance(url, str):
            url, authorization = split_user(url)
            if authorization is not None:
                headers = {"Authorization": authorization, **options.get("headers", {})}
                options = {**options, "headers": headers}
        given = connection_options(options)
        key = clean_key(os.environ.get("QDRANT_API_KEY") if api_key is None else api_key)
        store = cls.__new__(cls)
        store._begin(connect(parse_url(url), key, given), given)
        store._reopen = {
            "url": url.strip(),
            "options": {name: value for name, value in options.items() if name != "headers"},
            "key_given": bool(api_key),
            "headers_given": bool(options.get("headers")),
        }
        return store

    @classmethod
    def open_local(cls, path: str | Path) -> ServerStore:
        """Open a directory of qdrant-client's local mode, to move what is in it.

        Raises:
            StoreLockedError: Another process has it open.
        """
        try:
            # Else the client asks SQLite whether threads may share it, by a connection that it
            # never closes. They may: this store's calls come one at a time.
            client = QdrantClient(path=str(path), force_disable_check_same_thread=True)
        except RuntimeError as error:
            raise StoreLockedError(f"{error}") from error
        store = cls(client)
        store._owned = client
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            raise TypeError(
                "a store over client= cannot be pickled. Open it with url=, or open it where "
                "it is needed."
            )
        return _reopen, (type(self), self._reopen)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.address!r})"

    @property
    def parallel_writes(self) -> int:
        return 1 if self.local else _WRITE_THREADS

    # --- requests: each written once, for callers that block and for coroutines ----------------

    ensure, aensure = both(collection_requests.ensure)
    supported, asupported = both(collection_requests.supported)
    check_may_create, acheck_may_create = both(collection_requests.check_may_create)
    check, acheck = both(collection_requests.check)
    collections, acollections = both(collection_requests.collections)
    info, ainfo = both(collection_requests.info)
    broken, abroken = both(collection_requests.broken)
    drop, adrop = both(collection_requests.drop)
    aliases, aaliases = both(collection_requests.aliases)
    swap, aswap = both(collection_requests.swap)
    upsert, aupsert = both(point_requests.upsert)
    retrieve, aretrieve = both(point_requests.retrieve)
    delete, adelete = both(point_requests.delete)
    annotate, aannotate = both(collection_requests.annotate)
    annotations_in_points, aannotations_in_points = both(collection_requests.annotations_in_points)
    query, aquery = both(query_requests.query)
    query_batch, aquery_batch = both(query_requests.query_batch)
    scroll, ascroll = both(point_requests.scroll)
    count, acount = both(point_requests.count)

    # --- the store itself -------------------------------------------------------------------

    def optimize(
        self, collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True
    ) -> None:
        """Do nothing: a server optimises by itself, local mode has nothing to optimise."""

    def flush(self, collection: str | None = None) -> None:
        """Do nothing: every write waited until it was applied and logged."""

    def close(self) -> None:
        self._connection.close()
        if self._owned is not None:
            self._owned.close()
        self._thread.close()

    async def aclose(self) -> None:
        await self._connection.aclose()
        self.close()

    # --- how calls are made -----------------------------------------------------------------

    def _run(self, steps: Steps[T]) -> T:
        connection = self._connection
        if self.local:
            with connection.local_lock:
                return run(local_sender(connection.client()), steps)
        return run(sender(connection, self._options), steps)

    async def _arun(self, steps: Steps[T]) -> T:
        if self.local:
            return await self._in_thread(self._run, steps)
        return await arun(async_sender(self._connection, self._options), steps)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._thread.run(work, *args, **kwargs)


def _reopen(cls: type[ServerStore], state: Mapping[str, Any]) -> ServerStore:
    if state["key_given"] and not os.environ.get("QDRANT_API_KEY"):
        raise ConfigurationError(
            f"the store of {state['url']} was opened with an API key, which is never pickled. Set "
            "QDRANT_API_KEY where it is unpickled."
        )
    if state["headers_given"]:
        raise ConfigurationError(
            f"the store of {state['url']} was opened with headers=, or a user and password, which "
            "are never pickled. Open it where it is needed."
        )
    return cls.open(state["url"], **state["options"])
