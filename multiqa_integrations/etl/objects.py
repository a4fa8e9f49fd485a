"""Sources in memory: iterables of dicts or documents, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from multiqa_integrations._optional import require
from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.records import ARROW_ROWS, BadRecord, Record, SourceItem, plain, rows
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
        try:
            table = pa.Table.from_pandas(self._table, preserve_index=False)
        except _ARROW_ERRORS:  # a column of several types: one row may be at fault
            yield from self._pandas_rows()
            return
        for batch in table.to_batches(ARROW_ROWS):
            yield from rows(batch, self._read, self.name)

    def _pandas_rows(self) -> Iterator[Record]:
        frame = self._table
        if not frame.columns.is_unique:
            raise ValueError("two columns have the same name")
        for start in range(0, len(frame), ARROW_ROWS):
            part = frame.iloc[start : start + ARROW_ROWS].astype(object)
            values = part.where(part.notna(), None).to_dict("records")
            for number, row in enumerate(values, start=start + 1):
                yield Record(number, plain(row))

    def fraction(self) -> float | None:
        """Return how much of it has been read."""
        return None if not self.total else self._read / self.total


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
