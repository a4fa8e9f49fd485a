"""What is refused of a filter, before any engine reads it: the same for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant import CollectionSchema, Point, ServerStore, Store
from multiqa_integrations.qdrant.filters import check_filter, check_selection
from multiqa_integrations.qdrant.points import lookup_ids, point_id


def field(key: str = "n", **test: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, **test)


REFUSED = [
    (field(match=models.MatchValue(value=1 << 63)), "integer beyond 64 bits"),
    (field(match=models.MatchAny(any=[1, -(1 << 70)])), "integer beyond 64 bits"),
    (field(match=models.MatchExcept(**{"except": [1 << 70]})), "integer beyond 64 bits"),
    (field(match=models.MatchValue(value="\ud800")), "lone surrogate"),
    (field(range=models.Range(gt=0, gte=1)), "both gt and gte"),
    (field(range=models.Range(lt=0, lte=1)), "both lt and lte"),
    (field(range=models.Range(gt=float("inf"))), "gt=inf, expected a finite number"),
    (field(range=models.Range(lte=float("nan"))), "lte=nan, expected a finite number"),
    (field(values_count=models.ValuesCount(gt=-1)), "expected a count"),
    (
        field(geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0, lat=91), radius=1)),
        "expected degrees",
    ),
    *[
        (
            field(geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0, lat=0), radius=radius)),
            "expected metres from 0",
        )
        for radius in (-1, float("inf"), float("nan"))
    ],
    (field("valid from", match=models.MatchValue(value=1)), "not a path"),
    (field("", match=models.MatchValue(value=1)), "not a path"),
    (models.HasIdCondition(has_id=["x"]), "point id 'x'"),
    (models.HasIdCondition(has_id=[-1]), "point id -1"),
    (
        models.NestedCondition(nested=models.Nested(key="a", filter=models.Filter())),
        "nested filter on 'a' has no condition",
    ),
    (models.IsEmptyCondition(is_empty=models.PayloadField(key="valid from")), "not a path"),
    (models.IsNullCondition(is_null=models.PayloadField(key="")), "not a path"),
    (
        models.NestedCondition(nested=models.Nested(key="a b", filter=models.Filter())),
        "not a path",
    ),
    (models.Filter(should=[]), "should of a filter has no condition"),
]


@pytest.mark.parametrize(("condition", "message"), REFUSED)
@pytest.mark.parametrize("clause", ["must", "should", "must_not"])
def test_refused_wherever_it_stands(condition: Any, message: str, clause: str) -> None:
    clauses: dict[str, Any] = {clause: [condition]}
    for filter in (
        models.Filter(**clauses),
        models.Filter(must=[models.Filter(**clauses)]),
        models.Filter(
            must=[
                models.NestedCondition(
                    nested=models.Nested(key="a", filter=models.Filter(**clauses))
                )
            ]
        ),
    ):
        with pytest.raises(ConfigurationError, match=message):
            check_filter(filter)


@pytest.mark.parametrize("depth", [40, 400, 20_000])
def test_too_many_levels_of_filters(store: Store, name: str, depth: int) -> None:
    store.ensure(name, CollectionSchema(fingerprint="f"))
    levels = [models.Filter(must=[field(match=models.MatchValue(value=1))])]
    for _ in range(depth):
        levels.append(models.Filter.model_construct(must=[levels[-1]]))
    for use in (store.count, store.delete):
        with pytest.raises(ConfigurationError, match="more than 30 levels"):
            use(name, filter=levels[-1])
    for outer in reversed(levels):  # freed at once, so many would overflow the stack
        outer.must = None


def test_an_empty_part_of_a_filter_deletes_nothing() -> None:
    one = field(match=models.MatchValue(value=1))
    for filter in (
        models.Filter(),
        models.Filter(should=[]),
        models.Filter(must=[models.Filter()]),
        models.Filter(should=[models.Filter(), one]),
        models.Filter(must=[one, models.Filter(should=[models.Filter(must=[])])]),
    ):
        with pytest.raises(ConfigurationError, match="has no condition"):
            check_selection(None, filter)
    check_selection(None, models.Filter(must=[one]))


@pytest.mark.parametrize(
    "condition",
    [field(match=models.MatchAny(any=[])), models.HasIdCondition(has_id=[])],
    ids=["any of none", "id of none"],
)
def test_what_no_point_can_fulfil_selects_none(store: Store, name: str, condition: Any) -> None:
    store.ensure(name, CollectionSchema(fingerprint="f"))
    store.upsert(name, [Point(1, {"": np.eye(384, dtype=np.float32)[0]}, {"n": 1})])
    filter = models.Filter(must=[condition])
    assert store.count(name, filter=filter) == 0
    store.delete(name, filter=filter)
    assert store.count(name) == 1


def test_an_id_is_a_number_only_as_numbers_are_written() -> None:
    assert lookup_ids(["7"]) == [point_id("7"), 7]
    for other in ("007", "+7", "7.0", "٧", "²", str(1 << 64), "9" * 5_000):
        assert lookup_ids([other]) == [point_id(other)]


def test_another_programs_number_is_not_found_by_leading_zeros() -> None:
    from multiqa_integrations.qdrant import Collection
    from multiqa_integrations.testing import FakeEncoder

    store = ServerStore(QdrantClient(":memory:"))
    docs = Collection.open("docs", encoder=FakeEncoder(), store=store)
    store.upsert("docs", [Point(7, {"": np.eye(384, dtype=np.float32)[0]}, {"page_content": "x"})])
    docs.delete(["007"])
    assert docs.get(["007"]) == []
    assert [document.id for document in docs.get(["7"])] == ["7"]
