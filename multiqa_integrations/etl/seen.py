"""What the source has had so far, in a temporary file, so that memory stays flat."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from multiqa_integrations.errors import SyncError
from multiqa_integrations.etl.documents import Fields, FieldUse
from multiqa_integrations.etl.ledger import StoredChunk
from multiqa_integrations.qdrant.points import PointId

S = TypeVar("S", bound="Seen")


class Ids(Protocol):
    """What `read` asks about the ids of a source.

    Attributes:
        fields: Which of the named fields its records have had.
    """

    fields: FieldUse

    def add(self, id: str, line: int) -> str | None:
        """Note an id; returns in words where it was before, if it was."""


class Seen:
    """Ids that the source has had so far, with their lines, in a temporary file.

    Attributes:
        fields: Which of the named fields its records have had.
    """

    def __init__(self, fields: Fields) -> None:
        """Begin with none."""
        self.fields = FieldUse(fields)
        # An empty name is a file of SQLite's own, which is deleted when it is closed.
        self._ids = sqlite3.connect("", isolation_level=None)
        self._ids.execute("PRAGMA journal_mode = OFF")
        self._ids.execute("BEGIN")
        self._ids.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._ids.execute("CREATE TABLE deleted (point TEXT, document TEXT)")

    def add(self, id: str, line: int) -> str | None:
        """Note an id; returns in words where it was before, if it was.

        Raises:
            SyncError: There is no room for it.
        """
        try:
            added = self._ids.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (id, line))
        except sqlite3.OperationalError as error:
            raise SyncError(
                f"the ids of the source cannot be kept in a temporary file ({error}). Make room, "
                "or name another folder in SQLITE_TMPDIR."
            ) from error
        if added.rowcount:
            return None
        (first,) = self._ids.execute("SELECT line FROM seen WHERE id = ?", (id,)).fetchone()
        return f"line {first:,}"

    def __contains__(self, id: str) -> bool:
        return self._ids.execute("SELECT 1 FROM seen WHERE id = ?", (id,)).fetchone() is not None

    def note_deleted(self, chunks: Iterable[StoredChunk]) -> None:
        """Note points whose documents the source no longer has."""
        # Ids of points are UUIDs here; whatever wrote a number is not this job.
        rows = [(str(chunk.point), chunk.document) for chunk in chunks]
        self._ids.executemany("INSERT INTO deleted VALUES (?, ?)", rows)

    @property
    def deleted(self) -> int:
        """How many documents the source no longer has."""
        return int(self._ids.execute("SELECT COUNT(DISTINCT document) FROM deleted").fetchone()[0])

    def deleted_points(self) -> Iterator[list[PointId]]:
        """Yield their points, document by document, some at a time."""
        rows = self._ids.execute("SELECT point FROM deleted ORDER BY document")
        while page := rows.fetchmany(1_000):
            yield [point for (point,) in page]

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ids.close()
