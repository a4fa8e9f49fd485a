"""The store over qdrant-client: connections, secrets, threads, event loops."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient

from multiqa_integrations.errors import (
    ConfigurationError,
    InsecureConnectionWarning,
    StoreError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant import (
    CollectionSchema,
    Point,
    PointQuery,
    ServerStore,
    open_store,
)
from multiqa_integrations.qdrant.retry import retrying

KEY = "a-very-secret-key"
SCHEMA = CollectionSchema(fingerprint="f")
VECTOR = np.eye(384, dtype=np.float32)[0]


class Refusals(BaseHTTPRequestHandler):
    """Answers every request with the same refusal."""

    status: ClassVar[int] = 401
    body: ClassVar[bytes] = b"Must provide an API key or an Authorization bearer token"
    keys: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.keys.append(self.headers.get("api-key"))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusals)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (401, b"Must provide an API key", StoreError, "QDRANT_API_KEY"),
        (403, b'{"status": {"error": "Forbidden: read only"}}', StoreError, "Forbidden: read only"),
        (500, b"<html>oops</html>", StoreUnavailableError, "500: oops"),
        (503, b"", StoreUnavailableError, "503: Service Unavailable"),
        (429, b'{"status": {"error": "slow down"}}', StoreUnavailableError, "429: slow down"),
        (
            400,
            b'{"status": {"error": "Bad request: index required"}}',
            StoreError,
            "index required",
        ),
        (200, b"not json", StoreError, "collection_exists"),
    ],
)
def test_refusals(
    refusing: str, status: int, body: bytes, kind: type[Exception], message: str
) -> None:
    Refusals.status, Refusals.body = status, body
    with open_store(url=refusing) as store, retrying(0):
        with pytest.raises(kind, match=message) as caught:
            store.ensure("docs", SCHEMA)
        assert caught.value.__cause__ is not None
        with pytest.raises(kind, match=message):
            asyncio.run(store.aensure("docs", SCHEMA))


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with open_store(url=url) as store, retrying(0):
        with pytest.raises(StoreUnavailableError, match="Is the server up"):
            store.collections()
        with pytest.raises(StoreUnavailableError, match="Is the server up"):
            asyncio.run(store.acollections())


def test_too_slow() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            open_store(url=url, timeout=1) as store,
            retrying(0),
            pytest.raises(StoreUnavailableError, match="the time limit long enough"),
        ):
            store.count("docs")


# --- secrets ----------------------------------------------------------------------------------


def test_the_key_goes_to_the_server_and_nowhere_else(
    refusing: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusals.status, Refusals.body = 401, b"no"
    Refusals.keys.clear()
    caplog.set_level(logging.DEBUG)
    store = open_store(url=refusing, api_key=KEY)
    with pytest.raises(StoreError) as caught:
        store.collections()
    assert Refusals.keys == [KEY]
    seen = [repr(store), str(store), str(caught.value), repr(caught.value), caplog.text]
    seen += [repr(caught.value.__cause__), str(caught.value.__cause__)]
    monkeypatch.setenv("QDRANT_API_KEY", "of-the-environment")
    pickled = pickle.dumps(store)
    assert not [text for text in seen if KEY in text]
    assert KEY.encode() not in pickled
    # In another process the key comes from the environment.
    with pytest.raises(StoreError):
        pickle.loads(pickled).collections()
    assert Refusals.keys[-1] == "of-the-environment"
    monkeypatch.delenv("QDRANT_API_KEY")
    with pytest.raises(ConfigurationError, match="Set QDRANT_API_KEY"):
        pickle.loads(pickled)


@pytest.mark.parametrize("way", ["headers", "user and password"])
def test_secrets_of_other_ways_are_in_no_pickle_and_message(refusing: str, way: str) -> None:
    Refusals.status, Refusals.body = 401, b"no"
    store = (
        open_store(url=refusing, headers={"Authorization": f"Bearer {KEY}"})
        if way == "headers"
        else open_store(url=refusing.replace("://", f"://user:{KEY}@"))
    )
    with pytest.raises(StoreError) as caught:
        store.collections()
    pickled = pickle.dumps(store)
    assert KEY.encode() not in pickled
    assert base64.b64encode(f"user:{KEY}".encode()) not in pickled
    assert isinstance(store, ServerStore)
    assert KEY not in f"{store!r} {caught.value} {caught.value.__cause__!r} {store._options!r}"
    with pytest.raises(ConfigurationError, match="Open it where it is needed"):
        pickle.loads(pickled)
    for address in (f"http://user:{KEY}@127.0.0.1:99999999", f"ftp://user:{KEY}@localhost"):
        with pytest.raises(ConfigurationError) as refused:
            open_store(url=address)
        assert KEY not in f"{refused.value} {refused.value!r} {refused.value.__cause__!r}"


def test_the_key_of_the_environment(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Refusals.status = 401
    Refusals.keys.clear()
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    store = open_store(url=refusing)
    with pytest.raises(StoreError):
        store.collections()
    with pytest.raises(StoreError):
        asyncio.run(store.acollections())
    assert Refusals.keys == [KEY, KEY]


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://qdrant.example.org:6333", True),
        ("http://10.0.0.7:6333", True),
        ("https://qdrant.example.org:6333", False),
        ("http://localhost:6333", False),
        ("http://127.0.0.1:6333", False),
        ("http://[::1]:6333", False),
    ],
)
def test_a_key_over_plain_http_warns(url: str, warned: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_store(url=url, api_key=KEY).close()
        open_store(url=url).close()
    expected = [InsecureConnectionWarning] if warned else []
    assert [warning.category for warning in caught] == expected
    assert KEY not in "".join(str(warning.message) for warning in caught)


# --- opening ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got none"),
        ({"url": "http://localhost:6333", "path": "x"}, "got url and path"),
        ({"path": "x", "api_key": KEY}, "api_key: these go with url, not with path"),
        ({"path": "x", "prefer_grpc": True}, "prefer_grpc: these go with url"),
        ({"client": object()}, "client is object"),
        ({"url": "ftp://localhost"}, "expected http:"),
        ({"url": "http://localhost:6333", "colour": "red"}, "colour"),
    ],
)
def test_bad_ways_to_open(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(**arguments).collections()
    assert KEY not in str(caught.value)


def test_a_client_of_yours_stays_open_and_is_not_pickled() -> None:
    client = QdrantClient(":memory:")
    with open_store(client=client) as store:
        store.ensure("docs", SCHEMA)
    assert client.collection_exists("docs")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(ServerStore(client))


# --- threads and event loops ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [QdrantClient, AsyncQdrantClient])
def test_local_mode_is_used_by_one_thread_at_a_time(kind: type[Any]) -> None:
    store = open_store(client=kind(":memory:"))
    store.ensure("docs", SCHEMA)

    def write_and_read(worker: int) -> int:
        for number in range(20):
            one = worker * 100 + number
            store.upsert("docs", [Point(one, {"": VECTOR}, {"n": one})])
            assert store.retrieve("docs", [one])[0].payload == {"n": one}
            store.query("docs", PointQuery(vector=VECTOR, limit=3))
        return store.count("docs")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_read, range(8)))
    assert store.count("docs") == 160
    store.close()


@pytest.mark.parametrize("kind", [QdrantClient, AsyncQdrantClient])
async def test_local_mode_never_holds_the_event_loop(kind: type[Any]) -> None:
    store = open_store(client=kind(":memory:"))
    await store.aensure("docs", SCHEMA)
    vectors = np.random.default_rng(0).standard_normal((3000, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = [Point(n, {"": vector}) for n, vector in enumerate(vectors)]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    await store.aupsert("docs", points)
    turning.cancel()
    # Were the loop held, it would have turned once or twice.
    assert turns > 20
    await store.aclose()


def test_one_store_serves_several_event_loops(refusing: str) -> None:
    Refusals.status, Refusals.body = (
        404,
        json.dumps({"status": {"error": "Not found: no `docs`"}, "time": 0.1}).encode(),
    )
    store = open_store(url=refusing)
    for _ in range(3):
        assert asyncio.run(store.ainfo("docs")) is None
    from_async = open_store(client=AsyncQdrantClient(url=refusing, check_compatibility=False))
    assert from_async.info("docs") is None
