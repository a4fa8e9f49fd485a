"""Migrate: copy a collection to another store, or into the vectors of another model."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import wraps
from typing import Any, ParamSpec

from multiqa_integrations.arguments import check_callable, check_encoder, check_kind
from multiqa_integrations.errors import (
    CollectionWarning,
    ConfigurationError,
    StoreError,
    reporting,
)
from multiqa_integrations.qdrant.fingerprints import count_fingerprints
from multiqa_integrations.qdrant.info import CollectionInfo
from multiqa_integrations.qdrant.lease import Lease
from multiqa_integrations.qdrant.migrate_collection import (
    FILLING_KEY,
    check_target,
    create,
    describe,
    options_of,
    schema_of,
)
from multiqa_integrations.qdrant.migrate_points import Change, PointMigration, Progress
from multiqa_integrations.qdrant.names import check_name
from multiqa_integrations.qdrant.payload import update_record
from multiqa_integrations.qdrant.points import Point
from multiqa_integrations.qdrant.replicas import reading_all_replicas
from multiqa_integrations.qdrant.retry import JOB_SECONDS, retrying
from multiqa_integrations.qdrant.schema import CollectionSchema, model_name
from multiqa_integrations.qdrant.settings import CollectionSettings
from multiqa_integrations.qdrant.store import Store
from multiqa_integrations.types import Encoder

# How long a migration waits in proportion to `look_seconds`: until no writer relies any more on
# what it saw before, and until the nodes of a cluster agree. A look at a node that has just been
# restarted may be half a second old.
_CLOSED = 1.5
_SWAPPED = 0.5

P = ParamSpec("P")


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


def _repeating(migrate: Callable[P, MigrationReport]) -> Callable[P, MigrationReport]:
    """Repeat the requests of a migration as those of any job, until its `stop` is set."""

    @wraps(migrate)
    def run(*args: P.args, **kwargs: P.kwargs) -> MigrationReport:
        stop = kwargs.get("stop")
        if not isinstance(stop, threading.Event | None):
            raise ConfigurationError(f"stop is {type(stop).__name__}, expected a threading.Event.")
        check_callable("progress", kwargs.get("progress"))  # type: ignore[arg-type]
        with retrying(JOB_SECONDS, stop=stop), reading_all_replicas():
            return migrate(*args, **kwargs)

    return run


@_repeating
def copy(
    source: Store,
    target: Store,
    collection: str,
    *,
    to: str | None = None,
    prune: bool = False,
    settings: CollectionSettings | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    dry_run: bool = False,
) -> MigrationReport:
    """Copy a collection with its vectors to another store, or to another name.

    Nothing is encoded again. Requests that fail for the time being are repeated for five minutes.
    It may be interrupted and called again: what is there already and equal is not written again.
    At the end the numbers of points and a sample of them are compared.

    Others may write to the collection meanwhile: it is read again until nothing has changed, or
    until that never ends; then `.changing` says how many points still did. Syncs of it are kept
    out. The copy has the settings and indexes of the collection; those that the target cannot have
    are named in a `CollectionWarning` before anything is written.

    Args:
        source: Where from.
        target: Where to; the same store if `to` is another name.
        collection: The collection, or an alias.
        to: Its name in the target; by default the same.
        prune: Delete points of an existing copy that the collection does not have any more. What an
            interrupted call has copied is deleted without that, too.
        settings: Those of the copy that are to be other than those of the collection.
        progress: Called with numbers of points as they are done.
        stop: Set it, from another thread or a signal handler, and it ends after the page in hand.
        dry_run: Check everything and write nothing; the report says what would be written.

    Returns:
        What was copied.

    Raises:
        CollectionMismatchError: The target has a collection of that name that does not fit.
        LeaseError: A sync or another migration of one of the two is at work.
        StoreError: A store failed for good, it was stopped, or the copy is not equal to the source;
            `.report` has what was done.

    Examples:
        >>> from qdrant_client import QdrantClient
        >>> from multiqa_integrations.qdrant import Collection, open_store
        >>> from multiqa_integrations.testing import FakeEncoder
        >>> old = open_store(client=QdrantClient(":memory:"))
        >>> new = open_store(client=QdrantClient(":memory:"))
        >>> ids = Collection.open("docs", encoder=FakeEncoder(), store=old).add(["a", "b"])
        >>> copy(old, new, "docs").written
        2
    """
    for name, store in (("source", source), ("target", target)):
        check_kind(name, store, Store, "that of open_store(...)", optional=False)
    check_kind("settings", settings, CollectionSettings, "CollectionSettings(...)")
    check_name(collection)
    to = check_name(to or collection)
    if source is target and to == collection:
        raise ConfigurationError(f"the copy of {collection!r} needs another store or another name.")
    name = source.aliases().get(collection, collection)
    info = describe(source, name)
    schema = schema_of(info)
    options = options_of(info, source, target, settings)
    existing = check_target(target, to, schema)
    move = _Move(info, source, target, to, schema, options)
    if dry_run:
        return move.forecast(existing)
    with move.points(None, progress, stop, prune=prune) as points:
        return move.finish(points)


@_repeating
def reembed(
    store: Store,
    collection: str,
    encoder: Encoder,
    *,
    to: str | None = None,
    content_payload_key: str = "page_content",
    settings: CollectionSettings | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    dry_run: bool = False,
) -> MigrationReport:
    """Fill a new collection with the vectors that another model gives the stored texts.

    Ids, payloads, settings and indexes stay. If `collection` is an alias, it stands for the new
    collection at the end, atomically, so that nobody is without answers meanwhile; the old
    collection stays until you drop it. It may be interrupted and called again.

    Others may write to the collection meanwhile, through this package: it is read again until
    nothing has changed. Before the alias moves, the old collection is closed for some seconds:
    writes to it raise `StoreLockedError`, and afterwards `CollectionMismatchError`, since the alias
    then stands for a collection of another model. Syncs of it are kept out all the time.

    A collection that has vectors of several models, since something wrote to it past its
    fingerprint, is repaired by the model that it says it has.

    Args:
        store: The store.
        collection: The collection or, better, an alias.
        encoder: The other model.
        to: The new collection; by default a name with the beginning of the fingerprint.
        content_payload_key: Where the text is in the payload.
        settings: Those of the new collection that are to be other than those of the old one.
        progress: Called with numbers of points as they are done.
        stop: Set it, from another thread or a signal handler, and it ends after the page in hand.
        dry_run: Check everything and write nothing; the report says what would be written.

    Returns:
        What was done.

    Raises:
        ConfigurationError: This encoder filled it already.
        LeaseError: A sync or another migration of it is at work.
        StoreError: Points have no text, the store failed for good, it was stopped, or not all
            points arrived; `.report` has what was done.
    """
    check_kind("store", store, Store, "that of open_store(...)", optional=False)
    check_encoder(encoder)
    check_kind("settings", settings, CollectionSettings, "CollectionSettings(...)")
    check_name(collection)
    aliases = store.aliases()
    alias, name = collection if collection in aliases else None, aliases.get(collection, collection)
    info = describe(store, name)
    if encoder.fingerprint in info.fingerprints and not _is_mixed(store, info):
        raise ConfigurationError(
            f"{collection!r} has the vectors of this model already ({encoder.fingerprint})."
        )
    to = check_name(to or _new_name(name, encoder.fingerprint))
    (vector_name,) = info.vectors
    schema = schema_of(info, fingerprint=encoder.fingerprint, model=model_name(encoder))

    def texts_of(points: Sequence[Point]) -> list[str]:
        texts = [point.payload.get(content_payload_key) for point in points]
        empty = [
            str(p.id) for p, text in zip(points, texts, strict=True) if not isinstance(text, str)
        ]
        if empty:
            raise StoreError(
                f"{len(empty)} points have no text in {content_payload_key!r}, the first is "
                f"{empty[0]}. Name the key with content_payload_key, or delete them."
            )
        return [str(text) for text in texts]

    def encode(points: Sequence[Point]) -> list[Point]:
        vectors = encoder.encode_document(texts_of(points))
        return [
            Point(
                point.id,
                {**point.vectors, vector_name: vector},
                update_record(point.payload, fingerprint=encoder.fingerprint),
            )
            for point, vector in zip(points, vectors, strict=True)
        ]

    options = options_of(info, store, store, settings)
    existing = check_target(store, to, schema)
    if alias is not None:
        store.check_may_create()  # moving an alias takes the same right
    texts_of(store.scroll(name, limit=256)[0])
    move = _Move(info, store, store, to, schema, options)
    if dry_run:
        return replace(move.forecast(existing), swapped=alias)
    with move.points(encode, progress, stop) as points:
        if alias is None:
            return move.finish(points)
        return replace(move.finish(points, alias), swapped=alias)


class _Move:
    """A collection on its way to a new one, which is created."""

    def __init__(
        self,
        info: CollectionInfo,
        source: Store,
        target: Store,
        to: str,
        schema: CollectionSchema,
        options: dict[str, Any],
    ) -> None:
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
        stop: threading.Event | None,
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


def _is_mixed(store: Store, info: CollectionInfo) -> bool:
    """Return whether a collection has points of another model than it says."""
    return bool(set(count_fingerprints(store, info.name)) - {*info.fingerprints, None})


def _new_name(name: str, fingerprint: str) -> str:
    """Return the name of a new collection: `docs@1f2e3d4c` for `docs` and `docs@old`."""
    new = f"{name.rpartition('@')[0] or name}@{_short(fingerprint)}"
    return f"{new}-2" if new == name else new


def _short(fingerprint: str) -> str:
    """Return eight characters of a fingerprint that may stand in a name: `sha256:1f2e…/mean`."""
    _, _, digest = fingerprint.rpartition(":")
    return "".join(filter(str.isalnum, digest.partition("/")[0]))[:8]
