"""LlamaIndex's metadata filters, written as filters of Qdrant in JSON."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from multiqa_integrations.arguments import check_kind
from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.llama_index.payload import (
    DOCUMENT_KEY,
    DOCUMENT_KEYS,
    METADATA_KEY,
    NODE_KEYS,
)
from multiqa_integrations.qdrant.conditions import (
    Condition,
    check_number,
    either,
    field_paths,
    is_empty,
    one_of,
)
from multiqa_integrations.qdrant.payload import RESERVED_KEY
from multiqa_integrations.texts import repair_surrogates
from multiqa_integrations.values import parse_time

_CLAUSES = {
    FilterCondition.AND: "must",
    FilterCondition.OR: "should",
    FilterCondition.NOT: "must_not",  # none of them is true
}
_BOUNDS = {
    FilterOperator.GT: ("gt", operator.gt),
    FilterOperator.GTE: ("gte", operator.ge),
    FilterOperator.LT: ("lt", operator.lt),
    FilterOperator.LTE: ("lte", operator.le),
}
_ONE_VALUE = (FilterOperator.EQ, FilterOperator.NE, FilterOperator.CONTAINS)
_MANY_VALUES = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL)
_NEGATIONS = (FilterOperator.NE, FilterOperator.NIN)


def to_condition(
    filters: MetadataFilters | None, indexes: Mapping[str, str] | None
) -> Condition | None:
    """Translate filters; None where there is no condition in them.

    They mean what they mean in LlamaIndex's own `SimpleVectorStore`: a field that a node lacks is
    true of NE, NIN and IS_EMPTY, and of no other operator. Of a list one item has to match.

    Args:
        filters: Nested as deep as wanted.
        indexes: Payload indexes of the collection; None where the engine has none.

    Raises:
        ConfigurationError: A value does not go with its operator, or needs an index.
    """
    check_kind("filters", filters, MetadataFilters, "MetadataFilters of LlamaIndex")
    if filters is None:
        return None
    clause = _CLAUSES[filters.condition or FilterCondition.AND]
    conditions = []
    for filter in filters.filters:
        if isinstance(filter, MetadataFilter):
            conditions.append(_condition(filter, indexes))
        elif (nested := to_condition(filter, indexes)) is not None:
            conditions.append(nested)
        elif clause != "must":  # "anything", which would make all of it true or false
            raise ConfigurationError(
                f"the filters joined by {clause} have an empty MetadataFilters among them. Leave "
                "it out."
            )
    return {clause: conditions} if conditions else None


def _condition(filter: MetadataFilter, indexes: Mapping[str, str] | None) -> Condition:
    operator = filter.operator
    if operator is FilterOperator.IS_EMPTY:
        return {"must_not": [_anywhere(filter, indexes, _has_value)]}
    if operator in _BOUNDS:
        return _anywhere(filter, indexes, _range(filter))
    if operator is FilterOperator.TEXT_MATCH:
        text = _text(filter)
        return _anywhere(filter, indexes, lambda path: {"key": path, "match": {"substring": text}})
    if operator is FilterOperator.TEXT_MATCH_INSENSITIVE:
        text = _text(filter)
        _check_text_index(filter, indexes)
        return _anywhere(filter, indexes, lambda path: {"key": path, "match": {"text": text}})
    values = _values(filter)
    if operator is FilterOperator.ALL and values:
        each = [_anywhere(filter, indexes, _equal_to([value])) for value in values]
        return {"must": each}
    equal = _anywhere(filter, indexes, _equal_to(values))
    return {"must_not": [equal]} if operator in _NEGATIONS else equal


def _anywhere(
    filter: MetadataFilter, indexes: Mapping[str, str] | None, test: Callable[[str], Condition]
) -> Condition:
    """Test each place where a point may have the field, whoever wrote it."""
    paths = field_paths(METADATA_KEY, filter.key, indexes)
    if filter.key in NODE_KEYS:
        # All three are the same; the first is the one that has an index.
        own = DOCUMENT_KEY if filter.key in DOCUMENT_KEYS else filter.key
        return either([test(path) for path in (own, *paths)])
    if any(path in (indexes or ()) for path in paths):
        return either([test(path) for path in paths])
    # LlamaIndex's QdrantVectorStore has metadata at the top.
    foreign = {"must": [is_empty(RESERVED_KEY)], "must_not": [is_empty("_node_content")]}
    places = field_paths("", filter.key, None)
    elsewhere = [{**foreign, "must": [*foreign["must"], test(path)]} for path in places]
    return either([*(test(path) for path in paths), *elsewhere])


def _equal_to(values: Sequence[Any]) -> Callable[[str], Condition]:
    truths = [bool(value) for value in values if value in (0, 1)]  # 1 == True, as in Python
    return lambda path: one_of(path, [*values, *truths])


def _has_value(path: str) -> Condition:
    return {"must_not": [is_empty(path), {"key": path, "match": {"value": ""}}]}


def _range(filter: MetadataFilter) -> Callable[[str], Condition]:
    name, compare = _BOUNDS[filter.operator]
    value = filter.value
    if isinstance(value, str):
        moment = _moment(filter)
        return lambda path: {"key": path, "range": {name: moment}}
    if isinstance(value, list) or value is None:
        raise _value_error(filter, _A_BOUND)
    check_number(repr(filter.key), value)
    truths = [truth for truth in (False, True) if compare(truth, value)]
    return lambda path: either(
        [
            {"key": path, "range": {name: value}},
            *({"key": path, "match": {"value": truth}} for truth in truths),
        ]
    )


_A_BOUND = "a number, or a moment in ISO 8601"


def _moment(filter: MetadataFilter) -> str:
    try:
        return parse_time(str(filter.value)).isoformat()
    except ValueError as error:
        raise _value_error(filter, _A_BOUND) from error


def _text(filter: MetadataFilter) -> str:
    if not isinstance(filter.value, str) or not filter.value:
        raise _value_error(filter, "a string that is not empty")
    return repair_surrogates(filter.value)


def _check_text_index(filter: MetadataFilter, indexes: Mapping[str, str] | None) -> None:
    paths = field_paths(METADATA_KEY, filter.key, indexes)
    if indexes is not None and not any(indexes.get(path) == "text" for path in paths):
        raise ConfigurationError(
            f"{filter.operator.value} on {filter.key!r} needs a text index of that field: without "
            "one engines differ in what they compare. Open the store with "
            f"payload_indexes={{{paths[-1]!r}: 'text'}}."
        )


def _values(filter: MetadataFilter) -> list[Any]:
    """Return what a field is compared with, checked."""
    if filter.operator in _ONE_VALUE:
        if filter.value is None or isinstance(filter.value, list):
            raise _value_error(
                filter, "a string or a number (for an empty field there is IS_EMPTY)"
            )
        values: Sequence[str | float] = [filter.value]
    elif filter.operator not in _MANY_VALUES:
        raise ConfigurationError(
            f"the operator {filter.operator!r} is unknown, expected one of "
            f"{', '.join(known.name for known in FilterOperator)}."
        )
    elif isinstance(filter.value, list):
        values = filter.value
    else:
        raise _value_error(filter, "a list")
    for value in values:
        if not isinstance(value, str):
            check_number(repr(filter.key), value)
    return list(values)


def _value_error(filter: MetadataFilter, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"{filter.operator.name} on {filter.key!r} has the value {filter.value!r}, "
        f"expected {expected}."
    )
