"""Others write to a collection while it is moved: nothing is lost, all vectors are of one model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionWarning,
    ConfigurationError,
    LeaseError,
    StoreError,
    StoreLockedError,
)
from multiqa_integrations.etl import sync, verify
from multiqa_integrations.langchain import MultiQAEmbeddings, MultiQAVectorStore
from multiqa_integrations.qdrant import (
    Collection,
    EdgeStore,
    Point,
    Store,
    copy,
    count_fingerprints,
    open_store,
    reembed,
)
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document
from tests.support.loopback_qdrant import LoopbackQdrant

OLD, NEW = FakeEncoder(), FakeEncoder(seed=1)


@pytest.fixture
def quick(store: Store) -> Store:
    """A store whose writers look at every write, so that no migration waits."""
    store.look_seconds = 0.0
    return store


def texts_of(store: Store, name: str) -> dict[str, str]:
    """The texts by their ids; each vector must be that of its text, by the new model."""
    points, _ = store.scroll(name, limit=10_000, with_vectors=True)
    if points:
        expected = NEW.encode([point.payload["page_content"] for point in points])
        found = np.array([point.vectors[""] for point in points])
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert all(p.payload["_multiqa"]["fingerprint"] == NEW.fingerprint for p in points)
    return {point.payload["_multiqa"]["id"]: point.payload["page_content"] for point in points}


class At:
    """Calls a function once, at the n-th progress of a migration."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left, self._act = number, act

    def __call__(self, _: int) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


@pytest.mark.slow
def test_what_is_written_meanwhile_is_carried(quick: Store, name: str) -> None:
    old = Collection.open(f"{name}@old", encoder=OLD, store=quick, sparse=True)
    ids = [f"i{n}" for n in range(600)]
    old.add([f"text {n}" for n in range(600)], ids=ids)
    quick.swap(name, f"{name}@old")
    live = Collection.open(name, encoder=OLD, store=quick)

    def write() -> None:
        live.add(["new text"] * 3, ids=ids[:3])
        old.add(["new text", "added"], ids=["i599", "added"])
        live.delete(["i5", "i300"])

    report = reembed(quick, name, NEW, progress=At(1, write))
    expected = {id: f"text {id[1:]}" for id in ids} | dict.fromkeys(
        ["i0", "i1", "i2", "i599"], "new text"
    )
    expected["added"] = "added"
    del expected["i5"], expected["i300"]
    assert texts_of(quick, name) == expected
    assert report.points == len(expected)
    assert report.swapped == name
    new = Collection.open(name, encoder=NEW, store=quick)
    assert new.search("added", hybrid=True, limit=1)[0].id == "added"
    info = quick.info(name)
    assert info is not None
    assert info.metadata == {}


@pytest.mark.parametrize("what", ["update", "delete"])
def test_writes_that_never_end_do_not_keep_a_copy_from_its_end(
    quick: Store, name: str, what: str
) -> None:
    old = Collection.open(name, encoder=OLD, store=quick)
    old.add([f"text {n}" for n in range(40)], ids=[f"i{n}" for n in range(40)])
    scroll, numbers = quick.scroll, iter(range(40))

    def write_and_scroll(*arguments: Any, **options: Any) -> Any:
        if what == "update":
            old.add([f"update {next(numbers)}"], ids=["i0"])
        else:
            old.delete([f"i{next(numbers)}"])
        return scroll(*arguments, **options)

    quick.scroll = write_and_scroll  # type: ignore[method-assign]
    with pytest.warns(CollectionWarning, match="was written to until the end"):
        report = copy(quick, quick, name, to=f"{name}-copy")
    assert report.changing == 1
    quick.scroll = scroll  # type: ignore[method-assign]
    assert report.points == quick.count(name) == quick.count(f"{name}-copy")
    old.delete(["i39"])
    copy(quick, quick, name, to=f"{name}-copy")
    assert quick.count(name) == quick.count(f"{name}-copy") < report.points


