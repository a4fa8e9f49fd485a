"""Conditions on words: the same on every engine, since none compares them without a text index."""

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
