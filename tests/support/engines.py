"""Every engine that the tests run on: how an empty store of it is opened and closed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

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
