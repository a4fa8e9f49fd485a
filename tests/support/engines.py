"""Every engine that the tests run on: how an empty store of it is opened and closed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient

from multiqa_integrations.qdrant import EdgeStore, ServerStore, Store, open_store

# "http" is the client's in-memory mode behind REST, as servers are spoken to. The client's mode
# on disk is the one in memory with SQLite beside it: only tests of persistence need it.
ENGINES = [
    *["edge", "memory", "http"],
    pytest.param("server", marks=pytest.mark.server),
    pytest.param("server-grpc", marks=pytest.mark.server),
]


@dataclass(frozen=True)
class Server:
    """A real Qdrant server."""

    url: str
    grpc_port: int
    api_key: str | None

    def open(self, **options: Any) -> Store:
        return open_store(url=self.url, api_key=self.api_key, grpc_port=self.grpc_port, **options)


def local_client(path: Path) -> QdrantClient:
    """Open the client's mode on disk, without the probe that leaves a connection open."""
    return QdrantClient(path=str(path), force_disable_check_same_thread=True)


def new_name() -> str:
    """Return a name that no collection has, on a server that others use too."""
    return f"test-{uuid.uuid4().hex[:12]}"


@contextmanager
def open_engine(engine: str, path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Open a store of an engine, and close it at the end.

    Stand-in and real server are shared by a whole run: name collections as no other test does.
    """
    if engine == "edge":
        with EdgeStore(path) as store:
            yield store
    elif engine in ("memory", "local"):
        client = QdrantClient(":memory:") if engine == "memory" else local_client(path)
        with closing(client), ServerStore(client) as store:
            yield store
    elif engine == "http":
        with open_store(url=request.getfixturevalue("stand_in").url) as opened:
            yield opened
    else:
        server: Server = request.getfixturevalue("server")
        with server.open(prefer_grpc=engine == "server-grpc") as opened:
            yield opened


# --- every way to an engine, for the conversation that all of them must understand --------------


@dataclass(frozen=True)
class Way:
    """A way to an engine.

    Attributes:
        engine: `edge`, `memory`, `disk`; `http`, which is the stand-in; or `server`.
        grpc: By gRPC, not REST.
        client: Whose client: `ours`, or one of the user's that is `given` or `given async`.
        calls: By methods, `sync`, or by coroutines, `async`.
    """

    engine: str
    grpc: bool = False
    client: str = "ours"
    calls: str = "sync"

    def __str__(self) -> str:
        transport = (
            "" if self.engine not in ("http", "server") else "-grpc" if self.grpc else "-rest"
        )
        client = "" if self.client == "ours" else f"-{self.client.replace(' ', '-')}"
        return f"{self.engine}{transport}{client}-{self.calls}"

    @contextmanager
    def open(self, path: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
        """Yield what `Collection.open` takes for it; a user's client is closed by its user."""
        if self.engine in ("edge", "disk", "memory"):
            if self.engine == "edge":
                yield {"path": path}
            elif self.client == "given async":
                yield {"client": AsyncQdrantClient(":memory:")}
            else:
                local = QdrantClient(":memory:") if self.engine == "memory" else local_client(path)
                with closing(local):
                    yield {"client": local}
            return
        url, key, options = self._address(request)
        if self.client == "ours":
            yield {"url": url, "api_key": key, **options}
        elif self.client == "given async":
            yield {"client": AsyncQdrantClient(url, api_key=key, **options, **_QUIET)}
        else:
            with closing(QdrantClient(url, api_key=key, **options, **_QUIET)) as given:
                yield {"client": given}

    def _address(self, request: pytest.FixtureRequest) -> tuple[str, str | None, dict[str, Any]]:
        if self.engine == "http":
            return request.getfixturevalue("stand_in").url, None, {}
        server: Server = request.getfixturevalue("server")
        # gRPC's own resolver does not know the short form, which ours is spared.
        url = (
            server.url if self.client == "ours" else server.url.replace("//127.1:", "//127.0.0.1:")
        )
        return url, server.api_key, {"prefer_grpc": self.grpc, "grpc_port": server.grpc_port}


_QUIET: dict[str, Any] = {"check_compatibility": False}
_CLIENTS = (("ours", "sync"), ("ours", "async"), ("given", "sync"), ("given", "async"),
            ("given async", "async"))  # fmt: skip

WAYS = [
    *(Way("edge", calls=calls) for calls in ("sync", "async")),
    *(Way("disk", client="given", calls=calls) for calls in ("sync", "async")),
    *(Way("memory", client=client, calls=calls) for client, calls in _CLIENTS[2:]),
    *(Way("http", client=client, calls=calls) for client, calls in _CLIENTS),
    *(
        pytest.param(Way("server", grpc, client, calls), marks=pytest.mark.server)
        for grpc in (False, True)
        for client, calls in _CLIENTS
    ),
]
