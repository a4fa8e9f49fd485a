"""Carry the points of a collection to another one, while others go on writing to it.

The first pass reads all of them; each further pass finds what was written or deleted since, by
digests of what was carried, until there is nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from multiqa_integrations.errors import StoreError
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.payload import PointRecord, update_record
from multiqa_integrations.qdrant.points import Point, PointId, SparseVector, Vector
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.qdrant.upload import Uploader

_PAGE = 256
_SAMPLE = 200

# With writers that never rest, each pass finds something: after some, as many as the one before.
_PASSES = 10
_PATIENT = 3

_TOLERANCE = 1e-6
_TOLERANCE_HALF = 2e-3  # of numbers with 16 bits, rounded twice

Change = Callable[[Sequence[Point]], Sequence[Point]]
Progress = Callable[[int], None]


class PointMigration:
    """One migration of points. Use it with `with`.

    Attributes:
        written: How many points were written.
        unchanged: How many were there already, from an earlier try.
    """

    def __init__(
        self,
        source: Store,
        collection: str,
        target: Store,
        to: str,
        *,
        encode: Change | None,
        fingerprint: str,
        half: bool,
        leases: Sequence[Lease],
        progress: Progress | None,
        stop: threading.Event | None,
    ) -> None:
        """Carry nothing yet.

        Args:
            source: Where from.
            collection: The collection's own name.
            target: Where to.
            to: The new collection.
            encode: Gives points other dense vectors; None copies those that they have.
            fingerprint: Of the model that the new collection has vectors of.
            half: Whether one of the two has numbers with 16 bits.
            leases: Renewed while it goes on.
            progress: Called with numbers of points as they are done.
            stop: Ends it, once set.
        """
        self.written = self.unchanged = 0
        self._source, self._collection = source, collection
        self._target, self._to = target, to
        self._encode, self._fingerprint = encode, fingerprint
        self._tolerance = _TOLERANCE_HALF if half else _TOLERANCE
        self._leases = leases
        self._progress = progress or (lambda _: None)
        self._stop = stop or threading.Event()
        self._passes = 0
        # An empty name is a file of SQLite's own, which is deleted when it is closed.
        self._carried = sqlite3.connect("", isolation_level=None)
        self._carried.execute("PRAGMA journal_mode = OFF")
        self._carried.execute("BEGIN")
        self._carried.execute(
            "CREATE TABLE carried (id TEXT PRIMARY KEY, digest BLOB, pass INTEGER) WITHOUT ROWID"
        )

    def __enter__(self) -> PointMigration:
        return self

    def __exit__(self, *exception: object) -> None:
        self._carried.close()

    @property
    def points(self) -> int:
        """How many points were carried."""
        return int(self._carried.execute("SELECT COUNT(*) FROM carried").fetchone()[0])

    def carry(self, *, prune: bool) -> None:
        """Carry all points but those that are there already and equal.

        Args:
            prune: Delete what the new collection has, and the source has not any more.
        """
        self._passes += 1
        begun = self._target.count(self._to) > 0
        with self._uploader() as uploader:
            for page in self._pages():
                existing: Mapping[PointId, Point] = {}
                if begun:
                    ids = [point.id for point in page]
                    found = self._target.retrieve(self._to, ids, with_vectors=True)
                    existing = {point.id: point for point in found}
                missing = [
                    p for p in page if p.id not in existing or not self._same(p, existing[p.id])
                ]
                uploader.add(self._changed(missing))
                self._note(page)
                self.unchanged += len(page) - len(missing)
                if len(page) > len(missing):
                    self._progress(len(page) - len(missing))
        if begun and prune:
            self._delete_extra()

    def catch_up(self) -> int:
        """Carry what was written and deleted meanwhile, until a pass finds nothing.

        Returns:
            How many points the last pass found: not 0 where writers never rest.
        """
        found = 0
        for number in range(_PASSES):
            before, found = found, self.carry_changes()
            if found == 0 or (number >= _PATIENT and found > before // 2):
                break
        return found

    def carry_changes(self, *, keep_newer: bool = False) -> int:
        """Carry what was written and deleted since the last pass; returns how many points.

        Args:
            keep_newer: Leave alone what others have written to the new collection since.
        """
        self._passes += 1
        found = 0
        with self._uploader() as uploader:
            for page in self._pages():
                known = self._known(page)
                changed = [p for p in page if known.get(p.id) != self._digest(p)]
                if keep_newer:
                    changed = self._untouched(changed, known)
                uploader.add(self._changed(changed))
                self._note(page)
                found += len(changed)
        while True:
            gone = self._carried.execute(
                "SELECT id, digest FROM carried WHERE pass < ? LIMIT ?", (self._passes, _PAGE)
            ).fetchall()
            if not gone:
                return found
            ids = [_id(text) for text, _ in gone]
            self._carried.executemany("DELETE FROM carried WHERE id = ?", [(t,) for t, _ in gone])
            if keep_newer:
                known = {_id(text): digest for text, digest in gone}
                points = self._target.retrieve(self._to, ids, with_vectors=self._encode is None)
                ids = [p.id for p in points if self._digest(p) == known[p.id]]
            self._target.delete(self._to, ids=ids)
            found += len(ids)

    def verify(self) -> None:
        """Compare the numbers of points, and a sample of them.

        Raises:
            StoreError: They are not equal.
        """
        expected, actual = self.points, self._target.count(self._to)
        if expected != actual:
            raise StoreError(
                f"{self._to!r} has {actual:,} points, {self._collection!r} has {expected:,}. "
                "Points that the source does not have are deleted by copy with prune=True "
                "(--prune) only; or give another name for the new collection."
            )
        rows = self._carried.execute(
            "SELECT id, digest FROM carried ORDER BY random() LIMIT ?", (_SAMPLE,)
        ).fetchall()
        known = {_id(text): digest for text, digest in rows}
        there = {p.id: p for p in self._target.retrieve(self._to, list(known), with_vectors=True)}
        for point in self._source.retrieve(self._collection, list(known), with_vectors=True):
            changed_since = self._digest(point) != known[point.id]
            if not changed_since and not (point.id in there and self._same(point, there[point.id])):
                raise StoreError(
                    f"point {point.id} of {self._to!r} is not that of {self._collection!r}. Try "
                    "again."
                )

    # --- pages --------------------------------------------------------------------------------

    def _pages(self) -> Iterator[list[Point]]:
        offset: PointId | None = None
        while True:
            for lease in self._leases:
                lease.renew()
                if lease.lost is not None:
                    raise StoreError(f"the migration to {self._to!r} was ended: {lease.lost}.")
            self.check_stop()
            points, offset = self._source.scroll(
                self._collection, limit=_PAGE, offset=offset, with_vectors=True
            )
            if points:
                yield points
            if offset is None:
                return

    def check_stop(self) -> None:
        """Raise if it is to end."""
        if self._stop.is_set():
            raise StoreError(
                f"it was stopped: {self._to!r} does not have all of {self._collection!r} yet. What "
                "was written stays; call it again to go on."
            )

    def wait(self, seconds: float) -> None:
        """Wait, or until it is to end."""
        self._stop.wait(seconds)
        self.check_stop()

    def _uploader(self) -> Uploader:
        def count(points: int) -> None:
            self.written += points
            self._progress(points)

        return Uploader(self._target, self._to, progress=count)

    def _changed(self, points: Sequence[Point]) -> Sequence[Point]:
        return points if self._encode is None or not points else self._encode(points)

    def _delete_extra(self) -> None:
        offset: PointId | None = None
        while True:
            points, offset = self._target.scroll(
                self._to, limit=_PAGE, offset=offset, with_payload=False
            )
            known = self._known(points)
            self._target.delete(self._to, ids=[p.id for p in points if p.id not in known])
            if offset is None:
                return

    def _untouched(self, points: Sequence[Point], known: Mapping[PointId, bytes]) -> list[Point]:
        """Return the points that the new collection still has as they were carried."""
        ids = [point.id for point in points]
        found = self._target.retrieve(self._to, ids, with_vectors=self._encode is None)
        there = {point.id: self._digest(point) for point in found}
        return [point for point in points if there.get(point.id) == known.get(point.id)]

    # --- what was carried ----------------------------------------------------------------------

    def _note(self, points: Sequence[Point]) -> None:
        self._carried.executemany(
            "INSERT OR REPLACE INTO carried VALUES (?, ?, ?)",
            [(str(point.id), self._digest(point), self._passes) for point in points],
        )

    def _known(self, points: Sequence[Point]) -> dict[PointId, bytes]:
        rows = self._carried.execute(
            f"SELECT id, digest FROM carried WHERE id IN ({','.join('?' * len(points))})",  # noqa: S608
            [str(point.id) for point in points],
        )
        return {_id(text): digest for text, digest in rows}

    def _digest(self, point: Point) -> bytes:
        """Return a digest of what is carried of a point: its payload, and the vectors it keeps."""
        payload, digest = point.payload, hashlib.blake2b(digest_size=16)
        if self._encode is not None:
            payload = update_record(payload, fingerprint="")
        digest.update(json.dumps(payload, sort_keys=True).encode())
        if self._encode is None:
            for name, vector in sorted(point.vectors.items()):
                digest.update(name.encode())
                parts = (
                    (vector.indices, vector.values)
                    if isinstance(vector, SparseVector)
                    else (vector,)
                )
                for part in parts:
                    digest.update(np.ascontiguousarray(part).tobytes())
        return digest.digest()

    def _same(self, point: Point, other: Point) -> bool:
        """Return whether the new collection has what is carried of a point."""
        if self._encode is not None:
            return PointRecord.of(other.payload).fingerprint == self._fingerprint and self._digest(
                point
            ) == self._digest(other)
        return (
            point.payload == other.payload
            and point.vectors.keys() == other.vectors.keys()
            and all(
                _close(vector, other.vectors[name], self._tolerance)
                for name, vector in point.vectors.items()
            )
        )


def _id(text: str) -> PointId:
    return int(text) if text.isdecimal() else text


def _close(left: Vector, right: Vector, tolerance: float) -> bool:
    if isinstance(left, SparseVector) or isinstance(right, SparseVector):
        if not (isinstance(left, SparseVector) and isinstance(right, SparseVector)):
            return False
        mine, theirs = _entries(left), _entries(right)
        return mine.keys() == theirs.keys() and all(
            abs(value - theirs[index]) <= tolerance * max(1.0, abs(value))
            for index, value in mine.items()
        )
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=0, atol=tolerance))


def _entries(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
