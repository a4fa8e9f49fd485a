"""Null, asked for in a way that every server answers alike.

Of `{"a": [null]}` an `IsNullCondition` on `a` is true on the embedded engine, in local mode, and on
servers where `a` has an index; on servers where it has none it is false.
"""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from multiqa_integrations.qdrant.filters import as_list

_FIELD_CONDITION = (1, 14)  # the version that brought is_null to FieldCondition


def with_plain_nulls(filter: models.Filter, version: tuple[int, int] | None) -> models.Filter:
    """Return the filter with each `IsNullCondition` as conditions that mean the same everywhere.

    Args:
        filter: The filter; it is not changed.
        version: The server's; None where it does not tell.
    """
    return _filter(filter, version is not None and version >= _FIELD_CONDITION)


def _filter(filter: models.Filter, new: bool) -> models.Filter:
    changes: dict[str, Any] = {
        name: [_condition(condition, new) for condition in as_list(getattr(filter, name))]
        for name in ("must", "should", "must_not")
        if getattr(filter, name) is not None
    }
    if filter.min_should is not None:
        conditions = [_condition(condition, new) for condition in filter.min_should.conditions]
        changes["min_should"] = filter.min_should.model_copy(update={"conditions": conditions})
    return filter.model_copy(update=changes)


def _condition(condition: Any, new: bool) -> Any:
    if isinstance(condition, models.Filter):
        return _filter(condition, new)
    if isinstance(condition, models.NestedCondition):
        within = _filter(condition.nested.filter, new)
        return models.NestedCondition(nested=condition.nested.model_copy(update={"filter": within}))
    if not isinstance(condition, models.IsNullCondition):
        return condition
    key = condition.is_null.key
    if new:
        return models.FieldCondition(key=key, is_null=True)
    item = models.IsNullCondition(is_null=models.PayloadField(key=f"{key}[]"))
    return models.Filter(should=[condition, item])
