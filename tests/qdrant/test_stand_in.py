"""What the stand-in for a server does on demand, and how this package takes it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from multiqa_integrations.etl import sync
from multiqa_integrations.qdrant import CollectionSchema, Point, PointQuery, Store, open_store
from multiqa_integrations.qdrant.replicas import reading_all_replicas
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

VECTOR = np.eye(384, dtype=np.float32)[0]


@pytest.fixture
def store(loopback: LoopbackQdrant) -> Iterator[Store]:
    # The client keeps no connection alive to what is literally 127.0.0.1.
    with open_store(url=loopback.url.replace("127.0.0.1", "127.1")) as opened:
        opened.ensure("docs", CollectionSchema(fingerprint="f"), replication_factor=2)
        opened.upsert("docs", [Point(n, {"": VECTOR}, {"n": n}) for n in range(6)])
        yield opened


def test_a_connection_that_the_server_closed_meanwhile(
    loopback: LoopbackQdrant, store: Store
) -> None:
    loopback.keep_alive = 0.01
    for _ in range(3):
        assert store.count("docs") == 6
        loopback.wait_for_connections(0)


def test_a_replica_that_fell_behind_answers_some_reads(
    loopback: LoopbackQdrant, store: Store
) -> None:
    loopback.fall_behind()
    store.upsert("docs", [Point(7, {"": VECTOR}), Point(0, {"": VECTOR}, {"n": "new"})])
    assert {len(store.retrieve("docs", [7])) for _ in range(2)} == {0, 1}
    assert {len(store.scroll("docs")[0]) for _ in range(2)} == {6, 7}
    with reading_all_replicas():
        found = [store.retrieve("docs", [7, 0, 1]) for _ in range(4)]
    assert [[point.id for point in points] for points in found] == [[1]] * 4


def test_what_one_replica_lacks_is_written_again(loopback: LoopbackQdrant, store: Store) -> None:
    rows = [{"id": str(n), "text": f"Text {n}."} for n in range(4)]
    encoder = FakeEncoder()
    store.ensure("jobs", CollectionSchema.of(encoder), replication_factor=2)
    loopback.fall_behind()
    assert sync(rows, "jobs", store=store, encoder=encoder).added == 4
    again = sync(rows, "jobs", store=store, encoder=encoder)
    assert (again.encoded, again.unchanged) == (4, 0)
    loopback.replica = None
    last = sync(rows, "jobs", store=store, encoder=encoder)
    assert (last.encoded, last.unchanged) == (0, 4)


def test_hits_of_equal_scores_come_in_any_order(loopback: LoopbackQdrant, store: Store) -> None:
    loopback.faults.tied = True
    query = PointQuery(vector=VECTOR, limit=6)
    orders = {tuple(point.id for point in store.query("docs", query)) for _ in range(20)}
    assert len(orders) > 1
    assert {frozenset(order) for order in orders} == {frozenset(range(6))}
