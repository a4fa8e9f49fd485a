"""Sources: where records come from, one after the other, in bounded memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable
from uuid import UUID

import numpy as np

from multiqa_integrations._optional import require
from multiqa_integrations.errors import ConfigurationError, SourceError
from multiqa_integrations.types import Document

Format: TypeAlias = Literal["jsonl", "csv", "tsv", "parquet", "arrow", "folder"]

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
class Unreadable:
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


Item: TypeAlias = Record | Unreadable


@runtime_checkable
class Source(Protocol):
    """What a job reads; anything with these members is one.

    Attributes:
        name: What messages call it.
        total: How many records it has, where that is known without reading it.
    """

    name: str
    total: int | None

    def __iter__(self) -> Iterator[Item]:
        """Read it from its beginning.

        Raises:
            SourceError: It cannot be read on.
        """

    def fraction(self) -> float | None:
        """Tell how much of it has been read, from 0 to 1; None where that is unknown."""


def open_source(source: object, *, format: Format | None = None, glob: str | None = None) -> Source:
    """Make a source of what a user has.

    Args:
        source: The path of a file (.jsonl, .ndjson, .csv, .tsv, also .gz; .parquet, .arrow,
            .feather) or of a folder of documents; "-" for standard input; or, in Python, an
            iterable of dicts, of `Document`s or of LangChain's documents, one of LangChain's
            loaders, a data set of Hugging Face, a table of pandas, Polars or Arrow, or any object
            with the members of `Source`.
        format: Says what a path is, where its name does not. Standard input is JSON lines.
        glob: Which files of a folder are read, such as "guides/**/*.md"; by default every .txt,
            .md, .html and .rst.

    Raises:
        SourceError: There is no such file.
        ConfigurationError: It is nothing of these, or an option does not go with it.
        MissingDependencyError: The extra `etl` is not installed.

    Example:
        >>> [record.value["id"] for record in open_source([{"id": "a"}, {"id": "b"}])]
        ['a', 'b']
    """
    if format is not None and format not in get_args(Format):
        raise ConfigurationError(
            f"format is {format!r}, expected one of {', '.join(get_args(Format))}."
        )
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), format, glob)
    for name, value in (("format", format), ("glob", glob)):
        if value is not None:
            raise ConfigurationError(f"{name} goes with a path, not with {type(source).__name__}.")
    if isinstance(source, Source):
        return source
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__dataframe__"):
        return Table(source)
    if callable(load := getattr(source, "lazy_load", None)):
        return Items(load(), type(source).__name__)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | Mapping):
        return Items(source, type(source).__name__)
    raise ConfigurationError(
        f"source is {type(source).__name__}, expected a path, an iterable of dicts or documents, "
        "a table, or a loader of LangChain."
    )


def _open_path(path: str, format: Format | None, glob: str | None) -> Source:
    from multiqa_integrations.etl import files
    from multiqa_integrations.etl.folder import Folder

    if path == "-":
        stdin = sys.stdin.buffer
        if format in ("csv", "tsv"):
            return files.Delimited(stdin, "standard input", "\t" if format == "tsv" else ",")
        if format in (None, "jsonl"):
            return files.JsonLines(stdin, "standard input")
        raise ConfigurationError(
            f"standard input cannot be {format!r}, expected jsonl, csv or tsv. Give a file."
        )
    if "://" in path:
        raise ConfigurationError(
            f"source is {path!r}, expected a file, a folder or - (standard input). Fetch it first, "
            "or pipe it in."
        )
    file = Path(path).expanduser()
    if not file.exists():
        raise SourceError(f"there is no file or folder {path!r}.", source=path)
    if format is not None and file.is_dir() != (format == "folder"):
        kind = "a folder" if file.is_dir() else "a file"
        raise ConfigurationError(f"{path!r} is {kind}, expected {format!r}.")
    if file.is_dir():
        return Folder(file, glob)
    if glob is not None:
        raise ConfigurationError(f"glob goes with a folder; {path!r} is a file.")
    known = format or _format_of(file)
    if known in ("csv", "tsv"):
        return files.Delimited(file, path, "\t" if known == "tsv" else ",")
    if known == "jsonl":
        return files.JsonLines(file, path)
    require("pyarrow", purpose=f"reading {path}")
    return files.ArrowFile(file, path, known)


_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


def _format_of(file: Path) -> Format:
    suffix = Path(file.name.removesuffix(".gz")).suffix.lower()
    try:
        return _SUFFIXES[suffix]
    except KeyError:
        raise ConfigurationError(
            f"{str(file)!r} ends in {suffix!r}, expected one of {', '.join(_SUFFIXES)}. Say what "
            "it is with format (--format)."
        ) from None


class Items:
    """Objects of Python: dicts, or documents."""

    def __init__(self, items: Iterable[Any], name: str) -> None:
        """Take an iterable; it is iterated over once a job."""
        self.name = name
        self.total = _length(items)
        self._items = items
        self._read = 0

    def __iter__(self) -> Iterator[Item]:
        """Read it from its beginning."""
        for number, item in enumerate(self._items, start=1):
            self._read = number
            yield _item(number, item)

    def fraction(self) -> float | None:
        """Tell how much of it has been read."""
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

    def __iter__(self) -> Iterator[Item]:
        """Read it from its beginning."""
        self._read = 0
        try:
            for batch in self._batches():
                for item in rows(batch, self._read):
                    self._read += 1
                    yield item
        except (OSError, TypeError, ValueError) as error:  # what Arrow raises
            raise SourceError(
                f"{self.name} cannot be read on after row {self._read:,} ({error}).",
                source=self.name,
                line=self._read,
            ) from error

    def _batches(self) -> Iterable[Any]:
        import pyarrow as pa

        if type(self._table).__module__.startswith("pandas"):
            table = pa.Table.from_pandas(self._table, preserve_index=False)
            return table.to_batches(ARROW_ROWS)  # type: ignore[no-any-return]
        return pa.RecordBatchReader.from_stream(self._table)  # type: ignore[no-any-return]

    def fraction(self) -> float | None:
        """Tell how much of it has been read."""
        return None if not self.total else self._read / self.total


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


def _item(number: int, item: Any) -> Item:
    if isinstance(item, Document):
        return Record(number, item)
    if isinstance(item, Mapping):
        return Record(number, plain(item))
    text = getattr(item, "page_content", None)  # LangChain's
    if text is not None:
        metadata = getattr(item, "metadata", None) or {}
        return Record(number, Document(text, getattr(item, "id", None), plain(metadata)))
    return Unreadable(
        number,
        f"it is {type(item).__name__}, expected a dict or a document",
        item if isinstance(item, str | bytes) else None,
    )


def _length(items: object) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]
    except TypeError:
        return None
