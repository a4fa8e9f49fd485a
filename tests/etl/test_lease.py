"""Two runs on one source: the second is refused, and a dead one's lease is taken over."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from multiqa_integrations.errors import (
    CollectionWarning,
    LeaseError,
    StoreError,
    StoreUnavailableError,
    SyncIncompleteError,
)
from multiqa_integrations.etl import sync, verify
from multiqa_integrations.etl.job import Job, JobOptions
from multiqa_integrations.etl.open_source import open_source
from multiqa_integrations.qdrant import EdgeStore, Store, open_store
from multiqa_integrations.qdrant.lease import RENEWED_SECONDS, Lease
from multiqa_integrations.qdrant.lease_record import CLOCK_SECONDS, EXPIRES_SECONDS
from multiqa_integrations.qdrant.lease_record import machine as this_machine
from multiqa_integrations.qdrant.retry import retrying
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

Found = Callable[[], dict[str, Any]]

KEY = "multiqa.lease.default"
NOBODYS: list[object] = [0, -1, 10**30, True, 1.0, "7", None, []]
ROWS = [{"id": n, "text": f"Text {n}."} for n in range(5)]


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Store]:
    with EdgeStore(tmp_path) as opened:
        sync(ROWS, "docs", store=opened, encoder=FakeEncoder())
        yield opened


def metadata_of(store: Store, name: str = "docs") -> Any:
    info = store.info(name)
    assert info is not None
    return info.metadata


def someone(*, pid: object, seconds_ago: float, **machine: str) -> dict[str, Any]:
    """The lease of a run; on this machine unless another one is named."""
    moment = datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)
    renewed = {"since": "then", "renewed": moment.isoformat()}
    return {"run": "x", **this_machine(), "pid": pid, **renewed, **machine}


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def job(store: Store, **options: Any) -> Job:
    return Job(
        store=store,
        collection="docs",
        encoder=FakeEncoder(),
        source=open_source(ROWS),
        options=JobOptions(**options),
    )


def test_a_second_run_is_refused_while_the_first_is_at_work(store: Store, name: str) -> None:
    first_reads = threading.Event()
    second_is_done = threading.Event()

    def slowly() -> Iterator[dict[str, Any]]:
        first_reads.set()
        assert second_is_done.wait(60)
        yield from ROWS

    def first() -> None:
        sync(slowly(), name, store=store, encoder=FakeEncoder())

    thread = threading.Thread(target=first)
    thread.start()
    assert first_reads.wait(60)
    with pytest.raises(LeaseError, match=rf"process {os.getpid()} on"):
        sync(ROWS, name, store=store, encoder=FakeEncoder())
    other = sync(ROWS, name, store=store, encoder=FakeEncoder(), source_name="other")
    assert other.added == 5
    second_is_done.set()
    thread.join()
    assert metadata_of(store, name) == {}
    assert sync(ROWS, name, store=store, encoder=FakeEncoder()).unchanged == 5


@pytest.mark.parametrize(
    "found",
    [
        lambda: someone(pid=dead_pid(), seconds_ago=1),
        lambda: someone(pid=os.getpid(), seconds_ago=1),  # used again
        lambda: someone(host="elsewhere", pid=1, seconds_ago=EXPIRES_SECONDS + 5),
        lambda: {"run": "not readable"},
        lambda: ["not", "a", "lease"],
        # Nobody's: process ids that none can have, moments that no clock shows.
        *[lambda pid=pid: someone(pid=pid, seconds_ago=1) for pid in NOBODYS],
        *[lambda pid=pid: someone(host="elsewhere", pid=pid, seconds_ago=1) for pid in NOBODYS],
        lambda: someone(host="elsewhere", pid=1, seconds_ago=-CLOCK_SECONDS - 5),
        lambda: someone(host="elsewhere", pid=1, seconds_ago=-30 * 86_400),
        *[
            lambda moment=moment: {
                **someone(host="elsewhere", pid=1, seconds_ago=0),
                "renewed": moment,
            }
            for moment in (None, 0, "then", "9999-12-31T23:59:59-23:59", "2024-01-01T00:00:00")
        ],
    ],
)
def test_the_lease_of_a_dead_run_is_taken_over(embedded: Store, found: Found) -> None:
    embedded.annotate("docs", KEY, found())
    assert sync(ROWS, "docs", store=embedded, encoder=FakeEncoder()).unchanged == 5
    assert metadata_of(embedded) == {}


@pytest.mark.parametrize(
    "found",
    [
        lambda: someone(host="elsewhere", pid=1, seconds_ago=EXPIRES_SECONDS - 30),
        lambda: someone(pid=os.getppid(), seconds_ago=1),
        lambda: someone(host="elsewhere", pid=1, seconds_ago=-CLOCK_SECONDS + 10),
        lambda: {
            **someone(host="elsewhere", pid=1, seconds_ago=0),
            "renewed": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        },
        # Containers may share a host name; a process id of another one says nothing here.
        lambda: someone(boot="another machine's", pid=dead_pid(), seconds_ago=1),
        lambda: someone(pids="pid:[1]", pid=os.getpid(), seconds_ago=1),
    ],
)
def test_the_lease_of_a_living_run_is_not(embedded: Store, found: Found) -> None:
    lease = found()
    embedded.annotate("docs", KEY, lease)
    with pytest.raises(LeaseError, match="another run is working"):
        sync(ROWS, "docs", store=embedded, encoder=FakeEncoder())
    assert metadata_of(embedded) == {KEY: lease}


def test_a_node_that_does_not_know_the_lease_yet_is_asked_again(embedded: Store) -> None:
    """Of a cluster: for some milliseconds it still shows what was there before."""
    info, looks = embedded.info, 0

    def stale(collection: str) -> Any:
        nonlocal looks
        found, looks = info(collection), looks + 1
        if found is None or looks > 3:
            return found
        return dataclasses.replace(found, metadata={KEY: someone(pid=dead_pid(), seconds_ago=1)})

    embedded.info = stale  # type: ignore[method-assign]
    with job(embedded).lease() as lease:
        assert looks == 4
        assert lease.kept
        assert metadata_of(embedded)[KEY]["run"] != "x"
    assert metadata_of(embedded) == {}


def test_of_two_runs_in_one_instant_one_gives_way(embedded: Store) -> None:
    """Both have looked before either writes; the second overwrites the first one's lease."""
    annotate = embedded.annotate
    second = job(embedded).lease()

    def both(collection: str, key: str, value: Any) -> None:
        embedded.annotate = annotate  # type: ignore[method-assign]
        second.check_free()
        annotate(collection, key, value)
        second.check_free = lambda: embedded.info(collection)  # type: ignore[method-assign]
        second.__enter__()

    embedded.annotate = both  # type: ignore[method-assign]
    with pytest.raises(LeaseError, match="began in the same moment"), job(embedded).lease():
        pass
    assert metadata_of(embedded)[KEY]["run"] != "x"
    second.__exit__(None, None, None)
    assert metadata_of(embedded) == {}


