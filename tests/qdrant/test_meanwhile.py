"""What others create, close and drop between two steps of a call."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionNotFoundError,
    StoreClosedError,
    StoreUnavailableError,
)
from multiqa_integrations.qdrant import CollectionSchema, EdgeStore, Point, PointQuery, ServerStore
from multiqa_integrations.qdrant.edge import create, files, ranking, registry, settings
from multiqa_integrations.qdrant.points import PointId

SCHEMA = CollectionSchema(fingerprint="sha256:ours/mean/l2")
OTHER = CollectionSchema(fingerprint="sha256:other/mean/l2")
VECTOR = np.eye(1, 384, dtype=np.float32)[0]
POINT = Point(1, {"": VECTOR})


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    return EdgeStore(tmp_path / "store")


@pytest.fixture
def other(store: EdgeStore) -> EdgeStore:
    """Somebody else's store of the same directory."""
    return EdgeStore(store.path)


def after_the_look(patch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Have something happen right after the next look at whether a collection is there."""
    look, done = files.exists, threading.Event()

    def exists(directory: Path) -> bool:
        found = look(directory)
        if not done.is_set():
            done.set()
            work()
        return found

    patch.setattr(files, "exists", exists)


def test_created_while_it_is_looked_for(
    store: EdgeStore, other: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to have lost its description, and to be deleted."""
    glob = Path.glob

    def create_and_glob(self: Path, pattern: str) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "glob", glob)
            other.ensure("docs", SCHEMA)
        return glob(self, pattern)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", create_and_glob)
        assert files.exists(store.path / "docs")
    assert not store.ensure("docs", SCHEMA).created


