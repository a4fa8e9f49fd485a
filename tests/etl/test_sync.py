"""Syncing over every engine: what is stored, what is left alone, what is deleted."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import (
    CollectionMismatchError,
    ConfigurationError,
    ModelIntegrityError,
    PruneRefusedError,
    SourceError,
    SyncError,
    SyncIncompleteError,
)
from multiqa_integrations.etl import (
    Fields,
    Progress,
    Record,
    SyncReport,
    aio,
    plan,
    sync,
    verify,
)
from multiqa_integrations.etl.seen import Seen
from multiqa_integrations.qdrant import Collection, EdgeStore, Point, Store, reembed
from multiqa_integrations.testing import FakeEncoder

Row = dict[str, Any]


class CountingEncoder(FakeEncoder):
    """Counts the texts that it encodes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.encoded = 0

    def encode_document(self, texts: Any, *, show_progress: bool = False) -> Any:
        self.encoded += len(texts)
        return super().encode_document(texts)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Store]:
    with EdgeStore(tmp_path / "store") as store:
        yield store


def rows(count: int, *, start: int = 0, words: int = 5) -> list[Row]:
    return [
        {"id": f"d{i}", "text": f"Document number {i}. " + "More of it. " * words, "n": i}
        for i in range(start, start + count)
    ]


def stored(store: Store, name: str) -> list[Point]:
    points: list[Point] = []
    offset = None
    while True:
        page, offset = store.scroll(name, offset=offset, with_vectors=True)
        points += page
        if offset is None:
            return points


def snapshot(store: Store, name: str) -> dict[Any, Any]:
    """Everything that a collection holds."""
    return {
        point.id: (point.payload, np.round(point.vectors[""], 5).tobytes())  # type: ignore[arg-type]
        for point in stored(store, name)
    }


def fresh(tmp_path: Path, source: list[Row], **options: Any) -> dict[Any, Any]:
    """What a collection holds that was filled from a source once."""
    with EdgeStore(tmp_path / "fresh") as store:
        store.drop("docs")
        sync(source, "docs", store=store, encoder=FakeEncoder(), **options)
        return snapshot(store, "docs")


def counts(report: SyncReport) -> tuple[int, int, int, int, int]:
    return report.added, report.changed, report.metadata, report.unchanged, report.deleted


def test_a_collection_becomes_its_source(
    store: Store, name: str, encoder: CountingEncoder, tmp_path: Path
) -> None:
    first = rows(40)
    long = {"id": "long", "text": "A sentence of some words. " * 100, "n": -1}
    report = sync([*first, long], name, store=store, encoder=encoder)
    assert counts(report) == (41, 0, 0, 0, 0)
    assert report.complete
    assert report.encoded == encoder.encoded == store.count(name) > 42

    encoder.encoded = 0
    again = sync([*first, long], name, store=store, encoder=encoder)
    assert counts(again) == (0, 0, 0, 41, 0)
    assert encoder.encoded == 0

    second = [{**row, "n": -row["n"]} if row["n"] in (3, 4) else row for row in first[:35]]
    second[7]["text"] = "Something else."
    second += rows(2, start=100)
    report = sync([*second, {**long, "text": "Short now."}], name, store=store, encoder=encoder)
    assert counts(report) == (2, 2, 2, 32, 0)
    assert encoder.encoded == 4
    assert report.stale >= 2
    report = sync(
        [*second, {**long, "text": "Short now."}], name, store=store, encoder=encoder, prune=True
    )
    assert counts(report) == (0, 0, 0, 38, 5)
    assert report.pruning == "done"
    assert snapshot(store, name) == fresh(tmp_path, [*second, {**long, "text": "Short now."}])
    assert verify(
        [*second, {**long, "text": "Short now."}], name, store=store, encoder=encoder
    ).fits