def test_a_run_that_lost_its_lease_stops(embedded: Store) -> None:
    now = [0.0]
    taken = someone(host="elsewhere", pid=1, seconds_ago=0)

    def run() -> None:
        with job(embedded).lease(lambda: now[0]) as lease:
            embedded.annotate("docs", KEY, taken)
            lease.renew()  # not yet the time to look
            now[0] += RENEWED_SECONDS
            lease.renew()

    with pytest.raises(LeaseError, match="taken the source"):
        run()
    assert metadata_of(embedded) == {KEY: taken}  # it is the other's


def test_a_run_that_lost_its_lease_deletes_nothing(embedded: Store) -> None:
    """It looks before it prunes, however lately its lease was renewed."""
    rows = [{"id": n, "text": f"text {n}"} for n in range(3)]
    sync(rows, "docs", encoder=FakeEncoder(), store=embedded)
    before = embedded.count("docs")
    taken = someone(host="elsewhere", pid=1, seconds_ago=0)

    def fewer() -> Iterator[dict[str, Any]]:
        yield rows[0]
        embedded.annotate("docs", KEY, taken)
        yield rows[1]

    pruning: dict[str, Any] = {"prune": True, "max_delete_share": 1.0}
    with pytest.raises(LeaseError, match="taken the source"):
        sync(fewer(), "docs", encoder=FakeEncoder(), store=embedded, **pruning)
    assert embedded.count("docs") == before
    assert metadata_of(embedded) == {KEY: taken}


