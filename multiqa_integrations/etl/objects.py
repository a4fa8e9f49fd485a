"""Sources in memory: iterables of dicts or documents, and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from multiqa_integrations._optional import require
from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.records import (
    ARROW_ROWS,
    BadRecord,
    Record,
    SourceItem,
    arrow_values,
    plain,
    records,
    rows,
)
from multiqa_integrations.types import Document

_ARROW_ERRORS = (ArithmeticError, LookupError, NotImplementedError, OSError, TypeError, ValueError)


class Objects:
    """Objects of Python: dicts, or documents."""

    def __init__(self, items: Iterable[Any], name: str) -> None:
        """Take an iterable; it is iterated over once per job."""
        self.name = name
        self.total = _length(items)
        self._items = items
        self._read = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning."""
        for number, item in enumerate(self._items, start=1):
            self._read = number
            yield _item(number, item)

    def fraction(self) -> float | None:
        """Return how much of it has been read."""
        return None if not self.total else self._read / self.total


class Table:
    """A table of pandas, Polars, Arrow, DuckDB… : whatever speaks Arrow's stream protocol."""

    def __init__(self, table: Any) -> None:
        """Take a table; a stream of batches is read once."""
        require("pyarrow", purpose="reading a table")
        self.name = type(table).__name__
        self.total = _length(table)
        self._table = table
        self._read = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning.

        Raises:
            SourceError: It cannot be read on, or two of its columns have one name.
        """
        self._read = 0
        try:
            for record in self._records():
                self._read = record.line
                yield record
        except _ARROW_ERRORS as error:
            raise SourceError(
                f"{self.name} cannot be read on after row {self._read:,} ({error}).",
                source=self.name,
                line=self._read,
            ) from error

    def _records(self) -> Iterator[Record]:
        import pyarrow as pa

        if not type(self._table).__module__.startswith("pandas"):
            for batch in pa.RecordBatchReader.from_stream(self._table):
                yield from rows(batch, self._read, self.name)
            return
        frame = self._table
        names = [str(name) for name in frame.columns]
        for start in range(0, len(frame), ARROW_ROWS):
            part = frame.iloc[start : start + ARROW_ROWS]
            columns = [_pandas_values(part.iloc[:, number]) for number in range(len(names))]
            yield from records(names, columns, start, self.name)

    def fraction(self) -> float | None:
        """Return how much of it has been read."""
        return None if not self.total else self._read / self.total


def _pandas_values(column: Any) -> list[Any]:
    """Return the values of a column of pandas; missing ones are None.

    Objects stay what they are. Arrow would give all of a column one type: a date takes the hour
    from the times beside it, each object gets the keys of all.
    """
    import pyarrow as pa

    if getattr(column.dtype, "categories", column).dtype != object:
        try:
            return arrow_values(pa.Array.from_pandas(column))
        except _ARROW_ERRORS:  # a type that Arrow does not have
            pass
    return [
        None if isinstance(value, float) and math.isnan(value) else value
        for value in column.astype(object)
    ]


def _item(number: int, item: Any) -> SourceItem:
    if isinstance(item, Document):
        return Record(number, item)
    try:
        if isinstance(item, Mapping):
            return Record(number, plain(item))
        text = getattr(item, "page_content", None)  # LangChain's
        if text is not None:
            metadata = plain(getattr(item, "metadata", None) or {})
            return Record(number, Document(text, getattr(item, "id", None), metadata))
    except Exception as error:  # noqa: BLE001  (of a class of the user's)
        return BadRecord(number, f"it cannot be read ({type(error).__name__}: {error})")
    return BadRecord(
        number,
        f"it is {type(item).__name__}, expected a dict or a document",
        item if isinstance(item, str | bytes) else None,
    )


def _length(items: object) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None
