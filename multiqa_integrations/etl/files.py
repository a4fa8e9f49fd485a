"""Sources in files: JSON lines, Parquet and Arrow."""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.records import (
    MAX_RECORD_BYTES,
    BadRecord,
    Format,
    Record,
    SourceItem,
    rows,
)
from multiqa_integrations.reading import decode_record

# Which readers do not ask for: a stream that is cut between two batches looks complete to them.
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
_ARROW_FILE = b"ARROW1\0\0"


_BATCH_ROWS = 1_000

# How much of a line that is too long is read at a time.
_SKIPPED_BYTES = 1 << 20

# The last four are pyarrow's.
_READ_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    LookupError,
    NotImplementedError,
    MemoryError,
)


class File:
    """A file that is read from its beginning to its end, `.gz` too, or an open stream."""

    def __init__(self, file: Path | IO[bytes], name: str) -> None:
        """Take a file; nothing is read yet."""
        self.name = name
        self.total: int | None = None
        self._file = file
        self._size = file.stat().st_size if isinstance(file, Path) else None
        self._raw: IO[bytes] | None = None
        self._line = 0

    def fraction(self) -> float | None:
        """Return how much of the file has been read."""
        if not self._size or self._raw is None:
            return None
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self._size)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open it; raise at the end if it was written meanwhile.

        Raises:
            SourceError: It cannot be read on.
        """
        self._line = 0
        try:
            if not isinstance(self._file, Path):
                yield self._file
                return
            with self._file.open("rb") as self._raw:
                before = os.fstat(self._raw.fileno())
                if self._file.suffix.lower() == ".gz":
                    with gzip.open(self._raw) as unpacked:
                        yield unpacked  # type: ignore[misc]  # reads like any binary file
                else:
                    yield self._raw
                _check_unchanged(before, os.fstat(self._raw.fileno()))
        except _READ_ERRORS as error:
            raise SourceError(
                f"{self.name} cannot be read on after line {self._line:,} ({error}).",
                source=self.name,
                line=self._line or None,
            ) from error


def _check_unchanged(before: os.stat_result, after: os.stat_result) -> None:
    """Raise if a file was written while it was read: what was read may be any part of it."""
    if not stat.S_ISREG(before.st_mode):
        return
    if before.st_size != after.st_size:
        raise OSError(f"it had {before.st_size:,} bytes at first, now {after.st_size:,}")
    if before.st_mtime_ns != after.st_mtime_ns:
        raise OSError("it was written while it was read")


class JsonLines(File):
    """A JSON object a line; empty lines are skipped.

    Attributes:
        lines: How many lines were read.
    """

    def __init__(
        self,
        file: Path | IO[bytes],
        name: str,
        *,
        part: tuple[int, int] | None = None,
        before: int = 0,
    ) -> None:
        """Take a file; nothing is read yet.

        Args:
            file: A path, or an open file.
            name: What messages call it.
            part: Only the lines that begin at these bytes, from the first to before the second.
            before: How many lines are before that part.
        """
        super().__init__(file, name)
        self._part, self._before = part, before
        self.lines = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning."""
        self.lines = 0
        start, end = self._part or (0, None)
        with self.opened() as file:
            self._line = self._before
            position = _next_line(file, start, end)
            while (end is None or position < end) and (line := file.readline(MAX_RECORD_BYTES + 1)):
                self._line += 1
                self.lines += 1
                first = position == 0
                position += len(line)
                if first:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) > MAX_RECORD_BYTES and not line.endswith(b"\n"):
                    while line and not line.endswith(b"\n"):
                        line = file.readline(_SKIPPED_BYTES)
                        position += len(line)
                    reason = f"the line is longer than {MAX_RECORD_BYTES:,} bytes"
                    yield BadRecord(self._line, reason)
                elif line.strip():
                    yield parse_json(self._line, line.rstrip(b"\r\n"))


def _next_line(file: IO[bytes], start: int, end: int | None) -> int:
    """Go to where the first line begins from `start` on, before `end`; returns where that is."""
    if not start:
        return 0
    position = file.seek(start - 1)
    while (end is None or position < end) and (rest := file.readline(_SKIPPED_BYTES)):
        position += len(rest)
        if rest.endswith(b"\n"):
            break
    return position


def parse_json(line: int, raw: bytes) -> Record | BadRecord:
    """Read a record of JSON."""
    try:
        value = decode_record(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRecord(line, f"byte {error.start + 1} of the line is not UTF-8", raw)
    except (json.JSONDecodeError, RecursionError) as error:
        return BadRecord(line, f"this is not JSON: {error}", raw)
    except ValueError as error:  # a key twice, an integer of too many digits
        return BadRecord(line, f"this cannot be read: {error}", raw)
    if not isinstance(value, dict):
        kind = type(value).__name__
        return BadRecord(line, f"this is {kind} in JSON, expected an object", raw)
    return Record(line, value)


@dataclass(frozen=True, slots=True)
class RowRange:
    """Some rows of some row groups of a Parquet file.

    Attributes:
        groups: The numbers of the row groups.
        before: How many rows the groups before have.
        start: The first row, counted from the beginning of the first of the groups.
        stop: The one after the last, counted likewise.
    """

    groups: tuple[int, ...]
    before: int
    start: int
    stop: int

    def of(self, file: Any) -> Iterator[Any]:
        """Read them in batches; the rows before them are decoded, too."""
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=list(self.groups)):
            if row >= self.stop:
                return
            first, last = max(self.start - row, 0), min(self.stop - row, batch.num_rows)
            if first < last:
                yield batch.slice(first, last - first)
            row += batch.num_rows


