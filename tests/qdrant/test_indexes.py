"""Conditions that an index changes: the same on every engine, or refused by all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import CollectionSchema, Point, PointQuery, Store, open_store
from tests.support.loopback_qdrant import LoopbackQdrant

VECTOR = np.eye(384, dtype=np.float32)[0]
NOTES = ["coffee", "fee", "Fee", "tea"]


@pytest.fixture(params=["embedded", "server"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, loopback: LoopbackQdrant
) -> Iterator[Store]:
    where: dict[str, Any] = (
        {"path": tmp_path} if request.param == "embedded" else {"url": loopback.url}
    )
    with open_store(**where) as opened:
        opened.ensure("docs", CollectionSchema(fingerprint="f"))
        opened.upsert(
            "docs",
            [Point(n, {"": VECTOR}, {"note": note, "notes": [{"note": note}]})
             for n, note in enumerate(NOTES)],
        )  # fmt: skip
        yield opened


def filters() -> list[models.Filter]:
    word = models.FieldCondition(key="note", match=models.MatchText(text="fee"))
    phrase = models.FieldCondition(key="note", match=models.MatchPhrase(phrase="fee"))
    words = models.FieldCondition(key="note", match=models.MatchTextAny(text_any="fee tea"))
    nested = models.NestedCondition(
        nested=models.Nested(key="notes", filter=models.Filter(must=[word]))
    )
    return [
        models.Filter(must=[word]),
        models.Filter(must=word),
        models.Filter(should=[words]),
        models.Filter(must_not=[phrase]),
        models.Filter(min_should=models.MinShould(conditions=[word], min_count=1)),
        models.Filter(must=[models.Filter(must_not=[word])]),
        models.Filter(must=[nested]),
    ]


@pytest.mark.parametrize("number", range(len(filters())))
def test_words_are_not_compared_without_an_index(store: Store, number: int) -> None:
    filter = filters()[number]
    query = PointQuery(vector=VECTOR, filter=filter)
    for ask in (
        lambda: store.query("docs", query),
        lambda: store.query_batch("docs", [query]),
        lambda: store.scroll("docs", filter=filter),
        lambda: store.count("docs", filter=filter),
        lambda: store.delete("docs", filter=filter),
    ):
        with pytest.raises(ConfigurationError, match=r"needs a text index.*payload_indexes="):
            ask()
    assert store.count("docs") == len(NOTES)


@pytest.mark.parametrize("kind", ["keyword", "integer"])
def test_an_index_of_another_kind_is_not_enough(store: Store, kind: str) -> None:
    store.ensure("docs", CollectionSchema(fingerprint="f", payload_indexes={"note": kind}))
    with pytest.raises(ConfigurationError, match="needs a text index"):
        store.count("docs", filter=filters()[0])


def test_with_a_text_index_they_are(store: Store) -> None:
    with pytest.raises(ConfigurationError):
        store.count("docs", filter=filters()[0])
    store.ensure("docs", CollectionSchema(fingerprint="f", payload_indexes={"note": "text"}))
    # The stand-in has no index: it looks for the letters.
    assert store.count("docs", filter=filters()[0]) >= 2


# --- indexes that hold some of the values -----------------------------------------------------

MIXED: list[dict[str, Any]] = [
    {"v": 1},
    {"v": 1.5},
    {"v": "2024-01-01"},
    {"v": "x"},
    {"v": [2, "y"]},
]
OTHER = models.MatchExcept(**{"except": ["x"]})
DATES = models.DatetimeRange(gte="2023-01-01")  # type: ignore[arg-type]  # it is parsed
NUMBERS = models.Range(gte=1)
FRACTION = models.Range(gte=1.5, lte=1.5)

# Which points each finds where no index changes it; the indexes where it is refused.
TESTS: list[tuple[dict[str, Any], set[int], set[str], str]] = [
    ({"match": OTHER}, {0, 1, 2, 4}, {"keyword", "integer", "uuid"}, "MatchAny"),
    ({"range": DATES}, {2}, {"integer", "float"}, "Index the field as datetime"),
    ({"range": FRACTION}, {1}, {"integer", "datetime"}, "Index the field as float"),
    ({"range": NUMBERS}, {0, 1, 4}, {"datetime"}, "Index the field as float"),
]


@pytest.mark.parametrize("kind", [None, "keyword", "integer", "float", "datetime", "uuid", "text"])
@pytest.mark.parametrize("number", range(len(TESTS)))
def test_an_index_changes_nothing_in_silence(store: Store, kind: str | None, number: int) -> None:
    test, expected, refused, cure = TESTS[number]
    indexes = {} if kind is None else {"v": kind, "in[].v": kind}
    store.ensure("mixed", CollectionSchema(fingerprint="f", payload_indexes=indexes))
    store.upsert(
        "mixed",
        [Point(n, {"": VECTOR}, {**one, "in": [one]}) for n, one in enumerate(MIXED)],
    )
    plain = models.FieldCondition(key="v", **test)
    within = models.NestedCondition(
        nested=models.Nested(key="in", filter=models.Filter(should=[plain]))
    )
    for condition in (plain, within, models.Filter(must=[plain])):
        filter = models.Filter(must=[condition])
        if kind in refused:
            for ask in (store.count, store.scroll, store.delete):
                with pytest.raises(ConfigurationError, match=f"an index of kind {kind}.*{cure}"):
                    ask("mixed", filter=filter)
        elif (kind, number) != ("integer", 3):  # such an index is for ranges of whole numbers
            found, _ = store.scroll("mixed", filter=filter)
            assert {point.id for point in found} == expected
    assert store.count("mixed") == len(MIXED)


def test_what_is_advised_instead_of_except(store: Store) -> None:
    store.ensure("mixed", CollectionSchema(fingerprint="f", payload_indexes={"v": "keyword"}))
    store.upsert("mixed", [Point(n, {"": VECTOR}, one) for n, one in enumerate([*MIXED, {}])])
    filter = models.Filter(
        must_not=[
            models.FieldCondition(key="v", match=models.MatchAny(any=["x"])),
            models.IsEmptyCondition(is_empty=models.PayloadField(key="v")),
        ]
    )
    assert {point.id for point in store.scroll("mixed", filter=filter)[0]} == {0, 1, 2, 4}


def test_an_index_made_later_is_heeded(store: Store) -> None:
    filter = models.Filter(must=[models.FieldCondition(key="note", match=OTHER)])
    assert store.count("docs", filter=filter) == len(NOTES)
    store.ensure("docs", CollectionSchema(fingerprint="f", payload_indexes={"note": "keyword"}))
    with pytest.raises(ConfigurationError, match="an index of kind keyword"):
        store.count("docs", filter=filter)
