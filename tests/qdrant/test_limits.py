"""What a server takes: versions, strict mode, and what gRPC carries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
from qdrant_client import models

from multiqa_integrations.errors import (
    ConfigurationError,
    StoreError,
    StoreLimitError,
    WriteRejectedError,
)
from multiqa_integrations.etl import plan, sync, verify
from multiqa_integrations.qdrant import (
    Collection,
    CollectionSchema,
    Point,
    PointQuery,
    Store,
    copy,
    ensure_collection,
    open_store,
)
from multiqa_integrations.qdrant.server import features, limits, payloads
from multiqa_integrations.qdrant.upload import Uploader
from multiqa_integrations.testing import FakeEncoder
from tests.support.loopback_qdrant import LoopbackQdrant

SCHEMA = CollectionSchema(fingerprint="f")
VECTOR = np.eye(384, dtype=np.float32)[0]
NEW = models.Filter(must=[models.SliceCondition(slice=models.Slice(index=0, total=4))])


@pytest.fixture
def store(loopback: LoopbackQdrant) -> Iterator[Store]:
    with open_store(url=loopback.url) as opened:
        opened.ensure("docs", SCHEMA)
        opened.upsert("docs", points(50))
        yield opened


def points(count: int, **payload: Any) -> list[Point]:
    return [Point(number, {"": VECTOR}, {"n": number, **payload}) for number in range(count)]


# --- versions -----------------------------------------------------------------------------------


def test_every_condition_of_the_client_has_a_version() -> None:
    """A new client brings conditions: whoever raises its version finds out here."""
    kinds = {
        *(kind.__name__ for kind in get_args(models.Condition)),
        *(kind.__name__ for kind in get_args(models.Match)),
    }
    assert kinds - features.CONDITIONS.keys() == set()


@pytest.mark.parametrize(
    "condition",
    [
        models.SliceCondition(slice=models.Slice(index=0, total=4)),
        models.FieldCondition(key="n", match=models.MatchPrefix(prefix="a")),
        models.FieldCondition(key="n", match=models.MatchSubstring(substring="a")),
        models.Filter(must_not=NEW.must),
        models.NestedCondition(nested=models.Nested(key="n", filter=NEW)),
    ],
    ids=lambda condition: type(condition).__name__,
)
def test_conditions_that_the_server_is_too_old_for_are_not_sent(
    loopback: LoopbackQdrant, store: Store, condition: Any
) -> None:
    filter = models.Filter(must=[condition])
    sent = loopback.seen.total()
    query = PointQuery(vector=VECTOR, filter=filter)
    for ask in (
        lambda: store.delete("docs", filter=filter),
        lambda: store.count("docs", filter=filter),
        lambda: store.scroll("docs", filter=filter),
        lambda: store.query("docs", query),
        lambda: store.query_batch("docs", [query]),
    ):
        with pytest.raises(ConfigurationError, match=r"came with Qdrant 1\.20.* is 1\.18"):
            ask()
    assert loopback.seen.total() == sent
    assert store.count("docs") == 50


@pytest.mark.parametrize("test", [{"is_empty": True}, {"is_null": False}])
def test_tests_of_fields_that_the_server_is_too_old_for_are_not_sent(
    loopback: LoopbackQdrant, test: dict[str, Any]
) -> None:
    loopback.version = "1.13.6"  # by gRPC, it would read a condition that is true of every point
    with open_store(url=loopback.url) as older:
        older.ensure("docs", CollectionSchema(fingerprint="f"))
        filter = models.Filter(must=[models.FieldCondition(key="n", **test)])
        with pytest.raises(ConfigurationError, match=r"came with Qdrant 1\.14.* is 1\.13"):
            older.delete("docs", filter=filter)


@pytest.mark.parametrize(("version", "sent"), [("1.13.6", "n[]"), ("1.18.3", "is_null")])
def test_null_is_asked_for_so_that_servers_agree(
    loopback: LoopbackQdrant, version: str, sent: str
) -> None:
    loopback.version = version
    null = models.IsNullCondition(is_null=models.PayloadField(key="n"))
    filter = models.Filter(
        must=null,
        should=[models.Filter(must=[null])],
        must_not=[
            models.NestedCondition(
                nested=models.Nested(key="m", filter=models.Filter(must_not=[null]))
            )
        ],
        min_should=models.MinShould(conditions=[null], min_count=1),
    )
    before = filter.model_dump()
    with open_store(url=loopback.url) as older:
        older.ensure("docs", CollectionSchema(fingerprint="f"))
        for number, value in enumerate([None, [None], [None, 1], 1, []]):
            older.upsert("docs", [Point(number, {"": VECTOR}, {"n": value})])
        points, _ = older.scroll("docs", filter=filter)
    assert {point.id for point in points} == {0, 1, 2}
    assert filter.model_dump() == before
    assert str(loopback.bodies["scroll"]).count(sent) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"memory": models.Memory.COLD},
        {"hnsw_config": models.HnswConfigDiff(memory=models.Memory.COLD)},
        {
            "payload_indexes": {
                "a": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True)
            }
        },
    ],
    ids=["vector", "graph", "index"],
)
def test_options_that_the_server_is_too_old_for_are_not_sent(
    loopback: LoopbackQdrant, options: dict[str, Any]
) -> None:
    with open_store(url=loopback.url) as opened:
        for name in ("new", "docs"):
            if name == "docs":
                opened.ensure("docs", SCHEMA)
            with pytest.raises(ConfigurationError, match=r"came with Qdrant 1\.20"):
                ensure_collection(opened, name, fingerprint="f", **options)
        assert opened.collections() == ["docs"]


def test_a_newer_server_gets_them(loopback: LoopbackQdrant) -> None:
    loopback.version = "1.20.0"
    with open_store(url=loopback.url) as opened:
        ensure_collection(opened, "docs", fingerprint="f", memory=models.Memory.COLD)
        assert opened.collections() == ["docs"]
        assert loopback.seen["version"] == 1, "read once a store"


def test_a_server_that_is_too_old_is_named_at_opening(loopback: LoopbackQdrant) -> None:
    loopback.version = "1.9.7"
    with (
        open_store(url=loopback.url) as opened,
        pytest.raises(ConfigurationError, match=r"is Qdrant 1\.9\.7, and this package needs 1\.10"),
    ):
        opened.ensure("docs", SCHEMA)


# --- strict mode --------------------------------------------------------------------------------

STRICT = models.StrictModeConfig(
    max_query_limit=20,
    condition_max_size=7,
    search_max_batchsize=3,
    upsert_max_batchsize=11,
    search_allow_exact=False,
)


def test_reads_and_deletes_are_cut(loopback: LoopbackQdrant, store: Store) -> None:
    loopback.strict = STRICT
    assert [point.id for point in store.retrieve("docs", range(50))] == list(range(50))
    assert store.count("docs") == 50
    page, following = store.scroll("docs", limit=2_000)
    assert ([point.id for point in page], following) == (list(range(20)), 20)
    answers = store.query_batch("docs", [PointQuery(vector=VECTOR, limit=2)] * 10)
    assert [len(answer) for answer in answers] == [2] * 10
    store.delete("docs", ids=range(40))
    assert store.count("docs") == 10
    with pytest.raises(StoreLimitError, match='25 > 20 for "limit"'):
        store.query("docs", PointQuery(vector=VECTOR, limit=25))


def test_what_was_learnt_is_kept(loopback: LoopbackQdrant, store: Store) -> None:
    loopback.strict = STRICT
    loopback.seen.clear()
    with Uploader(store, "docs", threads=1) as uploader:
        uploader.add(points(1_000))
    # At most two batches are on their way when the first is refused.
    assert loopback.seen["upsert"] < 1_000 / 11 + 30
    loopback.seen.clear()
    for _ in range(3):
        store.scroll("docs", limit=50)
    assert loopback.seen["scroll"] == 1 + 3


def test_jobs_under_strict_mode(loopback: LoopbackQdrant) -> None:
    loopback.strict = STRICT
    encoder: Any = FakeEncoder()
    records = [{"id": number, "text": f"text {number}"} for number in range(60)]
    where = {"url": loopback.url, "encoder": encoder}
    assert sync(records, "docs", **where).added == 60
    assert plan(records, "docs", **where).unchanged == 60
    assert verify(records, "docs", **where).equal
    changed = [{**record, "text": "new"} for record in records[:30]]
    report = sync(changed, "docs", prune=True, max_delete_share=1.0, **where)
    assert (report.changed, report.deleted) == (30, 30)
    with open_store(url=loopback.url) as opened:
        assert copy(opened, opened, "docs", to="copied").points == 30


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "offset", "following"),
    [
        ([1, 2], None, 1),
        ([1, 2], None, 2),
        ([5, 6], 5, 5),
        ([5, 6], 5, 4),
        ([5, 6], 7, 8),
        ([], 5, 6),
        (["00000000-0000-4000-8000-000000000002"], None, 7),
    ],
)
def test_pages_that_do_not_move_on(ids: list[Any], offset: Any, following: Any) -> None:
    with pytest.raises(StoreError, match="do not move on"):
        limits.check_order(ids, offset, following)


def test_pages_that_move_on() -> None:
    one, other = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
    limits.check_order([1, 2], None, 3)
    limits.check_order([3, 2**63], 3, one)
    limits.check_order([one], one, other)
    limits.check_order([one], one, None)
    limits.check_order([], None, None)


# --- what gRPC carries ----------------------------------------------------------------------------


def nested(levels: int, kind: type[Any]) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = {"in": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize(
    ("value", "grpc", "refused"),
    [
        (nested(30, dict), True, None),
        (nested(31, dict), True, "nested too deeply"),
        (nested(45, list), True, None),
        (nested(46, list), True, "nested too deeply"),
        (nested(60, dict), False, None),
        (2**63 - 1, True, None),
        (2**63, True, str(2**63)),
        ([{"a": -(2**63) - 1}], True, str(-(2**63) - 1)),
        (2**64 - 1, False, None),
        (2**64, False, str(2**64)),
        (True, True, None),
    ],
)
def test_payloads_that_would_be_changed_on_the_way(
    value: Any, grpc: bool, refused: str | None
) -> None:
    good, odd = points(1)[0], Point("odd", {"": VECTOR}, {"value": value})
    if refused is None:
        payloads.check_payloads([good, odd], grpc=grpc)
        return
    with pytest.raises(WriteRejectedError, match=refused) as caught:
        payloads.check_payloads([good, odd], grpc=grpc)
    assert caught.value.ids == ["odd"]


@pytest.mark.parametrize(
    ("payload", "rounded"),
    [
        (None, False),
        ({"n": 7.5, "deep": [{"n": 2**63}, True, "9e18", None]}, False),
        ({"n": 1e300, "inf": float("inf"), "nan": float("nan")}, False),
        ({"n": float(2**63)}, True),
        ({"deep": [{"n": [1, float(2**64)]}]}, True),
    ],
)
def test_floats_that_may_be_whole_numbers_rounded_by_grpc(payload: Any, rounded: bool) -> None:
    assert payloads.has_rounded(payload) is rounded


# --- hits of one query --------------------------------------------------------------------------


def test_a_query_that_may_not_ask_for_so_many_is_refused_before_it_is_sent(
    loopback: LoopbackQdrant,
) -> None:
    loopback.strict = models.StrictModeConfig(max_query_limit=40)
    with Collection.open("docs", url=loopback.url, encoder=FakeEncoder(), sparse=True) as docs:
        docs.add([f"text {n}" for n in range(60)])
        assert len(docs.search("text 1", limit=40)) == 40
        assert len(docs.search("text 1", limit=30, offset=20)) == 30
        # The candidates of each list are our own choice: they are fitted.
        assert len(docs.search("text 1", limit=40, hybrid=True)) == 40
        assert len(docs.search_batch(["text 1"] * 3, limit=9, hybrid=True)[2]) == 9
        sent = loopback.seen["query"] + loopback.seen["query_batch"]
        for ask, name in (
            (lambda: docs.search("text 1", limit=41), "limit is 41"),
            (lambda: docs.search_batch(["text 1"] * 3, limit=41), "limit is 41"),
            (
                lambda: docs.search("text 1", limit=4, hybrid=True, candidates=41),
                "candidates is 41",
            ),
            (
                lambda: docs.search("a", limit=30, offset=20, hybrid=True),
                "limit is 50 with",
            ),
            (lambda: asyncio.run(docs.asearch("text 1", limit=41)), "limit is 41"),
        ):
            with pytest.raises(StoreLimitError, match=f"{name}.* may ask for 40.*max_query_limit"):
                ask()
        assert loopback.seen["query"] + loopback.seen["query_batch"] == sent
        loopback.strict = models.StrictModeConfig(max_query_limit=50)
        assert len(docs.search("text 1", limit=50)) == 50, "it was raised meanwhile"
