"""Filters, translated for the embedded engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.filters import FIELD_TESTS, PayloadEquals, as_list, check_filter

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import models


def to_edge(filter: models.Filter | PayloadEquals | None) -> qdrant_edge.Filter | None:
    """Translate a filter for the embedded engine.

    Raises:
        ConfigurationError: As `check_filter`; or the embedded engine has no such condition.
    """
    if filter is None:
        return None
    import qdrant_edge

    if isinstance(filter, PayloadEquals):
        return qdrant_edge.Filter(
            must=[
                qdrant_edge.FieldCondition(
                    key,
                    match=qdrant_edge.MatchValue(value)
                    if isinstance(value, str)
                    else qdrant_edge.MatchAny(list(value)),
                )
                for key, value in filter.items()
            ]
        )
    check_filter(filter)
    try:
        translated: qdrant_edge.Filter = _Translator(qdrant_edge).filter(filter)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"the embedded engine does not take the filter ({error})."
        ) from error
    return translated


class _Translator:
    def __init__(self, edge: Any) -> None:
        self._edge = edge

    def filter(self, filter: models.Filter) -> Any:
        min_should = filter.min_should
        return self._edge.Filter(
            must=self._clause(filter.must),
            should=self._clause(filter.should),
            must_not=self._clause(filter.must_not),
            min_should=None
            if min_should is None
            else self._edge.MinShould(
                conditions=self._clause(min_should.conditions), min_count=min_should.min_count
            ),
        )

    def _clause(self, clause: Any) -> list[Any] | None:
        return None if clause is None else [self._condition(item) for item in as_list(clause)]

    def _condition(self, condition: Any) -> Any:
        edge = self._edge
        kind = type(condition).__name__
        if kind == "Filter":
            return self.filter(condition)
        if kind == "FieldCondition":
            return edge.FieldCondition(condition.key, **self._test(condition))
        if kind == "IsEmptyCondition":
            return edge.IsEmptyCondition(condition.is_empty.key)
        if kind == "IsNullCondition":
            return edge.IsNullCondition(condition.is_null.key)
        if kind == "HasIdCondition":
            return edge.HasIdCondition({_point_id(point) for point in condition.has_id})
        if kind == "HasVectorCondition":
            return edge.HasVectorCondition(condition.has_vector)
        if kind == "NestedCondition":
            return edge.NestedCondition(condition.nested.key, self.filter(condition.nested.filter))
        raise _unsupported_error(kind)

    def _test(self, condition: Any) -> dict[str, Any]:
        """Translate the one test that the condition has."""
        name = next(name for name in FIELD_TESTS if getattr(condition, name) is not None)
        value = getattr(condition, name)
        if name in ("is_empty", "is_null"):
            return {name: value}
        kind = type(value).__name__
        translate: Callable[[Any], Any] | None = {
            "Range": lambda value: self._edge.RangeFloat(**_bounds(value, float)),
            "DatetimeRange": lambda value: self._edge.RangeDateTime(**_bounds(value, _instant)),
            "ValuesCount": lambda value: self._edge.ValuesCount(**_bounds(value, int)),
            "GeoBoundingBox": self._geo_bounding_box,
            "GeoRadius": lambda value: self._edge.GeoRadius(
                self._geo_point(value.center), value.radius
            ),
            "GeoPolygon": self._geo_polygon,
            "MatchValue": lambda value: self._edge.MatchValue(_match_value(value.value)),
            "MatchAny": lambda value: self._edge.MatchAny(list(value.any)),
            "MatchExcept": lambda value: self._edge.MatchExcept(list(value.except_)),
            "MatchText": lambda value: self._edge.MatchText(value.text),
            "MatchTextAny": lambda value: self._edge.MatchTextAny(value.text_any),
            "MatchPhrase": lambda value: self._edge.MatchPhrase(value.phrase),
            "MatchPrefix": lambda value: self._edge.MatchPrefix(value.prefix),
            "MatchSubstring": lambda value: self._edge.MatchSubstring(value.substring),
        }.get(kind)
        if translate is None:
            raise _unsupported_error(kind)
        return {name: translate(value)}

    def _geo_point(self, point: Any) -> Any:
        return self._edge.GeoPoint(point.lon, point.lat)

    def _geo_bounding_box(self, box: Any) -> Any:
        return self._edge.GeoBoundingBox(
            self._geo_point(box.top_left), self._geo_point(box.bottom_right)
        )

    def _geo_polygon(self, polygon: Any) -> Any:
        return self._edge.GeoPolygon(
            [self._geo_point(point) for point in polygon.exterior.points],
            [[self._geo_point(point) for point in hole.points] for hole in polygon.interiors or []],
        )


def _bounds(value: Any, convert: Callable[[Any], Any]) -> dict[str, Any]:
    bounds = {name: getattr(value, name) for name in ("gt", "gte", "lt", "lte")}
    return {name: None if bound is None else convert(bound) for name, bound in bounds.items()}


def _instant(moment: datetime | date) -> str:
    """Write a moment as the engine reads it; without a zone it is UTC, as on servers."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.isoformat()


def _match_value(value: Any) -> Any:
    # The engine takes a plain True for the integer 1, and then matches nothing.
    return np.bool_(value) if isinstance(value, bool) else value


def _point_id(point: Any) -> int | UUID:
    return point if isinstance(point, int) else UUID(str(point))


def _unsupported_error(kind: str) -> ConfigurationError:
    return ConfigurationError(
        f"the embedded engine has no {kind}. Write the filter without it, or use a server."
    )
