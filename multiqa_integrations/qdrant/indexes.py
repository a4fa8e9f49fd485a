"""Conditions that a payload index changes: refused where engines would then differ.

An index holds values of its own kind alone, and where there is one, an engine reads it instead of
the payloads. A local mode, which has none, always reads the payloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from multiqa_integrations.errors import ConfigurationError
from multiqa_integrations.qdrant.filters import fields

if TYPE_CHECKING:
    from qdrant_client import models

_TEXT_TESTS = {"MatchPhrase", "MatchText", "MatchTextAny"}


class IndexedTest(NamedTuple):
    """A condition whose meaning an index decides.

    Attributes:
        key: The path of its field.
        kind: `text`, `except`, `dates`, `numbers`, or `fractions` for numbers that are not whole.
    """

    key: str
    kind: str


def indexed_tests(filter: object) -> set[IndexedTest]:
    """Return the conditions of a filter whose meaning an index decides."""
    return {
        IndexedTest(key, kind)
        for key, condition in fields(filter)
        if (kind := _kind(condition)) is not None
    }


def _kind(condition: models.FieldCondition) -> str | None:
    test = type(condition.match or condition.range).__name__
    if test in _TEXT_TESTS:
        return "text"
    if test == "Range":
        bounds = (getattr(condition.range, name) for name in ("gt", "gte", "lt", "lte"))
        fractions = any(isinstance(bound, float) and not bound.is_integer() for bound in bounds)
        return "fractions" if fractions else "numbers"
    return {"MatchExcept": "except", "DatetimeRange": "dates"}.get(test)


def check_indexes(tests: Iterable[IndexedTest], indexes: Mapping[str, str]) -> None:
    """Refuse conditions that an index, or the want of one, makes mean something else.

    - Without a text index, a server looks for the letters, "fee" in "coffee", and only in that
      case; the embedded engine looks for words.
    - A keyword or integer index knows of no value of another kind that is not among those of
      `except`.
    - An integer index holds no number with a fraction; one of numbers no date, and the other way
      round.

    Args:
        tests: Those of `indexed_tests`.
        indexes: The collection's payload indexes and their kinds.

    Raises:
        ConfigurationError: Engines would differ.
    """
    for key, kind in sorted(tests):
        index = indexes.get(key) or indexes.get(key.replace("[]", ""))
        if kind == "text":
            if index != "text":
                raise ConfigurationError(
                    f"the filter compares the words of {key!r}, which needs a text index: without "
                    "one engines differ in what they compare. Create it where the collection is "
                    f"opened, with payload_indexes={{{key!r}: 'text'}} (--index {key}:text)."
                )
        elif index in _MISLED[kind]:
            raise ConfigurationError(
                f"the filter asks for {_WORDS[kind]} in {key!r}, where the collection has an index "
                f"of kind {index}: {_WHY[kind]}"
            )


_MISLED = {
    "except": ("keyword", "integer", "uuid"),
    "dates": ("integer", "float"),
    "numbers": ("datetime",),
    "fractions": ("datetime", "integer"),
}
_WORDS = {
    "except": "values other than some (MatchExcept)",
    "dates": "dates",
    "numbers": "numbers",
    "fractions": "numbers with a fraction",
}
_WHY = {
    "except": "values of another kind, which are other values too, would not be found. Write "
    "must_not=[FieldCondition(key=..., match=MatchAny(any=[...]))], which also finds points "
    "without the field unless must_not has an IsEmptyCondition too.",
    "dates": "it holds no dates, so none would be found. Index the field as datetime.",
    "numbers": "it holds no numbers, so none would be found. Index the field as float.",
    "fractions": "it holds none, so they would not be found. Index the field as float, which "
    "holds whole numbers as well.",
}
