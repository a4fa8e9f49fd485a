"""Every engine that the tests run on: how an empty store of it is opened and closed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from multiqa_integrations.qdrant import EdgeStore, ServerStore, Store, open_store
from tests.support.loopback_qdrant import LoopbackQdrant

ENGINES = [
    *["edge", "memory", "local", "http"],
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


def docker_works() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def open_engine(engine: str, path: Path, request: pytest.FixtureRequest) -> Store:
    """Open an empty store of an engine.

    The embedded one; the client's local modes; the same behind REST, as servers are spoken to;
    a real server by REST and by gRPC, where there is one.
    """
    if engine == "edge":
        return EdgeStore(path)
    if engine == "memory":
        return ServerStore(QdrantClient(":memory:"))
    if engine == "local":
        return ServerStore(QdrantClient(path=str(path)))
    if engine == "http":
        return open_store(url=LoopbackQdrant().start().url)
    found: Server = request.getfixturevalue("server")
    return found.open(prefer_grpc=engine == "server-grpc")


def close_engine(store: Store) -> None:
    store.close()
    if isinstance(store, ServerStore):
        store._given.close()