def test_a_lease_is_renewed(embedded: Store) -> None:
    now = [0.0]
    with job(embedded, shard=(1, 4)).lease(lambda: now[0]) as lease:
        (key,) = metadata_of(embedded)
        assert key == f"{KEY}/1of4"  # shards do not keep each other out
        first = metadata_of(embedded)[key]
        embedded.annotate("docs", key, {**first, "renewed": "long ago"})
        now[0] += RENEWED_SECONDS
        lease.renew()
        assert metadata_of(embedded)[key]["renewed"] != "long ago"
    assert metadata_of(embedded) == {}


def test_a_failed_run_gives_its_lease_back(embedded: Store) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield ROWS[0]
        raise RuntimeError("a bug in the user's generator")

    with pytest.raises(RuntimeError, match="a bug"):
        sync(failing(), "docs", store=embedded, encoder=FakeEncoder())
    assert metadata_of(embedded) == {}


def test_a_server_that_was_waited_for_is_asked_once_to_take_the_lease_back(
    loopback: LoopbackQdrant,
) -> None:
    with open_store(url=loopback.url) as store:
        sync(ROWS, "docs", store=store, encoder=FakeEncoder())

        def lose_the_server() -> None:
            with retrying(300.0), Lease(store, "docs", source="default"):
                loopback.faults.away = 3
                raise StoreUnavailableError("no answer for five minutes")

        with pytest.raises(StoreUnavailableError, match="five minutes"):
            lose_the_server()
        assert loopback.faults.away == 2


def test_no_lease_keeps_a_run_out_for_longer_than_three_minutes() -> None:
    assert CLOCK_SECONDS + EXPIRES_SECONDS <= 180


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ({"shard": (0, 4)}, {"shard": (1, 4)}, True),
        ({"shard": (0, 4)}, {"shard": (0, 4)}, False),
        ({"shard": (0, 4)}, {"shard": (1, 3)}, False),
        ({"shard": (0, 4)}, {"prune": True}, False),
        ({"prune": True}, {"shard": (0, 4)}, False),
        ({}, {"shard": (0, 4)}, False),
        ({"shard": (0, 4)}, {"source_name": "other", "prune": True}, True),
        ({"source_name": "default.b"}, {"shard": (0, 4)}, True),
    ],
)
def test_runs_over_the_same_documents_keep_each_other_out(
    embedded: Store, first: dict[str, Any], second: dict[str, Any], together: bool
) -> None:
    before = embedded.count("docs")

    def meanwhile() -> Iterator[dict[str, Any]]:
        if together:
            assert sync(ROWS, "docs", store=embedded, encoder=FakeEncoder(), **second).complete
        else:
            with pytest.raises(LeaseError, match="another run is working"):
                sync(ROWS, "docs", store=embedded, encoder=FakeEncoder(), **second)
        yield from ROWS

    sync(meanwhile(), "docs", store=embedded, encoder=FakeEncoder(), **first)
    assert metadata_of(embedded) == {}
    assert embedded.count("docs") >= before


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_collection_that_is_dropped_during_a_run(embedded: Store, made_anew: bool) -> None:
    """What was found unchanged is gone: such a run is not complete, and the next one repairs it."""

    def source() -> Iterator[dict[str, Any]]:
        yield from ROWS[:4]
        embedded.drop("docs")
        if made_anew:
            sync([], "docs", store=embedded, encoder=FakeEncoder(), source_name="other")
        yield ROWS[4]

    with pytest.raises((SyncIncompleteError, StoreError)) as caught:
        sync(source(), "docs", store=embedded, encoder=FakeEncoder(), prune=True)
    if made_anew:
        assert isinstance(caught.value, SyncIncompleteError)
        assert "made anew" in str(caught.value)
    assert sync(ROWS, "docs", store=embedded, encoder=FakeEncoder()).complete
    assert embedded.count("docs") == 5


