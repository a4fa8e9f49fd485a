"""What every source yields: records, or what stands where one could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from multiqa_integrations.errors import SourceError
from multiqa_integrations.types import Document
from multiqa_integrations.values import is_changed_by_arrow, json_value

Format: TypeAlias = Literal["jsonl", "csv", "tsv", "parquet", "arrow", "folder"]

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""Longest line, or file of a folder, that is read: a text of 5 million characters fits in."""

ARROW_ROWS = 1_000
"""Rows of a table that are made into records at a time."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read.

    Attributes:
        line: Its line in the file, or its number in the source, from 1.
        value: Its fields; or a document, which has an id, text and metadata of its own.
    """

    line: int
    value: Mapping[str, Any] | Document


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be read; those after it could.

    Attributes:
        line: As of a `Record`.
        reason: Why.
        raw: What is there instead.
        id: Its id, where that is known nevertheless.
    """

    line: int
    reason: str
    raw: bytes | str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of a source that could not be looked at: which records it has is unknown.

    Attributes:
        line: Where it is in the source, as of a `Record`; None where that says nothing.
        reason: What could not be read, and why.
    """

    line: int | None
    reason: str


SourceItem: TypeAlias = Record | BadRecord | Unread


@runtime_checkable
class Source(Protocol):
    """What a job reads; anything with these members is one.

    Attributes:
        name: What messages call it.
        total: How many records it has, where that is known without reading it.
    """

    name: str
    total: int | None

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning.

        Raises:
            SourceError: It cannot be read on.
        """

    def fraction(self) -> float | None:
        """Return how much of it has been read, from 0 to 1; None where that is unknown."""


def rows(batch: Any, before: int, source: str) -> Iterator[Record]:
    """Make the rows of an Arrow batch into records, some at a time.

    A value that Python has no type for (a date of the year 10,000) stays Arrow's: its record is
    rejected if it is to be stored.

    Raises:
        SourceError: Two columns have one name.
    """
    for start in range(0, batch.num_rows, ARROW_ROWS):
        columns = [arrow_values(column) for column in batch.slice(start, ARROW_ROWS).columns]
        yield from records(batch.schema.names, columns, before + start, source)


def records(
    names: Sequence[str], columns: Sequence[Sequence[Any]], before: int, source: str
) -> Iterator[Record]:
    """Make columns of Python values into records.

    Raises:
        SourceError: Two columns have one name.
    """
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceError(
            f"two columns of {source} have the name {twice!r}. Rename one of them.", source=source
        )
    for number, row in enumerate(zip(*columns, strict=True), start=before + 1):
        yield Record(number, plain(dict(zip(names, row, strict=True))))


def arrow_values(column: Any) -> list[Any]:
    """Return the Python values of a column, but for those that Python cannot hold as they are."""
    if is_changed_by_arrow(column.type):
        return list(column)  # scalars of Arrow, which `json_value` reads
    try:
        values: list[Any] = column.to_pylist()
    except Exception:  # noqa: BLE001  (one value of a thousand; which one is found here)
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except Exception:  # noqa: BLE001  (of Arrow: several kinds)
        return scalar


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the values of `json_value`.

    What has no such value is kept as it is: only where it is to be stored is it a reason to reject.
    """
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if type(value) is str:  # most of them
        return value
    try:
        return json_value(value, "it")
    except Exception:  # noqa: BLE001  (of a class of the user's too)
        return value
