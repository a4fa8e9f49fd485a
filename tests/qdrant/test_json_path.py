"""Paths into payloads, on every engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import CollectionSchema, Point, Store
from multiqa_integrations.qdrant.json_path import paths, quote
from multiqa_integrations.testing import FakeEncoder

KEYS = [
    *["title", "Valid from", "app:mode", "in/out", "$x", "it's", "a+b", "-dash", "1", "null"],
    *["dc.title", ".hidden", "ends.", "..", "a[0]", "a[]", "a]b", "a[b", "(x)", "*", "", " "],
    *["ünï", "日本", "emoji😀", "\u200b", "\xa0x", "tab\t", "new\nline", "\x00", "a,b"],
]


def equal(path: str, value: Any) -> models.Filter:
    return models.Filter(
        must=[models.FieldCondition(key=path, match=models.MatchValue(value=value))]
    )


def ids(store: Store, name: str, path: str, value: Any) -> set[int | str]:
    points, _ = store.scroll(name, filter=equal(path, value), limit=100)
    return {point.id for point in points}


def test_every_key_that_can_be_quoted_is_found(store: Store, name: str) -> None:
    encoder = FakeEncoder()
    store.ensure(name, CollectionSchema(fingerprint=encoder.fingerprint))
    vector = encoder.encode(["x"])[0]
    store.upsert(
        name,
        [Point(n, {"": vector}, {"metadata": {key: "v"}}) for n, key in enumerate(KEYS)],
    )
    for number, key in enumerate(KEYS):
        assert ids(store, name, paths("metadata", key)[0], "v") == {number}, key


def test_paths_into_objects_and_lists(store: Store, name: str) -> None:
    encoder = FakeEncoder()
    store.ensure(name, CollectionSchema(fingerprint=encoder.fingerprint))
    people = [{"first name": "Ann", "at": ["x", "y"]}, {"first name": "Bob"}]
    vector = encoder.encode(["x"])[0]
    store.upsert(name, [Point(1, {"": vector}, {"metadata": {"by": {"the people": people}}})])
    for key, value in (
        ("by.the people[].first name", "Bob"),
        ("by.the people[1].first name", "Bob"),
        ("by.the people[].at[1]", "y"),
        ("by.the people[].at[]", "x"),
    ):
        flat, nested = paths("metadata", key)
        assert ids(store, name, flat, value) == set(), key
        assert ids(store, name, nested, value) == {1}, key
    assert ids(store, name, paths("metadata", "by.the people[0].first name")[1], "Bob") == set()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("page", ["metadata.page"]),
        ("by.who", ['metadata."by.who"', "metadata.by.who"]),
        ("by.first name", ['metadata."by.first name"', 'metadata.by."first name"']),
        ("tags[]", ['metadata."tags[]"', "metadata.tags[]"]),
        ("a..b", ['metadata."a..b"']),
        ("[0]", ['metadata."[0]"']),
    ],
)
def test_what_a_key_may_mean(key: str, expected: list[str]) -> None:
    assert paths("metadata", key) == expected
    assert paths("", key) == [path.removeprefix("metadata.") for path in expected]


@given(st.text(max_size=12))
def test_a_key_is_quoted_or_refused(key: str) -> None:
    if {'"', "\\"} & set(key):
        with pytest.raises(ConfigurationError, match="Rename it"):
            quote(key)
    else:
        assert quote(key).strip('"') == key.strip('"')