def test_what_a_point_holds(embedded: Store) -> None:
    source = [
        {
            "slug": 7,
            "body": "First sentence of it. " * 8 + "Second part. " * 8,
            "head": {"line": " The title "},
            "author": {"name": "A", "mail": "b", "age": None},
            "tags": ["x"],
        }
    ]
    fields = Fields(
        id="slug", text="body", title="head.line", metadata=["author.name", "tags", "author.age"]
    )
    encoder = FakeEncoder()
    sync(source, "docs", store=embedded, encoder=encoder, fields=fields, chunk_size=40)
    points = sorted(stored(embedded, "docs"), key=lambda point: point.payload["metadata"]["chunk"])
    assert len(points) > 1
    covered = ""
    for number, point in enumerate(points):
        payload = point.payload
        metadata = payload["metadata"]
        content = payload["page_content"]
        part = source[0]["body"][metadata["start_index"] : metadata["end_index"]]  # type: ignore[index]
        assert content == f"The title\n{part}"
        assert encoder.count_tokens([content])[0] <= 40
        covered += part + " "
        assert {"author": {"name": "A"}, "tags": ["x"], "document_id": "7", "chunk": number} == {
            key: one for key, one in metadata.items() if not key.endswith("_index")
        }
        own = payload["_multiqa"]
        assert own["fingerprint"] == encoder.fingerprint
        assert (own["source"], own["document"]) == ("default", "7")
        assert (own["chunk"], own["chunks"]) == (number, len(points))
        np.testing.assert_allclose(point.vectors[""], encoder.encode([content])[0], atol=1e-6)  # type: ignore[arg-type]
    assert covered.split() == str(source[0]["body"]).split()


def test_words_are_found_too_where_the_collection_can(embedded: Store) -> None:
    encoder = FakeEncoder()
    sync(rows(3), "docs", store=embedded, encoder=encoder, sparse=True)
    collection = Collection.open("docs", store=embedded, encoder=encoder)
    assert collection.search("number 2", hybrid=True, limit=1)[0].metadata["document_id"] == "d2"
    # An existing collection is filled as it is, asked for or not.
    sync([*rows(3), {"id": "w", "text": "wombat"}], "docs", store=embedded, encoder=encoder)
    assert all("bm25" in point.vectors for point in stored(embedded, "docs"))


def test_sources_of_one_collection_leave_each_other_alone(embedded: Store) -> None:
    encoder = FakeEncoder()
    Collection.open("docs", store=embedded, encoder=encoder).add(["by hand"], ids=["d0"])
    sync(rows(5), "docs", store=embedded, encoder=encoder, source_name="a")
    sync(rows(5), "docs", store=embedded, encoder=encoder, source_name="b")
    assert embedded.count("docs") == 11
    report = sync(rows(4), "docs", store=embedded, encoder=encoder, source_name="a", prune=True)
    assert report.deleted == 1
    assert embedded.count("docs") == 10


def test_every_document_is_of_one_shard(embedded: Store, tmp_path: Path) -> None:
    added = 0
    for part in range(3):
        report = sync(rows(50), "docs", store=embedded, encoder=FakeEncoder(), shard=(part, 3))
        assert 5 < report.added < 30
        added += report.added
        found = verify(rows(50), "docs", store=embedded, encoder=FakeEncoder(), shard=(part, 3))
        assert found.fits
    assert added == 50
    assert snapshot(embedded, "docs") == fresh(tmp_path, rows(50))


@pytest.mark.parametrize("other", [{"shard": (0, 2)}, {"limit": 3}])
def test_pruning_needs_the_whole_source(embedded: Store, other: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="prune does not go with"):
        sync(rows(3), "docs", store=embedded, encoder=FakeEncoder(), prune=True, **other)
    assert embedded.collections() == []


def test_pruning_is_refused_where_it_looks_wrong(embedded: Store) -> None:
    where: dict[str, Any] = {"store": embedded, "encoder": FakeEncoder(), "prune": True}
    sync(rows(20), "docs", **where)
    changed = [{**row, "text": "new"} for row in rows(10)]
    with pytest.raises(PruneRefusedError, match=r"10 of 20 documents.*50\.0%") as refused:
        sync(changed, "docs", **where)
    report = refused.value.report
    assert isinstance(report, SyncReport)
    assert report.changed == 10  # everything but the deleting was done
    assert embedded.count("docs") == 20
    with pytest.raises(PruneRefusedError, match="the source is empty"):
        sync([], "docs", **where)
    assert sync(changed, "docs", **where, max_delete_share=0.5).deleted == 10
    assert sync([], "docs", **where, allow_empty=True).deleted == 10
    assert embedded.count("docs") == 0


