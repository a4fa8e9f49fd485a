"""CSV and TSV as sources."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from multiqa_integrations.errors import SourceError
from multiqa_integrations.etl.files import File
from multiqa_integrations.etl.records import MAX_RECORD_BYTES, BadRecord, Record, SourceItem

# Python's csv refuses longer fields than 131,072 characters, for the whole process.
_FIELD_CHARACTERS = (1 << 31) - 1

# How much of a line that is too long is read at a time.
_SKIPPED = 1 << 20

# What Python keeps beside the characters of each line: a quote that is never closed takes many.
_LINE_BYTES = 64


class Delimited(File):
    """CSV or TSV with a header. Every value is text; an empty one counts as not there.

    A row has the number of the line that it begins on. Where a quote is not closed, that line alone
    is lost: reading goes on with the next one.

    Attributes:
        notes: Columns that are ignored, since they have no name.
    """

    def __init__(self, file: Path | IO[bytes], name: str, delimiter: str) -> None:
        """Take a file; nothing is read yet."""
        super().__init__(file, name)
        self._delimiter = delimiter
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[SourceItem]:
        """Read it from its beginning.

        Raises:
            SourceError: It cannot be read on, or its header does not name its columns.
        """
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
        self.notes = []
        with self.opened() as binary:
            # Bytes that are not UTF-8 become lone surrogates here: their row alone is lost.
            text = io.TextIOWrapper(
                binary, encoding="utf-8-sig", errors="surrogateescape", newline=""
            )
            try:
                yield from self._items(_Lines(text))
            finally:
                text.detach()  # the binary file is closed by whoever opened it

    def _items(self, lines: _Lines) -> Iterator[SourceItem]:
        header: list[str] | None = None
        while lines.begin():
            self._line = lines.number
            if lines.skip_long():
                reason = f"the line is longer than {MAX_RECORD_BYTES:,} characters"
                if header is None:
                    raise self._header_error(f"cannot be read: {reason}")
                yield BadRecord(self._line, reason)
                continue
            try:
                row = next(csv.reader(lines, delimiter=self._delimiter, strict=True))
            except csv.Error as error:
                if header is None:
                    raise self._header_error(f"is not CSV ({error})") from error
                raw = lines.only_first()
                reason = (
                    "a quote is not closed" if lines.open_quote else f"this is not CSV: {error}"
                )
                yield BadRecord(self._line, reason, raw.encode("utf-8", "surrogateescape"))
                continue
            if not any(map(str.strip, row)):
                continue  # an empty line, or delimiters alone
            if header is None:
                header = self._header(row)
            else:
                yield self._item(header, row)

    def _header(self, row: list[str]) -> list[str]:
        row = [name if name.strip() else "" for name in row]
        for number, name in enumerate(row, start=1):
            if not _is_utf8(name):
                raise self._header_error(f"has a name in column {number} that is not UTF-8")
            if name and (first := row.index(name) + 1) != number:
                raise self._header_error(f"has the name {name!r} in columns {first} and {number}")
        if unnamed := [str(number) for number, name in enumerate(row, start=1) if not name]:
            self.notes.append(f"columns without a name are ignored: {', '.join(unnamed)}")
        return row

    def _header_error(self, problem: str) -> SourceError:
        return SourceError(
            f"the header of {self.name} {problem}, expected different names in UTF-8.",
            source=self.name,
            line=self._line,
        )

    def _item(self, header: list[str], row: list[str]) -> SourceItem:
        fields = {name: value for name, value in zip(header, row, strict=False) if name}
        reason = None
        if len(row) != len(header):
            reason = f"it has {len(row)} fields, the header has {len(header)}"
        elif bad := [name for name, value in fields.items() if not _is_utf8(value)]:
            reason = f"{bad[0]!r} is not UTF-8"
        if reason is not None:
            raw = self._delimiter.join(row).encode("utf-8", "surrogateescape")
            return BadRecord(self._line, reason, raw)
        return Record(self._line, {name: value for name, value in fields.items() if value})


class _Lines:
    """The lines of a text, for one row after the other; they can be given back.

    Attributes:
        number: Of the first line of the row, from 1.
        open_quote: Whether the row had not ended with the text, or with the most that is read.
    """

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._back: deque[str] = deque()
        self._row: list[str] = []
        self._next = 1
        self._room = 0
        self.number = 1
        self.open_quote = False

    def begin(self) -> bool:
        """Begin with a row; False at the end of the text."""
        self.number = self._next
        self._row = []
        self._room = MAX_RECORD_BYTES
        self.open_quote = False
        first = self._read()
        if first:
            self._back.appendleft(first)
        return bool(first)

    def skip_long(self) -> bool:
        """Skip the first line of the row if it is too long for a record; return whether it was."""
        line = self._back[0]
        if len(line) < MAX_RECORD_BYTES or line.endswith(("\r", "\n")):
            return False
        self._back.popleft()
        while line and not line.endswith(("\r", "\n")):
            line = self._back.popleft() if self._back else self._text.readline(_SKIPPED)
        self._next = self.number + 1
        return True

    def only_first(self) -> str:
        """Return the first line of the row, and push the others back."""
        first, *others = self._row
        self._back.extendleft(reversed(others))
        self._next = self.number + 1
        return first.rstrip("\r\n")

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._read() if self._room > 0 else ""
        if not line:
            self.open_quote = True
            raise StopIteration
        self._room -= len(line) + _LINE_BYTES
        self._next += 1
        self._row.append(line)
        return line

    def _read(self) -> str:
        return self._back.popleft() if self._back else self._text.readline(MAX_RECORD_BYTES)


def _is_utf8(text: str) -> bool:
    """Return whether a text was decoded without lone surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
