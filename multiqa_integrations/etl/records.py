"""What every source yields: records, or what stands where one could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

import numpy as np

from multiqa_integrations.types import Document

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
        """Tell how much of it has been read, from 0 to 1; None where that is unknown."""


def rows(batch: Any, before: int) -> Iterator[Record]:
    """Make the rows of an Arrow batch into records, some at a time."""
    for start in range(0, batch.num_rows, ARROW_ROWS):
        part = batch.slice(start, ARROW_ROWS).to_pylist()
        for number, row in enumerate(part, start=before + start + 1):
            yield Record(number, plain(row))


def plain(value: Any) -> Any:
    """Write the types of tables as JSON has them: times by ISO 8601, decimals and UUIDs as text."""
    if isinstance(value, str | int | float):  # most of them
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, np.generic):  # a float64 is a float, but not an int64 an int
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