@pytest.mark.parametrize("first", [[], [{"id": "d1", "text": "text 1"}]])
def test_a_document_counts_once_however_often_its_record_is_bad(
    embedded: Store, first: list[dict[str, Any]]
) -> None:
    where: dict[str, Any] = {"store": embedded, "encoder": FakeEncoder(), "prune": True}
    sync(rows(20), "docs", **where)
    with pytest.raises(PruneRefusedError, match="19 of 20 documents"):
        sync([*first, *[{"id": "d1", "text": None}] * 100], "docs", **where)
    assert embedded.count("docs") == 20


def test_nothing_is_pruned_while_records_cannot_be_read(embedded: Store, tmp_path: Path) -> None:
    where: dict[str, Any] = {"store": embedded, "encoder": FakeEncoder(), "prune": True}
    sync(rows(20), "docs", **where)
    file = tmp_path / "broken.jsonl"
    lines = [json.dumps(row) for row in rows(20)]
    file.write_text("\n".join([*lines[:18], lines[18][:-5], lines[19]]))
    report = sync(file, "docs", **where)
    assert report.pruning == "left out"
    assert "could not be read" in report.note
    assert not report.complete
    assert embedded.count("docs") == 20
    # A record that is bad but says whose it is: the stored version of that document stays.
    lines[18] = json.dumps({"id": "d18", "text": None})
    file.write_text("\n".join(lines[:19]))
    report = sync(file, "docs", **where)
    assert (report.deleted, report.rejected, report.pruning) == (1, 1, "done")
    assert embedded.count("docs") == 19


def test_an_error_tells_that_pruning_was_left_out(embedded: Store) -> None:
    class Failing(FakeEncoder):
        def encode_document(self, texts: Any, *, show_progress: bool = False) -> Any:
            raise ModelIntegrityError("the weights are gone")

    sync(rows(5), "docs", store=embedded, encoder=FakeEncoder())
    with pytest.raises(ModelIntegrityError) as caught:
        sync(rows(6), "docs", store=embedded, encoder=Failing(), prune=True)
    report = caught.value.report
    assert isinstance(report, SyncReport)
    assert (report.ended, report.pruning) == (False, "left out")


@pytest.mark.parametrize("given", [0, 3, 1_000, 1_003])
def test_stopped_while_it_waits_for_the_source(embedded: Store, given: int) -> None:
    """As a signal does that comes while nothing comes from standard input."""
    sync(rows(5), "docs", store=embedded, encoder=FakeEncoder())
    stop = threading.Event()

    def source() -> Iterator[Row]:
        yield from rows(given)
        stop.set()

    with pytest.raises(SyncIncompleteError, match="it was stopped") as caught:
        sync(
            source(),
            "docs",
            store=embedded,
            encoder=FakeEncoder(),
            prune=True,
            allow_empty=True,
            max_delete_share=1.0,
            stop=stop,
        )
    report = caught.value.report
    assert isinstance(report, SyncReport)
    assert (report.ended, report.deleted, report.pruning) == (False, 0, "left out")
    assert embedded.count("docs") >= 5
    done = report.added + report.unchanged
    assert embedded.count("docs") == max(5, done)


def unindexed(store: Store, collection: str) -> int:
    """How many points were written since the collection was last optimised."""
    info = store.info(collection)
    assert info is not None
    assert info.indexed_vectors is not None
    return info.points - info.indexed_vectors


