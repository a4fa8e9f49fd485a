"""A worker's writer writes only as long as the lease is that of its run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from multiqa_integrations.errors import LeaseError, StoreUnavailableError
from multiqa_integrations.qdrant import Point, Store, open_store
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.lease_record import EXPIRES_SECONDS
from multiqa_integrations.qdrant.retry import retrying
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.writer import Writer
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

KEY = "multiqa.lease.default"
ENCODER = FakeEncoder()
Change = Callable[[dict[str, Any]], Any]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(loopback: LoopbackQdrant) -> Iterator[Store]:
    with open_store(url=loopback.url) as opened:
        yield opened


def point(number: int) -> Point:
    (vector,) = ENCODER.encode([f"text {number}"])
    return Point(number, {"": vector}, {})


def aged(lease: dict[str, Any]) -> dict[str, Any]:
    moment = datetime.now(timezone.utc) - timedelta(seconds=EXPIRES_SECONDS + 5)
    return {**lease, "renewed": moment.isoformat()}


@pytest.mark.parametrize(
    "change",
    [lambda lease: {**lease, "run": "another"}, lambda lease: None, aged],
    ids=["another run's", "given back", "not renewed"],
)
def test_nothing_is_written_once_the_lease_is_gone(
    store: Store, name: str, change: Change, loopback: LoopbackQdrant
) -> None:
    schema, clock = CollectionSchema.of(ENCODER), Clock()
    store.ensure(name, schema)
    with Lease(store, name, source="default") as lease:
        writer = Writer(store, name, schema, clock, token=lease.token)
        writer.upsert([point(1)])
        info = store.info(name)
        assert info is not None
        store.annotate(name, KEY, change(info.metadata[KEY]))
        clock.now += 2 * store.look_seconds
        with pytest.raises(LeaseError, match="no longer that of this run"):
            writer.upsert([point(2)])
        with pytest.raises(LeaseError):
            writer.delete([1])
        with pytest.raises(LeaseError):
            writer.confirm()
    assert [found.id for found in store.scroll(name)[0]] == [1]


def test_a_worker_that_was_cut_off_looks_before_it_writes_again(
    store: Store, name: str, loopback: LoopbackQdrant
) -> None:
    schema, clock = CollectionSchema.of(ENCODER), Clock()
    store.ensure(name, schema)
    with Lease(store, name, source="default") as lease:
        writer = Writer(store, name, schema, clock, token=lease.token)
        writer.confirm()
        info = store.info(name)
        assert info is not None
        taken = {**info.metadata[KEY], "run": "another"}
        upsert = store.upsert

        def cut_off(collection: str, points: Any) -> None:
            """Do not reach the server for so long that another run takes over."""
            loopback.client.update_collection(name, metadata={KEY: taken})
            clock.now += 2 * store.look_seconds
            store.upsert = upsert  # type: ignore[method-assign]
            raise StoreUnavailableError("no answer")

        store.upsert = cut_off  # type: ignore[method-assign]
        with retrying(30.0), pytest.raises(LeaseError):
            writer.upsert([point(1)])
    assert store.count(name) == 0