def test_an_interrupted_copy_forgets_what_was_deleted_since(quick: Store, name: str) -> None:
    old = Collection.open(name, encoder=OLD, store=quick)
    old.add([f"text {n}" for n in range(20)], ids=[f"i{n}" for n in range(20)])

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(quick, quick, name, to=f"{name}-copy", progress=interrupt)
    assert quick.count(f"{name}-copy") == 20
    old.delete(["i3", "i4"])
    assert copy(quick, quick, name, to=f"{name}-copy").unchanged == 18
    # What was finished belongs to whoever writes to it: nothing is deleted any more.
    old.delete(["i5"])
    with pytest.raises(StoreError, match="has 18 points, .* has 17.*--prune"):
        copy(quick, quick, name, to=f"{name}-copy")
    assert copy(quick, quick, name, to=f"{name}-copy", prune=True).points == 17
    assert quick.count(f"{name}-copy") == 17


def test_a_second_copy_has_the_indexes_that_were_added(quick: Store, name: str) -> None:
    Collection.open(name, encoder=OLD, store=quick).add(["a"])
    copy(quick, quick, name, to=f"{name}-copy")
    sync([{"id": 1, "text": "b"}], name, store=quick, encoder=OLD)
    assert copy(quick, quick, name, to=f"{name}-copy").points == 2
    one, other = quick.info(name), quick.info(f"{name}-copy")
    assert one is not None
    assert other is not None
    assert other.payload_indexes == one.payload_indexes


# --- writers by alias ---------------------------------------------------------------------------


def writers(live: Collection, store: Store, name: str) -> list[Callable[[], object]]:
    """Ways to write with the old model."""
    langchain = MultiQAVectorStore(MultiQAEmbeddings(encoder=OLD), name, store=store)
    return [
        lambda: live.add(["old vectors"], ids=["x"]),
        lambda: asyncio.run(live.aadd(["old vectors"], ids=["x"])),
        lambda: live.delete(["i1"]),
        lambda: asyncio.run(live.adelete(["i1"])),
        lambda: langchain.add_texts(["old vectors"], ids=["x"]),
        lambda: langchain.delete(["i1"]),
        lambda: sync([{"id": 1, "text": "old"}], name, store=store, encoder=OLD),
    ]


def test_writers_of_the_old_model_are_refused_afterwards(quick: Store, name: str) -> None:
    Collection.open(f"{name}@old", encoder=OLD, store=quick).add(["a", "b"], ids=["i0", "i1"])
    quick.swap(name, f"{name}@old")
    live = Collection.open(name, encoder=OLD, store=quick)
    ways = writers(live, quick, name)
    ways[0]()
    reembed(quick, name, NEW)
    for way in ways:
        with pytest.raises(CollectionMismatchError, match="fingerprint"):
            way()
    assert texts_of(quick, name) == {"i0": "a", "i1": "b", "x": "old vectors"}


def test_writers_are_refused_while_the_alias_moves(quick: Store, name: str) -> None:
    Collection.open(f"{name}@old", encoder=OLD, store=quick).add(["a", "b"], ids=["i0", "i1"])
    quick.swap(name, f"{name}@old")
    live = Collection.open(name, encoder=OLD, store=quick)
    *ways, synced = writers(live, quick, name)
    with Lease(quick, f"{name}@old") as lease:
        ways[0]()
        with pytest.raises(LeaseError, match="another run is working on the source"):
            synced()
        lease.close_collection()
        for way in ways:
            with pytest.raises(StoreLockedError, match="is being moved to another one"):
                way()
        with pytest.raises(LeaseError, match="working on the collection"):
            reembed(quick, name, NEW)
    for way in (*ways, synced):
        way()


@pytest.mark.parametrize(
    ("renewed", "closed"),
    [
        (timedelta(minutes=-50), True),
        (timedelta(minutes=50), True),
        (timedelta(minutes=-70), False),
        (timedelta(days=9), False),
    ],
)
def test_clocks_that_differ_lose_nothing(tmp_path: Path, renewed: timedelta, closed: bool) -> None:
    moment = (datetime.now(timezone.utc) + renewed).isoformat()
    lease = {"run": "x", "host": "elsewhere", "pid": 1, "since": "then", "renewed": moment}
    with EdgeStore(tmp_path) as store:
        collection = Collection.open("docs", encoder=OLD, store=store)
        store.annotate("docs", "multiqa.lease", {**lease, "closed": True})
        with pytest.raises(StoreLockedError) if closed else nullcontext():
            collection.add(["text"])


