"""A job in parts does what it does in one process, whatever becomes of its workers."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from multiqa_integrations import distributed, etl
from multiqa_integrations.distributed import opening, splits
from multiqa_integrations.distributed.messages import (
    Failure,
    Result,
    Task,
    WorkerSettings,
)
from multiqa_integrations.distributed.worker import Worker, encoder_of_worker
from multiqa_integrations.encoder import MultiQAEncoder
from multiqa_integrations.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    ConfigurationError,
    LeaseError,
    PruneRefusedError,
    StoreUnavailableError,
    SyncIncompleteError,
)
from multiqa_integrations.etl import Fields, JobOptions
from multiqa_integrations.qdrant import Store, open_store
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Vectors
from tests.support.in_process_pool import InProcessPool
from tests.support.loopback_qdrant import LoopbackQdrant

Row = dict[str, Any]
WriteRows = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> WriteRows:
    def rows_to(name: str, rows: list[Row | bytes]) -> str:
        file = tmp_path / name
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        return str(file)

    return rows_to


def articles(count: int, *, text: str = "Text") -> list[Row | bytes]:
    return [
        {"id": f"a{n}", "text": f"{text} number {n}. " + "More words. " * (n % 90), "n": n}
        for n in range(count)
    ]


def hostile(count: int) -> list[Row | bytes]:
    rows = articles(count)
    rows[5] = b"{bad"
    rows[17] = b'{"id": "\xff"}'
    rows[20] = {"id": "a3", "text": "A duplicate of the fourth line."}
    rows[25] = {"id": "a25", "text": None}
    rows[30] = {"id": "a25", "text": "A text whose id was on a bad line."}
    rows[35] = {"text": "No id."}
    rows[36] = b""
    rows[38] = {"id": "a3", "text": "A third one."}
    return rows


def contents(url: str, name: str) -> dict[Any, Any]:
    with open_store(url=url) as store:
        points, _ = store.scroll(name, limit=10_000, with_vectors=True)
    vector = {point.id: point.vectors[""].tolist() for point in points}  # type: ignore[union-attr]
    return {point.id: (dict(point.payload), vector[point.id]) for point in points}


def told(report: Any) -> Row:
    return {**report.to_dict(), "seconds": 0, "collection": "", "tokens_per_second": 0,
            "estimated_seconds": 0}  # fmt: skip


def where(url: str, **options: Any) -> Row:
    return {"url": url, "encoder": FakeEncoder(), **options}


# --- the same as in one process ---------------------------------------------------------------


def test_the_same_collection_and_report(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows, tmp_path: Path
) -> None:
    file, job = write("a.jsonl", hostile(60)), where(stand_in.url)
    letters = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    one = etl.sync(file, f"{name}-one", dead_letter=letters[0], **job)
    many = distributed.sync(file, f"{name}-many", dead_letter=letters[1], **job)
    assert told(one) == told(many)
    assert one.rejected == 7
    assert len({number for _, number in pool.done}) > 10
    assert contents(stand_in.url, f"{name}-one") == contents(stand_in.url, f"{name}-many")
    assert {_comparable(line) for line in letters[0].read_text().splitlines()} == {
        _comparable(line) for line in letters[1].read_text().splitlines()
    }
    for first, second in ((etl.sync, "many"), (distributed.sync, "one")):
        again = first(file, f"{name}-{second}", **job)
        assert (again.unchanged, again.added, again.changed) == (one.added, 0, 0)
    assert told(etl.verify(file, f"{name}-many", **job)) == told(
        distributed.verify(file, f"{name}-one", **job)
    )


def _comparable(line: str) -> str:
    letter = json.loads(line)
    # What is known of a duplicate's document: whether the first record of its id is stored by now.
    known = None if letter["duplicate"] else letter["known"]
    return json.dumps({**letter, "time": None, "collection": None, "known": known}, sort_keys=True)


@pytest.mark.parametrize("seed", range(5))
def test_in_whatever_order_the_first_of_an_id_wins(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows, seed: int
) -> None:
    pool._chance.seed(seed)
    first = write("a.jsonl", [{"id": "same", "text": "first"}, *articles(20)])
    second = write("b.jsonl", [{"id": "same", "text": "second"}, *articles(3)])
    job = where(stand_in.url)
    report = distributed.sync([first, second], name, **job)
    assert (report.added, report.rejected) == (21, 4)
    assert [(one.file, one.line, one.reason) for one in report.rejections][:2] == [
        (second, 1, f"its id was that of line 1 of {first} already"),
        (second, 2, f"its id was that of line 2 of {first} already"),
    ]
    texts = {payload["page_content"] for payload, _ in contents(stand_in.url, name).values()}
    assert "first" in texts
    assert "second" not in texts
    assert distributed.sync([first, second], name, **job).unchanged == 21


def test_a_plan_and_a_comparison_are_the_same(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    job = where(stand_in.url)
    before = write("before.jsonl", articles(60))
    etl.sync(before, name, **job)
    rows = hostile(50)
    rows[2] = {"id": "a2", "text": "Changed."}
    rows[3] = {"id": "a3", "text": "Text number 3. More words. More words. More words. ", "n": 9}
    after = write("after.jsonl", rows)
    for prune in (False, True):
        assert told(distributed.plan(after, name, prune=prune, **job)) == told(
            etl.plan(after, name, prune=prune, **job)
        )
    one, many = etl.verify(after, name, **job), distributed.verify(after, name, **job)
    assert one.differences == many.differences
    assert one.stale >= 2
    assert one.extra >= 10
    assert told(distributed.plan(after, f"{name}-new", **job)) == told(
        etl.plan(after, f"{name}-new", **job)
    )
    with pytest.raises(CollectionNotFoundError):
        distributed.verify(after, f"{name}-new", **job)


def test_pruning_is_as_in_one_process(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    job = where(stand_in.url, prune=True)
    source = write("a.jsonl", articles(30))
    distributed.sync(source, name, **job)
    fewer = write("a.jsonl", articles(26))
    assert distributed.sync(fewer, name, **job).deleted == 4
    few = write("a.jsonl", articles(5))
    with pytest.raises(PruneRefusedError, match="21 of 26 documents"):
        distributed.sync(few, name, **job)
    assert distributed.sync(few, name, max_delete_share=0.9, **job).deleted == 21
    assert len(contents(stand_in.url, name)) == 5
    nothing = write("a.jsonl", [])
    with pytest.raises(PruneRefusedError, match="the source is empty"):
        distributed.sync(nothing, name, **job)


def test_letters_of_what_is_stored_by_now_go(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows, tmp_path: Path
) -> None:
    job = where(stand_in.url, dead_letter=tmp_path / "letters.jsonl")
    rows = articles(30)
    rows[4] = {"id": "a4", "text": ""}
    rows[9] = {"id": "a9", "text": ""}
    assert distributed.sync(write("a.jsonl", rows), name, **job).rejected == 2
    rows[4] = {"id": "a4", "text": "Repaired."}
    assert distributed.sync(write("a.jsonl", rows), name, **job).rejected == 1
    letters = [json.loads(line) for line in (tmp_path / "letters.jsonl").read_text().splitlines()]
    assert [letter["id"] for letter in letters] == ["a9"]
    rows[9] = {"id": "a9", "text": "Repaired."}
    replayed = etl.replay(tmp_path / "letters.jsonl", name, **where(stand_in.url))
    assert (replayed.stored, replayed.left) == (0, 1)
    assert distributed.sync(write("a.jsonl", rows), name, **job).complete
    assert not (tmp_path / "letters.jsonl").exists()


def test_a_field_that_no_record_has_is_told_once(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    job = where(stand_in.url, fields=Fields(title="headline"))
    with pytest.warns(UserWarning, match="no record has the title field 'headline'") as warned:
        report = distributed.sync(write("a.jsonl", articles(30)), name, **job)
    assert len(warned) == len(report.notes) == 1


def test_a_shard_is_that_of_one_process(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    source, job = write("a.jsonl", articles(40)), where(stand_in.url)
    added = [distributed.sync(source, name, shard=(part, 3), **job).added for part in range(3)]
    assert sum(added) == 40
    assert etl.sync(source, name, **job).unchanged == 40


def test_blocks_of_a_data_set(stand_in: LoopbackQdrant, name: str, pool: InProcessPool) -> None:
    rows = [row for row in articles(30) if isinstance(row, dict)]
    rows[20] = {**rows[20], "id": "a3"}
    blocks = [pa.Table.from_pylist(rows[start : start + 10]) for start in (0, 10, 20)]
    dataset = type("Dataset", (list,), {"__module__": "ray.data.dataset"})(blocks)
    report = distributed.sync(dataset, name, **where(stand_in.url))
    assert (report.added, report.rejected) == (29, 1)
    assert report.rejections[0].line == 21
    assert report.rejections[0].reason == "its id was that of line 4 already"


@pytest.mark.slow
def test_what_travels_is_small(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(splits, "BYTES", 100_000)
    monkeypatch.setattr(splits, "LEAST_BYTES", 100_000)
    file = write("a.jsonl", [{"id": n, "text": "word " * 400} for n in range(500)])
    assert distributed.sync(file, name, **where(stand_in.url)).added == 500
    assert pool.largest < 5_000 < Path(file).stat().st_size / 100


# --- what fails ---------------------------------------------------------------------------------


def test_a_split_that_fails_for_good_ends_incomplete_and_prunes_nothing(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    job = where(stand_in.url, prune=True, max_delete_share=1.0)
    distributed.sync(write("a.jsonl", articles(40)), name, **job)
    source = write("a.jsonl", articles(30))
    pool.lost = {2}
    with pytest.raises(SyncIncompleteError, match="part 3 of .*: 5 workers died at it") as ended:
        distributed.sync(source, name, **job)
    report = ended.value.report
    assert report.pruning == "left out"
    assert not report.ended
    assert 0 < report.unchanged < 30
    assert len(contents(stand_in.url, name)) == 40
    pool.lost = set()
    assert distributed.sync(source, name, **job).deleted == 10


def test_a_file_that_vanishes_during_the_run_ends_incomplete(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    first, second = write("a.jsonl", articles(20)), write("b.jsonl", [{"id": 1, "text": "b"}])

    def remove(task: Task) -> None:
        if task.method == "store":
            Path(second).unlink(missing_ok=True)

    pool.before = remove
    with pytest.raises(SyncIncompleteError, match="b.jsonl cannot be read") as ended:
        distributed.sync([first, second], name, prune=True, **where(stand_in.url))
    assert ended.value.report.added == 20
    assert ended.value.report.pruning == "left out"


@pytest.mark.slow
def test_a_file_that_breaks_off_ends_as_in_one_process(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl.gz"
    rows = "".join(json.dumps({"id": n, "text": f"Text {n}."}) + "\n" for n in range(2_000))
    file.write_bytes(gzip.compress(rows.encode())[:-60])
    reports = []
    for one in (etl, distributed):
        with pytest.raises(SyncIncompleteError) as ended:
            one.sync(str(file), f"{name}-{one.__name__[-4:]}", **where(stand_in.url))
        reports.append(told(ended.value.report))
    assert reports[0] == reports[1]
    assert reports[0]["unread"]


def test_another_model_in_a_worker_is_a_mismatch(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    source = write("a.jsonl", articles(20))
    distributed.sync(source, name, **where(stand_in.url))
    with pytest.raises(CollectionMismatchError) as refused:
        distributed.sync(source, name, url=stand_in.url, encoder=FakeEncoder(seed=1))
    assert refused.value.collection == name

    class Elsewhere(FakeEncoder):
        def __reduce__(self) -> Any:
            return FakeEncoder, (1,)  # what this node has under the name

    changed = write("a.jsonl", articles(20, text="Changed"))
    with pytest.raises(CollectionMismatchError) as refused:
        distributed.sync(changed, name, url=stand_in.url, encoder=Elsewhere())
    assert refused.value.expected["fingerprint"] == "fake:1"
    assert refused.value.report.changed == 0


def test_too_many_errors_stop_the_run(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    source = write("a.jsonl", [b"{bad"] * 200)
    with pytest.raises(SyncIncompleteError, match="of which 10 are allowed"):
        distributed.sync(source, name, max_errors=10, **where(stand_in.url))
    assert len(pool.done) < 2 * len({number for _, number in pool.done})


def test_a_stop_ends_the_run(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    stop = threading.Event()

    def stop_at_the_third(task: Task) -> None:
        if len([method for method, _ in pool.done if method == "store"]) == 2:
            stop.set()

    pool.before = stop_at_the_third
    source, job = write("a.jsonl", articles(40)), where(stand_in.url)
    with pytest.raises(SyncIncompleteError, match="it was stopped") as ended:
        distributed.sync(source, name, stop=stop, prune=True, **job)
    assert 0 < ended.value.report.added < 40
    assert ended.value.report.pruning == "left out"
    assert distributed.sync(source, name, **job).complete


# --- the lease -----------------------------------------------------------------------------------


def lease_of(store: Store, name: str) -> Any:
    info = store.info(name)
    assert info is not None
    return info.metadata.get("multiqa.lease.default")


def test_workers_stop_when_the_lease_is_another_run_s(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    with open_store(url=stand_in.url) as store:

        def take(task: Task) -> None:
            if task.method == "store" and len(pool.done) > 60:
                taken = {**lease_of(store, name), "run": "another"}
                store.annotate(name, "multiqa.lease.default", taken)

        pool.before = take
        with pytest.raises(LeaseError) as ended:
            distributed.sync(write("a.jsonl", articles(200)), name, **where(stand_in.url))
        assert lease_of(store, name)["run"] == "another"
        assert ended.value.report.added < 200


class TakenOver(FakeEncoder):
    """Has another run take the lease while the first part of a batch is encoded, or a later one."""

    url: str
    collection: str
    at = 0
    calls: list[int] = []  # noqa: RUF012  (of the class: it is pickled on its way to a worker)

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        if len(self.calls) == self.at:
            with open_store(url=self.url) as store:
                taken = {**lease_of(store, self.collection), "run": "another"}
                store.annotate(self.collection, "multiqa.lease.default", taken)
        self.calls.append(len(texts))
        return super().encode_document(texts)


def test_a_worker_looks_at_the_lease_within_a_batch(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(splits, "BYTES", 1_000_000)
    monkeypatch.setattr(splits, "LEAST_BYTES", 1_000_000)
    monkeypatch.setattr("multiqa_integrations.etl.write._SLICE", 4)
    monkeypatch.setattr("multiqa_integrations.qdrant.server.store._LOOK_SECONDS", 1e-6)
    monkeypatch.setattr(TakenOver, "calls", [])
    encoder = TakenOver()
    encoder.url, encoder.collection = stand_in.url, name
    with pytest.raises(LeaseError) as ended:
        distributed.sync(write("a.jsonl", articles(40)), name, url=stand_in.url, encoder=encoder)
    assert TakenOver.calls == [4]
    assert ended.value.report.added == 0


def test_what_a_failed_split_had_stored_is_reported(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(splits, "BYTES", 1_000_000)
    monkeypatch.setattr(splits, "LEAST_BYTES", 1_000_000)
    monkeypatch.setattr("multiqa_integrations.etl.write._BATCH", 8)
    monkeypatch.setattr("multiqa_integrations.qdrant.server.store._LOOK_SECONDS", 1e-6)
    monkeypatch.setattr(TakenOver, "calls", [])
    encoder = TakenOver()
    encoder.url, encoder.collection, encoder.at = stand_in.url, name, 2
    rows = articles(40)
    rows[3] = b"{bad"
    with pytest.raises(LeaseError) as ended:
        distributed.sync(write("a.jsonl", rows), name, url=stand_in.url, encoder=encoder)
    report = ended.value.report
    assert (report.added, report.encoded, report.rejected) == (8, 16, 1)


class Clock:
    """Time that passes only while something is encoded."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(FakeEncoder):
    """Encodes 40 texts a second."""

    clock = Clock()
    calls: list[int] = []  # noqa: RUF012  (of the class: it is pickled on its way to a worker)

    def encode_document(self, texts: Sequence[str], *, show_progress: bool = False) -> Vectors:
        self.clock.now += len(texts) / 40
        self.calls.append(len(texts))
        return super().encode_document(texts)