def test_created_after_the_look(
    store: EdgeStore, other: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_look(monkeypatch, lambda: other.ensure("docs", SCHEMA))
    assert not store.ensure("docs", SCHEMA).created


def test_created_and_dropped_after_the_look(
    store: EdgeStore, other: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, look = create._move, files.exists

    def drop_and_look(directory: Path) -> bool:
        monkeypatch.setattr(files, "exists", look)
        return other.drop("docs") and look(directory)

    def move_later(making: Path, directory: Path) -> bool:
        monkeypatch.setattr(create, "_move", move)
        other.ensure("docs", OTHER)  # in the way, until it is looked at
        monkeypatch.setattr(files, "exists", drop_and_look)
        return move(making, directory)

    monkeypatch.setattr(create, "_move", move_later)
    assert store.ensure("docs", SCHEMA).created
    assert store.check("docs", SCHEMA).fingerprint == "matches"


def test_dropped_after_the_look(
    store: EdgeStore, other: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call, answer in ((store.info, None), (store.drop, False)):
        store.ensure("docs", SCHEMA)
        with monkeypatch.context() as patch:
            after_the_look(patch, lambda: other.drop("docs"))
            assert call("docs") is answer


def in_another_thread(work: Callable[[], object]) -> threading.Thread:
    """Begin something, which may have to wait for what this thread is doing."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.2)
    return thread


def test_dropped_while_an_alias_is_pointed_at_it(
    store: EdgeStore, other: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alias stayed, and pointed at nothing."""
    store.ensure("docs", SCHEMA)
    read = files.alias_target
    threads: list[threading.Thread] = []

    def drop_and_read(path: Path, alias: str) -> str | None:
        monkeypatch.setattr(files, "alias_target", read)
        threads.append(in_another_thread(lambda: other.drop("docs", force=True)))
        return read(path, alias)

    monkeypatch.setattr(files, "alias_target", drop_and_read)
    assert store.swap("current", "docs") is None
    threads[0].join()
    assert (store.aliases(), store.collections()) == ({}, [])


def test_an_alias_is_pointed_at_what_is_just_being_dropped(
    store: EdgeStore, other: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to be done, and there was neither the alias nor the collection."""
    store.ensure("docs", SCHEMA)
    set_aside = files.set_aside
    answers: list[object] = []
    threads: list[threading.Thread] = []

    def swap() -> None:
        try:
            answers.append(other.swap("current", "docs"))
        except CollectionNotFoundError as error:
            answers.append(error)

    def swap_meanwhile(directory: Path) -> None:
        threads.append(in_another_thread(swap))
        set_aside(directory)

    monkeypatch.setattr(files, "set_aside", swap_meanwhile)
    assert store.drop("docs")
    threads[0].join()
    assert isinstance(answers[0], CollectionNotFoundError)
    assert store.aliases() == {}


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda store: store.upsert("docs", [POINT]), id="upsert"),
        pytest.param(lambda store: store.delete("docs", ids=[1]), id="delete"),
        pytest.param(lambda store: store.annotate("docs", "note", 1), id="annotate"),
        pytest.param(lambda store: store.optimize("docs"), id="optimize"),
        pytest.param(lambda store: store.count("docs"), id="count"),
    ],
)
def test_dropped_and_made_anew_before_it_is_written(
    store: EdgeStore,
    other: EdgeStore,
    write: Callable[[EdgeStore], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A description of the old one stood over the new one's points."""
    store.ensure("docs", SCHEMA)
    opened = store._shard

    def open_and_drop(collection: str) -> Any:
        shard = opened(collection)
        other.drop("docs")
        other.ensure("docs", OTHER)
        return shard

    with monkeypatch.context() as patch:
        patch.setattr(store, "_shard", open_and_drop)
        with pytest.raises(CollectionNotFoundError, match="there is no collection 'docs'"):
            write(store)
    description = json.loads((store.path / "docs" / "collection.json").read_text(encoding="utf-8"))
    assert description["fingerprint"] == OTHER.fingerprint
    assert "note" not in description.get("metadata", {})
    assert store.count("docs") == 0


def test_an_alias_that_another_makes_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for a collection, which the server says exists."""
    client = QdrantClient(":memory:")
    store = ServerStore(client)
    store.ensure("docs", SCHEMA)
    exists = QdrantClient.collection_exists
    alias = models.CreateAlias(collection_name="docs", alias_name="current")

    def make_and_look(self: QdrantClient, collection_name: str) -> bool:
        if collection_name == "current":
            self.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
            return True
        return exists(self, collection_name)

    monkeypatch.setattr(QdrantClient, "collection_exists", make_and_look)
    assert store.swap("current", "docs") == "docs"


def test_closed_before_it_is_opened(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was opened all the same, and kept out other processes as long as the store lived."""
    store.ensure("docs", SCHEMA)
    find = store._directory

    def find_and_close(collection: str) -> Path:
        store.close()
        return find(collection)

    monkeypatch.setattr(store, "_directory", find_and_close)
    with pytest.raises(StoreClosedError, match="closed before"):
        store.count("docs")
    assert not registry._open


@pytest.mark.parametrize(
    ("end", "error"),
    [
        pytest.param(lambda store: store.close(), StoreClosedError, id="closed"),
        pytest.param(lambda store: store.drop("docs"), CollectionNotFoundError, id="dropped"),
    ],
)
def test_ended_before_it_is_searched(
    store: EdgeStore,
    end: Callable[[EdgeStore], object],
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Users were told that a 'shard is not initialized'."""
    store.ensure("docs", SCHEMA)
    search = ranking.search

    def end_and_search(engine: Any, queries: Any) -> Any:
        end(store)
        return search(engine, queries)

    monkeypatch.setattr(ranking, "search", end_and_search)
    with pytest.raises(error):
        store.query("docs", PointQuery(vector=VECTOR, limit=1))


def test_dropped_while_another_thread_hands_over_ids(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine cannot be closed then: 'Already borrowed', and the collection stayed."""
    store.ensure("docs", SCHEMA)
    engine = store._shard("docs").engine
    borrowed, tried = threading.Event(), threading.Event()

    class Ids(list[PointId]):
        def __iter__(self) -> Iterator[PointId]:
            borrowed.set()
            assert tried.wait(30)
            return super().__iter__()

    reader = threading.Thread(target=engine.retrieve, args=(Ids([1]), True, False))

    def let_it_end(_: float) -> None:
        tried.set()
        reader.join(30)

    monkeypatch.setattr(time, "sleep", let_it_end)
    reader.start()
    assert borrowed.wait(30)
    try:
        assert store.drop("docs")
    finally:
        tried.set()
        reader.join(30)
    assert store.collections() == []


def test_garbage_is_collected_while_a_collection_is_opened(
    tmp_path: Path, store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that nobody had closed was then, and its thread waited for itself."""
    store.ensure("docs", SCHEMA)
    read = files.read_description

    def collect_and_read(directory: Path) -> dict[str, Any]:
        gc.collect()
        return read(directory)

    abandoned = EdgeStore(tmp_path / "abandoned")
    abandoned.ensure("docs", SCHEMA)
    abandoned.itself = abandoned  # type: ignore[attr-defined]
    store.close()
    opened = EdgeStore(store.path)
    monkeypatch.setattr(files, "read_description", collect_and_read)
    counting = threading.Thread(target=opened.count, args=("docs",), daemon=True)
    del abandoned
    counting.start()
    counting.join(30)
    assert not counting.is_alive()
    assert list(registry._open) == [store.path / "docs"]


def test_optimised_while_it_is_described(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings were read from files that were gone, and so were unknown."""
    store.ensure("docs", SCHEMA, datatype="float16")
    store.upsert("docs", [POINT])
    read = settings.settings_of

    def optimize_and_read(directory: Path) -> Any:
        store.optimize("docs", merge=False)
        return read(directory)

    monkeypatch.setattr(settings, "settings_of", optimize_and_read)
    info = store.info("docs")
    assert info is not None
    assert info.vectors[""].datatype == "float16"


def test_two_stores_over_one_local_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local mode is not made for threads: a search met a point that was half written."""
    client = QdrantClient(":memory:")
    first, second = ServerStore(client), ServerStore(client)
    first.ensure("docs", SCHEMA)
    upsert = QdrantClient.upsert
    counted: list[int] = []
    counting = threading.Thread(target=lambda: counted.append(second.count("docs")))

    def count_and_upsert(self: QdrantClient, *args: Any, **kwargs: Any) -> Any:
        counting.start()
        counting.join(0.2)
        assert not counted
        return upsert(self, *args, **kwargs)

    monkeypatch.setattr(QdrantClient, "upsert", count_and_upsert)
    first.upsert("docs", [POINT])
    counting.join(30)
    assert counted == [1]


def test_dropped_while_it_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server was said to be a proxy: over gRPC, without shards, it gives no answers."""
    store = ServerStore(QdrantClient(":memory:"))
    store.ensure("docs", SCHEMA)
    monkeypatch.setattr(QdrantClient, "query_batch_points", lambda self, **arguments: [])
    queries = [PointQuery(vector=VECTOR, limit=1)]
    with pytest.raises(StoreUnavailableError, match="just being created or dropped"):
        store.query_batch("docs", queries)

    def drop(self: QdrantClient, **arguments: Any) -> list[Any]:
        self.delete_collection("docs")
        return []

    monkeypatch.setattr(QdrantClient, "query_batch_points", drop)
    with pytest.raises(CollectionNotFoundError, match="there is no collection 'docs'"):
        store.query_batch("docs", queries)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_while_a_thread_uses_local_mode() -> None:
    """The child waited for ever for a thread that does not live there."""
    script = """
        import os, signal, threading
        from qdrant_client import QdrantClient
        from multiqa_integrations.qdrant import CollectionSchema, ServerStore

        store = ServerStore(QdrantClient(":memory:"))
        store.ensure("docs", CollectionSchema(fingerprint="f"))
        inside, forked = threading.Event(), threading.Event()

        def wait(self, **arguments):
            inside.set()
            forked.wait(30)

        QdrantClient.get_aliases, get_aliases = wait, QdrantClient.get_aliases
        thread = threading.Thread(target=lambda: store.annotate("docs", "note", 1), daemon=True)
        thread.start()
        inside.wait(30)
        child = os.fork()
        if not child:
            signal.alarm(20)
            os._exit(store.count("docs"))
        print(os.waitpid(child, 0)[1])
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
