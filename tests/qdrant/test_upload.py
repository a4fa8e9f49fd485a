"""Uploads that survive, over a stand-in server with faults."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations.errors import (
    ConfigurationError,
    StoreError,
    StoreUnavailableError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    EdgeStore,
    Point,
    ServerStore,
    Store,
    open_store,
)
from multiqa_integrations.qdrant.points import request_bytes
from multiqa_integrations.qdrant.retry import Attempts
from multiqa_integrations.qdrant.upload import Uploader, _Batches
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Document
from tests.support.faults import Faults, Hold
from tests.support.loopback_qdrant import LoopbackQdrant

SCHEMA = CollectionSchema(fingerprint="f")


@pytest.fixture
def store(loopback: LoopbackQdrant) -> Iterator[Store]:
    with open_store(url=loopback.url, timeout=2) as opened:
        opened.ensure("docs", SCHEMA)
        yield opened


def points(count: int, first: int = 0) -> list[Point]:
    vectors = np.random.default_rng(first).standard_normal((count, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Point(first + n, {"": vector}, {"n": first + n}) for n, vector in enumerate(vectors)]


def numbers(store: Store) -> set[int]:
    return {point.payload["n"] for point in store.scroll("docs", limit=100_000)[0]}


# --- requests -----------------------------------------------------------------------------------


def test_requests_are_bounded_by_points_and_by_bytes() -> None:
    batches = _Batches(max_points=10, max_bytes=10**9)
    sizes = [len(batch) for batch in batches.feed(points(35))]
    assert (sizes, len(batches.rest())) == ([10, 10, 10], 5)
    one = request_bytes(points(1)[0])
    batches = _Batches(max_points=100, max_bytes=one * 4)
    sizes = [len(batch) for batch in batches.feed(points(9))]
    assert (sizes, len(batches.rest())) == ([4, 4], 1)
    # A point that is larger than any request goes alone.
    huge = Point(1000, points(1)[0].vectors, {"text": "x" * one * 5})
    batches = _Batches(max_points=100, max_bytes=one * 4)
    cut = [len(batch) for batch in batches.feed([*points(2), huge, *points(2, first=50)])]
    assert (cut, len(batches.rest())) == ([2, 1], 2)
    with pytest.raises(ConfigurationError, match="max_bytes is 0"):
        _Batches(max_points=1, max_bytes=0)


def test_no_request_is_larger_than_the_estimate(loopback: LoopbackQdrant, store: Store) -> None:
    words = "naïve “quotes” 日本語 🙂 \n\t\\ " * 40
    everything = [Point(p.id, p.vectors, {**p.payload, "text": words}) for p in points(600)]
    with Uploader(store, "docs", max_bytes=1_000_000) as uploader:
        uploader.add(everything)
    assert store.count("docs") == 600
    assert 500_000 < loopback.largest <= 1_000_000


def test_the_same_id_twice_is_written_in_turn(loopback: LoopbackQdrant, store: Store) -> None:
    """Also where requests overtake each other."""
    loopback.faults = Faults(slow=0.5, slow_seconds=0.05)
    with Uploader(store, "docs", max_points=2, threads=4) as uploader:
        for value in range(60):
            point = points(1)[0]
            uploader.add([Point(7, point.vectors, {"n": value}), *points(1, first=100 + value)])
    assert store.retrieve("docs", [7])[0].payload == {"n": 59}
    assert store.count("docs") == 61


def test_progress_is_told_by_the_thread_that_adds(store: Store) -> None:
    told: list[tuple[int, int]] = []
    with Uploader(
        store, "docs", progress=lambda n: told.append((n, threading.get_ident()))
    ) as uploader:
        uploader.add(points(600))
    # In the order in which requests end.
    assert sorted(n for n, _ in told) == [88, 256, 256]
    assert {thread for _, thread in told} == {threading.get_ident()}


# --- faults -------------------------------------------------------------------------------------

EVERY_FAULT = [
    Faults(throttled=0.1),
    Faults(too_busy=0.5, too_busy_above=40),
    Faults(unavailable=0.3),
    Faults(reset_before=0.3),
    Faults(reset_after=0.3),
    Faults(slow=1.0, at_most=2),
    Faults(bad=frozenset({0, 77, 500, 501, 999})),
    Faults(
        throttled=0.03,
        too_busy=0.1,
        too_busy_above=40,
        unavailable=0.05,
        reset_before=0.05,
        reset_after=0.05,
        bad=frozenset({5, 750}),
    ),
]


def shown(faults: Faults) -> str:
    usual = vars(Faults())
    names = [name for name, value in vars(faults).items() if value != usual[name]]
    return "+".join(name for name in names if name not in ("chance", "too_busy_above", "at_most"))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat requests at once; how long the pauses are is tested by itself."""
    monkeypatch.setattr(Attempts, "wait", lambda attempts, pause: None)

    async def wait_async(attempts: Attempts, pause: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(Attempts, "wait_async", wait_async)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("faults", EVERY_FAULT, ids=shown)
def test_each_good_point_arrives_and_each_bad_one_is_named(
    loopback: LoopbackQdrant, store: Store, faults: Faults
) -> None:
    loopback.faults = replace(faults, chance=random.Random(7))
    reasons: dict[str, str] = {}
    everything = points(1000)
    try:
        with Uploader(store, "docs") as uploader:
            uploader.add(everything)
    except WriteRejectedError as error:
        reasons = error.reasons
    assert {int(one) for one in reasons} == faults.bad
    assert all("is not to our taste" in why for why in reasons.values())
    loopback.faults = Faults()
    assert numbers(store) == set(range(1000)) - faults.bad


def test_retry_after_is_honoured(loopback: LoopbackQdrant, store: Store) -> None:
    loopback.faults = Faults(throttled=1.0, at_most=1)
    begin = time.monotonic()
    with Uploader(store, "docs") as uploader:
        uploader.add(points(10))
    assert time.monotonic() - begin >= 1.0, "the server had asked for a second"
    assert loopback.seen["throttled"] == 1


def test_a_deadline_ends_it(loopback: LoopbackQdrant, store: Store) -> None:
    loopback.faults = Faults(unavailable=1.0)
    with (
        pytest.raises(StoreUnavailableError, match="503"),
        Uploader(store, "docs", deadline=0.5) as uploader,
    ):
        uploader.add(points(2000))
    assert store.count("docs") == 0


def test_an_answer_that_is_no_confirmation_is_an_error(
    loopback: LoopbackQdrant, store: Store
) -> None:
    loopback.faults = Faults(acknowledged=True)
    with pytest.raises(StoreError, match="only acknowledged, not completed"):
        store.upsert("docs", points(1))


def test_it_is_not_the_points(loopback: LoopbackQdrant, store: Store) -> None:
    """Where not one point is taken, not every point of a large source is tried."""
    loopback.faults = Faults(bad=frozenset(range(100_000)))
    with (
        pytest.raises(WriteRejectedError, match="all 32 points of a request were refused"),
        Uploader(store, "docs", threads=1, max_points=32) as uploader,
    ):
        uploader.add(points(1200))
    halving = 2 * 32 - 1
    assert loopback.seen["upsert"] <= 2 * halving, "of the first request, and one on its way"


def test_what_was_never_sent_is_named_too(store: Store) -> None:
    good = points(300)
    bad = Point(9999, {"": np.full(384, np.nan, np.float32)}, {"n": 9999})
    with (
        pytest.raises(WriteRejectedError, match="a vector of length nan") as caught,
        Uploader(store, "docs") as uploader,
    ):
        uploader.add([*good[:100], bad, *good[100:]])
    assert caught.value.ids == ["9999"]
    assert store.count("docs") == 300


def test_a_missing_collection_and_a_wrong_key_end_it_at_once(
    loopback: LoopbackQdrant, store: Store
) -> None:
    with (
        pytest.raises(StoreError, match="no collection 'nowhere'"),
        Uploader(store, "nowhere") as uploader,
    ):
        uploader.add(points(3))
    loopback.faults = Faults(api_key="secret")
    with pytest.raises(StoreError, match="401"), Uploader(store, "docs") as uploader:
        uploader.add(points(3))


def test_an_error_of_the_caller_ends_it_without_waiting_for_the_rest(store: Store) -> None:
    def some_then_none() -> Iterator[Point]:
        yield from points(10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Uploader(store, "docs") as uploader:
        uploader.add(some_then_none())
    assert store.count("docs") == 0, "they had not been sent"


# --- through a collection -------------------------------------------------------------------------


class Picky(FakeEncoder):
    """An encoder that says nothing of some texts."""

    def encode(self, texts: Any, *, show_progress: bool = False) -> Any:
        vectors = super().encode(texts)
        for row, text in enumerate(texts):
            if "broken" in text:
                vectors[row] = np.nan
        return vectors


@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "coroutines"])
@pytest.mark.parametrize("where", ["server", "embedded"])
def test_documents_are_named_by_their_own_ids(
    loopback: LoopbackQdrant, tmp_path: Path, asynchronous: bool, where: str
) -> None:
    store: ServerStore | EdgeStore
    store = EdgeStore(tmp_path) if where == "embedded" else ServerStore.open(loopback.url)
    collection = Collection.open("mine", encoder=Picky(), store=store)
    documents = [Document(f"text {n}", f"id {n}") for n in range(600)]
    documents[333] = Document("broken", "the broken one")

    def add() -> list[str]:
        return (
            asyncio.run(collection.aadd(documents)) if asynchronous else collection.add(documents)
        )

    with pytest.raises(WriteRejectedError) as caught:
        add()
    assert caught.value.ids == ["the broken one"]
    assert collection.count() == 599
    store.close()


async def test_adding_never_holds_the_event_loop(loopback: LoopbackQdrant, store: Store) -> None:
    """No request is answered before the loop has turned: holding it would wait for ever."""
    collection = await Collection.aopen("texts", encoder=FakeEncoder(), store=store)
    hold = Hold()
    loopback.faults = Faults(hold=hold)

    async def turn_and_let_go() -> None:
        await asyncio.to_thread(hold.reached.wait)
        hold.open()

    turning = asyncio.create_task(turn_and_let_go())
    await collection.aadd(f"text {number}" for number in range(1500))
    await turning
    assert store.count("texts") == 1500


async def test_a_cancelled_add_ends_before_its_documents_do(
    loopback: LoopbackQdrant, store: Store
) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"text {read}"

    collection = await Collection.aopen("texts", encoder=FakeEncoder(), store=store)
    adding = asyncio.create_task(collection.aadd(endless()))
    while await collection.acount() == 0:
        pass
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    before = read
    assert 0 < await collection.acount() <= read
    assert read == before, "nothing goes on in the background"
