"""Evaluating: encoders, searches and stores."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiqa_integrations import MultiQAEncoder
from multiqa_integrations.errors import ConfigurationError, PerformanceWarning
from multiqa_integrations.evaluation import METRICS, Configuration, evaluate
from multiqa_integrations.qdrant import Store
from multiqa_integrations.testing import FakeEncoder
from multiqa_integrations.types import Vectors
from tests.support.retrieval_set import MakeSet


class CountingEncoder(FakeEncoder):
    """Counts the documents that it encodes."""

    documents = 0

    def encode_stream(self, texts: Iterable[str]) -> Iterator[Vectors]:
        for vectors in super().encode_stream(texts):
            self.documents += len(vectors)
            yield vectors


def all_ways(encoder: FakeEncoder) -> list[Configuration]:
    return [
        Configuration(encoder=encoder),
        Configuration(encoder=encoder, search="hnsw"),
        Configuration(encoder=encoder, search="hnsw", quantization="none", hnsw_ef=128),
        Configuration(encoder=encoder, mode="bm25"),
        Configuration(encoder=encoder, mode="hybrid", candidates=5),
        Configuration(encoder=encoder, mode="hybrid", search="hnsw", rescore=False),
    ]


@pytest.mark.filterwarnings("ignore:Local mode performs exact")  # it is told of hnsw_ef
def test_every_way_to_search_in_every_store(
    make_set: MakeSet, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure, made = store.ensure, []

    def ensure_and_note(collection: str, *args: Any, **options: Any) -> Any:
        made.append(collection)
        return ensure(collection, *args, **options)

    monkeypatch.setattr(store, "ensure", ensure_and_note)
    encoder = CountingEncoder()
    found = evaluate(make_set(), all_ways(encoder), store=store)
    assert [one.name for one in found.results] == [
        "mode=dense search=exact",
        "search=hnsw",
        "search=hnsw hnsw_ef=128 quantization=none",
        "mode=bm25",
        "mode=hybrid candidates=5",
        "mode=hybrid search=hnsw rescore=no",
    ]
    for one in found.results:
        assert one.mean("nDCG@10") > 0.8, one.name
        assert one.scores["recall@100"].tolist() == [1, 1, 1, 0.5], one.name  # "gone" is not there
        assert (one.lengths is None) is (one.configuration.mode == "bm25")
    exact, graph, *_ = found.results
    np.testing.assert_allclose(exact.scores["MAP"], graph.scores["MAP"])  # so few are not indexed
    assert encoder.documents == 5  # encoded once
    assert [(c.other, c.metric) for c in found.comparisons] == [
        (one.name, metric) for one in found.results[1:] for metric in METRICS
    ]
    assert made
    assert not set(made) & set(store.collections())


def test_it_is_the_search_that_is_measured(make_set: MakeSet) -> None:
    """A query in other words than its document is not found by words."""
    folder = make_set(
        documents={"a": ("", "zebra zebra stripes"), "b": ("", "lion mane")},
        queries={"words": "stripes", "stop": "the of", "other": "savannah"},
        qrels=[("words", "a", 1), ("stop", "a", 1), ("other", "b", 1)],
    )
    found = evaluate(folder, Configuration(encoder=FakeEncoder(), mode="bm25"))
    assert found.results[0].scores["nDCG@10"].tolist() == [1, 0, 0]
    assert (found.results[0].hits.rows[1:] == -1).all()


def test_the_real_model(make_set: MakeSet, test_model: Path) -> None:
    float32, int8 = (
        MultiQAEncoder(test_model, backend="openvino", dtype=dtype, on_truncation="ignore")
        for dtype in ("float32", "int8")
    )
    folder = make_set(
        documents={
            "people": ("London", "Around nine million people live there."),
            "river": ("", "The Thames flows through the capital to the sea."),
            "long": ("", "It rained the whole day. " * 100),
        },
        queries={"a": "How many inhabitants has the capital of England?", "b": "bad weather"},
        qrels=[("a", "people", 1), ("b", "long", 1)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerformanceWarning)  # of int8, on some processors
        found = evaluate(folder, [Configuration(encoder=float32), Configuration(encoder=int8)])
    assert [one.name for one in found.results] == ["dtype=float32", "dtype=int8"]
    for one in found.results:
        assert one.mean("nDCG@10") == 1
        assert one.lengths is not None
        assert (one.lengths.cut_documents, one.lengths.limit) == (1, 256)
    assert found.remarks == [
        "1 of 3 documents (33.3%) and 0 queries are cut at 256 word pieces.",
    ]
    assert found.comparison("dtype=int8").differences.tolist() == [0, 0]


def test_encoders_of_the_same_settings_share_their_vectors(
    make_set: MakeSet, test_model: Path
) -> None:
    one, two = (MultiQAEncoder(test_model, dtype="float32", backend="openvino") for _ in range(2))
    steps: list[str] = []
    evaluate(
        make_set(),
        [Configuration(encoder=one), Configuration(encoder=two, search="hnsw")],
        progress=lambda what, done, total: steps.append(what),
    )
    assert steps.count("manual: encoding queries") == 1


def test_identical_ids(make_set: MakeSet) -> None:
    folder = make_set(
        documents={"a": ("", "red apples"), "b": ("", "red apples and pears"), "c": ("", "sky")},
        queries={"a": "red apples"},
        qrels=[("a", "b", 1)],
    )
    for search in ("exact", "hnsw"):
        way = Configuration(encoder=FakeEncoder(), search=search)
        assert evaluate(folder, way).results[0].scores["MRR@10"].tolist() == [0.5]
        alone = evaluate(folder, way, ignore_identical_ids=True)
        assert alone.results[0].scores["MRR@10"].tolist() == [1]


def test_what_is_in_the_graph_is_told(make_set: MakeSet) -> None:
    found = evaluate(make_set(), Configuration(encoder=FakeEncoder(), search="hnsw"))
    assert "0 of 5 documents are in the graph" in found.remarks[-1]
    assert found.limit == 100
    assert evaluate(make_set("b"), Configuration(encoder=FakeEncoder())).limit == 1000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "sparse"}, "mode is 'sparse', expected dense, bm25, hybrid"),
        ({"search": "graph"}, "search is 'graph', expected exact, hnsw"),
        ({"search": "hnsw", "quantization": "4bit"}, "quantization is '4bit', expected none, int8"),
        ({"hnsw_ef": 64}, "hnsw_ef: a setting of the graph, but search is 'exact'"),
        ({"search": "hnsw", "hnsw_ef": 0}, "hnsw_ef is 0, expected 1 or more"),
        ({"mode": "bm25", "search": "hnsw"}, "always searched exactly"),
        ({"search": "hnsw", "quantization": "none", "rescore": True}, "need quantization"),
        ({"candidates": 50}, "a setting of mode 'hybrid'"),
    ],
)
def test_settings_that_cannot_be_honoured(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Configuration(encoder=FakeEncoder(), **settings)  # type: ignore[arg-type]


def test_the_same_twice(make_set: MakeSet) -> None:
    encoder = FakeEncoder()
    with pytest.raises(ConfigurationError, match="two configurations are called"):
        evaluate(make_set(), [Configuration(encoder=encoder), Configuration(encoder=encoder)])
    named = [Configuration(encoder=encoder, name=name) for name in ("one", "other")]
    assert [one.name for one in evaluate(make_set("b"), named).results] == ["one", "other"]


def test_too_few_hits(make_set: MakeSet) -> None:
    way = Configuration(encoder=FakeEncoder())
    with pytest.raises(ConfigurationError, match="limit is 9, expected 10 or more"):
        evaluate(make_set(), way, limit=9)
    found = evaluate(make_set("b"), way, limit=10)
    assert found.remarks[-1] == "Each query got 10 hits: recall@100 and MAP are of those."


@pytest.mark.parametrize(
    ("settings", "limit", "taken"),
    [
        ({"hnsw_ef": 199}, None, "200 hits are taken from the graph .limit 100, oversampling 2"),
        ({"hnsw_ef": 99, "quantization": "none"}, None, "100 hits .* oversampling 1"),
        ({"hnsw_ef": 149, "oversampling": 1.5}, None, "150 hits .* oversampling 1.5"),
        ({"hnsw_ef": 19}, 10, "20 hits"),
    ],
)
def test_a_graph_is_followed_as_widely_as_hits_are_taken(
    make_set: MakeSet, settings: dict[str, Any], limit: int | None, taken: str
) -> None:
    ways = [
        Configuration(encoder=FakeEncoder(), search="hnsw", **{**settings, "hnsw_ef": ef})
        for ef in (settings["hnsw_ef"] + 1, settings["hnsw_ef"])
    ]
    assert evaluate(make_set(), ways[0], limit=limit).results[0].mean("nDCG@10") > 0.8
    with pytest.raises(ConfigurationError, match=taken):
        evaluate(make_set("b"), ways[1], limit=limit)
