"""Dicts as filters, held against a reference in Python, on every engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.langchain import MultiQAEmbeddings, MultiQAVectorStore
from multiqa_integrations.qdrant.server.conditions import to_filter
from multiqa_integrations.testing import FakeEncoder
from tests.support.engines import ENGINES, open_engine

KEYS = ["n", "dc.title", "Valid from", "by", "by.who"]
SCALARS: list[Any] = [0, 1, 2, 1.5, 2.0, True, False, "", "a", "b", None]
LISTS: list[Any] = [[], ["a"], ["a", "b"], [1, 2], [True]]
OBJECTS: list[Any] = [
    *({"who": who, "at": at} for who, at in itertools.product(["a", "b"], [1, 2])),
    {"who": ["a", "b"]},
    {"who": None},
    {"first name": "a"},
    [{"who": "a", "at": 1}, {"who": "b", "at": 2}],
    [{"who": "a"}, {"at": 2}],
]
METADATA: list[dict[str, Any]] = [
    {},
    *({key: value} for key in KEYS for value in [*SCALARS, *LISTS]),
    *({"by": value} for value in OBJECTS),
    *({"n": n, "by": by} for n, by in itertools.product([1, "a"], OBJECTS[:4])),
    {"dc": {"title": "a"}},
]


def lookup(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def equal(stored: Any, value: Any) -> bool:
    """Compare as Python does, but True is not a number."""
    return isinstance(stored, bool) is isinstance(value, bool) and stored == value


def matches(stored: Any, value: Any) -> bool:
    if isinstance(value, list):
        return any(matches(stored, item) for item in value)
    if isinstance(value, dict):
        if not value:
            return False
        items = stored if isinstance(stored, list) else []
        objects = [item for item in items if isinstance(item, dict)]
        return any(selects(value, one) for one in [stored, *objects])
    items = stored if isinstance(stored, list) else [stored]
    return any(equal(item, value) for item in items)


def selects(filter: dict[str, Any], metadata: Any) -> bool:
    """Whether all fields match, each as a key or, with dots, as a path."""
    for key, value in filter.items():
        own = metadata.get(key) if isinstance(metadata, dict) else None
        places = [own, lookup(metadata, key)]
        wanted = value if isinstance(value, list) else [value]
        empty = None in wanted and all(place in (None, []) for place in places)
        others = [item for item in wanted if item is not None]
        if not empty and not any(matches(place, others) for place in places):
            return False
    return True


VALUES = st.one_of(
    st.sampled_from(SCALARS),
    st.lists(st.sampled_from(SCALARS), max_size=3),
    st.dictionaries(
        st.sampled_from(["who", "at", "first name"]),
        st.sampled_from([1, 2, "a", "b", None, [], ["a", "c"], [1, None]]),
        max_size=2,
    ),
)
FILTERS = st.dictionaries(st.sampled_from([*KEYS, "dc", "nowhere"]), VALUES, max_size=2)


@pytest.fixture(scope="module", params=ENGINES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MultiQAVectorStore]:
    with open_engine(request.param, tmp_path_factory.mktemp("store"), request) as store:
        name = f"test-dict-filters-{request.param}"
        embeddings = MultiQAEmbeddings(encoder=FakeEncoder())
        made = MultiQAVectorStore(embeddings, name, store=store)
        ids = [str(number) for number in range(len(METADATA))]
        made.add_texts(["x"] * len(METADATA), METADATA, ids=ids)
        yield made
        store.drop(name)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(filter=FILTERS)
@example(filter={"dc.title": None})
@example(filter={"dc.title": [None, "b"]})
@example(filter={"by": [{"who": "a", "at": 2}]})
def test_a_dict_selects_what_it_says(filled: MultiQAVectorStore, filter: dict[str, Any]) -> None:
    found = filled.similarity_search("x", k=len(METADATA), filter=filter, exact=True)
    expected = {str(n) for n, metadata in enumerate(METADATA) if selects(filter, metadata)}
    assert {document.id for document in found} == expected


def test_objects_in_objects_are_not_looked_for_without_end() -> None:
    shallow: dict[str, Any] = {"k": 1}
    for _ in range(7):
        shallow = {"k": shallow}
    deep = shallow
    for _ in range(15):
        deep = {"k": deep}
    assert to_filter(shallow, "metadata") is not None
    with pytest.raises(ConfigurationError, match="nested so deep"):
        to_filter(deep, "metadata")


@pytest.mark.parametrize(
    "filter", [{"n": {"$ne": 1}}, {"$and": [{"n": 1}]}, {"by": [{"who": {"$in": ["a"]}}]}]
)
def test_operators_of_other_stores_are_refused(filter: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"'\$\w+', an operator of other stores"):
        to_filter(filter, "metadata")
