"""The store over qdrant-client: a server, Qdrant Cloud, or the client's local mode."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.local.async_qdrant_local import AsyncQdrantLocal
from qdrant_client.local.qdrant_local import QdrantLocal

from multiqa_integrations.errors import (
    ConfigurationError,
    InsecureConnectionWarning,
    StoreLockedError,
)
from multiqa_integrations.qdrant.dual import Steps, both
from multiqa_integrations.qdrant.schema import CollectionInfo
from multiqa_integrations.qdrant.server import requests
from multiqa_integrations.qdrant.server.calls import arun, async_sender, local_sender, run, sender
from multiqa_integrations.qdrant.store import Store

T = TypeVar("T")
P = ParamSpec("P")

_TIMEOUT_SECONDS = 30
_WRITE_THREADS = 3  # more only make a server queue


class ServerStore(Store):
    """A store over qdrant-client. See `Store` for what its methods do.

    Any number of threads may use it. Calls of the client's local mode are made one after the
    other: it is not made for threads. Its asynchronous twins use `AsyncQdrantClient`; in local
    mode, which never awaits, they go through one thread.
    """

    def __init__(self, client: QdrantClient | AsyncQdrantClient) -> None:
        """Use a client that is yours: `close()` leaves it open.

        Raises:
            ConfigurationError: It is no client of qdrant-client.
        """
        if not isinstance(client, QdrantClient | AsyncQdrantClient):
            raise ConfigurationError(
                f"client is {type(client).__name__}, expected QdrantClient or AsyncQdrantClient."
            )
        self._given = client
        self._reopen: dict[str, Any] | None = None
        self.local = isinstance(client._client, QdrantLocal | AsyncQdrantLocal)
        self._lock = threading.RLock()
        self._made: QdrantClient | None = None
        # An asynchronous client belongs to the event loop that first used it.
        self._made_async: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, AsyncQdrantClient
        ] = weakref.WeakKeyDictionary()
        self._thread: ThreadPoolExecutor | None = None
        self._address = str(getattr(client._client, "rest_uri", ""))
        self.known: dict[str, CollectionInfo] = {}

    @classmethod
    def open(cls, url: str, *, api_key: str | None = None, **client_options: Any) -> ServerStore:
        """Connect to a server.

        Args:
            url: Such as `http://localhost:6333`.
            api_key: By default that of the environment variable QDRANT_API_KEY.
            client_options: For `QdrantClient`: timeout (30 s by default), prefer_grpc, headers…

        Raises:
            ConfigurationError: The client cannot be made of these.
        """
        options = {"timeout": _TIMEOUT_SECONDS, "check_compatibility": False, **client_options}
        key = api_key or os.environ.get("QDRANT_API_KEY") or None
        if key and _travels_in_the_open(url):
            warnings.warn(
                f"the API key for {urlsplit(url).hostname} travels unencrypted over http. "
                "Use an https URL.",
                InsecureConnectionWarning,
                stacklevel=3,
            )
        try:
            with warnings.catch_warnings():  # the client warns for loopback too
                warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
                client = QdrantClient(url=url, api_key=key, **options)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"no client for {url!r}: {error}.") from error
        store = cls(client)
        store._made = client
        store._reopen = {"url": url, "options": client_options, "key_given": api_key is not None}
        return store

    @classmethod
    def open_local(cls, path: str | Path) -> ServerStore:
        """Open a directory of qdrant-client's local mode, to move what is in it.

        Raises:
            StoreLockedError: Another process has it open.
        """
        try:
            client = QdrantClient(path=str(path))
        except RuntimeError as error:
            raise StoreLockedError(f"{error}") from error
        store = cls(client)
        store._made = client
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            raise TypeError(
                "a store over client= cannot be pickled. Open it with url=, or open it where "
                "it is needed."
            )
        return _reopen, (type(self), self._reopen)

    def __repr__(self) -> str:
        engine: Any = self._given._client
        where = f"local mode, {engine.location!r}" if self.local else repr(engine.rest_uri)
        return f"{type(self).__name__}({where})"

    @property
    def parallel_writes(self) -> int:
        return 1 if self.local else _WRITE_THREADS

    def quantization(self, wanted: bool) -> dict[str, Any]:
        if not wanted:
            return {}
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
        return {"quantization_config": models.ScalarQuantization(scalar=scalar)}

    # --- requests: each written once, for callers that block and for coroutines ----------------

    ensure, aensure = both(requests.ensure)
    check, acheck = both(requests.check)
    collections, acollections = both(requests.collections)
    info, ainfo = both(requests.info)
    drop, adrop = both(requests.drop)
    aliases, aaliases = both(requests.aliases)
    swap, aswap = both(requests.swap)
    upsert, aupsert = both(requests.upsert)
    retrieve, aretrieve = both(requests.retrieve)
    delete, adelete = both(requests.delete)
    annotate, aannotate = both(requests.annotate)
    query, aquery = both(requests.query)
    query_batch, aquery_batch = both(requests.query_batch)
    scroll, ascroll = both(requests.scroll)
    count, acount = both(requests.count)

    # --- the store itself -------------------------------------------------------------------

    def optimize(
        self, collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True
    ) -> None:
        """Do nothing: a server optimises by itself, local mode has nothing to optimise."""

    def flush(self, collection: str | None = None) -> None:
        """Do nothing: every write waited until it was applied and logged."""

    def close(self) -> None:
        if self._made is not None:
            self._made.close()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    async def aclose(self) -> None:
        made = self._made_async.pop(asyncio.get_running_loop(), None)
        if made is not None:
            await made.close()
        self.close()

    # --- how calls are made -----------------------------------------------------------------

    def _run(self, steps: Steps[T]) -> T:
        if self.local:
            with self._lock:
                return run(local_sender(self._given), steps)
        return run(sender(self._client, self._address), steps)

    async def _arun(self, steps: Steps[T]) -> T:
        if self.local:
            return await self._in_thread(self._run, steps)
        return await arun(async_sender(self._async_client, self._address, None), steps)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="multiqa-store")
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, functools.partial(work, *args, **kwargs)
        )

    def _client(self) -> QdrantClient:
        if isinstance(self._given, QdrantClient):
            return self._given
        with self._lock:
            if self._made is None:
                self._made = _twin(QdrantClient, self._given)
            return self._made

    def _async_client(self) -> AsyncQdrantClient:
        if isinstance(self._given, AsyncQdrantClient):
            return self._given
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._made_async:
                self._made_async[loop] = _twin(AsyncQdrantClient, self._given)
            return self._made_async[loop]


def _twin(kind: type[T], client: Any) -> T:
    with warnings.catch_warnings():  # said once, when the first was made
        warnings.simplefilter("ignore", UserWarning)
        return kind(**{**client.init_options, "check_compatibility": False})


def _reopen(cls: type[ServerStore], how: Mapping[str, Any]) -> ServerStore:
    if how["key_given"] and not os.environ.get("QDRANT_API_KEY"):
        raise ConfigurationError(
            f"the store of {how['url']} was opened with an API key, which is never pickled. Set "
            "QDRANT_API_KEY where it is unpickled."
        )
    return cls.open(how["url"], **how["options"])


def _travels_in_the_open(url: str) -> bool:
    parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