@pytest.mark.slow
def test_a_long_run_optimises_as_it_goes(embedded: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    optimized: list[tuple[int, int]] = []
    optimize = embedded.optimize

    def note(collection: str, *, minimum: int = 0, share: float = 0.0, merge: bool = True) -> None:
        before = unindexed(embedded, collection)
        optimize(collection, minimum=minimum, share=share, merge=merge)
        if unindexed(embedded, collection) < before:
            optimized.append((before, merge))

    monkeypatch.setattr(embedded, "optimize", note)
    job = sys.modules[sync.__module__]
    monkeypatch.setattr(job, "_OPTIMIZE_AFTER", 2_000)
    monkeypatch.setattr(job, "OPTIMIZE_AT", 5_000)
    report = sync(rows(6_500), "docs", store=embedded, encoder=FakeEncoder())
    assert report.added == embedded.count("docs") == 6_500
    *during, at_the_end = optimized
    assert len(during) >= 2
    assert all(new >= 2_000 and not merge for new, merge in during)
    assert at_the_end[1]
    assert unindexed(embedded, "docs") == 0


def test_a_source_that_breaks_off(embedded: Store) -> None:
    class Broken:
        name = "broken"
        total: int | None = None

        def __iter__(self) -> Iterator[Record]:
            for number, row in enumerate(rows(5), start=1):
                yield Record(number, row)
            raise SourceError("the disk is gone.", source=self.name, line=6)

        def fraction(self) -> float | None:
            return None

    sync(rows(9), "docs", store=embedded, encoder=FakeEncoder())
    changed = Broken()
    with pytest.raises(SyncIncompleteError, match="the disk is gone") as caught:
        sync(changed, "docs", store=embedded, encoder=FakeEncoder(), prune=True)
    report = caught.value.report
    assert isinstance(report, SyncReport)
    assert (report.unchanged, report.ended, report.pruning) == (5, False, "left out")
    assert embedded.count("docs") == 9


def test_rejected_records_and_the_others(embedded: Store, tmp_path: Path) -> None:
    bad: list[Any] = [
        {"text": "no id"},
        {"id": True, "text": "x"},
        {"id": "a", "text": None},
        {"id": "b", "text": "  \n"},
        {"id": "c", "text": "x", "m": float("inf")},
        {"id": "e", "text": "x", "m": b"bytes"},
        {"id": "f", "text": "x", "chunk": 3},
        {"id": "g", "text": "x" * 1_001},
        {"id": "good0", "text": "the same id again"},
        "a string",
    ]
    good = [{"id": f"good{i}", "text": f"good text {i}"} for i in range(5)]
    dead = tmp_path / "letters" / "dead.jsonl"
    report = sync(
        [*good, *bad],
        "docs",
        store=embedded,
        encoder=FakeEncoder(),
        max_characters=1_000,
        dead_letter=dead,
    )
    assert (report.added, report.rejected) == (5, len(bad))
    entries = [json.loads(line) for line in dead.read_text().splitlines()]
    assert [entry["line"] for entry in entries] == list(range(6, 6 + len(bad)))
    assert [rejection.line for rejection in report.rejections] == list(range(6, 6 + len(bad)))
    assert all(entry["reason"] for entry in entries)
    assert embedded.count("docs") == 5


def test_too_many_errors_stop(embedded: Store) -> None:
    source = [*rows(3), {"id": "x"}, *rows(3, start=5)]
    with pytest.raises(SyncIncompleteError, match="line 4: its text"):
        sync(source, "docs", store=embedded, encoder=FakeEncoder(), on_error="stop")
    with pytest.raises(ConfigurationError, match="on_error"):
        sync(source, "docs", store=embedded, encoder=FakeEncoder(), on_error="ignore")  # type: ignore[arg-type]
    report = sync(source, "docs", store=embedded, encoder=FakeEncoder(), max_errors=1)
    assert report.rejected == 1
    assert embedded.count("docs") == 6


def test_another_model_is_kept_out(embedded: Store) -> None:
    sync(rows(3), "docs", store=embedded, encoder=FakeEncoder())
    for job in (sync, plan, verify):
        with pytest.raises(CollectionMismatchError, match="fingerprint"):
            job(rows(3), "docs", store=embedded, encoder=FakeEncoder(seed=1))


def test_after_reembedding_nothing_is_encoded_again(embedded: Store) -> None:
    sync(rows(20), "docs@old", store=embedded, encoder=FakeEncoder())
    embedded.swap("docs", "docs@old")
    other = CountingEncoder(seed=1)
    reembed(embedded, "docs", other)
    other.encoded = 0
    report = sync(rows(20), "docs", store=embedded, encoder=other)
    assert counts(report) == (0, 0, 0, 20, 0)
    assert other.encoded == 0
    assert verify(rows(20), "docs", store=embedded, encoder=other).fits


def test_other_chunks_are_other_texts(embedded: Store) -> None:
    source = rows(3, words=100)
    sync(source, "docs", store=embedded, encoder=FakeEncoder())
    report = sync(source, "docs", store=embedded, encoder=FakeEncoder(), chunk_size=100)
    assert report.changed == 3
    report = sync(source, "docs", store=embedded, encoder=FakeEncoder(), chunk_size=200)
    assert report.stale > 0
    assert verify(source, "docs", store=embedded, encoder=FakeEncoder(), chunk_size=200).fits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 5}, "chunk_size is 5"),
        ({"chunk_size": 513}, "chunk_size is 513"),
        ({"shard": (2, 2)}, "shard is 2/2"),
        ({"limit": 0}, "limit is 0"),
        ({"limit": "5"}, "limit is '5'"),
        ({"limit": 1.5}, "limit is 1.5"),
        ({"chunk_size": "250"}, "chunk_size is '250'"),
        ({"chunk_overlap": True}, "chunk_overlap is True"),
        ({"max_characters": "9"}, "max_characters is '9'"),
        ({"max_errors": "5"}, "max_errors is '5'"),
        ({"max_errors": None}, "max_errors is None"),
        ({"max_delete_share": "0.2"}, "max_delete_share is '0.2'"),
        ({"shard": "0/2"}, "shard is '0/2'"),
        ({"shard": (0.5, 2)}, "shard is "),
        ({"fields": {"id": "key"}}, "fields is .*expected Fields"),
        ({"payload_indexes": ["lang"]}, "payload_indexes is "),
        ({"source_name": " "}, "source_name"),
        ({"max_delete_share": 2.0}, "max_delete_share"),
        ({"format": "csv"}, "format goes with a path"),
        ({"path": "x"}, "store comes without"),
    ],
)
def test_settings_are_checked_first(embedded: Store, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sync(rows(1), "docs", store=embedded, encoder=FakeEncoder(), **options)
    assert embedded.collections() == []


def test_a_plan_says_what_a_sync_does_and_writes_nothing(
    store: Store, name: str, encoder: CountingEncoder
) -> None:
    first = rows(20)
    planned = plan(first, name, store=store, encoder=encoder)
    assert name not in store.collections()
    assert planned.added == planned.chunks == 20
    assert planned.estimated_seconds is not None
    sync(first, name, store=store, encoder=encoder)
    before = snapshot(store, name)
    second = [{**row, "n": 0} if row["n"] == 1 else row for row in first[:19]]
    second[2]["text"] = "Changed."
    second += [{"id": "new", "text": "New."}, {"id": "bad", "text": 3}]
    planned = plan(second, name, store=store, encoder=encoder, prune=True)
    assert snapshot(store, name) == before
    done = sync(second, name, store=store, encoder=encoder, prune=True)
    for what in ("added", "changed", "metadata", "unchanged", "deleted", "rejected", "pruning"):
        assert getattr(planned, what) == getattr(done, what), what
    assert planned.chunks == done.encoded
    refused = plan([], name, store=store, encoder=encoder, prune=True)
    assert refused.pruning == "refused"
    assert "empty" in refused.note
    assert refused.estimated_seconds is None


def test_verify_names_every_difference(embedded: Store) -> None:
    encoder = FakeEncoder()
    source = rows(10)
    sync(source, "docs", store=embedded, encoder=encoder)
    points = {point.payload["_multiqa"]["document"]: point for point in stored(embedded, "docs")}
    embedded.delete("docs", ids=[points["d0"].id])
    source[1]["text"] = "Changed in the source."
    source[2]["n"] = "changed"
    foreign = points["d3"]
    own = {**foreign.payload["_multiqa"], "fingerprint": "sha256:other"}
    embedded.upsert(
        "docs", [Point(foreign.id, foreign.vectors, {**foreign.payload, "_multiqa": own})]
    )
    report = verify(source[:9], "docs", store=embedded, encoder=encoder)
    assert report.differences == {"missing": 1, "stale": 3, "extra": 1, "foreign": 1, "norms": 0}
    assert report.examples["missing"] == ["d0"]
    assert report.examples["stale"] == ["d1", "d2", "d3"]
    assert report.examples["extra"] == ["d9"]
    assert not report.fits
    sync(source[:9], "docs", store=embedded, encoder=encoder, prune=True)
    assert verify(source[:9], "docs", store=embedded, encoder=encoder).fits
    with pytest.raises(ConfigurationError, match="limit"):
        verify(source, "docs", store=embedded, encoder=encoder, limit=2)


def test_a_stopped_run_goes_on_the_next_time(embedded: Store, tmp_path: Path) -> None:
    stop = threading.Event()
    heard: list[Progress] = []

    def progress(one: Progress) -> None:
        heard.append(one)
        if one.encoded:
            stop.set()

    source = rows(2_000)
    with pytest.raises(SyncIncompleteError, match="it was stopped") as caught:
        sync(source, "docs", store=embedded, encoder=FakeEncoder(), progress=progress, stop=stop)
    report = caught.value.report
    assert isinstance(report, SyncReport)
    assert 0 < report.added < 2_000
    assert embedded.count("docs") == report.added
    encoder = CountingEncoder()
    report = sync(source, "docs", store=embedded, encoder=encoder, progress=heard.append)
    assert report.unchanged + report.added == 2_000
    assert encoder.encoded == report.added
    assert heard[-1].records == 2_000
    assert all(0 <= (one.fraction or 0) <= 1 for one in heard)
    assert snapshot(embedded, "docs") == fresh(tmp_path, source)


def test_coroutines_go_on_and_a_cancelled_job_stops(embedded: Store) -> None:
    source = rows(2_000)

    async def run() -> tuple[int, int]:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(one: Progress) -> None:
            if one.encoded:
                loop.call_soon_threadsafe(begun.set)

        task = asyncio.create_task(
            aio.sync(source, "docs", store=embedded, encoder=FakeEncoder(), progress=progress)
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        there = embedded.count("docs")
        report = await aio.sync(source, "docs", store=embedded, encoder=FakeEncoder())
        return there, report.added

    there, added = asyncio.run(run())
    assert 0 < there <= 2_000
    assert there + added == 2_000


def test_the_model_itself(embedded: Store, test_model: Path) -> None:
    encoder = MultiQAEncoder(test_model)
    source = [
        {"id": "whale", "text": "The blue whale is the largest animal that has ever lived."},
        {"id": "button", "text": "The red button stops the machine at once."},
    ]
    assert sync(source, "docs", store=embedded, encoder=encoder).complete
    found = Collection.open("docs", store=embedded, encoder=encoder).search("How do I turn it off?")
    assert found[0].metadata["document_id"] == "button"


def test_a_store_given_by_its_path_is_closed_at_the_end(tmp_path: Path) -> None:
    report = sync(rows(2), "docs", path=tmp_path / "here", encoder=FakeEncoder())
    assert report.added == 2
    with EdgeStore(tmp_path / "here") as opened:
        assert opened.count("docs") == 2


def test_no_room_for_the_ids_that_were_seen() -> None:
    with Seen(Fields()) as seen:
        seen._ids.execute("PRAGMA max_page_count = 4")
        with pytest.raises(SyncError, match="cannot be kept in a temporary file"):
            deque((seen.add(f"document {number}", number) for number in range(10_000)), maxlen=0)
