"""Moving house: copies, aliases, other models."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    ConfigurationError,
    StoreError,
)
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    EdgeStore,
    Point,
    SparseVector,
    Store,
    copy,
    open_store,
    reembed,
)
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document
from tests.support.faults import Faults, Hold
from tests.support.loopback_qdrant import LoopbackQdrant

OLD, NEW = FakeEncoder(), FakeEncoder(seed=1)


def documents(count: int) -> list[Document]:
    return [
        Document(f"text {n} of {count}", f"id {n}", {"n": n, "deep": {"list": [n, None, True]}})
        for n in range(count)
    ]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EdgeStore]:
    with EdgeStore(tmp_path / "source") as opened:
        collection = Collection.open(
            "docs",
            encoder=OLD,
            store=opened,
            sparse=True,
            payload_indexes={"metadata.n": "integer"},
        )
        collection.add(documents(600))
        yield opened


def assert_equal(one: Store, one_name: str, other: Store, other_name: str) -> None:
    left, _ = one.scroll(one_name, limit=10_000, with_vectors=True)
    right, _ = other.scroll(other_name, limit=10_000, with_vectors=True)
    assert [point.id for point in left] == [point.id for point in right]
    assert [point.payload for point in left] == [point.payload for point in right]
    np.testing.assert_allclose(
        np.array([point.vectors[""] for point in left]),
        np.array([point.vectors[""] for point in right]),
        atol=1e-6,
    )
    for mine, theirs in zip(left, right, strict=True):
        assert entries(mine) == entries(theirs)


def entries(point: Point) -> dict[int, float]:
    words = point.vectors["bm25"]
    assert isinstance(words, SparseVector)
    return dict(zip(words.indices.tolist(), words.values.tolist(), strict=True))


# --- copies ---------------------------------------------------------------------------------------


def test_a_copy_is_equal_and_found_the_same(source: EdgeStore, store: Store, name: str) -> None:
    pages: list[int] = []
    report = copy(source, store, "docs", to=name, progress=pages.append)
    assert (report.points, report.written, report.unchanged) == (600, 600, 0)
    assert sum(pages) == 600
    assert_equal(store, name, source, "docs")
    info = store.info(name)
    assert info is not None
    assert info.fingerprints == (OLD.fingerprint,)
    assert info.payload_indexes in (None, {"metadata.n": "integer"})
    here = Collection.open("docs", encoder=OLD, store=source)
    there = Collection.open(name, encoder=OLD, store=store)
    for hybrid in (False, True):
        one = here.search("text 77", hybrid=hybrid, limit=1)[0]
        other = there.search("text 77", hybrid=hybrid, limit=1)[0]
        assert (one.id, one.metadata) == (other.id, other.metadata) == ("id 77", other.metadata)
    # And back again.
    back = copy(store, source, name, to="back")
    assert back.written == 600
    assert_equal(source, "back", source, "docs")


@pytest.mark.slow
def test_a_second_copy_writes_what_changed_only(source: EdgeStore, store: Store, name: str) -> None:
    copy(source, store, "docs", to=name)
    collection = Collection.open("docs", encoder=OLD, store=source)
    collection.add([Document("new text", "id 5", {"n": 5}), Document("one more", "id 600")])
    report = copy(source, store, "docs", to=name)
    assert (report.points, report.written, report.unchanged) == (601, 2, 599)
    assert_equal(store, name, source, "docs")


def test_a_copy_that_is_not_equal_is_an_error(source: EdgeStore, tmp_path: Path) -> None:
    with EdgeStore(tmp_path / "target") as target:
        copy(source, target, "docs")
        Collection.open("docs", encoder=OLD, store=target).add(["not in the source"])
        with pytest.raises(StoreError, match="601 points, 'docs' has 600"):
            copy(source, target, "docs")


def test_what_cannot_be_copied(source: EdgeStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="another store or another name"):
        copy(source, source, "docs")
    with pytest.raises(StoreError, match="no collection 'nothing'"):
        copy(source, source, "nothing", to="x")
    client = QdrantClient(":memory:")
    vector = models.VectorParams(size=384, distance=models.Distance.COSINE)
    client.create_collection("two", vectors_config={"a": vector, "b": vector})
    client.create_collection("nobody's", vectors_config=vector)
    theirs = open_store(client=client)
    with pytest.raises(ConfigurationError, match="expected one dense vector"):
        copy(theirs, source, "two")
    with pytest.raises(ConfigurationError, match="adopt=True"):
        copy(theirs, source, "nobody's")
    assert source.collections() == ["docs"]
    source.ensure("other", CollectionSchema(fingerprint="another model"))
    with pytest.raises(CollectionMismatchError, match="fingerprint"):
        copy(source, source, "docs", to="other")


# --- a server that is away ------------------------------------------------------------------------


@pytest.fixture
def at_server(loopback: LoopbackQdrant) -> Iterator[Store]:
    with open_store(url=loopback.url) as opened:
        Collection.open("docs", encoder=OLD, store=opened).add(documents(600))
        loopback.seen.clear()
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["copy", "reembed"])
def test_a_server_that_restarts_costs_no_page(
    at_server: Store, loopback: LoopbackQdrant, kind: str
) -> None:
    def restart(_: int) -> None:
        loopback.faults.away = 2

    pages = []
    for name, progress in (("new-1", None), ("new-2", restart)):
        loopback.seen.clear()
        loopback.faults.away = 2
        if kind == "copy":
            report = copy(at_server, at_server, "docs", to=name, progress=progress)
        else:
            report = reembed(at_server, "docs", NEW, to=name, progress=progress)
        loopback.faults.away = 0
        assert (report.points, report.written) == (600, 600)
        pages.append(loopback.seen["scroll"])
        assert at_server.count(name) == 600
    assert pages[0] == pages[1], "no page was read twice"


@pytest.mark.parametrize("kind", ["copy", "reembed"])
def test_a_stop_ends_the_wait_for_a_server(
    at_server: Store, loopback: LoopbackQdrant, kind: str
) -> None:
    stop = threading.Event()
    hold = loopback.faults.hold = Hold(let_through=1)

    def stop_while_it_waits() -> None:
        assert hold.reached.wait(60)
        stop.set()

    threading.Thread(target=stop_while_it_waits).start()
    job: dict[str, Any] = {"to": "new", "stop": stop}
    with pytest.raises(StoreError, match="stopped") as caught:
        reembed(at_server, "docs", NEW, **job) if kind == "reembed" else copy(
            at_server, at_server, "docs", **job
        )
    assert caught.value.report.written < 600, "one request was let through"
    hold.open()


@pytest.mark.slow
def test_a_stop_between_pages(at_server: Store) -> None:
    stop = threading.Event()
    copy(at_server, at_server, "docs", to="new")
    with pytest.raises(StoreError, match="was stopped: 'new' does not have all") as caught:
        copy(at_server, at_server, "docs", to="new", progress=lambda _: stop.set(), stop=stop)
    assert (caught.value.report.written, caught.value.report.unchanged) == (0, 256)
    with pytest.raises(ConfigurationError, match="stop is bool"):
        copy(at_server, at_server, "docs", to="new", stop=True)  # type: ignore[arg-type]


COPIER = """
    import sys
    from multiqa_integrations.qdrant import EdgeStore, copy, open_store
    with EdgeStore(sys.argv[1]) as source, open_store(url=sys.argv[2]) as target:
        copy(source, target, "docs")
