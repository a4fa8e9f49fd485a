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
import ssl
import threading
import time
import warnings
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client.local.async_qdrant_local import AsyncQdrantLocal
from qdrant_client.local.qdrant_local import QdrantLocal

from multiqa_integrations.errors import (
    ConfigurationError,
    InsecureConnectionWarning,
    StoreClosedError,
)
from multiqa_integrations.qdrant.server.options import (
    Address,
    ConnectionOptions,
    choose_grpc_port,
    proxy_of,
)

T = TypeVar("T")

MAX_ANSWER = 256 * 1024 * 1024
"""The largest answer by REST that is read, in bytes. Reads of more are cut into several."""

# A server closes connections that were idle for 5 s, so they are given up a little earlier.
_IDLE_SECONDS = 4.0


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
        self.local = given is not None and _is_local(given)
        self._make, self._given, self.grpc = make, given, grpc
        self._process = os.getpid()
        self._closed = False
        self._given_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._begin()
        _connections.add(self)

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
        self._check()
        if isinstance(self._given, QdrantClient) or self.local:
            return self._given
        with self._lock:
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
        self._check()
        loop = asyncio.get_running_loop()
        if isinstance(self._given, AsyncQdrantClient):
            return self._given_in(loop)
        with self._lock:
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]  # ended without closing what was its own
            owned = self._loops.get(loop)
        if owned is None:
            self._check_async_grpc()
            owned = _LoopClient(self._made(AsyncQdrantClient))
            self._loops[loop] = owned
            await owned.begin(lambda: self._loops.pop(loop, None))
        return owned.client

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

    def _check(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the store of {self.address} was closed before: open it again.")
        if self._given is None or self.local:
            return
        if os.getpid() != self._process:
            raise ConfigurationError(
                f"the client of {self.address} belongs to the process that made it, and this is a "
                "child of it. Open the store with url=, which makes one for each process, or make "
                "the client here."
            )
        if getattr(self._given._client, "closed", False):
            raise StoreClosedError(f"the client of {self.address} was closed before.")

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

_grpc_process: int | None = None  # the first that used gRPC, of this one and its parents


def _forget_in_child() -> None:
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


def _is_local(client: QdrantClient | AsyncQdrantClient) -> bool:
    return isinstance(client._client, QdrantLocal | AsyncQdrantLocal)


# --- making clients -----------------------------------------------------------------------------


def connect(address: Address, key: str | None, options: ConnectionOptions) -> Connection:
    """Return the connection to a server; nothing is sent yet.

    Raises:
        ConfigurationError: An option cannot be honoured.
    """
    grpc_port = choose_grpc_port(address, options)
    # Plain http needs no certificates, which take a while to load.
    encrypted = address.scheme == "https"
    context = _tls(options) if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    proxy = proxy_of(address)
    if options.prefer_grpc and proxy is not None and not proxy[1].startswith("http://"):
        raise ConfigurationError(
            f"gRPC reaches {address} through a proxy of http:// alone, and {proxy[0]} names "
            "another kind. Use REST, or name the host in NO_PROXY."
        )
    grpc_options = _grpc_options(address, options, proxy) if options.prefer_grpc else {}
    _warn_of_open_key(address, key, proxy)

    def make(kind: type[Any]) -> Any:
        asynchronous = kind is AsyncQdrantClient
        bounded: Any = _bound_async(options.timeout) if asynchronous else _bound(options.timeout)
        with warnings.catch_warnings():  # the client warns of keys for loopback too
            warnings.simplefilter("ignore", UserWarning)
            return kind(
                url=address.url,
                api_key=key,
                timeout=options.timeout,
                check_compatibility=False,
                prefer_grpc=options.prefer_grpc,
                grpc_port=grpc_port,
                grpc_options=grpc_options,
                headers={name.lower(): value for name, value in options.headers.items()},
                metadata={"accept-encoding": "identity"},  # of REST: answers are bounded
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_IDLE_SECONDS),
                event_hooks={"response": [bounded]},
                verify=context,
                # What goes to this machine goes through no proxy.
                trust_env=not address.is_loopback,
            )

    connection = Connection(
        make, str(address), proxy=proxy[0] if proxy else None, grpc=options.prefer_grpc
    )
    try:
        connection.client()
    except ImportError as error:
        raise ConfigurationError(
            f"no client for {address}: {error}. A SOCKS proxy (ALL_PROXY) needs the package "
            "socksio; without one, unset it or name the host in NO_PROXY."
        ) from error
    except (TypeError, ValueError, OSError) as error:
        raise ConfigurationError(f"no client for {connection.route}: {error}.") from error
    return connection


