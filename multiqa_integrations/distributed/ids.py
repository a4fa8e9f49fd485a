"""The ids of a source that is read in parts: which record of an id is the first?

Each split is read twice. The first time workers report digests of its ids only, and the driver
finds out which records repeat an id, and where lines are. So the second time, when documents are
stored, each worker knows which of its records to reject, and no document of another version is ever
written, not even for a moment. Finding duplicates afterwards would cost less reading, and more of
everything else: what the wrong record had replaced would have to be encoded again, in every run.
"""

from __future__ import annotations

import hashlib
import sqlite3
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from multiqa_integrations.distributed.splits import Split
from multiqa_integrations.errors import SyncError
from multiqa_integrations.etl.documents import Fields, FieldUse
from multiqa_integrations.etl.seen import Seen

_DIGEST = 16
_CACHE = -64_000  # KiB, as SQLite wants it


def digest(id: str) -> bytes:
    """Name an id by 128 bits."""
    return hashlib.sha256(id.encode("utf-8", "replace")).digest()[:_DIGEST]


@dataclass(slots=True)
class SplitIds:
    """The ids of a split.

    Attributes:
        fields: Which of the named fields its records have had.
        digests: Of each id in turn.
        lines: Where each is.
        items: How many records, bad ones too, were read of a file.
        counted: How many lines it has, where those are counted.
        notes: What looks like a mistake.
        unread: What could not be read.
        stopped: Whether not all of it was looked at.
    """

    fields: FieldUse
    digests: bytearray = field(default_factory=bytearray)
    lines: array[int] = field(default_factory=lambda: array("Q"))
    items: int = 0
    counted: int = 0
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    stopped: bool = False

    def add(self, id: str, line: int) -> None:
        """Note an id; whether it was before, is found out elsewhere."""
        self.digests += digest(id)
        self.lines.append(line)


class EarlierIds:
    """What a worker knows of ids: which of its records repeat one."""

    def __init__(self, fields: Fields, earlier: dict[int, str]) -> None:
        """Take the lines of those records, and in words where the ids were before."""
        self.fields = FieldUse(fields)
        self._earlier = earlier

    def add(self, id: str, line: int) -> str | None:
        """Return in words where the id was before, if it was."""
        return self._earlier.get(line)


class SourceIds(Seen):
    """All ids of a source, as digests in a temporary file.

    Attributes:
        unread: What of a split could not be read, by its number.
        items: How many records each split has, by its number.
    """

    def __init__(self, fields: Fields, splits: Sequence[Split]) -> None:
        """Begin with none."""
        super().__init__(fields)
        self._splits = splits
        self._before: list[int] = []
        self._counted: dict[int, int] = {}
        self.unread: dict[int, list[str]] = {}
        self.items: dict[int, int] = {}
        self.notes: dict[str, None] = {}
        self._ids.execute(f"PRAGMA cache_size = {_CACHE}")
        self._ids.execute(
            "CREATE TABLE ids (id BLOB, split INTEGER, line INTEGER, "
            "PRIMARY KEY (id, split, line)) WITHOUT ROWID"
        )
        self._ids.execute(
            "CREATE TABLE earlier (split INTEGER, line INTEGER, first_split INTEGER, "
            "first_line INTEGER, PRIMARY KEY (split, line)) WITHOUT ROWID"
        )

    def note(self, split: int, found: SplitIds) -> None:
        """Take the ids of a split.

        Raises:
            SyncError: There is no room for them.
        """
        digests = bytes(found.digests)
        rows = (
            (digests[n * _DIGEST : (n + 1) * _DIGEST], split, line)
            for n, line in enumerate(found.lines)
        )
        self._do(lambda: self._ids.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", rows))
        self.fields.merge(found.fields)
        several = self._splits[-1].file > 0
        name = self._splits[split].name
        self.notes.update({f"{name}: {note}" if several else note: None for note in found.notes})
        self._counted[split], self.items[split] = found.counted, found.items
        if found.unread:
            self.unread[split] = found.unread

    def finish(self) -> None:
        """Find out which ids come again, once all splits were read."""
        self._do(
            lambda: self._ids.execute(
                "INSERT INTO earlier SELECT split, line, first_split, first_line FROM ("
                "SELECT split, line, FIRST_VALUE(split) OVER one AS first_split, "
                "FIRST_VALUE(line) OVER one AS first_line FROM ids "
                "WINDOW one AS (PARTITION BY id ORDER BY split, line)) "
                "WHERE split != first_split OR line != first_line"
            )
        )
        before: list[int] = []
        for split in self._splits:
            if split.before is not None:
                before.append(split.before)
            else:  # after another part of the same file
                before.append(before[-1] + self._counted.get(split.number - 1, 0))
        self._before = before

    def before(self, split: Split) -> int:
        """Return how many lines of its file are before a split."""
        return self._before[split.number]

    def earlier(self, split: Split) -> dict[int, str]:
        """Return which records of a split repeat an id: their lines, and where it was before."""
        rows = self._ids.execute(
            "SELECT line, first_split, first_line FROM earlier WHERE split = ?", (split.number,)
        )
        return {
            self._line(split, line): self._place(self._splits[first], first_line, split)
            for line, first, first_line in rows
        }

    def split_of(self, id: str) -> int | None:
        """Return the split that has the first record of an id; None if none has."""
        found = self._ids.execute(
            "SELECT MIN(split) FROM ids WHERE id = ?", (digest(id),)
        ).fetchone()
        return None if found is None or found[0] is None else int(found[0])

    def __contains__(self, id: str) -> bool:
        return self.split_of(id) is not None

    def _line(self, split: Split, line: int) -> int:
        return line + (self._before[split.number] if split.before is None else 0)

    def _place(self, first: Split, line: int, split: Split) -> str:
        words = f"line {self._line(first, line):,}"
        return words if first.file == split.file else f"{words} of {first.name}"

    @staticmethod
    def _do(work: Callable[[], object]) -> None:
        try:
            work()
        except sqlite3.OperationalError as error:
            raise SyncError(
                f"the ids of the source cannot be kept in a temporary file ({error}). Make room, "
                "or name another folder in SQLITE_TMPDIR."
            ) from error