"""


@pytest.mark.slow
def test_killed_twice_and_called_again_it_is_equal(
    source: EdgeStore, loopback: LoopbackQdrant
) -> None:
    """The server outlives the process that copies."""
    Collection.open("docs", encoder=OLD, store=source).add(documents(3000))
    source.close()
    for _ in range(2):
        # It is killed while a request is under way, which the server then carries out.
        hold = Hold(let_through=1)
        loopback.faults = Faults(hold=hold)
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(COPIER), str(source.path), loopback.url]
        ) as copier:
            assert hold.reached.wait(60)
            copier.kill()
        hold.open()
        loopback.wait_until_left()
    loopback.faults = Faults()
    with EdgeStore(source.path) as again, open_store(url=loopback.url) as target:
        begun = target.count("docs")
        assert 0 < begun < 3000
        report = copy(again, target, "docs")
        assert report.unchanged == begun
        assert report.written == 3000 - begun
        assert_equal(target, "docs", again, "docs")


# --- aliases --------------------------------------------------------------------------------------


def test_an_alias_moves_from_one_moment_to_the_next(store: Store, name: str) -> None:
    for number in (1, 2):
        collection = Collection.open(f"{name}-{number}", encoder=OLD, store=store)
        collection.add([f"in number {number}"], ids=["x"])
    assert store.swap(name, f"{name}-1") is None
    by_alias = Collection.open(name, encoder=OLD, store=store)
    assert not by_alias.report.created
    assert by_alias.get(["x"])[0].text == "in number 1"
    assert store.swap(name, f"{name}-2") == f"{name}-1"
    assert by_alias.get(["x"])[0].text == "in number 2"
    assert store.aliases()[name] == f"{name}-2"
    assert name not in store.collections()
    by_alias.add(["written through it"])
    assert store.count(f"{name}-2") == 2
    assert asyncio.run(store.aswap(name, f"{name}-1")) == f"{name}-2"
    assert asyncio.run(store.aaliases())[name] == f"{name}-1"
    with pytest.raises(StoreError, match="is an alias of the collection"):
        store.drop(name)
    with pytest.raises(StoreError, match=f"by the alias '{name}'"):
        store.drop(f"{name}-1")
    assert by_alias.count() == 1
    assert store.drop(f"{name}-1", force=True)
    assert name not in store.aliases()


def test_what_cannot_be_an_alias(store: Store, name: str) -> None:
    Collection.open(name, encoder=OLD, store=store)
    with pytest.raises(StoreError, match="no collection 'test-nothing'"):
        store.swap("test-alias", "test-nothing")
    with pytest.raises(StoreError, match="is the name of a collection"):
        store.swap(name, name)
    store.swap(f"{name}-alias", name)
    with pytest.raises(StoreError, match="no collection"):
        store.swap(f"{name}-other", f"{name}-alias")
    with pytest.raises(ConfigurationError, match="collection's name"):
        store.swap("../alias", name)


# --- other models --------------------------------------------------------------------------------


def test_another_model_takes_over_behind_an_alias(store: Store, name: str) -> None:
    old = Collection.open(f"{name}@old", encoder=OLD, store=store, sparse=True)
    old.add(documents(300))
    store.swap(name, f"{name}@old")
    report = reembed(store, name, NEW)
    assert (report.points, report.written, report.swapped) == (300, 300, name)
    assert report.target == store.aliases()[name]
    assert report.target.startswith(f"{name}@")
    new = Collection.open(name, encoder=NEW, store=store)
    assert new.search("text 42", limit=1)[0].id == "id 42"
    assert new.search("text 42", limit=1, hybrid=True)[0].metadata == documents(43)[42].metadata
    point = store.scroll(name, limit=1, with_vectors=True)[0][0]
    expected = NEW.encode([point.payload["page_content"]])[0]
    np.testing.assert_allclose(np.asarray(point.vectors[""]), expected, atol=1e-6)
    assert point.payload["_multiqa"]["fingerprint"] == NEW.fingerprint
    # The old one is there until it is dropped.
    assert old.count() == 300
    with pytest.raises(ConfigurationError, match="of this model already"):
        reembed(store, name, NEW)


def test_without_an_alias_nothing_is_swapped(store: Store, name: str) -> None:
    Collection.open(name, encoder=OLD, store=store).add(documents(20))
    report = reembed(store, name, NEW, to=f"{name}-new")
    assert report.swapped is None
    assert report.target == f"{name}-new"
    assert Collection.open(f"{name}-new", encoder=NEW, store=store).count() == 20
    assert Collection.open(name, encoder=OLD, store=store).count() == 20


def test_interrupted_it_goes_on(tmp_path: Path) -> None:
    class Failing(FakeEncoder):
        calls = 0

        def encode_document(self, texts: Any, *, show_progress: bool = False) -> Any:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().encode_document(texts)

    failing = Failing(seed=1)
    with EdgeStore(tmp_path) as store:
        Collection.open("docs-1", encoder=OLD, store=store).add(documents(1000))
        store.swap("docs", "docs-1")
        with pytest.raises(KeyboardInterrupt):
            reembed(store, "docs", failing)
        assert store.aliases() == {"docs": "docs-1"}
        report = reembed(store, "docs", NEW)
        assert report.points == 1000
        assert 0 < report.unchanged < 1000
        assert store.aliases()["docs"] == report.target


def test_points_without_text_are_named(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        Collection.open("docs", encoder=OLD, store=store).add(documents(5))
        store.upsert("docs", [Point(7, {"": OLD.encode(["x"])[0]}, {"other": 1})])
        with pytest.raises(StoreError, match="1 points have no text in 'page_content'.* 7"):
            reembed(store, "docs", NEW)
