"""Cut a source into splits: parts of some megabytes that a worker reads by itself.

JSON lines are cut at bytes: a line belongs to the split that it begins in. Parquet is cut at row
groups, and a large group into some ranges of rows, since pandas writes files of one group. Folders
are cut into some hundred documents. What can be read from its beginning only is one split: `.gz`,
CSV, TSV, Arrow.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, cast

from multiqa_integrations._optional import require
from multiqa_integrations.distributed.found import Found, FoundFile
from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.delimited import Delimited
from multiqa_integrations.etl.files import ArrowFile, JsonLines, RowRange
from multiqa_integrations.etl.objects import Table
from multiqa_integrations.etl.records import Source, SourceItem

BYTES = 1 << 20
"""About how large a split is, of files that can be cut."""

LEAST_BYTES = 1 << 17
"""About how large it is at least, of a source that would have few splits."""

RECORDS = 2_000
"""About how many records it has at least, of small row groups."""

_SPLITS = 64  # so many are enough for all workers to end at about the same time
_DOCUMENTS = 200
_LEAST_ROWS = 100
_RANGES = 16  # of one row group: for each, the rows before it are decoded too


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a source.

    Attributes:
        number: Its place in the order of all.
        file: What it is of, in the order of all files.
        name: What messages call that.
        source: What reads it; None where that comes by itself, as a block of a data set does.
        weight: Its share of the work: in bytes of files, else in documents or records.
        before: How many records of its file come before it; None where they must be counted.
    """

    number: int
    file: int
    name: str
    source: Source | None
    weight: int
    before: int | None = 0

    def open(self, before: int, block: Any = None) -> Source:
        """Return what reads it.

        Args:
            before: How many lines or records of its file come before it.
            block: The table that it is, where it has no source.
        """
        if self.source is None:
            return _Numbered(Table(block), self.name, before)
        if isinstance(self.source, FilePart):
            return replace(self.source, before=before)
        return self.source


@dataclass(kw_only=True)
class FilePart:
    """A part of a file as a source, or all of it.

    Attributes:
        file: The file.
        lines: The bytes at which its lines begin, where it is a part of JSON lines.
        rows: Its rows, where it is a part of Parquet.
        before: How many lines of the file are before it.
    """

    file: FoundFile
    lines: tuple[int, int] | None = None
    rows: RowRange | None = None
    before: int = 0
    total: int | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.file.name
        self.read: JsonLines | None = None
        self.items = 0

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning.

        Raises:
            SourceError: It cannot be read on, or is no longer the file that was found.
            SourceUnavailableError: The store that has it is away.
            SourcePermissionError: The store refuses to give it.
        """
        try:
            with self.file.opened() as file:
                source = self._open(file)
                for item in source:
                    self.items += 1
                    yield item
                self.notes = list(getattr(source, "notes", ()))
        except (OSError, SourceError) as error:
            if (failure := self.file.failure(error)) is not None:
                raise failure from error
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.name} cannot be read ({error}).", source=self.name) from error

    def fraction(self) -> float | None:
        """Return how much of it has been read: that is not known."""
        return None

    @property
    def counted(self) -> int:
        """How many lines were read."""
        return 0 if self.read is None else self.read.lines

    def _open(self, file: IO[bytes]) -> Source:
        found = self.file
        if found.packed:
            file = cast(IO[bytes], gzip.GzipFile(fileobj=file))  # closed with what it reads
        if found.format in ("csv", "tsv"):
            return Delimited(file, found.name, "\t" if found.format == "tsv" else ",")
        if found.format == "jsonl":
            self.read = JsonLines(file, found.name, part=self.lines, before=self.before)
            return self.read
        return ArrowFile(file, found.name, found.format, part=self.rows)


class _Numbered:
    """A source whose records have the numbers that they have in a larger one."""

    def __init__(self, source: Source, name: str, before: int) -> None:
        self.name, self.total = name, source.total
        self._source, self._before = source, before

    def __iter__(self) -> Iterator[SourceItem]:
        for item in self._source:
            line = None if item.line is None else item.line + self._before
            yield replace(item, line=line)  # type: ignore[arg-type]  # of a record it is a number

    def fraction(self) -> float | None:
        return self._source.fraction()


def cut(found: Sequence[Found]) -> list[Split]:
    """Cut files and folders into splits, in their order.

    Raises:
        SourceError: A file is not what its name says, or cannot be looked at.
    """
    total = sum(item.size for item in found if isinstance(item, FoundFile))
    size = min(BYTES, max(LEAST_BYTES, total // _SPLITS))
    splits: list[Split] = []
    for number, item in enumerate(found):
        for source, weight, before in _parts(item, size):
            splits.append(Split(len(splits), number, item.name, source, weight, before))
    return splits


def cut_blocks(name: str, rows: Sequence[int]) -> list[Split]:
    """Make a split of each block of a data set, by their numbers of rows."""
    splits: list[Split] = []
    before = 0
    for number, count in enumerate(rows):
        splits.append(Split(number, 0, name, None, count, before))
        before += count
    return splits


def _parts(item: Found, size: int) -> Iterator[tuple[Source, int, int | None]]:
    if not isinstance(item, FoundFile):
        for start in range(0, max(1, len(item)), _DOCUMENTS):
            documents = item.part(start, start + _DOCUMENTS, unread=not start)
            yield documents, 1 + (documents.total or 0), 0  # their numbers are theirs already
    elif item.format == "parquet":
        require("pyarrow", purpose=f"reading {item.name}")
        ranges = list(_row_ranges(item, size))
        count = sum(rows.stop - rows.start for rows in ranges)
        for rows in ranges:
            # In bytes, for there may be JSON lines beside it.
            weight = item.size * (rows.stop - rows.start) // max(1, count)
            yield FilePart(file=item, rows=rows), weight, 0
    elif item.format == "jsonl" and not item.packed:
        count = max(1, -(-item.size // size))
        for n in range(count):
            bytes = (item.size * n // count, item.size * (n + 1) // count)
            yield FilePart(file=item, lines=bytes), bytes[1] - bytes[0], None if n else 0
    else:
        if item.format == "arrow":
            require("pyarrow", purpose=f"reading {item.name}")
        yield FilePart(file=item), item.size, 0


def _row_ranges(item: FoundFile, most: int) -> Iterator[RowRange]:
    import pyarrow
    import pyarrow.parquet

    try:
        with item.opened() as file:
            metadata = pyarrow.parquet.ParquetFile(file).metadata
            groups = [
                (metadata.row_group(n).num_rows, metadata.row_group(n).total_byte_size)
                for n in range(metadata.num_row_groups)
            ]
    except (OSError, pyarrow.ArrowException) as error:
        if (failure := item.failure(error)) is not None:
            raise failure from error
        raise SourceError(
            f"{item.name} cannot be read as Parquet ({error}).", source=item.name
        ) from error
    before = 0
    waiting: list[int] = []  # small groups, that are read together
    rows = size = 0
    for number, (group_rows, group_size) in enumerate(groups):
        waiting.append(number)
        rows, size = rows + group_rows, size + group_size
        if rows < RECORDS and size < most and number + 1 < len(groups):
            continue
        ranges = max(1, min(_RANGES, rows // _LEAST_ROWS, -(-size // most)))
        for n in range(ranges):
            yield RowRange(tuple(waiting), before, rows * n // ranges, rows * (n + 1) // ranges)
        before, waiting, rows, size = before + rows, [], 0, 0