def connect_given(client: QdrantClient | AsyncQdrantClient) -> Connection:
    """Return the connection over a client of the user's, which stays open."""
    engine: Any = client._client

    def make(kind: type[Any]) -> Any:
        with warnings.catch_warnings():  # said once, when the first was made
            warnings.simplefilter("ignore", UserWarning)
            return kind(**{**client.init_options, "check_compatibility": False})

    where = "local mode" if _is_local(client) else str(engine.rest_uri)
    return Connection(make, where, given=client, grpc=getattr(engine, "_prefer_grpc", False))


def _tls(options: ConnectionOptions) -> ssl.SSLContext:
    try:
        context = httpx.create_ssl_context()
        if options.verify is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif options.verify is not True:
            place = Path(options.verify)
            if place.is_dir():
                context = ssl.create_default_context(capath=place)
            else:
                context = ssl.create_default_context(cafile=place)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"verify is {str(options.verify)!r}, which is not a file of certificates ({error})."
        ) from error
    certificate = options.client_certificate
    if certificate is not None:
        files = certificate if isinstance(certificate, tuple) else (certificate,)
        try:
            context.load_cert_chain(*files)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"client_certificate is {', '.join(map(str, files))}, which is not a certificate "
                f"with its key ({error})."
            ) from error
    return context


def _grpc_options(
    address: Address, options: ConnectionOptions, proxy: tuple[str, str] | None
) -> dict[str, Any]:
    milliseconds = int(options.keepalive * 1000)
    made: dict[str, Any] = {
        # A connection that was dropped on the way is found out, also where nothing is asked.
        "grpc.keepalive_time_ms": milliseconds,
        "grpc.keepalive_timeout_ms": min(milliseconds, 10_000),
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
    }
    # Its own choice would be another than that of REST.
    if proxy is not None:
        made["grpc.http_proxy"] = proxy[1]
    else:
        made["grpc.enable_http_proxy"] = 0
    if address.scheme == "https":
        files = options.files()
        if "verify" in files:
            made["root_certificates"] = _certificates(Path(files["verify"]))
        if "client_certificate" in files:
            key = files.get("client_certificate (key)", files["client_certificate"])
            made["certificate_chain"] = _read(files["client_certificate"])
            made["private_key"] = _read(key)
    return made


def _certificates(place: Path) -> bytes:
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = [_read(file) for file in files if file.is_file()]
    return b"\n".join(text for text in found if b"BEGIN CERTIFICATE" in text)


def _read(file: str | os.PathLike[str]) -> bytes:
    return Path(file).read_bytes()


def _warn_of_open_key(address: Address, key: str | None, proxy: tuple[str, str] | None) -> None:
    if key is None or not address.is_open:
        return
    through = f", and through the proxy of {proxy[0]}" if proxy else ""
    warnings.warn(
        f"the API key for {address.host} travels unencrypted over http{through}. Use an https URL.",
        InsecureConnectionWarning,
        stacklevel=5,
    )


# --- answers that are bounded -------------------------------------------------------------------


def _bound(seconds: float) -> Callable[[httpx.Response], None]:
    def bound(response: httpx.Response) -> None:
        response.stream = _Bounded(response.stream, _Limit(response, seconds))

    return bound


def _bound_async(seconds: float) -> Callable[[httpx.Response], Any]:
    async def bound(response: httpx.Response) -> None:
        response.stream = _AsyncBounded(response.stream, _Limit(response, seconds))

    return bound


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
