"""The steps of a migration: create a collection, carry all points, and move the alias."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from threading import Event
from typing import Any

from multiqa_integrations.errors import CollectionWarning, StoreError, reporting
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.migrate_collection import FILLING_KEY, create
from multiqa_integrations.qdrant.migrate_points import Change, PointMigration, Progress
from multiqa_integrations.qdrant.schema import CollectionSchema
from multiqa_integrations.qdrant.store import Store

# How long a migration waits in proportion to `look_seconds`: until no writer relies any more on
# what it saw before, and until the nodes of a cluster agree. A look at a node that has just been
# restarted may be half a second old.
_CLOSED = 1.5
_SWAPPED = 0.5


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What was moved.

    Attributes:
        source: The collection that was read.
        target: The collection that was written.
        points: How many points both have; where an error ended it, how many it came to.
        written: How many were written this time.
        unchanged: How many were there already, from an earlier try.
        changing: How many points of the source were still being changed by others at the end: the
            target has what was written before the last pass began.
        swapped: The alias that stands for the target now, if there is one.
    """

    source: str
    target: str
    points: int
    written: int
    unchanged: int
    changing: int = 0
    swapped: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


class Migration:
    """Moves the points of a collection to a new one, which it creates."""

    def __init__(
        self,
        info: CollectionInfo,
        source: Store,
        target: Store,
        to: str,
        schema: CollectionSchema,
        options: dict[str, Any],
    ) -> None:
        """Take what is to be moved; nothing is created yet."""
        self._info, self._source, self._target, self._to = info, source, target, to
        self._schema, self._options = schema, options
        self._lease = Lease(source, info.name)

    def forecast(self, existing: CollectionInfo | None) -> MigrationReport:
        """Return what would be reported, by the numbers of points.

        Raises:
            LeaseError: Another job works on one of the two.
        """
        done, points = 0, self._info.points
        self._lease.check_free()
        if existing is not None:
            Lease(self._target, self._to).check_free()
            done = min(existing.points, points)
        return MigrationReport(self._info.name, self._to, points, points - done, done)

    @contextmanager
    def points(
        self,
        encode: Change | None,
        progress: Progress | None,
        stop: Event | None,
        *,
        prune: bool = False,
    ) -> Iterator[PointMigration]:
        """Carry all points, holding the leases of both collections."""
        with self._lease:
            ours = create(self._target, self._to, self._schema, self._options, self._info)
            new = self._target.info(self._to)
            kinds = [v.datatype for i in (self._info, new) if i for v in i.vectors.values()]
            with (
                Lease(self._target, self._to) as other,
                PointMigration(
                    self._source,
                    self._info.name,
                    self._target,
                    self._to,
                    encode=encode,
                    fingerprint=self._schema.fingerprint,
                    half="float16" in kinds,
                    leases=(self._lease, other),
                    progress=progress,
                    stop=stop,
                ) as points,
                reporting(lambda: self._report(points)),
            ):
                points.carry(prune=prune or ours)
                yield points

    def finish(self, points: PointMigration, alias: str | None = None) -> MigrationReport:
        """Carry what was written meanwhile, and point the alias at the new collection."""
        changing = points.catch_up()
        if alias is not None:
            self._close(points, alias)
            changing = 0
        elif changing:
            warnings.warn(
                f"{self._info.name!r} was written to until the end: {self._to!r} has what was "
                f"written before the last pass began, which found {changing:,} points changed. "
                "Call it again when nothing writes any more: it does the rest.",
                CollectionWarning,
                stacklevel=4,
            )
        points.verify()
        if not changing:
            self._target.annotate(self._to, FILLING_KEY, None)
        if alias is not None:
            self._swap(points, alias)
        return replace(self._report(points), changing=changing)

    def _close(self, points: PointMigration, alias: str) -> None:
        """Have writers write no more to the old collection, and carry what they did until then."""
        if not self._lease.kept:
            warnings.warn(
                f"writers cannot be told that {alias!r} is about to move, since no lease can be "
                f"kept: see that nothing writes to {self._info.name!r} now.",
                CollectionWarning,
                stacklevel=5,
            )
        self._lease.close_collection()
        points.wait(self._source.look_seconds * _CLOSED)
        points.catch_up()

    def _swap(self, points: PointMigration, alias: str) -> None:
        """Move the alias; then carry what something wrote that does not ask whether it may."""
        if (now := self._source.aliases().get(alias)) != self._info.name:
            raise StoreError(
                f"the alias {alias!r} does not stand for {self._info.name!r} any more, but for "
                f"{now!r}: it was left there. {self._to!r} is complete."
            )
        self._target.swap(alias, self._to)
        points.wait(self._source.look_seconds * _SWAPPED)
        points.carry_changes(keep_newer=True)

    def _report(self, points: PointMigration) -> MigrationReport:
        return MigrationReport(
            self._info.name, self._to, points.points, points.written, points.unchanged
        )