def test_a_write_that_the_move_overtakes_is_told(quick: Store, name: str) -> None:
    """The write is under way when the alias moves: it is in the old collection."""
    Collection.open(f"{name}@old", encoder=OLD, store=quick).add(["a"], ids=["i0"])
    quick.swap(name, f"{name}@old")
    live = Collection.open(name, encoder=OLD, store=quick)
    upsert = quick.upsert

    def overtaken(collection: str, points: Any) -> None:
        quick.upsert = upsert  # type: ignore[method-assign]
        reembed(quick, name, NEW)
        upsert(collection, points)

    quick.upsert = overtaken  # type: ignore[method-assign]
    with pytest.raises(CollectionMismatchError, match="What was just written is in .* write it"):
        live.add(["late"], ids=["late"])
    assert texts_of(quick, name) == {"i0": "a"}


def test_a_write_follows_an_alias_to_a_collection_of_the_same_model(
    quick: Store, name: str
) -> None:
    for part in (1, 2):
        Collection.open(f"{name}-{part}", encoder=OLD, store=quick)
    quick.swap(name, f"{name}-1")
    live = Collection.open(name, encoder=OLD, store=quick)
    upsert = quick.upsert

    def overtaken(collection: str, points: Any) -> None:
        upsert(collection, points)
        quick.swap(name, f"{name}-2")

    quick.upsert = overtaken  # type: ignore[method-assign]
    live.add(["text"], ids=["x"])
    assert [document.text for document in live.get(["x"])] == ["text"]
    assert quick.count(f"{name}-1") == quick.count(f"{name}-2") == 1


def test_what_a_writer_saw_counts_for_a_second(loopback: LoopbackQdrant) -> None:
    with open_store(url=loopback.url) as store:
        collection = Collection.open("docs", encoder=OLD, store=store)
        now = [0.0]
        collection._writer._clock = lambda: now[0]
        loopback.seen.clear()
        for number in range(20):
            collection.add([f"text {number}"])
        assert loopback.seen["upsert"] == 20
        assert loopback.seen["aliases"] == loopback.seen["info"] - 1 == 1
        now[0] += 1.0
        collection.delete(["x"])
        assert loopback.seen["aliases"] == 2
        # One that takes longer looks again afterwards.
        steps = iter([2.0, 2.5, 3.6, 3.7, 3.8])
        collection._writer._clock = lambda: next(steps)
        collection.add(["slow"])
        assert loopback.seen["aliases"] == 4


def test_a_write_does_without_aliases_that_cannot_be_read(loopback: LoopbackQdrant) -> None:
    with open_store(url=loopback.url) as store:
        Collection.open("docs@1", encoder=OLD, store=store)
        store.swap("docs", "docs@1")
        collection = Collection.open("docs", encoder=OLD, store=store)
        loopback.faults.forbidden = frozenset({"aliases"})
        collection.add(["one", "two"], ids=["1", "2"])
        collection.delete(["2"])
        assert store.count("docs@1") == 1


def test_a_migration_waits_until_no_look_counts(loopback: LoopbackQdrant) -> None:
    """Between closing the old collection and the last pass, and before the lease ends."""
    with open_store(url=loopback.url) as store:
        Collection.open("docs@old", encoder=OLD, store=store).add(["a"])
        store.swap("docs", "docs@old")
        stop, waits = threading.Event(), []

        def wait(seconds: float) -> bool:
            info = store.info("docs@old")
            assert info is not None
            assert info.metadata["multiqa.lease"]["closed"]
            waits.append((seconds, store.aliases()["docs"]))
            return False

        stop.wait = wait  # type: ignore[method-assign,assignment]
        reembed(store, "docs", NEW, to="docs@new", stop=stop)
        assert waits == [(1.5, "docs@old"), (0.5, "docs@new")]


