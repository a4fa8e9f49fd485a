"""Connections: addresses, keys and options; and who owns which client.

Connections are made to 127.1, a name of this machine whose connections the client keeps alive as
those of any other host; it does not for "localhost" and "127.0.0.1".
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient

from multiqa_integrations.errors import (
    ConfigurationError,
    InsecureConnectionWarning,
    MultiQAError,
    StoreClosedError,
    StoreUnavailableError,
)
from multiqa_integrations.etl import JobOptions, plan, sync, verify
from multiqa_integrations.langchain import MultiQAEmbeddings
from multiqa_integrations.langchain import MultiQAVectorStore as LangChainStore
from multiqa_integrations.llama_index import MultiQAEmbedding
from multiqa_integrations.llama_index import MultiQAVectorStore as LlamaIndexStore
from multiqa_integrations.qdrant import Collection, CollectionSchema, ServerStore, open_store
from multiqa_integrations.qdrant.failures import TooLargeError
from multiqa_integrations.qdrant.retry import retrying
from multiqa_integrations.qdrant.server import bounds
from multiqa_integrations.qdrant.server.connection import Connection
from multiqa_integrations.qdrant.server.options import (
    ConnectionOptions,
    choose_grpc_port,
    clean_key,
    parse_url,
    proxy_of,
)
from multiqa_integrations.testing import FakeEncoder
from tests.support import fork_a_store
from tests.support.loopback_qdrant import LoopbackQdrant

SCHEMA = CollectionSchema(fingerprint="f")
SECRET = "s3cret"


@pytest.fixture
def url(loopback: LoopbackQdrant) -> str:
    address = f"http://127.1:{loopback.server.server_port}"
    with open_store(url=address) as store:
        store.ensure("docs", SCHEMA)
    return address


# --- addresses, keys, options -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:6333", "http://localhost:6333"),
        ("localhost", "http://localhost:6333"),
        ("localhost:7000", "http://localhost:7000"),
        ("  https://db.example.org \n", "https://db.example.org:6333"),
        ("https://db.example.org:443/qdrant/", "https://db.example.org:443/qdrant"),
        ("http://[::1]:6333", "http://[::1]:6333"),
        ("HTTP://DB.example.org", "http://db.example.org:6333"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert str(parse_url(url)) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "expected http:// or https://"),
        ("//big", "expected http:// or https://"),
        ("https//x", "expected http:// or https://"),
        ("db.example.org:6333", "expected http:// or https://"),
        ("ftp://localhost", "expected http:// or https://"),
        ("http://", "expected http:// or https://"),
        ("http://a b", "expected http:// or https://"),
        ("http://a:99999", "not an address"),
        ("http://a:port", "not an address"),
        ("http://[::1", "not an address"),
        (f"http://user:{SECRET}@db", "api_key="),
        (f"http://{SECRET}@db", "api_key="),
        (f"user:{SECRET}@db:6333", "api_key="),
        (f"http://user:{SECRET}/@db", "api_key="),
        (f"http://user:{SECRET}", "not an address"),
        (f"https://db?api_key={SECRET}", "query"),
        (f"https://db/#{SECRET}", "fragment"),
        (f"https://db/{SECRET}@x", "api_key="),
        (f"https://db/;api_key={SECRET}", "parameters"),
        (f"https://db/x&api_key={SECRET}", "parameters"),
        (f"https://db%3Fapi_key={SECRET}", "not an address"),
        (f"https://db/%3Fapi_key%3D{SECRET}", "parameters"),
        (f"https://user%3A{SECRET}%40db", "not an address"),
        (f"https://user:{SECRET}%40db:6333", "not an address"),
        (f"https://user:{SECRET}\uff20db", "not an address"),
        (SECRET, "not an address"),
        (None, "url is NoneType"),
        (6333, "url is int"),
    ],
)
def test_what_is_no_address(url: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_url(url)
    assert SECRET not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost.example.org", False),
        ("127.example.org", False),
        ("10.1", False),
        ("11.0.0.1", False),
    ],
)
def test_what_is_this_machine(host: str, loopback: bool) -> None:
    assert parse_url(f"http://{host}").is_loopback is loopback


@pytest.mark.parametrize(
    ("key", "cleaned"),
    [(None, None), ("", None), (" \n", None), (f"{SECRET}\r\n", SECRET), (f" {SECRET}", SECRET)],
)
def test_keys(key: object, cleaned: str | None) -> None:
    assert clean_key(key) == cleaned


@pytest.mark.parametrize("key", [f"{SECRET}\nX: y", f"{SECRET} b", f"{SECRET}\0", f"{SECRET}é", 7])
def test_keys_that_cannot_be_sent_are_not_shown(key: object) -> None:
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        open_store(url="http://127.1:1", api_key=key)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


def test_an_empty_key_is_none_and_not_the_environments(
    url: str, loopback: LoopbackQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    for key, sent in (("", None), (None, SECRET), ("other", "other")):
        with open_store(url=url, api_key=key) as store:
            store.collections()
        assert loopback.headers[-1].get("api-key") == sent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_out": 3}, "time_out: a connection has no such option"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": "5"}, "timeout is '5'"),
        ({"timeout": None}, "timeout is None"),
        ({"wait": -1}, "wait is -1"),
        ({"keepalive": 0}, "keepalive is 0"),
        ({"prefer_grpc": "yes"}, "prefer_grpc is 'yes'"),
        ({"grpc_port": 70_000}, "grpc_port is 70000"),
        ({"grpc_port": True}, "grpc_port is True"),
        ({"headers": ["a"]}, "headers is list"),
        ({"headers": {"a b": "c"}}, "not a valid header name"),
        ({"headers": {"X-Token": f"{SECRET}\n"}}, "not shown"),
        ({"headers": {"X-Token": 7}}, "not shown"),
        ({"verify": "missing.pem"}, r"verify \(--ca\) is 'missing.pem', and there is no such file"),
        ({"client_certificate": "c.pem"}, r"client_certificate \(--client-cert\) is 'c.pem'"),
        ({"client_certificate": (__file__, "k.pem")}, "k.pem"),
        ({"verify": False, "prefer_grpc": True}, "not possible with gRPC"),
        ({"consistency": "most"}, "consistency is 'most'"),
        ({"consistency": 0}, "consistency is 0"),
        ({"ordering": "any"}, "ordering is 'any'"),
        ({"prefer_grpc": True}, "needs grpc_port="),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_options_that_cannot_be_honoured(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(url="http://127.1:1234", **options)
    assert SECRET not in str(caught.value)


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    given: list[dict[str, Any]] = [{"verify": file}, {"client_certificate": file}]
    for options in given:
        with pytest.raises(ConfigurationError, match=rf"{next(iter(options))} \(--.*\) is "):
            open_store(url="https://127.1:1234", **options)


def test_ports_of_grpc() -> None:
    options = ConnectionOptions(prefer_grpc=True)
    assert choose_grpc_port(parse_url("http://db"), options) == 6334
    assert choose_grpc_port(parse_url("http://db:6333"), options) == 6334
    given = ConnectionOptions(prefer_grpc=True, grpc_port=7334)
    assert choose_grpc_port(parse_url("http://db:7333"), given) == 7334


# --- options through every door -----------------------------------------------------------------


def _collection(url: str, **options: Any) -> None:
    Collection.open("docs", url=url, encoder=FakeEncoder(), **options).close()


def _langchain(url: str, **options: Any) -> None:
    embedding = MultiQAEmbeddings(encoder=FakeEncoder())
    LangChainStore(embedding, "langchain", url=url, **options).close()


def _sync(url: str, **options: Any) -> None:
    sync([{"id": 1, "text": "one"}], "synced", url=url, encoder=FakeEncoder(), **options)


def _plan(url: str, **options: Any) -> None:
    plan([{"id": 1, "text": "one"}], "synced", url=url, encoder=FakeEncoder(), **options)


def _verify(url: str, **options: Any) -> None:
    _sync(url, **options)
    verify([{"id": 1, "text": "one"}], "synced", url=url, encoder=FakeEncoder(), **options)


Door = Callable[..., None]
DOORS = [_collection, _langchain, _sync, _plan, _verify]


@pytest.mark.parametrize("door", DOORS)
def test_options_reach_the_server_through_every_door(door: Door, loopback: LoopbackQdrant) -> None:
    door(loopback.url, headers={"X-Tenant": "a"}, timeout=7.0)
    assert {headers.get("x-tenant") for headers in loopback.headers} == {"a"}


@pytest.mark.parametrize("door", DOORS)
def test_options_that_nothing_takes_are_refused_whether_or_not_there_is_a_collection(
    door: Door, loopback: LoopbackQdrant
) -> None:
    with pytest.raises(ConfigurationError, match="time_out"):
        door(loopback.url, time_out=3)
    door(loopback.url)
    with pytest.raises(ConfigurationError, match="time_out"):
        door(loopback.url, time_out=3)


def test_options_through_llama_index(test_model: Path, loopback: LoopbackQdrant) -> None:
    settings: dict[str, Any] = {
        "url": loopback.url,
        "embedding": MultiQAEmbedding(model_name=str(test_model)),
    }
    store = LlamaIndexStore("docs", headers={"X-Tenant": "a"}, **settings)
    assert {headers.get("x-tenant") for headers in loopback.headers} == {"a"}
    assert "X-Tenant" not in str(store.to_dict()), "it may be a secret"
    store.close()
    with pytest.raises(ConfigurationError, match="time_out"):
        LlamaIndexStore("docs", time_out=3, **settings)


def test_options_of_a_connection_do_not_go_with_others(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="timeout: these go with url"):
        Collection.open("docs", path=tmp_path, encoder=FakeEncoder(), timeout=3)
    with (
        open_store(url=url) as store,
        pytest.raises(ConfigurationError, match="store comes without"),
    ):
        Collection.open("docs", store=store, encoder=FakeEncoder(), timeout=3)


# --- the way there ------------------------------------------------------------------------------


def test_what_goes_to_this_machine_goes_through_no_proxy(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with open_store(url=url, api_key=SECRET) as store:
        assert "docs" in store.collections()
        assert "docs" in asyncio.run(store.acollections())


def test_a_key_through_a_proxy_in_the_open_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.warns(InsecureConnectionWarning, match="through the proxy"):
        open_store(url="http://db.example.org", api_key=SECRET).close()


def test_a_socks_proxy_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigurationError, match="ALL_PROXY"):
        open_store(url="https://db.example.org")


@pytest.mark.parametrize(
    ("url", "environment", "variable"),
    [
        ("https://db.example.org", {"https_proxy": "http://p:1", "all_proxy": "x"}, "HTTPS_PROXY"),
        ("http://db.example.org", {"https_proxy": "http://p:1"}, None),
        ("http://db.example.org", {"ALL_PROXY": "http://p:1"}, "ALL_PROXY"),
        ("http://127.1", {"ALL_PROXY": "http://p:1"}, None),
        ("http://db.example.org", {"ALL_PROXY": "http://p:1", "NO_PROXY": "example.org"}, None),
    ],
)
def test_which_proxy_is_used(
    url: str, environment: dict[str, str], variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_of(parse_url(url))
    assert found == (None if variable is None else (variable, "http://p:1"))


def test_grpc_goes_around_no_proxy_that_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"socks5://user:{SECRET}@127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="ALL_PROXY names another kind") as caught:
        open_store(url="https://db.example.org", prefer_grpc=True)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"prefer_grpc": True}], ids=["rest", "grpc"])
def test_an_error_names_the_proxy_on_the_way(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{free.getsockname()[1]}")
    with open_store(url="https://db.example.org", **options) as store, retrying(0):
        with pytest.raises(StoreUnavailableError, match="through the proxy of HTTPS_PRO") as caught:
            store.collections()
        assert SECRET not in str(caught.value)


class Raw:
    """A server that answers every request with the same bytes."""

    def __init__(self, answer: bytes, chunk: int = 1 << 20, pause: float = 0.0) -> None:
        self.answer, self.chunk, self.pause = answer, chunk, pause
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.1:{self.socket.getsockname()[1]}"
        self.done = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                talk, _ = self.socket.accept()
            except OSError:
                return
            with talk:
                talk.recv(65_536)
                try:
                    for start in range(0, len(self.answer), self.chunk):
                        talk.sendall(self.answer[start : start + self.chunk])
                        self.done.wait(self.pause)
                except OSError:
                    pass


def http(body: bytes, **headers: object) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (Raw(http(b" " * 3_000_000)), TooLargeError, "larger than"),
        (Raw(http(b" " * 100), chunk=1, pause=0.05), StoreUnavailableError, "time limit"),
        (Raw(http(b"x", Content_Encoding="gzip")), StoreUnavailableError, "compressed"),
        (Raw(http(b"{}")), StoreUnavailableError, "no Qdrant answers"),
        (Raw(http(b'{"result": 7}')), StoreUnavailableError, "no Qdrant answers"),
        (Raw(http(b"\xff\xfe")), StoreUnavailableError, "no Qdrant answers"),
        (Raw(b"SSH-2.0-OpenSSH\r\n"), StoreUnavailableError, "127.1"),
        (Raw(b""), StoreUnavailableError, "127.1"),
    ],
    ids=["large", "slow", "compressed", "empty", "other", "bytes", "ssh", "closed"],
)
def test_hostile_answers_are_bounded(
    raw: Raw,
    kind: type[Exception],
    message: str,
    asynchronous: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "MAX_ANSWER", 1_000_000)
    with open_store(url=raw.url, timeout=1) as store, retrying(0):
        with pytest.raises(kind, match=message) as caught:
            asyncio.run(store.acollections()) if asynchronous else store.collections()
        assert raw.url in str(caught.value)


# --- processes ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("given", ["own", "given"])
def test_children_have_clients_of_their_own(url: str, loopback: LoopbackQdrant, given: str) -> None:
    with open_store(url=url) as store:
        store.upsert("docs", fork_a_store.points())
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(fork_a_store.__file__), url, given],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "done\n", done.stdout + done.stderr


# --- event loops --------------------------------------------------------------------------------


def test_the_clients_of_loops_that_ended_are_closed(url: str, loopback: LoopbackQdrant) -> None:
    store = open_store(url=url)

    async def job() -> None:
        await asyncio.gather(*(store.acount("docs") for _ in range(5)))

    for _ in range(20):
        asyncio.run(job())
        loopback.wait_for_connections(0)
    store.close()


def test_close_closes_the_clients_of_every_loop(url: str, loopback: LoopbackQdrant) -> None:
    store = open_store(url=url)
    store.count("docs")
    idle = asyncio.new_event_loop()
    idle.run_until_complete(store.acount("docs"))
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(store.acount("docs"), running).result()
    assert loopback.server.connections == 3
    store.close()
    loopback.wait_for_connections(0)
    running.call_soon_threadsafe(running.stop)
    thread.join()
    idle.close()
    running.close()


async def test_a_given_client_in_another_loop_is_refused(url: str) -> None:
    client = AsyncQdrantClient(url=url, check_compatibility=False)
    store = open_store(client=client)
    await store.acount("docs")

    def in_another_loop() -> None:
        with pytest.raises(ConfigurationError, match="event loop that first used it"):
            asyncio.run(store.acount("docs"))

    await asyncio.to_thread(in_another_loop)
    assert await asyncio.to_thread(store.count, "docs") >= 0, "callers that block have their own"
    await store.aclose()
    await client.close()


# --- after the end ------------------------------------------------------------------------------


def test_use_after_close_is_told_at_once(url: str) -> None:
    collection = Collection.open("closing", url=url, encoder=FakeEncoder())
    collection.close()
    for call in (
        lambda: collection.add(["one more"]),
        lambda: collection.search("text"),
        collection.count,
        lambda: asyncio.run(collection.acount()),
        lambda: asyncio.run(collection.aadd(["one more"])),
        lambda: sync([], "closing", store=collection.store, encoder=FakeEncoder()),
    ):
        with pytest.raises(StoreClosedError, match="closed"):
            call()


async def test_use_after_aclose_is_told_at_once(url: str) -> None:
    store = open_store(url=url)
    await store.acount("docs")
    await store.aclose()
    with pytest.raises(StoreClosedError):
        await store.acount("docs")


def test_a_given_client_that_was_closed(url: str) -> None:
    client = QdrantClient(url=url, check_compatibility=False)
    store = open_store(client=client)
    store.count("docs")
    client.close()
    with pytest.raises(StoreClosedError, match="closed"):
        store.count("docs")


def test_a_local_client_that_was_closed() -> None:
    """Each of its points was said to be refused."""
    client = QdrantClient(":memory:")
    collection = Collection.open("docs", encoder=FakeEncoder(), client=client)
    client.close()
    for call in (lambda: collection.add(["one more"]), collection.count):
        with pytest.raises(StoreClosedError, match="closed"):
            call()


def test_closed_before_its_client_is_made(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client that was made then stayed open."""
    for make in (Connection.client, lambda c: asyncio.run(c.async_client())):
        store = ServerStore.open(url)
        check = store._connection.check

        def check_and_close(check: Any = check, store: ServerStore = store) -> None:
            check()
            store.close()

        monkeypatch.setattr(store._connection, "check", check_and_close)
        with pytest.raises(StoreClosedError, match="closed before"):
            make(store._connection)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not say if it is cancelled")