def test_a_worker_encodes_for_about_a_second_between_two_looks(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(splits, "BYTES", 1_000_000)
    monkeypatch.setattr(splits, "LEAST_BYTES", 1_000_000)
    monkeypatch.setattr("multiqa_integrations.etl.write.monotonic", Timed.clock)
    for at_first, calls in ((4, [4, 8, 16, 32, 32, 8]), (160, [100]), (64, [64, 32, 4])):
        monkeypatch.setattr("multiqa_integrations.etl.write._SLICE", at_first)
        monkeypatch.setattr(Timed, "calls", [])
        collection = f"{name}-{at_first}"
        job: Row = {"url": stand_in.url, "encoder": Timed()}
        distributed.sync(write("a.jsonl", articles(100)), collection, **job)
        assert Timed.calls == calls
    assert contents(stand_in.url, f"{name}-4") == contents(stand_in.url, f"{name}-160")


class OneAtWork(InProcessPool):
    """Has another worker in the middle of a batch when one finds that the lease is gone."""

    def run(
        self, tasks: Iterable[Task], halted: Callable[[], bool]
    ) -> Iterator[tuple[Task | None, Result]]:
        for task, result in super().run(tasks, halted):
            yield task, result
            if isinstance(result, Failure):
                halted()
                pytest.fail("the other worker, which may not write any more, is waited for")


def test_nobody_waits_for_workers_that_may_not_write(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("multiqa_integrations.qdrant.server.store._LOOK_SECONDS", 1e-6)
    monkeypatch.setattr(TakenOver, "calls", [])
    found = OneAtWork()
    monkeypatch.setattr(opening, "pool_of", lambda cluster: found)
    encoder = TakenOver()
    encoder.url, encoder.collection = stand_in.url, name
    with pytest.raises(LeaseError):
        distributed.sync(write("a.jsonl", articles(40)), name, url=stand_in.url, encoder=encoder)


def test_the_lease_is_given_back(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    with open_store(url=stand_in.url) as store:
        seen: list[Any] = []
        pool.before = lambda _: seen.append(lease_of(store, name))
        distributed.sync(write("a.jsonl", articles(10)), name, **where(stand_in.url))
        assert len({lease["run"] for lease in seen}) == 1
        assert lease_of(store, name) is None


def test_a_collection_that_is_dropped_meanwhile(
    stand_in: LoopbackQdrant, name: str, pool: InProcessPool, write: WriteRows
) -> None:
    with open_store(url=stand_in.url) as store:
        pool.before = lambda task: store.drop(name) if len(pool.done) == 30 else None
        with pytest.raises((CollectionNotFoundError, SyncIncompleteError)):
            distributed.sync(write("a.jsonl", articles(100)), name, **where(stand_in.url))
        assert store.info(name) is None


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": "./here"}, "one process at a time"),
        ({}, "url is missing"),
        ({"url": "http://127.0.0.1:1", "limit": 5}, "limit does not go with workers"),
        ({"url": "http://127.0.0.1:1", "workers": 0}, "workers is 0"),
        ({"url": "http://127.0.0.1:1", "workers": True}, "workers is True"),
        ({"url": "http://127.0.0.1:1", "worker_cpus": 0}, "worker_cpus is 0"),
        ({"url": "http://127.0.0.1:1", "worker_gpus": -1}, "worker_gpus is -1"),
        ({"url": "http://127.0.0.1:1", "address": "ray://x:1"}, "Ray Client"),
        ({"url": "http://127.0.0.1:1", "on_error": "never"}, "on_error"),
        ({"url": "http://127.0.0.1:1", "prune": True, "shard": (0, 2)}, "prune does not go"),
    ],
)
def test_what_does_not_go_with_workers_is_refused(
    options: Row, words: str, write: WriteRows
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        distributed.sync(write("a.jsonl", []), "docs", encoder=FakeEncoder(), **options)


def test_a_store_of_this_process_is_refused(write: WriteRows, stand_in: LoopbackQdrant) -> None:
    with (
        open_store(url=stand_in.url) as store,
        pytest.raises(ConfigurationError, match="store belongs to this process"),
    ):
        distributed.sync(write("a.jsonl", []), "docs", encoder=FakeEncoder(), store=store)


def test_no_server(pool: InProcessPool, write: WriteRows, monkeypatch: pytest.MonkeyPatch) -> None:
    job = where("http://127.0.0.1:1", wait=0.0)
    with pytest.raises(StoreUnavailableError):
        distributed.sync(write("a.jsonl", articles(3)), "docs", **job)


@pytest.mark.slow
def test_a_worker_without_the_accelerator_that_was_asked_for_does_not_begin(
    test_model: Path,
) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    encoder = encoder_of_worker(MultiQAEncoder(test_model), cpus=1, gpus=1)
    options = JobOptions(url="http://127.0.0.1:1", encoder=encoder)
    failure = Worker(WorkerSettings(collection="docs", options=options)).prepare()
    assert failure is not None
    assert isinstance(failure.error, ConfigurationError)
    assert "cuda" in str(failure.error)


def test_the_encoder_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    of_cpu = encoder_of_worker(MultiQAEncoder("model"), cpus=2, gpus=0)
    assert isinstance(of_cpu, MultiQAEncoder)
    settings = of_cpu.settings
    assert (settings["threads"], settings["device"]) == (2, "cpu")
    assert settings["model"] == str(tmp_path / "model")
    of_gpu = encoder_of_worker(MultiQAEncoder("model", threads=3), cpus=1, gpus=0.5)
    assert isinstance(of_gpu, MultiQAEncoder)
    assert (of_gpu.settings["threads"], of_gpu.settings["device"]) == (3, "cuda")
    for encoder in (MultiQAEncoder(device="cpu"), MultiQAEncoder(backend="openvino")):
        with pytest.raises(ConfigurationError, match="computes on the CPU"):
            encoder_of_worker(encoder, cpus=1, gpus=1)
