"""What a record becomes: fields, ids, reasons to refuse it, and when it has changed."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.etl import Fields, Record
from multiqa_integrations.etl.documents import (
    RecordError,
    SourceDocument,
    metadata_hash,
    text_hash,
    to_document,
)
from multiqa_integrations.types import Document


def made(value: Any, max_characters: int = 1_000, **fields: Any) -> SourceDocument:
    return to_document(Record(1, value), Fields(**fields), max_characters=max_characters)


def refusal(value: Any, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        made(value, **options)
    return caught.value


# --- fields -----------------------------------------------------------------------------------


def test_by_default_all_other_fields_are_metadata() -> None:
    record = {"id": "a", "text": " one ", "title": "T", "n": None, "tags": ["x", {"y": 1}]}
    document = made(record)
    assert (document.id, document.text, document.title) == ("a", " one ", "")
    assert document.metadata == {"title": "T", "n": None, "tags": ["x", {"y": 1}]}
    assert made({"_id": "a", "text": "x"}).id == "a"
    both = made({"_id": "a", "id": "b", "text": "x"})
    assert (both.id, both.metadata) == ("b", {"_id": "a"})


def test_dotted_paths() -> None:
    record: dict[str, Any] = {
        "meta": {"key": 7, "lang": "en", "author": {"name": "A"}},
        "doc": {"body": "one", "head": "T"},
        "a.b": "literal",
    }
    options: dict[str, Any] = {"id": "meta.key", "text": "doc.body", "title": "doc.head"}
    document = made(record, **options)
    assert (document.id, document.text, document.title) == ("7", "one", "T")
    assert document.metadata == {
        "meta": {"lang": "en", "author": {"name": "A"}},
        "doc": {"head": "T"},
        "a.b": "literal",
    }
    chosen = made(record, metadata=["meta.author.name", "a.b", "doc.none", "none.x"], **options)
    assert chosen.metadata == {"meta": {"author": {"name": "A"}}, "a.b": "literal"}
    assert record["meta"]["key"] == 7  # the record itself is as it was


def test_a_field_and_what_is_in_it_can_both_be_chosen() -> None:
    record = {"id": "a", "text": "x", "a": "plain", "a.b": 1, "c": {"d": 2, "e": 3}}
    assert made(record, metadata=["a", "a.b", "c.d", "c"]).metadata == {
        "a": "plain",
        "a.b": 1,
        "c": {"d": 2, "e": 3},
    }
    assert made(record, metadata=[]).metadata == {}


def test_documents_have_an_id_of_their_own_or_one_in_their_metadata() -> None:
    metadata = {"source": "a.txt", "head": " T "}
    document = made(Document("one", "a", metadata), title="head")
    assert (document.id, document.title, document.metadata) == ("a", "T", metadata)
    assert made(Document("one", None, metadata), id="source").id == "a.txt"
    assert made(Document("one", "a", MappingProxyType({"x": 1}))).metadata == {"x": 1}
    assert str(refusal(Document("one"))) == "it has no id"


def test_the_same_id_as_a_number_and_as_text() -> None:
    assert made({"id": 1, "text": "x"}).id == made({"id": "1", "text": "x"}).id == "1"
    assert made({"id": -(10**30), "text": "x"}).id == str(-(10**30))


def test_titles() -> None:
    assert made({"id": 1, "text": "x", "t": " T\n"}, title="t").title == "T"
    assert made({"id": 1, "text": "x", "t": None}, title="t").title == ""
    assert made({"id": 1, "text": "x"}, title="t").title == ""


def test_lone_surrogates_are_repaired_everywhere() -> None:
    document = made({"id": "a\ud800", "text": "b\ud800", "t": "c\ud800", "m": "d\ud800"}, title="t")
    assert (document.id, document.text, document.title) == ("a\ufffd", "b\ufffd", "c\ufffd")
    assert document.metadata == {"t": "c\ufffd", "m": "d\ufffd"}
    json.dumps(document.metadata, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "the id field is ''"),
        ({"text": 3}, "the text field is 3"),
        ({"title": ""}, "the title field is ''"),
        ({"metadata": "lang"}, "expected a list of names"),
        ({"metadata": [1]}, "expected a list of names"),
        ({"metadata": [""]}, "expected a list of names"),
        ({"metadata": ["chunk"]}, "'chunk' is one that is written anyway"),
        ({"metadata": ["document_id.x"]}, "is one that is written anyway"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Fields(**fields)
    assert message in str(caught.value)


# --- what is refused --------------------------------------------------------------------------

DEEP: dict[str, Any] = {}
for _ in range(100_000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("value", "reason", "id"),
    [
        ({"text": "x", "k": 1}, "it has no 'id', but 'text', 'k'", None),
        ({}, "it has no 'id', but nothing", None),
        ({"id": None, "text": "x"}, "it has no 'id', but 'id', 'text'", None),
        ({"id": "", "text": "x"}, "its id is an empty string", None),
        ({"id": True, "text": "x"}, "its id is bool True", None),
        ({"id": 1.0, "text": "x"}, "its id is float 1.0", None),
        ({"id": float("nan"), "text": "x"}, "its id is nan", None),
        ({"id": ["a"], "text": "x"}, "its id is list ['a']", None),
        ({"id": "a"}, "its text ('text') is missing, expected a string", "a"),
        ({"id": "a", "text": 3}, "its text ('text') is int 3", "a"),
        ({"id": 5, "text": "\n\t "}, "its text ('text') is empty", "5"),
        ({"id": "a", "text": "x" * 1_001}, "has 1,001 characters, the limit is 1,000", "a"),
        ({"id": "a", "text": "x", "t": 3}, "its title is int 3", "a"),
        ({"id": "a", "text": "x", "chunk": 3}, "it has the field 'chunk'", "a"),
        ({"id": "a", "text": "x", "m": float("inf")}, "its metadata['m'] is inf", "a"),
        ({"id": "a", "text": "x", "m": {"n": [b"x"]}}, "its metadata['m']['n'][0] is bytes", "a"),
        ({"id": "a", "text": "x", "m": {1: 2}}, "its metadata['m'] has the key 1", "a"),
        ({"id": "a", "text": "x", "m": 1 << 70}, "beyond 64 bits", "a"),
        (
            {"id": "a", "text": "x", "m": DEEP},
            "is nested more than 30 levels deep",
            "a",
        ),
        (Document("x", "a", ["no"]), "its metadata is list, expected an object", None),  # type: ignore[arg-type]
        (Document(3, "a"), "its text ('text') is int 3", "a"),  # type: ignore[arg-type]
        (Document("x", "a", {"start_index": 0}), "it has the field 'start_index'", "a"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_every_reason(value: Any, reason: str, id: str | None) -> None:
    error = refusal(value, title="t")
    assert reason in str(error)
    assert error.id == id


# --- hashes -----------------------------------------------------------------------------------

TEXTS = st.text(max_size=8)
CUTS = st.tuples(st.integers(16, 20), st.integers(0, 3))


def source_document(text: str, title: str = "", **metadata: Any) -> SourceDocument:
    return SourceDocument("a", text, title, metadata, 1, {})


@given(st.tuples(TEXTS, TEXTS, CUTS), st.tuples(TEXTS, TEXTS, CUTS))
def test_the_text_hash_tells_title_text_and_cutting(
    one: tuple[str, str, tuple[int, int]], other: tuple[str, str, tuple[int, int]]
) -> None:
    hashes = [text_hash(source_document(text, title), *cut) for text, title, cut in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)


@given(TEXTS, st.integers(0, 8), st.integers(0, 8))
def test_the_text_hash_tells_where_the_title_ends(text: str, first: int, second: int) -> None:
    hashes = [text_hash(source_document(text[end:], text[:end]), 250, 0) for end in (first, second)]
    assert (hashes[0] == hashes[1]) == (text[:first] == text[:second])


@given(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_the_text_hash_does_not_know_the_metadata(text: str, metadata: dict[str, str]) -> None:
    with_metadata = SourceDocument("b", text, "", metadata, 7, {})
    assert text_hash(with_metadata, 250, 0) == text_hash(source_document(text), 250, 0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def turned(value: Any) -> Any:
    """The same value with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(one) for one in value] if isinstance(value, list) else value


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_the_metadata_hash_does_not_know_the_order_of_keys(metadata: dict[str, Any]) -> None:
    one = SourceDocument("a", "x", "", metadata, 1, {})
    other = SourceDocument("b", "y", "t", turned(metadata), 2, {})
    assert metadata_hash(one) == metadata_hash(other)


@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.dictionaries(TEXTS, VALUES, max_size=3))
def test_the_metadata_hash_tells_all_else(one: dict[str, Any], other: dict[str, Any]) -> None:
    hashes = [metadata_hash(SourceDocument("a", "x", "", all, 1, {})) for all in (one, other)]
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (hashes[0] == hashes[1]) == same
