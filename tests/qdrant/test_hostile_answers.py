"""Answers that are well-formed and wrong: a typed error at once, or what can be trusted of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import StoreError
from multiqa_integrations.etl import sync
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    Point,
    PointQuery,
    Store,
    open_store,
)
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

VECTOR = np.eye(384, dtype=np.float32)[0]
QUERY = PointQuery(vector=VECTOR, limit=2)


@pytest.fixture
def store(loopback: LoopbackQdrant) -> Iterator[Store]:
    with open_store(url=loopback.url, wait=0) as opened:
        opened.ensure("docs", CollectionSchema(fingerprint="f"))
        opened.upsert("docs", [Point(n, {"": VECTOR}, {"n": n}) for n in range(5)])
        yield opened


ASK: dict[str, Callable[[Store], Any]] = {
    "query": lambda store: store.query("docs", QUERY),
    "query_batch": lambda store: store.query_batch("docs", [QUERY, QUERY]),
    "scroll": lambda store: store.scroll("docs"),
    "retrieve": lambda store: store.retrieve("docs", [1]),
    "count": lambda store: store.count("docs"),
    "info": lambda store: store.info("docs"),
    "collections": lambda store: store.collections(),
    "aliases": lambda store: store.aliases(),
    "upsert": lambda store: store.upsert("docs", [Point(1, {"": VECTOR})]),
    "delete": lambda store: store.delete("docs", ids=[1]),
}


def scored(**changes: Any) -> Callable[[Any], Any]:
    return lambda _: {"points": [{"id": 1, "version": 1, "score": 1.0, **changes}]}


WRONG: list[tuple[str, Callable[[Any], Any]]] = [
    ("query", scored(score=float("nan"))),
    ("query", scored(score=float("inf"))),
    ("query", scored(score=None)),
    ("query", scored(score="best")),
    ("query", scored(payload=[1])),
    ("query", scored(vector="x")),
    ("query", scored(id=None)),
    ("query_batch", lambda result: result[:1]),
    ("query_batch", lambda result: [*result, *result]),
    ("query_batch", lambda _: []),
    ("query_batch", lambda result: [result[0], scored(score=float("nan"))(None)]),
    ("scroll", lambda result: {**result, "points": [{"id": 1, "payload": "x"}]}),
    ("scroll", lambda result: {**result, "next_page_offset": [1]}),
    ("scroll", lambda result: {**result, "next_page_offset": 0}),
    ("retrieve", lambda _: [{"id": "x"}, {"payload": {}}]),
    ("count", lambda _: {"count": None}),
    ("count", lambda _: {"count": "many"}),
    ("info", lambda result: {**result, "config": None}),
    ("info", lambda result: {**result, "status": "purple"}),
    ("collections", lambda _: {"collections": [{"name": None}]}),
    ("aliases", lambda _: {"aliases": "none"}),
    ("upsert", lambda _: {"operation_id": 1, "status": "maybe"}),
    ("delete", lambda _: {"operation_id": 1, "status": None}),
    *[(kind, lambda _: None) for kind in ASK],
    *[(kind, lambda _: "a login page") for kind in ASK],
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_typed_error_at_once(loopback: LoopbackQdrant, store: Store, number: int) -> None:
    kind, wrong = WRONG[number]
    asked = loopback.seen[kind]
    loopback.faults.tampered = {kind: wrong}
    with pytest.raises(StoreError):
        ASK[kind](store)
    assert loopback.seen[kind] <= asked + 2


def test_more_than_was_asked_for_is_left_out(loopback: LoopbackQdrant, store: Store) -> None:
    def more(result: Any) -> Any:
        return {"points": result["points"] * 50}

    loopback.faults.tampered = {"query": more, "retrieve": lambda result: result * 2}
    assert len(store.query("docs", QUERY)) == 2
    assert [point.id for point in store.retrieve("docs", [1])] == [1]


OURS = FakeEncoder().fingerprint


@pytest.mark.parametrize(
    ("written", "fingerprint"),
    [
        ("x", "absent"),
        (5, "absent"),
        ([1], "absent"),
        ({}, "absent"),
        ({"fingerprint": 5}, "absent"),
        ({"fingerprint": [OURS]}, "absent"),
        ({"fingerprint": {"a": 1}}, "absent"),
        ({"fingerprint": OURS, "identity": [1], "model": 7}, "matches"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::multiqa_integrations.errors.CollectionWarning")
def test_metadata_of_the_collection_of_other_types(written: Any, fingerprint: str) -> None:
    client = QdrantClient(":memory:")
    client.create_collection(
        "docs",
        vectors_config=models.VectorParams(size=384, distance=models.Distance.COSINE),
        metadata={"multiqa": written},
    )
    with Collection.open("docs", encoder=FakeEncoder(), client=client) as docs:
        assert docs.report.fingerprint == fingerprint
        docs.add(["a"])
        assert sync(
            [{"id": "1", "text": "b"}], "docs", encoder=FakeEncoder(), store=docs.store
        ).added
        assert (
            Collection.open("docs", encoder=FakeEncoder(), client=client, adopt=True).count() == 2
        )
