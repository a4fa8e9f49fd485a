"""Filters from plain dicts and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import ValidationError
from qdrant_client import models

from multiqa_integrations.errors import ConfigurationError

MetadataFilter: TypeAlias = "models.Filter | Mapping[str, Any] | None"

_CLAUSES = {"must", "should", "must_not", "min_should"}


def to_filter(filter: MetadataFilter, metadata_key: str) -> models.Filter | None:
    """Make a filter of what a user gives.

    Args:
        filter: A `models.Filter`; its JSON as a dict; or a dict of metadata fields, all of which
            have to match: a value, a list of which one has to match, or None for "empty".
        metadata_key: Where the metadata is in the payload.

    Raises:
        ConfigurationError: It is something else.

    Example:
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
            raise _no_filter(error) from error
    conditions = [
        condition
        for name, value in filter.items()
        for condition in _conditions(f"{metadata_key}.{name}", value)
    ]
    return models.Filter(must=conditions) if conditions else None


def parse_filter(text: str) -> models.Filter:
    """Read a filter in Qdrant's JSON.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return models.Filter.model_validate_json(text)
    except ValidationError as error:
        raise _no_filter(error) from error


def _no_filter(error: ValidationError) -> ConfigurationError:
    problems = "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()[:3]
    )
    return ConfigurationError(f"this is no filter of Qdrant ({problems}).")


def _conditions(key: str, value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [
            condition
            for name, inner in value.items()
            for condition in _conditions(f"{key}.{name}", inner)
        ]
    if value is None:
        return [models.IsEmptyCondition(is_empty=models.PayloadField(key=key))]
    if isinstance(value, list | tuple | set):
        kinds = {type(item) for item in value}
        if kinds in ({str}, {int}):  # one condition, and one look into the field's index
            return [models.FieldCondition(key=key, match=models.MatchAny(any=list(value)))]
        return [models.Filter(should=[one for item in value for one in _conditions(key, item)])]
    if isinstance(value, float) and not isinstance(value, bool):
        # Numbers with a fraction are no exact match in Qdrant, but a range of one.
        return [models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))]
    if isinstance(value, str | int):
        return [models.FieldCondition(key=key, match=models.MatchValue(value=value))]
    raise ConfigurationError(
        f"filter[{key!r}] is {type(value).__name__}, expected a string, number, boolean, None, or "
        "a list or dict of them. Other conditions are written with qdrant_client.models.Filter."
    )