def test_the_alias_was_moved_by_somebody_else(quick: Store, name: str) -> None:
    for part in ("old", "other"):
        Collection.open(f"{name}@{part}", encoder=OLD, store=quick).add(["a"], ids=["i0"])
    quick.swap(name, f"{name}@old")
    with pytest.raises(StoreError, match="does not stand for .*@old' any more"):
        reembed(quick, name, NEW, progress=At(1, lambda: quick.swap(name, f"{name}@other")))
    assert quick.aliases()[name] == f"{name}@other"


# --- mixtures ------------------------------------------------------------------------------------


@pytest.fixture
def mixed(quick: Store, name: str) -> Store:
    """A collection of the new model in which something wrote two points of the old one."""
    rows = [{"id": n, "text": f"text {n}"} for n in range(6)]
    sync(rows, f"{name}@old", store=quick, encoder=NEW)
    points, _ = quick.scroll(f"{name}@old", limit=2)
    vectors = OLD.encode([point.payload["page_content"] for point in points])
    for point, vector in zip(points, vectors, strict=True):
        payload = dict(point.payload)
        payload["_multiqa"] = {**payload["_multiqa"], "fingerprint": OLD.fingerprint}
        quick.upsert(f"{name}@old", [Point(point.id, {"": vector}, payload)])
    quick.swap(name, f"{name}@old")
    return quick


def test_a_mixture_is_counted_and_a_sync_repairs_it(mixed: Store, name: str) -> None:
    rows = [{"id": n, "text": f"text {n}"} for n in range(6)]
    assert count_fingerprints(mixed, name) == {NEW.fingerprint: 4, OLD.fingerprint: 2}
    report = verify(rows, name, store=mixed, encoder=NEW)
    assert not report.fits
    assert report.differences["foreign"] == 2
    assert sync(rows, name, store=mixed, encoder=NEW).changed == 2
    assert verify(rows, name, store=mixed, encoder=NEW).fits
    assert count_fingerprints(mixed, name) == {NEW.fingerprint: 6}


def test_a_mixture_is_repaired_by_its_own_model(mixed: Store, name: str) -> None:
    report = reembed(mixed, name, NEW)
    assert report.target == f"{name}@{'1'}"
    assert count_fingerprints(mixed, name) == {NEW.fingerprint: 6}
    rows = [{"id": n, "text": f"text {n}"} for n in range(6)]
    assert verify(rows, name, store=mixed, encoder=NEW).fits
    with pytest.raises(ConfigurationError, match="of this model already"):
        reembed(mixed, name, NEW, dry_run=True)


# --- before work begins --------------------------------------------------------------------------


def test_a_dry_run_answers_as_the_real_run(loopback: LoopbackQdrant) -> None:
    with open_store(url=loopback.url) as store:
        Collection.open("docs@old", encoder=OLD, store=store).add([Document("a", "i0")])
        store.swap("docs", "docs@old")
        for dry_run in (True, False):
            with pytest.raises(ConfigurationError, match="of this model already"):
                reembed(store, "docs", OLD, dry_run=dry_run)
            with pytest.raises(ConfigurationError, match="'docs' is an alias of 'docs@old'"):
                copy(store, store, "docs@old", to="docs", dry_run=dry_run)
            loopback.faults.forbidden = frozenset({"change_aliases", "create", "update"})
            with pytest.raises(StoreError, match="right to manage the whole server"):
                reembed(store, "docs", NEW, dry_run=dry_run)
            with pytest.raises(StoreError, match="right to manage the whole server"):
                copy(store, store, "docs", to="copy", dry_run=dry_run)
            loopback.faults.forbidden = frozenset()
        with Lease(store, "docs@old"):
            for dry_run in (True, False):
                with pytest.raises(LeaseError):
                    reembed(store, "docs", NEW, dry_run=dry_run)
        assert store.collections() == ["docs@old"]


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: Any) -> None:
    with EdgeStore(tmp_path / "here") as store, EdgeStore(tmp_path / "there") as target:
        Collection.open("docs", encoder=OLD, store=store).add(["a"])
        monkeypatch.setattr("os.access", lambda *_: False)
        for dry_run in (True, False):
            with pytest.raises(StoreError, match="is not writable for this user"):
                copy(store, target, "docs", dry_run=dry_run)