class ArrowFile(File):
    """Parquet, or Arrow's own format, as a file or a stream; read batch by batch."""

    def __init__(
        self,
        file: Path | IO[bytes],
        name: str,
        format: Format,
        *,
        part: RowRange | None = None,
    ) -> None:
        """Open it for its number of rows.

        Args:
            file: A path, or an open file.
            name: What messages call it.
            format: "parquet" or "arrow".
            part: Only these rows of a Parquet file.

        Raises:
            SourceError: It is of another format.
        """
        super().__init__(file, name)
        self._format, self._part = format, part
        with self.opened() as stream:
            self.total = self._rows(stream) if part is None else part.stop - part.start

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning."""
        with self.opened() as stream:
            if self._part is not None:
                self._line = self._part.before + self._part.start
            for batch in self._batches(stream):
                _check_batch(batch)
                for record in rows(batch, self._line, self.name):
                    self._line = record.line
                    yield record

    def fraction(self) -> float | None:
        """Return how much of it has been read."""
        return self._line / self.total if self.total else super().fraction()

    def _rows(self, stream: IO[bytes]) -> int | None:
        if self._format != "parquet":
            return None
        import pyarrow.parquet

        return int(pyarrow.parquet.ParquetFile(stream).metadata.num_rows)

    def _batches(self, stream: IO[bytes]) -> Iterator[Any]:
        import pyarrow
        import pyarrow.parquet

        if self._part is not None:
            yield from self._part.of(pyarrow.parquet.ParquetFile(stream))
            return
        if self._format == "parquet":
            yield from pyarrow.parquet.ParquetFile(stream).iter_batches(batch_size=_BATCH_ROWS)
            return
        # A file is a stream between two marks. Read as one, for the reader of files starts threads,
        # and a program that ends just after that was aborted by them.
        if stream.read(len(_ARROW_FILE)) != _ARROW_FILE:
            stream.seek(0)
        yield from pyarrow.ipc.open_stream(
            stream, options=pyarrow.ipc.IpcReadOptions(use_threads=False)
        )
        stream.seek(-len(_ARROW_END), os.SEEK_CUR)
        if stream.read(len(_ARROW_END)) != _ARROW_END:
            raise OSError("it has no end-of-stream mark, so it was cut short")


def _check_batch(batch: Any) -> None:
    """Raise where a damaged file has places outside of itself: to read them ends the process.

    Raises:
        ValueError: It has.
    """
    import pyarrow

    for column in batch.columns:
        # Bytes that are not UTF-8, and times beyond a day, are a fault of their record alone.
        full = not pyarrow.types.is_temporal(column.type)
        try:
            column.validate(full=full)
        except pyarrow.ArrowInvalid:
            if (unchecked := _with_bytes(column.type)) == column.type:
                raise
            column.view(unchecked).validate(full=full)


def _with_bytes(kind: Any) -> Any:
    """Return a type of Arrow with bytes in place of text, which lie in the file alike."""
    import pyarrow as pa

    def inner(field: Any) -> Any:
        return field.with_type(_with_bytes(field.type))

    of_bytes = {
        pa.string(): pa.binary(),
        pa.large_string(): pa.large_binary(),
        pa.string_view(): pa.binary_view(),
    }
    makers = {
        pa.lib.ListType: lambda: pa.list_(inner(kind.value_field)),
        pa.lib.LargeListType: lambda: pa.large_list(inner(kind.value_field)),
        pa.lib.FixedSizeListType: lambda: pa.list_(inner(kind.value_field), kind.list_size),
        pa.lib.ListViewType: lambda: pa.list_view(inner(kind.value_field)),
        pa.lib.LargeListViewType: lambda: pa.large_list_view(inner(kind.value_field)),
        pa.lib.MapType: lambda: pa.map_(inner(kind.key_field), inner(kind.item_field)),
        pa.lib.StructType: lambda: pa.struct([inner(field) for field in kind]),
        pa.lib.SparseUnionType: lambda: pa.sparse_union(map(inner, kind), kind.type_codes),
        pa.lib.DenseUnionType: lambda: pa.dense_union(map(inner, kind), kind.type_codes),
        pa.lib.DictionaryType: lambda: pa.dictionary(kind.index_type, _with_bytes(kind.value_type)),
        pa.lib.RunEndEncodedType: lambda: pa.run_end_encoded(
            kind.run_end_type, _with_bytes(kind.value_type)
        ),
    }
    if isinstance(kind, pa.BaseExtensionType):
        return _with_bytes(kind.storage_type)
    if kind in of_bytes:
        return of_bytes[kind]
    return makers[type(kind)]() if type(kind) in makers else kind
