"""LlamaIndex's metadata filters, written as filters of Qdrant in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.llama_index.payload import METADATA_KEY, NODE_KEYS
from multiqa_integrations.qdrant.points import PointId

Condition: TypeAlias = dict[str, Any]

_CLAUSES = {
    FilterCondition.AND: "must",
    FilterCondition.OR: "should",
    FilterCondition.NOT: "must_not",  # none of them is true
}
_BOUNDS = {
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
}
# What Qdrant reads as a path without quotes: names, places of lists, dots between them.
_PATH = re.compile(r"[\w-]+(\[\d*\])*(\.[\w-]+(\[\d*\])*)*", re.ASCII)


def to_condition(
    filters: MetadataFilters | None, indexes: Mapping[str, str] | None
) -> Condition | None:
    """Translate filters; None where there is no condition in them.

    A field that a node lacks is true of NE and NIN and of no other comparison, as LlamaIndex
    itself defines them. Of a list, one item has to match.

    Args:
        filters: Nested as deep as wanted.
        indexes: Payload indexes of the collection; None where the engine has none.

    Raises:
        ConfigurationError: A value does not go with its operator, or needs an index.
    """
    if filters is None:
        return None
    conditions = [
        condition
        for one in filters.filters
        if (
            condition := to_condition(one, indexes)
            if isinstance(one, MetadataFilters)
            else _condition(one, indexes)
        )
    ]
    clause = _CLAUSES[filters.condition or FilterCondition.AND]
    return {clause: conditions} if conditions else None


def has_id(ids: Iterable[PointId]) -> Condition:
    """Select points by their ids; none where there is no id."""
    return {"has_id": list(ids)}


def one_of(key: str, values: list[Any]) -> Condition:
    """Select points by the values of a payload field; none where there is no value."""
    if any(isinstance(value, float) for value in values):
        return {"should": [_equal(key, value) for value in values]}
    return {"key": key, "match": {"any": values}}


def is_empty(key: str) -> Condition:
    """Select points that lack a field, or have null or an empty list there."""
    return {"is_empty": {"key": key}}


def _condition(filter: MetadataFilter, indexes: Mapping[str, str] | None) -> Condition:
    key, value, operator = _payload_key(filter.key), filter.value, filter.operator
    if operator is FilterOperator.IS_EMPTY:
        return is_empty(key)
    if operator in _BOUNDS:
        return {"key": key, "range": {_BOUNDS[operator]: _bound(filter)}}
    if operator in (FilterOperator.EQ, FilterOperator.NE, FilterOperator.CONTAINS):
        if value is None or isinstance(value, list):
            raise _wrong(filter, "a string or a number (for an empty field there is IS_EMPTY)")
        equal = _equal(key, value)
        return {"must_not": [equal]} if operator is FilterOperator.NE else equal
    if operator in (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE):
        if not isinstance(value, str) or not value:
            raise _wrong(filter, "a string")
        if operator is FilterOperator.TEXT_MATCH:
            return {"key": key, "match": {"substring": value}}
        if indexes is not None and indexes.get(key) != "text":
            raise ConfigurationError(
                f"{operator.value} on {filter.key!r} needs a text index of that field: without one "
                "engines differ in what they compare. Open the store with "
                f'payload_indexes={{"{key}": "text"}}.'
            )
        return {"key": key, "match": {"text": value}}
    if not isinstance(value, list):
        raise _wrong(filter, "a list")
    if operator in (FilterOperator.IN, FilterOperator.ANY):
        return one_of(key, value)
    if operator is FilterOperator.NIN:
        return {"must_not": [one_of(key, value)]}
    if operator is FilterOperator.ALL:
        if not value:
            raise _wrong(filter, "a list that is not empty")
        return {"must": [_equal(key, one) for one in value]}
    raise ConfigurationError(
        f"the operator {operator!r} is unknown, expected one of "
        f"{', '.join(one.name for one in FilterOperator)}."
    )


def _payload_key(name: str) -> str:
    if name in NODE_KEYS:
        return name
    if _PATH.fullmatch(name):
        return f"{METADATA_KEY}.{name}"
    if '"' in name:
        raise ConfigurationError(
            f"the metadata key {name!r} has a quotation mark: Qdrant has no way to filter by it."
        )
    return f'{METADATA_KEY}."{name}"'


def _equal(key: str, value: Any) -> Condition:
    if isinstance(value, float):  # is no exact match in Qdrant, but a range of one
        return {"key": key, "range": {"gte": value, "lte": value}}
    return {"key": key, "match": {"value": value}}


def _bound(filter: MetadataFilter) -> float | str:
    if isinstance(filter.value, str):
        try:
            return datetime.fromisoformat(filter.value).isoformat()
        except ValueError:
            pass
    elif isinstance(filter.value, int | float):
        return filter.value
    raise _wrong(filter, "a number, or a moment in ISO 8601")


def _wrong(filter: MetadataFilter, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"{filter.operator.name} on {filter.key!r} has the value {filter.value!r}, "
        f"expected {expected}."
    )