@pytest.mark.parametrize("other", ["another run", "another collection"])
def test_nothing_stale_is_deleted_once_the_source_is_another_runs(
    embedded: Store, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was suspended: between its last look and its first deletion all may change."""
    long = " ".join(f"Sentence {n} of a text that has many chunks." for n in range(60))
    row = {"id": 0, "text": long}
    sync([row], "docs", store=embedded, encoder=FakeEncoder(), chunk_size=16)
    before = embedded.count("docs")
    deleted: list[object] = []

    class Suspended(FakeEncoder):
        def encode_document(self, texts: Any, **options: Any) -> Any:
            if other == "another run":
                taken = someone(host="elsewhere", pid=1, seconds_ago=0)
                embedded.annotate("docs", KEY, taken)
            else:
                embedded.drop("docs")
                sync([row], "docs", store=embedded, encoder=FakeEncoder(), chunk_size=16)
            return super().encode_document(texts, **options)

    def delete(*arguments: Any, **options: Any) -> None:
        deleted.append(options)

    expected = LeaseError if other == "another run" else SyncIncompleteError
    monkeypatch.setattr(embedded, "delete", delete)
    with pytest.raises(expected):
        sync([{"id": 0, "text": "Short."}], "docs", store=embedded, encoder=Suspended())
    assert deleted == []
    assert embedded.count("docs") >= min(before, 2)


# --- keys with few rights -----------------------------------------------------------------------


def test_a_key_that_may_write_points_alone_keeps_its_lease_in_one(loopback: LoopbackQdrant) -> None:
    with open_store(url=loopback.url) as store:
        sync(ROWS[:1], "docs", store=store, encoder=FakeEncoder())
        loopback.faults.forbidden = frozenset({"update"})

        def source() -> Iterator[dict[str, Any]]:
            yield ROWS[0]
            with pytest.raises(LeaseError, match="another run is working on the source"):
                sync(ROWS, "docs", store=store, encoder=FakeEncoder())
            raw = loopback.client.scroll("docs", limit=10, with_vectors=True)[0]
            assert [record.vector for record in raw].count({}) == 1, "no search finds the lease"
            # Nothing of this package shows it.
            assert len(store.scroll("docs")[0]) == store.count("docs") == 1
            nothing = models.IsEmptyCondition(is_empty=models.PayloadField(key="page_content"))
            assert store.count("docs", filter=models.Filter(must=[nothing])) == 0
            assert list(store.annotations_in_points("docs")) == [KEY]
            yield from ROWS[1:]

        report = sync(source(), "docs", store=store, encoder=FakeEncoder(), prune=True)
        assert (report.added, report.unchanged) == (len(ROWS) - 1, 1)
        assert loopback.client.count("docs").count == len(ROWS), "the lease was given back"
        assert verify(ROWS, "docs", store=store, encoder=FakeEncoder()).fits


def test_leases_in_points_and_in_metadata_keep_each_other_out(loopback: LoopbackQdrant) -> None:
    def lease(of: Store) -> Lease:
        return Lease(of, "docs", source="default")

    with open_store(url=loopback.url) as store:
        sync(ROWS[:1], "docs", store=store, encoder=FakeEncoder())
        for first, second in ((frozenset({"update"}), frozenset()), ((), {"update"})):
            loopback.faults.forbidden = frozenset(first)
            with lease(store):
                loopback.faults.forbidden = frozenset(second)
                with pytest.raises(LeaseError):
                    lease(store).__enter__()
                loopback.faults.forbidden = frozenset(first)
        # What a killed run has left in a point does not stand against a newer one in the metadata.
        loopback.faults.forbidden = frozenset({"update"})
        killed = {"run": "killed", "renewed": "2020-01-01T00:00:00+00:00", "pid": 1}
        store.annotate("docs", "multiqa.lease.default", killed)
        loopback.faults.forbidden = frozenset()
        with lease(store) as taken:
            assert taken.kept
        assert loopback.client.count("docs").count == 1


def test_a_key_that_may_write_nothing_has_no_lease(loopback: LoopbackQdrant) -> None:
    with open_store(url=loopback.url) as store:
        sync(ROWS, "docs", store=store, encoder=FakeEncoder())
        loopback.faults.forbidden = frozenset({"update", "upsert"})
        with pytest.warns(CollectionWarning, match="no lease keeps other runs") as caught:
            report = sync(ROWS, "docs", store=store, encoder=FakeEncoder())
        assert (report.unchanged, len(caught)) == (len(ROWS), 1)