async def test_closed_while_a_coroutine_waits_for_grpc(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's task was cancelled: gRPC cancels the calls of a client that is closed."""
    store = open_store(url=url)
    begun = asyncio.Event()
    cancelled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def count(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        return await cancelled

    monkeypatch.setattr(AsyncQdrantClient, "count", count)
    waiting = asyncio.create_task(store.acount("docs"))
    await begun.wait()
    await store.aclose()
    cancelled.cancel()
    with pytest.raises(StoreClosedError, match="closed before"):
        await waiting


async def test_cancelled_before_it_is_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(url=url)
    begun = asyncio.Event()

    async def count(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(AsyncQdrantClient, "count", count)
    waiting = asyncio.create_task(store.acount("docs"))
    await begun.wait()
    waiting.cancel()
    store.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_options_show_no_secret() -> None:
    options = ConnectionOptions(headers={"Authorization": f"Bearer {SECRET}"})
    job = JobOptions(
        url=f"http://user:{SECRET}@db", api_key=SECRET, connection={"headers": {"x": SECRET}}
    )
    assert SECRET not in f"{options} {job}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(options)
    assert pickle.loads(pickle.dumps(ConnectionOptions(timeout=5))).timeout == 5


def test_no_message_of_a_failed_connection_has_the_key(url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.1:{free.getsockname()[1]}"
    for where in (nobody, url):
        with open_store(url=where, api_key=SECRET) as store, retrying(0):
            with pytest.raises(MultiQAError) as caught:
                store.count("nowhere")
            error = caught.value
            assert SECRET not in f"{error!r} {error.__cause__!r} {store!r}"
            assert where in str(error)
