"""Filters: `qdrant_client.models.Filter` for every engine, and what all of them refuse.

The conditions are told apart by the names of their classes, so that nothing of qdrant-client,
which takes seconds to import, is imported here: whoever has a filter has imported it already.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.json_path import is_path
from multiqa_integrations.qdrant.points import is_point_id
from multiqa_integrations.texts import repair_surrogates
from multiqa_integrations.values import MAX_DEPTH

if TYPE_CHECKING:
    from qdrant_client import models

FIELD_TESTS = (
    "match",
    "range",
    "geo_bounding_box",
    "geo_radius",
    "geo_polygon",
    "values_count",
    "is_empty",
    "is_null",
)


class PayloadEquals(dict[str, "str | Sequence[str]"]):
    """Payload keys, each with the value, or any of the values, it must equal.

    All that jobs need of filters, without those of qdrant-client.
    """


def check_filter(filter: models.Filter | None) -> None:
    """Refuse what the engines would read each in its own way, ignore, or fail at.

    Raises:
        ConfigurationError: It is not a `Filter`; a `FieldCondition` has no test or several (which
            an engine may join by "or", or of which it takes the first); a test has a value
            that no engine can compare; its `should` is empty; or it is nested too deep.
    """
    if filter is None:
        return
    if type(filter).__name__ != "Filter" or not hasattr(filter, "model_fields_set"):
        raise ConfigurationError(
            f"the filter is {type(filter).__name__}, expected qdrant_client.models.Filter. "
            "A dict of Qdrant's JSON becomes one by models.Filter.model_validate(...)."
        )
    if _is_deeper_than(filter, MAX_DEPTH):
        raise ConfigurationError(
            f"the filter has filters nested more than {MAX_DEPTH} levels deep, which engines "
            "refuse. Join the conditions in fewer levels."
        )
    for part in _filters(filter):
        _check_min_should(part.min_should)
    if any(part.should == [] for part in _filters(filter)):
        raise ConfigurationError(
            "the should of a filter has no condition: none of no conditions is true, but engines "
            "would find, and delete everything. Leave it out, or for nothing at all write "
            "HasIdCondition(has_id=[])."
        )
    for condition in _leaves(filter):
        kind = type(condition).__name__
        if kind == "FieldCondition":
            _check_field(condition)
        elif kind == "HasIdCondition":
            _check_ids(condition.has_id)
        elif kind == "IsEmptyCondition":
            _check_path(condition.is_empty.key)
        elif kind == "IsNullCondition":
            _check_path(condition.is_null.key)
        elif kind == "NestedCondition":
            _check_path(condition.nested.key)
            if selects_all(condition.nested.filter):
                raise ConfigurationError(
                    f"the nested filter on {condition.nested.key!r} has no condition. Leave it out."
                )


def _check_min_should(min_should: models.MinShould | None) -> None:
    if min_should is None:
        return
    if min_should.min_count < 1:
        raise ConfigurationError(
            f"min_should has min_count {min_should.min_count}, expected 1 or more: with 0 "
            "it is true of every point on some engines and refused by others."
        )
    if not min_should.conditions:
        raise ConfigurationError(
            "min_should has no condition, which some engines ignore and to others is true of no "
            "point. Leave it out, or for nothing at all write HasIdCondition(has_id=[])."
        )


def _is_deeper_than(filter: models.Filter, depth: int) -> bool:
    """Check how deep filters are nested, without recursion: it may be very deep."""
    level = [filter]
    for _ in range(depth):
        inner = [condition for within in level for condition in _conditions(within)]
        level = [
            condition if type(condition).__name__ == "Filter" else condition.nested.filter
            for condition in inner
            if type(condition).__name__ in ("Filter", "NestedCondition")
        ]
        if not level:
            return False
    return True


def _check_path(key: str) -> None:
    if not is_path(key):
        raise ConfigurationError(
            f"the condition on {key!r} has a key that is not a path: keys with other characters "
            'than letters, digits, _ and - are quoted, as in metadata."valid from".'
        )


def _check_field(condition: Any) -> None:
    where = f"the condition on {condition.key!r}"
    _check_path(condition.key)
    tests = [name for name in FIELD_TESTS if getattr(condition, name) is not None]
    if len(tests) != 1:
        raise ConfigurationError(
            f"{where} has {'no test' if not tests else 'the tests ' + ', '.join(tests)}, expected "
            "one. Write one FieldCondition for each; must=[...] joins them."
        )
    test = getattr(condition, tests[0])
    if tests[0] == "match":
        for name in ("value", "any", "except_"):
            values = getattr(test, name, None)
            for value in values if isinstance(values, list | set | tuple) else [values]:
                _check_value(value, where)
    elif tests[0] in ("is_empty", "is_null"):
        if condition.key.endswith("[]"):
            raise ConfigurationError(
                f"{where} asks the items of a list for {tests[0]}, which engines answer "
                f"differently. Ask the list itself, {condition.key.removesuffix('[]')!r}."
            )
    elif tests[0] in ("range", "values_count"):
        _check_bounds(test, tests[0], where)
    elif tests[0].startswith("geo"):
        for point in _geo_points(test):
            if not (-180 <= point.lon <= 180 and -90 <= point.lat <= 90):
                raise ConfigurationError(
                    f"{where} has lon={point.lon}, lat={point.lat}, expected degrees: -180 to 180 "
                    "and -90 to 90."
                )
        if not 0 <= getattr(test, "radius", 0) < math.inf:
            raise ConfigurationError(f"{where} has radius={test.radius}, expected metres from 0.")
        for line in _geo_lines(test):
            _check_closed(line.points, where)


def _check_value(value: object, where: str) -> None:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ConfigurationError(
            f"{where} has an integer beyond 64 bits, expected -2**63 to 2**63 - 1. Store and "
            "compare greater ones as strings."
        )
    if isinstance(value, str) and value != repair_surrogates(value):
        raise ConfigurationError(f"{where} has text with a lone surrogate, which cannot be stored.")


def _check_bounds(test: Any, name: str, where: str) -> None:
    bounds = {bound: getattr(test, bound) for bound in ("gt", "gte", "lt", "lte")}
    if name == "range" and all(value is None for value in bounds.values()):
        raise ConfigurationError(
            f"{where} has a range without bounds, of which a server cannot tell whether it is of "
            "numbers or dates. Give one; for any value at all write must_not=[IsEmptyCondition]."
        )
    for open_, closed in (("gt", "gte"), ("lt", "lte")):
        if bounds[open_] is not None and bounds[closed] is not None:
            raise ConfigurationError(
                f"{where} has both {open_} and {closed}, of which an index heeds one. Give one."
            )
    for bound, value in bounds.items():
        if isinstance(value, int | float) and not math.isfinite(value):
            raise ConfigurationError(f"{where} has {bound}={value}, expected a finite number.")
        if name == "values_count" and value is not None and not 0 <= value < 1 << 63:
            raise ConfigurationError(f"{where} has {bound}={value}, expected a count.")
    if name == "values_count" and _holds_for_none(bounds):
        raise ConfigurationError(
            f"{where} is true of no values, and engines differ in whether a field that is missing "
            "has none. Ask for at least one value, and join it with is_empty."
        )


def _holds_for_none(bounds: Mapping[str, Any]) -> bool:
    """Return whether a count of 0 is within bounds."""
    return bounds["gt"] is None and not bounds["gte"] and bounds["lt"] != 0


def _geo_points(test: Any) -> Iterator[Any]:
    for name in ("center", "top_left", "bottom_right"):
        if (point := getattr(test, name, None)) is not None:
            yield point
    for line in _geo_lines(test):
        yield from line.points


def _geo_lines(test: Any) -> list[Any]:
    """Return the outlines of a polygon and of its holes; none of another test."""
    exterior = getattr(test, "exterior", None)
    return [] if exterior is None else [exterior, *(getattr(test, "interiors", None) or [])]


def _check_closed(points: Sequence[models.GeoPoint], where: str) -> None:
    if len(points) < 4 or points[0] != points[-1]:
        raise ConfigurationError(
            f"{where} has a polygon whose outline has {len(points)} points"
            f"{'' if points[:1] == points[-1:] else ' and is not closed'}, expected four or more, "
            "the last equal to the first. Engines differ in how they close it."
        )


def _check_ids(ids: Sequence[int | str]) -> None:
    for id in ids:
        if not is_point_id(str(id) if isinstance(id, UUID) else id):
            raise ConfigurationError(
                f"the filter has the point id {id!r}, expected an unsigned integer or a UUID."
            )


def selects_all(filter: models.Filter) -> bool:
    """Check whether a filter has no condition anywhere, so that it is true of every point."""
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
        if any(selects_all(part) for part in _filters(filter)):
            raise ConfigurationError(
                "the filter, or a filter in it, has no condition, so it could delete everything. "
                "To delete everything, drop the collection."
            )


def fields(filter: object, within: str = "") -> Iterator[tuple[str, models.FieldCondition]]:
    """Yield the conditions on fields, each with the whole path of its field.

    Args:
        filter: The filter.
        within: The field that it is nested in, with a dot after it.
    """
    if type(filter).__name__ != "Filter":  # what else it may be is refused where it is used
        return
    for condition in _conditions(cast("models.Filter", filter)):
        kind = type(condition).__name__
        if kind == "Filter":
            yield from fields(condition, within)
        elif kind == "NestedCondition":
            nested = condition.nested
            yield from fields(nested.filter, f"{within}{nested.key.removesuffix('[]')}[].")
        elif kind == "FieldCondition":
            yield f"{within}{condition.key}", condition


def _filters(filter: models.Filter) -> Iterator[models.Filter]:
    """Yield a filter and all filters in it, those of nested objects too."""
    yield filter
    for condition in _conditions(filter):
        if type(condition).__name__ == "Filter":
            yield from _filters(condition)
        elif type(condition).__name__ == "NestedCondition":
            yield from _filters(condition.nested.filter)


def _conditions(filter: models.Filter) -> Iterator[Any]:
    min_should = None if filter.min_should is None else filter.min_should.conditions
    for clause in (filter.must, filter.should, filter.must_not, min_should):
        yield from as_list(clause)


def _leaves(filter: models.Filter) -> Iterator[Any]:
    """Yield the conditions of a filter that are not filters, those of nested objects too."""
    for condition in _conditions(filter):
        if type(condition).__name__ == "Filter":
            yield from _leaves(condition)
        else:
            yield condition
            if type(condition).__name__ == "NestedCondition":
                yield from _leaves(condition.nested.filter)


def as_list(clause: Any) -> list[Any]:
    """Return the conditions of a clause, which may be one, several or None."""
    if clause is None:
        return []
    return clause if isinstance(clause, list) else [clause]
