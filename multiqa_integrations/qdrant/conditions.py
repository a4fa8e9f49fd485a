"""Conditions of filters in Qdrant's JSON, as adapters write them.

Nothing of qdrant-client, which takes seconds to import, is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.json_path import paths
from multiqa_integrations.qdrant.points import PointId
from multiqa_integrations.texts import repair_surrogates

Condition: TypeAlias = dict[str, Any]

# Above, a range does not tell neighbouring whole numbers apart: its bounds are doubles.
_EXACT_DOUBLES = 1 << 53


def field_paths(root: str, key: str, indexes: Mapping[str, str] | None) -> list[str]:
    """Return the paths where a field is looked for: `json_path.paths`, or those with an index.

    An index was made to be used; elsewhere, each payload would be read, which servers in strict
    mode refuse.

    Args:
        root: The path of the object that has the field.
        key: The field, as a user writes it.
        indexes: Payload indexes of the collection; None where the engine has none.
    """
    found = paths(root, repair_surrogates(key))
    return [path for path in found if path in (indexes or ())] or found


def nothing() -> Condition:
    """Select no point."""
    return has_id([])


def has_id(ids: Iterable[PointId]) -> Condition:
    """Select points by their ids; none where there is no id."""
    return {"has_id": list(ids)}


def is_empty(path: str) -> Condition:
    """Select points that lack a field, or have null or an empty list there."""
    return {"is_empty": {"key": path}}


def either(conditions: list[Condition]) -> Condition:
    """Join conditions by "or"; without any, nothing is selected."""
    if not conditions:
        return nothing()
    return conditions[0] if len(conditions) == 1 else {"should": conditions}


def one_of(path: str, values: Sequence[str | float]) -> Condition:
    """Select points by the values of a payload field; none where there is no value.

    Whole numbers and numbers with a fraction are compared as Python does, 1 and 1.0 are equal;
    True is not a number.

    Raises:
        ConfigurationError: A number cannot be stored, so that nothing could match it.
    """
    texts = [repair_surrogates(value) for value in values if isinstance(value, str)]
    numbers = [value for value in values if not isinstance(value, str)]
    whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
    conditions: list[Condition] = [
        {"key": path, "match": {"any": equals}} for equals in (texts, whole) if equals
    ]
    for number in numbers:
        check_number(path, number)
        if isinstance(number, bool):
            conditions.append({"key": path, "match": {"value": number}})
        elif isinstance(number, float) or abs(number) < _EXACT_DOUBLES:
            # Qdrant has no exact match of numbers with a fraction: this is a range of one.
            conditions.append({"key": path, "range": {"gte": number, "lte": number}})
    return either(conditions)


def check_number(name: str, number: float) -> None:
    """Refuse a number that Qdrant cannot compare.

    Raises:
        ConfigurationError: It is beyond 64 bits, infinite, NaN, or not a number.
    """
    if not isinstance(number, int | float):
        raise ConfigurationError(
            f"the filter on {name} has {number!r}, expected strings and numbers."
        )
    if isinstance(number, int) and not -(1 << 63) <= number < 1 << 63:
        raise ConfigurationError(
            f"the filter on {name} has {number}, expected whole numbers from -2**63 to 2**63 - 1. "
            "Store and compare greater ones as strings."
        )
    if not math.isfinite(number):
        raise ConfigurationError(f"the filter on {name} has {number}, expected finite numbers.")
