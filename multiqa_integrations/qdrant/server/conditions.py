"""Filters from plain dicts and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.conditions import (
    Condition,
    either,
    field_paths,
    is_empty,
    nothing,
    one_of,
)
from multiqa_integrations.qdrant.json_path import paths, quote
from multiqa_integrations.values import json_value

MetadataFilter: TypeAlias = "models.Filter | Mapping[str, Any] | None"

_CLAUSES = {"must", "should", "must_not", "min_should"}

# Of the dicts that other stores take as filters.
_OPERATORS = {
    *("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$between", "$exists", "$all"),
    *("$and", "$or", "$not", "$nor", "$like", "$ilike", "$regex", "$contains", "$elemMatch"),
}

# A server takes 32 MiB a request, and some 300 bytes are written for each.
_MOST_CONDITIONS = 20_000


def to_filter(
    filter: MetadataFilter,
    metadata_key: str,
    indexes: Mapping[str, str] | None = None,
) -> models.Filter | None:
    """Make a filter of what a user gives.

    Args:
        filter: A `models.Filter`; its JSON as a dict; or a dict of metadata fields, all of which
            have to match: a value, a list of which one has to match, a dict of which all members
            have to match, or None for "empty". Values are what they are in metadata:
            docs/values.md.
        metadata_key: Where the metadata is in the payload.
        indexes: Payload indexes of the collection; None where the engine has none.

    Raises:
        ConfigurationError: It is something else, or has operators of other stores.

    Examples:
        >>> to_filter({"lang": "en"}, "metadata").must[0].key
        'metadata.lang'
    """
    if filter is None or isinstance(filter, models.Filter):
        return filter
    if not isinstance(filter, Mapping):
        raise ConfigurationError(
            f"filter is {type(filter).__name__}, expected a dict of metadata fields or "
            "qdrant_client.models.Filter."
        )
    if filter and filter.keys() <= _CLAUSES:
        try:
            return models.Filter.model_validate(filter)
        except ValidationError as error:
            raise _filter_error(error) from error
    if not filter:
        return None
    fields = json_value(filter, "the filter")  # as the values were stored
    if operator := _operator(fields):
        raise ConfigurationError(
            f"the filter has {operator!r}, an operator of other stores. Here a value is what a "
            'field has to be, and a list what it may be, such as {"lang": ["en", "fr"]}; for '
            'comparisons and "not" there is qdrant_client.models.Filter.'
        )
    if (size := _size(fields)) > _MOST_CONDITIONS:
        raise ConfigurationError(
            f"the filter has objects nested so deep that it stands for {size:.0e} conditions (each "
            f"may be an object or an item of a list), expected up to {_MOST_CONDITIONS:,}. Write "
            'the path to the field, {"a.b.c": ...}.'
        )
    return models.Filter.model_validate({"must": _members(quote(metadata_key), fields, indexes)})


def parse_filter(text: str) -> models.Filter:
    """Read a filter in Qdrant's JSON.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return models.Filter.model_validate_json(text)
    except ValidationError as error:
        raise _filter_error(error) from error


def _filter_error(error: ValidationError) -> ConfigurationError:
    problems = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg']}"
        for problem in error.errors()[:3]
    )
    return ConfigurationError(f"this is not a filter of Qdrant ({problems}).")


def _operator(value: Any) -> str | None:
    """Find a key such as `$ne`, which would be taken for the member of an object."""
    if isinstance(value, list):
        return next((found for item in value if (found := _operator(item))), None)
    for key, member in value.items() if isinstance(value, dict) else ():
        if found := key if key in _OPERATORS else _operator(member):
            return found
    return None


def _size(value: Any) -> int:
    """Count the conditions that a value stands for, about: they double with each level."""
    if isinstance(value, dict):
        return 2 * sum(len(paths("", key)) * _size(member) for key, member in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 1


def _members(
    root: str, fields: Mapping[str, Any], indexes: Mapping[str, str] | None
) -> list[Condition]:
    return [
        _condition(field_paths(root, key, indexes), value, indexes) for key, value in fields.items()
    ]


def _condition(places: list[str], value: Any, indexes: Mapping[str, str] | None) -> Condition:
    """Test a field, wherever it may be."""
    if value is None:
        return {"must": [is_empty(path) for path in places]}
    if isinstance(value, list):
        plain = [item for item in value if isinstance(item, str | int | float)]
        others = [item for item in value if not isinstance(item, str | int | float)]
        conditions = [one_of(path, plain) for path in places if plain]
        return either([*conditions, *(_condition(places, item, indexes) for item in others)])
    if isinstance(value, dict):
        return either([_object(path, value, indexes) for path in places])
    return either([one_of(path, [value]) for path in places])


def _object(path: str, members: dict[str, Any], indexes: Mapping[str, str] | None) -> Condition:
    """Test the members of an object, or of one item of a list of objects."""
    if not members:
        return nothing()
    condition = {"must": _members(path, members, indexes)}
    if any(key.startswith(f"{path}.") for key in indexes or ()):
        return condition
    item = {"key": path, "filter": {"must": _members("", members, None)}}
    return either([condition, {"nested": item}])
