"""A write that failed stayed on one replica: that one is not the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from multiqa_integrations.errors import CollectionWarning
from multiqa_integrations.etl import plan, sync, verify
from multiqa_integrations.qdrant import Store, copy, open_store, reembed
from multiqa_integrations.qdrant.server import replicas
from multiqa_integrations.testing import FakeEncoder
from tests.support.faults import Faults
from tests.support.loopback_qdrant import LoopbackQdrant

ROWS = [{"id": n, "text": f"Text {n}."} for n in range(30)]
WHERE: dict[str, Any] = {"encoder": FakeEncoder()}
LACKING = frozenset({"Text 3.", "Text 17."})


@pytest.fixture
def cluster(loopback: LoopbackQdrant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A collection of two replicas, all of whose points are on the one that is asked first."""
    monkeypatch.setattr(replicas, "_SECONDS", 0.0)
    with open_store(url=loopback.url) as store:
        store.look_seconds = 0.0
        sync(ROWS, "docs", store=store, **WHERE)
        loopback.faults = Faults(replicas=2)
        loopback.seen.clear()
        yield store


def test_jobs_ask_all_replicas(cluster: Store, loopback: LoopbackQdrant) -> None:
    assert sync(ROWS, "docs", store=cluster, **WHERE).unchanged == 30
    assert loopback.seen["retrieve of all"] == loopback.seen["retrieve"] > 0
    # A page of what some lack would look like the last one.
    assert loopback.seen["scroll of all"] == 0
    loopback.faults.lacking = LACKING
    assert plan(ROWS, "docs", store=cluster, **WHERE).added == 2
    report = verify(ROWS, "docs", store=cluster, **WHERE)
    assert report.differences["missing"] == 2
    assert copy(cluster, cluster, "docs", to="copy").points == 28
    assert reembed(cluster, "docs", FakeEncoder(seed=1), to="new").points == 28
    # They are written once more, to all replicas.
    assert sync(ROWS, "docs", store=cluster, **WHERE).added == 2
    loopback.faults.lacking = frozenset()
    assert sync(ROWS[:29], "docs", store=cluster, prune=True, **WHERE).deleted == 1
    assert verify(ROWS[:29], "docs", store=cluster, **WHERE).fits


def test_nothing_is_sent_where_there_is_one_replica(
    cluster: Store, loopback: LoopbackQdrant
) -> None:
    loopback.faults = Faults()
    assert sync(ROWS, "docs", store=cluster, **WHERE).unchanged == 30
    assert not [kind for kind in loopback.seen if " of " in kind]


def test_a_consistency_of_the_user_s_stays(loopback: LoopbackQdrant, cluster: Store) -> None:
    with open_store(url=loopback.url, consistency="majority") as store:
        assert sync(ROWS, "docs", store=store, **WHERE).unchanged == 30
    assert loopback.seen["scroll of majority"] > 0
    assert loopback.seen["retrieve of all"] == 0


@pytest.mark.parametrize(
    ("count", "down", "words"),
    [(3, 1, "so more than half of the replicas decided"), (2, 1, "so one replica of each shard")],
)
def test_a_node_that_is_down_is_said(
    cluster: Store, loopback: LoopbackQdrant, count: int, down: int, words: str
) -> None:
    loopback.faults = Faults(replicas=count, down=down)
    with pytest.warns(CollectionWarning, match=words) as caught:
        assert sync(ROWS, "docs", store=cluster, **WHERE).unchanged == 30
    assert len(caught) == 1
