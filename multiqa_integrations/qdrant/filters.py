"""Filters: `qdrant_client.models.Filter` for both engines.

The conditions are told apart by the names of their classes, so that nothing of qdrant-client,
which takes seconds to import, is imported here: whoever has a filter has imported it already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from multiqa_integrations.errors import ConfigurationError

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import models

_FIELD_TESTS = (
    "match",
    "range",
    "geo_bounding_box",
    "geo_radius",
    "geo_polygon",
    "values_count",
    "is_empty",
    "is_null",
)


class Matches(dict[str, "str | Sequence[str]"]):
    """Keys of the payload, each with the string that is there, or a list of which one is there.

    All that jobs need of filters, without those of qdrant-client.
    """


def check_filter(filter: models.Filter | None) -> None:
    """Refuse what the engines would read each in its own way, or ignore.

    Raises:
        ConfigurationError: It is no `Filter`; or one `FieldCondition` has no test, or several
            (which an engine may join by "or", or of which it takes the first).
    """
    if filter is None:
        return
    if type(filter).__name__ != "Filter" or not hasattr(filter, "model_fields_set"):
        raise ConfigurationError(
            f"the filter is {type(filter).__name__}, expected qdrant_client.models.Filter. "
            "A dict of Qdrant's JSON becomes one by models.Filter.model_validate(...)."
        )
    if filter.min_should is not None and filter.min_should.min_count < 1:
        raise ConfigurationError(
            f"min_should has min_count {filter.min_should.min_count}, expected 1 or more: with 0 "
            "it is true of every point on some engines and refused by others."
        )
    for condition in _leaves(filter):
        if type(condition).__name__ != "FieldCondition":
            continue
        tests = [name for name in _FIELD_TESTS if getattr(condition, name) is not None]
        if len(tests) != 1:
            raise ConfigurationError(
                f"the condition on {condition.key!r} has "
                f"{'no test' if not tests else 'the tests ' + ', '.join(tests)}, expected one. "
                "Write one FieldCondition for each; must=[...] joins them."
            )


def selects_all(filter: models.Filter) -> bool:
    """Tell whether a filter has no condition anywhere, so that it is true of every point."""
    return next(_leaves(filter), None) is None


def check_selection(ids: Sequence[int | str] | None, filter: models.Filter | None) -> None:
    """Refuse to delete without a selection, which would delete everything.

    Raises:
        ConfigurationError: Not exactly one of `ids` and `filter` is given, or the filter has no
            condition.
    """
    if (ids is None) == (filter is None):
        raise ConfigurationError(
            "delete needs either ids or a filter; without a selection it would delete everything. "
            "To delete everything, drop the collection."
        )
    if isinstance(ids, str):
        raise ConfigurationError(f"expected a list of ids, got the string {ids!r}. Pass [id].")
    if filter is not None:
        check_filter(filter)
        if selects_all(filter):
            raise ConfigurationError(
                "the filter has no condition, so it would delete everything. "
                "To delete everything, drop the collection."
            )


def _leaves(filter: models.Filter) -> Iterator[Any]:
    min_should = None if filter.min_should is None else filter.min_should.conditions
    for clause in (filter.must, filter.should, filter.must_not, min_should):
        for condition in _as_list(clause):
            if type(condition).__name__ == "Filter":
                yield from _leaves(condition)
            else:
                yield condition
                if type(condition).__name__ == "NestedCondition":
                    yield from _leaves(condition.nested.filter)


def to_edge(filter: models.Filter | Matches | None) -> qdrant_edge.Filter | None:
    """Translate a filter for the embedded engine.

    Raises:
        ConfigurationError: As `check_filter`; or the embedded engine has no such condition.
    """
    if filter is None:
        return None
    import qdrant_edge

    if isinstance(filter, Matches):
        return qdrant_edge.Filter(
            must=[
                qdrant_edge.FieldCondition(
                    key,
                    match=qdrant_edge.MatchValue(wanted)
                    if isinstance(wanted, str)
                    else qdrant_edge.MatchAny(list(wanted)),
                )
                for key, wanted in filter.items()
            ]
        )
    check_filter(filter)
    translated: qdrant_edge.Filter = _Translator(qdrant_edge).filter(filter)
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
        return None if clause is None else [self._condition(one) for one in _as_list(clause)]

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
            return edge.HasIdCondition({_point_id(one) for one in condition.has_id})
        if kind == "HasVectorCondition":
            return edge.HasVectorCondition(condition.has_vector)
        if kind == "NestedCondition":
            return edge.NestedCondition(condition.nested.key, self.filter(condition.nested.filter))
        raise _unknown(kind)

    def _test(self, condition: Any) -> dict[str, Any]:
        """Translate the one test that the condition has."""
        name = next(name for name in _FIELD_TESTS if getattr(condition, name) is not None)
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
            raise _unknown(kind)
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


def _as_list(clause: Any) -> list[Any]:
    if clause is None:
        return []
    return clause if isinstance(clause, list) else [clause]


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


def _unknown(kind: str) -> ConfigurationError:
    return ConfigurationError(
        f"the embedded engine has no {kind}. Write the filter without it, or use a server."
    )
