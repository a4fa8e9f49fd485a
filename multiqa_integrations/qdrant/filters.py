"""Filters: `qdrant_client.models.Filter` for every engine, and what all of them refuse.

The conditions are told apart by the names of their classes, so that nothing of qdrant-client,
which takes seconds to import, is imported here: whoever has a filter has imported it already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from multiqa_integrations.errors import ConfigurationError

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
        tests = [name for name in FIELD_TESTS if getattr(condition, name) is not None]
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
        for condition in as_list(clause):
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
