"""One suite over every engine: the same calls give the same results."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import models

from multiqa_integrations.errors import (
    CollectionMismatchError,
    ConfigurationError,
    StoreError,
    WriteRejectedError,
)
from multiqa_integrations.qdrant import (
    CollectionSchema,
    EdgeStore,
    Point,
    PointQuery,
    SparseVector,
    Store,
)
from multiqa_integrations.qdrant.filters import PayloadEquals
from multiqa_integrations.qdrant.indexes import indexed_tests
from multiqa_integrations.qdrant.points import PointId
from multiqa_integrations.types import Vectors
from tests.support.engines import ENGINES, new_name, open_engine

SCHEMA = CollectionSchema(
    fingerprint="sha256:test",
    model="test",
    sparse_name="bm25",
    payload_indexes={"lang": "keyword", "n": "integer", "text": "text"},
)
WORDS = 40


def unit(count: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, 384)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def words(row: int) -> SparseVector:
    """Words of differing weights, so that no two documents tie."""
    indices = np.unique([row % WORDS, (row * 7) % WORDS, (row * row) % WORDS]).astype(np.uint32)
    values = 1.0 + ((indices * 31 + row * 17) % 101) / 101
    return SparseVector(indices, values.astype(np.float32))


def point_of(row: int, vectors: Vectors) -> Point:
    return Point(
        str(uuid.UUID(int=row + 1)),
        {"": vectors[row], "bm25": words(row)},
        {
            "lang": "en" if row % 3 else "de",
            "n": row,
            "even": row % 2 == 0,
            "text": f"number {row} of many",
            "nested": [{"a": row % 5, "b": row % 2}, {"a": row % 2, "b": 1}],
        },
    )


def fill(store: Store, name: str) -> Store:
    store.ensure(name, SCHEMA)
    vectors = unit(200)
    store.upsert(name, [point_of(row, vectors) for row in range(200)])
    return store


@pytest.fixture
def filled(store: Store, name: str) -> Store:
    """A store with 200 points in the collection `name`."""
    return fill(store, name)


READ_ONLY = new_name()


@pytest.fixture(scope="module", params=ENGINES)
def read_only(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """The same in the collection READ_ONLY, for all tests that write nothing."""
    with open_engine(request.param, tmp_path_factory.mktemp("store"), request) as store:
        yield fill(store, READ_ONLY)
        store.drop(READ_ONLY)


def ids(points: list[Any]) -> list[int]:
    return [uuid.UUID(str(point.id)).int - 1 for point in points]


def must(key: str, **test: Any) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, **test)])


# --- queries ----------------------------------------------------------------------------------


def test_the_nearest_by_the_dot_product(read_only: Store) -> None:
    query = unit(1, seed=1)[0]
    scores = unit(200) @ query
    found = read_only.query(READ_ONLY, PointQuery(vector=query, limit=10))
    assert ids(found) == np.argsort(-scores)[:10].tolist()
    np.testing.assert_allclose([p.score for p in found], np.sort(scores)[::-1][:10], atol=1e-5)
    assert found[0].payload["n"] == ids(found)[0]
    assert found[0].vectors == {}


def test_offset_threshold_and_vectors(read_only: Store) -> None:
    query = unit(1, seed=1)[0]
    scores = np.sort(unit(200) @ query)[::-1]
    page = read_only.query(
        READ_ONLY, PointQuery(vector=query, limit=5, offset=5, with_vectors=True)
    )
    np.testing.assert_allclose([p.score for p in page], scores[5:10], atol=1e-5)
    vector = page[0].vectors[""]
    assert isinstance(vector, np.ndarray)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, unit(200)[ids(page)[0]], atol=1e-6)
    words_of_it = page[0].vectors["bm25"]
    assert isinstance(words_of_it, SparseVector)
    threshold = float((scores[2] + scores[3]) / 2)
    best = read_only.query(READ_ONLY, PointQuery(vector=query, score_threshold=threshold))
    assert len(best) == 3


def test_batches_answer_as_single_queries(read_only: Store) -> None:
    queries = [
        PointQuery(vector=vector, limit=4, filter=must("lang", match=models.MatchValue(value="de")))
        for vector in unit(5, seed=2)
    ]
    batch = read_only.query_batch(READ_ONLY, queries)
    assert [ids(points) for points in batch] == [
        ids(read_only.query(READ_ONLY, q)) for q in queries
    ]
    assert all(row % 3 == 0 for points in batch for row in ids(points))
    assert read_only.query_batch(READ_ONLY, []) == []


def test_words_are_weighed_by_idf(read_only: Store) -> None:
    query = SparseVector(np.array([3, 5], np.uint32), np.ones(2, np.float32))
    found = read_only.query(READ_ONLY, PointQuery(sparse=query, sparse_name="bm25", limit=200))
    holders = {word: [row for row in range(200) if word in words(row).indices] for word in (3, 5)}
    idf = {
        word: math.log((200 - len(rows) + 0.5) / (len(rows) + 0.5) + 1)
        for word, rows in holders.items()
    }
    expected: dict[int, float] = {}
    for word, rows in holders.items():
        for row in rows:
            weights = dict(zip(words(row).indices, words(row).values, strict=True))
            expected[row] = expected.get(row, 0.0) + idf[word] * float(weights[word])
    assert set(ids(found)) == set(expected)
    got = {row: point.score for row, point in zip(ids(found), found, strict=True)}
    for row, score in expected.items():
        assert got[row] == pytest.approx(score, abs=1e-5)


def test_hybrid_fuses_by_reciprocal_ranks(read_only: Store) -> None:
    dense, sparse = unit(1, seed=3)[0], words(11)
    both = PointQuery(vector=dense, sparse=sparse, sparse_name="bm25", limit=10, candidates=30)
    found = read_only.query(READ_ONLY, both)
    by_dense = ids(read_only.query(READ_ONLY, PointQuery(vector=dense, limit=30)))
    by_words = read_only.query(READ_ONLY, PointQuery(sparse=sparse, sparse_name="bm25", limit=30))
    scores = [point.score for point in by_words]
    assert len(set(scores)) == len(scores), "ranks are compared: the data must not tie"
    fused: dict[int, float] = {}
    for ranked in (by_dense, ids(by_words)):
        for rank, row in enumerate(ranked):
            fused[row] = fused.get(row, 0.0) + 1.0 / (2 + rank)
    expected = sorted(fused.values(), reverse=True)[:10]
    np.testing.assert_allclose([p.score for p in found], expected, atol=1e-5)
    for row, point in zip(ids(found), found, strict=True):
        assert fused[row] == pytest.approx(point.score, abs=1e-5)


def test_mmr_at_both_ends_and_between(read_only: Store) -> None:
    query = unit(1, seed=4)[0]
    nearest = ids(read_only.query(READ_ONLY, PointQuery(vector=query, limit=30)))

    def mmr(diversity: float) -> list[int]:
        wanted = PointQuery(vector=query, limit=6, candidates=30, diversity=diversity)
        return ids(read_only.query(READ_ONLY, wanted))

    assert mmr(0.0) == nearest[:6]
    vectors = unit(200)
    for diversity in (0.3, 0.7):
        chosen = [nearest[0]]
        while len(chosen) < 6:
            rest = [row for row in nearest if row not in chosen]
            closeness = vectors[rest] @ query
            sameness = (vectors[rest] @ vectors[chosen].T).max(axis=1)
            value = (1 - diversity) * closeness - diversity * sameness
            chosen.append(rest[int(value.argmax())])
        assert mmr(diversity) == chosen
    assert mmr(1.0)[0] == nearest[0]
    assert set(mmr(1.0)) <= set(nearest)


def test_mmr_skips_what_a_page_before_had(read_only: Store) -> None:
    query = unit(1, seed=4)[0]

    def page(limit: int, offset: int = 0) -> list[int]:
        wanted = PointQuery(vector=query, limit=limit, offset=offset, candidates=30, diversity=0.3)
        return ids(read_only.query(READ_ONLY, wanted))

    whole = page(8)
    assert page(4) + page(4, offset=4) == whole
    assert page(5, offset=3) == whole[3:]


@pytest.mark.parametrize("size", [7, 25])
def test_the_ranks_of_a_hybrid_search_are_those_of_one_large_page(
    read_only: Store, size: int
) -> None:
    """As far as the lists of the first page reach; servers choose among hits of equal score."""

    def page(limit: int, offset: int = 0) -> list[float]:
        query = PointQuery(
            vector=unit(1, seed=1)[0],
            sparse=words(11),
            sparse_name="bm25",
            limit=limit,
            offset=offset,
        )
        return [hit.score for hit in read_only.query(READ_ONLY, query)]

    pages = [score for start in range(0, 49, size) for score in page(size, start)]
    np.testing.assert_allclose(pages[:49], page(49), atol=1e-6)


# --- points -----------------------------------------------------------------------------------


def test_what_is_written_is_read(read_only: Store) -> None:
    wanted: list[PointId] = [str(uuid.UUID(int=n)) for n in (5, 200, 1, 5)]
    wanted.append(str(uuid.uuid4()))
    found = read_only.retrieve(READ_ONLY, wanted, with_vectors=True)
    assert ids(found) == [4, 199, 0]
    assert found[0].payload == point_of(4, unit(200)).payload
    vector = found[0].vectors[""]
    assert isinstance(vector, np.ndarray)
    np.testing.assert_allclose(vector, unit(200)[4], atol=1e-6)
    assert read_only.retrieve(READ_ONLY, []) == []
    assert read_only.retrieve(READ_ONLY, wanted[:1], with_payload=False)[0].payload == {}


def test_the_same_id_overwrites(filled: Store, name: str) -> None:
    new = Point(str(uuid.UUID(int=1)), {"": unit(1, seed=9)[0]}, {"new": True})
    filled.upsert(name, [new])
    assert filled.count(name) == 200
    assert filled.retrieve(name, [new.id])[0].payload == {"new": True}


@pytest.mark.parametrize("engine", ["edge", "local"])
def test_what_was_written_is_there_when_it_is_opened_again(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    query = PointQuery(vector=unit(1, seed=1)[0], sparse=words(11), sparse_name="bm25")
    with open_engine(engine, tmp_path / "store", request) as store:
        fill(store, "docs")
        store.annotate("docs", "job", {"run": "a"})
        found = store.query("docs", query)
    with open_engine(engine, tmp_path / "store", request) as store:
        info = store.check("docs", SCHEMA).info
        assert info.points == 200
        assert info.metadata == {"job": {"run": "a"}}
        assert ids(store.query("docs", query)) == ids(found)
        assert [point.payload for point in store.query("docs", query)] == [p.payload for p in found]


def test_numbers_are_ids_too(store: Store, name: str) -> None:
    store.ensure(name, SCHEMA)
    wanted: list[PointId] = [0, 7, (1 << 64) - 1]
    store.upsert(name, [Point(one, {"": unit(1)[0]}) for one in wanted])
    assert [point.id for point in store.retrieve(name, wanted)] == wanted


def test_scrolling_sees_every_point_once(read_only: Store) -> None:
    seen: list[int] = []
    offset: PointId | None = None
    pages = 0
    while True:
        points, offset = read_only.scroll(READ_ONLY, limit=64, offset=offset)
        seen += ids(points)
        pages += 1
        if offset is None:
            break
    assert seen == list(range(200))
    assert pages == 4


def test_counting(read_only: Store) -> None:
    assert read_only.count(READ_ONLY) == 200
    german = must("lang", match=models.MatchValue(value="de"))
    assert read_only.count(READ_ONLY, filter=german) == 67


def test_deleting_needs_a_selection(filled: Store, name: str) -> None:
    filled.delete(name, ids=[str(uuid.UUID(int=1)), str(uuid.uuid4())])
    assert filled.count(name) == 199
    filled.delete(name, ids=[])
    filled.delete(name, filter=must("n", range=models.Range(gte=100)))
    assert filled.count(name) == 99
    nothing = [
        models.Filter(),
        models.Filter(must=[]),
        models.Filter(must=[models.Filter(should=[])]),
        models.Filter(must_not=[models.Filter()]),
    ]
    for empty in nothing:
        with pytest.raises(ConfigurationError, match="delete everything"):
            filled.delete(name, filter=empty)
    with pytest.raises(ConfigurationError, match="ids or a filter"):
        filled.delete(name)
    with pytest.raises(ConfigurationError, match="ids or a filter"):
        filled.delete(name, ids=[1], filter=nothing[0])
    assert filled.count(name) == 99


@pytest.mark.parametrize(
    ("vector", "fault"),
    [
        (np.full(384, np.nan, np.float32), "length nan"),
        (np.full(384, np.inf, np.float32), "length inf"),
        (np.zeros(384, np.float32), "length 0"),
        (unit(1)[0] * 3, "length 3"),
        (unit(1)[0][:383], r"shape \(383,\), expected \(384,\)"),
        (unit(1), r"shape \(1, 384\)"),
    ],
)
def test_one_bad_vector_keeps_the_whole_batch_out(
    store: Store, name: str, vector: Vectors, fault: str
) -> None:
    store.ensure(name, SCHEMA)
    good, bad = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    with pytest.raises(WriteRejectedError, match=fault) as caught:
        store.upsert(name, [Point(good, {"": unit(1)[0]}), Point(bad, {"": vector})])
    assert caught.value.ids == [bad]
    assert store.count(name) == 0


def test_other_bad_points(store: Store, name: str) -> None:
    store.ensure(name, SCHEMA)
    twice = SparseVector(np.array([1, 1], np.uint32), np.ones(2, np.float32))
    bad = [
        Point("not a uuid", {"": unit(1)[0]}),
        Point(-1, {"": unit(1)[0]}),
        Point(1 << 64, {"": unit(1)[0]}),
        Point(1, {}),
        Point(2, {"other": unit(1)[0]}),
        Point(3, {"": unit(1)[0], "words": words(1)}),
        Point(4, {"": unit(1)[0], "bm25": twice}),
    ]
    for point in bad:
        with pytest.raises(WriteRejectedError) as caught:
            store.upsert(name, [point])
        assert caught.value.ids == [str(point.id)]
    assert store.count(name) == 0
    store.upsert(name, [])


# --- collections ------------------------------------------------------------------------------


def test_a_collection_is_made_found_checked_and_dropped(store: Store, name: str) -> None:
    assert name not in store.collections()
    assert store.info(name) is None
    with pytest.raises(CollectionMismatchError, match="found none"):
        store.check(name, SCHEMA)
    report = store.ensure(name, SCHEMA)
    assert report.created
    assert report.fingerprint == "created"
    assert name in store.collections()
    again = store.ensure(name, SCHEMA)
    assert not again.created
    assert again.fingerprint == "matches"
    assert again.created_indexes == ()
    info = store.check(name, SCHEMA).info
    assert info.vectors[""].size == 384
    assert info.vectors[""].distance == "cosine"
    assert info.sparse == {"bm25": True}
    assert info.fingerprints == ("sha256:test",)
    assert info.payload_indexes in (None, {"lang": "keyword", "n": "integer", "text": "text"})
    assert info.identity == report.info.identity == again.info.identity
    assert store.drop(name)
    assert not store.drop(name)
    assert store.info(name) is None
    with pytest.raises(StoreError, match="no collection"):
        store.upsert(name, [Point(1, {"": unit(1)[0]})])


def test_names_that_no_engine_should_see(read_only: Store) -> None:
    for bad in ["", "a/b", "..", ".hidden", "a\\b", "a:b", "a\n", " a", "x" * 256, "a\0b", "a*"]:
        with pytest.raises(ConfigurationError, match="collection's name"):
            read_only.ensure(bad, SCHEMA)


def test_coroutines_give_the_same(filled: Store, name: str) -> None:
    query = PointQuery(vector=unit(1, seed=1)[0], limit=5)

    async def all_of_them() -> None:
        assert name in await filled.acollections()
        assert (await filled.acheck(name, SCHEMA)).fingerprint == "matches"
        assert not (await filled.aensure(name, SCHEMA)).created
        info = await filled.ainfo(name)
        assert info is not None
        assert info.points == 200
        assert ids(await filled.aquery(name, query)) == ids(filled.query(name, query))
        batch = await filled.aquery_batch(name, [query, query])
        assert [ids(points) for points in batch] == [ids(filled.query(name, query))] * 2
        await filled.aupsert(name, [Point(77, {"": unit(1)[0]}, {"n": 1000})])
        assert (await filled.aretrieve(name, [77]))[0].payload == {"n": 1000}
        assert await filled.acount(name) == 201
        await filled.adelete(name, ids=[77])
        points, _ = await filled.ascroll(name, limit=1000)
        assert ids(points) == list(range(200))
        await filled.aoptimize(name)
        await filled.aflush()
        # Many at once, as in a server.
        answers = await asyncio.gather(*[filled.aquery(name, query) for _ in range(50)])
        assert len({tuple(ids(points)) for points in answers}) == 1
        assert await filled.adrop(name)

    asyncio.run(all_of_them())


# --- filters ----------------------------------------------------------------------------------

JUNE = datetime(2024, 6, 1, tzinfo=timezone.utc)
PAYLOADS: list[dict[str, Any]] = [
    {"k": "a", "n": 1, "f": 1.5, "b": True, "t": "The quick brown fox", "d": "2024-01-01T00:00:00Z",
     "l": ["x", "y"], "o": [{"p": 1, "q": "u"}, {"p": 2, "q": "v"}]},
    {"k": "b", "n": 2, "f": 2.5, "b": False, "t": "quick-brown dogs, foxes", "d": "2024-06-01",
     "l": [], "o": []},
    {"k": None, "n": -3, "f": 0.5, "t": "", "d": "2024-06-01T12:00:00+02:00", "l": None},
    {"k": ["a", "b"], "n": [1, 5], "b": [True, False], "t": "fox", "d": "no date", "o": {"p": 1}},
    {"geo": {"lat": 52.5, "lon": 13.4}},
    {},
    {"l": [None], "o": [{"p": None}, {}]},
    {"l": [None, "x"], "o": [{"p": []}]},
]  # fmt: skip


def nested(*conditions: Any) -> models.Filter:
    inside = models.Filter(must=list(conditions))
    return models.Filter(
        must=[models.NestedCondition(nested=models.Nested(key="o", filter=inside))]
    )


def at(key: str, value: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def null(key: str) -> models.Filter:
    return models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key=key))])


def empty(key: str) -> models.Filter:
    return models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key=key))])


def polygon(
    corners: list[tuple[float, float]], hole: list[tuple[float, float]] | None = None
) -> Any:
    lines = [
        models.GeoLineString(points=[models.GeoPoint(lat=lat, lon=lon) for lat, lon in line])
        for line in [corners, *([hole] if hole else [])]
    ]
    return must("geo", geo_polygon=models.GeoPolygon(exterior=lines[0], interiors=lines[1:]))


SQUARE: list[tuple[float, float]] = [(52, 13), (53, 13), (53, 14), (52, 14), (52, 13)]
HOLE = [(52.2, 13.2), (52.8, 13.2), (52.8, 13.8), (52.2, 13.8), (52.2, 13.2)]


FILTERS: list[tuple[models.Filter, set[int]]] = [
    (must("k", match=models.MatchValue(value="a")), {0, 3}),
    (must("n", match=models.MatchValue(value=1)), {0, 3}),
    (must("b", match=models.MatchValue(value=True)), {0, 3}),
    (must("b", match=models.MatchValue(value=False)), {1, 3}),
    (must("k", match=models.MatchAny(any=["a", "z"])), {0, 3}),
    (must("k", match=models.MatchAny(any=[])), set()),
    (must("k", match=models.MatchExcept(**{"except": ["a"]})), {1, 3}),
    (must("t", match=models.MatchText(text="fox quick")), {0}),
    (must("t", match=models.MatchTextAny(text_any="dogs fox")), {0, 1, 3}),
    (must("t", match=models.MatchPhrase(phrase="quick brown")), {0, 1}),
    (must("t", match=models.MatchPhrase(phrase="brown quick")), set()),
    (must("n", range=models.Range(gte=1, lt=2)), {0, 3}),
    (must("f", range=models.Range(gt=0.5, lte=2.5)), {0, 1}),
    (must("d", range=models.DatetimeRange(gte=JUNE)), {1, 2}),
    (must("d", range=models.DatetimeRange(lt=datetime(2024, 6, 1))), {0}),  # noqa: DTZ001
    (must("l", is_empty=True), {1, 2, 3, 4, 5}),
    (must("l", is_empty=False), {0, 6, 7}),
    (must("l", is_null=True), {2, 6, 7}),
    (must("o[].p", is_empty=True), {1, 2, 3, 4, 5, 6, 7}),
    (must("o[].p", is_null=True), {6}),
    (null("l"), {2, 6, 7}),
    (null("l[]"), {6, 7}),
    (null("l[0]"), {6, 7}),
    (null("o[].p"), {6}),
    (empty("l"), {1, 2, 3, 4, 5}),
    (empty("l[]"), {1, 2, 3, 4, 5, 6}),
    (empty("o[].p"), {1, 2, 3, 4, 5, 6, 7}),
    (must("l", values_count=models.ValuesCount(gte=1)), {0, 6, 7}),
    (
        models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="k"))]),
        {2, 4, 5, 6, 7},
    ),
    (models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="k"))]), {2}),
    (models.Filter(must=[models.HasIdCondition(has_id=[1, 5, 99])]), {1, 5}),
    (models.Filter(must=[models.HasVectorCondition(has_vector="")]), set(range(8))),
    (nested(at("p", 1), at("q", "v")), set()),
    (nested(at("p", 2), at("q", "v")), {0}),
    (must("o[].p", match=models.MatchValue(value=2)), {0}),
    (models.Filter(should=[at("k", "b"), at("n", -3)]), {1, 2, 3}),
    (models.Filter(must=at("k", "a"), must_not=[at("n", 5)]), {0}),
    (
        models.Filter(
            min_should=models.MinShould(
                conditions=[at("k", "a"), at("n", 5), at("b", True)], min_count=3
            )
        ),
        {3},
    ),
    (models.Filter(must=[models.Filter(should=[at("k", "a"), at("k", "b")])]), {0, 1, 3}),
    (
        must(
            "geo",
            geo_radius=models.GeoRadius(center=models.GeoPoint(lat=52.5, lon=13.5), radius=9000),
        ),
        {4},
    ),
    (
        must(
            "geo",
            geo_bounding_box=models.GeoBoundingBox(
                top_left=models.GeoPoint(lat=53, lon=13),
                bottom_right=models.GeoPoint(lat=52, lon=14),
            ),
        ),
        {4},
    ),
    (polygon(SQUARE), {4}),
    (polygon(SQUARE, HOLE), set()),
]


@pytest.mark.parametrize("indexed", [False, True], ids=["unindexed", "indexed"])
def test_filters(store: Store, name: str, indexed: bool) -> None:
    kinds = {"k": "keyword", "n": "integer", "f": "float", "b": "bool", "t": "text",
             "d": "datetime", "geo": "geo"}  # fmt: skip
    schema = CollectionSchema(fingerprint="f", payload_indexes=kinds if indexed else {})
    store.ensure(name, schema)
    vectors = unit(len(PAYLOADS))
    store.upsert(name, [Point(n, {"": vectors[n]}, one) for n, one in enumerate(PAYLOADS)])
    for condition, expected in FILTERS:
        shown = condition.model_dump_json(exclude_none=True)
        kinds_of_tests = {test.kind for test in indexed_tests(condition)}
        if not getattr(store, "local", False) and ("except" if indexed else "text") in (
            kinds_of_tests
        ):
            continue  # it is refused
        points, _ = store.scroll(name, filter=condition)
        assert {point.id for point in points} == expected, shown
        assert store.count(name, filter=condition) == len(expected), shown
        query = PointQuery(vector=vectors[0], filter=condition)
        assert {point.id for point in store.query(name, query)} == expected, shown


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"kind": "a"}, {0, 2}),
        ({"kind": ["a", "b"]}, {0, 1, 2}),
        ({"kind": ["a", "b"], "own.source": "x"}, {0, 1}),
        ({"kind": []}, set()),
        ({"kind": "c"}, set()),
    ],
)
def test_scrolling_what_matches(
    store: Store, name: str, wanted: dict[str, Any], expected: set[int]
) -> None:
    store.ensure(name, CollectionSchema(fingerprint="f", payload_indexes={"kind": "keyword"}))
    payloads = [
        {"kind": "a", "own": {"source": "x"}},
        {"kind": "b", "own": {"source": "x"}},
        {"kind": "a", "own": {"source": "y"}},
    ]
    vectors = unit(3)
    store.upsert(name, [Point(n, {"": vectors[n]}, one) for n, one in enumerate(payloads)])
    points, _ = store.scroll(name, filter=PayloadEquals(wanted))
    assert {point.id for point in points} == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"must": []}, "expected qdrant_client.models.Filter"),
        (models.Filter(must=[models.FieldCondition(key="k")]), "no test"),
        (
            must("n", match=models.MatchValue(value=1), range=models.Range(gte=0)),
            "the tests match, range",
        ),
        (nested(models.FieldCondition(key="k")), "no test"),
        (
            models.Filter(min_should=models.MinShould(conditions=[at("k", "a")], min_count=0)),
            "min_count 0",
        ),
        *[
            (must("l", values_count=models.ValuesCount(**bounds)), "is true of no values")
            for bounds in ({"gte": 0}, {"lt": 1}, {"lte": 0}, {})
        ],
        (
            models.Filter(
                must=[at("k", "a")], min_should=models.MinShould(conditions=[], min_count=1)
            ),
            "min_should has no condition",
        ),
        (must("l[]", is_empty=True), "Ask the list itself, 'l'"),
        (must("l[]", is_null=False), "Ask the list itself, 'l'"),
        (must("d", range=models.DatetimeRange()), "a range without bounds"),
        (must("n", range=models.Range()), "a range without bounds"),
        (polygon(SQUARE[:4]), "4 points and is not closed"),
        (polygon([SQUARE[0], SQUARE[1], SQUARE[0]]), "3 points, expected four"),
        (polygon([]), "0 points, expected four"),
        (polygon(SQUARE, SQUARE[:4]), "4 points and is not closed"),
    ],
)
def test_filters_that_engines_would_read_differently_are_refused(
    read_only: Store, condition: Any, message: str
) -> None:
    vector = unit(1)[0]
    with pytest.raises(ConfigurationError, match=message):
        read_only.query(READ_ONLY, PointQuery(vector=vector, filter=condition))
    with pytest.raises(ConfigurationError, match=message):
        read_only.query_batch(READ_ONLY, [PointQuery(vector=vector, filter=condition)])
    with pytest.raises(ConfigurationError, match=message):
        read_only.count(READ_ONLY, filter=condition)
    with pytest.raises(ConfigurationError, match=message):
        read_only.scroll(READ_ONLY, filter=condition)
    with pytest.raises(ConfigurationError, match=message):
        read_only.delete(READ_ONLY, filter=condition)


def test_the_embedded_engine_says_what_it_does_not_have(tmp_path: Path) -> None:
    with EdgeStore(tmp_path) as store:
        store.ensure("c", SCHEMA)
        part = models.SliceCondition(slice=models.Slice(total=2, index=0))
        with pytest.raises(ConfigurationError, match="no SliceCondition"):
            store.count("c", filter=models.Filter(must=[part]))


# --- payloads and filters that nobody thought of ------------------------------------------------

KEYS = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(
    ["", "x", "y", "x y", "Été à la mer", "X", "true", "1", "日本語", "🙂 smile"]
)
NUMBERS = st.integers(-3, 3) | st.sampled_from([1 << 40, -(1 << 40)])
FLOATS = st.sampled_from([-1.5, 0.5, 1.0, 2.25])
SCALARS = st.none() | st.booleans() | NUMBERS | FLOATS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)
PATHS = st.sampled_from(["a", "b", "c", "a.b", "a[]", "b[].c", "c.a", "a[].b"])
MATCHES = st.one_of(
    st.builds(lambda v: {"match": models.MatchValue(value=v)}, TEXTS | NUMBERS | st.booleans()),
    st.builds(lambda v: {"match": models.MatchAny(any=v)}, st.lists(TEXTS, max_size=3)),
    st.builds(lambda v: {"match": models.MatchAny(any=v)}, st.lists(NUMBERS, max_size=3)),
    st.builds(
        lambda v: {"match": models.MatchExcept(**{"except": v})},
        st.lists(TEXTS, min_size=1, max_size=3),
    ),
    st.builds(lambda a, b: {"range": models.Range(gte=a, lt=b)}, FLOATS, FLOATS | st.none()),
    st.builds(lambda v: {"is_empty": v}, st.booleans()),
    st.builds(lambda v: {"is_null": v}, st.booleans()),
    st.builds(lambda v: {"values_count": models.ValuesCount(gte=v)}, st.integers(1, 3)),
)
CONDITIONS: st.SearchStrategy[Any] = st.recursive(
    st.builds(lambda key, test: models.FieldCondition(key=key, **test), PATHS, MATCHES).filter(
        lambda condition: not asks_items_for_null(condition)
    )
    | st.builds(lambda v: models.HasIdCondition(has_id=v), st.lists(st.integers(0, 9), max_size=3))
    | st.builds(lambda key: models.IsNullCondition(is_null=models.PayloadField(key=key)), PATHS)
    | st.builds(lambda key: models.IsEmptyCondition(is_empty=models.PayloadField(key=key)), PATHS),
    lambda inner: (
        st.builds(lambda v: models.Filter(must=v), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda v: models.Filter(should=v), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda v: models.Filter(must_not=v), st.lists(inner, min_size=1, max_size=2))
        | st.builds(
            lambda v, n: models.Filter(min_should=models.MinShould(conditions=v, min_count=n)),
            st.lists(inner, min_size=1, max_size=3),
            st.integers(1, 2),
        )
        | st.builds(
            lambda key, v: models.NestedCondition(
                nested=models.Nested(key=key, filter=models.Filter(must=v))
            ),
            KEYS,
            st.lists(inner.filter(lambda one: not has_id(one)), min_size=1, max_size=2),
        )
    ),
    max_leaves=4,
)


def asks_items_for_null(condition: models.FieldCondition) -> bool:
    """It is refused: of `a[]` engines say different things."""
    return condition.key.endswith("]") and (condition.is_null, condition.is_empty) != (None, None)


def has_id(condition: Any) -> bool:
    """An object inside a payload has no id: no engine says what that would mean."""
    return "has_id" in condition.model_dump_json()


ANY = new_name()


@pytest.fixture(scope="module", params=[engine for engine in ENGINES if engine != "memory"])
def two(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Store]]:
    """A store, and one in memory to compare it with."""
    path = tmp_path_factory.mktemp("two")
    with (
        open_engine(request.param, path, request) as tested,
        open_engine("memory", path, request) as memory,
    ):
        yield tested, memory
        tested.drop(ANY)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    payloads=st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=10),
    conditions=st.lists(CONDITIONS, min_size=1, max_size=8),
)
def test_any_payload_and_any_filter(
    two: tuple[Store, Store], payloads: list[dict[str, Any]], conditions: list[Any]
) -> None:
    name = ANY
    vectors = unit(10)
    for store in two:
        store.ensure(name, CollectionSchema(fingerprint="f"))
        store.delete(name, ids=list(range(10)))
        store.upsert(name, [Point(n, {"": vectors[n]}, one) for n, one in enumerate(payloads)])
    tested, memory = two
    assert [point.payload for point in tested.scroll(name)[0]] == payloads
    for condition in conditions:
        wanted = models.Filter(must=[condition])
        query = PointQuery(vector=vectors[0], filter=wanted)
        found, expected = tested.query(name, query), memory.query(name, query)
        shown = wanted.model_dump_json(exclude_none=True)
        assert [point.id for point in found] == [point.id for point in expected], shown
        assert tested.count(name, filter=wanted) == len(expected), shown


def test_parts_of_the_payload(store: Store, name: str) -> None:
    store.ensure(name, SCHEMA)
    store.upsert(name, [Point(1, {"": unit(1)[0]}, {"a": 1, "b": {"c": 2, "d": 3}})])
    (read,) = store.retrieve(name, [1], with_payload=["b"])
    assert read.payload == {"b": {"c": 2, "d": 3}}
    (scrolled,), _ = store.scroll(name, with_payload=["a"])
    assert scrolled.payload == {"a": 1}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("multiqa", {"a": 1}, "other than 'multiqa'"),
        ("", {"a": 1}, "expected text"),
        ("job", {"a": float("nan")}, "the metadata 'job' has the number nan"),
        ("job", {"a": object()}, "not JSON"),
    ],
)
def test_metadata_that_cannot_be_kept(
    store: Store, name: str, key: str, value: Any, message: str
) -> None:
    identity = store.ensure(name, SCHEMA).info.identity
    with pytest.raises(ConfigurationError, match=message):
        store.annotate(name, key, value)
    info = store.info(name)
    assert info is not None
    assert (info.identity, info.metadata) == (identity, {})


def test_a_collection_made_anew_is_another(store: Store, name: str) -> None:
    first = store.ensure(name, SCHEMA).info.identity
    store.annotate(name, "job", {"run": "a"})
    store.drop(name)
    second = store.ensure(name, SCHEMA).info.identity
    assert first
    assert second
    assert first != second


def test_metadata(store: Store, name: str) -> None:
    store.ensure(name, SCHEMA)

    def metadata() -> Any:
        info = store.info(name)
        assert info is not None
        assert info.fingerprints == (SCHEMA.fingerprint,)
        return info.metadata

    assert metadata() == {}
    store.annotate(name, "job", {"run": "a"})
    store.annotate(name, "other", {"x": [1]})
    store.annotate(name, "job", {"run": "b"})
    assert metadata() == {"job": {"run": "b"}, "other": {"x": [1]}}
    store.annotate(name, "job", None)
    assert metadata() == {"other": {"x": [1]}}
